"""What recommenders around another one share: its fitting, and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders.base import (
    Recommender,
    SaysWhatItSearched,
    check_fitted,
    clips_of,
    fitted_copy,
    honours_filters,
    reads_histories,
)
from rec_gym.recommenders.registry import make_recommender, new_recommender, recommender_name


class Wrapper:
    """A recommender around another one, whose capabilities it states as its own.

    `rank_of` is left out on purpose: ranks come from the list.

    Args:
        recommender: what is wrapped: a name, a table `{name = ..., settings}`, or an object that is already fitted.
    """

    fitted_to: str | None = None

    def __init__(self, recommender: str | Mapping[str, Any] | Recommender = "bm25") -> None:
        self.recommender = recommender
        self._inner: Recommender | None = None
        self._size = 0

    @property
    def query_language(self) -> str:
        """That of the wrapped recommender."""
        return self.inner.query_language

    @property
    def uses_histories(self) -> bool:
        """Whether the wrapped recommender learns from histories."""
        return reads_histories(self.inner)

    @property
    def filters_items(self) -> bool:
        """Whether the wrapped recommender takes filters."""
        return honours_filters(self.inner)

    @property
    def inner(self) -> Recommender:
        """The wrapped recommender, fitted if this one is."""
        if self._inner is not None:
            return self._inner
        if isinstance(self.recommender, str | Mapping):
            return new_recommender(*recommender_name(self.recommender))
        return self.recommender

    def fit(self, catalog: Catalog) -> Self:
        """Fits the wrapped recommender; the same name and settings are shared within the process.

        Raises:
            NotFittedError: the wrapped recommender is an object that is not fitted.
            ValueError: it is fitted to another catalogue.
        """
        return self._fit(catalog, None)

    def fit_histories(self, catalog: Catalog, histories: Ragged) -> Self:
        """As `fit`, with histories for a recommender that learns from them."""
        return self._fit(catalog, histories)

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries are longer than the wrapped recommender can read, bool [n]; none where it does not say."""
        check_fitted(self)
        return clips_of([self.inner], queries)

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the wrapped recommender used, or the query where it does not say."""
        check_fitted(self)
        inner = self.inner
        return list(inner.searched(queries)) if isinstance(inner, SaysWhatItSearched) else list(queries)

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Self:
        return fitted_copy(self, catalog, _inner=self._fitted(catalog, histories), _size=len(catalog))

    def _fitted(self, catalog: Catalog, histories: Ragged | None) -> Recommender:
        """The wrapped recommender, fitted to a catalogue."""
        if isinstance(self.recommender, str | Mapping):
            return make_recommender(*recommender_name(self.recommender), catalog, histories)
        check_fitted(self.recommender, catalog)
        return self.recommender
