"""Data folders: fingerprints of their state, and which of their entries can be read at all."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

_MOST_ENTRIES = 10_000

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def check_file(path: Path) -> None:
    """Checks that `path` is a regular file or a link to one, so that nobody waits on a pipe or a device.

    Raises:
        FileNotFoundError: it does not exist, or is a broken link.
        ValueError: it is something else.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise FileNotFoundError(f"{path} is a link to {os.readlink(path)}, which does not exist") from error
        raise FileNotFoundError(f"{path} does not exist") from error
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise ValueError(f"{path} is {what}; data is read from regular files only")


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The entries of a folder that match a pattern such as `*.tsv`, by name; hidden ones (an editor's locks) are left out."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def fingerprint(folder: Path) -> dict[str, object]:
    """Identifies the state of a data folder without reading its files: by their names, sizes and times.

    Links to files and folders are followed, each folder once. Hidden folders are left out. What cannot hold data (a broken
    link, a pipe, a socket, a device) or cannot be read is left out with a warning. A file whose content changes while its
    size and modification time stay the same is not noticed: the inode and the time of the last status change would tell,
    but they differ between a folder and its copy, and a cache that was copied along with its data would not be valid.

    Raises:
        ValueError: the folder holds more than 10,000 files or folders.
    """
    digest, left_out, count = hashlib.sha256(), list[str](), 0
    for relative, state in _walk(folder, left_out):
        digest.update(os.fsencode(relative) + f"\0{state}\n".encode("utf-8", "surrogateescape"))
        count += 1
        if count > _MOST_ENTRIES:
            raise ValueError(
                f"{folder} holds more than {_MOST_ENTRIES:,} files and folders; name the folder of the data set itself"
            )
    if left_out:
        shown = "; ".join(left_out[:5]) + (f"; ... ({len(left_out)} in all)" if len(left_out) > 5 else "")
        warnings.warn(f"left out of the data folder {folder}: {shown}", stacklevel=2)
    return {"count": count, "sha256": digest.hexdigest()}


def _walk(folder: Path, left_out: list[str]) -> Iterator[tuple[str, str]]:
    """Yields `(relative path, state)` of every entry in a fixed order; names in `left_out` what cannot hold data."""
    visited = {_identity(folder.stat()): "."}
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        try:
            names = sorted(os.listdir(parent))
        except OSError as error:
            left_out.append(f"{parent.relative_to(folder)} ({error.strerror})")
            continue
        for name in names:
            path = parent / name
            relative = path.relative_to(folder).as_posix()
            try:
                status = path.stat()
            except OSError as error:  # a broken link, or a file that was just removed
                left_out.append(f"{relative} ({'a broken link' if path.is_symlink() else error.strerror})")
                continue
            if stat.S_ISREG(status.st_mode):
                yield relative, f"{status.st_size}\0{status.st_mtime_ns}"
            elif not stat.S_ISDIR(status.st_mode):
                left_out.append(f"{relative} ({_KINDS.get(stat.S_IFMT(status.st_mode), 'not a regular file')})")
            elif not name.startswith("."):
                # A folder with two names is walked once, but which folder the second name refers to counts.
                before = visited.setdefault(_identity(status), relative)
                if before == relative:
                    waiting.append(path)
                yield relative, "folder" if before == relative else f"folder\0{before}"


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
