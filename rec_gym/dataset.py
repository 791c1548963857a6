"""Requests, their gains, and the dataset that holds them in columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.cache import MANIFEST, check_folder, reading
from rec_gym.catalog import Catalog, arrow_path, read_table
from rec_gym.columns import IdIndex, Ragged, first_few, is_text
from rec_gym.disk import save_array
from rec_gym.draws import share
from rec_gym.filters import Filter, check_condition
from rec_gym.request_columns import (
    CONDITION_COLUMNS,
    GAIN_RULE,
    RequestColumns,
    are_gains,
    read_conditions,
)
from rec_gym.tables import unknown

TRAIN, VAL, TEST, ALL = "train", "val", "test", "all"
VAL_SHARE = 0.1
HISTORY_LENGTH = 10


@dataclass(frozen=True)
class Request:
    """What a shopper brings, as one value; batches work on the dataset's columns.

    Attributes:
        id: unique over all splits of the dataset.
        text: the query, or the titles of the history, one per line.
        split: `train`, `val`, `test` or a named shift such as `ood-type`.
        domain: the part of the catalogue that it is about, or empty.
        user: who asks, or empty; statistics resample users if a user has several requests.
        gains: `{item id: gain}` of the judged items, gain >= 0.
        history: ids of the items bought before, oldest first.
        constraints: `(column, operator, value)` triples that the shopper insists on, operator `<=`, `>=` or `==`; kept as
            data, and never shown to the recommender unless the policy writes them as filters.
        filters: triples of the same form that every ranking for this request is filtered by, whatever the policy writes.
        oracle: a query in the catalogue's own words if the dataset has one, or empty.
    """

    id: str
    text: str
    split: str
    domain: str = ""
    user: str = ""
    gains: Mapping[str, float] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    constraints: Filter = ()
    filters: Filter = ()
    oracle: str = ""


class Dataset:
    """A catalogue and the requests on it, in columns.

    Args:
        catalog: the items.
        table: one row per request, in a fixed order: the text columns `id`, `text`, `split`, `domain`, `user`, `oracle`,
            `constraints` and `filters` (JSON), and any numeric columns (such as `asked`, by which reports stratify).
            Without a column `filters`, no request has any.
        items: judged item positions of each request, int32, unique within a request.
        gains: their gains, float64.
        history: positions of the items bought before, int32.
        ideal: gains over which the ideal DCG is taken; only to reproduce figures whose ideal counted duplicate
            targets.
        notes: what the loader dropped or repaired, `{reason: count}`.

    Raises:
        ValueError: a gain is negative, not finite, or neither 0 nor between 1e-12 and 1e12; an item is unknown or judged
            twice; a request has no relevant item; its id is not unique; or a constraint or a filter does not match the
            catalogue.
    """

    def __init__(
        self,
        catalog: Catalog,
        table: pa.Table,
        items: Ragged,
        gains: Ragged,
        history: Ragged,
        *,
        ideal: Ragged | None = None,
        notes: Mapping[str, int] | None = None,
    ) -> None:
        self.catalog = catalog
        if "filters" not in table.column_names:  # stored before there were any
            table = table.append_column("filters", pa.nulls(len(table), pa.large_string()).fill_null(""))
        self.table = table.combine_chunks()  # look-ups in a column of many chunks would join them at every call
        self._folder: Path | None = None
        self.judged_items, self.judged_gains, self.history = items, gains, history
        self._ideal = ideal
        self.notes = dict(notes or {})
        if len(table) == 0:
            raise ValueError("the dataset has no request; check that the source holds queries with judgements")
        _check_gains(self)
        for name in CONDITION_COLUMNS:
            _check_conditions(self, name)

    @classmethod
    def from_requests(
        cls,
        catalog: Catalog,
        requests: Iterable[Mapping[str, object]],
        *,
        duplicate_targets: str = "remove",
        notes: Mapping[str, int] | None = None,
    ) -> Dataset:
        """Builds a dataset from one mapping per request.

        Args:
            catalog: the items.
            requests: mappings with `id`, `split` and `gains` (`{item: gain}`) or `targets` (a list of items, gain 1);
                optional `text`, `domain`, `user`, `history` (a list of items), `constraints`, `filters`, `oracle`
                and numbers under other names. Items are named by id (str) or position (int). A constraint or a filter is
                `[column, operator, value]`, the value of the column's type: text, true or false, or a finite number.
            duplicate_targets: `"remove"` counts a repeated target once; `"count"` counts it again in the ideal DCG, as
                Rec-R1's published figures do.
            notes: what has been dropped so far.

        Raises:
            ValueError: see the class; or a request has neither text nor history.
        """
        if duplicate_targets not in ("remove", "count"):
            raise ValueError(f"duplicate_targets is 'remove' or 'count', not {duplicate_targets!r}")
        columns = RequestColumns(catalog)
        for request in requests:
            columns.add(request)
        columns.texts["split"] = carve_val(*(columns.texts[name] for name in ("id", "user", "split")))
        return cls(
            catalog,
            columns.table(),
            columns.items.ragged(),
            columns.gains.ragged(),
            columns.history.ragged(),
            ideal=columns.ideal.ragged() if duplicate_targets == "count" else None,
            notes=notes,
        )

    def __len__(self) -> int:
        return self.table.num_rows

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(self.rows(name)):,}" for name in self.splits)
        return f"Dataset({len(self.catalog):,} items; requests: {sizes})"

    @cached_property
    def index(self) -> IdIndex:
        """From request ids to rows."""
        return IdIndex(self.table["id"], "request")

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, train, val and test first."""
        names = pc.unique(self.table["split"]).to_pylist()
        return tuple(sorted(names, key=lambda name: ({TRAIN: 0, VAL: 1, TEST: 2}.get(name, 3), name)))

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split, int64, in the dataset's order; `all` for every row.

        Raises:
            ValueError: unknown split.
        """
        if split == ALL:
            return np.arange(len(self))
        if split not in self.splits:
            raise ValueError(unknown("split", split, (*self.splits, ALL)))
        return np.flatnonzero(pc.equal(self.table["split"], split).to_numpy())

    def column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """A column of the requests (at the given rows): numbers as they are, text as objects."""
        column = self.table[name]
        return (column if rows is None else column.take(pa.array(np.asarray(rows, np.int64)))).to_numpy()

    @cached_property
    def is_history(self) -> bool:
        """Whether requests are purchase histories, to be shown as titles."""
        return bool(self.history.values.size) and not pc.any(pc.not_equal(self.table["text"], "")).as_py()

    def texts(self, rows: np.ndarray) -> list[str]:
        """What the shoppers brought: the query, or the last titles of the history as `Item 1: title` lines."""
        if not self.is_history:
            return self.column("text", rows).tolist()
        return ["\n".join(f"Item {i}: {t}" for i, t in enumerate(titles, 1)) for titles in self.history_titles(rows)]

    def history_titles(self, rows: np.ndarray) -> list[list[str]]:
        """Titles of the last items (at most ten) that each shopper bought, oldest first."""
        return [self.catalog.titles(self.history[row][-HISTORY_LENGTH:]) for row in rows]

    @cached_property
    def train_histories(self) -> Ragged:
        """Histories of the train requests, item positions oldest first: what a recommender may learn from.

        They do not include the items that these requests ask for.
        """
        return self.history.take(self.rows(TRAIN) if TRAIN in self.splits else np.empty(0, np.int64))

    @cached_property
    def relevant(self) -> Ragged:
        """Positions of each request's relevant items (gain > 0), int32."""
        return self.judged_items.where(self.judged_gains.values > 0)

    @cached_property
    def relevant_gains(self) -> Ragged:
        """Gains of `relevant`, float64."""
        return self.judged_gains.where(self.judged_gains.values > 0)

    @cached_property
    def ideal_gains(self) -> Ragged:
        """Gains of the ideal ranking, decreasing: those of `relevant`, unless duplicates count."""
        gains = self.relevant_gains if self._ideal is None else self._ideal
        return gains.with_values(gains.values[np.lexsort((-gains.values, gains.row_of))])

    def constraints(self, row: int) -> Filter:
        """The hard constraints of one request."""
        return read_conditions(self.table["constraints"][row].as_py())

    def filters(self, rows: np.ndarray) -> list[Filter]:
        """The filters of the requests at `rows`."""
        return [read_conditions(text) for text in self.column("filters", rows)]

    @cached_property
    def has_constraints(self) -> bool:
        """Whether any request has hard constraints."""
        return bool(pc.any(pc.not_equal(self.table["constraints"], "")).as_py())

    @cached_property
    def has_filters(self) -> bool:
        """Whether any request has filters."""
        return bool(pc.any(pc.not_equal(self.table["filters"], "")).as_py())

    @cached_property
    def has_oracle(self) -> bool:
        """Whether the dataset has queries in the catalogue's own words."""
        return bool(pc.any(pc.not_equal(self.table["oracle"], "")).as_py())

    def request(self, request_id: str) -> Request:
        """One request as a value.

        Raises:
            KeyError: the id is unknown.
        """
        row = int(self.index.positions([request_id])[0])
        values = {name: self.table[name][row].as_py() for name in ("id", "split", "domain", "user", "oracle")}
        judged = self.catalog.ids(self.judged_items[row])
        return Request(
            **values,
            text=self.texts(np.array([row]))[0],
            gains=dict(zip(judged, self.judged_gains[row].tolist(), strict=True)),
            history=tuple(self.catalog.ids(self.history[row])),
            constraints=self.constraints(row),
            filters=self.filters(np.array([row]))[0],
        )

    def save(self, folder: Path) -> None:
        """Writes the catalogue and the requests as Arrow and .npy files into an existing folder."""
        _write_table(folder / "catalog.arrow", self.catalog.stored_table())
        _write_table(folder / "requests.arrow", self.table)
        for name, ragged in self._ragged().items():
            save_array(folder / f"{name}.offsets.npy", ragged.offsets)
            save_array(folder / f"{name}.values.npy", ragged.values)
        (folder / "notes.json").write_text(json.dumps(self.notes), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Opens what `save` wrote; the columns are memory-mapped, so processes share them.

        Raises:
            DamagedError: a file is missing, unreadable, or (in the cache folder) not as it was written.
        """
        if (folder / MANIFEST).exists():
            check_folder(folder)
        names = [name for name in ("items", "gains", "history", "ideal") if (folder / f"{name}.values.npy").exists()]
        parts = ("offsets", "values")
        ragged = {name: Ragged(*(_map_array(folder / f"{name}.{part}.npy") for part in parts)) for name in names}
        with reading(folder / "notes.json"):
            notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
        items, requests = (read_table(folder / f"{name}.arrow") for name in ("catalog", "requests"))
        with reading(folder / "catalog.arrow"):
            catalog = Catalog.from_stored(items, folder / "catalog.arrow")
        with reading(folder / "requests.arrow"):
            dataset = cls(catalog, requests, **ragged, notes=notes)
        dataset._folder = folder
        return dataset

    def __reduce_ex__(self, protocol: int) -> tuple:  # type: ignore[override]
        """A dataset that was opened from a folder is pickled as that folder, so processes share its files."""
        if self._folder is not None and self._folder.is_dir():
            return Dataset.open, (self._folder,)
        return super().__reduce_ex__(protocol)  # type: ignore[return-value]

    def _ragged(self) -> dict[str, Ragged]:
        ragged = {"items": self.judged_items, "gains": self.judged_gains, "history": self.history}
        return ragged if self._ideal is None else ragged | {"ideal": self._ideal}


def carve_val(ids: Sequence[str], users: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Moves a tenth of train to val if a source has no val split.

    The choice is by a hash of the request's user (or of its id if it has none), so that no user is in both. Train is
    never emptied: if every request of a very small train would move, none does.
    """
    if VAL in splits or TRAIN not in splits:
        return list(splits)
    carved = [
        VAL if split == TRAIN and share(user or name) < VAL_SHARE else split
        for name, user, split in zip(ids, users, splits, strict=True)
    ]
    return carved if TRAIN in carved else list(splits)


def _check_gains(dataset: Dataset) -> None:
    """Refuses what would silently make a measure wrong."""
    items, gains = dataset.judged_items, dataset.judged_gains
    if not (len(items) == len(gains) == len(dataset.history) == len(dataset)):
        raise ValueError("items, gains and history need one row per request")
    if not np.array_equal(items.offsets, gains.offsets):
        raise ValueError("every judged item needs one gain; rows of items and gains differ in length")
    ideal = gains if dataset._ideal is None else dataset._ideal
    if len(ideal) != len(dataset):
        raise ValueError("the ideal gains need one row per request")
    for ragged in (gains, ideal):
        wrong = ~are_gains(ragged.values)
        if wrong.any():
            raise ValueError(f"{GAIN_RULE}; see requests {_names(dataset, ragged.row_of[wrong])}")
    for ragged in (items, dataset.history):
        wrong = (ragged.values < 0) | (ragged.values >= len(dataset.catalog))
        if wrong.any():
            raise ValueError(f"items outside the catalogue in requests {_names(dataset, ragged.row_of[wrong])}")
    keys = np.sort(items.row_of * np.int64(len(dataset.catalog)) + items.values)
    if (keys[1:] == keys[:-1]).any():
        rows = keys[1:][keys[1:] == keys[:-1]] // len(dataset.catalog)
        raise ValueError(f"an item is judged twice in requests {_names(dataset, rows)}")
    without = np.flatnonzero(dataset.relevant.lengths == 0)
    if without.size:
        raise ValueError(f"requests without a relevant item (gain > 0): {_names(dataset, without)}; drop them")
    if not dataset.is_history:
        textless = np.flatnonzero(pc.equal(dataset.table["text"], "").to_numpy())
        if textless.size:
            raise ValueError(
                f"requests without a text among others that have one: {_names(dataset, textless)}; a dataset holds texts or "
                "histories, so split it into two data sets"
            )
    _ = dataset.index  # unique ids over all splits
    if ALL in dataset.splits or "" in dataset.splits:
        raise ValueError(f"every request needs a split with a name other than {ALL!r}")


def _check_conditions(dataset: Dataset, name: str) -> None:
    """Refuses constraints or filters that would otherwise fail, or mean nothing, when a policy first meets them."""
    if not is_text(dataset.table.schema.field(name).type):
        raise ValueError(f"the column {name!r} of the requests holds JSON, not {dataset.table.schema.field(name).type}")
    columns = {field.name: field.type for field in dataset.catalog.table.schema}
    for text in pc.unique(dataset.table[name]).to_pylist():
        try:
            for triple in json.loads(text) if text else ():
                check_condition(triple, columns, name.removesuffix("s"))
        except ValueError as error:
            rows = np.flatnonzero(pc.equal(dataset.table[name], text).to_numpy())
            raise ValueError(f"{error}; see requests {_names(dataset, rows)}") from error


def _names(dataset: Dataset, rows: np.ndarray) -> str:
    return first_few(dataset.column("id", np.unique(rows)).tolist())


def _write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(arrow_path(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)


def _map_array(path: Path) -> np.ndarray:
    """A memory-mapped array as a plain ndarray: rows of a `memmap` are slow to slice, one object each."""
    with reading(path):
        return np.load(path, mmap_mode="r").view(np.ndarray)
