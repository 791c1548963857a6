"""A batch of queries as the kernels read it: flat arrays, equal queries once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.filters import FilterRanges
from rec_gym.recommenders.bm25.index import Ranges
from rec_gym.recommenders.checks import check_items, excluded_rows


class Batch(NamedTuple):
    """A batch as the kernels read it: distinct queries only. The arrays are those of `kernels.rank_keys`.

    Attributes:
        offsets: the terms of each query, int64 [queries + 1].
        terms: int32.
        weights: how often each term stands in its query, int32.
        excluded_offsets: the excluded items of each query, int64 [queries + 1].
        excluded: rising within a query, int32.
        ranges: the filters.
        levels: int64 [queries].
        clipped: queries of which only the first words count, bool [queries].
    """

    offsets: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    excluded_offsets: np.ndarray
    excluded: np.ndarray
    ranges: Ranges
    levels: np.ndarray
    clipped: np.ndarray


def excluded_items(exclude: Sequence[np.ndarray] | None, count: int, size: int) -> Ragged:
    """The excluded items of each query, rising and without repetitions, int32."""
    if exclude is None:
        return Ragged(np.zeros(count + 1, np.int64), np.empty(0, np.int32))
    given = Ragged.from_rows(excluded_rows(exclude, count), np.int64)
    check_items(given.values, size, "excluded items")
    keys = np.unique(given.row_of * size + given.values)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(keys // size, minlength=count), out=offsets[1:])
    return Ragged(offsets, (keys % size).astype(np.int32))


def as_ranges(ranges: FilterRanges) -> Ranges:
    """Read-only, as the kernels were compiled for."""
    arrays = [array.view() for array in (ranges.codes, ranges.offsets, ranges.columns, ranges.low, ranges.high)]
    for array in arrays:
        array.flags.writeable = False
    return Ranges(*arrays)


def distinct(queries: Sequence[str], *rows: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal queries (with equal rows), and for each query the place of its like among them."""
    seen: dict[Hashable, int] = {}
    columns = [[row.tobytes() for row in ragged] for ragged in rows if ragged.values.size]
    copy_of = [seen.setdefault(key, len(seen)) for key in zip(queries, *columns, strict=True)]
    first = np.full(len(seen), len(queries), np.int64)
    np.minimum.at(first, copy_of, np.arange(len(queries)))
    return first, np.array(copy_of, np.int64)


def part_of(batch: Batch, start: int, stop: int) -> tuple[np.ndarray | Ranges, ...]:
    """The arguments of a kernel for the queries from `start` to `stop`; offsets start at 0 again."""
    begin, end = batch.offsets[start], batch.offsets[stop]
    first, last = batch.excluded_offsets[start], batch.excluded_offsets[stop]
    return (
        batch.offsets[start : stop + 1] - begin,
        batch.terms[begin:end],
        batch.weights[begin:end],
        batch.excluded_offsets[start : stop + 1] - first,
        batch.excluded[first:last],
        batch.ranges._replace(offsets=batch.ranges.offsets[start : stop + 1]),
        batch.levels[start:stop],
    )
