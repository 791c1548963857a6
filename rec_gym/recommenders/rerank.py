"""The `rerank` recommender: a second stage that reads query and item text together and reorders the first stage's top."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter
from rec_gym.fusion import best_first
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import (
    Recommender,
    check_fitted,
    clips_of,
    fitted_copy,
    honours_filters,
    ranked,
    reads_histories,
    with_clipped,
)
from rec_gym.recommenders.checks import check_excluded, check_queries
from rec_gym.recommenders.cross_encoder import CrossEncoderScorer
from rec_gym.recommenders.registry import make_recommender, new_recommender, recommender_name
from rec_gym.resolving import Interface, has_method, is_path, resolve, takes

Scorer = Callable[[str, list[str]], Sequence[float] | np.ndarray]

SCORER = Interface(
    "a scorer",
    lambda value: takes(value, "query", "texts") or has_method(type(value), "score_pairs"),
    "a function (query, texts) -> scores with these parameters, or an object with score_pairs(queries, texts)",
)


class ScoresPairs(Protocol):
    """A scorer that gets all pairs of a batch at once."""

    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Sequence[float] | np.ndarray:
        """A finite number for each pair."""
        ...


class Rerank:
    """Reorders the first stage's top items by a score of query and item text.

    The first stage ranks the catalogue to `top`; these items are ordered by the scorer, ties by lower item position.
    What the first stage ranks below them follows in its order, with scores that continue below the scorer's lowest.

    Args:
        scorer: a callable `(query, texts) -> scores`, one finite number per text; or the name of one,
            `package.module:name` or `FILE.py:name`, whose parameters have these names; or the name or folder of a
            cross-encoder for sentence-transformers. A scorer with `score_pairs(queries, texts) -> scores` gets all pairs
            of a batch at once.
        first: the first stage: a name, a table `{name = ..., settings}`, or an object that is already fitted.
        top: items of each ranking that are reordered.
        fields: text columns that the scorer reads; empty for all.
        device: where a cross-encoder runs; None for the best available.
        dtype: `fp32` or `bf16` for a cross-encoder.
        batch_size: pairs per call of a cross-encoder.

    Raises:
        ValueError: an argument is out of its range.
    """

    fitted_to: str | None = None

    def __init__(
        self,
        scorer: str | Scorer | ScoresPairs,
        first: str | Mapping[str, Any] | Recommender = "bm25",
        top: int = 100,
        fields: str | Sequence[str] = (),
        device: str | None = None,
        dtype: str = "fp32",
        batch_size: int = 32,
    ) -> None:
        if top < 1:
            raise ValueError(f"top, the number of items that are reordered, must be at least 1, not {top}")
        self.scorer, self.first, self.top = scorer, first, top
        self.fields = (fields,) if isinstance(fields, str) else tuple(fields)
        self.device, self.dtype, self.batch_size = device, dtype, batch_size
        self._score: Any = None
        self._stage: Recommender | None = None
        self._catalog: Catalog | None = None

    def __repr__(self) -> str:
        return f"Rerank({self.scorer!r}, first={self.first!r}, top={self.top})"

    @property
    def query_language(self) -> str:
        """`natural language`: the scorer reads the query as it is."""
        return "natural language"

    @property
    def uses_histories(self) -> bool:
        """Whether the first stage learns from histories."""
        return reads_histories(self._first_stage())

    @property
    def filters_items(self) -> bool:
        """Whether the first stage takes filters: what it ranks is then reordered."""
        return honours_filters(self._first_stage())

    def fit(self, catalog: Catalog) -> Rerank:
        """Fits the first stage and loads the scorer.

        Raises:
            ImportError: a cross-encoder is named, and the extra `dense` is not installed.
            KeyError: a field is not a text column of the catalogue.
            NotFittedError: the first stage is given as an object that is not fitted.
            ValueError: the scorer cannot be loaded, or the first stage is fitted to another catalogue.
        """
        return self._fit(catalog, None)

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> Rerank:
        """As `fit`, with histories for a first stage that learns from them."""
        return self._fit(catalog, histories)

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`.

        Raises:
            NotFittedError: it is not fitted.
            ValueError: the scorer did not return one finite number per text; a query has a filter, and the first stage
                does not take filters; or as for `FiltersItems.rank`.
        """
        check_fitted(self)
        assert self._stage is not None
        assert self._catalog is not None
        check_queries(queries, k)
        hidden = check_excluded(exclude, len(queries), len(self._catalog))
        depth = min(len(self._catalog), max(k, self.top))
        first = with_clipped(ranked(self._stage, queries, depth, hidden, filters), self._stage, queries)
        head = first.items[:, : self.top]
        ordered = best_first(head, self._scores(queries, head), head.shape[1])
        items = np.concatenate([ordered.items, first.items[:, self.top :]], axis=1)
        scores = np.concatenate([ordered.scores, _below(ordered, first.items[:, self.top :])], axis=1)
        return Rankings(items[:, :k], scores[:, :k], first.clipped)

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries are longer than the first stage can read, bool [n]."""
        check_fitted(self)
        return clips_of([self._stage], queries)

    def _scores(self, queries: Sequence[str], items: np.ndarray) -> np.ndarray:
        """The scorer's number for each item, float32 [n, m]; 0 at padding."""
        rows, _ = listed = np.nonzero(items != NOT_RANKED)
        texts = self._texts(items[listed])
        if hasattr(self._score, "score_pairs"):
            parts = [self._score.score_pairs([queries[row] for row in rows.tolist()], texts)] if texts else []
        else:
            cuts = np.searchsorted(rows, np.arange(len(queries) + 1)).tolist()
            parts = [self._checked(queries[i], texts[cuts[i] : cuts[i + 1]]) for i in range(len(queries))]
        values = np.concatenate([np.asarray(part, np.float64).ravel() for part in parts] or [np.empty(0)])
        if len(values) != len(texts) or not (np.abs(values) <= np.finfo(np.float32).max / 4).all():
            raise ValueError(f"the scorer {self.scorer!r} must return one finite number for each of {len(texts)} texts")
        scores = np.zeros(items.shape, np.float32)
        scores[listed] = values
        return scores

    def _checked(self, query: str, texts: list[str]) -> np.ndarray:
        if not texts:
            return np.empty(0)
        scores = np.asarray(self._score(query, texts), np.float64)
        if scores.shape != (len(texts),):
            raise ValueError(
                f"the scorer {self.scorer!r} returned shape {scores.shape} for {len(texts)} texts and the query {query!r}"
            )
        return scores

    def _texts(self, positions: np.ndarray) -> list[str]:
        """Texts of items, each looked up once."""
        assert self._catalog is not None
        distinct, places = np.unique(positions, return_inverse=True)
        if not len(distinct):
            return []
        chosen = Catalog(self._catalog.table.take(distinct.astype(np.int64)))
        texts = [text for batch in chosen.texts(self.fields) for text in batch]
        return [texts[place] for place in places.tolist()]

    def _first_stage(self) -> object:
        """The first stage, fitted or not."""
        if self._stage is None and isinstance(self.first, str | Mapping):
            return new_recommender(*recommender_name(self.first))
        return self._stage or self.first

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Rerank:
        next(catalog.texts(self.fields, batch_size=1))  # a wrong field is an error now
        scorer = self._opened_scorer()
        if isinstance(self.first, str | Mapping):
            stage = make_recommender(*recommender_name(self.first), catalog, histories)
        else:
            stage = self.first
        check_fitted(stage, catalog)
        return fitted_copy(self, catalog, _catalog=catalog, _score=scorer, _stage=stage)

    def _opened_scorer(self) -> Any:
        if not isinstance(self.scorer, str):
            opened: Any = self.scorer
        elif is_path(self.scorer):
            opened = resolve(self.scorer, SCORER)
        else:
            return CrossEncoderScorer(self.scorer, self.device, self.dtype, self.batch_size)
        if not callable(opened) and not hasattr(opened, "score_pairs"):
            raise ValueError(f"the scorer {self.scorer!r} is not a callable (query, texts) -> scores")
        return opened


def shared_words(query: str, texts: list[str]) -> list[float]:
    """A scorer without a model: the share of the query's distinct words that each text contains."""
    wanted = set(re.findall(r"\w+", query.lower()))
    return [len(wanted & set(re.findall(r"\w+", text.lower()))) / max(len(wanted), 1) for text in texts]


def _below(head: Rankings, rest: np.ndarray) -> np.ndarray:
    """Scores for what follows a re-ranked head, float32: decreasing, from below its lowest score."""
    ranked = head.items != NOT_RANKED
    lowest = np.where(ranked, head.scores, np.inf).min(axis=1, keepdims=True, initial=np.inf).astype(np.float64)
    lowest = np.where(np.isfinite(lowest), lowest, 0)
    step = np.maximum(1.0, np.abs(lowest) * 1e-6)  # so that neighbours differ in float32
    return (lowest - step * np.arange(1, rest.shape[1] + 1)).astype(np.float32)
