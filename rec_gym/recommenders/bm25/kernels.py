"""The kernels: exhaustive term-at-a-time scoring in windows of 2**15 items.

Do not import this module directly: `compilation.load_kernels` imports it with the compiler's settings in place.

For every window, the impacts of each query term are added to one small array of sums, which stays in the processor's
nearest cache. Then the sums above a limit are collected as keys, and the limit rises as keys are found. Sums are
integers: they are the same in any order, so that results depend neither on the order of terms nor on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, from_dtype, int64, njit, types

from rec_gym.recommenders.bm25.index import DTYPES, WINDOW, WINDOW_BITS, Postings, Ranges
from rec_gym.recommenders.bm25.keys import (
    MAX_SUM,
    NO_KEY,
    first_above,
    keep_lowest,
    key_of,
    likely_limit,
    settle,
    sort,
    sum_of,
)
from rec_gym.recommenders.bm25.keys import SETTINGS as _settings
from rec_gym.recommenders.bm25.passing import SPARSE, candidates, collect_passing, passes, ranges_of

__all__ = ["MAX_SUM", "NOT_RANKED", "NO_KEY", "find_terms", "rank_items", "rank_keys"]

NOT_RANKED = -1

_BLOCK = 64  # sums that are compared with the limit at once
_LOOK_UP = 32  # postings that are added up in the time in which one item is looked up among a term's postings
_COUNT_AT_ONCE = 4096  # keys that are gathered before they are counted


def _read_only(dtype: Any, dimensions: int = 1) -> types.Array:
    return types.Array(dtype, dimensions, "C", readonly=True)


_int64s, _int32s, _uint8s = _read_only(types.int64), _read_only(types.int32), _read_only(types.uint8)
_postings_type = types.NamedTuple(
    [_read_only(from_dtype(np.dtype(dtype)), 2 if name == "kth_impact" else 1) for name, dtype in DTYPES.items()],
    Postings,
)
_ranges_type = types.NamedTuple([_read_only(types.int32, 2), _int64s, _int32s, _int32s, _int32s], Ranges)
# postings, size, offsets, terms, weights, excluded offsets, excluded items, ranges
_query_types = (_postings_type, int64, _int64s, _int32s, _int32s, _int64s, _int32s, _ranges_type)
# Without a folder the compiler would choose one itself, and load what others may have put there.
_KEEP = bool(vars(config)["CACHE_DIR"])


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
                keys[filled] = key_of(total, base + np.int64(place))
                filled += 1
                if filled == len(keys):
                    filled, limit = settle(keys, filled, k, limit, wanted, above, standing)
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
                    keys[filled] = key_of(block[i], base + start + i)
                    filled += 1
                    if filled == len(keys):
                        filled, limit = settle(keys, filled, k, limit, wanted, above, standing)
        for i in range(_BLOCK):  # now, while the block is in cache
            block[i] = 0
    return filled, limit


@njit(**_settings)
def _scan(postings, size, query, k, limit, may_guess, room, sums, keys, wanted, above, standing):
    """Scores all windows and gathers what is above the rising limit.

    `query` holds its terms, their weights, the excluded items and the ranges of its filter. `room` is for the keys of a
    window; it is empty without a filter. With `may_guess`, the limit is raised to what the k-th item that passes a filter
    probably reaches. If fewer than k keys come out then, items may be missing.

    Returns:
        How many keys there are at the end, and whether the limit was raised by a guess.
    """
    terms, weights, excluded, ranges = query
    run, begin, end = _cursors(postings, terms)
    filled, passed, guessed = np.int64(0), 0, False
    windows = (size + WINDOW - 1) >> WINDOW_BITS
    for window in range(windows):
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
        if len(room) > 0:
            count = candidates(postings, base, begin, end, touched, ranges, sums, limit, room)
            filled, limit = collect_passing(ranges, room, count, keys, filled, k, limit, wanted, above, standing)
        elif touched < SPARSE:
            filled, limit = _collect_sparse(
                postings, base, begin, end, sums, keys, filled, k, limit, wanted, above, standing
            )
        else:
            filled, limit = _collect_dense(base, sums, keys, filled, k, limit, wanted, above, standing)
        if len(above) > 0:
            filled, limit = settle(keys, filled, k, limit, wanted, above, standing)
        elif may_guess and window & (window + 1) == 0:  # after 1, 2, 4, 8, ... windows
            filled, guess = likely_limit(keys, filled, k, (window + 1) / windows)
            limit, guessed = max(limit, guess), guessed or guess > 0
    return filled, guessed


@njit(**_settings)
def _first_limit(postings, terms, weights, level):
    """A sum that the k-th item reaches or exceeds, less 1: at least k items score the k-th impact of any one term."""
    best = np.int64(0)
    if level < postings.kth_impact.shape[1]:
        for i in range(len(terms)):
            best = max(best, np.int64(weights[i]) * np.int64(postings.kth_impact[terms[i], level]))
    return max(best - 1, 0)


@njit(types.void(*_query_types, _int64s, int64, types.Array(types.int64, 2, "C")), cache=_KEEP, **_settings)
def rank_keys(postings, size, offsets, terms, weights, excluded_offsets, excluded, ranges, levels, k, result):
    """The keys of the k best items of each query, unordered, padded with `NO_KEY`.

    Args:
        postings: the index.
        size: items in the catalogue.
        offsets: the terms of query i are terms[offsets[i]:offsets[i + 1]]; distinct within a query.
        terms: term ids.
        weights: how often each term stands in the query; at most 32,767 in all, so that sums stay below 2**31.
        excluded_offsets: the items that must not be ranked for query i, likewise.
        excluded: item positions, rising within a query.
        ranges: which items may be ranked for each query.
        levels: for each query the column of the k-th impacts that bounds its list, or their number if none does, as with a
            filter.
        k: length of the lists, from 1 to `size`.
        result: is filled, [queries, k].
    """
    sums, keys = np.zeros(WINDOW, np.int32), np.empty(4 * k + 64, np.int64)
    no_keys, standing = np.empty(0, np.int64), np.zeros(2, np.int64)
    room = np.empty(WINDOW + 1 if len(ranges.column) > 0 else 0, np.int64)
    for i in range(len(offsets) - 1):
        own, own_weights = terms[offsets[i] : offsets[i + 1]], weights[offsets[i] : offsets[i + 1]]
        out = excluded[excluded_offsets[i] : excluded_offsets[i + 1]]
        limit = _first_limit(postings, own, own_weights, levels[i])
        own_ranges = ranges_of(ranges, i)
        own_room = room if len(own_ranges.column) > 0 else no_keys
        query, may_guess, filled = (own, own_weights, out, own_ranges), len(own_room) > 0, np.int64(0)
        for _ in range(2):
            filled, guessed = _scan(
                postings, size, query, k, limit, may_guess, own_room, sums, keys, no_keys, no_keys, standing
            )
            if filled >= k or not guessed:
                break
            may_guess = False  # the guess was too high: again, without one
        if filled > k:
            keep_lowest(keys, filled, k)
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
    postings, size, offsets, terms, weights, excluded_offsets, excluded, ranges, levels, k, item_offsets, items, ranks
):
    """The ranks of given items, without a list.

    The scores of the items come first; then the items above each are counted, window by window, until none of them can
    be in the top k any more. The items wanted by query i are items[item_offsets[i]:item_offsets[i + 1]],
    increasing within a query; a position may be repeated. `ranks` is filled with ranks from 0, or `NOT_RANKED`, one for
    each of `items`. The other arguments are those of `rank_keys`.
    """
    sums, keys = np.zeros(WINDOW, np.int32), np.empty(_COUNT_AT_ONCE, np.int64)
    no_keys, standing = np.empty(0, np.int64), np.zeros(2, np.int64)
    room = np.empty(WINDOW + 1 if len(ranges.column) > 0 else 0, np.int64)
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
        own_ranges = ranges_of(ranges, i)
        own_room = room if len(own_ranges.column) > 0 else no_keys
        for j in range(len(asked)):
            if not passes(own_ranges, asked[j]):
                totals[j] = 0
        limit = _first_limit(postings, own, own_weights, levels[i])
        wanted, running = np.empty(len(asked), np.int64), 0
        for j in range(len(asked)):
            if totals[j] > limit:
                wanted[running] = key_of(totals[j], asked[j])
                running += 1
        wanted = wanted[:running]
        sort(wanted)
        above = np.zeros(running + 1, np.int64)
        standing[0], standing[1] = running, 0
        if running > 0:
            limit = sum_of(wanted[running - 1]) - 1  # see `settle`
            query = (own, own_weights, out, own_ranges)
            _scan(postings, size, query, k, limit, False, own_room, sums, keys, wanted, above, standing)
            for j in range(1, running):
                above[j] += above[j - 1]
        for j in range(len(asked)):
            place = first_above(wanted, key_of(totals[j], asked[j]) - 1, running)
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
