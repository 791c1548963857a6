"""Which items pass the filter of a query, tested only where their sums exceed the limit. Imported by `kernels` alone.

With a filter, many more sums exceed the limit than items are ranked. What that costs are branches that the processor
mispredicts and look-ups that it waits for; so candidates are gathered first, their codes are asked for meanwhile, and all
of them are tested together.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from rec_gym.recommenders.bm25.index import WINDOW, Ranges
from rec_gym.recommenders.bm25.keys import ITEM_MASK, SETTINGS, key_of, settle

SPARSE = WINDOW >> 2  # a window with fewer postings is collected by walking its postings again
_PART = 16  # sums that are compared with the limit at once


@intrinsic
def _prefetch(typingctx, array, row, place):
    """Asks for an element's cache line without waiting for it; it must lie within the array."""

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, args[0])
        pointer = cgutils.get_item_pointer(context, builder, kind, array, args[1:], wraparound=False)
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        called = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        builder.call(called, [builder.bitcast(pointer, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@njit(**SETTINGS)
def passes(ranges, item):
    """Whether an item is in all the ranges of a filter; without a branch, which a processor would often mispredict."""
    inside = True
    for i in range(len(ranges.column)):
        code = ranges.codes[ranges.column[i], item]
        inside &= (code >= ranges.low[i]) & (code <= ranges.high[i])
    return inside


@njit(**SETTINGS)
def ranges_of(ranges, query):
    """The ranges of one query."""
    begin, end = ranges.offsets[query], ranges.offsets[query + 1]
    return Ranges(ranges.codes, ranges.offsets, ranges.column[begin:end], ranges.low[begin:end], ranges.high[begin:end])


@njit(**SETTINGS)
def candidates(postings, base, begin, end, touched, ranges, sums, limit, room):
    """Gathers the keys of all sums above the limit in `room`, and sets the sums to zero; returns how many there are.

    The codes of their items are on the way to the processor when this returns.
    """
    count = 0
    if touched < SPARSE:
        for i in range(len(begin)):
            places = postings.place[begin[i] : end[i]]
            for p in range(len(places)):
                place = places[p]
                total = sums[place]
                sums[place] = 0
                if total > limit:
                    room[count] = key_of(total, base + np.int64(place))
                    count += 1
                    for c in range(len(ranges.column)):
                        _prefetch(ranges.codes, np.int64(ranges.column[c]), base + np.int64(place))  # type: ignore[call-arg]
        return count
    for start in range(0, WINDOW, _PART):
        part = sums[start : start + _PART]
        highest = np.int32(0)
        for i in range(_PART):
            highest = max(highest, part[i])
        if highest > limit:
            before = count
            for i in range(_PART):
                room[count] = key_of(part[i], base + start + i)
                count += part[i] > limit
            for i in range(before, count):
                for c in range(len(ranges.column)):
                    _prefetch(ranges.codes, np.int64(ranges.column[c]), room[i] & ITEM_MASK)  # type: ignore[call-arg]
        for i in range(_PART):
            part[i] = 0
    return count


@njit(**SETTINGS)
def collect_passing(ranges, room, count, keys, filled, k, limit, wanted, above, standing):
    """Gathers those of the keys in `room` whose items pass; apart from `candidates`, so that look-ups overlap."""
    passing = 0
    for i in range(count):
        key = room[i]
        room[passing] = key
        passing += passes(ranges, key & ITEM_MASK)
    for i in range(passing):
        keys[filled] = room[i]
        filled += 1
        if filled == len(keys):
            filled, limit = settle(keys, filled, k, limit, wanted, above, standing)
    return filled, limit
