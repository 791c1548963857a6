"""Seeded draws that are the same on every machine and under every NumPy version.

NumPy promises a stable stream for `BitGenerator.random_raw` only, so nothing else is used; whole numbers are made from
its top 32 bits by integer arithmetic.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """One stream of draws, named so that streams of one seed are independent of each other.

    Args:
        seed: the seed, >= 0.
        name: what the stream decides; another name is another stream.
    """

    def __init__(self, seed: int, name: str) -> None:
        if seed < 0:
            raise ValueError(f"seed must be >= 0, not {seed}")
        self._bits = np.random.PCG64([seed, zlib.crc32(name.encode())])

    def below(self, limit: int) -> int:
        """A whole number from 0 up to, not including, `limit`."""
        return ((self._bits.random_raw() >> 32) * limit) >> 32

    def chance(self, percent: int) -> bool:
        """True in `percent` of a hundred draws."""
        return self.below(100) < percent

    def choice(self, values: Sequence[T]) -> T:
        """One of the values, each as likely."""
        return values[self.below(len(values))]

    def weighted(self, weights: Sequence[int]) -> int:
        """A position, each as likely as its whole-number weight says."""
        left = self.below(sum(weights))
        for position, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return position
        raise AssertionError("the weights must be positive")

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """`count` different values in random order."""
        pool = list(values)
        for place in range(count):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:count]

    def raw(self, count: int) -> np.ndarray:
        """`count` whole numbers below 2^32, uint64."""
        return np.asarray(self._bits.random_raw(count), np.uint64) >> np.uint64(32)

    def array(self, limits: int | np.ndarray, count: int) -> np.ndarray:
        """`count` whole numbers, int64, each from 0 up to its limit."""
        return ((self.raw(count) * np.asarray(limits, np.uint64)) >> np.uint64(32)).astype(np.int64)
