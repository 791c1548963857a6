"""Recommenders whose answers are kept in a file: what `recording` and `cached` share."""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rec_gym._version import __version__
from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged, first_few
from rec_gym.filters import Filter, check_filters
from rec_gym.ranking import Rankings
from rec_gym.recommenders.answers import AnswerFile
from rec_gym.recommenders.base import Recommender, RecommenderError, SaysWhatItClips, check_fitted, ranked, with_clipped
from rec_gym.recommenders.checks import check_excluded, check_queries
from rec_gym.recommenders.questions import Answer, Once, decoded, packed, query_key, question_keys, unpacked
from rec_gym.recommenders.registry import RECOMMENDERS, recommender_name
from rec_gym.recommenders.wrapping import Wrapper


@dataclass(frozen=True)
class Counts:
    """What happened to the questions of this object, in this process.

    Attributes:
        hits: answered from the file, or by the answer to the same question in the same batch or another thread.
        misses: not in the file.
        recorded: new answers in the file.
    """

    hits: int = 0
    misses: int = 0
    recorded: int = 0


class Stored(Wrapper):
    """A recommender whose answers are kept in a file; the base of `Recording` and `Cached`."""

    identity: str
    _file: AnswerFile | None = None

    def __init__(self, recommender: str | Mapping[str, Any] | Recommender, identity: str) -> None:
        super().__init__(recommender)
        self.identity = identity
        self._forget()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_once", "_counts")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        """Starts to count, in this process."""
        self._lock = threading.Lock()
        self._once = Once()
        self._counts = Counts()

    @property
    def stats(self) -> Counts:
        """What happened to the questions so far."""
        return self._counts

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`. Equal questions are asked once.

        Raises:
            NotFittedError: it is not fitted.
            DamagedError: what the file holds is not what was written.
            OSError: the file cannot be read or written, or its disk is full.
        """
        check_fitted(self)
        check_queries(queries, k)
        depth = min(k, self._size)
        hidden = check_excluded(exclude, len(queries), self._size)
        conditions = None if filters is None else check_filters(filters, len(queries))
        keys = question_keys(queries, depth, hidden, conditions, self.uses_histories)
        first: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            first.setdefault(key, place)
        asked = 0

        def ask(missing: list[bytes]) -> dict[bytes, Answer]:
            nonlocal asked
            asked += len(missing)
            places = [first[key] for key in missing]
            chosen = [queries[place] for place in places]
            left_out = None if hidden is None else [hidden[place] for place in places]
            meant = None if conditions is None else [conditions[place] for place in places]
            return self._ask(missing, chosen, depth, left_out, meant)

        try:
            answers = self._once.answers(list(first), self._known, ask)
        finally:
            self._count(misses=asked)
        self._count(hits=len(queries) - asked)
        return unpacked([answers[key] for key in keys], depth)

    def clips(self, queries: Sequence[str]) -> np.ndarray:
        """Which queries the recommender reads a part of only, bool [n]; stored answers say so for their queries."""
        check_fitted(self)
        said = [self._said(query) for query in queries]
        rest = [query for query, answer in zip(queries, said, strict=True) if answer is None]
        others = iter(self._clips_of_new(rest).tolist() if rest else [])
        return np.array([next(others) if answer is None else answer.clipped for answer in said], bool)

    def searched(self, queries: Sequence[str]) -> list[str]:
        """The words of each query that the recommender used; stored answers hold them for their queries."""
        check_fitted(self)
        said = [self._said(query) for query in queries]
        rest = [query for query, answer in zip(queries, said, strict=True) if answer is None]
        others = iter(self._searched_of_new(rest) if rest else [])
        return [
            next(others) if answer is None else query if answer.searched is None else decoded(answer.searched)
            for query, answer in zip(queries, said, strict=True)
        ]

    def _clips_of_new(self, queries: list[str]) -> np.ndarray:
        return super().clips(queries)

    def _searched_of_new(self, queries: list[str]) -> list[str]:
        return super().searched(queries)

    def _said(self, query: str) -> Answer | None:
        assert self._file is not None
        found = self._file.said(query_key(query))
        return None if found is None else found[0]

    def _known(self, keys: list[bytes]) -> dict[bytes, Answer]:
        assert self._file is not None
        return self._file.get(keys)

    def _ask(
        self,
        keys: list[bytes],
        queries: list[str],
        depth: int,
        exclude: list[np.ndarray] | None,
        filters: list[Filter] | None,
    ) -> dict[bytes, Answer]:
        """Asks the wrapped recommender, and stores what it answers if it is a ranking."""
        rankings = with_clipped(ranked(self.inner, queries, depth, exclude, filters), self.inner, queries)
        self._check(rankings, queries, depth, exclude)
        answers = dict(zip(keys, packed(rankings, super().searched(queries), queries), strict=True))
        stored, added = self._store(answers, depth)
        self._count(recorded=added)
        return stored

    def _store(self, answers: dict[bytes, Answer], depth: int) -> tuple[dict[bytes, Answer], int]:
        assert self._file is not None
        return self._file.add(answers, depth)

    def _check(self, rankings: Rankings, queries: list[str], depth: int, exclude: list[np.ndarray] | None) -> None:
        """What is not a ranking would be wrong for ever once it is in the file."""
        what = f"{type(self.inner).__name__}.rank, asked {first_few(queries, 3)}"
        try:
            if not isinstance(rankings, Rankings):
                raise ValueError(f"it returned {type(rankings).__name__}, not Rankings")
            if len(rankings) != len(queries) or rankings.depth > depth:
                size = f"[{len(rankings)}, {rankings.depth}]"
                raise ValueError(f"it returned {size} for {len(queries)} queries, k = {depth}")
            rankings.check(self._size)
            if exclude is not None and (rankings.ranks_of(Ragged.from_rows(exclude, np.int32)).values >= 0).any():
                raise ValueError("it ranked items that were to be excluded")
        except ValueError as error:
            raise RecommenderError(f"{what}: {error}; nothing was stored") from error

    def _count(self, **more: int) -> None:
        with self._lock:
            now = self._counts
            self._counts = Counts(**{name: getattr(now, name) + more.get(name, 0) for name in vars(now)})

    def _header(self, catalog: Catalog, histories: Ragged | None, inner: Recommender) -> dict[str, Any]:
        """What the answers depend on, and what the recommender says about itself."""
        settings, defaults = described(self.recommender, self.identity)
        uses = bool(getattr(inner, "uses_histories", False))
        return {
            "catalog": catalog.content_hash,
            "items": len(catalog),
            "settings": settings,
            "defaults": defaults,
            "histories": digest(histories) if uses else "",
            "query_language": inner.query_language,
            "uses_histories": uses,
            "filters_items": bool(getattr(inner, "filters_items", False)),
            "clips": isinstance(inner, SaysWhatItClips),
            "version": __version__,
        }


def described(
    spec: str | Mapping[str, Any] | Recommender, identity: str, defaults: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a recommender with its defaults filled in, as JSON; and the defaults.

    Args:
        spec: name, table or object.
        identity: what stands for the settings; empty for none.
        defaults: those of a recording; None to look them up, which imports the recommender.

    Raises:
        ValueError: it is or holds an object, and has no identity.
    """
    if identity:
        return {"identity": identity}, {}
    advice = "which a file cannot describe; say what is recorded with identity='NAME AND VERSION'"
    if not isinstance(spec, str | Mapping):
        raise ValueError(f"the recommender is the object {spec!r:.200}, {advice}")
    name, settings = recommender_name(spec)
    if defaults is None:
        parameters = inspect.signature(RECOMMENDERS.find(name)).parameters.values()
        known = {one.name: one.default for one in parameters if one.default is not one.empty}
        defaults = {key: value for key, value in known.items() if _as_json(value) is not None}
    complete = {**defaults, **settings, "name": name}
    for key, value in complete.items():
        if _as_json(value) is None:
            raise ValueError(f"{key} of the recommender {name!r} is {value!r:.200}, {advice}")
    return json.loads(_as_json(complete) or ""), json.loads(_as_json(dict(defaults)) or "")


def digest(histories: Ragged | None) -> str:
    """A hash of train histories; empty for none."""
    if histories is None:
        return ""
    rows = hashlib.sha256(np.ascontiguousarray(histories.offsets, "<i8").tobytes())
    rows.update(np.ascontiguousarray(histories.values, "<i8").tobytes())
    return rows.hexdigest()


def _as_json(value: object) -> str | None:
    try:
        return json.dumps(value, sort_keys=True, default=_plain)
    except (TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
