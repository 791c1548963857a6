"""The protocol of a recommender, and the error that a failing one raises."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, check_filters
from rec_gym.ranking import Rankings

T = TypeVar("T")


class RecommenderError(RuntimeError):
    """A recommender failed. The message says what was sent; a failure is never turned into a reward."""


@runtime_checkable
class Recommender(Protocol):
    """A black box that ranks a catalogue for a batch of queries.

    It never sees gains. Optional capabilities, found by their names:

    * `fit(catalog) -> Self` for one that holds an index (`Fits`);
    * `fit_histories(catalog, histories) -> Self` for one that learns from train histories (`FitsHistories`);
    * `rank_of(queries, items, k, exclude) -> Ragged`, exact ranks without a list (`RanksItems`);
    * `searched(queries) -> list[str]`, the words that were actually searched for (`SaysWhatItSearched`);
    * `clips(queries) -> bool [n]`, which queries are longer than it can read (`SaysWhatItClips`);
    * `filters_items` and a keyword `filters` of `rank`, which items may be ranked (`FiltersItems`);
    * `fitted_to`, the catalogue that it was fitted to (`FittedTo`).

    Attributes:
        query_language: `"bag of words"`, `"natural language"` or `"boolean"`; a prompt may mention it.
    """

    query_language: str

    def rank(self, queries: Sequence[str], k: int, exclude: Sequence[np.ndarray] | None = None) -> Rankings:
        """Ranks the catalogue for each query.

        Args:
            queries: n texts, any Unicode.
            k: places in each ranking.
            exclude: for each query the item positions (int32) that must not be ranked.

        Returns:
            Rankings [n, k]; ties by lower item position; items that match nothing are not ranked.
        """
        ...


@runtime_checkable
class Fits(Protocol):
    """A recommender that prepares itself for a catalogue."""

    def fit(self, catalog: Catalog) -> Recommender:
        """Builds or opens the index of `catalog` and returns the recommender that holds it."""
        ...


@runtime_checkable
class FitsHistories(Protocol):
    """A recommender that learns from the histories of the train split, and reads each request's own history.

    It gets the train histories when it is fitted: what shoppers bought before, never the items that a request asks for
    (gains are never passed). When it ranks, the request's history is what it is told to exclude: a task with
    `exclude_history` passes it.

    Attributes:
        uses_histories: whether it does so with its settings; a hybrid does if any of its parts does.
    """

    @property
    def uses_histories(self) -> bool: ...  # noqa: D102

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> Recommender:
        """Learns from `histories`, item positions oldest first, and returns the recommender that ranks `catalog`."""
        ...


@runtime_checkable
class RanksItems(Protocol):
    """A recommender that finds the ranks of given items without building a list."""

    def rank_of(
        self, queries: Sequence[str], items: Ragged, k: int, exclude: Sequence[np.ndarray] | None = None
    ) -> Ragged:
        """Ranks (from 0, int32) that `rank` with the same `k` would give to `items`; -1 where an item is not ranked."""
        ...


@runtime_checkable
class FiltersItems(Protocol):
    """A recommender that ranks only the items that pass a filter, exactly.

    A filter is a tuple of conditions `(column, operator, value)` on the catalogue's columns, operator `<=`, `>=` or `==`;
    an item must meet all of them, and one without a value meets none. What it ranks is what it would rank if the other
    items were excluded. If it has `rank_of`, that takes `filters` too.

    Attributes:
        filters_items: whether it does so with its settings; a hybrid does if all of its parts do.
    """

    @property
    def filters_items(self) -> bool: ...  # noqa: D102

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the items that pass; see `Recommender.rank`.

        Args:
            queries: n texts.
            k: places in each ranking.
            exclude: as for `Recommender.rank`.
            filters: for each query the conditions that a ranked item must meet, or None; None for no filter at all.

        Raises:
            ValueError: a condition names an unknown column or operator, or its value is not of the column's type.
        """
        ...


@runtime_checkable
class SaysWhatItSearched(Protocol):
    """A recommender that can say which words of a query it used."""

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the engine used, in the form it used, separated by spaces."""
        ...


@runtime_checkable
class SaysWhatItClips(Protocol):
    """A recommender that can say which queries it reads only in part, without a ranking."""

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries are longer than the recommender can read, bool [n]: what `Rankings.clipped` would hold."""
        ...


@runtime_checkable
class FittedTo(Protocol):
    """A recommender that says which catalogue it was fitted to, so that a task can refuse it for another catalogue.

    Attributes:
        fitted_to: the catalogue's `content_hash`; None before `fit`.
    """

    fitted_to: str | None


class NotFittedError(RuntimeError, ValueError):
    """A recommender was used before `fit`, or instead of the one that `fit` returned."""


def fitted_copy(recommender: T, catalog: Catalog, **state: Any) -> T:
    """A copy of `recommender` that is fitted to `catalog`: what every `fit` returns.

    All settings are copied, including those of a subclass, so that none can be forgotten.

    Args:
        recommender: has its settings in attributes; it is not changed.
        catalog: what the copy ranks.
        state: the results of fitting: attributes of the copy.
    """
    fitted = copy.copy(recommender)
    for name, value in {**state, "fitted_to": catalog.content_hash}.items():
        setattr(fitted, name, value)
    return fitted


def check_fitted(recommender: object, catalog: Catalog | None = None) -> None:
    """Checks that a recommender is fitted, and to this catalogue; one that does not say is believed.

    Raises:
        NotFittedError: it is not fitted.
        ValueError: it is fitted to another catalogue than `catalog`.
    """
    if not isinstance(recommender, FittedTo):
        return
    name = type(recommender).__name__
    if recommender.fitted_to is None:
        fit = "fit(catalog)" if isinstance(recommender, Fits) else "fit_histories(catalog, histories)"
        raise NotFittedError(f"this {name} is not fitted; call {fit} and use what it returns")
    if catalog is not None and recommender.fitted_to != catalog.content_hash:
        raise ValueError(
            f"this {name} is fitted to another catalogue than the dataset's; call fit(dataset.catalog) and use what it "
            "returns"
        )


def reads_histories(recommender: object) -> bool:
    """Whether a recommender, or one inside it, learns from histories and reads each request's history."""
    return isinstance(recommender, FitsHistories) and recommender.uses_histories


def honours_filters(recommender: object) -> bool:
    """Whether a recommender, and all that it asks, ranks only the items that pass a filter."""
    return isinstance(recommender, FiltersItems) and bool(recommender.filters_items)


def ranked(
    recommender: Recommender,
    queries: Sequence[str],
    k: int,
    exclude: Sequence[np.ndarray] | None,
    filters: Sequence[Filter | None] | None,
) -> Rankings:
    """What a recommender that another one asks ranks; `filters` is passed on only where a query has a condition.

    Raises:
        ValueError: a query has a condition, and the recommender does not take filters.
    """
    if filters is None or not any(check_filters(filters, len(queries))):
        return recommender.rank(queries, k, exclude)
    if not (isinstance(recommender, FiltersItems) and recommender.filters_items):
        raise ValueError(
            f"{type(recommender).__name__} does not take filters; choose one whose filters_items is true, or ask without"
        )
    return recommender.rank(queries, k, exclude, filters=filters)


def with_clipped(rankings: Rankings, recommender: object, queries: Sequence[str]) -> Rankings:
    """Rankings that say which queries were clipped; the recommender is asked if they do not say."""
    if rankings.clipped is not None or not isinstance(recommender, SaysWhatItClips):
        return rankings
    return replace(rankings, clipped=np.asarray(recommender.clips(queries)))


def clips_of(recommenders: Sequence[object], queries: Sequence[str]) -> np.ndarray:
    """Which queries any of several recommenders clips, bool [n]; a recommender that does not say clips none."""
    clipped = np.zeros(len(queries), bool)
    for recommender in recommenders:
        if isinstance(recommender, SaysWhatItClips):
            clipped |= np.asarray(recommender.clips(queries))
    return clipped
