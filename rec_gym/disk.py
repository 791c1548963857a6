"""Writing to a disk that may be full, read-only or somebody else's: allocate first, then write; errors say what to do.

A memory-mapped file whose blocks the disk cannot hold kills the process that writes to it (SIGBUS). So files that are
filled through a mapping are allocated first.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy's whole message if a disk is full


class DiskFullError(OSError):
    """The disk has no room for what should be written.

    Args:
        path: what should be written.
        needed: its size in bytes; None if unknown.
        free: bytes that were free on the disk.
    """

    def __init__(self, path: Path, needed: int | None, free: int) -> None:
        size = "more bytes than it has" if needed is None else f"{needed:,} bytes"
        super().__init__(
            f"the disk of {path.parent} is full: {path.name} needs {size}, and {free:,} bytes are free; make room, or set "
            "REC_GYM_HOME to a folder on another disk"
        )
        self.errno = errno.ENOSPC
        self.path, self.needed, self.free = path, needed, free


def create_array(path: Path, dtype: np.typing.DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
    """A new `.npy` file of zeros to be filled through memory-mapping; all of its blocks are allocated.

    Raises:
        DiskFullError: the disk cannot hold it.
    """
    with open(path, "wb") as file:
        _begin_array(file, path, np.dtype(dtype), shape)
    return np.lib.format.open_memmap(path, mode="r+")


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an array that is in memory, like `numpy.save`.

    Raises:
        DiskFullError: the disk cannot hold it.
    """
    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        _begin_array(file, path, array.dtype, array.shape)
        file.write(array.reshape(-1).view(np.uint8).data)


def _begin_array(file: BinaryIO, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Writes the header and allocates the rest; the file position is then after the header."""
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    header = file.tell()
    allocate(file, path, header + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    file.seek(header)


def allocate(file: BinaryIO, path: Path, size: int) -> None:
    """Makes the file `size` bytes long and allocates all of its blocks.

    Raises:
        DiskFullError: the disk cannot hold them.
    """
    file.flush()
    free = free_bytes(path)  # measured before, as a failing call may have taken some
    try:
        if hasattr(os, "posix_fallocate") and size:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in _NO_FALLOCATE:
                    raise
        file.seek(0, os.SEEK_END)
        for start in range(file.tell(), size, _BLOCK):
            file.write(bytes(min(_BLOCK, size - start)))
        file.flush()
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(path, size, free) from error
        raise


def check_space(path: Path, needed: int) -> None:
    """Refuses to start long work whose result the disk cannot hold.

    Raises:
        DiskFullError: the disk of `path` has less than `needed` bytes left.
    """
    free = free_bytes(path)
    if needed > free:
        raise DiskFullError(path, needed, free)


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk of `path`, which need not exist."""
    for place in (path, *path.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            return shutil.disk_usage(place).free
    return 0


def sync(path: Path) -> None:
    """Flushes a file, or a folder with everything in it, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            sync(child)
        sync_folder(path)
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Flushes the entries of a folder to the disk, if the system can do so for folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # from file systems that cannot
            raise
    finally:
        os.close(handle)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Adds what to do to disk errors while `target`, in the cache folder, is read or written."""
    try:
        yield
    except DiskFullError as error:  # with its final path, not that of the temporary folder
        raise DiskFullError(target / error.path.name, error.needed, error.free) from error
    except OSError as error:
        message = None if _is_elsewhere(error, target) else _remedy(error)
        if _is_full(error):
            raise DiskFullError(target, None, free_bytes(target)) from error
        if message is None:
            raise
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        with_remedy = kind(f"{error}; {message}")
        with_remedy.errno = error.errno
        raise with_remedy from error
    except NotImplementedError as error:  # filelock, on a file system without locks
        raise OSError(f"{target.parent} cannot be locked ({error}); {_remedy_of_locks()}") from error


def is_open_to_others(path: Path) -> bool:
    """Whether users other than the owner may write here; False if the system has no such modes."""
    return os.name != "nt" and bool(stat.S_IMODE(path.lstat().st_mode) & 0o022)


def _is_full(error: OSError) -> bool:
    return error.errno in _FULL or bool(_SHORT_WRITE.search(str(error)))


def _is_elsewhere(error: OSError, target: Path) -> bool:
    """Whether the error is about a file outside the cache, which is the caller's business."""
    if not isinstance(error.filename, str):
        return False
    path, home = Path(error.filename), target.parent
    return not (path == home or path in home.parents or home in path.parents)


def _remedy(error: OSError) -> str | None:
    """What to do about an error; None if the error itself says it best."""
    if error.errno == errno.EROFS:
        return "the file system is read-only: set REC_GYM_HOME to a folder that can be written"
    if isinstance(error, PermissionError):
        return "set REC_GYM_HOME to a folder that can be written"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file is where a folder is needed: set REC_GYM_HOME to a folder"
    if error.errno in _NO_LOCKS:
        return _remedy_of_locks()
    return None


def _remedy_of_locks() -> str:
    return "its file system has no locks: set REC_GYM_HOME to a folder on another file system, such as a local disk"
