"""Facets: which values the items of a result list have, as a shop shows them beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rec_gym.catalog import Catalog
from rec_gym.columns import is_text

_SHOWN = 5  # values of a column, at most
_LONGEST = 60  # characters of a value


def facets(catalog: Catalog, items: Sequence[int], columns: Sequence[str]) -> str:
    """The values of some columns among some items, on one line: texts and truth values with counts, numbers as ranges.

    Args:
        catalog: the items.
        items: positions.
        columns: names of columns; one of which no item has a value is left out.

    Returns:
        Such as `price: 20 to 50; size: A4 (3), A3 (1)`; the most frequent values first, at most five of a column. Empty
        where there is nothing to say.
    """
    parts = ((name, _facet(catalog.table[name], items)) for name in columns)
    return "; ".join(f"{name}: {facet}" for name, facet in parts if facet)


def _facet(column: pa.ChunkedArray, items: Sequence[int]) -> str:
    # One by one: Arrow's take on a column of many chunks would copy the whole column.
    values: list[Any] = [column[item].as_py() for item in items]
    present = [value for value in values if value is not None]
    if is_text(column.type) or pa.types.is_boolean(column.type):
        return _counted([_short(str(value)) for value in present if value != ""])
    numbers = [value for value in present if value == value]  # without NaN
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    return f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"


def _counted(values: list[str]) -> str:
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    more = len(counts) - _SHOWN
    shown = [f"{value} ({count})" for value, count in counts[:_SHOWN]]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _short(value: str) -> str:
    value = " ".join(value.split())
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}..."
