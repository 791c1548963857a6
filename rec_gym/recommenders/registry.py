"""Recommenders by name: made and fitted once, and shared in a process."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders.base import Fits, FitsHistories, Recommender
from rec_gym.registry import Registry
from rec_gym.resolving import maker_of
from rec_gym.tables import check_arguments, named

RECOMMENDER = maker_of("a recommender", "rank", "Recommender")
# Modules are loaded when their recommender is asked for.
_BUILT_IN = {
    "bm25": "rec_gym.recommenders.bm25:BM25",
    "rank_bm25": "rec_gym.recommenders.rank_bm25:RankBM25",
    "random": "rec_gym.recommenders.trivial:RandomRecommender",
    "popularity": "rec_gym.recommenders.trivial:PopularityRecommender",
    "dense": "rec_gym.recommenders.dense:Dense",
    "hybrid": "rec_gym.recommenders.hybrid:Hybrid",
    "rerank": "rec_gym.recommenders.rerank:Rerank",
    "sqlite": "rec_gym.recommenders.engines.sqlite:SQLite",
    "postgres": "rec_gym.recommenders.engines.postgres:Postgres",
    "item-knn": "rec_gym.recommenders.item_knn:ItemKNN",
    "recording": "rec_gym.recommenders.recording:Recording",
    "cached": "rec_gym.recommenders.cached:Cached",
    "degraded": "rec_gym.recommenders.degraded:Degraded",
}

RECOMMENDERS: Registry[Callable[..., Recommender]] = Registry(RECOMMENDER, _BUILT_IN)

_fitted: WeakValueDictionary[str, Recommender] = WeakValueDictionary()
_lock = RLock()  # a hybrid makes its parts while it is made


def make_recommender(
    name: str, options: Mapping[str, object], catalog: Catalog, histories: Ragged | None = None
) -> Recommender:
    """A recommender fitted to a catalogue; the same name, options and data give the same object within a process.

    Args:
        name: one of `RECOMMENDERS`, or `package.module:Name` or `FILE.py:Name` for custom code, which is imported: a
            class with `rank`, or a function annotated `-> Recommender`. Anything else is refused before it is called.
        options: its settings.
        catalog: what it ranks.
        histories: item positions of the train histories, for recommenders that learn from them (`FitsHistories`).
            They hold what shoppers bought before, never what a request asks for.

    Raises:
        ValueError: an unknown name or setting (near ones are suggested), a setting of the wrong type; or the recommender
            learns from histories and there are none.
    """
    options = {key: _plain(value) for key, value in options.items()}
    factory = RECOMMENDERS.find(name)
    unfitted = _make(factory, name, options)
    learns = isinstance(unfitted, FitsHistories) and unfitted.uses_histories
    if learns and (histories is None or histories.values.size == 0):
        raise ValueError(
            f"recommender {name!r} learns from purchase histories, and this data set has none in train; "
            "choose another recommender, or a data set of histories"
        )
    seen = _digest(histories) if learns and histories is not None else None
    parts = [name, _identity(factory), options, catalog.content_hash, seen]
    key = json.dumps(parts, sort_keys=True, default=_identity)
    with _lock:
        fitted = _fitted.get(key)
        if fitted is None:
            if learns and isinstance(unfitted, FitsHistories) and histories is not None:
                fitted = unfitted.fit_histories(catalog, histories)
            else:
                fitted = unfitted.fit(catalog) if isinstance(unfitted, Fits) else unfitted
            _fitted[key] = fitted
            # They are identified by their address, so they must live as long as what they made.
            weakref.finalize(fitted, _keep, factory, options)
        return fitted


def recommender_name(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of a recommender that is given as data.

    Raises:
        ValueError: it is an object, or a table without `name`.
    """
    if not isinstance(spec, str | Mapping):
        raise ValueError(
            f"a recommender is a name or a table with 'name', not {spec!r}; pass an object to rec_gym.Task itself"
        )
    return named(spec, "a recommender")


def _digest(histories: Ragged) -> str:
    rows = hashlib.sha256(np.ascontiguousarray(histories.offsets).tobytes())
    rows.update(np.ascontiguousarray(histories.values).tobytes())
    return rows.hexdigest()


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's: they are data, compared by value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _keep(factory: object, options: Mapping[str, object]) -> None:
    """Called when a recommender is gone; until then the finaliser keeps its factory and options alive."""


def _identity(value: object) -> str:
    """Identifies an object, as long as it lives."""
    return f"{type(value).__qualname__} {id(value)}"


def register_recommender(name: str, factory: Callable[..., Recommender]) -> None:
    """Gives a custom recommender a name, by which `recommender=` finds it in this process.

    Args:
        name: lower-case letters, digits, `-` and `_`, beginning with a letter.
        factory: a class with `rank`, or a function annotated `-> Recommender`; its parameters are the settings.

    Raises:
        ValueError: the name is taken or not of the right form, or the factory is something else.
    """
    RECOMMENDERS.register(name, factory)


def new_recommender(name: str, options: Mapping[str, object]) -> Recommender:
    """A recommender that is not fitted yet.

    Raises:
        ValueError: an unknown name or setting (near ones are suggested), or a setting of the wrong type.
    """
    return _make(RECOMMENDERS.find(name), name, options)


def _make(factory: Any, name: str, options: Mapping[str, object]) -> Recommender:
    check_arguments(factory, options, f"recommender {name!r}")
    recommender = factory(**options)
    if not isinstance(recommender, Recommender):
        raise ValueError(
            f"recommender {name!r} returned a {type(recommender).__name__} without rank() or without query_language"
        )
    return recommender
