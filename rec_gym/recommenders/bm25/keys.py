"""Keys: how the kernels put items in order, and keep the best. Imported by `kernels` alone.

A key is `(MAX_SUM - sum) << 32 | item`: a lower key is a better item, and ties go to the lower position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

MAX_SUM = (1 << 31) - 1
NO_KEY = np.int64((1 << 63) - 1)

ITEM_MASK = np.int64((1 << 32) - 1)
SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}

_ITEM_BITS = np.int64(32)
_DEVIATIONS = 3.0  # by which fewer of the best items may lie in a part of the catalogue than their share


@njit(**SETTINGS)
def key_of(total, item):
    """The key of an item whose sum is `total`."""
    return ((np.int64(MAX_SUM) - np.int64(total)) << _ITEM_BITS) | np.int64(item)


@njit(**SETTINGS)
def sum_of(key):
    """The sum of a key's item."""
    return np.int64(MAX_SUM) - (key >> _ITEM_BITS)


@njit(**SETTINGS)
def keep_lowest(keys, filled, k):
    """Moves the k lowest of keys[:filled] to the front, and the highest of them to keys[k - 1].

    A quickselect over distinct keys whose partition has no branch that a processor could mispredict.
    """
    low, high = 0, filled
    while high - low > 2:
        first, middle, last = keys[low], keys[(low + high) >> 1], keys[high - 1]
        pivot = max(min(first, last), min(max(first, last), middle))
        place = low
        for i in range(low, high):
            key = keys[i]
            keys[i] = keys[place]
            keys[place] = key
            place += key <= pivot
        if k <= place:
            high = place
        else:
            low = place
    if high - low == 2 and keys[low] > keys[low + 1]:
        keys[low], keys[low + 1] = keys[low + 1], keys[low]


@njit(**SETTINGS)
def first_above(rising, key, count):
    """The index of the first of rising[:count] that is above `key`; `count` if there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if rising[middle] > key:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**SETTINGS)
def sort(keys):
    """Shell sort: these lists are short, and numba's own sort takes seconds to compile."""
    gap = len(keys) // 2
    while gap > 0:
        for i in range(gap, len(keys)):
            key, j = keys[i], i
            while j >= gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap //= 2


@njit(**SETTINGS)
def _count_above(keys, filled, wanted, above, standing, k):
    """Counts each gathered key at the first wanted key that it ranks above.

    Args:
        keys: keys that were gathered.
        filled: how many.
        wanted: keys of the wanted items, increasing (best first).
        above: above[j] counts items between wanted[j - 1] (inclusive) and wanted[j] (exclusive).
        standing: [how many wanted items may still be in the top k, items counted above the last of them]; changed.
        k: length of the list.
    """
    for i in range(filled):
        place = first_above(wanted, keys[i], standing[0])
        if place < standing[0]:
            above[place] += 1
            standing[1] += 1
            while standing[0] > 0 and standing[1] >= k:
                standing[0] -= 1
                standing[1] -= above[standing[0]]


@njit(**SETTINGS)
def settle(keys, filled, k, limit, wanted, above, standing):
    """Makes room among the gathered keys.

    Returns:
        How many keys remain, and the limit: an item at a higher position than all gathered ones matters only if its
        sum is higher.
    """
    if len(above) == 0:  # a list is wanted: keep the best k
        if filled < k:
            return filled, limit
        keep_lowest(keys, filled, k)
        return k, max(limit, sum_of(keys[k - 1]))
    _count_above(keys, filled, wanted, above, standing, k)
    if standing[0] == 0:
        return 0, np.int64(MAX_SUM)
    # An item with the same sum as the last wanted one may still rank above it, by a lower position.
    return 0, max(limit, sum_of(wanted[standing[0] - 1]) - 1)


@njit(**SETTINGS)
def likely_limit(keys, filled, k, share):
    """A sum that the k-th of all items that pass a filter probably reaches, from those in the first windows.

    If the best k are spread over the catalogue at random, its first windows hold `k * share` of them, give or take a few
    standard deviations. Where they are not, fewer than k keys come out, and the caller starts again without this guess.
    Later items of the same sum rank below those that are gathered, so the limit may be the sum itself.

    Returns:
        How many keys remain, the lowest ones, and the limit; all of them and 0 if there are too few for a guess.
    """
    mean = k * share
    enough = np.int64(mean + _DEVIATIONS * (_DEVIATIONS / 2 + np.sqrt(mean + _DEVIATIONS * _DEVIATIONS / 4))) + 1
    if enough >= filled:
        return filled, np.int64(0)
    keep_lowest(keys, filled, enough)
    return enough, sum_of(keys[enough - 1])
