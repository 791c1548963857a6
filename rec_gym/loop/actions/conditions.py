"""Filters as policies write them, read into conditions on the columns of a catalogue."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import is_text
from rec_gym.filters import Condition
from rec_gym.tables import unknown

TEXT, NUMBER, TRUTH = "text", "number", "true or false"  # kinds of columns, as a prompt calls them

MANY_VALUES = 10_000
"""Distinct values of a text column up to which a value may be written in another case."""

_SAMPLED = 10_000  # items, from the first on, by which it is told whether the values of a text column repeat
_LONGEST = 1_000  # characters of a text that may be a value
_WHOLE = 2.0**53  # whole numbers up to here are exact as 64-bit floats
_SIGNS = {"<=": "<=", "≤": "<=", ">=": ">=", "≥": ">=", "==": "==", "=": "==", "<": "<", ">": ">"}
_MONEY = "[$£€¥₹]?"
_NUMBER = re.compile(
    rf"(<=|>=|==|[=<>≤≥])?\s*{_MONEY}\s*"
    r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)"
    rf"\s*{_MONEY}"
)
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
_GAPS = re.compile(r"[\s_-]+")

_Entry = tuple[Any, Any, Any]  # column, operator and value, as they were written


@dataclass(frozen=True)
class Column:
    """A column that may be filtered by.

    Attributes:
        name: of the column.
        kind: `TEXT`, `NUMBER` or `TRUTH`.
        values: of a text column with at most `MANY_VALUES` distinct values, all of them by `_folded`.
    """

    name: str
    kind: str
    values: Mapping[str, tuple[str, ...]]

    def condition(self, sign: object, value: object) -> Condition | None:
        """The condition that was written; None for an unknown operator or a value of the wrong type."""
        sign = _SIGNS.get(sign.strip()) if isinstance(sign, str) else None
        if sign is None:
            return None
        if self.kind == NUMBER:
            return self._number(sign, value)
        if self.kind == TRUTH:
            value = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else value
            return (self.name, sign, value) if sign == "==" and isinstance(value, bool) else None
        return self._text(sign, value)

    def _number(self, sign: str, value: object) -> Condition | None:
        if isinstance(value, str):
            match = _NUMBER.fullmatch(value.strip()[:_LONGEST])
            if match is None or (match[1] and sign != "=="):
                return None
            sign, value = _SIGNS[match[1] or sign], float(match[2].replace(",", ""))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        strict = sign in "<>"
        if not math.isfinite(number) or (strict and abs(number) >= _WHOLE):
            return None
        if number != value:
            return self.name, sign, value  # a whole number that no float is equal to
        if strict:  # no number lies between the bound and its neighbour, so that this is exact
            number = math.nextafter(number, -math.inf if sign == "<" else math.inf)
            sign += "="
        return self.name, sign, number + 0.0  # -0 becomes 0

    def _text(self, sign: str, value: object) -> Condition | None:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            value = str(int(value)) if abs(value) < _WHOLE and value == int(value) else str(value)
        if not isinstance(value, str) or len(value) > _LONGEST or sign in "<>":
            return None
        if sign != "==":
            return self.name, sign, value
        like = self.values.get(_folded(value), ())
        return self.name, sign, like[0] if len(like) == 1 and value not in like else value


@dataclass(frozen=True)
class Columns:
    """The columns that completions may filter by, in the order in which a prompt names them."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, catalog: Catalog, names: Sequence[str]) -> Columns:
        """The named columns of a catalogue.

        Args:
            catalog: the items.
            names: columns; empty for all of numbers, and those of text in which values repeat.

        Raises:
            ValueError: a name is unknown or appears twice, or there is no column to filter by.
        """
        known = [name for name in catalog.table.column_names if name != ID_COLUMN]
        for name in names:
            if name not in known:
                raise ValueError(f"columns to filter by: {unknown('column', name, known)}")
        if len(set(names)) < len(names):
            raise ValueError(f"columns to filter by: one appears twice in {', '.join(names)}")
        names = tuple(names) or tuple(name for name in known if _repeats(catalog.table[name]))
        if not names:
            raise ValueError(
                "this catalogue has no column to filter by: none of numbers, and none of text in which values repeat; name "
                "the columns that you mean with columns="
            )
        with_values = _known_columns.setdefault(catalog, {})
        for name in names:
            if name not in with_values:
                with_values[name] = _column(name, catalog.table[name])
        return cls(tuple(with_values[name] for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Names of the columns of one kind."""
        return tuple(column.name for column in self.columns if column.kind == kind)

    def find(self, name: object) -> Column | None:
        """The column of that name; else the only one whose name differs in case, blanks, `_` and `-` alone."""
        if not isinstance(name, str):
            return None
        exact = [column for column in self.columns if column.name == name]
        like = exact or [column for column in self.columns if _plain(column.name) == _plain(name[:_LONGEST])]
        return like[0] if len(like) == 1 else None

    def read(self, written: object, most: int) -> tuple[tuple[Condition, ...], int]:
        """What the filters of a completion say.

        Args:
            written: the decoded JSON.
            most: conditions that are read.

        Returns:
            The conditions, sorted and without repetitions; and how many were ignored: those with an unknown column or
            operator, of a wrong type, or beyond `most`. A null or an empty text is no condition.
        """
        entries = (entry for entry in _entries(written) if entry[2] not in (None, ""))
        conditions: set[Condition] = set()
        ignored = 0
        for name, sign, value in islice(entries, most):
            column = self.find(name)
            condition = None if column is None else column.condition(sign, value)
            if condition is None:
                ignored += 1
            else:
                conditions.add(condition)
        return tuple(sorted(conditions)), ignored + sum(1 for _ in entries)


def conditions_text(conditions: Iterable[Condition]) -> str:
    """Conditions in one spelling: a JSON list of `[column, operator, value]`; an empty text for none."""
    triples = [list(condition) for condition in conditions]
    return json.dumps(triples, ensure_ascii=False) if triples else ""


def as_written(conditions: Sequence[Condition]) -> Any:
    """Conditions as a policy writes them: `{"price": {"<=": 50}, "size": "A3"}`, or triples where that cannot say them."""
    table: dict[str, Any] = {}
    for column, sign, value in conditions:
        signs = table.setdefault(column, {})
        if sign in signs:
            return [list(condition) for condition in conditions]
        signs[sign] = value
    return {column: signs["=="] if list(signs) == ["=="] else signs for column, signs in table.items()}


def _entries(written: object) -> Iterator[_Entry]:
    """The single conditions in what was written, in whatever form."""
    if isinstance(written, Mapping):
        if "column" in written and "value" in written:
            yield written["column"], written.get("operator", "=="), written["value"]
            return
        for name, value in written.items():
            value = value[0] if isinstance(value, list) and len(value) == 1 else value
            if isinstance(value, Mapping):
                yield from ((name, sign, inner) for sign, inner in value.items())
            else:
                yield name, "==", value
    elif isinstance(written, list):
        for part in written:
            if isinstance(part, Mapping):
                yield from _entries(part)
            elif isinstance(part, list) and len(part) == 3:
                yield part[0], part[1], part[2]
            else:
                yield None, None, part
    else:
        yield None, None, written


_known_columns: WeakKeyDictionary[Catalog, dict[str, Column]] = WeakKeyDictionary()


def _column(name: str, values: pa.ChunkedArray) -> Column:
    if not is_text(values.type):
        return Column(name, TRUTH if pa.types.is_boolean(values.type) else NUMBER, {})
    folded: dict[str, tuple[str, ...]] = {}
    distinct = pc.unique(values).drop_null()
    for value in distinct.to_pylist() if len(distinct) <= MANY_VALUES else ():
        folded[_folded(value)] = (*folded.get(_folded(value), ()), value)
    return Column(name, TEXT, folded)


def _repeats(values: pa.ChunkedArray) -> bool:
    """Whether a column is one to filter by, so far as a sample tells: of text, there are two items to a value."""
    if not is_text(values.type):
        return True
    sample = values.slice(0, _SAMPLED)
    return 2 * len(pc.unique(sample)) <= len(sample)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _plain(name: str) -> str:
    return _GAPS.sub("", name).casefold()
