"""The catalogue: what is recommended, addressed by position inside the package and by id outside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_gym.cache import reading
from rec_gym.columns import IdIndex, first_few, hash_column, is_number, is_text

ID_COLUMN = "item_id"
HASH_KEY = b"rec_gym.content_hash"
"""Metadata of a stored table that holds the catalogue's hash."""


class Catalog:
    """Items in columns; one row per item.

    Args:
        table: an Arrow table with a string column `item_id` and any columns of text or numbers. A missing text counts
            as empty.

    Raises:
        ValueError: there is no item, no `item_id` column, no text column, a column that holds neither text nor numbers,
            or an id is missing or repeated.

    Attributes:
        source: the file that it was opened from, and the hash of its content; None if it is in memory only.
    """

    source: tuple[Path, str] | None = None

    def __init__(self, table: pa.Table) -> None:
        if ID_COLUMN not in table.column_names:
            raise ValueError(f"a catalogue needs a column {ID_COLUMN!r}; its columns: {', '.join(table.column_names)}")
        if table.num_rows == 0:
            raise ValueError("the catalogue is empty; check that the source holds items")
        for field in table.schema:
            if not (is_text(field.type) or is_number(field.type)):
                raise ValueError(f"column {field.name!r} must hold text or numbers, not {field.type}; convert it first")
        if not is_text(table.schema.field(ID_COLUMN).type):
            raise ValueError(
                f"ids are texts, not {table.schema.field(ID_COLUMN).type}; convert {ID_COLUMN!r} with str()"
            )
        # A stored hash would be wrong for a table that has changed since: only `from_stored` trusts one.
        self.table = table.replace_schema_metadata(None).set_column(
            table.column_names.index(ID_COLUMN), ID_COLUMN, table[ID_COLUMN].cast(pa.large_string())
        )
        if not self.text_columns:
            raise ValueError(f"a catalogue needs at least one text column besides {ID_COLUMN!r}")
        _ = self.index  # the ids are checked here, not at the first look-up

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence]) -> Catalog:
        """Builds a catalogue from `{column: values}`, one value per item."""
        return cls(pa.table({name: _as_column(name, values) for name, values in columns.items()}))

    @classmethod
    def from_items(cls, items: Iterable[Mapping[str, object]]) -> Catalog:
        """Builds a catalogue from one mapping per item; each holds `item_id` and any further columns."""
        rows = list(items)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return cls.from_columns({name: [row.get(name) for row in rows] for name in names or [ID_COLUMN]})

    @classmethod
    def from_stored(cls, table: pa.Table, path: Path | None = None) -> Catalog:
        """The catalogue of an unchanged table from `stored_table`: its hash is not recomputed.

        Args:
            table: the table.
            path: the file that it was read from by `read_table`, which pickles may name instead of holding the table.
        """
        catalog = cls(table)
        known = stored_hash(table)
        if known:
            catalog.__dict__["content_hash"] = known
            catalog.source = None if path is None else (path, known)
        return catalog

    def __len__(self) -> int:
        return self.table.num_rows

    def __repr__(self) -> str:
        return f"Catalog({len(self):,} items; {', '.join(self.table.column_names)})"

    @cached_property
    def index(self) -> IdIndex:
        """From item ids to positions."""
        return IdIndex(self.table[ID_COLUMN], "item")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that hold text, except the id."""
        return tuple(f.name for f in self.table.schema if f.name != ID_COLUMN and is_text(f.type))

    @property
    def title_column(self) -> str:
        """The column that names an item to a person: `title`, or the first text column."""
        return "title" if "title" in self.text_columns else self.text_columns[0]

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """Positions of item ids, int32 [n].

        Raises:
            KeyError: an id is not in the catalogue.
        """
        return self.index.positions(ids)

    def ids(self, positions: Sequence[int] | np.ndarray) -> list[str]:
        """Ids of the items at `positions`."""
        return self._take(ID_COLUMN, positions)

    def titles(self, positions: Sequence[int] | np.ndarray) -> list[str]:
        """Titles of the items at `positions`, on one line each."""
        return [" ".join(title.split()) for title in self._take(self.title_column, positions)]

    def values(self, column: str, positions: np.ndarray | None = None) -> np.ndarray:
        """A column (at the given positions) as a NumPy array: numbers as they are, text as objects.

        Raises:
            KeyError: unknown column.
        """
        if column not in self.table.column_names:
            raise KeyError(f"the catalogue has no column {column!r}; choose from: {', '.join(self.table.column_names)}")
        chunks = self.table[column]
        return (chunks if positions is None else chunks.take(pa.array(positions.astype(np.int64)))).to_numpy()

    def texts(self, fields: Sequence[str] = (), batch_size: int = 8192) -> Iterator[list[str]]:
        """Item texts in position order, in batches: the fields' non-empty texts joined by a space.

        Args:
            fields: text columns in the order in which they are joined; empty for every text column.
            batch_size: items per batch, at most; only one batch is held as Python objects.

        Raises:
            KeyError: a field is not a text column.
        """
        fields = tuple(fields) or self.text_columns
        unknown = [name for name in fields if name not in self.text_columns]
        if unknown:
            raise KeyError(f"no text column {first_few(unknown)}; choose from: {', '.join(self.text_columns)}")
        for batch in self.table.select(list(fields)).to_batches(max_chunksize=batch_size):
            columns = [batch.column(name).to_pylist() for name in fields]
            yield [" ".join(filter(None, row)) for row in zip(*columns, strict=True)]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of every column's name and values, as hex digits: the same on every machine."""
        digest = hashlib.sha256()
        for name in self.table.column_names:
            digest.update(name.encode() + b"\0" + hash_column(self.table[name]))
        return digest.hexdigest()

    def stored_table(self) -> pa.Table:
        """The table with its hash in the metadata, so that readers of the stored file need not recompute it."""
        return self.table.replace_schema_metadata({HASH_KEY: self.content_hash.encode()})

    def _take(self, column: str, positions: Sequence[int] | np.ndarray) -> list[str]:
        positions = np.asarray(positions, np.int64)
        if positions.size and not (positions.min() >= 0 and positions.max() < len(self)):
            raise IndexError(f"item positions must lie in [0, {len(self)}); got {positions.min()} to {positions.max()}")
        # Arrow's take on a column of many chunks joins them first, which copies the whole column at every call.
        chunks = self.table[column].chunks
        starts = np.cumsum([0] + [len(chunk) for chunk in chunks])
        chunk_of = np.searchsorted(starts, positions, side="right") - 1
        taken = np.empty(len(positions), object)
        for number in np.unique(chunk_of):
            here = np.flatnonzero(chunk_of == number)
            values = chunks[number].take(pa.array(positions[here] - starts[number])).to_pylist()
            taken[here] = [value or "" for value in values]
        return taken.tolist()


def stored_hash(table: pa.Table) -> str | None:
    """The catalogue's hash that a table from `stored_table` holds; None if there is none."""
    known = (table.schema.metadata or {}).get(HASH_KEY)
    return known.decode() if known else None


def read_table(path: Path) -> pa.Table:
    """A memory-mapped table.

    Raises:
        DamagedError: the file is missing or cannot be read.
    """
    with reading(path):
        table = pa.ipc.open_file(pa.memory_map(arrow_path(path))).read_all()
        table.validate(full=True)  # offsets of a damaged file could point outside its memory
        return table


def arrow_path(path: Path) -> str | bytes:
    """A path as Arrow takes it: bytes on POSIX, since Arrow encodes str as UTF-8, which a path need not be."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _as_column(name: str, values: Sequence) -> pa.Array:
    """Text becomes large_string (a catalogue's text may exceed 2 GB); numbers keep their type."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise ValueError(f"column {name!r} must hold text only or numbers only: {error}") from error
    if pa.types.is_null(array.type) or is_text(array.type):
        return array.cast(pa.large_string())
    if is_number(array.type):
        return array
    raise ValueError(f"column {name!r} must hold text or numbers, not {array.type}; join lists into one text first")
