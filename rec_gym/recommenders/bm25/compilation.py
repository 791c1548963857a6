"""Loading the kernels: compiled at the first search, and kept on disk for later processes."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from rec_gym.cache import cache_home

# LLVM's vectorisation of straight-line code, which numba leaves off, makes the kernels 1.3 to 1.8 times faster. The
# compiler's cache on disk does not notice the setting, so that it is a part of the folder's name.
_SLP_VECTORIZE = 1

_lock = threading.Lock()
_kernels: ModuleType | None = None


def load_kernels() -> ModuleType:
    """The compiled kernels. The first call in a process imports numba, and compiles unless an earlier process did.

    The compiler's settings are those of the whole process; they are changed only while the kernels compile.
    """
    global _kernels
    if _kernels is None:
        with _lock:
            if _kernels is None:
                _kernels = _compile()
    return _kernels


def _compile() -> ModuleType:
    import numba

    config: Any = numba.config
    config.reload_config()  # what numba would do while compiling, and so undo the settings
    before = config.SLP_VECTORIZE, config.CACHE_DIR
    folder = cache_home() / "kernels" / f"slp{_SLP_VECTORIZE}-{_sources()}"
    folder.mkdir(parents=True, exist_ok=True)
    config.SLP_VECTORIZE, config.CACHE_DIR = _SLP_VECTORIZE, str(folder)
    try:
        return importlib.import_module("rec_gym.recommenders.bm25.kernels")
    finally:
        config.SLP_VECTORIZE, config.CACHE_DIR = before


def _sources() -> str:
    """A hash of what the kernels are made of: the compiler's cache watches their own file, not the constants of the other."""
    here = Path(__file__).parent
    contents = (here / name for name in ("kernels.py", "index.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in contents)).hexdigest()[:12]


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock while a process forks
    os.register_at_fork(after_in_child=_new_lock)
