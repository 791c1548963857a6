"""The cache folder: where it is, locks between processes, and writes that are whole or not there.

Everything that the package keeps (converted data, indexes, results) goes through this file, so that a killed process
never leaves half a file and two processes may prepare the same thing at once.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock

MANIFEST = "manifest.json"


def cache_home() -> Path:
    """The cache folder: `REC_GYM_HOME` if it is set, else the platform's own place for caches."""
    chosen = os.environ.get("REC_GYM_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_cache_dir("rec_gym"))


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `target`; what was written there takes its place when the block ends well.

    A block that raises leaves `target` as it was; so does a process that is killed (a folder that was just being
    replaced may then be missing, but is never half there).
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        temporary = holder / target.name
        yield temporary
        if target.is_dir():
            os.replace(target, holder / "replaced")  # a folder that is deleted in place could be left half there
        os.replace(temporary, target)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_json(target: Path | str, content: object) -> None:
    """Writes `content` as JSON, whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def prepared_folder(
    folder: Path, manifest: Mapping[str, object], build: Callable[[Path], None], damaged: Callable[[str], None]
) -> Path:
    """A cache folder that holds what `manifest` describes; built if it is missing, stale or damaged.

    Args:
        folder: where it is to be; its name should hold the key of the content.
        manifest: what the content was made from and with; a stored manifest that differs makes the folder stale.
        build: fills the (temporary) folder that it is given.
        damaged: is told why a folder that is there is built anew.

    Returns:
        `folder`, complete. While one process builds, others wait for it and then use its work.

    Raises:
        PermissionError: the cache folder cannot be written.
    """
    wanted = json.loads(json.dumps(dict(manifest)))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise PermissionError(f"{error}; set REC_GYM_HOME to a folder that can be written") from error
    if _state(folder, wanted) is None:
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        reason = _state(folder, wanted)
        if reason is None:
            return folder
        if folder.exists():
            damaged(f"{folder} is built anew: {reason}")
        _remove_leftovers(folder)
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            build(temporary)
            files = sorted(path for path in temporary.rglob("*") if path.is_file())
            sizes = {path.relative_to(temporary).as_posix(): path.stat().st_size for path in files}
            write_json(temporary / MANIFEST, {"made": wanted, "files": sizes})
    return folder


def is_prepared(folder: Path, manifest: Mapping[str, object]) -> bool:
    """Whether `prepared_folder` would find `folder` complete and build nothing."""
    return _state(folder, json.loads(json.dumps(dict(manifest)))) is None


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed builders of `folder` left beside it; called under its lock, so that no builder is alive."""
    prefix = f".{folder.name}."
    for path in folder.parent.iterdir():
        if path.name.startswith(prefix) and "." not in path.name[len(prefix) :] and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _state(folder: Path, wanted: Mapping[str, object]) -> str | None:
    """Why `folder` cannot be used as it is; None if it can."""
    if not folder.is_dir():
        return "it is not there"
    try:
        stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if stored["made"] != wanted:
            return "it was made from other data or by another version"
        for name, size in stored["files"].items():
            if (folder / name).stat().st_size != size:
                return f"its file {name} is damaged"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest or a file cannot be read ({error})"
    return None
