"""Measures of the ranks of the relevant items: functions, or classes if there are parameters or preconditions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_gym.dataset import Dataset
from rec_gym.measures.base import LIST, Definition, Judged, RankMeasure, ratio

_LARGEST_GRADE = 1000.0  # 2 ** grade stays far below the largest float


def _discounts(ranks: np.ndarray) -> np.ndarray:
    return 1.0 / np.log2(ranks + 2.0)


def ndcg(judged: Judged, cutoff: int | None) -> np.ndarray:
    """DCG over the ideal DCG; Järvelin and Kekäläinen 2002 with linear gains and log2(rank + 1), ranks from 1."""
    # Summed in the order of ranks, as the ideal is: a perfect ranking then scores exactly 1.
    rows, ranks, gains = judged.in_order(cutoff)
    dcg = np.bincount(rows, weights=gains * _discounts(ranks), minlength=len(judged.ranks))
    ideal = judged.ideal
    places = np.arange(len(ideal.values)) - np.repeat(ideal.offsets[:-1], ideal.lengths)
    counted = places < (len(ideal.values) if cutoff is None else cutoff)
    best = judged.total(np.where(counted, ideal.values * _discounts(places), 0.0), of=ideal)
    return np.minimum(ratio(dcg, best), 1.0)  # rounding must not lift a near-perfect ranking above 1


def recall(judged: Judged, cutoff: int | None) -> np.ndarray:
    """Relevant items within the cut-off over all relevant items."""
    return ratio(judged.total(judged.hits(cutoff)), judged.ranks.lengths)


def hit(judged: Judged, cutoff: int | None) -> np.ndarray:
    """1 if any relevant item is ranked within the cut-off; trec_eval calls it success."""
    return (judged.total(judged.hits(cutoff)) > 0).astype(np.float64)


def mrr(judged: Judged, cutoff: int | None) -> np.ndarray:
    """One over the rank (from 1) of the first relevant item."""
    reciprocal = np.where(judged.hits(cutoff), 1.0 / (np.maximum(judged.ranks.values, 0) + 1.0), 0.0)
    best = np.zeros(len(judged.ranks))
    np.maximum.at(best, judged.ranks.row_of, reciprocal)
    return best


def average_precision(judged: Judged, cutoff: int | None) -> np.ndarray:
    """Mean over all relevant items of the precision at their ranks; 0 for those that are not retrieved."""
    rows, ranks, _ = judged.in_order(cutoff)
    count = np.arange(len(rows)) - np.searchsorted(rows, rows) + 1.0  # relevant items up to and with each one
    summed = np.bincount(rows, weights=count / (ranks + 1.0), minlength=len(judged.ranks))
    return ratio(summed, judged.ranks.lengths)


def _places(judged: Judged, cutoff: int | None) -> np.ndarray | np.float64:
    """What precision divides by: the cut-off, or without one the length of each ranking."""
    if cutoff is not None:
        return np.float64(cutoff)
    if judged.lengths is None:
        raise ValueError("precision and f1 without a cut-off need the lengths of the rankings")
    return judged.lengths


class Precision(RankMeasure):
    """Relevant items within the cut-off over the cut-off, even if fewer items are ranked."""

    without_cutoff = LIST

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        return ratio(judged.total(judged.hits(cutoff)), _places(judged, cutoff))


class F1(RankMeasure):
    """The harmonic mean of precision and recall: 2 · hits / (places + relevant items)."""

    without_cutoff = LIST

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        hits = judged.total(judged.hits(cutoff))
        return ratio(2.0 * hits, _places(judged, cutoff) + judged.ranks.lengths)


@dataclass(frozen=True)
class RBP(RankMeasure):
    """Rank-biased precision, Moffat and Zobel 2008: (1 - p) · Σ p^(rank - 1) over the relevant items, ranks from 1.

    Args:
        p: persistence, the chance that a reader continues to the next item; above 0 and below 1.
    """

    p: float

    def __post_init__(self) -> None:
        if not 0.0 < self.p < 1.0:
            raise ValueError(f"p of the measure rbp must be between 0 and 1, not {self.p}")

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        rows, ranks, _ = judged.in_order(cutoff)
        summed = np.bincount(rows, weights=self.p ** ranks.astype(np.float64), minlength=len(judged.ranks))
        return np.minimum((1.0 - self.p) * summed, 1.0)


@dataclass(frozen=True)
class ERR(RankMeasure):
    """Expected reciprocal rank, Chapelle et al. 2009: Σ R(r) / r · Π over earlier places of (1 - R).

    The chance that an item of gain g satisfies is R = (2^g - 1) / 2^max_grade.

    Args:
        max_grade: the greatest grade of the judgements, such as 4; above 0. Greater gains are an error.
    """

    max_grade: float

    def __post_init__(self) -> None:
        if not 0.0 < self.max_grade <= _LARGEST_GRADE:
            raise ValueError(f"max_grade of the measure err must be in (0, {_LARGEST_GRADE:g}], not {self.max_grade}")

    def check(self, dataset: Dataset) -> None:
        """Refuses a dataset with gains above the maximum grade."""
        self._check_gains(dataset.relevant_gains.values)

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        self._check_gains(judged.gains.values)
        rows, ranks, gains = judged.in_order(cutoff)
        satisfied = (2.0**gains - 1.0) / 2.0**self.max_grade
        reached = np.ones(len(rows))  # the chance that no earlier item satisfied
        bounds = np.searchsorted(rows, np.arange(len(judged.ranks) + 1))
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if end - start > 1:
                np.cumprod(1.0 - satisfied[start : end - 1], out=reached[start + 1 : end])
        summed = np.bincount(rows, weights=reached * satisfied / (ranks + 1.0), minlength=len(judged.ranks))
        return np.minimum(summed, 1.0)

    def _check_gains(self, gains: np.ndarray) -> None:
        greatest = gains.max(initial=0.0)
        if greatest > self.max_grade:
            raise ValueError(
                f"err({self.max_grade:g}) takes gains up to {self.max_grade:g}, but one is {greatest:g}; state "
                f"the greatest grade, such as err({greatest:g})@10"
            )


RANK_MEASURES: dict[str, Definition] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": Precision,
    "mrr": mrr,
    "map": average_precision,
    "hit": hit,
    "success": hit,
    "f1": F1,
    "rbp": RBP,
    "err": ERR,
}
