"""The recommender's part in scoring a batch: what is asked, once, and whether the answer can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rec_gym.columns import Ragged, first_few
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import RanksItems, RecommenderError, SaysWhatItSearched

if TYPE_CHECKING:
    from rec_gym.loop.task import Task


class Search:
    """The recommender's part in one batch: identical questions are asked once."""

    def __init__(self, task: Task, rows: np.ndarray, queries: list[str]) -> None:
        self.task, self.rows, self.queries = task, rows, queries
        history = task.dataset.history
        self.excludes = task.exclude_history and history.values.size > 0

    def ranks(self) -> tuple[Ragged, Rankings | None]:
        """Ranks of each question's relevant items, and the rankings if a list had to be made for them."""
        task = self.task
        relevant = task.dataset.relevant
        if any(measure.needs_list for measure in task.measures) or not isinstance(task.recommender, RanksItems):
            rankings = self.rankings(task.depth)
            return rankings.ranks_of(relevant.take(self.rows)), rankings
        first, inverse = self._distinct(by_row=True)
        rows = self.rows[first]
        found = self._call(
            "rank_of", [self.queries[i] for i in first], relevant.take(rows), task.depth, self._exclude(rows)
        )
        return found.take(inverse), None

    def rankings(self, k: int) -> Rankings:
        """The rankings of all questions to depth k."""
        first, inverse = self._distinct(by_row=self.excludes)
        exclude = self._exclude(self.rows[first])
        queries = [self.queries[i] for i in first]
        if not queries:
            return Rankings(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
        rankings = self._call("rank", queries, k, exclude)
        self._check(rankings, queries, k, exclude)
        return rankings.take(inverse)

    def spread_rankings(self, places: np.ndarray, size: int, known: Rankings | None) -> Rankings:
        """Rankings for all completions; those that were not asked are empty."""
        rankings = self.rankings(self.task.depth) if known is None else known
        items = np.full((size, rankings.depth), NOT_RANKED, np.int32)
        scores = np.zeros((size, rankings.depth), np.float32)
        items[places], scores[places] = rankings.items, rankings.scores
        return Rankings(items, scores)

    def searched(self, places: np.ndarray, size: int) -> list[str]:
        """What the engine searched for, for all completions."""
        recommender = self.task.recommender
        words = recommender.searched(self.queries) if isinstance(recommender, SaysWhatItSearched) else self.queries
        spread = [""] * size
        for place, text in zip(places, words, strict=True):
            spread[place] = text
        return spread

    def _distinct(self, by_row: bool) -> tuple[np.ndarray, np.ndarray]:
        """First place of each distinct question, and the distinct question of each place."""
        seen: dict[tuple[str, int], int] = {}
        inverse = np.empty(len(self.queries), np.int64)
        first = []
        for place, (query, row) in enumerate(zip(self.queries, self.rows.tolist(), strict=True)):
            key = (query, row if by_row else -1)
            if key not in seen:
                seen[key] = len(seen)
                first.append(place)
            inverse[place] = seen[key]
        return np.array(first, np.int64), inverse

    def _exclude(self, rows: np.ndarray) -> list[np.ndarray] | None:
        return [self.task.dataset.history[row] for row in rows] if self.excludes else None

    def _call(self, method: str, queries: list[str], *arguments: object):
        try:
            return getattr(self.task.recommender, method)(queries, *arguments)
        except Exception as error:
            name = type(self.task.recommender).__name__
            raise RecommenderError(
                f"{name}.{method} failed on {len(queries)} queries ({first_few(queries, 3)}): {error}"
            ) from error

    def _check(self, rankings: Rankings, queries: list[str], k: int, exclude: list[np.ndarray] | None) -> None:
        """A recommender of one's own may err; what it returns is looked at before it becomes a reward."""
        name = type(self.task.recommender).__name__
        try:
            if not isinstance(rankings, Rankings):
                raise ValueError(f"it returned {type(rankings).__name__}, not Rankings")
            if len(rankings) != len(queries) or rankings.depth > k:
                raise ValueError(f"it returned [{len(rankings)}, {rankings.depth}] for {len(queries)} queries, k = {k}")
            rankings.check(len(self.task.dataset.catalog))
            if exclude is not None and (rankings.ranks_of(Ragged.from_rows(exclude, np.int32)).values >= 0).any():
                raise ValueError("it ranked items that were to be excluded")
        except ValueError as error:
            raise RecommenderError(f"{name}.rank, asked {first_few(queries, 3)}: {error}") from error
