"""What is resampled, sign-flip permutation tests, and Holm's correction; `intervals.py` has the intervals.

Requests of one user are not independent, so users are resampled if a user has several requests. Every series of a table is
resampled at once, with the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
_CELLS_AT_ONCE = 2_000_000  # resampled units in memory at a time


class Units(NamedTuple):
    """What is resampled: requests, or users with all of their requests.

    Attributes:
        sums: summed values of each unit, float64 [units, series].
        counts: requests of each unit, float64 [units].
        kind: `"requests"` or `"users"`.
    """

    sums: np.ndarray
    counts: np.ndarray
    kind: str

    @property
    def means(self) -> np.ndarray:
        """Mean over requests of each series, float64 [series]."""
        return self.sums.sum(axis=0) / self.counts.sum()


def units_of(values: np.ndarray, users: np.ndarray | Sequence[str] = ()) -> Units:
    """Groups the requests into units.

    Args:
        values: float64 [requests, series].
        users: the user of each request; empty text for a user without other requests. Empty: no users.
    """
    users = np.asarray(users, object)
    if len(users) == 0:
        return Units(values, np.ones(len(values)), "requests")
    if len(users) != len(values):
        raise ValueError(f"{len(users)} users were given for {len(values)} requests; name one per request")
    # A request without a user is its own unit.
    numbers: dict[object, int] = {}
    unit = np.array([numbers.setdefault(user or (place,), len(numbers)) for place, user in enumerate(users.tolist())])
    if len(numbers) == len(values):
        return Units(values, np.ones(len(values)), "requests")
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, unit, values)
    return Units(sums, np.bincount(unit, minlength=len(numbers)).astype(np.float64), "users")


def sign_flip_p(units: Units, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Two-sided p value of each series of paired differences, float64 [series].

    Under the null hypothesis a unit's difference has either sign with the same probability. All patterns of signs are
    enumerated if there are at most `resamples`; otherwise that many are sampled, and the observed one is counted among
    them, so that p is never 0 (Phipson and Smyth 2010).
    """
    # Units without any difference add to no sum; without them the test is exact more often.
    sums = units.sums[units.sums.any(axis=1)]
    size = len(sums)
    # Rounding must not turn a tie into a smaller value.
    observed = np.abs(sums.sum(axis=0)) - 1e-12 * np.abs(sums).sum(axis=0)
    exact = size < resamples.bit_length() and 2**size <= resamples
    total = 2**size if exact else resamples
    generator = np.random.default_rng(seed)
    reached = np.zeros(sums.shape[1])
    start = 0
    for rows in batches(size, total):
        if exact:
            bits = np.arange(start, start + rows)[:, None] >> np.arange(size) & 1
        else:
            bits = generator.integers(0, 2, (rows, size), dtype=np.int8)
        reached += (np.abs((2.0 * bits - 1.0) @ sums) >= observed).sum(axis=0)
        start += rows
    return reached / total if exact else (reached + 1) / (total + 1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P values adjusted for their number (Holm 1979), in the given order."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def batches(size: int, resamples: int) -> Iterator[int]:
    """How many resamples of `size` units to hold at a time, until there are `resamples` in all."""
    step = max(1, _CELLS_AT_ONCE // max(size, 1))
    for start in range(0, resamples, step):
        yield min(step, resamples - start)
