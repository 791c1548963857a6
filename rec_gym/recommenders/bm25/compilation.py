"""Loading the kernels: compiled at the first search, and cached on disk for later processes.

The compiler stores its results as pickles, and a pickle can run any code. So cached results are loaded only from a
folder that belongs to this user and that nobody else may write to, after their checksums are verified; and the compiler
itself sees only a copy in a temporary folder. If there is no such folder, the kernels are compiled in memory.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from rec_gym.cache import DamagedError, cache_home, default_home, prepared
from rec_gym.disk import is_open_to_others

# LLVM's vectorisation of straight-line code, which numba leaves off, makes the kernels 1.3 to 1.8 times faster.
_SLP_VECTORIZE = 1

_SOURCES = ("kernels.py", "keys.py", "passing.py", "index.py")
_MODULE = "rec_gym.recommenders.bm25.kernels"

_logger = logging.getLogger(__name__)
_lock = threading.Lock()
_kernels: ModuleType | None = None


def load_kernels() -> ModuleType:
    """The compiled kernels. The first call in a process imports numba, and compiles unless an earlier process did.

    The compiler's settings are process-wide; they are changed only while the kernels compile.
    """
    global _kernels
    if _kernels is None:
        with _lock:
            if _kernels is None:
                _kernels = _compile()
    return _kernels


def _compile() -> ModuleType:
    try:
        stage = Path(tempfile.mkdtemp(prefix="rec-gym-kernels-"))  # for this user alone
    except OSError as error:
        return _compile_in_memory(error)
    try:
        return _load_or_keep(stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _load_or_keep(stage: Path) -> ModuleType:
    """The kernels that an earlier process cached, or new ones, which are cached if there is a place for them."""
    module: ModuleType | None = None
    problem: OSError | None = None

    def build(target: Path) -> None:
        nonlocal module
        module = module or _import(stage)
        shutil.copytree(stage, target, dirs_exist_ok=True)
        for path in (target, *target.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def load(folder: Path) -> ModuleType:
        nonlocal module
        if module is None:
            _check_owner(folder)
            try:
                shutil.copytree(folder, stage, dirs_exist_ok=True)
                module = _import(stage)
            except Exception as error:  # a pickle that this compiler cannot read may raise anything
                _clear(stage)
                raise DamagedError(folder, f"the compiler cannot load it ({type(error).__name__}: {error})") from error
        return module

    made_from = _made_from()
    key = hashlib.sha256(repr(sorted(made_from.items())).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    for place in _places():
        try:
            folder = place() / "kernels" / f"slp{_SLP_VECTORIZE}-{key}"
            _check_above(folder)
            return prepared(folder, made_from, build, _logger.warning, load, may_trust=False)
        except OSError as error:
            problem = problem or error
    assert problem is not None
    return module or _compile_in_memory(problem)


def _places() -> Iterator[Any]:
    yield cache_home
    if os.environ.get("REC_GYM_HOME"):  # a shared cache may be read-only; then this user's own is used
        yield default_home


def _made_from() -> dict[str, object]:
    """What the machine code depends on: the sources (the compiler watches only one of them), versions and processor."""
    import llvmlite
    import numba

    config: Any = numba.config
    here = Path(__file__).parent
    sources = b"".join((here / name).read_bytes() for name in _SOURCES)
    features = config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()
    return {
        "sources": hashlib.sha256(sources + os.fsencode(here)).hexdigest(),
        "python": sys.implementation.cache_tag,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "processor": config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        "features": hashlib.sha256(features.encode()).hexdigest()[:12],
        "user": os.geteuid() if hasattr(os, "geteuid") else 0,
    }


def _check_owner(folder: Path) -> None:
    """Refuses code that another user has written, or could have written.

    Raises:
        DamagedError: the folder, or something in it, belongs to another user or may be written by one.
    """
    for path in (folder, *folder.rglob("*")):
        if hasattr(os, "geteuid") and path.lstat().st_uid != os.geteuid():
            raise DamagedError(folder, f"{path.name} belongs to another user, whose code is not run")
        if is_open_to_others(path):
            raise DamagedError(folder, f"other users may write {path.name}, and code that they could change is not run")


def _check_above(folder: Path) -> None:
    """Refuses a place where anybody could replace this folder by another one.

    Raises:
        PermissionError: a parent folder is world-writable without the sticky bit that /tmp has.
    """
    for parent in folder.parents:
        if parent.exists() and os.name != "nt":
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise PermissionError(f"every user may write to {parent}, so no compiled code is kept below it")


def _compile_in_memory(problem: OSError) -> ModuleType:
    _logger.warning(
        "kernels are compiled in memory, again in every process, because they cannot be cached: %s", problem
    )
    return _import(None)


def _import(folder: Path | None) -> ModuleType:
    """Compiles the kernels, or loads those cached in `folder`; with None, nothing is cached or loaded."""
    import numba

    config: Any = numba.config
    config.reload_config()  # numba would do this while compiling, and so undo the settings
    before = config.SLP_VECTORIZE, config.CACHE_DIR
    config.SLP_VECTORIZE, config.CACHE_DIR = _SLP_VECTORIZE, str(folder or "")
    try:
        return importlib.import_module(_MODULE)
    finally:
        config.SLP_VECTORIZE, config.CACHE_DIR = before


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock while a process forks
    os.register_at_fork(after_in_child=_new_lock)
