"""Datasets by the name of their loader: fetched and converted once, cached, and shared within a process."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import pyarrow as pa

from rec_gym._version import __version__
from rec_gym.cache import cache_home, is_prepared, prepared
from rec_gym.dataset import Dataset
from rec_gym.datasets.folders import fingerprint
from rec_gym.datasets.source_code import source_hash
from rec_gym.fetching.download import download_folder, fetch
from rec_gym.fetching.plan import MANIFEST as DOWNLOAD
from rec_gym.fetching.sources import Source, identity
from rec_gym.resolving import Interface, resolve

FORMAT = 1
"""Version of what `Dataset.save` writes; increased when that changes."""

_open: weakref.WeakValueDictionary[Path, Dataset] = weakref.WeakValueDictionary()
_lock = threading.RLock()


@dataclass(frozen=True)
class Recipe:
    """What a dataset is made from, and where it is cached.

    Attributes:
        loader: `"package.module:function"` or `"FILE.py:function"`.
        function: the loader itself.
        options: all of its options; `data_dir` is an absolute path, or empty if the data is fetched.
        sources: what is fetched; empty if `data_dir` is given or the loader needs none.
        made_from: what the converted data depends on.
    """

    loader: str
    function: Callable[..., Dataset]
    options: Mapping[str, object]
    sources: Sequence[Source]
    made_from: Mapping[str, object]

    @property
    def name(self) -> str:
        """The name of the loader's module."""
        module = self.loader.rpartition(":")[0]
        return Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]

    @property
    def folder(self) -> Path:
        """Where the converted data is, or will be."""
        key = hashlib.sha256(_as_json(self.loader, self.made_from).encode()).hexdigest()[:16]
        return cache_home() / "datasets" / f"{self.name}-{key}"

    @property
    def download(self) -> Path | None:
        """Where the fetched data is, or will be; None if nothing is fetched."""
        return download_folder(self.sources, self.name) if self.sources else None

    @property
    def is_prepared(self) -> bool:
        """Whether the data is already converted."""
        return is_prepared(self.folder, self.made_from)


def open_dataset(loader: str, options: Mapping[str, object]) -> Dataset:
    """The dataset that `loader` makes of `options`.

    Its data is fetched if `data_dir` is empty and the loader knows its sources. It is converted once and kept in the cache
    folder; later calls open that copy, memory-mapped. It is converted again when the options, the files in `data_dir` or
    the sources, the loader's source code or the package's version change. Calls in one process share one `Dataset` as
    long as it is in use. Links in `data_dir` are followed.

    Args:
        loader: `"package.module:function"` or `"FILE.py:function"`; the function takes the options as keywords and is
            annotated to return a `Dataset`.
        options: strings, numbers and booleans.

    Raises:
        ValueError: unknown loader, an option is unknown or missing, or the data is not as expected.
        FileNotFoundError: the folder `data_dir`, or a file in it, is missing.
        FetchError: the data must be fetched and cannot be.
    """
    recipe = recipe_of(loader, options)
    target = recipe.folder
    with _lock:
        dataset = _open.get(target)
        if dataset is None:
            if recipe.sources and not recipe.is_prepared:
                _fetch(recipe)  # fetch first: waiting for the conversion lock prints nothing
            dataset = prepared(target, recipe.made_from, lambda path: _convert(recipe, path), _warn, Dataset.open)
            _open[target] = dataset
    return dataset


def recipe_of(loader: str, options: Mapping[str, object]) -> Recipe:
    """What `open_dataset` would make of its arguments; nothing is fetched or converted.

    Raises:
        ValueError: unknown loader, or an option is unknown or missing.
        FileNotFoundError: the folder `data_dir` is missing.
    """
    function = resolve(loader, LOADER)
    complete = _complete(function, loader, dict(options))
    sources = _sources(function, complete)
    _check_given(function, loader, complete, sources)
    made_from: dict[str, object] = {"loader": loader, "options": complete, "format": FORMAT, "version": __version__}
    made_from["source"] = source_hash(function)
    if sources:
        # Not the folder: the converted data outlives it, and stays valid where the cache folder is copied to.
        complete["data_dir"] = ""
        made_from["sources"] = [identity(source) for source in sources]
    elif "data_dir" in complete:
        folder = _data_folder(function, loader, complete["data_dir"])
        complete["data_dir"] = str(folder)
        made_from["files"] = fingerprint(folder)
        # The manifest is UTF-8, which a path need not be: other bytes are written as escapes there.
        made_from["options"] = complete | {"data_dir": os.fsencode(folder).decode("utf-8", "backslashreplace")}
    return Recipe(loader, function, complete, sources, made_from)


def sources_of(loader: str, options: Mapping[str, object]) -> Sequence[Source]:
    """What would be fetched for these options; empty if nothing can or need be.

    Raises:
        ValueError: unknown loader, or an option is unknown.
    """
    function = resolve(loader, LOADER)
    return _sources(function, _complete(function, loader, dict(options)))


def get_data(loader: str) -> str:
    """What the loader says about where its data comes from (`GET_DATA` of its module); empty if it says nothing.

    Raises:
        ValueError: unknown loader.
    """
    return _how_to_get(resolve(loader, LOADER)).strip()


def _is_loader(function: object) -> bool:
    """Whether a function declares that it is a loader; nothing is called or evaluated to find out."""
    inner = inspect.unwrap(function) if callable(function) else function
    if not isinstance(inner, FunctionType):
        return False
    stated = inner.__annotations__.get("return")
    if isinstance(stated, str):  # under `from __future__ import annotations`
        name, *attributes = stated.strip("'\"").split(".")
        stated = inner.__globals__.get(name)
        for attribute in attributes:
            stated = getattr(stated, attribute, None)
    return isinstance(stated, type) and issubclass(stated, Dataset)


LOADER = Interface(
    "a loader",
    _is_loader,
    "a Python function that is annotated to return a Dataset, such as def load(data_dir: str) -> rec_gym.Dataset",
)


def _complete(function: Callable, loader: str, options: dict[str, object]) -> dict[str, object]:
    """The options with the loader's defaults filled in, so that spelling out a default gives the same dataset."""
    parameters = inspect.signature(function).parameters
    wrong = [] if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else sorted(options.keys() - parameters)
    if wrong:
        raise ValueError(f"{loader} has no option {', '.join(map(repr, wrong))}; choose from: {', '.join(parameters)}")
    return {p.name: p.default for p in _named(function) if p.default is not p.empty} | options


def _check_given(function: Callable, loader: str, options: dict[str, object], sources: Sequence[Source]) -> None:
    needed = [p.name for p in _named(function) if p.default is p.empty and not (sources and p.name == "data_dir")]
    missing = [name for name in needed if options.get(name) in (None, "")]
    if missing:
        raise ValueError(f"{loader} needs {missing[0]}=...{_how_to_get(function)}")


def _named(function: Callable) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _sources(function: Callable, options: Mapping[str, object]) -> Sequence[Source]:
    """What the loader's module wants fetched (`sources`), unless a data folder is given."""
    stated = getattr(inspect.getmodule(function), "sources", None)
    if stated is None or "data_dir" not in inspect.signature(function).parameters or options.get("data_dir"):
        return ()
    return tuple(stated(**{key: value for key, value in options.items() if key != "data_dir"}))


def _data_folder(function: Callable, loader: str, data_dir: object) -> Path:
    if not isinstance(data_dir, str | os.PathLike):
        raise ValueError(f"data_dir is the path of a folder, not {data_dir!r}")
    folder = Path(data_dir).expanduser().resolve()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"the data folder {folder} {what}; {loader} reads it.{_how_to_get(function)}")
    return folder


def _how_to_get(function: Callable) -> str:
    """What the loader's module says about where its data comes from (`GET_DATA`)."""
    text = getattr(inspect.getmodule(function), "GET_DATA", "")
    return f" {text}" if text else ""


def _as_json(loader: str, made_from: Mapping[str, object]) -> str:
    try:
        return json.dumps(made_from, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"options of {loader} must be strings, numbers and booleans: {error}") from error


def _convert(recipe: Recipe, target: Path) -> None:
    options = dict(recipe.options)
    if recipe.sources:
        folder = _fetch(recipe)
        options["data_dir"] = str(folder)
        shutil.copy(folder / DOWNLOAD, target)  # records the files, by their hashes, that this was made from
    dataset = recipe.function(**options)
    if not isinstance(dataset, Dataset):
        raise TypeError(f"{recipe.loader} must return a Dataset, not {type(dataset).__name__}")
    dataset.save(target)
    del dataset
    pa.default_memory_pool().release_unused()  # otherwise Arrow would keep the memory of a large catalogue


def _fetch(recipe: Recipe) -> Path:
    return fetch(recipe.sources, recipe.name, _how_to_get(recipe.function).strip())


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
