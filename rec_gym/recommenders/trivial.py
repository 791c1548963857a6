"""Trivial baselines that ignore the query. A policy that does not beat them has learned nothing about the request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.draws import generator
from rec_gym.filters import Filter, FilterRanges, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import check_fitted, fitted_copy
from rec_gym.recommenders.checks import filter_ranges

POPULARITY_COLUMN = "popularity"


class RandomRecommender:
    """Ranks the catalogue in a random order that depends on the query and a seed.

    Args:
        seed: of the order.
    """

    query_language = "any"
    filters_items = True
    fitted_to: str | None = None

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._size = 0
        self._columns: FilterTable | None = None

    def fit(self, catalog: Catalog) -> RandomRecommender:
        """Takes the number of items."""
        return fitted_copy(self, catalog, _size=len(catalog), _columns=FilterTable.of(catalog))

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`."""
        check_fitted(self)
        passing = filter_ranges(self._columns, filters, len(queries))
        keys = [self._keys(query) for query in queries]
        return _top(np.array(keys, np.float64).reshape(len(queries), self._size), k, exclude, passing)

    def _keys(self, query: str) -> np.ndarray:
        """A draw for every item."""
        draws = generator(self.seed, query).random_raw(self._size)
        return draws >> np.uint64(40)  # 24 bits stay exact in float32


class PopularityRecommender:
    """Ranks the most popular items first, whatever the query.

    Popularity is the catalogue's numeric column `popularity`, which a loader counts from the train split only.
    """

    query_language = "any"
    filters_items = True
    fitted_to: str | None = None

    def __init__(self) -> None:
        self._popularity = np.empty(0)
        self._columns: FilterTable | None = None

    def fit(self, catalog: Catalog) -> PopularityRecommender:
        """Reads the items' popularity.

        Raises:
            ValueError: the catalogue has no numeric column `popularity`.
        """
        if POPULARITY_COLUMN not in catalog.table.column_names or POPULARITY_COLUMN in catalog.text_columns:
            raise ValueError(
                f"popularity needs a numeric catalogue column {POPULARITY_COLUMN!r}, counted from the train split; "
                "this catalogue has none, choose another recommender"
            )
        popularity = catalog.values(POPULARITY_COLUMN).astype(np.float64)
        return fitted_copy(self, catalog, _popularity=popularity, _columns=FilterTable.of(catalog))

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`."""
        check_fitted(self)
        passing = filter_ranges(self._columns, filters, len(queries))
        return _top(np.broadcast_to(self._popularity, (len(queries), len(self._popularity))), k, exclude, passing)


def _top(scores: np.ndarray, k: int, exclude: Sequence[np.ndarray] | None, passing: FilterRanges | None) -> Rankings:
    """The k best of every item, ties by lower position; excluded items and those that do not pass are left out.

    Args:
        scores: float64 [queries, items].
        k: places.
        exclude: positions to leave out, for each query.
        passing: which items pass the filter of each query.
    """
    k = min(k, scores.shape[1])
    items = np.full((len(scores), k), NOT_RANKED, np.int32)
    best = np.zeros((len(scores), k), np.float32)
    for row, values in enumerate(scores):
        listed = np.ones(len(values), bool) if passing is None else passing.passes(row)
        if exclude is not None:
            listed[exclude[row]] = False
        candidates = np.flatnonzero(listed)
        order = candidates[np.argsort(-values[candidates], kind="stable")[:k]]
        items[row, : len(order)], best[row, : len(order)] = order, values[order]
    return Rankings(items, best)
