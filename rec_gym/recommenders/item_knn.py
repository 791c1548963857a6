"""The `item-knn` recommender: what shoppers with the same items also bought."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, FilterTable
from rec_gym.fusion import best_first
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import check_fitted, fitted_copy
from rec_gym.recommenders.checks import check_excluded, check_queries, filter_ranges

_CELLS_AT_ONCE = 1 << 24  # scores of requests by items that are held at a time


class ItemKNN:
    """Items that occur in the same train histories as those of the request's own history. It ignores the query.

    The similarity of items i and j is `c_ij / (sqrt(c_i * c_j) + shrink)`: c_ij train histories hold both, c_i hold i
    (cosine, Deshpande and Karypis 2004; an item that appears twice in a history counts once). An item's score is the sum of its
    similarities to the items of the request's history; each item has at most `neighbours` neighbours.

    The request's history is what `rank` is told to exclude: a task with `exclude_history` (the default) passes it, and
    gains are never passed. Without excluded items nothing is known about the shopper, and nothing is ranked.

    Args:
        neighbours: most similar items kept for each item, ties by lower item position.
        shrink: >= 0; reduces similarities that few histories support.
        decay: from 0 (exclusive) to 1: the weight of an item of the request's history is `decay` to the power of its
            distance from the last one.

    Raises:
        ValueError: an argument is out of its range.
    """

    query_language = "any"
    uses_histories = True
    filters_items = True
    fitted_to: str | None = None

    def __init__(self, neighbours: int = 200, shrink: float = 0.0, decay: float = 1.0) -> None:
        if neighbours < 1 or shrink < 0 or not 0 < decay <= 1:
            raise ValueError(
                f"neighbours must be >= 1, shrink >= 0 and 0 < decay <= 1; got {neighbours}, {shrink} and {decay}"
            )
        self.neighbours, self.shrink, self.decay = neighbours, shrink, decay
        self._similar: sparse.csr_matrix | None = None
        self._columns: FilterTable | None = None

    def __repr__(self) -> str:
        return f"ItemKNN(neighbours={self.neighbours}, shrink={self.shrink}, decay={self.decay})"

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> ItemKNN:
        """Counts which items occur in the same histories.

        Args:
            catalog: the items.
            histories: item positions of each train history; never the items that a request asks for.

        Raises:
            ValueError: the histories are empty, so there is nothing to learn from.
        """
        if histories.values.size == 0:
            raise ValueError(
                "item-knn learns from purchase histories, and this data set has none in train; "
                "choose another recommender, or a data set of histories"
            )
        similar = self._similarities(histories, len(catalog))
        return fitted_copy(self, catalog, _similar=similar, _columns=FilterTable.of(catalog))

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks what goes with the excluded items, which are the request's history, oldest first.

        Args:
            queries: n texts; they are ignored.
            k: places in each ranking, >= 1.
            exclude: for each query the item positions of the history; they are not ranked.
            filters: for each query the conditions that a ranked item must meet, or None; a history is read whole.

        Returns:
            Rankings [n, min(k, items)]: items without any similarity are not ranked.

        Raises:
            NotFittedError: it is not fitted.
            ValueError: an argument does not fit the queries or the catalogue; see `FiltersItems.rank`.
        """
        check_fitted(self)
        assert self._similar is not None
        check_queries(queries, k)
        passing = filter_ranges(self._columns, filters, len(queries))
        size = self._similar.shape[0]
        histories = check_excluded(exclude, len(queries), size) or [np.empty(0, np.int64)] * len(queries)
        items = np.full((len(queries), min(k, size)), NOT_RANKED, np.int32)
        scores = np.zeros(items.shape, np.float32)
        step = max(1, _CELLS_AT_ONCE // size)
        for start in range(0, len(queries), step):
            rows = histories[start : start + step]
            summed = (self._bought(rows, size) @ self._similar).toarray().astype(np.float32)
            for row, bought in enumerate(rows):
                summed[row, bought] = 0
                if passing is not None:
                    summed[row, ~passing.passes(start + row)] = 0
            listed = np.where(summed > 0, np.arange(size), NOT_RANKED)
            best = best_first(listed, summed, items.shape[1])
            items[start : start + step], scores[start : start + step] = best.items, best.scores
        return Rankings(items, scores)

    def _bought(self, histories: Sequence[np.ndarray], size: int) -> sparse.csr_matrix:
        """Weights of the items of each history, float64 [n, items]; of a repeated item the last occurrence counts."""
        rows, columns, weights = [], [], []
        for row, history in enumerate(histories):
            last_first = history[::-1]
            distinct, distance = np.unique(last_first, return_index=True)
            rows += [row] * len(distinct)
            columns.append(distinct)
            weights.append(self.decay ** distance.astype(np.float64))
        flat = np.concatenate([*columns, np.empty(0, np.int64)])
        values = np.concatenate([*weights, np.empty(0)])
        return sparse.csr_matrix((values, (np.array(rows, np.int64), flat)), shape=(len(histories), size))

    def _similarities(self, histories: Ragged, size: int) -> sparse.csr_matrix:
        """The neighbours of every item and their similarities, float64 [items, items]."""
        keys = np.unique(histories.row_of * size + histories.values.astype(np.int64))
        ones = np.ones(len(keys), np.float64)
        held = sparse.csr_matrix((ones, (keys // size, keys % size)), shape=(len(histories), size))
        together = (held.T @ held).tocsr()
        together.setdiag(0)
        together.eliminate_zeros()
        counts = np.bincount(keys % size, minlength=size).astype(np.float64)
        rows = np.repeat(np.arange(size), np.diff(together.indptr))
        columns = together.indices.astype(np.int64)
        values = together.data / (np.sqrt(counts[rows] * counts[columns]) + self.shrink)
        order = np.lexsort((columns, -values, rows))
        place = np.arange(len(rows)) - together.indptr[rows]
        nearest = order[place < self.neighbours]
        return sparse.csr_matrix((values[nearest], (rows[nearest], columns[nearest])), shape=(size, size))
