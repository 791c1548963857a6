"""A progress bar on standard error for work longer than a second; none without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")

_PATIENCE = 1.0  # seconds before a bar appears
_REFRESH = 0.1


class Bar:
    """A progress bar, used as a context manager; `advance` moves it.

    Args:
        description: what is being done, in a few words.
        total: amount of work in any unit; None if unknown.
        unit: `"bytes"` shows sizes and speed.
    """

    def __init__(self, description: str, total: float | None = None, unit: str = "") -> None:
        self._description, self._total, self._done, self._unit = description, total, 0.0, unit
        self._next = time.monotonic() + _PATIENCE if sys.stderr.isatty() else float("inf")
        self._shown: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._shown[0].stop()

    def advance(self, amount: float = 1) -> None:
        """Adds to the work done."""
        self._done += amount
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _REFRESH
        if self._shown is None:
            self._shown = self._start()
        bar, task = self._shown
        bar.update(task, completed=self._done)

    def _start(self) -> tuple[Progress, TaskID]:
        from rich.console import Console  # not needed for short work
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

        columns = (DownloadColumn(), TransferSpeedColumn()) if self._unit == "bytes" else ()
        bar = Progress(*Progress.get_default_columns(), *columns, console=Console(stderr=True), transient=True)
        bar.start()
        return bar, bar.add_task(self._description, total=self._total)


def track(iterable: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yields from `iterable` and shows the progress; `total` defaults to its length, if it has one."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Bar(description, total) as bar:
        for value in iterable:
            yield value
            bar.advance()
