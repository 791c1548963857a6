"""The kernels: exhaustive term-at-a-time scoring in windows of 2**15 items.

Do not import this module directly: `compilation.load_kernels` imports it with the compiler's settings in place.

For every window, the impacts of each query term are added to one small array of sums, which stays in the processor's
nearest cache. Then the sums above a limit are collected as keys, and the limit rises as keys are found. Sums are
integers: they are the same in any order, so that results depend neither on the order of terms nor on threads.

A key is `(MAX_SUM - sum) << 32 | item`: a lower key is a better item, and ties go to the lower position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, from_dtype, int64, njit, types

from rec_gym.recommenders.bm25.index import DTYPES, WINDOW, WINDOW_BITS, Postings

MAX_SUM = (1 << 31) - 1
NO_KEY = np.int64((1 << 63) - 1)
NOT_RANKED = -1

_SPARSE = WINDOW >> 2  # a window with fewer postings is collected by walking its postings again
_BLOCK = 64  # sums that are compared with the limit at once
_LOOK_UP = 32  # postings that are added up in the time in which one item is looked up among a term's postings
_COUNT_AT_ONCE = 4096  # keys that are gathered before they are counted

_ITEM_BITS = np.int64(32)
_ITEM_MASK = np.int64((1 << 32) - 1)


def _read_only(dtype: Any, dimensions: int = 1) -> types.Array:
    return types.Array(dtype, dimensions, "C", readonly=True)


_int64s, _int32s, _uint8s = _read_only(types.int64), _read_only(types.int32), _read_only(types.uint8)
_postings_type = types.NamedTuple(
    [_read_only(from_dtype(np.dtype(dtype)), 2 if name == "kth_impact" else 1) for name, dtype in DTYPES.items()],
    Postings,
)
# postings, size, offsets, terms, weights, excluded offsets, excluded items
_query_types = (_postings_type, int64, _int64s, _int32s, _int32s, _int64s, _int32s)
# Without a folder the compiler would choose one itself, and load what others may have put there.
_KEEP = bool(vars(config)["CACHE_DIR"])
_settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@njit(**_settings)
def _key(total, item):
    return ((np.int64(MAX_SUM) - np.int64(total)) << _ITEM_BITS) | np.int64(item)


@njit(**_settings)
def _sum_of(key):
    return np.int64(MAX_SUM) - (key >> _ITEM_BITS)


@njit(**_settings)
def _keep_lowest(keys, filled, k):
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


@njit(**_settings)
def _first_above(rising, key, count):
    """The index of the first of rising[:count] that is above `key`; `count` if there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if rising[middle] > key:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**_settings)
def _sort(keys):
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


@njit(**_settings)
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
        place = _first_above(wanted, keys[i], standing[0])
        if place < standing[0]:
            above[place] += 1
            standing[1] += 1
            while standing[0] > 0 and standing[1] >= k:
                standing[0] -= 1
                standing[1] -= above[standing[0]]


@njit(**_settings)
def _settle(keys, filled, k, limit, wanted, above, standing):
    """Makes room among the gathered keys.

    Returns:
        How many keys remain, and the limit: an item at a higher position than all gathered ones matters only if its
        sum is higher.
    """
    if len(above) == 0:  # a list is wanted: keep the best k
        if filled < k:
            return filled, limit
        _keep_lowest(keys, filled, k)
        return k, max(limit, _sum_of(keys[k - 1]))
    _count_above(keys, filled, wanted, above, standing, k)
    if standing[0] == 0:
        return 0, np.int64(MAX_SUM)
    # An item with the same sum as the last wanted one may still rank above it, by a lower position.
    return 0, max(limit, _sum_of(wanted[standing[0] - 1]) - 1)


@njit(**_settings)
def _add(places, impacts, weight, sums):
    for i in range(len(places)):
        sums[places[i]] += weight * np.int32(impacts[i])


@njit(**_settings)
def _cursors(postings, terms):
    """Each term's next run, and where its postings of the last window begin and end; see `_add_window`."""
    run, begin, end = np.empty(len(terms), np.int64), np.empty(len(terms), np.int64), np.empty(len(terms), np.int64)
    for i in range(len(terms)):
        run[i], end[i] = postings.first_run[terms[i]], postings.first_posting[terms[i]]
    return run, begin, end


@njit(**_settings)
def _add_window(postings, window, terms, weights, run, begin, end, sums):
    """Adds the impacts of all terms in one window to `sums`; begin and end get the range of each term's postings."""
    touched = 0
    for i in range(len(terms)):
        begin[i] = end[i]
        r = run[i]
        if r < postings.first_run[terms[i] + 1] and postings.run_window[r] == window:
            run[i] = r + 1
            end[i] += np.int64(postings.run_length[r])
            touched += end[i] - begin[i]
            _add(postings.place[begin[i] : end[i]], postings.impact[begin[i] : end[i]], weights[i], sums)
    return touched


@njit(**_settings)
def _collect_sparse(postings, base, begin, end, sums, keys, filled, k, limit, wanted, above, standing):
    """Gathers sums above the limit by walking the window's postings again; each sum is taken once and set to zero."""
    bar = limit  # within the window items are unordered, so an equal sum may still win its tie
    for i in range(len(begin)):
        places = postings.place[begin[i] : end[i]]
        for p in range(len(places)):
            place = places[p]
            total = sums[place]
            sums[place] = 0
            if total > bar:
                keys[filled] = _key(total, base + np.int64(place))
                filled += 1
                if filled == len(keys):
                    filled, limit = _settle(keys, filled, k, limit, wanted, above, standing)
                    bar = max(bar, limit - 1)
    return filled, limit


@njit(**_settings)
def _collect_dense(base, sums, keys, filled, k, limit, wanted, above, standing):
    """Gathers sums above the limit by scanning them block by block, and sets them all to zero."""
    for start in range(0, WINDOW, _BLOCK):
        block = sums[start : start + _BLOCK]
        highest = np.int32(0)
        for i in range(_BLOCK):
            highest = max(highest, block[i])
        if highest > limit:
            for i in range(_BLOCK):
                if block[i] > limit:
                    keys[filled] = _key(block[i], base + start + i)
                    filled += 1
                    if filled == len(keys):
                        filled, limit = _settle(keys, filled, k, limit, wanted, above, standing)
        for i in range(_BLOCK):  # now, while the block is in cache
            block[i] = 0
    return filled, limit


@njit(**_settings)
def _scan(postings, size, terms, weights, excluded, k, limit, sums, keys, wanted, above, standing):
    """Scores all windows and gathers what is above the rising limit; returns how many keys there are at the end."""
    run, begin, end = _cursors(postings, terms)
    filled, passed = np.int64(0), 0
    for window in range((size + WINDOW - 1) >> WINDOW_BITS):
        if limit >= MAX_SUM:
            break
        touched = _add_window(postings, window, terms, weights, run, begin, end, sums)
        if touched == 0:
            continue
        base = window << WINDOW_BITS
        while passed < len(excluded) and excluded[passed] < base + WINDOW:
            if excluded[passed] >= base:
                sums[excluded[passed] - base] = 0
            passed += 1
        if touched < _SPARSE:
            filled, limit = _collect_sparse(
                postings, base, begin, end, sums, keys, filled, k, limit, wanted, above, standing
            )
        else:
            filled, limit = _collect_dense(base, sums, keys, filled, k, limit, wanted, above, standing)
        if len(above) > 0:
            filled, limit = _settle(keys, filled, k, limit, wanted, above, standing)
    return filled


@njit(**_settings)
def _first_limit(postings, terms, weights, level):
    """A sum that the k-th item reaches or exceeds, less 1: at least k items score the k-th impact of any one term."""
    best = np.int64(0)
    if level < postings.kth_impact.shape[1]:
        for i in range(len(terms)):
            best = max(best, np.int64(weights[i]) * np.int64(postings.kth_impact[terms[i], level]))
    return max(best - 1, 0)


@njit(types.void(*_query_types, _int64s, int64, types.Array(types.int64, 2, "C")), cache=_KEEP, **_settings)
def rank_keys(postings, size, offsets, terms, weights, excluded_offsets, excluded, levels, k, result):
    """The keys of the k best items of each query, unordered, padded with `NO_KEY`.

    Args:
        postings: the index.
        size: items in the catalogue.
        offsets: the terms of query i are terms[offsets[i]:offsets[i + 1]]; distinct within a query.
        terms: term ids.
        weights: how often each term stands in the query; at most 32,767 in all, so that sums stay below 2**31.
        excluded_offsets: the items that must not be ranked for query i, likewise.
        excluded: item positions, rising within a query.
        levels: for each query the column of the k-th impacts that bounds its list, or their number if none does.
        k: length of the lists, from 1 to `size`.
        result: is filled, [queries, k].
    """
    sums, keys = np.zeros(WINDOW, np.int32), np.empty(4 * k + 64, np.int64)
    no_keys, standing = np.empty(0, np.int64), np.zeros(2, np.int64)
    for i in range(len(offsets) - 1):
        own, own_weights = terms[offsets[i] : offsets[i + 1]], weights[offsets[i] : offsets[i + 1]]
        out = excluded[excluded_offsets[i] : excluded_offsets[i + 1]]
        limit = _first_limit(postings, own, own_weights, levels[i])
        filled = _scan(postings, size, own, own_weights, out, k, limit, sums, keys, no_keys, no_keys, standing)
        if filled > k:
            _keep_lowest(keys, filled, k)
            filled = k
        for j in range(k):
            result[i, j] = keys[j] if j < filled else NO_KEY


@njit(**_settings)
def _add_items(postings, terms, weights, items, totals):
    """Adds up the scores of the given items (increasing), by one walk over each term's runs."""
    for i in range(len(terms)):
        r, last = postings.first_run[terms[i]], postings.first_run[terms[i] + 1]
        begin = postings.first_posting[terms[i]]
        for j in range(len(items)):
            window, place = items[j] >> WINDOW_BITS, items[j] & (WINDOW - 1)
            while r < last and postings.run_window[r] < window:
                begin += np.int64(postings.run_length[r])
                r += 1
            if r == last:
                break
            if postings.run_window[r] == window:
                low, end = begin, begin + np.int64(postings.run_length[r])
                high = end
                while low < high:
                    middle = (low + high) >> 1
                    if postings.place[middle] < place:
                        low = middle + 1
                    else:
                        high = middle
                if low < end and postings.place[low] == place:
                    totals[j] += np.int64(weights[i]) * np.int64(postings.impact[low])


@njit(**_settings)
def _add_all(postings, terms, weights, items, sums, totals):
    """Adds up the scores of the given items (increasing) by adding up those of all items; `sums` is zero again after it."""
    run, begin, end = _cursors(postings, terms)
    start = 0
    while start < len(items):
        window = items[start] >> WINDOW_BITS
        for i in range(len(terms)):  # runs of windows in which no item is asked for are passed over
            last = postings.first_run[terms[i] + 1]
            while run[i] < last and postings.run_window[run[i]] < window:
                end[i] += np.int64(postings.run_length[run[i]])
                run[i] += 1
        _add_window(postings, window, terms, weights, run, begin, end, sums)
        while start < len(items) and items[start] >> WINDOW_BITS == window:
            totals[start] = sums[items[start] & (WINDOW - 1)]
            start += 1
        sums[:] = 0


@njit(**_settings)
def _are_many(postings, terms, items):
    """Whether looking up each item in each term's postings costs more than a walk over all postings."""
    walked = np.int64(0)
    for i in range(len(terms)):
        walked += postings.first_posting[terms[i] + 1] - postings.first_posting[terms[i]]
    return len(terms) * len(items) * _LOOK_UP > walked + WINDOW


@njit(**_settings)
def _drop_excluded(items, excluded, totals):
    """Sets the totals of excluded items to zero; both lists are sorted."""
    i = 0
    for j in range(len(items)):
        while i < len(excluded) and excluded[i] < items[j]:
            i += 1
        if i < len(excluded) and excluded[i] == items[j]:
            totals[j] = 0


@njit(
    types.void(*_query_types, _int64s, int64, _int64s, _int32s, types.Array(types.int32, 1, "C")),
    cache=_KEEP,
    **_settings,
)
def rank_items(
    postings, size, offsets, terms, weights, excluded_offsets, excluded, levels, k, item_offsets, items, ranks
):
    """The ranks of given items, without a list.

    The scores of the items come first; then the items above each are counted, window by window, until none of them can
    be in the top k any more. The items wanted by query i are items[item_offsets[i]:item_offsets[i + 1]],
    increasing within a query; a position may be repeated. `ranks` is filled with ranks from 0, or `NOT_RANKED`, one for
    each of `items`. The other arguments are those of `rank_keys`.
    """
    sums, keys = np.zeros(WINDOW, np.int32), np.empty(_COUNT_AT_ONCE, np.int64)
    standing = np.zeros(2, np.int64)
    for i in range(len(offsets) - 1):
        own, own_weights = terms[offsets[i] : offsets[i + 1]], weights[offsets[i] : offsets[i + 1]]
        out = excluded[excluded_offsets[i] : excluded_offsets[i + 1]]
        asked = items[item_offsets[i] : item_offsets[i + 1]]
        own_ranks = ranks[item_offsets[i] : item_offsets[i + 1]]
        totals = np.zeros(len(asked), np.int64)
        if _are_many(postings, own, asked):
            _add_all(postings, own, own_weights, asked, sums, totals)
        else:
            _add_items(postings, own, own_weights, asked, totals)
        _drop_excluded(asked, out, totals)
        limit = _first_limit(postings, own, own_weights, levels[i])
        wanted, running = np.empty(len(asked), np.int64), 0
        for j in range(len(asked)):
            if totals[j] > limit:
                wanted[running] = _key(totals[j], asked[j])
                running += 1
        wanted = wanted[:running]
        _sort(wanted)
        above = np.zeros(running + 1, np.int64)
        standing[0], standing[1] = running, 0
        if running > 0:
            limit = _sum_of(wanted[running - 1]) - 1  # see `_settle`
            _scan(postings, size, own, own_weights, out, k, limit, sums, keys, wanted, above, standing)
            for j in range(1, running):
                above[j] += above[j - 1]
        for j in range(len(asked)):
            place = _first_above(wanted, _key(totals[j], asked[j]) - 1, running)
            own_ranks[j] = above[place] if totals[j] > 0 and place < standing[0] else NOT_RANKED


@njit(**_settings)
def _is_below(first, first_begin, first_end, second, second_begin, second_end):
    """Whether one string of bytes sorts before another."""
    for i in range(min(first_end - first_begin, second_end - second_begin)):
        if first[first_begin + i] != second[second_begin + i]:
            return first[first_begin + i] < second[second_begin + i]
    return first_end - first_begin < second_end - second_begin


@njit(
    types.void(_uint8s, _int64s, _uint8s, _int64s, types.Array(types.int64, 1, "C")),
    cache=_KEEP,
    **_settings,
)
def find_terms(characters, offsets, asked, asked_offsets, ids):
    """The positions of terms in a sorted vocabulary, by bisection.

    Args:
        characters: the bytes of all terms of the vocabulary, one after the other.
        offsets: where each begins and, last, where the last one ends.
        asked: the bytes of the terms that are looked up, likewise.
        asked_offsets: likewise.
        ids: is filled with the place of each, or -1 for one that is not in the vocabulary.
    """
    for i in range(len(ids)):
        begin, end = asked_offsets[i], asked_offsets[i + 1]
        low, high = 0, len(offsets) - 1
        while low < high:
            middle = (low + high) >> 1
            if _is_below(characters, offsets[middle], offsets[middle + 1], asked, begin, end):
                low = middle + 1
            else:
                high = middle
        there = low < len(offsets) - 1 and not _is_below(asked, begin, end, characters, offsets[low], offsets[low + 1])
        ids[i] = low if there else -1
