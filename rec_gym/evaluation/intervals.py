"""Intervals of means: Student's t and the bootstrap-t, whichever bound is wider; none if there are too few units.

A percentile bootstrap interval is too short if few units, or few values other than 0, determine the mean. Student's t
widens for few units, but ignores skewness; the bootstrap-t follows the skewness of the sample, and is misled if the sample
shows less of a tail than there is. Each bound is therefore the wider of the two. How often they contain the true mean is
simulated by `benchmarks/statistics.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from rec_gym.evaluation.resampling import RESAMPLES, Units, batches

CONFIDENCE = 0.95
LEAST_UNITS = 8  # requests or users below which no interval is reliable
LEAST_OTHERS = 6  # units that must differ from the most common value
_ROUNDED = 9  # decimals, so that equal values count as equal whatever their last bits
_NO_SPREAD = 1e-9  # a resample's standard error that is smaller, relative to the sample's, is rounding


class Intervals(NamedTuple):
    """An interval for each series.

    Attributes:
        low: lower bounds, float64 [series]; NaN if there is no interval.
        high: upper bounds, float64 [series].
        no_interval: why there is none; empty if there is one.
    """

    low: np.ndarray
    high: np.ndarray
    no_interval: list[str]


def mean_intervals(units: Units, *, seed: int = 0, resamples: int = RESAMPLES) -> Intervals:
    """95% intervals of each series' mean over requests, if there are enough units for one.

    Args:
        units: requests or users, see `units_of`.
        seed: of the resampling.
        resamples: of the bootstrap.
    """
    size = len(units.counts)
    if size < LEAST_UNITS:
        unknown = np.full(units.sums.shape[1], np.nan)
        return Intervals(unknown, unknown, [_few_units(size, units.kind)] * len(unknown))
    low, high = student_bounds(units, seed=seed, resamples=resamples)
    others = other_values(units.sums / units.counts[:, None])
    unknown = (others < LEAST_OTHERS) | ~np.isfinite(high - low)
    reasons = [
        _few_others(count, size, units.kind) if none else "" for count, none in zip(others, unknown, strict=True)
    ]
    return Intervals(np.where(unknown, np.nan, low), np.where(unknown, np.nan, high), reasons)


def student_bounds(units: Units, *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """The bounds, whether or not there are enough units.

    The mean is a ratio, summed values over requests. With the units' residuals e = sum - mean · count its squared
    standard error is G / (G - 1) · Σ e² / (Σ count)² (linearised, Cochran 1977, 6.4), which for single requests is s² / n.
    Student's t has G - 1 degrees of freedom; the bootstrap-t (Efron 1982; Davison and Hinkley 1997, 5.2.1) resamples
    units and studentises each resample by its own standard error.

    Args:
        units: two or more.
        seed: of the resampling.
        resamples: of the bootstrap.

    Returns:
        Lower and upper bounds, float64 [series]; infinite where resamples without any spread reach the quantile.
    """
    size = len(units.counts)
    counts = units.counts[:, None]
    mean = units.means
    rest = units.sums - mean * counts  # centred, so that no precision is lost to the mean
    grown = size / (size - 1)
    error = np.sqrt(grown * (rest**2).sum(axis=0)) / units.counts.sum()
    ratios = []
    for times in _times_drawn(size, seed, resamples):
        requests = times @ counts
        moved = times @ rest / requests
        squares = times @ rest**2 - 2 * moved * (times @ (rest * counts)) + moved**2 * (times @ counts**2)
        ratios.append(_studentised(moved, np.sqrt(grown * np.maximum(squares, 0)) / requests, error))
    below, above = _quantiles(np.concatenate(ratios))
    least = stats.t.ppf(0.5 + CONFIDENCE / 2, size - 1)
    return mean - np.maximum(above, least) * error, mean + np.maximum(-below, least) * error


def weighted_interval(
    samples: Sequence[np.ndarray], weights: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, str]:
    """95% interval of a weighted sum of the means of independent samples.

    As `mean_intervals`, resampled within the samples; the standard error is √Σ w² s² / n, and the degrees of freedom of
    Student's t are those of Welch (1947) and Satterthwaite (1946).

    Args:
        samples: float64 [requests] each.
        weights: of the samples; negative ones make a difference.
        seed: of the resampling.
        resamples: of the bootstrap.

    Returns:
        Lower and upper bound, and why there is no interval (then both are NaN) or an empty text.
    """
    reason = _too_few_in(samples)
    if reason:
        return np.nan, np.nan, reason
    sizes = np.array([len(values) for values in samples])
    shares = np.array([w**2 * values.var(ddof=1) / len(values) for values, w in zip(samples, weights, strict=True)])
    mean = sum(w * float(values.mean()) for values, w in zip(samples, weights, strict=True))
    error = np.sqrt(shares.sum())
    generator = np.random.default_rng(seed)
    ratios = []
    for rows in batches(int(sizes.sum()), resamples):
        moved, squares = np.zeros(rows), np.zeros(rows)
        for values, weight, size in zip(samples, weights, sizes, strict=True):
            drawn = (values - values.mean())[generator.integers(0, size, (rows, size))]
            moved += weight * drawn.mean(axis=1)
            squares += weight**2 * drawn.var(axis=1, ddof=1) / size
        ratios.append(_studentised(moved, np.sqrt(squares), error))
    below, above = _quantiles(np.concatenate(ratios))
    least = stats.t.ppf(0.5 + CONFIDENCE / 2, shares.sum() ** 2 / (shares**2 / (sizes - 1)).sum())
    low, high = mean - max(above, least) * error, mean + max(-below, least) * error
    if not np.isfinite(high - low):
        return np.nan, np.nan, "too few requests that differ within strata: some resamples have no spread"
    return float(low), float(high), ""


def other_values(values: np.ndarray) -> np.ndarray:
    """How many units differ from the most common value, int64 [series]; of values [units, series]."""
    rounded = np.round(values, _ROUNDED)
    return np.array([len(rounded) - np.unique(column, return_counts=True)[1].max() for column in rounded.T])


def _times_drawn(size: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each unit was drawn, float64 [resamples, units] in parts; a matrix product resamples every series."""
    generator = np.random.default_rng(seed)
    for rows in batches(size, resamples):
        cells = generator.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
        yield np.bincount(cells.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def _studentised(moved: np.ndarray, errors: np.ndarray, error: np.ndarray | float) -> np.ndarray:
    """Deviations over their own standard errors; infinite if a resample that deviates has no spread."""
    spread = errors > _NO_SPREAD * error
    infinite = np.where(np.abs(moved) > _NO_SPREAD * error, np.copysign(np.inf, moved), 0.0)
    return np.where(spread, moved / np.where(spread, errors, 1.0), infinite)


def _quantiles(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both quantiles of each series, order statistics that are symmetric; infinite values are allowed."""
    drawn = len(ratios)
    place = max(1, int((1 - CONFIDENCE) / 2 * (drawn + 1) + 1e-9))
    ordered = np.sort(ratios, axis=0)
    return ordered[place - 1], ordered[drawn - place]


def _few_units(size: int, kind: str) -> str:
    return f"too few {kind}: {size}, at least {LEAST_UNITS} are needed"


def _few_others(others: int, size: int, kind: str) -> str:
    return (
        f"too few {kind} that differ: {others} of {size:,} have a value other than the most common one, at least "
        f"{LEAST_OTHERS} are needed"
    )


def _too_few_in(samples: Sequence[np.ndarray]) -> str:
    """Why strata allow no interval; empty if they do."""
    size = sum(len(values) for values in samples)
    if size < LEAST_UNITS:
        return _few_units(size, "requests")
    single = sum(len(values) == 1 for values in samples)
    if single:
        return f"too few requests: {single} of {len(samples)} strata have only one, at least 2 are needed in each"
    others = sum(int(other_values(values[:, None])[0]) for values in samples)
    return _few_others(others, size, "requests") if others < LEAST_OTHERS else ""
