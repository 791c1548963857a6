"""Unpacking zip, tar and gz archives; no member can be written outside the target folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rec_gym.fetching.sources import FetchError, as_size, inside
from rec_gym.progress import Bar

_CHUNK = 1 << 20
_MOST_TIMES, _ALWAYS_ALLOWED = 200, 256 << 20  # text compresses 3 to 30 times; gzip can do 1,000, bz2 45,000
_MOST_FILES, _DEEPEST, _LONGEST_NAME = 100_000, 64, 255
_GZIP = b"\x1f\x8b"
_DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
)


def unpack(archive: Path, target: Path, name: str = "") -> str:
    """Unpacks an archive of regular files; its kind is recognised by its content.

    Args:
        archive: a zip, a tar (plain, gz, bz2 or xz), or one file compressed by gzip.
        target: the folder to create for its files; it must not exist.
        name: the file name for a single compressed file.

    Returns:
        The kind: `"zip"`, `"tar"` or `"gz"`.

    Raises:
        FetchError: the archive is damaged, empty or of another kind; it holds a link, a device, or a path that leads out of
            the folder; or it unpacks to more than the disk has space for, to more than 200 times its own size (256 MiB are
            always allowed), or to more than 100,000 files. `target` is then removed.
        FileExistsError: `target` exists.
    """
    target.mkdir(parents=True)
    try:
        return _unpack(archive, target, name)
    except _DAMAGES as error:
        shutil.rmtree(target)
        raise FetchError(f"{archive} is damaged ({error}); fetch it again") from error
    except BaseException:
        shutil.rmtree(target)
        raise


def _unpack(archive: Path, target: Path, name: str) -> str:
    with Bar(f"unpacking {archive.name}", unit="bytes") as bar:
        into = _Target(archive, target, bar)
        if zipfile.is_zipfile(archive):
            kind = "zip"
            _unpack_zip(into)
        elif _unpack_tar(into):
            kind = "tar"
        elif _begins_with(archive, _GZIP):
            kind = "gz"
            with gzip.open(archive) as source:
                into.write(source, name)
        else:
            raise FetchError(f"{archive} is not a zip, tar or gz archive; what was fetched is not the data")
    if not into.files:
        raise FetchError(f"{archive} holds no file; what was fetched is not the data")
    return kind


class _Target:
    """The folder that is filled, with limits on what may be written to it.

    Args:
        archive: what is unpacked.
        folder: where to.
        bar: shows the progress.
    """

    def __init__(self, archive: Path, folder: Path, bar: Bar) -> None:
        self.archive, self.folder, self.files = archive, folder, 0
        self._bar, self._size = bar, 0
        self._free = shutil.disk_usage(folder).free
        self._most = max(_ALWAYS_ALLOWED, _MOST_TIMES * archive.stat().st_size)

    def check(self, size: int) -> None:
        """Refuses an archive that unpacks to `size` bytes or more."""
        if size > self._free:
            raise FetchError(
                f"{self.archive} unpacks to {as_size(size)}, but {self.folder} has {as_size(self._free)} of space left"
            )
        if size > self._most:
            raise FetchError(
                f"{self.archive} unpacks to {as_size(size)} or more, over {_MOST_TIMES} times its own size, like an "
                "archive made to fill a disk; if you trust it, unpack it yourself and name the folder with data_dir=..."
            )

    def make_folder(self, name: str) -> None:
        """Creates a folder that the archive names."""
        with self._clashes(name):
            self._path(name).mkdir(parents=True, exist_ok=True)

    def write(self, source: IO[bytes] | gzip.GzipFile, name: str) -> None:
        """Writes a new file; nothing is written through a link. If a name appears twice, the last file counts."""
        path = self._path(name)
        if path == self.folder:
            raise self.refused(name, "names no file")
        self.files += 1
        if self.files > _MOST_FILES:
            raise self.refused(name, f"comes after {_MOST_FILES:,} others")
        with self._clashes(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.touch(exist_ok=False)
        with open(path, "wb") as file:
            while chunk := source.read(_CHUNK):
                self._size += len(chunk)
                self.check(self._size)
                file.write(chunk)
                self._bar.advance(len(chunk))

    def refused(self, name: str, why: str) -> FetchError:
        """The error for a member of the archive."""
        return FetchError(
            f"{self.archive} is not unpacked: its member {name!r:.200} {why}; a data archive should hold only files"
        )

    def _path(self, name: str) -> Path:
        try:
            path = inside(self.folder, name)
        except ValueError as error:
            raise self.refused(name, "leads out of the folder") from error
        parts = path.relative_to(self.folder).parts
        try:
            longest = max((len(part.encode()) for part in parts), default=0)
        except UnicodeEncodeError as error:
            raise self.refused(name, "has a name that is not UTF-8") from error
        if len(parts) > _DEEPEST or longest > _LONGEST_NAME:
            raise self.refused(
                name, f"lies more than {_DEEPEST} folders deep, or has a name of over {_LONGEST_NAME} bytes"
            )
        return path

    @contextmanager
    def _clashes(self, name: str) -> Iterator[None]:
        try:
            yield
        except (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
            raise self.refused(name, f"is a file and a folder at once ({error.strerror})") from error


def _unpack_zip(into: _Target) -> None:
    with zipfile.ZipFile(into.archive) as file:
        members = file.infolist()
        into.check(sum(member.file_size for member in members))
        for member in members:
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise into.refused(member.filename, "is a link or a device")
            if member.is_dir():
                into.make_folder(member.filename)
                continue
            if member.flag_bits & 1:
                raise into.refused(member.filename, "is encrypted")
            with file.open(member) as source:
                into.write(source, member.filename)


def _unpack_tar(into: _Target) -> bool:
    """Unpacks a tar; False if it is not one."""
    openers: dict[bytes, Callable[..., Any]] = {_GZIP: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for magic, opener in openers.items() if _begins_with(into.archive, magic)), open)
    with opener(into.archive, "rb") as raw:
        file = _open_tar(_BoundedReads(raw))
        if file is None:
            return False
        with file:
            for member in file:
                if member.isdir():
                    into.make_folder(member.name)
                    continue
                source = file.extractfile(member) if member.isreg() else None
                if source is None:
                    raise into.refused(member.name, "is a link or a device")
                with source:
                    into.write(source, member.name)
    return True


def _open_tar(stream: _BoundedReads) -> tarfile.TarFile | None:
    try:
        return tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload]
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError):
        return None  # a truncated compressed file may already fail here


class _BoundedReads:
    """A stream that refuses large reads: the header of a tar may claim any length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _CHUNK:
            raise tarfile.ReadError(f"a header of {as_size(size)}")
        return self._file.read(size)


def _begins_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic
