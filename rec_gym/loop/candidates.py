"""Candidate lists: what a policy is given to put into order.

A request's list is a function of the request, the settings and the seed. Which items stand in it does not depend on the
seed: shuffles of one list differ in nothing but the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from rec_gym.dataset import Dataset
from rec_gym.draws import seeded_order
from rec_gym.loop.engine import Engine
from rec_gym.ranking import NOT_RANKED
from rec_gym.tables import check_fields, read_fields, unknown

SOURCES = ("recommender", "judged")
QUERIES = ("request", "oracle")
IDEALS = ("candidates", "all")
_KEPT = 65_536  # maximum number of lists in memory
_BATCH = 1024  # requests for which the recommender is asked at once


@dataclass(frozen=True)
class CandidateSettings:
    """Where a request's candidates come from and how they are shown.

    Attributes:
        k: maximum number of candidates.
        source: `"recommender"`: the first k that the recommender ranks; `"judged"`: the judged items of the request (a
            seedless draw of k where there are more, one of the best gain always among them), and what the recommender
            ranks first where there are fewer.
        query: what the recommender is asked: `"request"` for the request's words (of a history: its titles), `"oracle"`
            for the query that the dataset knows to be right.
        seed: of the shuffle.
        shuffle: whether the order is shuffled; else it is that of the source.
        ideal: `"candidates"`: the measures know of no relevant items but those among the candidates, so that the best
            order scores 1; `"all"`: they count every relevant item of the request, as in search.
    """

    k: int = 20
    source: str = "recommender"
    query: str = "request"
    seed: int = 0
    shuffle: bool = True
    ideal: str = "candidates"

    def __post_init__(self) -> None:
        check_fields(self, "candidates")
        for name, choices in (("source", SOURCES), ("query", QUERIES), ("ideal", IDEALS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"candidates: {unknown(name, getattr(self, name), choices)}")
        if self.k < 1 or self.seed < 0:
            raise ValueError(f"candidates: k must be at least 1 and seed at least 0, not {self.k} and {self.seed}")


def make_candidates(spec: Mapping[str, Any] | CandidateSettings) -> CandidateSettings:
    """Settings from a table such as `{k = 20, source = "judged"}`.

    Raises:
        ValueError: an unknown setting (near names are suggested), or a wrong value.
    """
    if isinstance(spec, CandidateSettings):
        return spec
    if not isinstance(spec, Mapping):
        raise ValueError(f"candidates is a table such as {{k = 20, source = 'recommender'}}, not {spec!r}")
    return read_fields(spec, CandidateSettings, "candidates")


def request_words(dataset: Dataset, rows: np.ndarray) -> list[str]:
    """What each shopper brought, as plain words: the query, or the titles of the history without numbering."""
    if not dataset.is_history:
        return dataset.texts(rows)
    return [" ".join(titles) for titles in dataset.history_titles(rows)]


class Candidates:
    """The candidate lists of a task's requests; made when they are first asked for, the latest kept in memory.

    Args:
        settings: see `CandidateSettings`.
        engine: the task's recommender.
    """

    def __init__(self, settings: CandidateSettings, engine: Engine) -> None:
        if settings.query == "oracle" and not engine.dataset.has_oracle:
            raise ValueError(
                "candidates: query 'oracle' needs a dataset that knows oracle queries; this one knows none"
            )
        self.settings, self.engine = settings, engine
        self._sets = _Sets()

    def share(self, other: Candidates | None) -> None:
        """Takes over the lists that another task has made, where they are the same but for their order."""
        if other is None or _of_set(other) != _of_set(self):
            return
        if other.engine.recommender is self.engine.recommender and other.engine.dataset is self.engine.dataset:
            self._sets = other._sets

    def of(self, rows: np.ndarray) -> list[np.ndarray]:
        """Item positions of each request's candidates in the order in which they are given, int32."""
        found = self.unshuffled(rows)
        if not self.settings.shuffle:
            return [found[row] for row in rows.tolist()]
        names = dict(zip(found, self.engine.dataset.column("id", np.array(list(found), np.int64)), strict=True))
        given = {row: items[seeded_order(len(items), self.settings.seed, names[row])] for row, items in found.items()}
        return [given[row] for row in rows.tolist()]

    def unshuffled(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        """Item positions of the candidates of each distinct request, in the order of their source, int32."""
        distinct = np.unique(rows)
        found = self._sets.get(distinct.tolist())
        missing = np.array([row for row in distinct.tolist() if row not in found], np.int64)
        for start in range(0, len(missing), _BATCH):
            made = self._make(missing[start : start + _BATCH])
            self._sets.add(made)
            found |= made
        return {row: found[row] for row in distinct.tolist()}

    def titles(self, given: Sequence[np.ndarray]) -> list[list[str]]:
        """Titles of lists of candidates."""
        titles = iter(self.engine.dataset.catalog.titles(np.concatenate([[], *given]).astype(np.int64)))
        return [[next(titles) for _ in items] for items in given]

    def _make(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        settings, dataset = self.settings, self.engine.dataset
        queries = (
            dataset.column("oracle", rows).tolist() if settings.query == "oracle" else request_words(dataset, rows)
        )
        ranked = self.engine.rank(queries, rows, min(settings.k, len(dataset.catalog)))
        lists = [items[items != NOT_RANKED].astype(np.int32) for items in ranked.items]
        if settings.source == "judged":
            names = dataset.column("id", rows)
            lists = [self._judged(row, name, items) for row, name, items in zip(rows, names, lists, strict=True)]
        return dict(zip(rows.tolist(), lists, strict=True))

    def _judged(self, row: int, name: str, ranked: np.ndarray) -> np.ndarray:
        """Judged items, drawn by the request's id alone, then those of the recommender that nobody has judged."""
        dataset = self.engine.dataset
        judged, gains = dataset.judged_items[row], dataset.judged_gains[row]
        if self.engine.by_request:
            shown = self.engine.open_to(row, judged)
            judged, gains = judged[shown], gains[shown]
        drawn = seeded_order(len(judged), "judged", name)
        best = drawn[np.argmax(gains[drawn])] if len(drawn) else -1
        drawn = np.concatenate([drawn[drawn == best], drawn[drawn != best]])
        items = np.concatenate([judged[drawn], ranked[~np.isin(ranked, judged)]])
        return items[: self.settings.k].astype(np.int32)


def _of_set(candidates: Candidates) -> tuple[Any, ...]:
    """The settings that decide which items stand in a list."""
    settings = candidates.settings
    return settings.k, settings.source, settings.query, candidates.engine.exclude_history


class _Sets:
    """A bounded store of lists by request; the oldest go first. It stays behind where a task is pickled."""

    def __init__(self) -> None:
        self._kept: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def get(self, rows: list[int]) -> dict[int, np.ndarray]:
        with self._lock:
            return {row: self._kept[row] for row in rows if row in self._kept}

    def add(self, made: Mapping[int, np.ndarray]) -> None:
        with self._lock:
            self._kept |= made
            for row in list(self._kept)[: max(0, len(self._kept) - _KEPT)]:
                del self._kept[row]

    def __reduce__(self) -> tuple:
        return _Sets, ()
