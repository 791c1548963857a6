"""The `dense` recommender."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, FilterTable
from rec_gym.ranking import Rankings
from rec_gym.recommenders.base import check_fitted, fitted_copy
from rec_gym.recommenders.checks import check_excluded, check_items, check_queries, filter_ranges
from rec_gym.recommenders.dense.approximate import FLAT, ApproximateSearch, index_settings
from rec_gym.recommenders.dense.encoder import (
    DTYPES,
    HASHING,
    Encoder,
    SentenceEncoder,
    clipped_by,
    encoder_name,
    open_encoder,
)
from rec_gym.recommenders.dense.exact import ExactSearch
from rec_gym.recommenders.dense.hashing import HashingEncoder
from rec_gym.recommenders.dense.vectors import ItemVectors, prepare_vectors, unit_vectors
from rec_gym.tables import unknown

# How much a component of a unit vector may differ between devices and library versions, for one encoder.
_TOLERANCE = {"fp32": 1e-3, "bf16": 1e-2}

_encoders: WeakValueDictionary[str, Any] = WeakValueDictionary()  # one model per process
_searches: WeakValueDictionary[str, ExactSearch | ApproximateSearch] = WeakValueDictionary()
_opening = threading.RLock()


class Dense:
    """Items and queries as vectors of an encoder, ranked by cosine.

    The items are encoded once and cached. A score is a function of the query's and the item's vector
    only; with the encoder `hashing` it is the same on every machine, while a model's last digits may depend on the
    machine and on what else is in the batch.

    Args:
        fields: text columns of the catalogue that are encoded; empty for all.
        encoder: an object with `encode(list[str]) -> float32 [n, d]`, or a name or a table `{name = ..., settings}`:
            `hashing`, a preset (`blair`, `simcse`, `roberta`), `package.module:factory`, a folder, or a model of the
            Hugging Face hub. See `rec_gym.recommenders.dense.encoder`.
        index: `flat` (exact), `hnsw`, `ivf-sq8` or `sq8`, or a table `{name = "hnsw", m = 32}`.
        device: where a sentence-transformers model runs; None for the best available.
        dtype: `fp32` or `bf16` for such a model.
        batch_size: texts per call of such a model.
        query_prefix: prepended to each query, for encoders that were trained with one (`"query: "`).
        item_prefix: prepended to each item's text.
        kept_queries: how many queries have their vectors remembered, least recently used out first.

    Raises:
        ValueError: an argument is unknown or out of its range.
    """

    query_language = "natural language"
    filters_items = True
    fitted_to: str | None = None

    def __init__(
        self,
        fields: str | Sequence[str] = (),
        encoder: str | Mapping[str, Any] | Encoder = HASHING,
        index: str | Mapping[str, Any] = FLAT,
        device: str | None = None,
        dtype: str = "fp32",
        batch_size: int = 32,
        query_prefix: str = "",
        item_prefix: str = "",
        kept_queries: int = 16384,
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(unknown("dtype", dtype, DTYPES))
        if kept_queries < 0 or batch_size < 1:
            raise ValueError(f"kept_queries must be >= 0 and batch_size >= 1, not {kept_queries} and {batch_size}")
        self.fields = (fields,) if isinstance(fields, str) else tuple(fields)
        self.encoder, self.index = encoder, index_settings(index)
        self.device, self.dtype, self.batch_size = device, dtype, batch_size
        self.query_prefix, self.item_prefix, self.kept_queries = query_prefix, item_prefix, kept_queries
        self._stored: ItemVectors | None = None
        self._columns: FilterTable | None = None
        self._forget()

    def __repr__(self) -> str:
        return f"Dense(fields={self.fields}, encoder={self.encoder!r}, index={self.index[0]!r}, dtype={self.dtype!r})"

    def __getstate__(self) -> dict[str, object]:
        """Settings and the folder of the vectors: model and index are opened again where the pickle is loaded."""
        own = ("_model", "_search", "_vectors", "_lock")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Drops what each process opens lazily."""
        self._model: Encoder | None = None
        self._search: ExactSearch | ApproximateSearch | None = None
        self._vectors: OrderedDict[str, tuple[np.ndarray, bool]] = OrderedDict()
        self._lock = threading.RLock()

    def fit(self, catalog: Catalog) -> Dense:
        """Opens the cached vectors of `catalog`, and encodes the items first if they are missing.

        Returns:
            A recommender with the same settings that ranks `catalog`; this one is not changed.

        Raises:
            ImportError: the encoder or the index needs the extra `dense`, which is not installed.
            KeyError: a field is not a text column of the catalogue.
            ValueError: the encoder cannot be loaded, or does not return vectors.
        """
        fitted = fitted_copy(self, catalog, _columns=FilterTable.of(catalog))
        model = fitted._opened_encoder()
        made_from = {
            "recommender": "dense",
            "catalog": catalog.content_hash,
            "fields": list(self.fields),
            "prefix": self.item_prefix,
            "encoder": self._encoder_key(model),
        }
        tolerance = _TOLERANCE[self.dtype if isinstance(model, SentenceEncoder) else "fp32"]
        fitted._stored = prepare_vectors(catalog, model, made_from, self.item_prefix, tolerance)
        fitted._opened_search()
        return fitted

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query.

        Args:
            queries: n texts, any Unicode.
            k: places in each ranking, >= 1.
            exclude: for each query the item positions that must not be ranked.
            filters: for each query the conditions that a ranked item must meet, or None. With a filter, every index
                searches exactly, since an approximate one proposes items that do not pass.

        Returns:
            Rankings [n, min(k, items)]: scores are cosines; ties go to the lower item position. A query whose vector is
            zero (for `hashing`: one without words) ranks nothing; `clipped` marks the queries that are longer than the
            model can read.

        Raises:
            ValueError: k is below 1; `exclude` or `filters` does not fit the queries; an excluded item is not in the
                catalogue, or a condition does not fit its columns.
            TypeError: a query is not a text.
        """
        check_queries(queries, k)
        search = self._opened_search()
        hidden = check_excluded(exclude, len(queries), len(search.vectors))
        passing = filter_ranges(self._columns, filters, len(queries))
        vectors, clipped = self._encoded(queries)
        rankings = search.rank(vectors, k, hidden, passing)
        return Rankings(rankings.items, rankings.scores, clipped)

    def rank_of(
        self,
        queries: Sequence[str],
        items: Ragged,
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Ragged:
        """The ranks that `rank` gives to items: by counting for `flat`, without a list; otherwise from the lists.

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
        check_queries(queries, k)
        search = self._opened_search()
        hidden = check_excluded(exclude, len(queries), len(search.vectors))
        if len(items) != len(queries):
            raise ValueError(f"{len(items)} rows of items were given for {len(queries)} queries")
        check_items(items.values, len(search.vectors), "items")
        passing = filter_ranges(self._columns, filters, len(queries))
        vectors, _ = self._encoded(queries)
        if isinstance(search, ExactSearch):
            return search.ranks(vectors, items, k, hidden, passing)
        return search.rank(vectors, k, hidden, passing).ranks_of(items)

    def _encoded(self, queries: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors of the queries, float32 [n, d], and which of them were too long, bool [n].

        Those that are not remembered are encoded in one call, equal ones once, shortest first.
        """
        with self._lock:
            known = self._vectors
            distinct = dict.fromkeys(queries)
            missing = sorted((query for query in distinct if query not in known), key=len)
            fresh: dict[str, tuple[np.ndarray, bool]] = {}
            if missing:
                texts = [self.query_prefix + query for query in missing]
                model = self._opened_encoder()
                clips = clipped_by(model, texts).tolist()
                fresh = dict(zip(missing, zip(unit_vectors(model, texts), clips, strict=True), strict=True))
            encoded = [fresh[query] if query in fresh else known[query] for query in queries]
            for query in distinct:
                known[query] = fresh[query] if query in fresh else known.pop(query)
            while len(known) > self.kept_queries:
                known.popitem(last=False)
        if not encoded:
            return np.empty((0, self._opened_search().vectors.shape[1]), np.float32), np.empty(0, bool)
        return np.array([vector for vector, _ in encoded]), np.array([clipped for _, clipped in encoded], bool)

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries are longer than the encoder can read, bool [n]; remembered for queries that were encoded before."""
        check_queries(queries, 1)
        check_fitted(self)
        with self._lock:
            known = {query: self._vectors[query][1] for query in queries if query in self._vectors}
            missing = [query for query in dict.fromkeys(queries) if query not in known]
            if missing:
                texts = [self.query_prefix + query for query in missing]
                known |= zip(missing, clipped_by(self._opened_encoder(), texts).tolist(), strict=True)
        return np.array([known[query] for query in queries], bool)

    def _opened_encoder(self) -> Encoder:
        if self._model is None:
            if not isinstance(self.encoder, str | Mapping):
                self._model = open_encoder(self.encoder)
            else:
                settings = {"device": self.device, "dtype": self.dtype, "batch_size": self.batch_size}
                key = json.dumps([*encoder_name(self.encoder), settings], sort_keys=True)
                with _opening:
                    self._model = _encoders.get(key)
                    if self._model is None:
                        self._model = _encoders[key] = open_encoder(self.encoder, **settings)
        return self._model

    def _encoder_key(self, model: Encoder) -> object:
        """What the items' vectors depend on; an encoder that changes under its name is detected by its vectors."""
        if not isinstance(self.encoder, str | Mapping):
            return f"object {type(model).__module__}.{type(model).__qualname__}"
        dtype = self.dtype if isinstance(model, SentenceEncoder) else None
        rules = (
            model.analyzer.version if isinstance(model, HashingEncoder) else None
        )  # a few fixed texts cannot reveal every difference
        return [*encoder_name(self.encoder), dtype, rules]

    def _opened_search(self) -> ExactSearch | ApproximateSearch:
        if self._search is None:
            check_fitted(self)
            assert self._stored is not None
            folder: Path = self._stored.folder
            name, settings = self.index
            key = json.dumps([str(folder), name, settings, self._stored.identity()], sort_keys=True)
            with _opening:
                self._search = _searches.get(key)
                if self._search is None:
                    vectors = self._stored.open()
                    exact = name == FLAT
                    search = ExactSearch(vectors) if exact else ApproximateSearch(vectors, folder, name, settings)
                    self._search = _searches[key] = search
        return self._search
