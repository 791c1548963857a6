"""What the BM25 tests compare with: BM25 written down once more, slowly and in float64."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import Stemmer

K1, B = 1.2, 0.75
LUCENE_STOP_WORDS = set(
    re.findall(
        r"\w+",
        """a an and are as at be but by for if in into is it no not of on or such
        that the their then there these they this to was will with""",
    )
)


def tokens(text: str) -> list[str]:
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in LUCENE_STOP_WORDS]
    return Stemmer.Stemmer("english").stemWords(words)


class Oracle:
    """Dense float64 impacts, [terms, items], and the same in the engine's steps."""

    def __init__(self, texts: Sequence[str], k1: float = K1, b: float = B) -> None:
        documents = [Counter(tokens(text)) for text in texts]
        lengths = np.array([sum(document.values()) for document in documents], float)
        self.size = len(texts)
        self.terms = {term: i for i, term in enumerate(sorted({term for d in documents for term in d}))}
        tf = np.zeros((len(self.terms), self.size))
        for item, document in enumerate(documents):
            for term, count in document.items():
                tf[self.terms[term], item] = count
        df = (tf > 0).sum(axis=1)
        self.idf = np.array([math.log(1 + (self.size - n + 0.5) / (n + 0.5)) for n in df])
        norm = k1 * (1 - b + b * lengths / (lengths.mean() or 1))
        self.impacts = self.idf[:, None] * tf / np.where(tf > 0, tf + norm, 1)
        self.step = (self.idf.max(initial=0) or 1.0) / 65535
        self.steps = np.where(tf > 0, np.maximum(np.floor(self.impacts / self.step + 0.5), 1), 0).astype(np.int64)

    def _weights(self, query: str) -> np.ndarray:
        weights = np.zeros(len(self.terms), np.int64)
        for term in tokens(query):
            if term in self.terms:
                weights[self.terms[term]] += 1
        return weights

    def scores(self, query: str) -> np.ndarray:
        """Float64 BM25 of every item."""
        return self._weights(query) @ self.impacts

    def sums(self, query: str) -> np.ndarray:
        """The score of every item in whole steps."""
        return self._weights(query) @ self.steps

    def bound(self, query: str) -> np.ndarray:
        """How far a quantised score may be from the float64 score, for every item, by what the engine promises."""
        raised = (self.impacts > 0) & (self.impacts < self.step / 2)
        per_posting = np.where(self.impacts > 0, np.where(raised, self.step, self.step / 2), 0)
        return self._weights(query) @ per_posting

    def ranking(self, query: str, k: int, exclude: Sequence[int] = ()) -> list[int]:
        """The quantised ranking: by falling sum, ties by lower position, without items that match nothing."""
        sums = self.sums(query)
        sums[list(exclude)] = 0
        order = np.lexsort((np.arange(self.size), -sums))
        return [int(item) for item in order if sums[item] > 0][:k]
