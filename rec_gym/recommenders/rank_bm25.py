"""The library rank_bm25, unmodified: a second opinion for small catalogues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import rank_bm25

from rec_gym.catalog import Catalog
from rec_gym.filters import Filter, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import check_fitted, fitted_copy
from rec_gym.recommenders.checks import filter_ranges

_WORD = re.compile(r"\w+")
_COMMON = 8  # a word is common if at least one in 8 items contains it


class _Shares(NamedTuple):
    """The items that hold a word, and what it adds to the scores of the items `where`, float64."""

    holders: np.ndarray
    where: np.ndarray | slice
    scores: np.ndarray


class RankBM25:
    """`rank_bm25.BM25Okapi` over lower-case words, without stop words or stemming.

    It scans every item when a word is first asked for: with 100,000 items, that takes tenths of a second per word.

    Args:
        fields: text columns that are searched; empty for all.
        k1: saturation of repeated words.
        b: how strongly long texts are penalised.
        epsilon: the library's floor for negative idf, as a share of the mean idf.
    """

    query_language = "bag of words"
    filters_items = True
    fitted_to: str | None = None

    def __init__(self, fields: Sequence[str] = (), k1: float = 1.5, b: float = 0.75, epsilon: float = 0.25) -> None:
        self.fields, self.k1, self.b, self.epsilon = tuple(fields), k1, b, epsilon
        self._engine: rank_bm25.BM25Okapi | None = None
        self._columns: FilterTable | None = None
        self._shares: dict[str, _Shares] = {}  # at most one entry per word of the catalogue

    def fit(self, catalog: Catalog) -> RankBM25:
        """Indexes the catalogue in memory.

        Raises:
            ValueError: no item contains a word.
        """
        texts = [_words(text) for batch in catalog.texts(self.fields) for text in batch]
        if not any(texts):
            raise ValueError("no item has a word to search for; check the fields of the recommender")
        engine = rank_bm25.BM25Okapi(texts, k1=self.k1, b=self.b, epsilon=self.epsilon)
        return fitted_copy(self, catalog, _engine=engine, _columns=FilterTable.of(catalog))

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`."""
        check_fitted(self)
        assert self._engine is not None
        passing = filter_ranges(self._columns, filters, len(queries))
        k = min(k, self._engine.corpus_size)
        items = np.full((len(queries), k), NOT_RANKED, np.int32)
        scores = np.zeros((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            values = np.zeros(self._engine.corpus_size)
            matched = np.zeros(self._engine.corpus_size, bool)
            words = [word for word in _words(query) if word in self._engine.idf]
            for word in words:  # in their order, as the library adds them up
                shares = self._shares_of(word)
                values[shares.where] += shares.scores
            for word in set(words):
                matched[self._shares_of(word).holders] = True
            # A match may score 0 too (idf can be 0), so matches are looked up, not derived from the score.
            matches = np.flatnonzero(matched)
            if exclude is not None:
                matches = np.setdiff1d(matches, exclude[row]).astype(np.int64)
            if passing is not None:
                matches = matches[passing.passes(row, matches)]
            order = matches[np.argsort(-values[matches], kind="stable")[:k]]
            items[row, : len(order)], scores[row, : len(order)] = order, values[order]
        return Rankings(items, scores)

    def _shares_of(self, word: str) -> _Shares:
        """What a word adds to the scores, as the library computes it.

        The library scans every item for every word of a query; here each word is scanned once.
        """
        assert self._engine is not None
        if word not in self._shares:
            holders = np.flatnonzero([word in counts for counts in self._engine.doc_freqs])
            # Adding to all items is faster than adding to many of them; it adds 0 to those without the word.
            where = slice(None) if len(holders) * _COMMON > self._engine.corpus_size else holders
            scores = np.asarray(self._engine.get_scores([word]), np.float64)
            self._shares[word] = _Shares(holders, where, scores[where])
        return self._shares[word]

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The lower-case words of each query that some item contains."""
        check_fitted(self)
        assert self._engine is not None
        known = self._engine.idf
        return [" ".join(word for word in _words(query) if word in known) for query in queries]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
