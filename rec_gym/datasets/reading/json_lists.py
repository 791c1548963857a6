"""JSON files that hold one list of objects, read so that every error names the line of the object."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rec_gym.datasets.folders import check_file
from rec_gym.datasets.reading.files import repaired

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def read_json_list(path: Path, notes: Counter[str]) -> Iterator[tuple[str, dict]]:
    """Yields `(where, object)` for each member of the list; half surrogate pairs are replaced by U+FFFD and counted.

    `where` names the file, the line in which the object begins and its place in the list (from 1), for messages.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a regular file, not text in UTF-8, or not a JSON list of objects; the message names the line.
    """
    text = _text(path)
    place, separator = _after_space(text, 0), "["
    line, counted, number = 1, 0, 0
    while True:
        sign, place = text[place : place + 1], _after_space(text, place + 1)
        ends = sign == "]" if number else sign == "[" and text[place : place + 1] == "]"
        if ends:
            break
        line, counted, number = line + text.count("\n", counted, place), place, number + 1
        where = f"{path}, line {line}, entry {number}"
        if sign != separator:
            raise ValueError(f"{where}: expected {separator!r} before it, not {sign!r}; the file may be truncated")
        entry, end = _decoded(text, place, where)
        yield where, {key: repaired(value, notes) for key, value in entry.items()}
        place, separator = _after_space(text, end), ","
    rest = text[place:].removeprefix("" if number else "]").strip()
    if rest:
        raise ValueError(f"{path}: {rest[:40]!r} after the end of the list; the file may be damaged")


def _text(path: Path) -> str:
    check_file(path)
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 (byte {raw[error.start]:#04x}); convert the file") from error


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _decoded(text: str, place: int, where: str) -> tuple[dict, int]:
    try:
        entry, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}); the file may be truncated") from error
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected a JSON object, found {type(entry).__name__}")
    return entry, end
