"""Purchase histories whose next item is to be found: what their loaders share."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rec_gym.catalog import ID_COLUMN
from rec_gym.columns import IdIndex
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset, carve_val
from rec_gym.datasets.reading.judgements import catalog_of, dataset_of

POPULARITY = "popularity"
LEAST = 4
"""Interactions that a user needs for leave-one-out: a history, and one target for each split."""

_CHUNK = 1 << 16


class History(NamedTuple):
    """One history with its next item, as catalogue positions (-1 for an item that is not in the catalogue)."""

    id: str
    split: str
    user: str
    history: np.ndarray
    target: int


class Interactions:
    """Collects who took which item when, in flat arrays.

    Args:
        index: where item ids are looked up.
    """

    def __init__(self, index: IdIndex) -> None:
        self._index = index
        self._users: dict[str, int] = {}
        self._codes, self._times, self._items = array("i"), array("d"), array("i")
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, user: str, item: str, time: float) -> None:
        """Adds one interaction."""
        self._codes.append(self._users.setdefault(user, len(self._users)))
        self._times.append(time)
        self._names.append(item)
        if len(self._names) == _CHUNK:
            self._look_up()

    def in_order_of_time(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """The interactions of each user in order of time; ties in the order in which they were added.

        Returns:
            Users in order of appearance; item positions, user by user; where each user begins (one more entry than
            users); for each item position, the number of the interaction in the order of `add`.
        """
        self._look_up()
        codes = np.array(self._codes, np.int32)
        order = np.lexsort((np.array(self._times, np.float64), codes))  # stable
        bounds = np.searchsorted(codes[order], np.arange(len(self._users) + 1))
        return list(self._users), np.array(self._items, np.int32)[order], bounds, order

    def leave_one_out(self, notes: Counter[str]) -> Iterator[History]:
        """Three requests per user: the last interaction is the target in test, the one before in val, then in train.

        Their ids are `<split>-<user>`.
        """
        users, items, bounds, _ = self.in_order_of_time()
        for code, user in enumerate(users):
            own = items[bounds[code] : bounds[code + 1]]
            if len(own) < LEAST:
                notes[f"users with fewer than {LEAST} interactions, left out"] += 1
                continue
            for back, split in ((3, TRAIN), (2, VAL), (1, TEST)):
                yield History(f"{split}-{user}", split, user, own[:-back], int(own[-back]))

    def _look_up(self) -> None:
        self._items.frombytes(self._index.find(self._names).tobytes())
        self._names = []


def item_index(items: pa.Table, source: str) -> IdIndex:
    """The index of a table's item ids.

    Raises:
        ValueError: an id is missing or repeated; the message names the source.
    """
    try:
        return IdIndex(items[ID_COLUMN], "item")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def history_dataset(
    items: pa.Table, item_source: str, rows: Iterable[History], source: str, notes: Counter[str]
) -> Dataset:
    """The dataset whose requests are histories, and whose only relevant item is the next one.

    What is not in the catalogue is left out and counted; val is split off train if a source has none; the catalogue
    gets a column `popularity`: how many users of the train split have the item in a history or as a target.

    Args:
        items: the catalogue's columns.
        item_source: what they were read from, for messages.
        rows: the histories.
        source: what those were read from.
        notes: counts everything that is dropped.

    Raises:
        ValueError: see `Catalog` and `Dataset`.
    """
    usable = _usable(rows, notes)
    splits = carve_val([row.id for row in usable], [row.user for row in usable], [row.split for row in usable])
    usable = [row._replace(split=split) for row, split in zip(usable, splits, strict=True)]
    if POPULARITY in items.column_names:
        notes[f"columns {POPULARITY!r} replaced by the count in train"] += 1
        items = items.drop_columns([POPULARITY])
    items = items.append_column(POPULARITY, pa.array(_popularity(usable, items.num_rows)))
    return dataset_of(catalog_of(items, item_source, notes), map(_request, usable), source, notes)


def _usable(rows: Iterable[History], notes: Counter[str]) -> list[History]:
    """Leaves out what is not in the catalogue, and counts it."""
    usable = []
    for row in rows:
        known = row.history[row.history >= 0] if (row.history < 0).any() else row.history
        notes["items of histories that are not in the catalogue, dropped"] += len(row.history) - len(known)
        if row.target < 0:
            notes["requests whose target is not in the catalogue, dropped"] += 1
        elif not len(known):
            notes["requests without a history, dropped"] += 1
        else:
            notes["requests whose target is in their own history, kept"] += bool((known == row.target).any())
            usable.append(row._replace(history=known))
    return usable


def _popularity(rows: list[History], items: int) -> np.ndarray:
    """Users of the train split that have each item in a history or as a target there, int64 [items]."""
    users: dict[str, int] = {}
    train = [row for row in rows if row.split == TRAIN]
    if not train:
        return np.zeros(items, np.int64)
    pairs = [
        users.setdefault(row.user, len(users)) * items + np.append(row.history, row.target).astype(np.int64)
        for row in train
    ]
    return np.bincount(np.unique(np.concatenate(pairs)) % items, minlength=items)


def _request(row: History) -> dict[str, object]:
    return {"id": row.id, "split": row.split, "user": row.user, "history": row.history, "targets": [row.target]}
