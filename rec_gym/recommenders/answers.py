"""A file of answers: SQLite, append-only, safe for several threads and processes, and whole after a kill.

The first answer to a question stays. Every answer has a checksum, and the header says what was asked: answers of another
catalogue or of other settings are refused, damaged ones are never returned.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xxhash

from rec_gym.cache import DamagedError
from rec_gym.disk import free_bytes
from rec_gym.recommenders.questions import Answer

FORMAT = 1

_APPLICATION = 0x72656367  # "recg": tells the file from other SQLite files
_PATIENCE = 60.0  # seconds to wait for another process that writes
_AT_ONCE = 500  # keys in one statement
_KEPT_AFTER_EVICTION = 0.9
_AGE_JITTER = 0.1  # answers of one moment do not all grow too old in one moment
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_inherited: list[sqlite3.Connection] = []  # a forked child must neither use nor close what its parent opened

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS header (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, k INTEGER NOT NULL, "
    "clipped INTEGER NOT NULL, at REAL NOT NULL, places BLOB NOT NULL, searched BLOB, checksum BLOB NOT NULL)",
)
_COLUMNS = "key, k, clipped, at, places, searched, checksum"


class AnswerFile:
    """A file of answers, opened when it is first used in a process.

    Args:
        path: the file.
        header: what was asked, as JSON; compared by whoever opens the file.
        writes: whether answers are added; the file is made if it is missing.
        ttl_s: seconds after which an answer counts as missing and is replaced; None for never.
        max_bytes: the oldest answers are removed when the file holds more; None for no limit.

    Raises:
        FileNotFoundError: the file is missing and is not to be written.
    """

    def __init__(
        self,
        path: Path,
        header: Mapping[str, Any] | None = None,
        *,
        writes: bool,
        ttl_s: float | None = None,
        max_bytes: int | None = None,
    ) -> None:
        self.path, self.writes, self.ttl_s, self.max_bytes = path, writes, ttl_s, max_bytes
        self._wanted = header
        self._header: dict[str, Any] | None = None  # as it was read; it never changes
        self._forget()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_opened", "_process")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def header(self) -> dict[str, Any]:
        """The header of the file: that of whoever made it.

        Raises:
            DamagedError: it cannot be read.
            OSError: the file cannot be opened.
        """
        if self._header is None:
            with self._connection() as connection:
                self._header = self._read_header(connection)
        return self._header

    def count(self) -> int:
        """Answers in the file."""
        with self._connection() as connection:
            return connection.execute("SELECT count(*) FROM answers").fetchone()[0]

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The stored answers among those to `keys`.

        Raises:
            DamagedError: one is not as it was written, or the file cannot be read.
        """
        found: dict[bytes, Answer] = {}
        with self._connection() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT {_COLUMNS} FROM answers WHERE key IN ({marks})", part)
                for row in rows:
                    answer = self._answer(row)
                    if self._is_fresh(row[0], row[3]):
                        found[row[0]] = answer
        return found

    def add(self, answers: Mapping[bytes, Answer], k: int) -> tuple[dict[bytes, Answer], int]:
        """Stores answers. All are on their way to the disk when it returns: a killed process loses none.

        Args:
            answers: by key.
            k: places that were asked for.

        Returns:
            The answers as they are in the file, where another process may have been first; and how many are new.

        Raises:
            OSError: the file cannot be written, or its disk is full; the message says what to do.
        """
        now = time.time()
        rows = [_row(key, answer, k, now) for key, answer in answers.items()]
        with self._connection() as connection:
            with _transaction(connection):
                if self.ttl_s is not None:
                    fresh = now - self.ttl_s * (1 - _AGE_JITTER), now
                    outdated = [(key, *fresh) for key in answers]
                    connection.executemany("DELETE FROM answers WHERE key = ? AND NOT at BETWEEN ? AND ?", outdated)
                insert = f"INSERT OR IGNORE INTO answers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
                added = connection.executemany(insert, rows).rowcount
            if self.max_bytes is not None:
                self._evict(connection, self.max_bytes)
        if added == len(rows):
            return dict(answers), added
        return {**answers, **self.get(list(answers))}, added

    def said(self, prefix: bytes) -> tuple[Answer, int] | None:
        """Some answer to a question whose key begins with `prefix`, and the places that were asked for; None for none."""
        with self._connection() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
                (prefix, prefix + b"\xff" * 24),
            ).fetchone()
            return None if row is None else (self._answer(row), row[1])

    def close(self) -> None:
        """Closes the file in this process; it is opened again when it is used. Its journal is then merged into it."""
        with self._lock:
            if self._opened is not None and self._process == os.getpid():
                with suppress(sqlite3.Error):  # of a file that is damaged, or cannot be written
                    if self.writes:
                        self._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._opened.close()
                self._opened = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process, held by one thread; errors say what to do."""
        if self._process != os.getpid():
            if self._opened is not None:
                _inherited.append(self._opened)
            self._forget()
        with self._lock, self._explained():
            if self._opened is None:
                self._opened = self._open()
                weakref.finalize(self, _closed, self._opened, os.getpid())
            yield self._opened

    def _open(self) -> sqlite3.Connection:
        if not self.writes:
            return self._open_to_read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect("rwc")
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise FileNotFoundError(f"there is no recording {self.path}; make one with record={str(self.path)!r}")
        for options in ("ro", "ro&immutable=1"):
            connection = self._connect(options)
            try:
                self._check_application(connection)
                return connection
            except sqlite3.OperationalError as error:
                connection.close()
                # SQLite wants to write its index of the journal, even for reading; without a journal nothing is missed.
                journal = Path(f"{self.path}-wal")
                is_last = "immutable" in options or (journal.exists() and journal.stat().st_size > 0)
                if is_last or error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
            except BaseException:
                connection.close()
                raise
        raise AssertionError("unreachable")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            uri, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=64, uri=True
        )
        connection.text_factory = bytes  # damaged text is then found by its checksum, and does not fail to decode
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables of a new file; another process may be doing the same."""
        connection.execute(
            "PRAGMA synchronous=NORMAL"
        )  # a kill loses nothing, a power failure the last moments at most
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[
            0
        ]:  # not new, nor killed while it was made
            self._check_application(connection)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:  # for this statement SQLite does not wait for others
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        text = json.dumps(self._wanted, sort_keys=True)
        with _transaction(connection):
            for statement in _SCHEMA:
                connection.execute(statement)
            entries = [("header", text), ("checksum", _hash(text.encode()).hex()), ("format", str(FORMAT))]
            connection.executemany("INSERT OR IGNORE INTO header VALUES (?, ?)", entries)
            connection.execute(f"PRAGMA application_id={_APPLICATION}")

    def _check_application(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise DamagedError(self.path, "it does not hold recorded answers", "name another file")

    def _read_header(self, connection: sqlite3.Connection) -> dict[str, Any]:
        stored = dict(connection.execute("SELECT name, value FROM header").fetchall())
        try:
            text = stored[b"header"]
            if int(stored[b"format"]) != FORMAT:
                raise DamagedError(
                    self.path, f"its format is {stored[b'format'].decode()}, not {FORMAT}", "record again"
                )
            if _hash(text).hex().encode() != stored[b"checksum"]:
                raise ValueError("its header does not match its checksum")
            return json.loads(text)
        except (KeyError, ValueError, TypeError) as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(self.path, f"its header is damaged ({error})", _REMEDY) from error

    def _is_fresh(self, key: bytes, at: float) -> bool:
        if self.ttl_s is None:
            return True
        age = time.time() - at
        return 0 <= age < self.ttl_s * (1 - _AGE_JITTER * key[-1] / 256)  # a clock that was set back is not trusted

    def _answer(self, row: Sequence[Any]) -> Answer:
        key, k, clipped, at, places, searched, checksum = row
        try:
            if _checksum(key, k, clipped, at, places, searched) != checksum:
                raise ValueError("its checksum differs")
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedError(self.path, f"a recorded answer is damaged ({error})", _REMEDY) from error
        return Answer(places, bool(clipped), searched)

    def _evict(self, connection: sqlite3.Connection, limit: int) -> None:
        """Removes the oldest answers until the file's content is well below the limit."""
        while _used(connection) > limit:
            first, last = connection.execute("SELECT min(id), max(id) FROM answers").fetchone()
            if first is None:
                return
            share = min(_KEPT_AFTER_EVICTION, _KEPT_AFTER_EVICTION * limit / max(_used(connection), 1))
            connection.execute("DELETE FROM answers WHERE id <= ?", (int(last - (last - first) * share),))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            what = f"{self.path} cannot be {'written' if self.writes else 'read'}: {error}"
            if code == sqlite3.SQLITE_FULL:
                free = free_bytes(self.path)
                raise OSError(
                    f"the disk of {self.path} is full ({free:,} bytes are free); make room, or use a file on another "
                    "disk; all answers so far are in the file"
                ) from error
            if code == sqlite3.SQLITE_READONLY:
                raise PermissionError(
                    f"{what}; make it writable, or replay it (replay=) instead of recording"
                ) from error
            if code == sqlite3.SQLITE_CANTOPEN:
                raise OSError(f"{what}; check that its folder is there and can be written") from error
            if code == sqlite3.SQLITE_BUSY:
                raise TimeoutError(f"{what}; another process has been writing to it for {_PATIENCE:.0f} s") from error
            if code == sqlite3.SQLITE_IOERR:
                raise OSError(f"{what}; its disk may be full or damaged") from error
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            raise DamagedError(self.path, f"{error}", _REMEDY) from error


_REMEDY = "use a copy of it, or remove it and record again"


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back itself, as on a full disk
            connection.execute("ROLLBACK")
        raise


def _row(key: bytes, answer: Answer, k: int, at: float) -> tuple:
    places, clipped, searched = answer
    return key, k, int(clipped), at, places, searched, _checksum(key, k, int(clipped), at, places, searched)


def _checksum(key: bytes, k: int, clipped: int, at: float, places: bytes, searched: bytes | None) -> bytes:
    return _hash(b"%d %d %s %d " % (k, clipped, float(at).hex().encode(), len(places)), key, places, searched)


def _hash(*parts: bytes | None) -> bytes:
    digest = xxhash.xxh3_64()
    for part in parts:
        digest.update(b"\0" if part is None else b"\1" + part)
    return digest.digest()


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    count, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (count - free) * size


def _closed(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():
        connection.close()
    else:
        _inherited.append(connection)
