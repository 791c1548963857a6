"""The cache folder: where it is, locks between processes, writes that are whole or not there, and checksums.

Everything that the package keeps (converted data, indexes, compiled code) goes through this file, so that a killed
process never leaves half a file, two processes may prepare the same thing at once, and damage is found before it is read.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import xxhash
from filelock import FileLock

from rec_gym.disk import explained, sync, sync_folder

MANIFEST = "manifest.json"
TRUST = "REC_GYM_TRUST_CACHE"

T = TypeVar("T")

_BLOCK = 1 << 20
_ABANDONED = 24 * 3600  # seconds after which nobody is at work any more on what was being written without a lock
_CHECKSUM = "xxh3_128"
_BUSY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)

# What was verified in this process: the identity of each folder then. A folder whose files changed is verified again.
_verified: dict[str, str] = {}


class DamagedError(ValueError):
    """What is kept in a folder cannot be used: a file is missing, changed or unreadable.

    Args:
        folder: the folder.
        reason: what is wrong with it.
        remedy: what to do about it.
    """

    def __init__(self, folder: Path, reason: str, remedy: str = "") -> None:
        super().__init__(f"{folder} cannot be used: {reason}{remedy and f'; {remedy}'}")
        self.folder, self.reason = folder, reason


def default_home() -> Path:
    """The platform's own place for this package's cache.

    Raises:
        OSError: this user has no home folder.
    """
    home = Path(platformdirs.user_cache_dir("rec_gym"))
    if not home.is_absolute():  # "~/.cache" of a user without a home
        raise OSError(f"this user has no home folder for a cache ({home}); set REC_GYM_HOME to a folder")
    return home


def cache_home() -> Path:
    """The cache folder: `REC_GYM_HOME` if it is set, else the platform's own place for caches."""
    chosen = os.environ.get("REC_GYM_HOME")
    return Path(chosen).expanduser().absolute() if chosen else default_home()


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `target`; what was written there takes its place when the block ends well.

    A block that raises leaves `target` as it was; so does a process that is killed (a folder that was just being
    replaced may then be missing, but is never half there). What takes its place is on the disk by then, so that a
    machine that loses its power does not leave a name without a content. What a killed process leaves is a hidden
    folder beside `target`; a later call removes it when it is a day old.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        temporary = holder / target.name
        yield temporary
        sync(temporary)
        if target.is_dir():
            os.replace(target, holder / "replaced")  # a folder that is deleted in place could be left half there
        os.replace(temporary, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_json(target: Path | str, content: object) -> None:
    """Writes `content` as JSON in UTF-8, whole or not at all."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # a path with bytes that are no UTF-8; JSON can only spell them as escapes
        raw = json.dumps(content, indent=2, sort_keys=True).encode()
    with atomic_path(target) as path:
        path.write_bytes(raw + b"\n")


def prepared(
    folder: Path,
    manifest: Mapping[str, object],
    build: Callable[[Path], None],
    damaged: Callable[[str], None],
    open_folder: Callable[[Path], T],
    *,
    may_trust: bool = True,
) -> T:
    """Opens a cache folder that holds what `manifest` describes; it is built first if missing, stale or damaged.

    What is complete is opened without writing anything: a cache may be read-only, and may belong to another user.

    Args:
        folder: where it is to be; its name should hold the key of the content.
        manifest: what the content was made from and with; a stored manifest that differs makes the folder stale.
        build: fills the (temporary) folder that it is given.
        damaged: is told in one line why a folder that is there is rebuilt.
        open_folder: opens the folder; raises `DamagedError` where it cannot use what is there (see `reading`).
        may_trust: whether `REC_GYM_TRUST_CACHE` may save the checksums; False for readers that damage could crash.

    Returns:
        What `open_folder` returned. While one process builds, others wait for it and then use its work.

    Raises:
        OSError: the cache folder cannot be read or written, or its disk is full; the message says what to do.
    """
    wanted = json.loads(json.dumps(dict(manifest)))

    def opened() -> T:
        _check(folder, wanted, may_trust)
        return open_folder(folder)

    with explained(folder):
        with suppress(DamagedError):
            return opened()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            try:
                return opened()  # another process has built it in the meantime
            except DamagedError as error:
                if folder.exists():
                    damaged(f"{folder} is rebuilt: {error.reason}")
            remove_leftovers(folder)
            with atomic_path(folder) as temporary:
                temporary.mkdir()
                build(temporary)
                write_json(temporary / MANIFEST, {"made": wanted, "files": _describe(temporary)})
            _verified[str(folder)] = _identity(folder, _read_manifest(folder))
        return open_folder(folder)


def prepared_folder(
    folder: Path, manifest: Mapping[str, object], build: Callable[[Path], None], damaged: Callable[[str], None]
) -> Path:
    """As `prepared`, for a folder that the caller opens: returns `folder`, complete and verified."""
    return prepared(folder, manifest, build, damaged, lambda complete: complete)


def remove_leftovers(folder: Path) -> None:
    """Removes what killed builders of `folder` left beside it; called under its lock, so that no builder is alive."""
    for path in _holders(folder):
        shutil.rmtree(path, ignore_errors=True)


def is_prepared(folder: Path, manifest: Mapping[str, object]) -> bool:
    """Whether `prepared` would find `folder` complete and undamaged."""
    try:
        _check(folder, json.loads(json.dumps(dict(manifest))), True)
    except DamagedError:
        return False
    return True


def check_folder(folder: Path, *, may_trust: bool = True) -> str:
    """Verifies that the files of a prepared folder are those that were written.

    Their checksums are compared once per process, and again when a file's time, size or place on the disk has changed
    since. `REC_GYM_TRUST_CACHE=1` leaves the checksums out; sizes are always compared.

    Args:
        folder: what `prepared` has filled.
        may_trust: False compares checksums whatever that variable says.

    Returns:
        The identity of the files: another text whenever one of them was rewritten.

    Raises:
        DamagedError: a file is missing or not as it was written.
        ValueError: `REC_GYM_TRUST_CACHE` is neither 0 nor 1.
    """
    trusted = _is_trusted() and may_trust
    stored = _read_manifest(folder)
    identity = _identity(folder, stored)
    if trusted or _verified.get(str(folder)) == identity:
        return identity
    for name, entry in stored["files"].items():
        with reading(folder / name):
            actual = _checksum(folder / name)
        if actual != entry[_CHECKSUM]:
            raise DamagedError(folder, f"its file {name} is damaged: its checksum is not the one in {MANIFEST}")
    _verified[str(folder)] = identity
    return identity


def file_checksum(folder: Path, name: str) -> str:
    """The checksum that a prepared folder states for one of its files.

    Raises:
        DamagedError: it states none.
    """
    with reading(folder / MANIFEST):
        return _read_manifest(folder)["files"][name][_CHECKSUM]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a reader says about a damaged file becomes one `DamagedError` that names it."""
    try:
        yield
    except DamagedError:
        raise
    except Exception as error:  # a reader may meet any bytes, and raise anything
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _BUSY):
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DamagedError(path.parent, f"its file {path.name} cannot be read ({reason})") from error


def _check(folder: Path, wanted: Mapping[str, object], may_trust: bool) -> None:
    if not folder.is_dir():
        raise DamagedError(folder, "it is not there")
    if _read_manifest(folder)["made"] != wanted:
        raise DamagedError(folder, f"its {MANIFEST} says that it was made from other data or by another version")
    check_folder(folder, may_trust=may_trust)


def _read_manifest(folder: Path) -> dict[str, Any]:
    with reading(folder / MANIFEST):
        stored = json.loads((folder / MANIFEST).read_bytes())
        _ = stored["made"], [(entry["size"], entry[_CHECKSUM]) for entry in stored["files"].values()]
        return stored


def _identity(folder: Path, stored: Mapping[str, Any]) -> str:
    """The manifest, and what the system says of the files that it names; nothing of them is read."""
    digest = xxhash.xxh3_128(json.dumps(stored, sort_keys=True).encode())
    for name, entry in stored["files"].items():
        try:
            status = (folder / name).stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamagedError(folder, f"its file {name}, which {MANIFEST} names, is missing") from error
        if status.st_size != entry["size"]:
            raise DamagedError(
                folder,
                f"its file {name} is damaged: it has {status.st_size} bytes, and {MANIFEST} states {entry['size']}",
            )
        digest.update(f"{name}\0{status.st_ino}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _describe(folder: Path) -> dict[str, dict[str, object]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, _CHECKSUM: _checksum(path)} for path in files
    }


def _checksum(path: Path) -> str:
    digest, block = xxhash.xxh3_128(), memoryview(bytearray(_BLOCK))
    with open(path, "rb", buffering=0) as file:  # read and not mapped: a file that shrinks must not kill the process
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def _is_trusted() -> bool:
    value = os.environ.get(TRUST, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"{TRUST} is 1 (checksums of the cache are not compared) or 0, not {value!r}")
    return value == "1"


def _remove_abandoned(target: Path) -> None:
    """Removes what was being written in place of `target` long ago: files have no lock that would tell at once."""
    for holder in _holders(target):
        with suppress(OSError):  # a living writer may remove its own
            paths = [holder, *holder.rglob("*")]
            if max(path.stat().st_mtime for path in paths) < time.time() - _ABANDONED:
                shutil.rmtree(holder, ignore_errors=True)


def _holders(target: Path) -> list[Path]:
    """The temporary folders in which `target` is, or was, being written."""
    prefix = f".{target.name}."
    beside = [path for path in target.parent.iterdir() if path.name.startswith(prefix)]
    return [path for path in beside if "." not in path.name[len(prefix) :] and path.is_dir()]
