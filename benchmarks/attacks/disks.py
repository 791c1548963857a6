"""Small disks: what does not fit is an error that says so, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.attacks import NotTriedError
from benchmarks.attacks.shop import leftovers
from benchmarks.attacks.worker import Worker

ARGUMENTS: dict[str, dict[str, Any]] = {
    "index": {"items": 4000},
    "vectors": {"items": 4000},
    "dataset": {"items": 4000},
    "prepare": {"items": 4000},
    "results": {"items": 40, "times": 1},
}
ENOUGH = 100_000  # kilobytes


class NoSmallDiskError(NotTriedError):
    """A small disk cannot be mounted here."""


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """A separate file system at `place`, within the block.

    Raises:
        NoSmallDiskError: this user cannot mount one.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoSmallDiskError("only root can mount a small disk, on Linux")
    place.mkdir(parents=True, exist_ok=True)
    _mount(f"size={kilobytes}k,mode=755", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def grow(place: Path, kilobytes: int) -> None:
    """Makes room on a small disk."""
    _mount(f"remount,size={kilobytes}k", place)


def _mount(options: str, place: Path) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        raise NoSmallDiskError(f"a small disk cannot be mounted here: {done.stderr.strip()}")


def check(worker: Worker, place: Path, kilobytes: int, job: str, arguments: dict[str, Any]) -> Counter[str]:
    """Does a job on a small disk, and again when there is room, and counts the outcome.

    Raises:
        AssertionError: the process died, raised another error, or left something behind.
        NoSmallDiskError: small disks are not available here.
    """
    shown = f"{job} on a disk of {kilobytes} kB"
    with small_disk(place, kilobytes):
        ended = worker.run(job, place, **arguments)
        assert not ended.signal, f"signal {ended.signal}: {shown}"
        if ended.error:
            assert "OSError" in ended.error, f"{ended.error[0]} {ended.message}: {shown}"
            assert "REC_GYM_HOME" in ended.message or job == "results", f"no remedy: {ended.message}: {shown}"
            assert not _half_written(place), f"{_half_written(place)} is left: {shown}"
        grow(place, ENOUGH)
        again = worker.run(job, place, **arguments)
        assert not again.error, f"fails with enough room: {again.error[0]} {again.message}: {shown}"
        assert again.said == [], f"{again.said}: {shown}"
        assert not leftovers(place), f"{leftovers(place)} is left: {shown}"
        if not ended.error:
            assert again.value == ended.value, f"another score with enough room: {shown}"
    return Counter({"disks": 1, "full disks, a plain error": bool(ended.error), "large enough": not ended.error})


def _half_written(home: Path) -> list[Path]:
    """What an error left behind; complete chunks of vectors and fetched files are kept for the next call."""
    partial = (".parts", ".partial")
    return [
        path for path in leftovers(home) if not any(part.endswith(partial) for part in path.relative_to(home).parts)
    ]
