"""The base of every recommender that asks a search engine.

An engine has its own syntax, its own order among equal scores and its own idea of what is an error. What is the same for
all of them is here: a query becomes quoted words and never reaches a query parser as it is, filters and exclusions are
handed over as data, equal questions are asked once, and what comes back is checked and ordered as a ranking.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import IdIndex, first_few
from rec_gym.filters import Bound, Filter, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import RecommenderError, check_fitted, fitted_copy
from rec_gym.recommenders.bm25.analyzer import ENGLISH_STOP_WORDS
from rec_gym.recommenders.checks import check_excluded, check_queries
from rec_gym.words import words

Self = TypeVar("Self", bound="SearchEngine")

_MORE = 32  # places beyond k that are asked for, so that most ties at the cut are seen whole at once


class Question(NamedTuple):
    """What an engine is asked for one query.

    Attributes:
        terms: words to search for, in lower case, without punctuation; an item that holds one of them matches.
        exclude: positions of items that must not be ranked.
        bounds: the values that a ranked item must have, one range for each column.
    """

    terms: tuple[str, ...]
    exclude: tuple[int, ...] = ()
    bounds: tuple[Bound, ...] = ()


class Hits(NamedTuple):
    """What an engine answers to one question, in any order.

    Attributes:
        items: item ids (text) or item positions (int); no item twice.
        scores: one finite number per item.
    """

    items: Sequence[str] | Sequence[int] | np.ndarray
    scores: Sequence[float] | np.ndarray


class SearchEngine(ABC):
    """A recommender that asks a search engine; a subclass implements `search`, and `attach` if it prepares something.

    The engine decides which items match and how they score. The rest is the same for all: equal scores (as float32) are
    ordered by item position, and a shallower ranking is the top of a deeper one, whatever the engine does among equals.

    Args:
        stop_words: whether Lucene's 33 English stop words are dropped from queries.

    Attributes:
        query_language: what a prompt may say of it.
        filters_items: whether `search` honours `Question.bounds`; a subclass that does sets it.
        excludes_items: whether `search` honours `Question.exclude`; a subclass that does sets it. One that does not is asked
            for that many items more, and they are left out here.
        lower_is_better: whether the engine's scores are distances, of which the lowest is the best.
        counts_repeats: whether a word that is repeated in a query is sent as often; it is sent once otherwise.
        max_words: words of a query that are sent; the others are ignored, and the query is `clipped`.
    """

    query_language = "bag of words"
    filters_items = False
    excludes_items = False
    lower_is_better = False
    counts_repeats = False
    max_words = 256
    fitted_to: str | None = None

    def __init__(self, stop_words: bool = True) -> None:
        self.stop_words = stop_words
        self._columns: FilterTable | None = None
        self._size = 0
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """Settings and the catalogue; connections are opened again where the pickle is."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_live_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Starts without what is opened lazily in each process: attributes whose names begin with `_live_`."""
        self._live_lock = threading.Lock()
        self._live_ids: IdIndex | None = None

    @abstractmethod
    def search(self, questions: Sequence[Question], k: int) -> Sequence[Hits]:
        """Asks the engine.

        Args:
            questions: distinct ones, each with at least one term.
            k: how many items to return for each, at most. The engine must return its k best; which of several items with
                the same score it leaves out does not matter.

        Returns:
            The hits of each question.
        """

    def attach(self, catalog: Catalog) -> dict[str, Any]:
        """Prepares the engine for a catalogue, or checks that it holds it; called by `fit`.

        Returns:
            Attributes of the fitted recommender, which can be pickled.
        """
        return {}

    def fit(self: Self, catalog: Catalog) -> Self:
        """Prepares the engine for `catalog`, or checks that it holds it.

        Returns:
            A recommender with the same settings that ranks `catalog`; this one stays as it is.
        """
        state = self.attach(catalog)
        return fitted_copy(self, catalog, _columns=FilterTable.of(catalog), _size=len(catalog), **state)

    def terms(self, query: str) -> list[str]:
        """All words of a query that are worth searching for, in their order."""
        all_words = words(query) if self.counts_repeats else dict.fromkeys(words(query))
        return [word for word in all_words if not (self.stop_words and word in ENGLISH_STOP_WORDS)]

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the engine is asked for."""
        check_fitted(self)
        return [" ".join(self.terms(query)[: self.max_words]) for query in queries]

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries have more than `max_words` words, bool [n]."""
        check_fitted(self)
        return np.array([len(self.terms(query)) > self.max_words for query in queries], bool)

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`.

        Raises:
            RecommenderError: the engine failed or its answer cannot be used.
            ValueError: k is below 1, `exclude` or `filters` does not fit the queries, or this engine takes no filters.
            TypeError: a query is not a text.
        """
        check_fitted(self)
        check_queries(queries, k)
        questions, clipped = self._questions(queries, exclude, filters)
        distinct = list(dict.fromkeys(question for question in questions if question is not None))
        depth = min(k, self._size)
        lists = dict(zip(distinct, self._best(distinct, depth), strict=True))
        items = np.full((len(queries), depth), NOT_RANKED, np.int32)
        scores = np.zeros((len(queries), depth), np.float32)
        for row, question in enumerate(questions):
            if question is not None:
                best, values = lists[question]
                items[row, : len(best)], scores[row, : len(best)] = best, values
        return Rankings(items, scores, clipped)

    def _questions(
        self,
        queries: Sequence[str],
        exclude: Sequence[np.ndarray] | None,
        filters: Sequence[Filter | None] | None,
    ) -> tuple[list[Question | None], np.ndarray]:
        """What to ask for each query, None if nothing can match; and which queries are clipped."""
        assert self._columns is not None
        excluded = check_excluded(exclude, len(queries), self._size)
        bounds: list[tuple[Bound, ...] | None] = [()] * len(queries)
        if filters is not None:
            bounds = self._columns.bounds(filters, len(queries))
            if not self.filters_items and any(own != () for own in bounds):
                raise ValueError(
                    f"{type(self).__name__} does not take filters; choose a recommender whose filters_items is true"
                )
        questions: list[Question | None] = []
        clipped = np.zeros(len(queries), bool)
        for place, query in enumerate(queries):
            terms, own = self.terms(query), bounds[place]
            clipped[place] = len(terms) > self.max_words
            hidden = () if excluded is None else tuple(np.unique(excluded[place]).tolist())
            answerable = bool(terms) and own is not None
            questions.append(Question(tuple(terms[: self.max_words]), hidden, own or ()) if answerable else None)
        return questions, clipped

    def _best(self, questions: list[Question], depth: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The positions (int64) and scores (float32) of the best items for each question, in order, at most `depth`.

        The engine is asked for a few more. Where all of those have the score of the last one that is ranked, the engine may
        have left out an item with the same score and a lower position, and is asked for twice as many.
        """
        lists: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(questions)
        left, limit = list(range(len(questions))), depth + _MORE
        if not self.excludes_items:
            limit += max((len(question.exclude) for question in questions), default=0)
        while left:
            limit = min(limit, self._size)
            asked = [questions[place] for place in left]
            if not self.excludes_items:
                asked = [question._replace(exclude=()) for question in asked]
            answers = list(self.search(asked, limit))
            if len(answers) != len(asked):
                raise self._error(asked, f"{len(answers)} answers came for {len(asked)} questions")
            again = []
            for place, question, hits in zip(left, asked, answers, strict=True):
                items, scores = self._ordered(question, hits, limit)
                shown = np.isin(items, questions[place].exclude, invert=True)
                best = scores[shown][:depth]
                lists[place] = items[shown][:depth], best
                if len(best) == depth and len(items) == limit < self._size and best[-1] == scores[-1]:
                    again.append(place)
            left, limit = again, limit * 2
        return lists

    def _ordered(self, question: Question, hits: Hits, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """An answer as positions and scores in the order of a ranking.

        Raises:
            RecommenderError: an item is unknown, excluded, or there twice; a score is missing or not finite.
        """
        positions = self._positions(question, hits.items)
        scores = np.asarray(hits.scores, np.float64).reshape(-1)
        if len(scores) != len(positions) or len(positions) > limit:
            problem = f"it answered {len(positions)} items and {len(scores)} scores, asked for {limit} at most"
            raise self._error([question], problem)
        if not (np.abs(scores) <= np.finfo(np.float32).max).all():
            raise self._error([question], "a score is not finite, or does not fit float32")
        values = (0.0 - scores if self.lower_is_better else scores).astype(np.float32)
        order = np.lexsort((positions, -values))
        ranked, sizes = np.unique(positions, return_counts=True)
        if (sizes > 1).any():
            raise self._error(
                [question], f"it ranked an item twice (positions {first_few(ranked[sizes > 1].tolist())})"
            )
        hidden = np.intersect1d(ranked, np.array(question.exclude, np.int64))
        if hidden.size:
            raise self._error([question], f"it ranked items that are excluded (positions {first_few(hidden.tolist())})")
        return positions[order], values[order]

    def _positions(self, question: Question, items: Sequence[str] | Sequence[int] | np.ndarray) -> np.ndarray:
        """Item positions, int64, of ids or positions.

        Raises:
            RecommenderError: the catalogue has no such item.
        """
        if len(items) == 0:
            return np.empty(0, np.int64)
        if isinstance(items[0], str):
            positions = self._ids.find([str(item) for item in items]).astype(np.int64)
            unknown = positions < 0
        else:
            positions = np.asarray(items)
            if positions.dtype.kind not in "iu":
                raise self._error([question], f"items are ids (text) or positions (int), not {positions.dtype}")
            positions = positions.astype(np.int64)
            unknown = (positions < 0) | (positions >= self._size)
        if unknown.any():
            wrong = first_few([items[place] for place in np.flatnonzero(unknown).tolist()])
            raise self._error([question], f"it returned items that the catalogue does not have: {wrong}")
        return positions

    @property
    def _ids(self) -> IdIndex:
        """The index from ids to positions; made when an engine first answers with ids."""
        with self._live_lock:
            if self._live_ids is None:
                assert self._columns is not None
                self._live_ids = IdIndex(self._columns.table[ID_COLUMN], "item")
            return self._live_ids

    def _error(self, questions: Sequence[Question], problem: str) -> RecommenderError:
        """An error that says what was asked."""
        asked = first_few([" ".join(question.terms) for question in questions], 3)
        return RecommenderError(f"{type(self).__name__}, asked {asked}: {problem}")
