"""RecBole's atomic files: purchase histories whose next item is to be recommended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from rec_gym.catalog import ID_COLUMN
from rec_gym.columns import IdIndex, first_few
from rec_gym.dataset import Dataset
from rec_gym.datasets.folders import files_in
from rec_gym.datasets.reading.files import TableBuilder, need_file, number_of, read_tsv
from rec_gym.datasets.reading.histories import History, Interactions, history_dataset, item_index
from rec_gym.datasets.reading.judgements import split_name

HOLDS = (
    "<name>.item and either <name>.train.inter, <name>.valid.inter and <name>.test.inter (user_id:token, "
    "item_id_list:token_seq, item_id:token) or one <name>.inter (user_id:token, item_id:token, timestamp:float)"
)
GET_DATA = (
    "Any data set in RecBole's atomic files (https://recbole.io/dataset_list.html) that has an .item file will do; so "
    f"will your own folder that holds {HOLDS}."
)

_TYPES = ("token", "token_seq", "float", "float_seq")


class _Fields(NamedTuple):
    """The names of the columns in the files."""

    user: str
    item: str
    time: str


def load(
    data_dir: str,
    stem: str = "",
    user_field: str = "user_id",
    item_field: str = "item_id",
    time_field: str = "timestamp",
    encoding: str = "utf-8",
) -> Dataset:
    """Loads atomic files: a request is a history, its only relevant item is the next one.

    With split files each line is a request and its id is `<split file>-<line>`, lines counted from 1 after the header
    (`test-17`). With one `.inter` file each user's interactions are put in order of time (ties in the file's order):
    the last is the target in test, the one before in val, the one before that in train, and ids are `<split>-<user>`.
    Every interaction counts, whatever its rating. If both exist, the split files are read.

    The catalogue has the `token` and `token_seq` columns as text, the `float` columns as numbers, and `popularity`: how
    many users of the train split have the item in a history or as a target there (after val was split off).

    Args:
        data_dir: the folder.
        stem: the files' name before the first dot; needed only if the folder holds several data sets.
        user_field: name of the user's (or session's) column.
        item_field: name of the item's column.
        time_field: name of the column by which interactions are sorted.
        encoding: how the files are encoded.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file does not hold what it should; the message names the line.
    """
    folder, notes, fields = Path(data_dir), Counter[str](), _Fields(user_field, item_field, time_field)
    item_file = _item_file(folder, stem)
    items = _read_items(item_file, item_field, encoding, notes)
    index = item_index(items, str(item_file))
    name = item_file.name.removesuffix(".item")
    parts = files_in(folder, f"{_escaped(name)}.*.inter")
    rows: Iterator[History]
    if parts:
        rows = (row for path in parts for row in _read_part(path, index, fields, encoding))
    else:
        whole = _read_interactions(need_file(folder, f"{name}.inter", HOLDS), index, fields, encoding)
        rows = whole.leave_one_out(notes)
    return history_dataset(items, str(item_file), rows, str(folder), notes)


def _item_file(folder: Path, stem: str) -> Path:
    paths = files_in(folder, "*.item")
    if stem or not paths:
        return need_file(folder, f"{stem or '<name>'}.item", HOLDS)
    if len(paths) > 1:
        names = first_few(path.name.removesuffix(".item") for path in paths)
        raise ValueError(f"{folder} holds several data sets; choose one with stem=...: {names}")
    return paths[0]


def _escaped(name: str) -> str:
    """`name`, escaped for a glob pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _header(path: Path, cells: list[str]) -> dict[str, str]:
    """`{column: type}` of a header line, in order."""
    types: dict[str, str] = {}
    for cell in cells:
        name, colon, kind = cell.strip().rpartition(":")
        if not colon or kind not in _TYPES:
            raise ValueError(f"{path}: header cell {cell!r} is not name:type with a type of {', '.join(_TYPES)}")
        if name in types:
            raise ValueError(f"{path}: the header names {name!r} twice")
        types[name] = kind
    return types


def _columns(path: Path, types: dict[str, str], wanted: list[str]) -> list[int]:
    """Places of the wanted columns."""
    missing = [name for name in wanted if name not in types]
    if missing:
        raise ValueError(
            f"{path} has no column {first_few(missing)}; its columns: {', '.join(types)}. Name yours with user_field=, "
            "item_field= or time_field="
        )
    return [list(types).index(name) for name in wanted]


def _read_items(path: Path, item_field: str, encoding: str, notes: Counter[str]) -> pa.Table:
    header, rows = read_tsv(path, encoding)
    types = _header(path, header)
    (id_place,) = _columns(path, types, [item_field])
    kinds: dict[str, type] = {ID_COLUMN: str}
    places: list[int] = []
    for place, (name, kind) in enumerate(types.items()):
        if kind == "float_seq":
            notes["columns of number lists, left out"] += 1
        elif place != id_place:
            kinds[name] = float if kind == "float" else str
            places.append(place)
    if len(kinds) != len(places) + 1:
        raise ValueError(f"{path}: a column other than {item_field!r} is called {ID_COLUMN!r}; rename it")
    table, names = TableBuilder(kinds), list(kinds)
    numeric = [kinds[name] is float for name in names[1:]]
    for number, cells in rows:
        values = [
            _number_or_none(cells[place], f"{path}, line {number}", name) if is_number else cells[place]
            for place, name, is_number in zip(places, names[1:], numeric, strict=True)
        ]
        table.add(cells[id_place], *values)
    return table.table()


def _number_or_none(cell: str, where: str, name: str) -> float | None:
    return number_of(cell, where, f"column {name!r}") if cell.strip() else None


def _read_part(path: Path, index: IdIndex, fields: _Fields, encoding: str) -> Iterator[History]:
    """The requests of one split file."""
    header, lines = read_tsv(path, encoding)
    types = _header(path, header)
    user, history, item = _columns(path, types, [fields.user, f"{fields.item}_list", fields.item])
    part = path.name.split(".")[-2]
    for place, (_, cells) in enumerate(lines, 1):
        positions = index.find([*cells[history].split(), cells[item]])
        yield History(f"{part}-{place}", split_name(part), cells[user], positions[:-1], int(positions[-1]))


def _read_interactions(path: Path, index: IdIndex, fields: _Fields, encoding: str) -> Interactions:
    header, lines = read_tsv(path, encoding)
    user, item, when = _columns(path, _header(path, header), [fields.user, fields.item, fields.time])
    interactions = Interactions(index)
    for number, cells in lines:
        time = number_of(cells[when], f"{path}, line {number}", f"column {fields.time!r}")
        interactions.add(cells[user], cells[item], time)
    return interactions
