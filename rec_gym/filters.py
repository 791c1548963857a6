"""Exact filters on catalogue columns, as ranges of integer codes.

A filter is a tuple of conditions `(column, operator, value)`, operator one of `<=`, `>=` and `==`; an item passes if all
of them hold. A missing value and NaN meet no condition. Numbers are compared exactly, whole numbers with fractions too,
and texts by their code points.

A column that is filtered is encoded once: the code of an item is the place of its value among the sorted distinct values
of the column, or -1 if the item has none. Every condition is then a range of codes, which is found by bisection, and all
conditions on one column are one range. So a new filter costs a few look-ups, whatever the size of the catalogue, and an
item is tested by comparing a few integers, only where a recommender needs to know.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.catalog import Catalog, read_table, stored_hash
from rec_gym.columns import Ragged, is_text
from rec_gym.tables import checked, unknown

Condition = tuple[str, str, Any]
"""`(column, operator, value)`."""

Filter = tuple[Condition, ...]
"""Conditions that an item must all meet; an empty one passes every item."""

OPERATORS = ("<=", ">=", "==")

_NO_CODE = -1  # of an item without a value
_RANGES_KEPT = 1 << 14  # conditions whose ranges are remembered


def check_condition(condition: object, columns: Mapping[str, pa.DataType], what: str = "filter") -> Condition:
    """One condition, checked against the catalogue's columns, with NumPy's numbers as Python's.

    Args:
        condition: `(column, operator, value)`, a list or a tuple.
        columns: the types of the catalogue's columns.
        what: what the condition belongs to, for messages: `"filter"` or `"constraint"`.

    Raises:
        ValueError: it is not `(column, operator, value)`, the column or the operator is unknown (near names are suggested),
            or the value is not of the column's type: text for text, true or false for booleans, a finite number for
            numbers.
    """
    if not isinstance(condition, list | tuple) or len(condition) != 3:
        raise ValueError(f"a {what} is [column, operator, value], not {condition!r:.200}")
    column, sign, value = condition
    if not isinstance(column, str) or column not in columns:
        raise ValueError(f"in the {what} {condition!r:.200}: {unknown('column', column, columns)}")
    if not isinstance(sign, str) or sign not in OPERATORS:
        raise ValueError(f"in the {what} {condition!r:.200}: {unknown('operator', sign, OPERATORS)}")
    kind = columns[column]
    wanted = str if is_text(kind) else bool if pa.types.is_boolean(kind) else float
    value = value.item() if isinstance(value, np.generic) else value
    checked(value, wanted, f"the value of a {what} on {column!r}, which holds {kind},")
    return column, sign, value


@dataclass(frozen=True, eq=False)
class FilterRanges:
    """The filters of a batch of queries, as ranges of codes.

    The ranges of query i are those from `offsets[i]` to `offsets[i + 1]`, at most one for each column: an item passes if
    `low <= codes[column, item] <= high` for all of them. A range that no item can be in has `low > high`.

    Attributes:
        codes: int32 [columns, items], a row for each column that was ever filtered; -1 where an item has no value.
        offsets: int64 [queries + 1].
        columns: the row of `codes` that each range is for, int32 [ranges].
        low: the lowest code that passes, >= 0, int32 [ranges].
        high: the highest code that passes, int32 [ranges].
    """

    codes: np.ndarray
    offsets: np.ndarray
    columns: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> Ragged:
        """Column, low and high of each query's ranges, int32 [ranges, 3], by column: equal for equal filters."""
        return Ragged(self.offsets, np.stack([self.columns, self.low, self.high], axis=1))

    def passes(self, query: int, items: np.ndarray | None = None) -> np.ndarray:
        """Which items pass the filter of a query, bool.

        Args:
            query: the place of the query in the batch.
            items: item positions; None for the whole catalogue.

        Returns:
            The shape of `items`, or [items] for the whole catalogue.
        """
        passing = np.ones(self.codes.shape[1:] if items is None else np.shape(items), bool)
        for place in range(int(self.offsets[query]), int(self.offsets[query + 1])):
            codes = self.codes[self.columns[place]]
            codes = codes if items is None else codes[items]
            passing &= codes >= self.low[place]
            passing &= codes <= self.high[place]
        return passing

    def passes_each(self, items: np.ndarray) -> np.ndarray:
        """Which items of each query pass its filter, bool [queries, m].

        Args:
            items: item positions, [queries, m].
        """
        row_of = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        codes = self.codes[self.columns[:, np.newaxis], items[row_of]]
        inside = (codes >= self.low[:, np.newaxis]) & (codes <= self.high[:, np.newaxis])
        passing = np.ones(items.shape, bool)
        np.logical_and.at(passing, row_of, inside)
        return passing

    def take(self, queries: np.ndarray) -> FilterRanges:
        """The filters of the named queries, in that order; a query may be named more than once."""
        queries = np.asarray(queries, np.int64)
        counts = np.diff(self.offsets)[queries]
        offsets = np.zeros(len(queries) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        places = np.repeat(self.offsets[queries] - offsets[:-1], counts) + np.arange(offsets[-1])
        return FilterRanges(self.codes, offsets, self.columns[places], self.low[places], self.high[places])


class Bound(NamedTuple):
    """The values of a column that pass: from `low` to `high`, both ends included; both are values of the column."""

    column: str
    low: Any
    high: Any


class _Range(NamedTuple):
    column: int
    low: int
    high: int


class FilterTable:
    """Turns filters into ranges of codes, for one catalogue. Any number of threads may use it.

    `FilterTable.of(catalog)` is shared within the process. A pickle holds the catalogue's table, or only its place if the
    catalogue was opened from a file; the codes are made again where they are needed.

    Args:
        table: the catalogue's columns.
        source: the file that the table was opened from, and the hash of its content; None for a table in memory.
    """

    def __init__(self, table: pa.Table | None, source: tuple[Path, str] | None = None) -> None:
        self._table, self._source = table, source
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}  # the row of each column that is encoded, and its sorted distinct values
        self._values: list[Any] = []
        self._codes: np.ndarray | None = None
        self._ranges: dict[tuple[str, str, type, Any], _Range] = {}

    @classmethod
    def of(cls, catalog: Catalog) -> FilterTable:
        """The table of a catalogue; the same one for the same catalogue, or for the same file."""
        with _making:
            known = _of_catalog.get(catalog)
            if known is None:
                known = _of_source.get(catalog.source) if catalog.source else None
                if known is None:
                    known = cls(catalog.table, catalog.source)
                    if catalog.source:
                        _of_source[catalog.source] = known
                _of_catalog[catalog] = known
        return known

    def __deepcopy__(self, memo: dict[int, Any]) -> FilterTable:
        return self  # what it says never changes

    def __reduce__(self) -> tuple:
        if self._source and self._source[0].is_file():
            return _reopened, (self._source,)
        return FilterTable, (self.table,)

    @property
    def table(self) -> pa.Table:
        """The catalogue's columns.

        Raises:
            DamagedError: the file that they were opened from is missing or cannot be read.
            RuntimeError: it was replaced by another.
        """
        if self._table is None:
            assert self._source is not None
            path, content_hash = self._source
            table = read_table(path)
            if stored_hash(table) != content_hash:
                raise RuntimeError(f"{path} no longer holds the catalogue that was fitted; fit the recommender again")
            self._table = table
        return self._table

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The types of the columns that can be filtered: all of the catalogue's."""
        return {field.name: field.type for field in self.table.schema}

    def ranges(self, filters: Sequence[Sequence[Condition] | None], count: int | None = None) -> FilterRanges:
        """The filters of a batch as ranges.

        Args:
            filters: for each query the conditions that an item must meet; empty or None for no filter.
            count: how many queries there are, if `filters` is still to be compared with it.

        Raises:
            ValueError: `filters` does not fit the queries, or a condition does not fit the catalogue; see
                `check_condition`.
        """
        filters = check_filters(filters, len(filters) if count is None else count)
        offsets = np.zeros(len(filters) + 1, np.int64)
        ranges: list[_Range] = []
        for place, conditions in enumerate(filters):
            own: dict[int, _Range] = {}
            for condition in conditions:
                new = self._range(condition)
                old = own.get(new.column, new)
                own[new.column] = _Range(new.column, max(old.low, new.low), min(old.high, new.high))
            ranges += sorted(own.values())
            offsets[place + 1] = len(ranges)
        numbers = np.array(ranges, np.int32).reshape(len(ranges), 3).T
        codes = np.empty((0, self.table.num_rows), np.int32) if self._codes is None else self._codes
        return FilterRanges(codes, offsets, *map(np.ascontiguousarray, numbers))

    def bounds(
        self, filters: Sequence[Sequence[Condition] | None], count: int | None = None
    ) -> list[tuple[Bound, ...] | None]:
        """The filters of a batch as ranges of values, for a recommender that passes them on to a search engine.

        The ends of a range are values that the catalogue has, whatever the condition says: of the column's own type,
        comparable without rounding, and valid Unicode.

        Args:
            filters: as for `ranges`.
            count: as for `ranges`.

        Returns:
            For each query its bounds, at most one for each column; empty without a filter, None if no item passes.

        Raises:
            ValueError: as for `ranges`.
        """
        ranges = self.ranges(filters, count)
        names = {row: name for name, row in self._rows.items()}
        rows: list[tuple[Bound, ...] | None] = []
        for own in ranges.rows:
            if (own[:, 1] > own[:, 2]).any():
                rows.append(None)
                continue
            values = [self._values[column] for column, _, _ in own]
            ends = [
                (_plain(of[int(low)]), _plain(of[int(high)])) for of, (_, low, high) in zip(values, own, strict=True)
            ]
            rows.append(tuple(Bound(names[int(row[0])], *end) for row, end in zip(own, ends, strict=True)))
        return rows

    def _range(self, condition: Condition) -> _Range:
        """The codes that meet a condition."""
        try:
            column, sign, value = condition
            key = column, sign, type(value), value
            known = self._ranges.get(key)
        except (TypeError, ValueError):  # not three parts, or something that cannot be a key: the check says what
            known = key = None
        if known is None:
            column, sign, value = check_condition(condition, self.columns)
            row = self._row(column)
            values = self._values[row]
            first = 0 if sign == "<=" else bisect_left(values, value, key=_plain)
            last = len(values) if sign == ">=" else bisect_right(values, value, key=_plain)
            known = _Range(row, first, last - 1)
            if key is not None:
                if len(self._ranges) >= _RANGES_KEPT:
                    self._ranges.clear()
                self._ranges[key] = known
        return known

    def _row(self, column: str) -> int:
        """The row of a column's codes; it is encoded if it was not yet."""
        with self._lock:
            if column not in self._rows:
                codes, values = _encoded(self.table[column])
                rows = [codes[np.newaxis]] if self._codes is None else [self._codes, codes[np.newaxis]]
                self._codes = np.concatenate(rows)  # who reads the old array goes on with it
                self._values.append(values)
                self._rows[column] = len(self._values) - 1
            return self._rows[column]


_of_catalog: WeakKeyDictionary[Catalog, FilterTable] = WeakKeyDictionary()
_of_source: WeakValueDictionary[tuple[Path, str], FilterTable] = WeakValueDictionary()
_making = threading.Lock()


def check_filters(filters: Sequence[Sequence[Condition] | None], count: int) -> list[Filter]:
    """The conditions of each query; none where a query has no filter. What they say is not checked.

    Raises:
        ValueError: `filters` does not have `count` rows, or a row is not a list of conditions.
    """
    if not isinstance(filters, list | tuple) or len(filters) != count:
        what = f"{len(filters)} queries" if isinstance(filters, list | tuple) else repr(filters)[:200]
        raise ValueError(
            f"filters are for {what}, but there are {count} queries; give one tuple of conditions (or None) per query"
        )
    for row in filters:
        if row is not None and not isinstance(row, list | tuple):
            raise ValueError(
                f'the filter of a query is a tuple of conditions, such as (("price", "<=", 50),), not {row!r:.200}'
            )
    return [tuple(row or ()) for row in filters]


def _reopened(source: tuple[Path, str]) -> FilterTable:
    """The table of a file, out of a pickle; the file is opened when it is needed."""
    with _making:
        known = _of_source.get(source)
        if known is None:
            known = _of_source[source] = FilterTable(None, source)
    return known


def _plain(value: Any) -> Any:
    """A column's value as Python's, whose comparisons are exact."""
    return value.as_py() if isinstance(value, pa.Scalar) else value.item()


def _encoded(column: pa.ChunkedArray) -> tuple[np.ndarray, Any]:
    """The codes of a column, int32 [items], and its sorted distinct values."""
    if is_text(column.type):
        values = pc.unique(column).drop_null()
        values = values.take(pc.sort_indices(values))  # bytes of UTF-8 sort as code points do
        return pc.fill_null(pc.index_in(column, value_set=values), _NO_CODE).to_numpy(), values
    present = column.is_valid().to_numpy()
    filled = column.drop_null().to_numpy()
    codes = np.full(len(column), _NO_CODE, np.int32)
    if filled.dtype.kind == "f":
        numbers = ~np.isnan(filled)
        present[present] = numbers
        filled = filled[numbers]
    values, codes[present] = np.unique(filled, return_inverse=True)
    return codes, values
