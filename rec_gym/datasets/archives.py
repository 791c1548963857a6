"""Unpacking zip, tar and gz archives; nothing that an archive names lands outside of its folder."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rec_gym.datasets.sources import FetchError, as_size, inside
from rec_gym.progress import Bar

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_DAMAGES = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


def unpack(archive: Path, target: Path, name: str = "") -> str:
    """Unpacks an archive of regular files; its kind is told by its content.

    Args:
        archive: a zip, a tar (plain, gz, bz2 or xz), or one file compressed by gzip.
        target: the folder that is filled; made if it is not there.
        name: of the file that a single compressed file becomes.

    Returns:
        `"zip"`, `"tar"` or `"gz"`, what it is.

    Raises:
        FetchError: the archive is damaged or of another kind, or it holds a link, a device, or a path that leads out of
            the folder. What was unpacked until then is left in `target`.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, target)
            return "zip"
        if _is_tar(archive):
            _unpack_tar(archive, target)
            return "tar"
        if _begins_with(archive, _GZIP):
            with gzip.open(archive) as source, Bar(f"unpacking {archive.name}", unit="bytes") as bar:
                _write(source, inside(target, name), bar)
            return "gz"
    except _DAMAGES as error:
        raise FetchError(f"{archive} is damaged ({error}); fetch it again") from error
    raise FetchError(f"{archive} is no zip, tar or gz archive, as it should be; what was fetched is not the data")


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        total = sum(member.file_size for member in members)
        free = shutil.disk_usage(target).free
        if total > free:
            raise FetchError(f"{archive} unpacks to {as_size(total)}, but {target} has {as_size(free)} of space left")
        with Bar(f"unpacking {archive.name}", total, unit="bytes") as bar:
            for member in members:
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refused(archive, member.filename, "is a link or a device")
                path = _path(archive, target, member.filename)
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                if member.flag_bits & 1:
                    raise _refused(archive, member.filename, "is encrypted")
                with file.open(member) as source:
                    _write(source, path, bar)


def _unpack_tar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as file, Bar(f"unpacking {archive.name}", unit="bytes") as bar:
        for member in file:
            if member.isdir():
                _path(archive, target, member.name).mkdir(parents=True, exist_ok=True)
                continue
            source = file.extractfile(member) if member.isreg() else None
            if source is None:
                raise _refused(archive, member.name, "is a link or a device")
            with source:
                _write(source, _path(archive, target, member.name), bar)


def _is_tar(archive: Path) -> bool:
    try:
        return tarfile.is_tarfile(archive)
    except (EOFError, zlib.error, OSError):  # a truncated compressed file may fail like this before it is known
        return False


def _begins_with(path: Path, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _path(archive: Path, target: Path, name: str) -> Path:
    try:
        return inside(target, name)
    except ValueError as error:
        raise _refused(archive, name, "leads out of the folder") from error


def _refused(archive: Path, name: str, why: str) -> FetchError:
    return FetchError(f"{archive} is not unpacked: its member {name!r} {why}; an archive of data holds files only")


def _chunks(source: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk


def _write(source: IO[bytes] | gzip.GzipFile, path: Path, bar: Bar) -> None:
    """Writes a new file; nothing is written through a link or over a file that stands there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a name that stands in the archive twice: the last counts
    with open(path, "xb") as file:
        for chunk in _chunks(source):
            file.write(chunk)
            bar.advance(len(chunk))
