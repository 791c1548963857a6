"""Connections of a process to an engine: each used by one thread at a time, and never by another process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar
from weakref import finalize


class _Closes(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=_Closes)

_inherited: list[object] = []  # connections of a parent process: neither used nor closed here


class Pool(Generic[C]):
    """Connections that are opened when they are needed and kept until nothing refers to this pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process, self._idle = os.getpid(), list[C]()
        finalize(self, _close, self._idle, self._process)

    @contextmanager
    def one(self, connect: Callable[[], C]) -> Iterator[C]:
        """A connection for the time of a block; it is kept for later blocks unless this one raises.

        Args:
            connect: opens one, if none is idle.
        """
        with self._lock:
            if self._process != os.getpid():
                _inherited.append(self._idle)
                self._start()
            idle = self._idle
            connection = idle.pop() if idle else None
        connection = connect() if connection is None else connection
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        with self._lock:
            idle.append(connection)

    def clear(self) -> None:
        """Closes the connections that are idle."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _close(idle, self._process)


def _close(connections: list[C], process: int) -> None:
    if process == os.getpid():
        for connection in connections:
            with suppress(Exception):
                connection.close()
