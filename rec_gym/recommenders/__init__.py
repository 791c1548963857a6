"""Recommenders: black boxes that rank a catalogue for a query."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from threading import Lock
from weakref import WeakValueDictionary

from rec_gym.catalog import Catalog
from rec_gym.recommenders.base import Fits, Recommender, RecommenderError

# Modules are loaded when their recommender is asked for.
RECOMMENDERS = {
    "bm25": "rec_gym.recommenders.bm25:BM25",
    "rank_bm25": "rec_gym.recommenders.rank_bm25:RankBM25",
    "random": "rec_gym.recommenders.floors:RandomRecommender",
    "popularity": "rec_gym.recommenders.floors:PopularityRecommender",
}

_fitted: WeakValueDictionary[str, Recommender] = WeakValueDictionary()
_lock = Lock()


def make_recommender(name: str, options: Mapping[str, object], catalog: Catalog) -> Recommender:
    """A recommender fitted to a catalogue; those with the same name, options and catalogue are one object a process.

    Args:
        name: one of `RECOMMENDERS`, or `package.module:Class` for one of your own.
        options: its settings.
        catalog: what it ranks.

    Raises:
        ValueError: an unknown name or setting; the message lists those there are.
    """
    key = json.dumps([name, options, catalog.content_hash], sort_keys=True, default=str)
    with _lock:
        fitted = _fitted.get(key)
        if fitted is None:
            made = _make(name, options)
            fitted = made.fit(catalog) if isinstance(made, Fits) else made
            _fitted[key] = fitted
        return fitted


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


def _make(name: str, options: Mapping[str, object]) -> Recommender:
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


__all__ = ["RECOMMENDERS", "Fits", "Recommender", "RecommenderError", "load_object", "make_recommender"]
