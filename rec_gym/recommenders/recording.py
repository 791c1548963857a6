"""The `recording` recommender: what another one answers is kept in a file, and replayed without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, FilterTable
from rec_gym.recommenders.answers import AnswerFile
from rec_gym.recommenders.base import Recommender, RecommenderError, fitted_copy
from rec_gym.recommenders.checks import filter_ranges
from rec_gym.recommenders.questions import QUERY_BYTES, Answer
from rec_gym.recommenders.stored import Stored, described, digest


class ReplayMissError(RecommenderError):
    """A question is not in the recording that is replayed."""


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
        self._columns: FilterTable | None = None
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
            return self._copy(catalog, _file=self._file, _columns=FilterTable.of(catalog))
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
        filter_ranges(self._columns, filters, len(queries))  # what nobody could have recorded is another error
        hidden = 0 if exclude is None else len(exclude[0])
        conditions = list(filters[0]) if filters is not None and filters[0] else "no filter"
        asked = f"the query {queries[0][:200]!r}, k={depth}, {hidden} items excluded, {conditions}"
        assert self._file is not None
        known = self._file.said(keys[0][:QUERY_BYTES])
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
