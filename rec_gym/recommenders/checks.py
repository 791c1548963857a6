"""Checks of the arguments of `rank` and `rank_of`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_gym.columns import first_few
from rec_gym.filters import Filter, FilterRanges, FilterTable


def check_queries(queries: Sequence[str], k: int) -> None:
    """Checks that queries are a list of texts and that k is at least 1.

    Raises:
        TypeError: `queries` is one text, or holds something other than texts.
        ValueError: k is below 1.
    """
    if isinstance(queries, str):
        raise TypeError("queries must be a list of texts, not one text; write [query]")
    wrong = [i for i, query in enumerate(queries) if not isinstance(query, str)]
    if wrong:
        raise TypeError(f"queries must be texts; check the queries at positions {first_few(wrong)}")
    if k < 1:
        raise ValueError(f"k, the places in a ranking, must be at least 1, not {k}")


def check_items(items: np.ndarray, size: int, what: str) -> None:
    """Checks that item positions are in a catalogue of `size` items.

    Raises:
        ValueError: one does not.
    """
    outside = (items < 0) | (items >= size)
    if outside.any():
        wrong = first_few(items[outside].tolist())
        raise ValueError(f"{what} must be positions in the catalogue of {size} items; wrong: {wrong}")


def check_excluded(exclude: Sequence[np.ndarray] | None, count: int, size: int) -> list[np.ndarray] | None:
    """The item positions that each of `count` queries must not rank, int64; None if none is excluded.

    Raises:
        ValueError: `exclude` does not have `count` rows, holds something other than lists of positions, or an item is not
            in the catalogue of `size` items.
    """
    if exclude is None:
        return None
    rows = excluded_rows(exclude, count)
    for row in rows:
        check_items(row, size, "excluded items")
    return rows


def excluded_rows(exclude: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """The rows of `exclude`, int64, one for each of `count` queries; whether the items exist is not checked.

    Raises:
        ValueError: it does not have `count` rows, or holds something other than lists of positions.
    """
    if isinstance(exclude, str | bytes) or len(exclude) != count:
        what = "one text" if isinstance(exclude, str | bytes) else f"{len(exclude)} queries"
        raise ValueError(
            f"exclude names items for {what}, but there are {count} queries; give one list of positions per query"
        )
    rows = []
    for row in exclude:
        positions = np.asarray(row)
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise ValueError(
                f"exclude holds one list of item positions (int) per query, such as [[3, 5]], not {row!r:.200}"
            )
        rows.append(positions.astype(np.int64))
    return rows


def filter_ranges(
    table: FilterTable | None, filters: Sequence[Filter | None] | None, count: int
) -> FilterRanges | None:
    """The filters of `count` queries as ranges; None if no query has a condition.

    Args:
        table: of the catalogue that the recommender was fitted to.
        filters: the argument of `rank`.
        count: how many queries there are.

    Raises:
        ValueError: `filters` does not fit the queries, or a condition does not fit the catalogue.
    """
    if filters is None:
        return None
    if table is None:
        raise RuntimeError("a recommender that takes filters needs FilterTable.of(catalog) when it is fitted")
    ranges = table.ranges(filters, count)
    return ranges if len(ranges.low) else None
