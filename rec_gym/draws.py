"""Random draws as functions of a key: the same on every machine, in every process, and under every version of NumPy.

A key is one or more values; their texts, joined by NUL characters, are hashed with SHA-256. `shares` draws for many
numbers under one key: it hashes the key once, and mixes each number into it with the finaliser of SplitMix64.
"""

from __future__ import annotations

import hashlib

import numpy as np

_SHARE_BYTES = 6  # 48 bits fit a float64 exactly
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def share(*key: object) -> float:
    """A draw from [0, 1), in steps of 2**-48: for splits by hash."""
    return int.from_bytes(_digest(key)[:_SHARE_BYTES], "big") / 2 ** (8 * _SHARE_BYTES)


def generator(*key: object) -> np.random.PCG64:
    """A generator of raw 64-bit draws (`random_raw`), which NumPy keeps the same in every version."""
    return np.random.PCG64(np.random.SeedSequence(int.from_bytes(_digest(key), "big")))


def seeded_order(size: int, *key: object) -> np.ndarray:
    """The numbers 0 to size - 1 in an order that depends on the key, int64 [size]."""
    return np.argsort(generator(*key).random_raw(size), kind="stable")


def hashed(*key: object) -> int:
    """The key as a whole number of 64 bits, for `shares`."""
    return int.from_bytes(_digest(key)[:8], "big")


def shares(keys: int | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Draws from [0, 1), in steps of 2**-53, each a function of a key and a number.

    Args:
        keys: from `hashed`, one or uint64; keys and numbers are broadcast.
        numbers: whole numbers >= 0, such as item positions.

    Returns:
        float64, in the common shape.
    """
    with np.errstate(over="ignore"):  # modulo 2**64
        mixed = np.asarray(keys, np.uint64) + (np.asarray(numbers).astype(np.uint64) + np.uint64(1)) * _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
