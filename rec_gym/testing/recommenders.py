"""The check of a recommender."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import OPERATORS, Filter
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import (
    Fits,
    FittedTo,
    RanksItems,
    Recommender,
    SaysWhatItClips,
    SaysWhatItSearched,
    honours_filters,
    reads_histories,
)
from rec_gym.testing.base import attempt, pickled, require

_ODD_QUERIES = [
    "",
    " ",
    "zzzz qqqq",
    "\ud800",
    "Ärger \udfff \0",
    "(a AND b) OR \"c* ~d^2 [e TO f] \\ '; --",
    "long " * 2000,
]
_TOLERANCE = 1e-4  # of scores in float32: sums of a batch may be taken in another order


def check_recommender(recommender: Recommender, catalog: Catalog) -> None:
    """Checks that a recommender keeps its promises on a catalogue.

    * It is a `Recommender`: `query_language` is a text, and `rank` returns `Rankings` of at most k places, one row per
      query: known items, none twice, scores that do not increase, padding at the end only.
    * Any text is a query: empty, unknown words, control characters, lone surrogates, very long. No queries are allowed.
    * A query is ranked the same alone and in any batch, and again when it is repeated.
    * A shallower ranking is the top of a deeper one; ties are ordered by lower item position.
    * What is excluded is not ranked, and what was ranked otherwise still is (unless it reads histories).
    * With filters, it ranks what it would rank if the items that do not pass were excluded, with the same scores, and
      `rank_of` agrees; an unknown column is a `ValueError`. This holds if `filters_items` is true; one that reads
      histories must only rank nothing that does not pass.
    * `rank_of` agrees with `rank`, `searched` returns a text per query, and `clips` agrees with `Rankings.clipped`, where
      it has them.
    * A pickled copy ranks the same.

    Args:
        recommender: it is fitted to the catalogue here if it has `fit`; one that learns from histories is passed as
            `fit_histories` returned it.
        catalog: what it ranks; titles are used as queries.

    Raises:
        AssertionError: it breaks a promise; the message says which, and for which query.
        ValueError: it learns from histories and is not fitted.
    """
    require(
        isinstance(recommender, Recommender),
        f"a recommender needs rank() and query_language; {type(recommender).__name__} lacks them",
    )
    fitted = _fitted(recommender, catalog)
    require(isinstance(fitted.query_language, str) and fitted.query_language, "query_language must be a text")
    size = len(catalog)
    queries = _queries(catalog)
    full = _rank(fitted, queries, size, None, size)
    _check_batches(fitted, queries, full, size)
    _check_depths(fitted, queries, full, size)
    _check_exclusions(fitted, queries, full, size)
    _check_capabilities(fitted, queries, full, size)
    if honours_filters(fitted):
        _check_filters(fitted, queries, full, catalog)
    copied = pickled(fitted, f"the fitted {type(fitted).__name__}")
    _same(full, _rank(copied, queries, size, None, size), queries, "a pickled copy ranks")


def _fitted(recommender: Any, catalog: Catalog) -> Any:
    if isinstance(recommender, FittedTo) and recommender.fitted_to == catalog.content_hash:
        return recommender
    if reads_histories(recommender):
        if isinstance(recommender, FittedTo) and recommender.fitted_to is None:
            raise ValueError(
                f"{type(recommender).__name__} learns from histories: pass what fit_histories(catalog, histories) returns"
            )
        return recommender
    if not isinstance(recommender, Fits):
        return recommender
    fitted = attempt("fit(catalog)", recommender.fit, catalog)
    require(isinstance(fitted, Recommender), f"fit must return the fitted recommender, not {type(fitted).__name__}")
    return fitted


def _queries(catalog: Catalog) -> list[str]:
    titles = catalog.titles(np.arange(min(len(catalog), 12)))
    words = sorted({word for title in titles for word in title.split()})[:8]
    return [*titles, *words, " ".join(words), *_ODD_QUERIES, titles[0]]


def _rank(
    fitted: Any, queries: list[str], k: int, exclude: list[np.ndarray] | None, size: int, **filters: Any
) -> Rankings:
    """Valid rankings: what `rank` returns, checked."""
    what = f"rank({', '.join(repr(query[:40]) for query in queries[:3])}, ..., k={k}{', filters' if filters else ''})"
    rankings = attempt(what, fitted.rank, queries, k, exclude, **filters)
    require(isinstance(rankings, Rankings), f"rank must return Rankings, not {type(rankings).__name__}; see from_ids")
    require(len(rankings) == len(queries), f"rank returned {len(rankings)} rankings for {len(queries)} queries")
    require(rankings.depth <= k, f"rank returned {rankings.depth} places, more than k={k}; cut the rankings to k")
    attempt(f"checking the rankings of {what}", rankings.check, size)
    return rankings


def _row(rankings: Rankings, row: int) -> list[int]:
    items = rankings.items[row]
    return items[items != NOT_RANKED].tolist()


def _same(expected: Rankings, actual: Rankings, queries: list[str], what: str, k: int | None = None) -> None:
    for row, query in enumerate(queries):
        items = _row(expected, row)[:k]
        require(
            _row(actual, row) == items,
            f"{what} the query {query[:60]!r} differently: {_row(actual, row)[:10]} instead of {items[:10]}",
        )
        scores = expected.scores[row, : len(items)], actual.scores[row, : len(items)]
        require(np.allclose(*scores, _TOLERANCE, _TOLERANCE), f"{what} the query {query[:60]!r} with different scores")


def _check_batches(fitted: Any, queries: list[str], full: Rankings, size: int) -> None:
    require(_row(full, 0) == _row(full, len(queries) - 1), f"{queries[0]!r} is ranked in two ways within one batch")
    _same(full, _rank(fitted, queries, size, None, size), queries, "a second call ranks")
    backwards = np.arange(len(queries))[::-1]
    again = _rank(fitted, queries[::-1], size, None, size).take(backwards)
    _same(full, again, queries, "a batch in another order ranks")
    for row, query in enumerate(queries):
        _same(full.take(np.array([row])), _rank(fitted, [query], size, None, size), [query], "a batch of one ranks")
    _rank(fitted, [], size, None, size)


def _check_depths(fitted: Any, queries: list[str], full: Rankings, size: int) -> None:
    for k in sorted({1, min(3, size), size, size + 5}):
        _same(full, _rank(fitted, queries, k, None, size), queries, f"k={k} ranks", k)
    ranked = full.items != NOT_RANKED
    tied = ranked[:, 1:] & ranked[:, :-1] & (full.scores[:, 1:] == full.scores[:, :-1])
    wrong = np.flatnonzero((tied & (full.items[:, 1:] < full.items[:, :-1])).any(axis=1)).tolist()
    require(
        not wrong,
        f"items of equal score must be ordered by lower position, as for {[queries[row][:60] for row in wrong[:1]]}; "
        "sort by np.lexsort((positions, -scores)), or use Rankings.from_ids with scores",
    )


def _check_exclusions(fitted: Any, queries: list[str], full: Rankings, size: int) -> None:
    exclude = [np.array(_row(full, row)[:2] or [0], np.int32) for row in range(len(queries))]
    left = _rank(fitted, queries, size, exclude, size)
    for row, query in enumerate(queries):
        hidden, after = set(exclude[row].tolist()), set(_row(left, row))
        require(not hidden & after, f"items {sorted(hidden & after)} were excluded and are ranked for {query[:60]!r}")
        lost = set(_row(full, row)) - hidden - after
        require(
            not lost or reads_histories(fitted),
            f"items {sorted(lost)[:5]} are no longer ranked for {query[:60]!r} because others were excluded",
        )
    nothing = [np.empty(0, np.int32) for _ in queries]
    _same(full, _rank(fitted, queries, size, nothing, size), queries, "an empty exclusion ranks")


def _check_capabilities(fitted: Any, queries: list[str], full: Rankings, size: int) -> None:
    if isinstance(fitted, RanksItems):
        wanted = Ragged.from_rows([[row % size, (row * 7 + 3) % size] for row in range(len(queries))], np.int32)
        for k in sorted({1, min(3, size), size}):
            expected = _rank(fitted, queries, k, None, size).ranks_of(wanted)
            actual = attempt(f"rank_of(k={k})", fitted.rank_of, queries, wanted, k, None)
            wrong = np.flatnonzero(expected.values != actual.values)
            names = [queries[expected.row_of[place]][:60] for place in wrong[:1]]
            require(not wrong.size, f"rank_of(k={k}) does not agree with rank for {names}")
    if isinstance(fitted, SaysWhatItSearched):
        searched = attempt("searched(queries)", fitted.searched, queries)
        texts = len(searched) == len(queries) and all(isinstance(text, str) for text in searched)
        require(texts, "searched must return one text per query")
    if isinstance(fitted, SaysWhatItClips):
        clips = np.asarray(attempt("clips(queries)", fitted.clips, queries))
        require(clips.shape == (len(queries),) and clips.dtype == bool, "clips must return one bool per query")
        require(full.clipped is None or (full.clipped == clips).all(), "clips does not agree with Rankings.clipped")


def _check_filters(fitted: Any, queries: list[str], full: Rankings, catalog: Catalog) -> None:
    size, choices = len(catalog), _some_filters(catalog)
    filters = [choices[row % len(choices)] for row in range(len(queries))]
    hidden = [_not_passing(catalog, own) for own in filters]
    for also in ([], [0], list(range(0, size, 2))):
        exclude = [np.array(also, np.int32) for _ in queries] if also else None
        expected = [np.union1d(row, also).astype(np.int32) for row in hidden]
        for k in sorted({1, min(3, size), size}):
            filtered = _rank(fitted, queries, k, exclude, size, filters=filters)
            for row, query in enumerate(queries):
                wrong = sorted(set(_row(filtered, row)) & set(expected[row].tolist()))
                what = f"items {wrong[:5]} are ranked for {query[:60]!r} and the filter {filters[row]}"
                require(not wrong, f"{what}, which they do not pass (or were excluded)")
            if not reads_histories(fitted):
                excluding = _rank(fitted, queries, k, expected, size)
                _same(
                    excluding,
                    filtered,
                    queries,
                    "with a filter, instead of the exclusion of what does not pass, it ranks",
                )
            if isinstance(fitted, RanksItems):
                _check_filtered_ranks(fitted, queries, filtered, k, exclude, filters, size)
    nothing = _rank(
        fitted, queries, size, None, size, filters=[None, ()] * (len(queries) // 2) + [None] * (len(queries) % 2)
    )
    _same(full, nothing, queries, "without conditions in filters, it ranks")
    try:
        fitted.rank(queries[:1], 1, None, filters=[(("no such column", "==", 1),)])
    except ValueError:
        return
    require(False, "a filter on an unknown column must be a ValueError; rec_gym.filters.FilterTable checks it")


def _check_filtered_ranks(
    fitted: Any,
    queries: list[str],
    filtered: Rankings,
    k: int,
    exclude: list[np.ndarray] | None,
    filters: list[Filter],
    size: int,
) -> None:
    wanted = Ragged.from_rows([np.arange(size)] * len(queries), np.int32)
    actual = attempt(f"rank_of(k={k}, filters)", fitted.rank_of, queries, wanted, k, exclude, filters=filters)
    wrong = np.flatnonzero(filtered.ranks_of(wanted).values != actual.values)
    names = [queries[wanted.row_of[place]][:60] for place in wrong[:1]]
    require(not wrong.size, f"rank_of(k={k}) does not agree with rank for {names} with filters")


def _some_filters(catalog: Catalog) -> list[Filter]:
    """One condition on each column, two together, none, and one that no item meets."""
    single: list[Filter] = []
    for place, name in enumerate(catalog.table.column_names):
        values = sorted(value for value in catalog.table[name].to_pylist() if value is not None and value == value)
        finite = [value for value in values if isinstance(value, str) or math.isfinite(value)]
        if finite:
            single.append(((name, OPERATORS[place % len(OPERATORS)], finite[len(finite) // 2]),))
    ids = sorted(catalog.table[ID_COLUMN].to_pylist())
    two = single[-1] + single[0]
    return [*single, two, (), ((ID_COLUMN, ">=", ids[-1]), (ID_COLUMN, "<=", ids[0])) if len(ids) > 1 else two]


def _not_passing(catalog: Catalog, filtered: Filter) -> np.ndarray:
    """Positions of the items that do not pass, compared one by one."""
    columns = {name: catalog.table[name].to_pylist() for name, _, _ in filtered}
    compare = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
    passes = [
        all(
            columns[name][item] is not None and compare[sign](columns[name][item], value)
            for name, sign, value in filtered
        )
        for item in range(len(catalog))
    ]
    return np.flatnonzero(np.logical_not(passes)).astype(np.int32)
