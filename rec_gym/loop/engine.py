"""A recommender as a task asks it: history left out, filters applied, answers looked at, failures raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from rec_gym.columns import Ragged, first_few
from rec_gym.dataset import Dataset
from rec_gym.filters import Filter, FilterRanges, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders import RECOMMENDERS
from rec_gym.recommenders.base import (
    RanksItems,
    Recommender,
    RecommenderError,
    SaysWhatItClips,
    SaysWhatItSearched,
    check_fitted,
    honours_filters,
    reads_histories,
)


def check_filters_items(recommender: object, why: str) -> None:
    """Checks that a recommender can filter.

    Args:
        recommender: as a task gets it.
        why: what needs it, for the message.

    Raises:
        ValueError: it does not say `filters_items`; the message lists the recommenders that do.
    """
    if not honours_filters(recommender):
        able = [name for name, made in RECOMMENDERS.items() if getattr(made, "filters_items", False)]
        raise ValueError(
            f"{why}, and {type(recommender).__name__} cannot filter; choose from: {', '.join(able)}, or a custom "
            "recommender with filters_items = True, whose rank() takes filters="
        )


@dataclass(frozen=True)
class Engine:
    """The black box and what a task holds it to.

    Attributes:
        recommender: what ranks.
        dataset: its requests ask.
        exclude_history: whether items of a request's own history are left out.

    Raises:
        NotFittedError: the recommender is not fitted.
        ValueError: it is fitted to another catalogue, reads histories that it would not get, or cannot filter although
            requests have filters.
    """

    recommender: Recommender
    dataset: Dataset
    exclude_history: bool = True

    def __post_init__(self) -> None:
        check_fitted(self.recommender, self.dataset.catalog)
        if self.dataset.has_filters:
            check_filters_items(self.recommender, "requests of this dataset have filters")
        if not reads_histories(self.recommender):
            return
        name = type(self.recommender).__name__
        if not self.exclude_history:
            raise ValueError(
                f"{name} reads a request's history from the items that are left out of its ranking; keep "
                "exclude_history=True"
            )
        if self.dataset.history.values.size == 0:
            raise ValueError(
                f"{name} reads the histories of requests, and no request of this dataset has one; choose another "
                "recommender"
            )

    @cached_property
    def excludes(self) -> bool:
        """Whether items of the request's history are left out."""
        return self.exclude_history and self.dataset.history.values.size > 0

    @property
    def by_request(self) -> bool:
        """Whether an answer depends on the request beside the query and the filters in the action."""
        return self.excludes or self.dataset.has_filters

    def filters(self, rows: np.ndarray, written: Sequence[Filter] | None) -> list[Filter] | None:
        """What each ranking is filtered by: the request's own filters and those that were written; None without any.

        Args:
            rows: the request of each query.
            written: the filters in the action behind each query; None for none.
        """
        if not self.dataset.has_filters:
            return list(written) if written is not None and any(written) else None
        own = self.dataset.filters(rows)
        if written is None:
            return own
        return [(*first, *(c for c in then if c not in first)) for first, then in zip(own, written, strict=True)]

    def open_to(self, row: int, items: np.ndarray) -> np.ndarray:
        """Which of the items the request at `row` may be shown at all: not of its history, and its filters pass; bool."""
        shown = ~np.isin(items, self.dataset.history[row]) if self.excludes else np.ones(len(items), bool)
        if self.dataset.has_filters:
            shown &= self._ranges(self.dataset.filters(np.array([row]))).passes(0, items)
        return shown

    @property
    def ranks_items(self) -> bool:
        """Whether ranks can be had without a list."""
        return isinstance(self.recommender, RanksItems)

    def rank(
        self, queries: Sequence[str], rows: np.ndarray, k: int, written: Sequence[Filter] | None = None
    ) -> Rankings:
        """Ranks the catalogue for each query of the request at its row, and says which queries were clipped.

        Args:
            queries: n texts.
            rows: the request of each query.
            k: places in a ranking.
            written: the filters in the action behind each query, beside those of its request.

        Raises:
            RecommenderError: the recommender failed, or returned something that is not a valid ranking for these queries.
        """
        queries = list(queries)
        if not queries:
            return Rankings(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
        exclude = self._exclude(rows)
        filters = self.filters(rows, written)
        rankings = self._call("rank", queries, k, exclude, filters=filters)
        self._check(rankings, queries, k, exclude, filters)
        return rankings if rankings.clipped is not None else replace(rankings, clipped=self.clips(queries))

    def rank_of(
        self,
        queries: Sequence[str],
        rows: np.ndarray,
        items: Ragged,
        k: int,
        written: Sequence[Filter] | None = None,
    ) -> Ragged:
        """Ranks (from 0) of the given items; only for a recommender that `ranks_items`. See `rank`.

        Raises:
            RecommenderError: the recommender failed, or what it returned are no ranks of what was asked.
        """
        filters = self.filters(rows, written)
        found = self._call("rank_of", list(queries), items, k, self._exclude(rows), filters=filters)
        if not isinstance(found, Ragged) or not np.array_equal(found.offsets, items.offsets):
            problem = f"it returned {type(found).__name__}, not Ragged with a rank for each item"
        elif not np.issubdtype(found.values.dtype, np.integer):
            problem = f"ranks are whole numbers, not {found.values.dtype}"
        elif found.values.size and (found.values.min() < NOT_RANKED or found.values.max() >= k):
            problem = f"ranks lie in [0, {k}), and -1 says that an item is not ranked"
        else:
            return found
        name = type(self.recommender).__name__
        raise RecommenderError(f"{name}.rank_of, asked {first_few(queries, 3)}: {problem}")

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries the recommender reads a part of only, bool [n]; none where it does not say.

        Raises:
            RecommenderError: the recommender failed, or did not return one truth value for each query.
        """
        if not queries or not isinstance(self.recommender, SaysWhatItClips):
            return np.zeros(len(queries), bool)
        clipped = np.asarray(self._call("clips", list(queries)))
        if clipped.shape == (len(queries),) and clipped.dtype == bool:
            return clipped
        name = type(self.recommender).__name__
        raise RecommenderError(
            f"{name}.clips, asked {first_few(queries, 3)}: it returned {clipped.dtype} {list(clipped.shape)}, not bool "
            f"[{len(queries)}]"
        )

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the recommender used, or the query where it does not say."""
        recommender = self.recommender
        return recommender.searched(queries) if isinstance(recommender, SaysWhatItSearched) else list(queries)

    def _exclude(self, rows: np.ndarray) -> list[np.ndarray] | None:
        return [self.dataset.history[row] for row in rows] if self.excludes else None

    def _ranges(self, filters: Sequence[Filter]) -> FilterRanges:
        return FilterTable.of(self.dataset.catalog).ranges(filters)

    def _call(
        self, method: str, queries: list[str], *arguments: object, filters: Sequence[Filter] | None = None
    ) -> Any:
        keywords = {} if filters is None else {"filters": filters}  # a recommender need not know the word
        try:
            return getattr(self.recommender, method)(queries, *arguments, **keywords)
        except Exception as error:
            name = type(self.recommender).__name__
            raise RecommenderError(
                f"{name}.{method} failed on {len(queries)} queries ({first_few(queries, 3)}): {error}"
            ) from error

    def _check(
        self,
        rankings: Rankings,
        queries: list[str],
        k: int,
        exclude: list[np.ndarray] | None,
        filters: list[Filter] | None,
    ) -> None:
        """A custom recommender may err; what it returns is checked before it becomes a reward."""
        name = type(self.recommender).__name__
        try:
            if not isinstance(rankings, Rankings):
                raise ValueError(f"it returned {type(rankings).__name__}, not Rankings")
            if len(rankings) != len(queries) or rankings.depth > k:
                raise ValueError(f"it returned [{len(rankings)}, {rankings.depth}] for {len(queries)} queries, k = {k}")
            rankings.check(len(self.dataset.catalog))
            if exclude is not None and (rankings.ranks_of(Ragged.from_rows(exclude, np.int32)).values >= 0).any():
                raise ValueError("it ranked items that were to be excluded")
            if filters is not None:
                ranges = self._ranges(filters)
                for place, items in enumerate(rankings.items):
                    if not ranges.passes(place, items[items != NOT_RANKED]).all():
                        raise ValueError(f"it ranked items that do not pass the filters {filters[place]}")
        except ValueError as error:
            raise RecommenderError(f"{name}.rank, asked {first_few(queries, 3)}: {error}") from error
