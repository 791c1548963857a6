"""The `recording` recommender: what another one answers is kept in a file, and replayed without it."""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from rec_gym._version import __version__
from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged, first_few
from rec_gym.filters import Filter, check_filters
from rec_gym.ranking import Rankings
from rec_gym.recommenders.answers import AnswerFile
from rec_gym.recommenders.base import (
    Recommender,
    RecommenderError,
    SaysWhatItClips,
    check_fitted,
    fitted_copy,
    ranked,
    with_clipped,
)
from rec_gym.recommenders.checks import check_excluded, check_queries
from rec_gym.recommenders.questions import Answer, Once, decoded, packed, query_key, question_keys, unpacked
from rec_gym.recommenders.registry import RECOMMENDERS, recommender_name
from rec_gym.recommenders.wrapping import Wrapper


class ReplayMissError(RecommenderError):
    """A question is not in the recording that is replayed."""


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


class Recording(Stored):
    """Records every answer of a recommender in a file, or replays the file without it.

    A recording holds one answer to each question (query, `k`, excluded items, filter), the first one. While it records,
    a question that is in the file is answered from there, so a replay sees what the recorded run saw, also where the
    recommender is a live engine whose answers change.

    Args:
        recommender: what is recorded: a name, a table `{name = ..., settings}`, or an object that is already fitted. In a
            replay it is neither made nor called; its settings are compared with the recorded ones.
        record: the file to add to; it is made if it is missing.
        replay: the file to answer from. A question that it does not hold is an error.
        identity: says what is recorded where settings cannot: for objects, code in a file, or the version of a service.
            It then stands for the settings.

    Raises:
        ValueError: not exactly one of `record` and `replay` is set.
    """

    def __init__(
        self,
        recommender: str | Mapping[str, Any] | Recommender = "bm25",
        record: str | Path | None = None,
        replay: str | Path | None = None,
        identity: str = "",
    ) -> None:
        super().__init__(recommender, identity)
        if (record is None) == (replay is None):
            raise ValueError(
                "a recording needs either record=FILE, to add to a file, or replay=FILE, to answer from it"
            )
        self.record, self.replay = record, replay
        if replay is not None:
            self._file = AnswerFile(Path(replay).expanduser(), writes=False)

    def __repr__(self) -> str:
        file = f"record={str(self.record)!r}" if self.replay is None else f"replay={str(self.replay)!r}"
        stats = self.stats
        return f"Recording({self.recommender!r}, {file}, hits={stats.hits}, misses={stats.misses}, recorded={stats.recorded})"

    @property
    def query_language(self) -> str:
        """That of the recorded recommender."""
        return self._stated("query_language") if self.replay else super().query_language

    @property
    def uses_histories(self) -> bool:
        """Whether the recorded recommender learns from histories."""
        return self._stated("uses_histories") if self.replay else super().uses_histories

    @property
    def filters_items(self) -> bool:
        """Whether the recorded recommender takes filters."""
        return self._stated("filters_items") if self.replay else super().filters_items

    def close(self) -> None:
        """Merges the journal into the file, which is then whole on its own, such as to be copied; it may go on."""
        if self._file is not None:
            self._file.close()

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Self:
        """Opens the file; to record, the recommender is fitted first.

        Raises:
            ValueError: the file holds answers of another catalogue, or to other settings; the message says what differs.
        """
        if self.replay is not None:
            assert self._file is not None
            header = self._file.header()
            settings, _ = described(self.recommender, self.identity, header["defaults"])
            seen = digest(histories) if header["uses_histories"] else ""
            wanted = {"catalog": catalog.content_hash, "items": len(catalog), "settings": settings, "histories": seen}
            self._compare(header, wanted, self._file.path)
            return self._copy(catalog, _file=self._file)
        assert self.record is not None
        inner = self._fitted(catalog, histories)
        wanted = self._header(catalog, histories, inner)
        file = AnswerFile(Path(self.record).expanduser().absolute(), wanted, writes=True)
        self._compare(file.header(), wanted, file.path)
        return self._copy(catalog, _file=file, _inner=inner)

    def _copy(self, catalog: Catalog, **state: Any) -> Self:
        fitted = fitted_copy(self, catalog, _size=len(catalog), **state)
        fitted._forget()
        return fitted

    def _compare(self, header: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
        differences = []
        if header["catalog"] != wanted["catalog"]:
            hashes = f"{header['catalog'][:12]}, not {wanted['catalog'][:12]}"
            differences.append(
                f"its catalogue has {header['items']:,} items, this one {wanted['items']:,} (hash {hashes})"
            )
        old, new = header["settings"], wanted["settings"]
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new or old[name] != new[name]:
                shown = [repr(side[name]) if name in side else "not set" for side in (old, new)]
                differences.append(f"{name} was {shown[0]}, and is {shown[1]}")
        if header["histories"] != wanted["histories"]:
            differences.append("it learned from other train histories")
        if differences:
            raise ValueError(
                f"{path} was recorded from something else: {'; '.join(differences)}; ask what was recorded, or record to "
                "another file"
            )

    def _stated(self, name: str) -> Any:
        assert self._file is not None
        return self._file.header()[name]

    def _ask(
        self,
        keys: list[bytes],
        queries: list[str],
        depth: int,
        exclude: list[np.ndarray] | None,
        filters: list[Filter] | None,
    ) -> dict[bytes, Answer]:
        if self.replay is None:
            return super()._ask(keys, queries, depth, exclude, filters)
        hidden = 0 if exclude is None else len(exclude[0])
        conditions = list(filters[0]) if filters is not None and filters[0] else "no filter"
        asked = f"the query {queries[0][:200]!r}, k={depth}, {hidden} items excluded, {conditions}"
        assert self._file is not None
        known = self._file.said(keys[0][: len(query_key(""))])
        hint = "that query was never recorded"
        if known is not None:
            same = f"k={known[1]}" + (" too, with other excluded items or another filter" if known[1] == depth else "")
            hint = f"that query was recorded with {same}"
        raise self._miss(len(keys), f"{asked} ({hint})")

    def _clips_of_new(self, queries: list[str]) -> np.ndarray:
        if self.replay is None or not self._stated("clips"):
            return np.zeros(len(queries), bool) if self.replay is not None else super()._clips_of_new(queries)
        raise self._miss(len(queries), f"whether {queries[0][:200]!r} is clipped")

    def _searched_of_new(self, queries: list[str]) -> list[str]:
        if self.replay is None:
            return super()._searched_of_new(queries)
        raise self._miss(len(queries), f"what was searched for {queries[0][:200]!r}")

    def _miss(self, count: int, first: str) -> ReplayMissError:
        return ReplayMissError(
            f"the recording {self.replay} does not answer {count} of the questions; the first: {first}. Record them by "
            f"running once with record={str(self.replay)!r} instead of replay="
        )


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
