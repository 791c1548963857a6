"""A kernel for queries that share words, as the completions of one request do.

Do not import this module directly: `compilation.load_kernels` imports it with the compiler's settings in place.

Up to `LANES` queries that ask for the ranks of the same items are scored side by side: each item of a window has a sum
for each query, next to one another, so that one walk over a word's postings serves all of them with one vector
instruction a posting. Limits, counting and the early end are those of `kernels.rank_items`, and so are the results, to
the last bit: sums are integers.
"""

from __future__ import annotations

import numpy as np
from numba import int64, njit, types

from rec_gym.recommenders.bm25.index import WINDOW, WINDOW_BITS
from rec_gym.recommenders.bm25.kernels import (
    COUNT_AT_ONCE,
    MAX_SUM,
    count_above,
    find_wanted,
    give_ranks,
    int32s,
    int64s,
    key_of,
    query_types,
    scan,
    settings,
    sum_of,
)

LANES = 8

# Sharing is chosen where the postings of a group's distinct words are fewer than this share of the postings of all its
# queries. CPU time of `Task.score` without sharing over that with it, long queries on 1.2 million items, groups of 8:
# MEASUREMENT
_SHARE_BELOW = 0.6

_SPARSE = WINDOW >> 2  # a window with fewer postings is collected by walking them again
_BLOCK = 8 * LANES  # sums that are compared with the limits at once


@njit(**settings)
def _merge(offsets, terms, weights, queries, standing, merged, lane_weights):
    """Merges the rising terms of the queries that still count items.

    Returns:
        How many distinct terms there are; `merged` gets them and `lane_weights` their weights in each lane.
    """
    heads = np.empty(LANES, np.int64)
    for lane in range(len(queries)):
        heads[lane] = offsets[queries[lane]]
    filled = 0
    while True:
        lowest = np.int64(MAX_SUM)
        for lane in range(len(queries)):
            if standing[lane, 0] > 0 and heads[lane] < offsets[queries[lane] + 1]:
                lowest = min(lowest, np.int64(terms[heads[lane]]))
        if lowest == MAX_SUM:
            return filled
        merged[filled] = lowest
        for lane in range(LANES):
            lane_weights[filled, lane] = 0
        for lane in range(len(queries)):
            if standing[lane, 0] > 0 and heads[lane] < offsets[queries[lane] + 1] and terms[heads[lane]] == lowest:
                lane_weights[filled, lane] = weights[heads[lane]]
                heads[lane] += 1
        filled += 1


@njit(**settings)
def _pays(postings, terms, weights):
    """Whether the terms are shared by enough lanes."""
    once, in_all = np.int64(0), np.int64(0)
    for i in range(len(terms)):
        count = postings.first_posting[terms[i] + 1] - postings.first_posting[terms[i]]
        once += count
        for lane in range(LANES):
            if weights[i, lane] > 0:
                in_all += count
    return once < _SHARE_BELOW * in_all


@njit(**settings)
def _add_lanes(places, impacts, weights, sums):
    """Adds to the sums of all lanes; written out, since that is what the compiler turns into one vector."""
    a, b, c, d, e, f, g, h = weights
    for i in range(len(places)):
        at, impact = np.int64(places[i]) * LANES, np.int32(impacts[i])
        sums[at] += a * impact
        sums[at + 1] += b * impact
        sums[at + 2] += c * impact
        sums[at + 3] += d * impact
        sums[at + 4] += e * impact
        sums[at + 5] += f * impact
        sums[at + 6] += g * impact
        sums[at + 7] += h * impact


@njit(**settings)
def _add_lane(places, impacts, weight, lane, sums):
    for i in range(len(places)):
        sums[np.int64(places[i]) * LANES + lane] += weight * np.int32(impacts[i])


@njit(**settings)
def _only_lane(weights):
    """The lane of a term that only one has; -1 where several have it, `LANES` where none has."""
    only = np.int64(LANES)
    for lane in range(LANES):
        if weights[lane] > 0:
            if only < LANES:
                return np.int64(-1)
            only = np.int64(lane)
    return only


@njit(**settings)
def _add_window(postings, window, terms, weights, run, begin, end, sums):
    """Adds the impacts of all terms in one window to `sums`; begin and end get the range of each term's postings."""
    touched = 0
    for i in range(len(terms)):
        begin[i] = end[i]
        r = run[i]
        if r < postings.first_run[terms[i] + 1] and postings.run_window[r] == window:
            run[i] = r + 1
            end[i] += np.int64(postings.run_length[r])
            places, impacts = postings.place[begin[i] : end[i]], postings.impact[begin[i] : end[i]]
            lane, w = _only_lane(weights[i]), weights[i]
            if lane >= 0:
                _add_lane(places, impacts, w[lane], lane, sums)
            else:
                _add_lanes(places, impacts, (w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]), sums)
            touched += end[i] - begin[i]
    return touched


@njit(**settings)
def _set_limit(limits, lane, wanted, standing):
    """A lane's limit, repeated over a block: the sum of the last wanted item that stands, less 1, for ties."""
    limit = np.int64(MAX_SUM)  # no sum is above it
    if standing[lane, 0] > 0:
        limit = sum_of(wanted[lane, standing[lane, 0] - 1]) - 1
    for i in range(lane, _BLOCK, LANES):
        limits[i] = limit


@njit(**settings)
def _count(block, first_item, limits, one_key, wanted, above, standing, k):
    """Counts the sums of a few items that are above the limit of their lane."""
    for i in range(len(block)):
        if block[i] > limits[i]:
            lane = i % LANES
            one_key[0] = key_of(block[i], first_item + i // LANES)
            count_above(one_key, 1, wanted[lane], above[lane], standing[lane], k)
            _set_limit(limits, lane, wanted, standing)


@njit(**settings)
def _collect(block, first_item, limits, one_key, wanted, above, standing, k):
    """Counts what is above the limits in a block of sums, and sets it to zero."""
    highest = np.int32(0)
    for i in range(len(block)):
        highest = max(highest, np.int32(block[i] - limits[i]))
    if highest > 0:
        _count(block, first_item, limits, one_key, wanted, above, standing, k)
    for i in range(len(block)):
        block[i] = 0


@njit(**settings)
def _drop_finished(standing, terms, weights, run, end, count):
    """Forgets the words that only lanes without a standing item have; returns how many words are left of `count`."""
    kept = 0
    for i in range(count):
        for lane in range(LANES):
            weights[kept, lane] = weights[i, lane] if standing[lane, 0] > 0 else 0
        terms[kept], run[kept], end[kept] = terms[i], run[i], end[i]
        kept += _only_lane(weights[kept]) < LANES
    return kept


@njit(**settings)
def _scan_lanes(postings, size, terms, weights, excluded, k, sums, wanted, above, standing):
    """Counts in all windows what stands above the wanted items of each lane; changes `terms` and `weights`."""
    count = len(terms)
    run, begin, end = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    for i in range(count):
        run[i], end[i] = postings.first_run[terms[i]], postings.first_posting[terms[i]]
    limits, one_key = np.empty(_BLOCK, np.int32), np.empty(1, np.int64)
    for lane in range(LANES):
        _set_limit(limits, lane, wanted, standing)
    running, passed = (standing[:, 0] > 0).sum(), 0
    for window in range((size + WINDOW - 1) >> WINDOW_BITS):
        if (standing[:, 0] > 0).sum() < running:
            running = (standing[:, 0] > 0).sum()
            count = _drop_finished(standing, terms, weights, run, end, count)
        if running == 0:
            break
        touched = _add_window(postings, window, terms[:count], weights, run, begin, end, sums)
        if touched == 0:
            continue
        base = window << WINDOW_BITS
        while passed < len(excluded) and excluded[passed] < base + WINDOW:
            if excluded[passed] >= base:
                at = (excluded[passed] - base) * LANES
                sums[at : at + LANES] = 0
            passed += 1
        if touched < _SPARSE:
            for i in range(count):
                for p in range(begin[i], end[i]):
                    place = np.int64(postings.place[p])
                    block = sums[place * LANES : (place + 1) * LANES]
                    _collect(block, base + place, limits, one_key, wanted, above, standing, k)
        else:
            for start in range(0, WINDOW * LANES, _BLOCK):
                block = sums[start : start + _BLOCK]
                _collect(block, base + start // LANES, limits, one_key, wanted, above, standing, k)


@njit(
    types.void(*query_types, int64s, int64, int64s, int32s, int64s, types.Array(types.int32, 1, "C")),
    cache=True,
    **settings,
)
def rank_groups(
    postings, size, offsets, terms, weights, excluded_offsets, excluded, levels, k, item_offsets, items, groups, ranks
):
    """What `rank_items` does, for groups of queries whose words are shared where that pays.

    Group g is the queries from groups[g] to groups[g + 1], at most `LANES`, which have the same items and the same
    excluded items; a query's terms rise. The other arguments are those of `rank_items`.
    """
    sums, keys = np.zeros(WINDOW * LANES, np.int32), np.empty(COUNT_AT_ONCE, np.int64)
    standing = np.zeros((LANES, 2), np.int64)
    for g in range(len(groups) - 1):
        first, lanes = groups[g], groups[g + 1] - groups[g]
        out = excluded[excluded_offsets[first] : excluded_offsets[first + 1]]
        asked = items[item_offsets[first] : item_offsets[first + 1]]
        totals, wanted = np.zeros((LANES, len(asked)), np.int64), np.empty((LANES, len(asked)), np.int64)
        above = np.zeros((LANES, len(asked) + 1), np.int64)
        standing[:] = 0
        for lane in range(lanes):
            begin, end = offsets[first + lane], offsets[first + lane + 1]
            standing[lane, 0] = find_wanted(
                postings, terms[begin:end], weights[begin:end], asked, out, levels[first + lane],
                totals[lane], wanted[lane],
            )  # fmt: skip
        running = standing[:, 0].copy()
        most = offsets[groups[g + 1]] - offsets[first]
        merged, lane_weights = np.empty(most, np.int32), np.empty((most, LANES), np.int32)
        distinct = _merge(offsets, terms, weights, np.arange(first, first + lanes), standing, merged, lane_weights)
        merged, lane_weights = merged[:distinct], lane_weights[:distinct]
        if _pays(postings, merged, lane_weights):
            _scan_lanes(postings, size, merged, lane_weights, out, k, sums, wanted, above, standing)
        else:
            for lane in range(lanes):
                begin, end = offsets[first + lane], offsets[first + lane + 1]
                scan(
                    postings, size, terms[begin:end], weights[begin:end], out, k, sums[:WINDOW], keys,
                    wanted[lane][: running[lane]], above[lane], standing[lane],
                )  # fmt: skip
        for lane in range(lanes):
            own_ranks = ranks[item_offsets[first + lane] : item_offsets[first + lane + 1]]
            give_ranks(asked, totals[lane], wanted[lane][: running[lane]], above[lane], standing[lane], own_ranks)
