"""An encoder without a model: hashed words and word pairs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from rec_gym.recommenders.bm25.analyzer import NO_TERM, Analyzer, TermIds, encode

_PAIR_WEIGHT = 0.5
_WORDS_KEPT = 1 << 18
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads neighbouring hashes


class HashingEncoder:
    """Texts as vectors of hashed words: the same on every machine, in plain NumPy.

    The words are BM25's (lower case, without stop words, stemmed). Each word and each pair of neighbours adds the square
    root of its count (pairs: half of that) to one component, with a sign, both chosen by its hash. So texts that share no
    word have a cosine near 0: it knows no synonyms, and replaces a model where none is wanted.

    Args:
        dimensions: components of a vector.
        language: a Snowball language, or `"none"` for words as they are.
        stop_words: whether English stop words are dropped.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(self, dimensions: int = 512, language: str = "english", stop_words: bool = True) -> None:
        if not isinstance(dimensions, int) or dimensions < 1:
            raise ValueError(f"dimensions must be a whole number >= 1, not {dimensions!r}")
        self.dimensions = dimensions
        self.analyzer = Analyzer(language, bool(stop_words))
        self._terms = TermIds(self.analyzer, lambda terms: [zlib.crc32(encode(term)) for term in terms], _WORDS_KEPT)

    def __repr__(self) -> str:
        return f"HashingEncoder({self.dimensions}, {self.analyzer.language!r}, stop_words={self.analyzer.stop_words})"

    def __reduce__(self) -> tuple:
        return HashingEncoder, (self.dimensions, self.analyzer.language, self.analyzer.stop_words)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts`, float32 [n, dimensions]; zeros for a text without words."""
        terms, counts = self._terms.of(texts)
        rows = np.repeat(np.arange(len(texts)), counts)
        known = terms != NO_TERM
        words, rows = terms[known].astype(np.uint64), rows[known]
        neighbours = rows[1:] == rows[:-1]
        pairs = (words[:-1] * _MULTIPLIER + words[1:] + np.uint64(1))[neighbours]
        flat = self._components(words, rows, 1.0, len(texts))
        flat += self._components(pairs, rows[1:][neighbours], _PAIR_WEIGHT, len(texts))
        return flat.reshape(len(texts), self.dimensions).astype(np.float32)

    def _components(self, hashes: np.ndarray, rows: np.ndarray, weight: float, count: int) -> np.ndarray:
        """What words or pairs add to the components of all rows, float64 [count * dimensions]."""
        order = np.lexsort((hashes, rows))
        hashes, rows = hashes[order], rows[order]
        first = np.ones(len(hashes), bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
        starts = np.flatnonzero(first)
        occurrences = np.diff(starts, append=len(hashes))
        spread = hashes[starts] * _MULTIPLIER
        spread ^= spread >> np.uint64(32)
        sign = np.where(spread & np.uint64(1), 1.0, -1.0)
        component = ((spread >> np.uint64(1)) % np.uint64(self.dimensions)).astype(np.int64)
        size = count * self.dimensions
        values = weight * sign * np.sqrt(occurrences)
        return np.bincount(rows[starts] * self.dimensions + component, weights=values, minlength=size)
