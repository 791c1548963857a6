"""Columnar building blocks: an index from string ids to positions, and ragged arrays of numbers.

They keep large data out of Python objects: a catalogue of 1.2 million items takes a few arrays, not millions of strings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def first_few(values: Iterable[object], limit: int = 5) -> str:
    """Lists a few values for an error message, and says how many there are in all."""
    values = list(values)
    shown = ", ".join(repr(value) for value in values[:limit])
    return shown if len(values) <= limit else f"{shown}, ... ({len(values)} in all)"


_WIDEST = 64  # bytes of a key in an IdIndex


class IdIndex:
    """Maps string ids to their positions by binary search over sorted fixed-width bytes.

    It takes at most 68 bytes per id, however long the ids are: ids longer than 64 bytes are stored as a digest.

    Args:
        ids: the ids in position order; unique, not empty, without NUL characters.
        kind: what the ids name, for messages (`"item"`, `"request"`).

    Raises:
        ValueError: an id is missing, empty, repeated or holds a NUL character.
    """

    def __init__(self, ids: pa.Array | pa.ChunkedArray, kind: str) -> None:
        self.kind = kind
        ids = ids.cast(pa.large_string())
        ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        if ids.null_count or pc.any(pc.equal(pc.binary_length(ids), 0)).as_py():
            raise ValueError(f"every {kind} needs a non-empty id; at least one is missing or empty")
        if pc.any(pc.match_substring(ids, "\0")).as_py():
            raise ValueError(f"{kind} ids must not hold NUL characters; remove them")
        keys = _fixed_width(ids)
        order = np.argsort(keys, kind="stable")
        self._order = order.astype(np.int32)
        self._sorted = keys[order]
        repeated = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if repeated.size:
            names = ids.take(pa.array(order[repeated])).to_pylist()
            raise ValueError(f"{kind} ids must be unique; repeated: {first_few(names)}")

    def __len__(self) -> int:
        return len(self._order)

    def find(self, ids: Sequence[str]) -> np.ndarray:
        """Positions of `ids`, int32 [n]; -1 for an unknown id."""
        if len(ids) == 0 or len(self) == 0:
            return np.full(len(ids), -1, np.int32)
        width = self._sorted.dtype.itemsize
        raw = [text.encode("utf-8", "surrogatepass") for text in ids]
        # No known key holds a NUL or is longer than the widest, and fixed-width bytes would silently cut either; no id has
        # the byte 0xFF alone as its key. One dtype on both sides keeps searchsorted from copying the whole index.
        keys = _keys(raw) if width == _WIDEST else raw
        wanted = np.array([b"\xff" if b"\0" in key or len(key) > width else key for key in keys], self._sorted.dtype)
        places = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        return np.where(self._sorted[places] == wanted, self._order[places], np.int32(-1)).astype(np.int32)

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """Positions of `ids`, int32 [n].

        Raises:
            KeyError: an id is unknown.
        """
        positions = self.find(ids)
        if (positions < 0).any():
            unknown = (ids[i] for i in np.flatnonzero(positions < 0).tolist())
            raise KeyError(f"unknown {self.kind} id: {first_few(unknown)}")
        return positions


def _fixed_width(ids: pa.Array) -> np.ndarray:
    """The keys of `ids`, padded with NULs to one width."""
    width = min(max(1, pc.max(pc.binary_length(ids)).as_py() or 1), _WIDEST)
    keys = np.empty(len(ids), dtype=f"S{width}")
    step = 1 << 16  # Python objects for one slice at a time
    for start in range(0, len(ids), step):
        raw = ids.slice(start, step).cast(pa.large_binary()).to_pylist()
        keys[start : start + step] = _keys(raw) if width == _WIDEST else raw
    return keys


def _keys(raw: list[bytes]) -> list[bytes]:
    """Ids as UTF-8, or as a digest if longer than the widest key.

    A single long id would otherwise set the width for millions of short ones. A digest begins with 0xFF, which does not
    occur in UTF-8, and is written as hex digits, since NULs at its end would be taken for padding.
    """
    return [
        key if len(key) <= _WIDEST else b"\xff" + hashlib.blake2b(key, digest_size=31).hexdigest().encode()
        for key in raw
    ]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths in two flat arrays: row i is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        offsets: int64 [n + 1], from 0, non-decreasing.
        values: any dtype [offsets[-1]].
    """

    offsets: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise ValueError("offsets must start at 0 and end at the number of values")
        if (self.offsets[1:] < self.offsets[:-1]).any():
            raise ValueError("offsets must not decrease")

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence | np.ndarray], dtype: np.typing.DTypeLike) -> Ragged:
        """Builds the flat arrays from one sequence per row."""
        arrays = [np.asarray(row, dtype=dtype).ravel() for row in rows]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        return cls(offsets, np.concatenate(arrays) if arrays else np.empty(0, dtype))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> np.ndarray:
        """Values in each row, int64 [n]."""
        return np.diff(self.offsets)

    @property
    def row_of(self) -> np.ndarray:
        """The row of each value, int64 [len(values)]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: np.ndarray) -> Ragged:
        """The named rows, in that order; a row may be named more than once."""
        rows = np.asarray(rows, np.int64)
        starts, lengths = self.offsets[rows], self.lengths[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Ragged(offsets, self.values[np.repeat(starts, lengths) + within])

    def where(self, keep: np.ndarray) -> Ragged:
        """The same rows with only those values for which `keep` (bool [len(values)]) is true."""
        before = np.zeros(len(self.values) + 1, np.int64)
        np.cumsum(keep, out=before[1:])
        return Ragged(before[self.offsets], self.values[keep])

    def with_values(self, values: np.ndarray) -> Ragged:
        """The same rows over other values, one for one."""
        return Ragged(self.offsets, values)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers (booleans count as numbers)."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def hash_column(column: pa.ChunkedArray) -> bytes:
    """SHA-256 of a column's values, the same however the column is cut into chunks."""
    if is_text(column.type):
        return _hash_strings(column)
    if pa.types.is_float16(column.type):
        column = column.cast(
            pa.float32()
        )  # older versions of Arrow cannot fill nulls in 16 bits; the hash is that of 64
    missing = hashlib.sha256(np.packbits(column.is_null().to_numpy()).tobytes())
    values = column.fill_null(pa.scalar(0).cast(column.type)).to_numpy().astype(_portable(column.type))
    return hashlib.sha256(str(values.dtype).encode() + missing.digest() + values.tobytes()).digest()


def _portable(kind: pa.DataType) -> str:
    """The little-endian 64-bit dtype in which a numeric column is hashed."""
    if pa.types.is_floating(kind):
        return "<f8"
    if is_number(kind):
        return "<i8"
    raise TypeError(f"columns are strings or numbers, not {kind}; convert the column first")


def _hash_strings(column: pa.ChunkedArray) -> bytes:
    """SHA-256 over lengths and bytes separately, so that no separator can be forged; a missing string has length -1."""
    lengths, texts = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        chunk = chunk.cast(pa.large_binary())
        lengths.update(pc.fill_null(pc.binary_length(chunk), -1).to_numpy().astype("<i8").tobytes())
        joined = pc.fill_null(chunk, b"")
        offsets = np.frombuffer(joined.buffers()[1], np.int64)[joined.offset : joined.offset + len(joined) + 1]
        if len(offsets) and offsets[-1] > offsets[0]:
            texts.update(memoryview(joined.buffers()[2])[offsets[0] : offsets[-1]])
    return hashlib.sha256(b"str" + lengths.digest() + texts.digest()).digest()
