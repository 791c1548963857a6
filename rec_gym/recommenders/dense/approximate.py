"""Approximate search by faiss, which proposes the nearest items; their scores and order are then exact."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from rec_gym.cache import check_folder, file_checksum, prepared, reading
from rec_gym.filters import FilterRanges
from rec_gym.fusion import best_first
from rec_gym.progress import Bar
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.dense.exact import ExactSearch, exact_scores
from rec_gym.tables import check_keys, checked, named, unknown

FLAT = "flat"

# The parameters of each kind of index and their defaults; 0 lists are chosen by the catalogue's size.
INDEXES: dict[str, dict[str, int]] = {
    FLAT: {},
    "hnsw": {"m": 32, "ef_construction": 100, "ef_search": 128},
    "ivf-sq8": {"lists": 0, "probes": 32},
    "sq8": {},
}

_ITEMS_AT_ONCE = 1 << 14
_LEAST_PER_LIST = 39  # items that faiss wants for each list when it trains
_MOST_PER_LIST = 256
_FILE = "index.faiss"

_logger = logging.getLogger(__name__)
_opened: WeakValueDictionary[tuple[Path, str], Any] = WeakValueDictionary()  # one index per process
_opening = threading.Lock()


def index_settings(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, int]]:
    """Name and complete parameters of an index.

    Args:
        spec: one of `INDEXES`, or a table `{name = "hnsw", m = 16}`.

    Raises:
        ValueError: the index or a parameter is unknown (near names are suggested), or of the wrong type.
    """
    name, settings = named(spec, "an index")
    if name not in INDEXES:
        raise ValueError(unknown("index", name, INDEXES))
    what = f"index {name!r}"
    check_keys(settings, list(INDEXES[name]), what)
    for key, value in settings.items():
        if checked(value, int, f"{key} of {what}") < (key != "lists"):
            raise ValueError(f"{key} of {what} must be at least 1, not {value!r}")
    return name, {**INDEXES[name], **settings}


class ApproximateSearch:
    """Ranks the items that a faiss index finds.

    The index is built once and cached next to the vectors. It proposes items, which are ordered by their exact scores, ties
    by lower position: a ranked item has the score of exact search, but items may be missing. With a filter, the search is
    exact.

    Args:
        vectors: unit vectors of the items, float32 [items, d].
        folder: where they are cached.
        name: one of `INDEXES`, not `flat`.
        settings: its parameters, complete.

    Raises:
        ImportError: faiss is not installed.
    """

    exact = False

    def __init__(self, vectors: np.ndarray, folder: Path, name: str, settings: Mapping[str, int]) -> None:
        self.vectors, self.name = vectors, name
        self._exact = ExactSearch(vectors)
        self.settings = dict(settings)
        searching = {key: self.settings.pop(key) for key in ("ef_search", "probes") if key in self.settings}
        self._effort = next(iter(searching.values()), 0)
        self._faiss = _import_faiss()
        self._index = self._open(folder)

    def rank(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Sequence[np.ndarray] | None,
        passing: FilterRanges | None = None,
    ) -> Rankings:
        """At most k items for each query; see `ExactSearch.rank`. A query with a filter is searched exactly."""
        if passing is None:
            return self._approximate(queries, k, exclude)
        has_filter = np.diff(passing.offsets) > 0
        filtered, others = np.flatnonzero(has_filter), np.flatnonzero(~has_filter)
        hidden = [None if exclude is None else [exclude[row] for row in rows.tolist()] for rows in (filtered, others)]
        exact = self._exact.rank(queries[filtered], k, hidden[0], passing.take(filtered))
        rest = self._approximate(queries[others], k, hidden[1])
        back = np.argsort(np.concatenate([filtered, others]), kind="stable")
        return Rankings(
            np.concatenate([exact.items, rest.items])[back], np.concatenate([exact.scores, rest.scores])[back]
        )

    def _approximate(self, queries: np.ndarray, k: int, exclude: Sequence[np.ndarray] | None) -> Rankings:
        """At most k of the items that the index proposes, for each query."""
        size = len(self.vectors)
        k = min(k, size)
        hidden = max((len(row) for row in exclude), default=0) if exclude is not None else 0
        proposed = self._find(queries, min(size, k + hidden))
        proposed[~queries.any(axis=1)] = NOT_RANKED
        scores = np.zeros(proposed.shape, np.float32)
        for row, items in enumerate(proposed):
            if exclude is not None:
                items[np.isin(items, exclude[row])] = NOT_RANKED
            listed = items != NOT_RANKED
            scores[row, listed] = exact_scores(self.vectors, items[listed], queries[row])
        return best_first(proposed, scores, k)

    def _find(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Positions of at most `count` items for each query, int64 [n, count], padded with -1."""
        faiss, params = self._faiss, None
        if self.name == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(self._effort, count))
        elif self.name == "ivf-sq8":
            params = faiss.SearchParametersIVF(nprobe=min(self._effort, self._index.nlist))
        _, positions = self._index.search(np.ascontiguousarray(queries), count, params=params)
        return positions

    def _open(self, folder: Path) -> Any:
        made_from = {"vectors": folder.name, "index": self.name, **self.settings}
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:12]
        target = folder.with_name(f"{folder.name}-{self.name}-{key}")
        # An index of other vectors under the same name is stale.
        made_from["checksum"] = file_checksum(folder, "vectors.npy")
        with _opening:  # faiss does not check the numbers in its file, so checksums are always verified
            return prepared(target, made_from, self._build, _logger.warning, self._read, may_trust=False)

    def _read(self, target: Path) -> Any:
        key = target, check_folder(target, may_trust=False)
        index = _opened.get(key)
        if index is None:
            # Through Python's file objects, which take any path and say why they fail.
            with reading(target / _FILE), open(target / _FILE, "rb") as file:
                index = _opened[key] = self._faiss.read_index(self._faiss.PyCallbackIOReader(file.read))
        return index

    def _build(self, target: Path) -> None:
        faiss, (size, dimensions) = self._faiss, self.vectors.shape
        metric = faiss.METRIC_INNER_PRODUCT
        if self.name == "hnsw":
            index = faiss.IndexHNSWFlat(dimensions, self.settings["m"], metric)
            index.hnsw.efConstruction = self.settings["ef_construction"]
        elif self.name == "sq8":
            index = faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_8bit, metric)
        else:
            lists = self.settings["lists"] or min(int(4 * math.sqrt(size)), size // _LEAST_PER_LIST)
            coarse = faiss.IndexFlatIP(dimensions)
            kind = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexIVFScalarQuantizer(coarse, dimensions, max(1, min(lists, size)), kind, metric)
        if not index.is_trained:
            index.train(self._sample(getattr(index, "nlist", 1)))
        with Bar(f"Building the {self.name} index", size) as bar:
            for start in range(0, size, _ITEMS_AT_ONCE):
                block = np.ascontiguousarray(self.vectors[start : start + _ITEMS_AT_ONCE])
                index.add(block)
                bar.advance(len(block))
        with open(target / _FILE, "wb") as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))

    def _sample(self, lists: int) -> np.ndarray:
        """Vectors to train on, evenly from the catalogue: all that faiss would use."""
        most = max(_MOST_PER_LIST * lists, 1 << 16)
        step = max(1, -(-len(self.vectors) // most))
        return np.ascontiguousarray(self.vectors[::step])


def _import_faiss() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its bindings, on some versions of Python
            import faiss
    except ImportError as error:
        raise ImportError(f"approximate indexes need faiss: pip install 'rec-gym[dense]' ({error})") from error
    return faiss
