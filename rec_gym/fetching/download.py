"""Downloads a publisher's data into the cache folder: once, complete and checked.

A loader's module may define `sources(**options)` beside `load(data_dir, **options)`: the files to fetch, as a sequence
of `HubFile` and `WebFile`, for the same options as `load` except `data_dir`. An empty sequence means that the data for
these options cannot be fetched. If `data_dir` is empty, `load` gets the folder that holds the fetched files.

A download grows in a hidden folder next to its final place. Its manifest names the complete files, so that a call that
failed or was killed can be resumed; the folder gets its name when nothing is missing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from rec_gym.cache import cache_home
from rec_gym.columns import first_few
from rec_gym.disk import explained
from rec_gym.fetching import hub, web
from rec_gym.fetching.archives import unpack
from rec_gym.fetching.plan import MANIFEST, Download, damage_of, read_plan, sha256, write_plan
from rec_gym.fetching.sources import (
    FetchError,
    HubFile,
    NotThereError,
    Source,
    UnreachableError,
    WebFile,
    as_size,
    identity,
    inside,
    total_size,
)

__all__ = ["FetchError", "HubFile", "Source", "WebFile", "download_folder", "fetch", "mirrored"]


_HALVES, _UNPACKED = ".rec-gym", "unpacked"  # partial downloads, and in it partly unpacked archives
_CHUNK = 1 << 20
_NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

_mirror: ContextVar[str] = ContextVar("mirror", default="")


def download_folder(sources: Sequence[Source], name: str) -> Path:
    """Where `fetch` puts the files of `sources`; the same for the same sources on every machine, under the cache folder."""
    key = hashlib.sha256(json.dumps([identity(source) for source in sources], sort_keys=True).encode()).hexdigest()[:16]
    return cache_home() / "downloads" / f"{name}-{key}"


def fetch(sources: Sequence[Source], name: str, get_data: str = "") -> Path:
    """The cache folder that holds all of `sources`; what is missing is fetched first.

    Sizes are printed on standard error before anything is fetched. While one process fetches, others wait for it.

    Args:
        sources: what to fetch; not empty.
        name: of the data, for the folder and for messages.
        get_data: what the loader says about getting the data by hand.

    Raises:
        FetchError: the data is not here and cannot be fetched (no connection, no such file, a wrong checksum, no space
            left, a client that is not installed); the message says what to do. The next call resumes from there.
    """
    folder = download_folder(sources, name)
    if damage_of(folder) is None:
        return folder
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f".{folder.name}.lock"), name):
        damage = damage_of(folder)
        if damage is None:
            return folder
        partial = partial_folder(folder)
        if folder.exists():
            warnings.warn(f"{folder} is fetched again where needed: {damage}", stacklevel=2)
            shutil.rmtree(partial, ignore_errors=True)
            os.replace(folder, partial)
        try:
            with _explained(folder, partial, sources, name, get_data):
                _fill(partial, sources, name, folder)
        except BaseException:
            if not holds_data(partial):  # there is nothing to go on from
                shutil.rmtree(partial, ignore_errors=True)
            raise
        os.replace(partial, folder)
    return folder


def partial_folder(folder: Path) -> Path:
    """Where a download grows until it is complete."""
    return folder.with_name(f".{folder.name}.partial")


def holds_data(partial: Path) -> bool:
    """Whether a byte of the data has arrived in an unfinished download: its plan and the notes of a client do not count."""
    notes = hub.leftovers(partial)
    return any(
        path.is_file()
        and path.stat().st_size
        and path != partial / MANIFEST
        and (notes not in path.parents or path.suffix == ".incomplete")
        for path in partial.rglob("*")
    )


@contextmanager
def mirrored(url: str) -> Iterator[None]:
    """Within the block, `fetch` asks `url` instead of the hub and of the hosts of web files; empty for none.

    Raises:
        ValueError: `url` is not a web address.
    """
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise ValueError(f"a mirror is a web address such as https://hub.example.org, not {url!r}")
    token = _mirror.set(url.rstrip("/"))
    try:
        yield
    finally:
        _mirror.reset(token)


def _fill(partial: Path, sources: Sequence[Source], name: str, folder: Path) -> None:
    """Fetches into `partial` what is not complete there yet."""
    earlier = read_plan(partial, sources)
    plan = earlier or [Download(source) for source in _resolve(sources)]
    if not earlier:
        partial.mkdir(exist_ok=True)
        write_plan(partial, sources, plan)
    missing = [download for download in plan if not download.is_whole(partial)]
    _announce(plan, missing, name, folder)
    _check_space(partial, [download.source for download in missing])
    try:
        if earlier:
            _check_hub(missing)
        for download in missing:
            for path in download.files or ():
                (partial / path).unlink(missing_ok=True)  # it is damaged; a client might think it complete
            download.files = _get(download.source, partial)
            write_plan(partial, sources, plan)
    except NotThereError:
        (partial / MANIFEST).unlink(missing_ok=True)
        if not earlier:
            raise
        return _fill(partial, sources, name, folder)  # the publisher has replaced what the earlier call found
    _tidy(partial, {MANIFEST}.union(*(download.files or () for download in plan)))


def _tidy(partial: Path, wanted: set[str]) -> None:
    """Removes everything else: the clients' notes, files of an earlier plan, and what a killed process was writing."""
    for leftovers in (partial / _HALVES, hub.leftovers(partial)):
        shutil.rmtree(leftovers, ignore_errors=True)
    for path in sorted(partial.rglob("*"), reverse=True):  # the contents of a folder come before the folder
        if path.is_dir():
            with suppress(OSError):  # it is not empty
                path.rmdir()
        elif path.relative_to(partial).as_posix() not in wanted:
            path.unlink()


def _check_hub(missing: Sequence[Download]) -> None:
    """Asks the hub once before an earlier plan is resumed: for a missing file itself, the client retries for a minute."""
    for download in missing:
        if isinstance(download.source, HubFile):
            hub.resolve([download.source], _mirror.get())
            return


def _resolve(sources: Sequence[Source]) -> list[Source]:
    """The sources with what their publishers state now: sizes, hashes, the commit, the files behind a pattern."""
    resolved: list[Source] = []
    hub_files = sorted((source for source in sources if isinstance(source, HubFile)), key=_repository)
    for _, files in groupby(hub_files, _repository):
        resolved += hub.resolve(list(files), _mirror.get())
    for source in sources:
        if isinstance(source, WebFile):
            resolved.append(replace(source, size=source.size or web.announced_size(source, _mirror.get())))
    return resolved


def _repository(file: HubFile) -> tuple[str, str]:
    return file.repo, file.revision


def _get(source: Source, partial: Path) -> dict[str, dict[str, object]]:
    """Fetches one source; returns its files under `partial`, with sizes and hashes."""
    mirror = _mirror.get()
    files = [hub.get(source, partial, mirror)] if isinstance(source, HubFile) else _get_web(source, partial, mirror)
    described: dict[str, dict[str, object]] = {}
    for path in files:
        digest = sha256(path)
        if isinstance(source, HubFile) and source.sha256 and digest != source.sha256:
            path.unlink()
            raise FetchError(
                f"{source.where} is not what its publisher states: its SHA-256 is {digest}, not {source.sha256}. It was "
                "removed; fetch it again. If that does not help, the mirror or a proxy has changed the file"
            )
        described[path.relative_to(partial).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
    return described


def _get_web(source: WebFile, partial: Path, mirror: str) -> list[Path]:
    """Fetches a web file; the files of an archive are moved into place only when all of them are unpacked."""
    holder = partial / _HALVES / hashlib.sha256(source.url.encode()).hexdigest()[:16]
    holder.mkdir(parents=True, exist_ok=True)
    target = inside(partial, source.path)
    fetched = holder / (Path(urlsplit(source.url).path).name or "download")
    web.get(source, fetched, mirror)
    moves = {target: fetched}
    if source.unpack:
        unpacked = holder / _UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            if unpack(fetched, unpacked, target.name) == "gz":
                target = target.parent
        except FetchError:
            shutil.rmtree(holder)  # so that no later call thinks it good
            raise
        files = [path for path in sorted(unpacked.rglob("*")) if path.is_file()]
        moves = {target / path.relative_to(unpacked): path for path in files}
    for path, origin in moves.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(origin, path)
    shutil.rmtree(holder)
    return list(moves)


# Messages


def _announce(plan: Sequence[Download], missing: Sequence[Download], name: str, folder: Path) -> None:
    done = len(plan) - len(missing)
    rest = f" ({done} of {len(plan)} are already here)" if done else ""
    what = "file" if len(missing) == 1 else "files"
    size = total_size([download.source for download in missing])
    _say(f"fetching {name}: {len(missing)} {what}, {size}{rest}, into {folder}")


def _say(message: str) -> None:
    print(f"rec-gym: {message}", file=sys.stderr, flush=True)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Holds the lock; says so if another process has it."""
    with explained(path):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say(f"another process is fetching {name}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(folder: Path, partial: Path, sources: Sequence[Source], name: str, get_data: str) -> Iterator[None]:
    """Says what is missing if the publisher cannot be reached, and what to do if the disk is full."""
    try:
        yield
    except UnreachableError as error:
        plan = read_plan(partial, sources) or [Download(source) for source in sources]
        missing = [download.source for download in plan if not download.is_whole(partial)]
        raise FetchError(
            f"the data of {name} is not here and cannot be fetched: {error}. Missing: "
            f"{first_few([source.where for source in missing])}; {total_size(missing)}. There are two ways to supply it: "
            f"run `rec-gym prepare ID` on a machine with a connection, and copy downloads/{folder.name} of its cache folder to "
            f"{folder}; or name a folder that holds the files with data_dir=... (--data-dir). {get_data}".rstrip()
        ) from error
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        for half in (*partial.rglob("*.part"), *partial.rglob("*.part.name")):
            half.unlink(missing_ok=True)
        for unpacked in partial.glob(f"{_HALVES}/*/{_UNPACKED}"):
            shutil.rmtree(unpacked, ignore_errors=True)
        raise FetchError(
            f"the disk of {partial.parent} is full ({error}). Partial files were removed, complete ones kept: make "
            "room and call again, or set REC_GYM_HOME to a folder on another disk"
        ) from error


def _check_space(partial: Path, missing: Sequence[Source]) -> None:
    """Refuses a download that cannot fit; an archive needs its own size and, unpacked, at least as much again."""
    needed = sum(source.size * (2 if isinstance(source, WebFile) and source.unpack else 1) for source in missing)
    needed -= sum(path.stat().st_size for path in partial.rglob("*.part"))
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise FetchError(
            f"{as_size(needed)} must be fetched, but the disk of {partial.parent} has {as_size(free)} left: make room, or "
            "set REC_GYM_HOME to a folder on another disk"
        )
