"""The `hybrid` recommender: several recommenders, fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter
from rec_gym.fusion import NORMALISATIONS, RRF_CONSTANT, check_weights, convex_combination, reciprocal_rank_fusion
from rec_gym.ranking import Rankings
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
from rec_gym.recommenders.registry import make_recommender, new_recommender, recommender_name
from rec_gym.tables import unknown

METHODS = ("rrf", "convex")


class Hybrid:
    """Ranks by fusing the lists of several recommenders.

    Each part ranks the catalogue to `depth`, without the excluded items and those that do not pass a filter; the lists
    are fused. An item that no part
    lists within its depth is not ranked.

    Args:
        parts: two or more recommenders: names, tables `{name = ..., settings}`, or objects that are already fitted.
        weights: one number >= 0 per part; None for equal weights.
        method: `rrf`, reciprocal rank fusion, or `convex`, the weighted sum of normalised scores.
        depth: places of each part's list, whatever `k` is.
        constant: of `rrf`, see `reciprocal_rank_fusion`.
        normalise: of `convex`: `min-max` or `z`, see `convex_combination`.

    Raises:
        ValueError: an argument is unknown or out of its range.
    """

    fitted_to: str | None = None

    def __init__(
        self,
        parts: Sequence[str | Mapping[str, Any] | Recommender] = ("bm25", "dense"),
        weights: Sequence[float] | None = None,
        method: str = "rrf",
        depth: int = 1000,
        constant: float = RRF_CONSTANT,
        normalise: str = "min-max",
    ) -> None:
        if isinstance(parts, str) or len(parts) < 2:
            raise ValueError(f"a hybrid needs at least two parts, such as ['bm25', 'dense']; got {parts!r}")
        if method not in METHODS:
            raise ValueError(unknown("method", method, METHODS))
        if normalise not in NORMALISATIONS:
            raise ValueError(unknown("normalise", normalise, NORMALISATIONS))
        if depth < 1:
            raise ValueError(f"depth, the places of each part's list, must be at least 1, not {depth}")
        if weights is not None:
            check_weights(weights, len(parts))
        self.parts = tuple(parts)
        self.weights = None if weights is None else tuple(weights)
        self.method, self.depth, self.constant, self.normalise = method, depth, constant, normalise
        self.fitted: tuple[Recommender, ...] = ()
        self._size = 0

    def __repr__(self) -> str:
        return f"Hybrid({list(self.fitted or self.parts)}, weights={self.weights}, method={self.method!r}, depth={self.depth})"

    @property
    def query_language(self) -> str:
        """That of the parts; `natural language`, which every part can read, if they differ."""
        languages = {part.query_language for part in self.fitted} - {"any"}
        return languages.pop() if len(languages) == 1 else "natural language"

    @property
    def uses_histories(self) -> bool:
        """Whether a part learns from histories."""
        return any(map(reads_histories, self.fitted or self._unfitted()))

    @property
    def filters_items(self) -> bool:
        """Whether all parts take filters."""
        return all(map(honours_filters, self.fitted or self._unfitted()))

    def fit(self, catalog: Catalog) -> Hybrid:
        """Fits the parts that are given by name; parts with the same name and settings are shared within the process.

        Raises:
            NotFittedError: a part that is given as an object is not fitted.
            ValueError: it is fitted to another catalogue.
        """
        return self._fit(catalog, None)

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> Hybrid:
        """As `fit`, with histories for the parts that learn from them."""
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
            NotFittedError: the hybrid is not fitted.
            ValueError: a query has a filter, and a part does not take filters; or as for `FiltersItems.rank`.
        """
        check_fitted(self)
        check_queries(queries, k)
        hidden = check_excluded(exclude, len(queries), self._size)
        depth = min(self.depth, self._size)
        lists = [with_clipped(ranked(part, queries, depth, hidden, filters), part, queries) for part in self.fitted]
        if self.method == "rrf":
            return reciprocal_rank_fusion(lists, k, weights=self.weights, constant=self.constant)
        return convex_combination(lists, k, weights=self.weights, normalise=self.normalise)

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries are longer than some part can read, bool [n]."""
        check_fitted(self)
        return clips_of(self.fitted, queries)

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Hybrid:
        parts = tuple(
            make_recommender(*recommender_name(part), catalog, histories) if isinstance(part, str | Mapping) else part
            for part in self.parts
        )
        for part in parts:
            check_fitted(part, catalog)
        return fitted_copy(self, catalog, fitted=parts, _size=len(catalog))

    def _unfitted(self) -> list[object]:
        return [
            new_recommender(*recommender_name(part)) if isinstance(part, str | Mapping) else part for part in self.parts
        ]
