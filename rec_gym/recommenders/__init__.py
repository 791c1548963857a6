"""Recommenders: black boxes that rank a catalogue for a query."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import weakref
from collections.abc import Mapping
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders.base import Fits, FitsHistories, Recommender, RecommenderError

# Modules are loaded when their recommender is asked for.
RECOMMENDERS = {
    "bm25": "rec_gym.recommenders.bm25:BM25",
    "rank_bm25": "rec_gym.recommenders.rank_bm25:RankBM25",
    "random": "rec_gym.recommenders.floors:RandomRecommender",
    "popularity": "rec_gym.recommenders.floors:PopularityRecommender",
    "dense": "rec_gym.recommenders.dense:Dense",
    "hybrid": "rec_gym.recommenders.hybrid:Hybrid",
    "rerank": "rec_gym.recommenders.rerank:Rerank",
    "item-knn": "rec_gym.recommenders.item_knn:ItemKNN",
}

_fitted: WeakValueDictionary[str, Recommender] = WeakValueDictionary()
_lock = RLock()  # a hybrid makes its parts while it is made


def make_recommender(
    name: str, options: Mapping[str, object], catalog: Catalog, histories: Ragged | None = None
) -> Recommender:
    """A recommender fitted to a catalogue; those with the same name, options and data are one object a process.

    Args:
        name: one of `RECOMMENDERS`, or `package.module:Class` for one of your own.
        options: its settings.
        catalog: what it ranks.
        histories: item positions of the train histories, for those that learn from them (`FitsHistories`). They are
            what the shoppers brought, never what a request asks for.

    Raises:
        ValueError: an unknown name or setting, and the message lists those there are; or the recommender learns from
            histories, and there are none.
    """
    options = {key: _plain(value) for key, value in options.items()}
    made = new_recommender(name, options)
    learns = isinstance(made, FitsHistories) and made.uses_histories
    if learns and (histories is None or histories.values.size == 0):
        raise ValueError(
            f"recommender {name!r} learns from purchase histories, and these data have none in train; "
            "choose another recommender, or a data set of histories"
        )
    seen = _digest(histories) if learns and histories is not None else None
    key = json.dumps([name, options, catalog.content_hash, seen], sort_keys=True, default=_identity)
    with _lock:
        fitted = _fitted.get(key)
        if fitted is None:
            if learns and isinstance(made, FitsHistories) and histories is not None:
                fitted = made.fit_histories(catalog, histories)
            else:
                fitted = made.fit(catalog) if isinstance(made, Fits) else made
            _fitted[key] = fitted
            # An object among the options is told by its identity, so that it must live as long as what it made.
            weakref.finalize(fitted, _keep, options)
        return fitted


def recommender_name(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of a recommender that is given as data.

    Raises:
        ValueError: a table has no `name`.
    """
    if not isinstance(spec, str | Mapping):
        raise ValueError(f"a recommender is named as data, not {type(spec).__name__}; give an object to Task itself")
    settings: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ValueError("a recommender is a name or a table with 'name', such as {name = 'bm25', k1 = 0.9}")
    return name, settings


def _digest(histories: Ragged) -> str:
    rows = hashlib.sha256(np.ascontiguousarray(histories.offsets).tobytes())
    rows.update(np.ascontiguousarray(histories.values).tobytes())
    return rows.hexdigest()


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's: they are data, and their values tell them apart."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _keep(options: Mapping[str, object]) -> None:
    """Called when a recommender is gone; until then the finaliser holds its options."""


def _identity(value: object) -> str:
    """What tells an object among the options from others, as long as it lives."""
    return f"{type(value).__qualname__} {id(value)}"


def load_object(path: str) -> object:
    """The object that `package.module:name` names.

    Raises:
        ValueError: the path is not of this form, or there is no such module or name.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"{path!r} is not of the form package.module:Name")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{path!r} cannot be loaded: {error}") from error


def new_recommender(name: str, options: Mapping[str, object]) -> Recommender:
    """A recommender that is not fitted yet.

    Raises:
        ValueError: an unknown name or setting; the message lists those there are.
    """
    if name not in RECOMMENDERS and ":" not in name:
        known = ", ".join(RECOMMENDERS)
        raise ValueError(f"unknown recommender {name!r}; there are: {known}, or package.module:Class for your own")
    factory = load_object(RECOMMENDERS.get(name, name))
    if not callable(factory):
        raise ValueError(f"recommender {name!r} is not a class or a function that makes one")
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(factory).parameters)
        raise ValueError(f"recommender {name!r}: {error}; its options are: {known or 'none'}") from error
    return factory(**options)


__all__ = [
    "RECOMMENDERS",
    "Fits",
    "FitsHistories",
    "Recommender",
    "RecommenderError",
    "load_object",
    "make_recommender",
    "new_recommender",
    "recommender_name",
]
