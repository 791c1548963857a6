"""What is in the cache folder, which of it is of no more use, and its removal."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

KINDS = {
    "downloads": "download",
    "datasets": "data set",
    "indexes": "index",
    "kernels": "compiled code",
    "answers": "answers",
}
_PARTIAL, _PARTS = "partial", ".parts"  # names of a download and of an index of vectors that are not whole yet


class BusyError(ValueError):
    """A folder of the cache is not removed because another process fills it or has its files open."""


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes:
        path: where it is.
        kind: what it holds, in a word or two; one of the values of `KINDS`.
        name: as it is shown and removed.
        size: bytes of its files.
        changed: when it was made, or changed last, in seconds since 1970.
        made: what it was made from, as its manifest says; empty where it has none.
        unfinished: whether it is what an earlier process had not finished.
        useless: why nothing will read it again, in a word; empty for what is of use.
    """

    path: Path
    kind: str
    name: str
    size: int
    changed: float
    made: dict[str, Any]
    unfinished: bool = False
    useless: str = ""

    @property
    def lock(self) -> Path:
        """The lock that whoever fills the folder holds."""
        return self.path.parent / f".{self.name.removesuffix(_PARTS)}.lock"

    @property
    def label(self) -> str:
        """The kind and the state, human-readable."""
        states = (self.kind, "unfinished" if self.unfinished else "", self.useless)
        return ", ".join(filter(None, states))


def entries() -> list[Entry]:
    """What the cache folder holds, sorted by kind and name; what a killed process left unfinished is included."""
    from rec_gym.cache import cache_home

    listed = []
    for folder, kind in KINDS.items():
        home = cache_home() / folder
        for path in sorted(home.iterdir()) if home.is_dir() else ():
            with suppress(FileNotFoundError):  # another process has just put it into its place, or removed it
                if not path.is_dir():
                    continue
                hidden = path.name.startswith(".")
                name = path.name[1:].rpartition(".")[0] if hidden else path.name  # .<name>.partial, .<name>.<random>
                unfinished = hidden or name.endswith(_PARTS)
                changed = path.stat().st_mtime
                listed.append(Entry(path, kind, name or path.name, size_of(path), changed, _made(path), unfinished))
    return _judged(listed)


def remove(entry: Entry) -> bool:
    """Removes a folder; it leaves its place at once, so that it is never half there.

    Returns:
        Whether it was removed; False where it is gone, or has come to hold something since it was found empty.

    Raises:
        BusyError: another process fills it or (on Windows) has its files open.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(entry.lock, timeout=0):
            if not entry.path.is_dir() or (entry.useless == _EMPTY and not _is_empty(entry.path)):
                return False
            holder = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.path.parent))
            try:
                os.replace(entry.path, holder / "removed")
            except PermissionError as error:
                if os.name != "nt":  # Windows moves no folder whose files are open
                    raise
                raise BusyError(f"{entry.name} is in use by another process; remove it when that is done") from error
            finally:
                shutil.rmtree(holder, ignore_errors=True)
            return True
    except Timeout as error:
        raise BusyError(f"{entry.name} is being prepared by another process; remove it when that is done") from error


def in_use(chosen: Sequence[Entry]) -> dict[Path, int]:
    """Folders whose files another process maps, and its id, where the system tells (Linux, processes of this user)."""
    folders = {entry.path: f"{entry.path.resolve()}{os.sep}" for entry in chosen}
    users: dict[Path, int] = {}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if maps.parent.name == str(os.getpid()):
            continue
        with suppress(OSError):  # a process of another user, or one that has just ended
            text = maps.read_text(errors="replace")
            users |= {path: int(maps.parent.name) for path, start in folders.items() if start in text}
    return users


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # another process has just replaced it
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


# What is of no more use

_SUPERSEDED, _EMPTY, _LEFT = "superseded", "empty", "left behind"


def _judged(listed: Sequence[Entry]) -> list[Entry]:
    """The entries, with the reason at each that nothing will read again."""
    outdated = _outdated_data(listed)
    outdated |= _outdated_indexes(listed, outdated)
    names = {(entry.kind, entry.name) for entry in listed if not entry.unfinished}

    def reason(entry: Entry) -> str:
        if not entry.unfinished:
            return _SUPERSEDED if entry.path in outdated else ""
        if entry.kind == KINDS["downloads"]:
            return _EMPTY if _is_empty(entry.path) else ""
        if entry.name.endswith(_PARTS) and not entry.path.name.startswith(
            "."
        ):  # gone on with, unless the whole is there
            return _LEFT if (entry.kind, entry.name.removesuffix(_PARTS)) in names else ""
        return _LEFT  # nobody goes on with it; whoever is still writing it holds its lock

    return [replace(entry, useless=reason(entry)) for entry in listed]


def _outdated_data(listed: Sequence[Entry]) -> set[Path]:
    """Conversions with the same loader and options as a later one: of other files, or by another version."""

    def key(entry: Entry) -> Hashable:
        return json.dumps([entry.made["loader"], entry.made["options"]], sort_keys=True)

    conversions = [entry for entry in listed if {"loader", "options"} <= entry.made.keys() and not entry.unfinished]
    outdated: set[Path] = set()
    for group in _groups(conversions, key):
        current = _of_the_files_now(group) or group
        newest = max(current, key=lambda entry: entry.changed)
        outdated |= {entry.path for entry in group if entry is not newest}
    return outdated


def _of_the_files_now(group: Sequence[Entry]) -> list[Entry]:
    """Those that were made from the files that are in their data folder now; it may hold an earlier state again."""
    from rec_gym.datasets.folders import fingerprint

    data = group[0].made["options"].get("data_dir") if len(group) > 1 else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be read is reported where the data are used
            now = fingerprint(Path(data)) if data else None
    except (OSError, ValueError):
        return []
    return [entry for entry in group if now is not None and entry.made.get("files") == now]


def _outdated_indexes(listed: Sequence[Entry], data: set[Path]) -> set[Path]:
    """Indexes in an older format, those of catalogues that only outdated conversions hold, and those of such vectors."""

    def key(entry: Entry) -> Hashable:
        return json.dumps({name: value for name, value in entry.made.items() if name != "format"}, sort_keys=True)

    indexes = [entry for entry in listed if entry.kind == KINDS["indexes"] and entry.made and not entry.unfinished]
    outdated: set[Path] = set()
    for group in _groups([entry for entry in indexes if isinstance(entry.made.get("format"), int)], key):
        last = max(entry.made["format"] for entry in group)
        outdated |= {entry.path for entry in group if entry.made["format"] < last}
    if data:
        conversions = [entry.path for entry in listed if entry.kind == KINDS["datasets"] and not entry.unfinished]
        in_use = {_catalog_of(path) for path in conversions if path not in data}
        gone = {_catalog_of(path) for path in data} - in_use - {None}
        outdated |= {entry.path for entry in indexes if entry.made.get("catalog") in gone}
    names = {path.name for path in outdated}
    return outdated | {entry.path for entry in indexes if entry.made.get("vectors") in names}


def _groups(listed: Sequence[Entry], key: Callable[[Entry], Hashable]) -> Iterator[list[Entry]]:
    groups: dict[Hashable, list[Entry]] = {}
    for entry in listed:
        groups.setdefault(key(entry), []).append(entry)
    yield from groups.values()


def _catalog_of(folder: Path) -> str | None:
    """The hash of the catalogue in a conversion, by which indexes name it; None where it cannot be read."""
    import pyarrow as pa

    from rec_gym.catalog import HASH_KEY

    try:
        with open(folder / "catalog.arrow", "rb") as file:
            return ((pa.ipc.open_file(file).schema.metadata or {}).get(HASH_KEY) or b"").decode() or None
    except (OSError, ValueError):  # `ArrowInvalid` is one
        return None


def _is_empty(partial: Path) -> bool:
    from rec_gym.fetching.download import holds_data

    with suppress(FileNotFoundError):  # another process goes on with it
        return not holds_data(partial)
    return False


def _made(folder: Path) -> dict[str, Any]:
    from rec_gym.cache import MANIFEST

    try:
        made = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["made"]
        return made if isinstance(made, dict) and isinstance(made.get("options", {}), dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
