"""Fusion: one ranking from several, for a whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.tables import unknown

RRF_CONSTANT = 60
NORMALISATIONS = ("min-max", "z")

_SHIFT = 31  # item positions and places both fit 31 bits
_LEAST_SPREAD = 1e-9  # a divisor, for rankings whose scores are all the same


def reciprocal_rank_fusion(
    rankings: Sequence[Rankings],
    k: int,
    *,
    weights: Sequence[float] | None = None,
    constant: float = RRF_CONSTANT,
) -> Rankings:
    """Fuses rankings by their places: an item's score is the sum over the rankings of `weight / (constant + rank)`.

    Ranks count from 1; a ranking that does not list the item adds nothing. With equal weights this is the reciprocal
    rank fusion of Cormack, Clarke and Büttcher (SIGIR 2009).

    Args:
        rankings: one or more, each with the same n queries; depths may differ.
        k: places in the fused ranking, >= 1.
        weights: one number >= 0 per ranking; None for 1 each.
        constant: the larger, the less the first places count; a number above -1.

    Returns:
        Rankings [n, min(k, sum of the depths)]. Scores are summed in float64 and returned as float32; ties by lower item
        position.

    Raises:
        ValueError: an argument is out of its range, or the rankings differ in number of queries.
    """
    if not (math.isfinite(constant) and constant > -1):
        raise ValueError(f"constant must be a number above -1, not {constant!r}; 60 is usual")
    shares = []
    for ranking, weight in zip(rankings, check_weights(weights, len(rankings)), strict=True):
        by_place = weight / (constant + np.arange(1, ranking.depth + 1, dtype=np.float64))
        shares.append(np.broadcast_to(by_place, ranking.items.shape))
    return _fused(rankings, shares, k)


def convex_combination(
    rankings: Sequence[Rankings],
    k: int,
    *,
    weights: Sequence[float] | None = None,
    normalise: str = "min-max",
) -> Rankings:
    """Fuses rankings by their scores: an item's score is the weighted sum of its normalised scores.

    The scores of each ranking are normalised for each query over the items that it lists: `"min-max"` is
    `(score - min) / (max - min)`, `"z"` is `(score - mean) / standard deviation` (of the population). A ranking that
    does not list the item adds 0.

    Args:
        rankings: one or more, each with the same n queries; depths may differ.
        k: places in the fused ranking, >= 1.
        weights: one number >= 0 per ranking; None for equal ones. They need not sum to 1.
        normalise: `"min-max"` or `"z"`.

    Returns:
        Rankings [n, min(k, sum of the depths)]. Scores are summed in float64 and returned as float32; ties by lower item
        position.

    Raises:
        ValueError: an argument is out of its range, or the rankings differ in number of queries.
    """
    if normalise not in NORMALISATIONS:
        raise ValueError(unknown("normalise", normalise, NORMALISATIONS))
    if weights is None and len(rankings):
        weights = [1 / len(rankings)] * len(rankings)
    shares = []
    for ranking, weight in zip(rankings, check_weights(weights, len(rankings)), strict=True):
        shares.append(weight * _normalised(ranking, normalise))
    return _fused(rankings, shares, k)


def check_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """One weight for each of `count` rankings; 1 each if none are given.

    Raises:
        ValueError: the number of weights is wrong, one is negative or not finite, or all are 0.
    """
    if weights is None:
        return [1.0] * count
    values = [float(weight) for weight in weights]
    if len(values) != count:
        raise ValueError(f"{len(values)} weights were given for {count} rankings; give one per ranking")
    if any(not math.isfinite(value) or value < 0 for value in values) or not any(values):
        raise ValueError(f"weights must be finite numbers >= 0, not all of them 0; got {values}")
    return values


def _normalised(ranking: Rankings, normalise: str) -> np.ndarray:
    """Scores on a common scale, float64 [n, depth]; the values at padding are never read."""
    ranked = ranking.items != NOT_RANKED
    scores = ranking.scores.astype(np.float64)
    if normalise == "min-max":
        low = np.where(ranked, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
        high = np.where(ranked, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
        empty = ~np.isfinite(low)
        low, high = np.where(empty, 0, low), np.where(empty, 0, high)
        return (scores - low) / np.maximum(high - low, _LEAST_SPREAD)
    count = np.maximum(ranked.sum(axis=1, keepdims=True), 1)
    mean = np.where(ranked, scores, 0).sum(axis=1, keepdims=True) / count
    variance = np.where(ranked, (scores - mean) ** 2, 0).sum(axis=1, keepdims=True) / count
    return (scores - mean) / np.maximum(np.sqrt(variance), _LEAST_SPREAD)


def _fused(rankings: Sequence[Rankings], shares: Sequence[np.ndarray], k: int) -> Rankings:
    """Sums each item's shares, float64 [n, depth] per ranking, and keeps the k best of each query."""
    if k < 1:
        raise ValueError(f"k, the places in a ranking, must be at least 1, not {k}")
    if not rankings:
        raise ValueError("no ranking to fuse; give at least one")
    sizes = {len(ranking) for ranking in rankings}
    if len(sizes) > 1:
        raise ValueError(f"rankings to be fused must have the same queries; they have {sorted(sizes)} queries")
    items = np.concatenate([ranking.items for ranking in rankings], axis=1)
    items, scores = _summed(items, np.concatenate(shares, axis=1))
    best = best_first(items, scores.astype(np.float32), k)
    marked = [ranking.clipped for ranking in rankings if ranking.clipped is not None]
    return Rankings(best.items, best.scores, np.logical_or.reduce(marked) if marked else None)


def _summed(items: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each item once per row with the sum of its shares; its other places become padding."""
    # One sort per row brings the places of an item together, in the order of the rankings.
    places = np.arange(items.shape[1], dtype=np.int64)
    keys = np.sort((items.astype(np.int64) << _SHIFT) | places, axis=1)
    items = keys >> _SHIFT
    shares = np.take_along_axis(shares, keys & ((1 << _SHIFT) - 1), axis=1)
    starts = np.ones(items.shape, bool)
    starts[:, 1:] = items[:, 1:] != items[:, :-1]
    totals = np.bincount(np.cumsum(starts.ravel()) - 1, weights=shares.ravel())
    summed = np.zeros(items.shape, np.float64)
    summed[starts] = totals
    return np.where(starts, items, NOT_RANKED), summed


def best_first(items: np.ndarray, scores: np.ndarray, k: int) -> Rankings:
    """The k best of scored items as rankings; ties by lower item position.

    Args:
        items: item positions in any order, -1 where there is none, integers [n, m].
        scores: of the items, float32 [n, m]; not NaN at an item.
        k: places.

    Returns:
        Rankings [n, min(k, m)].
    """
    # A float32's bits, mapped so that they increase as the score decreases, above the item: one integer sort does it all.
    # Adding 0 makes -0.0 equal to 0.0.
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32).astype(np.int64)
    falling = np.where(bits < 0, bits & 0x7FFFFFFF, -bits)
    none = np.iinfo(np.int64).max
    keys = np.where(items == NOT_RANKED, none, (falling << 32) | items.astype(np.int64))
    k = min(k, keys.shape[1])
    if k < keys.shape[1]:
        keys = np.partition(keys, k - 1, axis=1)[:, :k] if k else keys[:, :0]
    keys = np.sort(keys, axis=1)
    ranked = keys != none
    falling = keys >> 32
    bits = np.where(falling > 0, falling | -(1 << 31), -falling)
    best = np.where(ranked, bits, 0).astype(np.int32).view(np.float32)
    return Rankings(np.where(ranked, keys & 0xFFFFFFFF, NOT_RANKED).astype(np.int32), best)


def taking_turns(rankings: Sequence[Rankings], k: int) -> Rankings:
    """Merges rankings: the first items of all in the given order, then the second ones, and so on.

    An item that several list keeps its first place; the score of place r (from 1) is 1 / r.

    Args:
        rankings: each [n, any depth]; the rankings of one query are in the same row.
        k: at most this many places.
    """
    depth = max(ranking.depth for ranking in rankings)
    turns = np.full((len(rankings[0]), depth, len(rankings)), NOT_RANKED, np.int32)
    for place, ranking in enumerate(rankings):
        turns[:, : ranking.depth, place] = ranking.items
    k = min(k, depth * len(rankings))
    items = np.full((len(turns), k), NOT_RANKED, np.int32)
    for row, dealt in enumerate(turns.reshape(len(turns), -1)):
        distinct = list(dict.fromkeys(dealt[dealt != NOT_RANKED].tolist()))[:k]
        items[row, : len(distinct)] = distinct
    return by_place(items)


def by_place(items: np.ndarray) -> Rankings:
    """Rankings whose scores are 1 over the place; padding is int32 -1 at the end of a row."""
    scores = np.where(items != NOT_RANKED, 1.0 / np.arange(1, items.shape[1] + 1), 0.0)
    return Rankings(items, scores.astype(np.float32))
