"""Reading text and parquet files so that every error names the file, the line and what to do."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_gym.columns import first_few
from rec_gym.datasets.folders import check_file
from rec_gym.progress import Bar
from rec_gym.tables import unknown

LONGEST_LINE = 64 << 20
"""Bytes of a line at most; a longer one is refused before all of it is read."""

_CHUNK = 8192
_BUFFER = 1 << 20
_BOM = b"\xef\xbb\xbf"
_LAST_LINE = "\0 end of file"


def need_file(folder: Path, name: str, expected: str) -> Path:
    """The file `name` of a data folder.

    Raises:
        FileNotFoundError: it does not exist, or is a broken link; the message says what the folder should hold.
        ValueError: it is a folder, a pipe, a socket or a device.
    """
    path = folder / name
    if path.is_symlink() or path.exists():
        check_file(path)
    else:
        there = first_few(sorted(entry.name for entry in folder.iterdir())) if folder.is_dir() else "no such folder"
        raise FileNotFoundError(f"{path} is missing. {folder} should hold {expected}. It holds: {there or 'nothing'}")
    return path


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields `(line number, line)`; blank lines, a byte order mark and line ends (LF or CRLF) are left out.

    Raises:
        ValueError: a line is not text in `encoding` or longer than 64 MiB, or `path` is not a regular file.
    """
    try:
        one_byte = "\n".encode(encoding) == b"\n"
    except LookupError as error:
        raise ValueError(f"unknown encoding {encoding!r}; use a name that Python knows, such as 'latin-1'") from error
    if not one_byte:
        raise ValueError(f"{encoding} cannot be read line by line; convert {path} to UTF-8")
    for number, raw in _raw_lines(path):
        if raw.strip():
            yield number, _decoded(raw.rstrip(b"\r\n"), path, number, encoding)


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields `(line number, bytes with the line's end)`, without a byte order mark; the memory is bounded by one line."""
    check_file(path)
    with open(path, "rb") as file, Bar(f"reading {path.name}", path.stat().st_size) as bar:
        for number, raw in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
            if len(raw) > LONGEST_LINE:
                raise ValueError(
                    f"{path}, line {number}: longer than {LONGEST_LINE >> 20} MiB; the file may be of another format, or its "
                    "line ends may be lost"
                )
            bar.advance(len(raw))
            yield number, raw.removeprefix(_BOM) if number == 1 else raw


def _decoded(raw: bytes, path: Path, number: int, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, line {number}: not {encoding} (byte {error.object[error.start]:#04x} at column "
            f"{error.start + 1}); convert the file to UTF-8, or name its encoding with encoding='...'"
        ) from error


def read_jsonl(path: Path, notes: Counter[str], encoding: str = "utf-8") -> Iterator[tuple[int, dict]]:
    """Yields `(line number, object)` for each line; half surrogate pairs are replaced by U+FFFD and counted.

    Raises:
        ValueError: a line is not a JSON object.
    """
    for number, line in read_lines(path, encoding):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error}); the file may be truncated") from error
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}: expected a JSON object, found {type(record).__name__}")
        if "\\ud" in line or "\\uD" in line:
            record = {key: repaired(value, notes) for key, value in record.items()}
        yield number, record


def repaired(value: object, notes: Counter[str]) -> object:
    """The value; if it is a text with half a surrogate pair, with U+FFFD in its place, which is counted."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            notes["texts with half a surrogate pair, repaired"] += 1
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Checks an option.

    Raises:
        ValueError: the value is not in `known`; near ones are suggested.
    """
    if value not in known:
        raise ValueError(unknown(name, value, map(str, known)))


def joined_field(record: dict, name: str, where: str) -> str:
    """The text of a field that may hold a list of texts (joined by spaces), one text, or nothing.

    Raises:
        ValueError: it holds something else.
    """
    value = record.get(name)
    if not isinstance(value, list):
        return text_field(record, name, where, default="")
    wrong = [part for part in value if not isinstance(part, str)]
    if wrong:
        raise ValueError(f"{where}: field {name!r} must be a list of texts; it holds {type(wrong[0]).__name__}")
    return " ".join(value)


def text_field(record: dict, name: str, where: str, default: str | None = None) -> str:
    """The text of a field; a whole number counts as its digits, null as empty.

    Raises:
        ValueError: the field is missing and there is no default, or it holds something else.
    """
    if name not in record and default is None:
        raise ValueError(f"{where}: no field {name!r}; its fields: {', '.join(map(str, record))}")
    value = record.get(name, default)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{where}: field {name!r} must be text, not {type(value).__name__}")


def number_of(text: str, where: str, what: str) -> float:
    """A finite number.

    Raises:
        ValueError: `text` is not a finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {what} must be a number, not {text!r}")
    return value


def read_tsv(path: Path, encoding: str = "utf-8") -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header's cells, and `(line number, cells)` of every further line; quotes have no special meaning.

    Raises:
        ValueError: the file is empty, or (later) a line has a different number of cells than the header.
    """
    lines = read_lines(path, encoding)
    first = next(lines, None)
    if first is None:
        raise ValueError(f"{path} is empty; it should begin with a header line")
    header = first[1].split("\t")

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, line in lines:
            cells = line.split("\t")
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {number}: {len(cells)} tab-separated cells, but the header has {len(header)}; "
                    "the file may be truncated, or a cell may hold a tab or a line break"
                )
            yield number, cells

    return header, rows()


def read_csv(
    path: Path, columns: Sequence[str], delimiter: str = ",", encoding: str = "utf-8", layout: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yields `(line number, cells)` with the cells of the named columns; a cell in quotes may hold line breaks.

    Args:
        path: the file.
        columns: names in the header line.
        delimiter: what separates cells.
        encoding: how the file is encoded.
        layout: the columns of a file without a header line; empty if a header line is required.

    Raises:
        ValueError: the file is empty, lacks a column, or a line cannot be read; the message names the line.
    """
    # Quotation marks in odd places are read as pandas reads them; one that is never closed would swallow the end marker.
    reader = csv.reader(chain(_decoded_lines(path, encoding), [_LAST_LINE]), delimiter=delimiter)
    places, width, number = None, 0, 0
    try:
        for cells in reader:
            if not cells or cells == [_LAST_LINE]:
                continue
            number = reader.line_num
            if cells[-1].endswith(_LAST_LINE):
                raise ValueError(f"{path}: a quotation mark is not closed at the end; the file may be truncated")
            if places is None:
                header, width = _header(path, cells, columns, layout), len(cells)
                places = [header.index(name) for name in columns]
                if header == cells:
                    continue
            if len(cells) != width:
                raise ValueError(
                    f"{path}, line {number}: {len(cells)} cells, but the first line has {width}; the file may be truncated"
                )
            yield number, [cells[place] for place in places]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; the file may be damaged") from error
    if places is None:
        raise ValueError(f"{path} is empty; it should hold the columns {', '.join(columns)}")


def _header(path: Path, cells: list[str], columns: Sequence[str], layout: Sequence[str]) -> list[str]:
    """The column names of a file whose first line is `cells`: that line, or `layout` if it is not a header."""
    if set(columns) <= set(cells):
        return cells
    if layout and len(cells) == len(layout) and not set(layout) & set(cells):
        return list(layout)
    missing = first_few(name for name in columns if name not in cells)
    raise ValueError(f"{path} has no column {missing}; its first line is: {', '.join(cells)}")


def _decoded_lines(path: Path, encoding: str) -> Iterator[str]:
    return (_decoded(raw, path, number, encoding) for number, raw in _raw_lines(path))


def read_parquet(path: Path, columns: Sequence[str], batch_size: int = 1 << 15) -> Iterator[pa.RecordBatch]:
    """Yields the named columns in batches; at most one buffer per column is held in memory.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a regular file or cannot be read, or a column is missing.
    """
    check_file(path)
    try:
        with (
            pa.OSFile(_arrow_path(path)) as source,
            pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False) as file,
        ):
            names = file.schema_arrow.names
            missing = [name for name in columns if name not in names]
            if missing:
                raise ValueError(f"{path} has no column {first_few(missing)}; its columns: {', '.join(names)}")
            with Bar(f"reading {path.name}", file.metadata.num_rows) as bar:
                for batch in file.iter_batches(batch_size, columns=list(columns)):
                    yield batch.select(list(columns))
                    bar.advance(len(batch))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} cannot be read as parquet ({error}); it may be truncated: fetch it again") from error


def _arrow_path(path: Path) -> str | bytes:
    """The path as Arrow takes it: bytes, as Arrow encodes str as UTF-8, which a POSIX path need not be."""
    return str(path) if os.name == "nt" else os.fsencode(path)


class TableBuilder:
    """Collects rows into an Arrow table; at most one chunk is held as Python objects.

    Args:
        columns: `{name: type}`, the type `str`, `int` or `float`.
    """

    def __init__(self, columns: dict[str, type]) -> None:
        kinds = {str: pa.large_string(), int: pa.int64(), float: pa.float64()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[Sequence[object]] = []

    def add(self, *values: object) -> None:
        """Adds one row: one value per column."""
        self._rows.append(values)
        if len(self._rows) == _CHUNK:
            self._flush()

    def table(self) -> pa.Table:
        """The rows added so far."""
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
            self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
            self._rows = []


def first_rows(ids: pa.ChunkedArray) -> np.ndarray:
    """Which rows are the first of their id, bool [n]: dictionary codes increase with each new id."""
    codes = pc.fill_null(ids.combine_chunks().dictionary_encode().indices, -1).to_numpy()
    highest = np.maximum.accumulate(codes)
    return (np.diff(highest, prepend=-1) > 0) | (codes < 0)


def first_of_each(table: pa.Table, id_column: str, notes: Counter[str]) -> pa.Table:
    """The table without rows that repeat the id of an earlier one; those are counted."""
    first = first_rows(table[id_column])
    repeated = int((~first).sum())
    notes["items with a repeated id, dropped"] += repeated
    return table.filter(pa.array(first)) if repeated else table
