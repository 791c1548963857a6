"""Random draws as functions of a key, the same in every process and version."""

from __future__ import annotations

import hashlib

import numpy as np


def seeded_order(size: int, *key: object) -> np.ndarray:
    """The numbers 0 to size - 1 in an order that depends on the key; the same on every machine."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
    draws = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big"))).random_raw(size)
    return np.argsort(draws, kind="stable")
