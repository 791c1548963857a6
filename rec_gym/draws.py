"""Random draws as functions of a key: the same on every machine, in every process, and under every version of NumPy.

A key is one or more values; their texts, joined by NUL characters, are hashed with SHA-256.
"""

from __future__ import annotations

import hashlib

import numpy as np

_SHARE_BYTES = 6  # 48 bits fit a float64 exactly


def share(*key: object) -> float:
    """A draw from [0, 1), in steps of 2**-48: for splits by hash."""
    return int.from_bytes(_digest(key)[:_SHARE_BYTES], "big") / 2 ** (8 * _SHARE_BYTES)


def generator(*key: object) -> np.random.PCG64:
    """A generator of raw 64-bit draws (`random_raw`), which NumPy keeps the same in every version."""
    return np.random.PCG64(np.random.SeedSequence(int.from_bytes(_digest(key), "big")))


def seeded_order(size: int, *key: object) -> np.ndarray:
    """The numbers 0 to size - 1 in an order that depends on the key, int64 [size]."""
    return np.argsort(generator(*key).random_raw(size), kind="stable")


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
