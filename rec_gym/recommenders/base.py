"""The protocol of a recommender, and the error that a failing one raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.ranking import Rankings


class RecommenderError(RuntimeError):
    """A recommender failed. The message says what was sent; a failure is never turned into a reward."""


@runtime_checkable
class Recommender(Protocol):
    """A black box that ranks a catalogue for a batch of queries.

    It never sees gains. Optional capabilities, found by their names:

    * `fit(catalog) -> Self` for one that holds an index (`Fits`);
    * `fit_histories(catalog, histories) -> Self` for one that learns from train histories (`FitsHistories`);
    * `rank_of(queries, items, k, exclude) -> Ragged`, exact ranks without a list (`RanksItems`);
    * `searched(queries) -> list[str]`, the words that were really searched for (`SaysWhatItSearched`).

    Attributes:
        query_language: `"bag of words"`, `"natural language"` or `"boolean"`; a prompt may mention it.
    """

    query_language: str

    def rank(self, queries: Sequence[str], k: int, exclude: Sequence[np.ndarray] | None = None) -> Rankings:
        """Ranks the catalogue for each query.

        Args:
            queries: n texts, any Unicode.
            k: places in each ranking.
            exclude: for each query the item positions (int32) that must not be ranked.

        Returns:
            Rankings [n, k]; ties by lower item position, items that match nothing are not ranked.
        """
        ...


@runtime_checkable
class Fits(Protocol):
    """A recommender that prepares itself for a catalogue."""

    def fit(self, catalog: Catalog) -> Recommender:
        """Builds or opens the index of `catalog` and returns the recommender that holds it."""
        ...


@runtime_checkable
class FitsHistories(Protocol):
    """A recommender that learns from the histories of the train split, and reads each request's own history.

    It gets the train histories when it is made: what the shoppers bought before, never the items that a request asks
    for (gains are never passed). When it ranks, the request's history is what it is told to exclude: a task with
    `exclude_history` passes it.

    Attributes:
        uses_histories: whether it does so with its settings; a hybrid does if one of its parts does.
    """

    @property
    def uses_histories(self) -> bool: ...  # noqa: D102

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> Recommender:
        """Learns from `histories`, item positions oldest first, and returns the recommender that ranks `catalog`."""
        ...


@runtime_checkable
class RanksItems(Protocol):
    """A recommender that finds the ranks of given items without building a list."""

    def rank_of(
        self, queries: Sequence[str], items: Ragged, k: int, exclude: Sequence[np.ndarray] | None = None
    ) -> Ragged:
        """Ranks (from 0, int32) that `rank` with the same `k` would give to `items`; -1 where an item is not ranked."""
        ...


@runtime_checkable
class SaysWhatItSearched(Protocol):
    """A recommender that can say which words of a query it used."""

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the engine used, as it used them, separated by spaces."""
        ...
