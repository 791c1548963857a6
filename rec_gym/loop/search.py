"""From the actions of a batch to its rankings: one query, several queries merged, or an order of candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.loop.action_base import Action, Plain
from rec_gym.loop.candidates import Candidates
from rec_gym.loop.engine import Engine
from rec_gym.loop.lists import by_place
from rec_gym.ranking import NOT_RANKED, Rankings


class Search:
    """What the actions of one batch rank: the recommender is called once, and identical questions are asked once.

    Args:
        engine: the recommender, as the task asks it.
        format_: the action format, which merges the rankings of several questions.
        candidates: what an order puts into order, where the task has some.
        depth: places of a ranking that are looked at.
        needs_list: whether a measure looks at the list itself.
        rows: the request of each action.
        actions: those that ask (`Action.asks`).
    """

    def __init__(
        self,
        engine: Engine,
        format_: Plain,
        candidates: Candidates | None,
        depth: int,
        needs_list: bool,
        rows: np.ndarray,
        actions: Sequence[Action],
    ) -> None:
        self.engine, self.format, self.candidates, self.depth = engine, format_, candidates, depth
        self.rows, self.actions = rows, list(actions)
        # A merged ranking, or an order of candidates, is a list: ranks cannot be had without it.
        self.merges = format_.merges or candidates is not None
        self.needs_list = self.merges or needs_list or not engine.ranks_items

    def ranks(self) -> tuple[Ragged, Rankings | None]:
        """Ranks of the relevant items of each action's request, and the rankings if a list had to be made for them."""
        relevant = self.engine.dataset.relevant
        if self.needs_list:
            rankings = self.rankings()
            return rankings.ranks_of(relevant.take(self.rows)), rankings
        queries, rows, places = self._questions(by_row=True)  # ranks are those of a request's own relevant items
        inverse = places[0]
        return self.engine.rank_of(queries, rows, relevant.take(rows), self.depth).take(inverse), None

    def rankings(self, k: int = 0) -> Rankings:
        """The rankings of all actions to depth k, by default the task's."""
        if self.candidates is not None:
            return self._ordered(self.candidates)
        k = k or self.depth
        queries, rows, places = self._questions(by_row=self.engine.excludes)
        found = self.engine.rank(queries, rows, min(self.format.depth_of(k), len(self.engine.dataset.catalog)))
        return self._merged(found, places, k) if self.merges else found.take(places[0])

    def spread_rankings(self, places: np.ndarray, size: int, known: Rankings | None, k: int = 0) -> Rankings:
        """Rankings for all completions, to depth k or the task's; those that were not asked are empty."""
        rankings = self.rankings(k) if known is None or known.depth < k else known
        items = np.full((size, rankings.depth), NOT_RANKED, np.int32)
        scores = np.zeros((size, rankings.depth), np.float32)
        items[places], scores[places] = rankings.items, rankings.scores
        return Rankings(items, scores)

    def searched(self, places: np.ndarray, size: int) -> list[str]:
        """What the engine searched for, for all completions; a line a question, an order as it is."""
        words = iter(self.engine.searched([query for action in self.actions for query in action.questions]))
        spread = [""] * size
        for place, action in zip(places, self.actions, strict=True):
            spread[place] = action.query if action.order else "\n".join(next(words) for _ in action.questions)
        return spread

    def _questions(self, by_row: bool) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
        """The distinct questions of the batch.

        Args:
            by_row: whether the same query of another request is another question.

        Returns:
            Their texts; the request at whose row each is asked; and as many arrays as any action has questions, which
            hold for each action the place of its first, second, ... question among them, or -1 for none.
        """
        seen: dict[tuple[str, int], int] = {}
        rows: list[int] = []
        most = max((len(action.questions) for action in self.actions), default=1)
        places = [np.full(len(self.actions), -1, np.int64) for _ in range(most)]
        for number, (action, row) in enumerate(zip(self.actions, self.rows.tolist(), strict=True)):
            for turn, query in enumerate(action.questions):
                key = (query, row if by_row else -1)
                if key not in seen:
                    seen[key] = len(seen)
                    rows.append(row)
                places[turn][number] = seen[key]
        return [query for query, _ in seen], np.array(rows, np.int64), places

    def _merged(self, found: Rankings, places: list[np.ndarray], k: int) -> Rankings:
        """One ranking for each action from those of its questions; actions of equally many questions are merged at once."""
        items = np.full((len(self.actions), k), NOT_RANKED, np.int32)
        scores = np.zeros((len(self.actions), k), np.float32)
        clipped = np.zeros(len(self.actions), bool)
        counts = (np.stack(places) >= 0).sum(axis=0)
        for count in np.unique(counts).tolist():
            here = np.flatnonzero(counts == count)
            parts = [found.take(places[turn][here]) for turn in range(count)]
            merged = self.format.merge(parts, k)
            items[here, : merged.depth], scores[here, : merged.depth] = merged.items, merged.scores
            for part in parts:
                clipped[here] |= False if part.clipped is None else part.clipped
        return Rankings(items, scores, clipped)

    def _ordered(self, candidates: Candidates) -> Rankings:
        """The candidates in the order of each action; the recommender is not asked."""
        given = candidates.of(self.rows)
        items = np.full((len(self.actions), self.depth), NOT_RANKED, np.int32)
        for row, (action, offered) in enumerate(zip(self.actions, given, strict=True)):
            items[row, : len(offered)] = offered[list(action.order)]
        return by_place(items)
