"""The `degraded` recommender: another one with faults, whose strength is one number."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.draws import hashed, shares
from rec_gym.filters import Filter, FilterRanges, FilterTable
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.base import Recommender, check_fitted, fitted_copy, ranked, with_clipped
from rec_gym.recommenders.checks import check_excluded, check_queries, filter_ranges
from rec_gym.recommenders.wrapping import Wrapper

WORST = {"drop": 0.3, "shuffle": 1.0, "noise": 0.4, "stale": 0.1, "partial": 0.2, "out_of_stock": 0.3}
"""The share of each fault at difficulty 100; at difficulty d it is d% of this."""

_REACH = 20  # places that a shuffled item falls, at most
_SHARDS = 20
_TRIES = 16  # candidates for a noise item


class Degraded(Wrapper):
    """A recommender with faults, to train a policy that does not depend on a perfect one.

    Each fault has a share from 0 to 1:

    * `drop`: share of the results of a query that are missing;
    * `shuffle`: share of the results of a query that fall by up to 20 places;
    * `noise`: share of the results of a query that are swapped for random items of the catalogue;
    * `stale`: share of the catalogue, its last items, that came after the index was built, and are unknown to it;
    * `partial`: share of 20 shards of the catalogue that do not answer a query;
    * `out_of_stock`: share of the catalogue that is sold out, the same items for every query.

    Which items a fault meets is a function of the seed, the query and the item (of seed and item for those that do not
    depend on the query), so a query is ranked the same in every batch and process, and what is missing at one difficulty
    is missing at every higher one. Excluded items and filters hold for noise items too. Scores are 1 / place. With
    difficulty 0 the wrapped ranking is returned as it is.

    Args:
        recommender: a name, a table `{name = ..., settings}`, or an object that is already fitted.
        difficulty: a whole number from 0, the wrapped ranking, to 100, the worst; see `WORST`.
        seed: of all faults.
        drop: a share that replaces the one that `difficulty` gives; so for the following.
        shuffle: a share.
        noise: a share.
        stale: a share.
        partial: a share.
        out_of_stock: a share.

    Raises:
        ValueError: `difficulty` is not a whole number from 0 to 100, or a share is not a number from 0 to 1.
    """

    def __init__(
        self,
        recommender: str | Mapping[str, Any] | Recommender = "bm25",
        difficulty: int = 50,
        seed: int = 0,
        drop: float | None = None,
        shuffle: float | None = None,
        noise: float | None = None,
        stale: float | None = None,
        partial: float | None = None,
        out_of_stock: float | None = None,
    ) -> None:
        super().__init__(recommender)
        self.difficulty, self.seed = _checked(difficulty), seed
        self.drop, self.shuffle, self.noise = drop, shuffle, noise
        self.stale, self.partial, self.out_of_stock = stale, partial, out_of_stock
        for name in WORST:
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, or None to leave it to difficulty, not {share!r}")
        self._columns: FilterTable | None = None
        self._placed: np.ndarray | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_placed": None}

    def __repr__(self) -> str:
        stated = "".join(f", {name}={getattr(self, name)}" for name in WORST if getattr(self, name) is not None)
        return f"Degraded({self.recommender!r}, difficulty={self.difficulty}, seed={self.seed}{stated})"

    @property
    def faults(self) -> dict[str, float]:
        """The share of each fault."""
        stated = {name: getattr(self, name) for name in WORST}
        return {
            name: worst * self.difficulty / 100 if stated[name] is None else float(stated[name])
            for name, worst in WORST.items()
        }

    def at(self, difficulty: int) -> Self:
        """The same recommender, fitted as this one is, with another difficulty; shares that were stated stay.

        Raises:
            ValueError: it is not a whole number from 0 to 100.
        """
        other = copy.copy(self)
        other.difficulty, other._placed = _checked(difficulty), None
        return other

    def rank(
        self,
        queries: Sequence[str],
        k: int,
        exclude: Sequence[np.ndarray] | None = None,
        filters: Sequence[Filter | None] | None = None,
    ) -> Rankings:
        """Ranks the catalogue for each query; see `Recommender.rank`.

        Raises:
            NotFittedError: it is not fitted.
            ValueError: a query has a filter, and the wrapped recommender does not take filters; or as for
                `FiltersItems.rank`.
        """
        check_fitted(self)
        if not any(self.faults.values()):
            return with_clipped(ranked(self.inner, queries, k, exclude, filters), self.inner, queries)
        check_queries(queries, k)
        hidden = check_excluded(exclude, len(queries), self._size)
        passing = filter_ranges(self._columns, filters, len(queries))
        k = min(k, self._size)
        items = np.full((len(queries), k), NOT_RANKED, np.int32)
        clipped = np.zeros(len(queries), bool)
        waiting = np.arange(len(queries))
        depth = self._first_depth(k)
        while len(waiting):
            chosen = [queries[row] for row in waiting.tolist()]
            left_out = None if hidden is None else [hidden[row] for row in waiting.tolist()]
            asked = None if filters is None else [filters[row] for row in waiting.tolist()]
            answer = with_clipped(ranked(self.inner, chosen, depth, left_out, asked), self.inner, chosen)
            if answer.clipped is not None:
                clipped[waiting] = answer.clipped
            shown = None if passing is None else passing.take(waiting)
            spoilt, is_final = self._spoilt(chosen, answer.items, depth, left_out, shown)
            complete = np.array([is_final[row] or len(spoilt[row]) >= k for row in range(len(waiting))], bool)
            for row in np.flatnonzero(complete).tolist():
                found = spoilt[row][:k]
                items[waiting[row], : len(found)] = found
            waiting, depth = waiting[~complete], min(2 * depth, self._size)
        scores = np.where(items != NOT_RANKED, 1 / np.arange(1, k + 1), 0).astype(np.float32)
        return Rankings(items, scores, clipped)

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Self:
        inner = self._fitted(catalog, histories)
        return fitted_copy(
            self, catalog, _inner=inner, _size=len(catalog), _columns=FilterTable.of(catalog), _placed=None
        )

    def _first_depth(self, k: int) -> int:
        """Places that will most often do for k results: the share that is left, and those that may fall out of them."""
        faults = self.faults
        left = math.prod(1 - faults[name] for name in ("drop", "stale", "partial", "out_of_stock"))
        return min(self._size, math.ceil(1.2 * k / max(left, 0.05)) + _REACH + 8)

    def _spoilt(
        self,
        queries: list[str],
        items: np.ndarray,
        depth: int,
        exclude: list[np.ndarray] | None,
        passing: FilterRanges | None,
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The items of each query after all faults, as far as deeper places of its ranking cannot change them.

        Args:
            queries: n texts.
            items: what the wrapped recommender ranked to `depth`, int32 [n, <= depth], padded with -1.
            depth: places that it was asked for.
            exclude: for each query the items that are left out.
            passing: which items pass the filter of each query.

        Returns:
            The items of each query, best first; and whether they are all there are, bool [n].
        """
        faults = self.faults
        keys = {name: self._keys(name, queries) for name in ("drop", "noise", "swap", "shuffle", "fall")}
        lost = self._lost(queries)
        listed = items != NOT_RANKED
        lengths = listed.sum(axis=1)
        is_final = (lengths < depth) | (depth >= self._size)
        falls = shares(keys["shuffle"], items) < faults["shuffle"]
        places = np.arange(items.shape[1]) + np.where(falls, _REACH * shares(keys["fall"], items), 0.0)
        order = np.argsort(np.where(listed, places, np.inf), axis=1, kind="stable")
        ordered, places = np.take_along_axis(items, order, 1), np.take_along_axis(places, order, 1)
        swapped = shares(keys["noise"], ordered) < faults["noise"]
        chosen = np.where(swapped, self._noise(keys, lost, ordered, swapped), ordered)
        # An item that is not fetched yet may come before those that fell below the last place.
        stays = (ordered != NOT_RANKED) & (is_final[:, np.newaxis] | (places < depth)) & (chosen != NOT_RANKED)
        stays &= ~np.take_along_axis(lost, self._shards[ordered].astype(np.int64), 1)
        stays &= shares(keys["drop"], ordered) >= faults["drop"]
        spoilt = []
        for row in range(len(queries)):
            left = chosen[row, stays[row]]
            _, first = np.unique(left, return_index=True)
            left = left[np.sort(first)]
            if exclude is not None and len(exclude[row]):
                left = left[~np.isin(left, exclude[row])]
            spoilt.append(left if passing is None else left[passing.passes(row, left)])
        return spoilt, is_final

    def _noise(
        self, keys: Mapping[str, np.ndarray], lost: np.ndarray, items: np.ndarray, swapped: np.ndarray
    ) -> np.ndarray:
        """What each item is swapped for, int32 as `items`; -1 where there is nothing.

        Only items that are themselves ranked if they match can be noise: then leaving one out takes no other one away.

        Args:
            keys: of the faults, uint64 [n, 1].
            lost: see `_lost`.
            items: int32 [n, m].
            swapped: which of them are swapped, bool [n, m].
        """
        noise = np.full(items.shape, NOT_RANKED, np.int32)
        rows, columns = np.nonzero(swapped & (items != NOT_RANKED))
        flat = {name: key[rows, 0] for name, key in keys.items()}
        for attempt in range(_TRIES):
            if not len(rows):
                break
            draws = shares(flat["swap"], items[rows, columns].astype(np.int64) * _TRIES + attempt)
            candidates = (draws * self._size).astype(np.int32)
            fits = (
                (shares(flat["noise"], candidates) >= self.faults["noise"])
                & (shares(flat["drop"], candidates) >= self.faults["drop"])
                & ~lost[rows, self._shards[candidates]]
            )
            noise[rows[fits], columns[fits]] = candidates[fits]
            rows, columns = rows[~fits], columns[~fits]
            flat = {name: key[~fits] for name, key in flat.items()}
        return noise

    def _lost(self, queries: Sequence[str]) -> np.ndarray:
        """Which shards do not answer each query, bool [n, shards + 1]; the last holds what the engine does not have."""
        lost = np.ones((len(queries), _SHARDS + 1), bool)
        lost[:, :-1] = shares(self._keys("partial", queries), np.arange(_SHARDS)) < self.faults["partial"]
        return lost

    @property
    def _shards(self) -> np.ndarray:
        """The shard of each item, or their number for one that the engine does not know or have in stock, uint8."""
        if self._placed is None:
            faults, items = self.faults, np.arange(self._size)
            shard = (shares(hashed(self.seed, "shard"), items) * _SHARDS).astype(np.uint8)
            shard[shares(hashed(self.seed, "stock"), items) < faults["out_of_stock"]] = _SHARDS
            shard[round(self._size * (1 - faults["stale"])) :] = _SHARDS
            self._placed = shard
        return self._placed

    def _keys(self, fault: str, queries: Sequence[str]) -> np.ndarray:
        """What the draws of a fault depend on beside the item, uint64 [n, 1]."""
        keys = [hashed(self.seed, fault, query) for query in queries]
        return np.array(keys, np.uint64).reshape(len(queries), 1)


def _checked(difficulty: int) -> int:
    if isinstance(difficulty, bool) or not isinstance(difficulty, int | np.integer) or not 0 <= difficulty <= 100:
        raise ValueError(f"difficulty is a whole number from 0 to 100, not {difficulty!r}")
    return int(difficulty)
