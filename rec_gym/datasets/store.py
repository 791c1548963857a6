"""Datasets by the name of their loader: converted once, kept in the cache, shared in a process."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from rec_gym._version import __version__
from rec_gym.cache import cache_home, prepared_folder
from rec_gym.dataset import Dataset

FORMAT = 1
"""Version of what `Dataset.save` writes; raised when that changes."""

_MOST_FILES = 10_000

_open: weakref.WeakValueDictionary[Path, Dataset] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def open_dataset(loader: str, options: Mapping[str, object]) -> Dataset:
    """The dataset that `loader` makes of `options`.

    It is converted once and kept in the cache folder; later calls open that, memory-mapped. It is converted again when
    the options, the files in `data_dir`, the loader's source or the package's version change. Calls in one process
    share one `Dataset` as long as it is in use.

    Args:
        loader: `"package.module:function"`; the function takes the options as keywords and returns a `Dataset`.
        options: strings, numbers and booleans.

    Raises:
        ValueError: there is no such loader, an option is unknown or missing, or the data are not what they should be.
        FileNotFoundError: the folder `data_dir`, or a file in it, is missing.
    """
    function = _import_loader(loader)
    options = _complete(function, loader, dict(options))
    made_from: dict[str, object] = {"loader": loader, "options": options, "format": FORMAT, "version": __version__}
    made_from["source"] = _source_hash(function)
    if "data_dir" in options:
        folder = _data_folder(function, loader, options["data_dir"])
        options["data_dir"] = str(folder)
        made_from["files"] = _fingerprint(folder)
    key = hashlib.sha256(_as_json(loader, made_from).encode()).hexdigest()[:16]
    name = loader.partition(":")[0].rpartition(".")[2]
    target = cache_home() / "datasets" / f"{name}-{key}"
    with _lock:
        dataset = _open.get(target)
        if dataset is None:
            prepared_folder(target, made_from, lambda path: _convert(function, loader, options, path), _warn)
            dataset = _open[target] = Dataset.open(target)
    return dataset


def _import_loader(loader: str) -> Callable[..., Dataset]:
    module, colon, name = loader.partition(":")
    if not (module and colon and name):
        raise ValueError(f"a loader is named 'package.module:function', not {loader!r}")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no loader {loader!r}: {error}") from error
    if not callable(function):
        raise ValueError(f"{loader!r} is not a function")
    return function


def _complete(function: Callable, loader: str, options: dict[str, object]) -> dict[str, object]:
    """The options with the loader's defaults filled in, so that a default that is spelt out is the same dataset."""
    parameters = inspect.signature(function).parameters
    wrong = [] if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else sorted(options.keys() - parameters)
    if wrong:
        raise ValueError(f"{loader} has no option {', '.join(map(repr, wrong))}; there are: {', '.join(parameters)}")
    named = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in named if p.default is p.empty and options.get(p.name) in (None, "")]
    if missing:
        raise ValueError(f"{loader} needs {missing[0]}=...{_how_to_get(function)}")
    return {p.name: p.default for p in named if p.default is not p.empty} | options


def _data_folder(function: Callable, loader: str, data_dir: object) -> Path:
    if not isinstance(data_dir, str | os.PathLike):
        raise ValueError(f"data_dir is the path of a folder, not {data_dir!r}")
    folder = Path(data_dir).expanduser().resolve()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "is not there"
        raise FileNotFoundError(f"the data folder {folder} {what}; {loader} reads it.{_how_to_get(function)}")
    return folder


def _how_to_get(function: Callable) -> str:
    """What the loader's module says about where its data come from (`GET_DATA`)."""
    text = getattr(inspect.getmodule(function), "GET_DATA", "")
    return f" {text}" if text else ""


def _fingerprint(folder: Path) -> dict[str, object]:
    """What tells one state of a data folder from another without reading it: names, sizes and times of its files."""
    digest, count = hashlib.sha256(), 0
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            status = os.stat(os.path.join(parent, name))
            relative = Path(parent, name).relative_to(folder).as_posix()
            digest.update(f"{relative}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
            count += 1
        if count > _MOST_FILES:
            raise ValueError(f"{folder} holds more than {_MOST_FILES:,} files; name the folder of the data set itself")
    return {"count": count, "sha256": digest.hexdigest()}


def _source_hash(function: Callable) -> str:
    """SHA-256 of the loader's module and, where it is part of a package, of the modules beside it.

    So a loader that was edited does not serve what it made before.
    """
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(function)) or "")
    except TypeError:  # not written in Python
        return ""
    beside = sorted(path.parent.glob("*.py")) if (path.parent / "__init__.py").is_file() else [path]
    digest = hashlib.sha256()
    for source in beside:
        if source.is_file():
            digest.update(source.name.encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def _as_json(loader: str, made_from: Mapping[str, object]) -> str:
    try:
        return json.dumps(made_from, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"options of {loader} must be strings, numbers and booleans: {error}") from error


def _convert(function: Callable[..., Dataset], loader: str, options: Mapping[str, object], folder: Path) -> None:
    dataset = function(**options)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"{loader} must return a Dataset, not {type(dataset).__name__}")
    dataset.save(folder)
    del dataset
    pa.default_memory_pool().release_unused()  # Arrow would keep what a large catalogue took


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
