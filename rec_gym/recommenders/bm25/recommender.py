"""The `bm25` recommender."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from rec_gym.cache import DamagedError, cache_home, check_folder, prepared
from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, FilterRanges, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import check_fitted, fitted_copy
from rec_gym.recommenders.bm25.analyzer import NO_TERM, Analyzer, TermIds, slices
from rec_gym.recommenders.bm25.batch import Batch, as_ranges, distinct, excluded_items, part_of
from rec_gym.recommenders.bm25.build import build_index
from rec_gym.recommenders.bm25.compilation import load_kernels
from rec_gym.recommenders.bm25.index import FORMAT, LEVELS, Index
from rec_gym.recommenders.checks import check_items, check_queries, filter_ranges

MAX_QUERY_WEIGHT = (1 << 15) - 1  # times the highest impact it still fits a signed 32-bit sum

_WORDS_KEPT = 1 << 18  # surface words of queries whose term ids are remembered
_CHARACTERS_AT_ONCE = 1 << 17  # of queries: the words of more do not stay in the processor's caches
_PARTS_A_THREAD = 4  # so that a thread which got short queries can take more of them

_logger = logging.getLogger(__name__)
# One index per process: by its folder and the identity of its files, so that one that was rebuilt is opened again.
_opened: WeakValueDictionary[tuple[Path, str], Index] = WeakValueDictionary()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


class BM25:
    r"""BM25 over a bag of words, exact up to the rounding of impacts, for large batches.

    An item's score is the sum over the query's words of
    `idf * tf / (tf + k1 * (1 - b + b * length / mean length))` with `idf = ln(1 + (n - df + 0.5) / (df + 0.5))`:
    Lucene's formula, with exact lengths (in words that are no stop words) and without the factor (k1 + 1), which
    changes no order. Words are runs of `\w` in lower case, without Lucene's 33 English stop words, stemmed; a repeated word
    counts each time.

    Each word's share of an item's score is stored as a 16-bit number of steps (a step is the highest idf / 65,535), and
    the sum of steps is the score. It differs from the float64 score by at most half a step a word, or by less than a
    step for a word whose share was raised to the least, one step. So two items stand in the order of float64 BM25
    unless their scores are closer than the two errors together.

    Args:
        fields: text columns of the catalogue that are searched; empty means all.
        k1: how slowly repeated words saturate, >= 0.
        b: how much an item's length counts, from 0 to 1.
        language: a Snowball language, or `"none"` for words as they are.
        stop_words: whether English stop words are dropped; other languages have none.
        threads: threads that share a batch; None means all cores that the process may use. Results do not depend on it.

    Raises:
        ValueError: an argument is out of its range.
    """

    query_language = "bag of words"
    filters_items = True
    fitted_to: str | None = None

    def __init__(
        self,
        fields: str | Sequence[str] = (),
        k1: float = 1.2,
        b: float = 0.75,
        language: str = "english",
        stop_words: bool = True,
        threads: int | None = None,
    ) -> None:
        if not (math.isfinite(k1) and k1 >= 0 and 0 <= b <= 1):
            raise ValueError(f"k1 must be a number >= 0 and b lie between 0 and 1; got k1={k1!r}, b={b!r}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a whole number >= 1 or None for all cores, not {threads!r}")
        self.fields = (fields,) if isinstance(fields, str) else tuple(fields)
        self.k1, self.b = float(k1), float(b)
        self.analyzer = Analyzer(language, bool(stop_words))
        self.threads = threads
        self._folder: Path | None = None
        self._columns: FilterTable | None = None
        self._forget()

    def __repr__(self) -> str:
        settings = f"fields={self.fields}, k1={self.k1}, b={self.b}, language={self.analyzer.language!r}"
        return f"BM25({settings}, stop_words={self.analyzer.stop_words}, threads={self.threads})"

    def __getstate__(self) -> dict[str, object]:
        """Settings and the index's folder: the arrays are mapped again where the pickle is opened."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_index", "_words", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Starts without what is opened lazily in each process."""
        self._index: Index | None = None
        self._words: TermIds | None = None
        self._lock = threading.Lock()

    def fit(self, catalog: Catalog) -> BM25:
        """Opens the index of `catalog` in the cache folder, and builds it first if it is missing, stale or damaged.

        Returns:
            A recommender with the same settings that ranks `catalog`; this one stays as it is.

        Raises:
            KeyError: a field is not a text column of the catalogue.
        """
        # All that decides about scores is in the folder's name: two versions of Python (that is, of Unicode) or of the
        # stemmer keep an index each, and do not build the same one in turns.
        made_from = {
            "recommender": "bm25",
            "catalog": catalog.content_hash,
            "fields": list(self.fields),
            "k1": self.k1,
            "b": self.b,
            "language": self.analyzer.language,
            "stop_words": self.analyzer.stop_words,
            "format": FORMAT,
            **self.analyzer.version,
        }
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:24]
        folder = cache_home() / "indexes" / f"bm25-{key}"

        def build(target: Path) -> None:
            _logger.info("building the BM25 index of %s items in %s", f"{len(catalog):,}", folder)
            build_index(target, catalog.texts(self.fields), len(catalog), self.analyzer, self.k1, self.b)

        index = prepared(folder, made_from, build, _logger.warning, _open)
        return fitted_copy(self, catalog, _folder=folder, _index=index, _columns=FilterTable.of(catalog))

    @property
    def index(self) -> Index:
        """The opened index.

        Raises:
            NotFittedError: `fit` was not called.
            RuntimeError: the index is no longer in its folder.
        """
        if self._index is None:
            check_fitted(self)
            assert self._folder is not None
            try:
                self._index = _open(self._folder)
            except DamagedError as error:
                raise RuntimeError(f"{error}; call fit(catalog) again") from error
        return self._index

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query.

        Args:
            queries: n texts, any Unicode. Of a query with more than 32,767 words that the index knows, the first 32,767
                count.
            k: places in each ranking, >= 1.
            exclude: for each query the item positions that must not be ranked.
            filters: for each query the conditions that a ranked item must meet, or None.

        Returns:
            Rankings [n, k]: scores are float32 in BM25's unit; ties go to the lower item position; items that hold none
            of the words are not ranked; `clipped` names the queries of which only the first words counted.

        Raises:
            ValueError: k is below 1; `exclude` or `filters` does not fit the queries; an excluded item is not in the
                catalogue, or a condition does not fit its columns.
            TypeError: a query is not a text.
        """
        index = self.index
        check_queries(queries, k)
        excluded = excluded_items(exclude, len(queries), index.size)
        ranges = self._ranges(filters, len(queries))
        first, copy_of = distinct(queries, excluded, ranges.rows)
        batch = self._prepare([queries[i] for i in first], excluded.take(first), ranges.take(first), k)
        depth = min(k, index.size)
        keys = np.empty((len(first), depth), np.int64)
        kernels = load_kernels()

        def rank_part(start: int, stop: int) -> None:
            kernels.rank_keys(index.postings, index.size, *part_of(batch, start, stop), depth, keys[start:stop])
            keys[start:stop].sort(axis=1)

        self._share(rank_part, len(first))
        items = np.full((len(first), k), NOT_RANKED, np.int32)
        scores = np.zeros((len(first), k), np.float32)
        ranked = keys != kernels.NO_KEY
        items[:, :depth] = np.where(ranked, keys & 0xFFFFFFFF, NOT_RANKED)
        scores[:, :depth] = np.where(ranked, (kernels.MAX_SUM - (keys >> 32)) * index.step, 0)
        rankings = Rankings(items, scores, batch.clipped)
        return rankings if len(first) == len(queries) else rankings.take(copy_of)

    def rank_of(
        self,
        queries: Sequence[str],
        items: Ragged,
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Ragged:
        """The exact ranks of given items, without building a list.

        Args:
            queries: n texts.
            items: for each query the item positions whose ranks are wanted; they may repeat.
            k: an item outside the top k is not ranked.
            exclude: as for `rank`.
            filters: as for `rank`.

        Returns:
            A rank from 0 for each of `items`, int32; -1 for an item that `rank` with the same arguments does not list.

        Raises:
            ValueError: as for `rank`, or `items` does not fit the queries or the catalogue.
            TypeError: a query is not a text.
        """
        index = self.index
        check_queries(queries, k)
        if len(items) != len(queries):
            raise ValueError(f"{len(items)} rows of items were given for {len(queries)} queries")
        check_items(items.values, index.size, "items")
        excluded = excluded_items(exclude, len(queries), index.size)
        order = np.lexsort((items.values, items.row_of))
        rising = Ragged(np.asarray(items.offsets, np.int64), items.values[order].astype(np.int32))
        ranges = self._ranges(filters, len(queries))
        first, copy_of = distinct(queries, excluded, ranges.rows, rising)
        batch = self._prepare([queries[i] for i in first], excluded.take(first), ranges.take(first), k)
        asked = rising.take(first)
        found = np.empty(len(asked.values), np.int32)
        kernels = load_kernels()

        def rank_part(start: int, stop: int) -> None:
            begin, end = asked.offsets[start], asked.offsets[stop]
            offsets = asked.offsets[start : stop + 1] - begin
            part = part_of(batch, start, stop)
            kernels.rank_items(index.postings, index.size, *part, k, offsets, asked.values[begin:end], found[begin:end])

        self._share(rank_part, len(first))
        ranks = np.empty(len(order), np.int32)
        ranks[order] = Ragged(asked.offsets, found).take(copy_of).values
        return items.with_values(ranks)

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The terms of each query that were searched, in the query's order, separated by spaces.

        They are stems; stop words, words that stand in no item, and what follows the 32,767th term are left out.
        """
        check_queries(queries, 1)
        vocabulary, words = self.index.vocabulary, self._term_ids()
        found = (words.of([query])[0] for query in queries)
        known = (terms[terms != NO_TERM][:MAX_QUERY_WEIGHT] for terms in found)
        return [" ".join(map(vocabulary.__getitem__, terms.tolist())) for terms in known]

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries hold more words that the index knows than count (32,767), bool [n]."""
        check_queries(queries, 1)
        words = self._term_ids()
        clipped = np.zeros(len(queries), bool)
        for place, query in enumerate(queries):
            if len(query) > MAX_QUERY_WEIGHT:  # a text has at most as many words as characters
                terms, _ = words.of([query])
                clipped[place] = (terms != NO_TERM).sum() > MAX_QUERY_WEIGHT
        return clipped

    def _term_ids(self) -> TermIds:
        if self._words is None:
            self._words = TermIds(self.analyzer, self.index.vocabulary.find, _WORDS_KEPT)
        return self._words

    def _ranges(self, filters: Sequence[Filter | None] | None, count: int) -> FilterRanges:
        """The filters of `count` queries; none of them restricts anything without `filters`."""
        ranges = filter_ranges(self._columns, filters, count)
        if ranges is None:
            none = np.empty(0, np.int32)
            return FilterRanges(np.empty((0, 0), np.int32), np.zeros(count + 1, np.int64), none, none, none)
        if ranges.codes.shape[1] != self.index.size:  # the kernels look up codes by the index's items
            raise RuntimeError(
                f"the index holds {self.index.size} items, but the catalogue {ranges.codes.shape[1]}; fit again"
            )
        return ranges

    def _prepare(self, queries: Sequence[str], excluded: Ragged, ranges: FilterRanges, k: int) -> Batch:
        """Turns texts into weighted terms."""
        words = self._term_ids()
        parts = [words.of(queries[start:stop]) for start, stop in slices(queries, _CHARACTERS_AT_ONCE)]
        terms, counts = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        rows = np.repeat(np.arange(len(queries)), counts)
        known = terms != NO_TERM
        terms, rows = terms[known], rows[known]
        per_query = np.bincount(rows, minlength=len(queries))
        clipped = per_query > MAX_QUERY_WEIGHT
        if clipped.any():
            place = np.arange(len(rows)) - np.repeat(np.cumsum(per_query) - per_query, per_query)
            terms, rows = terms[place < MAX_QUERY_WEIGHT], rows[place < MAX_QUERY_WEIGHT]
        span = max(len(self.index.vocabulary), 1)
        keys, weights = np.unique(rows * span + terms, return_counts=True)
        offsets = np.zeros(len(queries) + 1, np.int64)
        np.cumsum(np.bincount(keys // span, minlength=len(queries)), out=offsets[1:])
        # With items left out, the k-th of the rest is the (k + left out)-th of all at the worst.
        levels = np.searchsorted(LEVELS, k + excluded.lengths)
        levels[np.diff(ranges.offsets) > 0] = len(LEVELS)  # a filter may leave out any number
        return Batch(
            offsets,
            (keys % span).astype(np.int32),
            weights.astype(np.int32),
            excluded.offsets,
            excluded.values,
            as_ranges(ranges),
            levels.astype(np.int64),
            clipped,
        )

    def _share(self, work: Callable[[int, int], None], count: int) -> None:
        """Runs `work(start, stop)` over all of `range(count)`, in parts on several threads where there are enough."""
        threads = min(self.threads or _cores(), count)
        if threads <= 1:
            if count:
                work(0, count)
            return
        cuts = np.linspace(0, count, min(count, threads * _PARTS_A_THREAD) + 1).astype(int).tolist()
        list(_pool(threads).map(work, cuts[:-1], cuts[1:]))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open(folder: Path) -> Index:
    key = folder, check_folder(folder)
    index = _opened.get(key)
    if index is None:
        index = _opened[key] = Index.open(folder)
    return index


def _pool(threads: int) -> ThreadPoolExecutor:
    """This process's pool of that size; the threads of a parent process do not live on in a fork."""
    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="bm25")
    return _pools[key]
