"""Comparisons: policies on the same requests (paired), and splits with each other (unpaired, stratified)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rec_gym.columns import first_few
from rec_gym.evaluation.evaluate import REWARD, Evaluation
from rec_gym.evaluation.intervals import mean_intervals, weighted_interval
from rec_gym.evaluation.resampling import RESAMPLES, holm, sign_flip_p, units_of
from rec_gym.tables import unknown

TOO_FEW = "[too few]"  # shown instead of an interval


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval; the bounds are NaN if there are too few requests or users for one.

    Attributes:
        mean: over requests.
        low: lower bound.
        high: upper bound.
        covered: for a mean over strata, the share of the weights whose stratum has requests; otherwise 1.
        no_interval: why there is no interval; empty if there is one.
    """

    mean: float
    low: float
    high: float
    covered: float = 1.0
    no_interval: str = ""

    @property
    def bounds(self) -> str:
        """The bounds with three decimals in brackets, or `[too few]`."""
        return TOO_FEW if math.isnan(self.low) else f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Difference:
    """A paired difference to the first policy.

    Attributes:
        mean: over requests.
        low: lower bound of its 95% interval; NaN if too few requests or users differ.
        high: upper bound.
        p: of the sign-flip permutation test, two-sided.
        p_holm: the same, with Holm's correction over the policies.
        no_interval: why there is no interval; empty if there is one.
    """

    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    no_interval: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Policies on the same requests.

    Attributes:
        evaluations: one per policy; the others are compared to the first.
        measures: names of what is compared.
        means: by policy and measure.
        differences: by policy, except the first, and measure.
        unit: what was resampled, `"requests"` or `"users"`.
        units: how many of them there are.
        seed: of the resampling.
        resamples: how many were drawn.
    """

    evaluations: tuple[Evaluation, ...]
    measures: tuple[str, ...]
    means: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Difference]]
    unit: str
    units: int
    seed: int
    resamples: int


def compare(
    evaluations: Sequence[Evaluation],
    measures: Sequence[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Means with intervals, and paired differences to the first policy with p values.

    Everything is resampled over requests, or over users if a user has several. Each measure is its own family for Holm's
    correction, which corrects for the number of policies.

    Args:
        evaluations: of the same task, split and requests; names differ.
        measures: what to compare; by default every measure of the first evaluation, and the reward unless it is one of
            them.
        seed: of the resampling.
        resamples: bootstrap resamples of the intervals, and sign patterns.

    Raises:
        ValueError: there is nothing to compare, or the evaluations are of different requests.
    """
    _check_same_requests(evaluations)
    names = tuple(measures) if measures is not None else _default_measures(evaluations)
    values = np.stack([[e.values(name) for name in names] for e in evaluations])  # policies, measures, requests
    series = np.concatenate([values, values[1:] - values[0]])
    units = units_of(series.reshape(-1, series.shape[2]).T, evaluations[0].users)
    shape = series.shape[:2]
    mean = units.means.reshape(shape)
    intervals = mean_intervals(units, seed=seed, resamples=resamples)
    low, high, reasons = (np.reshape(part, shape) for part in intervals)
    paired = units._replace(sums=units.sums[:, len(evaluations) * len(names) :])
    p = sign_flip_p(paired, seed=seed, resamples=resamples).reshape(-1, len(names))
    p_holm = np.stack([holm(column) for column in p.T], axis=1)
    means, differences = {}, {}
    for i, e in enumerate(evaluations):
        means[e.name] = {
            name: Interval(float(mean[i, j]), float(low[i, j]), float(high[i, j]), no_interval=str(reasons[i, j]))
            for j, name in enumerate(names)
        }
    for i, e in enumerate(evaluations[1:]):
        row = len(evaluations) + i
        differences[e.name] = {
            name: Difference(
                float(mean[row, j]),
                float(low[row, j]),
                float(high[row, j]),
                p=float(p[i, j]),
                p_holm=float(p_holm[i, j]),
                no_interval=str(reasons[row, j]),
            )
            for j, name in enumerate(names)
        }
    return Comparison(tuple(evaluations), names, means, differences, units.kind, len(units.counts), seed, resamples)


def stratum_weights(evaluation: Evaluation, column: str = "asked") -> dict[float, float]:
    """The share of the requests in each stratum: the weights of a reference split, for use with others.

    Args:
        evaluation: on the reference split.
        column: a numeric column of the dataset.

    Raises:
        ValueError: unknown column.
    """
    values, counts = np.unique(_stratum(evaluation, column), return_counts=True)
    return dict(zip(values.tolist(), (counts / counts.sum()).tolist(), strict=True))


def stratified_mean(
    evaluation: Evaluation,
    weights: Mapping[float, float],
    measure: str,
    *,
    column: str = "asked",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean of a measure as if the split had the strata of another one.

    Splits have different requests, so their comparison is unpaired, and a split with easier requests would look better
    than it is; the same weights for every split (`stratum_weights` of the reference) prevent that.

    Args:
        evaluation: on the split in question.
        weights: share of each stratum in the reference split. A stratum without a request in this split is left out,
            and `covered` of the result says how much weight remains.
        measure: a measure's name, or `reward`.
        column: the numeric column that defines the strata.
        seed: of the resampling, within strata.
        resamples: bootstrap resamples.

    Raises:
        ValueError: unknown column, no shared stratum, or a user has several requests (they are not independent, which
            this interval would ignore).
    """
    samples, shares, covered = _strata(evaluation, weights, measure, column)
    mean = sum(share * float(values.mean()) for values, share in zip(samples, shares, strict=True))
    low, high, reason = weighted_interval(samples, shares, seed=seed, resamples=resamples)
    return Interval(mean, low, high, covered, reason)


def stratified_difference(
    evaluation: Evaluation,
    reference: Evaluation,
    measure: str,
    *,
    column: str = "asked",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """How far a split is above a reference split, stratum by stratum, with the reference's weights; unpaired.

    Strata that only one of the two has are left out on both sides. Arguments and errors are those of `stratified_mean`.
    """
    here = set(stratum_weights(evaluation, column))
    weights = {stratum: share for stratum, share in stratum_weights(reference, column).items() if stratum in here}
    covered = sum(weights.values())
    samples, shares, _ = _strata(evaluation, weights, measure, column)
    others, _, _ = _strata(reference, weights, measure, column)
    signed = [*shares, *(-share for share in shares)]
    both = [*samples, *others]
    mean = sum(weight * float(values.mean()) for values, weight in zip(both, signed, strict=True))
    low, high, reason = weighted_interval(both, signed, seed=seed, resamples=resamples)
    return Interval(mean, low, high, covered, reason)


def _strata(
    evaluation: Evaluation, weights: Mapping[float, float], measure: str, column: str
) -> tuple[list[np.ndarray], list[float], float]:
    """The values in each shared stratum, the strata's weights (which sum to 1), and the share that they cover."""
    known = evaluation.users[evaluation.users != ""]
    if len(set(known.tolist())) < len(known):
        raise ValueError(
            "users of this split have several requests, which are not independent; strata need independent requests"
        )
    values, strata = evaluation.values(measure), _stratum(evaluation, column)
    shared = [(values[strata == stratum], share) for stratum, share in sorted(weights.items()) if share > 0]
    shared = [(sample, share) for sample, share in shared if len(sample)]
    covered = sum(share for _, share in shared) / sum(weights.values()) if shared else 0.0
    if not shared:
        raise ValueError(f"split {evaluation.split!r} shares no value of {column!r} with the weights")
    total = sum(share for _, share in shared)
    return [sample for sample, _ in shared], [share / total for _, share in shared], covered


def _stratum(evaluation: Evaluation, column: str) -> np.ndarray:
    if column not in evaluation.strata:
        raise ValueError(unknown("numeric column", column, evaluation.strata))
    return evaluation.strata[column]


def _default_measures(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """All measures; the reward too, unless it equals one of them for every policy."""
    names = tuple(evaluations[0].measures)
    same = [name for name in names if all(np.array_equal(e.values(name), e.rewards) for e in evaluations)]
    return names if same else (*names, REWARD)


def _check_same_requests(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations:
        raise ValueError("no evaluation to compare")
    first = evaluations[0]
    names = [e.name for e in evaluations]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(f"policies need different names; repeated: {first_few(twice)}")
    for e in evaluations[1:]:
        if e.task_id != first.task_id or e.split != first.split or e.request_ids != first.request_ids:
            raise ValueError(
                f"{e.name!r} and {first.name!r} were not evaluated on the same requests: {e.task_id} {e.split} "
                f"({len(e)}) and {first.task_id} {first.split} ({len(first)}); compare splits with stratified_mean"
            )
