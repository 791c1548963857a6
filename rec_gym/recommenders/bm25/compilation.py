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
# compiler's cache on disk does not notice the setting, so that it is a part of the folder's name. Neither does it notice
# a change in a module whose functions and constants another one uses; so there is also a hash of their sources.
_SLP_VECTORIZE = 1
_SOURCES = ("index", "kernels", "kernels_shared")

_lock = threading.Lock()
_loaded: dict[str, ModuleType] = {}


def load_kernels(module: str = "kernels") -> ModuleType:
    """A module of compiled kernels, `kernels` or `kernels_shared`.

    The first call in a process imports numba, and compiles unless an earlier process did. The compiler's settings are
    those of the whole process; they are changed only while the kernels compile.
    """
    if module not in _loaded:
        with _lock:
            if module not in _loaded:
                _loaded[module] = _compile(module)
    return _loaded[module]


def _compile(module: str) -> ModuleType:
    import numba

    config: Any = numba.config
    config.reload_config()  # what numba would do while compiling, and so undo the settings
    before = config.SLP_VECTORIZE, config.CACHE_DIR
    sources = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in _SOURCES)
    folder = cache_home() / "kernels" / f"slp{_SLP_VECTORIZE}-{hashlib.sha256(sources).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    config.SLP_VECTORIZE, config.CACHE_DIR = _SLP_VECTORIZE, str(folder)
    try:
        return importlib.import_module(f"rec_gym.recommenders.bm25.{module}")
    finally:
        config.SLP_VECTORIZE, config.CACHE_DIR = before


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock while a process forks
    os.register_at_fork(after_in_child=_new_lock)
