"""Rankings: item positions and scores, best first, one row per query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged, first_few

NOT_RANKED = -1


@dataclass(frozen=True, eq=False)
class Rankings:
    """What a recommender returns for a batch of queries.

    Attributes:
        items: item positions, best first, int32 [n, k], padded with -1.
        scores: their scores, float32 [n, k], non-increasing along a row; padding is ignored.
        clipped: queries of which the recommender used only a part, bool [n].
    """

    items: np.ndarray
    scores: np.ndarray
    clipped: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise ValueError(f"items {self.items.shape} and scores {self.scores.shape} must both be [queries, k]")
        if self.items.dtype.kind != "i":
            raise ValueError(f"items must be positions (int32), not {self.items.dtype}; Rankings.from_ids takes ids")
        if self.clipped is not None and self.clipped.shape != (len(self.items),):
            raise ValueError(f"clipped must hold one bool per ranking ({len(self.items)}), not {self.clipped.shape}")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def depth(self) -> int:
        """k, the number of places in each ranking."""
        return self.items.shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """Items ranked for each query, int64 [n]."""
        return (self.items != NOT_RANKED).sum(axis=1)

    @classmethod
    def from_ids(
        cls,
        catalog: Catalog,
        ids: Sequence[Sequence[str]],
        scores: Sequence[Sequence[float]] | None = None,
        lower_is_better: bool | None = None,
    ) -> Rankings:
        """Rankings from item ids, for a custom recommender.

        Args:
            catalog: where the ids are looked up.
            ids: one list of item ids per query, best first.
            scores: one score per id. With scores, items are sorted by decreasing score (before rounding to float32), ties by
                lower item position; without, the order of `ids` is kept and the score of place r (from 1) is 1 / r.
            lower_is_better: true if the lowest score is the best, as with the distances of a vector database: items are
                sorted by increasing score, and scores are stored negated. False if the highest score is the best. None
                assumes the latter, but refuses scores that increase along every list, as distances do.

        Raises:
            ValueError: the scores do not fit the ids, are not finite, or contradict the order of every list; or a
                ranking names an item twice.
            KeyError: an id is not in the catalogue.
        """
        lengths = [len(row) for row in ids]
        flat = catalog.positions([item for row in ids for item in row])
        items = np.full((len(ids), max(lengths, default=0)), NOT_RANKED, np.int32)
        filled = np.arange(items.shape[1]) < np.array(lengths, np.int64).reshape(-1, 1)
        items[filled] = flat
        values = np.zeros(items.shape, np.float64)
        if scores is None:
            values[:] = 1.0 / np.arange(1, items.shape[1] + 1)
            values[~filled] = 0
        else:
            if [len(row) for row in scores] != lengths:
                raise ValueError("scores must hold one number for every id")
            values[filled] = np.array([score for row in scores for score in row], np.float64)
            if not (np.abs(values) <= np.finfo(np.float32).max).all():
                raise ValueError("scores must be finite numbers that fit float32; scale them, or give ids only")
            if lower_is_better is None:
                _check_direction(values, filled)
            if lower_is_better:
                values = 0.0 - values
            order = np.lexsort((items, -values, ~filled), axis=1)
            items, values = np.take_along_axis(items, order, 1), np.take_along_axis(values, order, 1)
        rankings = cls(items, values.astype(np.float32))
        rankings.check(len(catalog))
        return rankings

    def check(self, catalog_size: int) -> None:
        """Checks that the rows are rankings.

        Raises:
            ValueError: an item is outside the catalogue, appears twice in a row, or follows padding, or a score
                increases along a row or is not a number.
        """
        if self.items.size == 0:
            return
        if self.items.max() >= catalog_size or self.items.min() < NOT_RANKED:
            raise ValueError(f"item positions must lie in [-1, {catalog_size}); -1 is padding")
        ranked = self.items != NOT_RANKED
        if (ranked[:, 1:] & ~ranked[:, :-1]).any():
            raise ValueError("padding (-1) must be at the end of a ranking")
        ordered = np.sort(self.items, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOT_RANKED)
        if twice.any():
            rows = np.flatnonzero(twice.any(axis=1))
            raise ValueError(f"a ranking lists an item twice (rankings {first_few(rows.tolist())}); remove repetitions")
        if np.isnan(self.scores[ranked]).any():
            raise ValueError("a score is not a number (NaN); give every ranked item a score")
        rising = (self.scores[:, 1:] > self.scores[:, :-1]) & ranked[:, 1:]
        if rising.any():
            rows = np.flatnonzero(rising.any(axis=1))
            raise ValueError(
                f"scores must not increase along a ranking (rankings {first_few(rows.tolist())}); sort them first"
            )

    def take(self, rows: np.ndarray) -> Rankings:
        """The rankings at `rows`, in that order."""
        return Rankings(self.items[rows], self.scores[rows], None if self.clipped is None else self.clipped[rows])

    def ids(self, catalog: Catalog) -> list[list[str]]:
        """Item ids, one list per query, best first."""
        names = iter(catalog.ids(self.items[self.items != NOT_RANKED]))
        return [list(islice(names, length)) for length in self.lengths.tolist()]

    def ranks_of(self, items: Ragged) -> Ragged:
        """Ranks (from 0) of the given items, int32; -1 for an item that is not ranked.

        Args:
            items: for each ranking, the item positions to look up.
        """
        if len(items) != len(self):
            raise ValueError(f"{len(items)} rows of items were given for {len(self)} rankings")
        if self.depth == 0 or items.values.size == 0:
            return items.with_values(np.full(len(items.values), NOT_RANKED, np.int32))
        # One sorted list of (row, item) keys serves every look-up of the batch.
        span = np.int64(max(self.items.max(), items.values.max()) + 2)
        rows = np.arange(len(self)).reshape(-1, 1) * span
        keys = (rows + self.items + 1).ravel()
        order = np.argsort(keys, kind="stable")
        wanted = items.row_of * span + items.values + 1
        places = np.minimum(np.searchsorted(keys, wanted, sorter=order), keys.size - 1)
        is_ranked = keys[order[places]] == wanted
        return items.with_values(np.where(is_ranked, order[places] % self.depth, NOT_RANKED).astype(np.int32))


def _check_direction(scores: np.ndarray, filled: np.ndarray) -> None:
    """Checks that scores do not increase along every list of ids, which are best first.

    Args:
        scores: in the order of the ids, float64 [n, k].
        filled: where there is an id, bool [n, k].
    """
    steps = np.where(filled[:, 1:], np.diff(scores, axis=1), 0)
    rises, falls = (steps > 0).any(axis=1), (steps < 0).any(axis=1)
    if rises.any() and not falls.any():
        raise ValueError(
            "scores increase along every list of ids, which should be best first: if they are distances, pass "
            "lower_is_better=True; if the lists are unsorted and the highest score is the best, lower_is_better=False"
        )
