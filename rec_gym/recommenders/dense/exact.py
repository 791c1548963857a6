"""Exact search: every item's cosine, in single precision first, and in double precision where that is not decisive.

A score is the float32 nearest to the float64 dot product of two stored vectors. It is a function of the two vectors
only, whatever else is in the batch: a matrix product in float32, whose last digits depend on the batch, finds the few
items that can matter, and only those are recomputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.filters import FilterRanges
from rec_gym.fusion import best_first
from rec_gym.ranking import NOT_RANKED, Rankings

_SCORES_AT_ONCE = 1 << 25  # float32 scores of queries by items held at a time: 128 MiB
_ITEMS_AT_ONCE = 1 << 10  # items recomputed at a time: 4 MiB, which fits into the processor's cache
_FEW = 8  # wanted items of a query; from here on, one sort is faster than counting for each
_SPARSE = 16  # for a query with at most 1 in 16 components, items that share none of them are not summed


class ExactSearch:
    """Ranks items by cosine, leaving nothing out.

    Args:
        vectors: unit vectors of the items, float32 [items, d].
    """

    exact = True

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        # |float32 sum - exact sum| <= gamma_d * |q| * |v| for any order of summing (Higham 2002, section 3.1), with
        # gamma_d = d * u / (1 - d * u), u = 2**-24; the rest is for rounding the lengths and the score itself.
        self.margin = 1.1 * (vectors.shape[1] + 8) * 2.0**-24

    def rank(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Sequence[np.ndarray] | None,
        passing: FilterRanges | None = None,
    ) -> Rankings:
        """The k items with the highest scores for each query; see `Recommender.rank`.

        Args:
            queries: unit vectors, float32 [n, d]; one of zeros ranks nothing.
            k: places.
            exclude: for each query the item positions that must not be ranked.
            passing: which items pass the filter of each query; None if all do.
        """
        size = len(self.vectors)
        items = np.full((len(queries), min(k, size)), NOT_RANKED, np.int32)
        scores = np.zeros(items.shape, np.float32)
        for row, near in self._near_scores(queries, exclude):
            # Of a filter's items only, since many equal scores of others would slow the selection down.
            positions = None if passing is None else np.flatnonzero(passing.passes(row))
            near = near if positions is None else near[positions]
            place = len(near) - items.shape[1]
            least = np.partition(near, place)[place] if place > 0 else -np.inf
            possible = np.flatnonzero((near >= least - 2 * self.margin) & (near > -np.inf))
            possible = possible if positions is None else positions[possible]
            exact = exact_scores(self.vectors, possible, queries[row])
            best = best_first(possible[np.newaxis], exact[np.newaxis], items.shape[1])
            items[row, : best.depth], scores[row, : best.depth] = best.items[0], best.scores[0]
        return Rankings(items, scores)

    def ranks(
        self,
        queries: np.ndarray,
        wanted: Ragged,
        k: int,
        exclude: Sequence[np.ndarray] | None,
        passing: FilterRanges | None = None,
    ) -> Ragged:
        """Ranks (from 0, int32) of the wanted items, by counting the items before them; -1 from place k on.

        Args:
            queries: unit vectors, float32 [n, d].
            wanted: for each query item positions.
            k: places.
            exclude: for each query the item positions that must not be ranked; wanted ones among them get -1.
            passing: which items pass the filter of each query; wanted ones that do not get -1. None if all do.
        """
        ranks = np.full(len(wanted.values), NOT_RANKED, np.int32)
        for row, near in self._near_scores(queries, exclude):
            near = near if passing is None else np.where(passing.passes(row), near, np.float32(-np.inf))
            begin, end = wanted.offsets[row], wanted.offsets[row + 1]
            ranks[begin:end] = self._ranks(near, queries[row], wanted.values[begin:end], k)
        return wanted.with_values(ranks)

    def _ranks(self, near: np.ndarray, query: np.ndarray, positions: np.ndarray, k: int) -> np.ndarray:
        """Ranks of the items at `positions` for one query, int32."""
        scores = exact_scores(self.vectors, positions, query)
        low, high = scores - np.float32(self.margin), scores + np.float32(self.margin)
        above, near_or_above = _counts(near, low, high)
        ranks = np.where((above < k) & (near[positions] > -np.inf), above, NOT_RANKED).astype(np.int32)
        # If only the item itself is within the margin of its score, the count is the rank.
        open_places = np.flatnonzero((ranks != NOT_RANKED) & (near_or_above - above > 1))
        if len(open_places):
            exact_ranks = self._ranks_among_unsure(
                near, query, positions[open_places], low[open_places], high[open_places]
            )
            exact_ranks += above[open_places]
            ranks[open_places] = np.where(exact_ranks < k, exact_ranks, NOT_RANKED)
        return ranks

    def _ranks_among_unsure(
        self, near: np.ndarray, query: np.ndarray, positions: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """For each of `positions`, how many items within the margin of its score rank before it, int64.

        Every item within any of the margins is scored exactly, once for all of `positions`: the cost is at most that
        of one pass over the catalogue, however many items are tied.
        """
        unsure = np.flatnonzero(_within_any(near, low, high))
        exact = exact_scores(self.vectors, unsure, query)
        place = np.empty(len(unsure), np.int64)
        place[np.lexsort((unsure, -exact))] = np.arange(len(unsure))
        # Of those that rank before an item, the ones above its own margin are already counted.
        ordered = np.sort(near[unsure])
        counted = len(unsure) - np.searchsorted(ordered, high, "right")
        return place[np.searchsorted(unsure, positions)] - counted

    def _near_scores(
        self, queries: np.ndarray, exclude: Sequence[np.ndarray] | None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Row and float32 scores of all items, -inf for excluded ones, of each query that is not zero."""
        step = max(1, _SCORES_AT_ONCE // len(self.vectors))
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            for row, near in enumerate(block @ self.vectors.T, start):
                if exclude is not None:
                    near[exclude[row]] = -np.inf
                if queries[row].any():
                    yield row, near


def _counts(near: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the scores are above each of `high`, and how many at or above each of `low`, int64."""
    if len(low) < _FEW:
        above = [np.count_nonzero(near > value) for value in high]
        return np.array(above, np.int64), np.array([np.count_nonzero(near >= value) for value in low], np.int64)
    ordered = np.sort(near)
    return len(near) - np.searchsorted(ordered, high, "right"), len(near) - np.searchsorted(ordered, low, "left")


def _within_any(near: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which of the scores are in any of the intervals [low, high], which are all equally wide, bool."""
    low, high = np.sort(low), np.sort(high)
    if len(low) < _FEW:
        return np.logical_or.reduce([(near >= start) & (near <= end) for start, end in zip(low, high, strict=True)])
    # Of the intervals that begin at or below a score, one contains it unless all of them have ended.
    return np.searchsorted(low, near, "right") > np.searchsorted(high, near, "left")


def exact_scores(vectors: np.ndarray, positions: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Scores of the items at `positions`, float32: each sum is taken in float64 and in the same order.

    The encoder `hashing` gives a query of a few words a few components, and most items have none of these. Their score
    is 0 without a sum, so a rare word does not cost a pass over the whole catalogue.
    """
    used = np.flatnonzero(query)
    if len(used) * _SPARSE > len(query) or len(positions) < _FEW:
        return _summed(vectors, positions, query)
    scores = np.zeros(len(positions), np.float32)
    touched = np.zeros(len(positions), bool)
    for component in used.tolist():
        touched |= vectors[positions, component] != 0
    scores[touched] = _summed(vectors, positions[touched], query)
    return scores


def _summed(vectors: np.ndarray, positions: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Scores of the items at `positions`, all components summed, float32."""
    query = query.astype(np.float64)
    scores = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), _ITEMS_AT_ONCE):
        chosen = vectors[positions[start : start + _ITEMS_AT_ONCE]].astype(np.float64)
        # Not a matrix product: einsum sums along each row in the same way, however many rows there are.
        scores[start : start + _ITEMS_AT_ONCE] = np.einsum("nd,d->n", chosen, query)
    return scores
