"""Code that settings name: `package.module:Name` and `FILE.py:Name`.

Naming code in a card, in a table of settings or on the command line imports it, as with any plugin. What a name stands
for is checked against an interface before it is called, so that the name of something else (`os:system`) is an error
and never a call.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rec_gym.tables import nearest, unknown

FORM = "package.module:Name or FILE.py:Name"

_PATH = re.compile(r"(?P<source>(?:[A-Za-z]:[\\/])?[^:]+):(?P<name>[^:]+)(?::(?P<argument>.*))?", re.DOTALL)
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME = re.compile(r"[^\W\d]\w*")
_files: dict[Path, tuple[bytes, ModuleType]] = {}  # files by what was in them when they were loaded


@dataclass(frozen=True)
class Interface:
    """What a name has to stand for.

    Attributes:
        what: a noun with its article, such as `"a recommender"`.
        accepts: whether an object is one, or makes one; it must not call the object.
        wanted: what to name instead, for messages, such as ``"a class with rank()"``.
    """

    what: str
    accepts: Callable[[Any], bool]
    wanted: str


def maker_of(what: str, method: str, type_name: str) -> Interface:
    """The interface of what makes an object with a method: a class, or a function that says so by its annotation.

    Args:
        what: what is made, such as `"a recommender"`.
        method: what every such object has, such as `"rank"`.
        type_name: the type that a function states as what it returns, such as `"Recommender"`; a class with the method
            does as well.
    """
    wanted = f"a class with {method}(), or a function annotated `-> {type_name}`"
    return Interface(what, lambda value: makes(value, method, type_name), wanted)


def resolve(path: str, interface: Interface | None = None) -> Any:
    """The object that a path names.

    Args:
        path: `package.module:Name`, where modules of the current folder are found too, or `FILE.py:Name`, where a
            relative file counts from the current folder. A file is executed once, and again when its text has changed.
        interface: what the object has to be. It is checked before anybody calls the object; importing the module runs
            its code.

    Raises:
        ValueError: the path is not of this form, the module or the name is unknown (near names are suggested), or the
            object is something else than `interface` wants.
        FileNotFoundError: the file is missing.
        ImportError: the module is there, and lacks something itself.
    """
    source, name, argument = split_path(path)
    if argument is not None:
        raise ValueError(f"{path!r} is not of the form {FORM}")
    value = lookup(source, name)
    if interface is not None:
        check(value, path, interface)
    return value


def split_path(path: str) -> tuple[str, str, str | None]:
    """Source, name and argument of `SOURCE:NAME[:ARGUMENT]`; the argument is None where there is none.

    Raises:
        ValueError: the text is not of this form.
    """
    parts = _PATH.fullmatch(path)
    if parts is None or not (_is_file(parts["source"]) or _MODULE.fullmatch(parts["source"])):
        raise ValueError(f"{path!r} is not of the form {FORM}")
    return parts["source"], parts["name"], parts["argument"]


def is_path(text: str) -> bool:
    """Whether a text is written as the path of an object, and not as a name, a folder or a model."""
    parts = _PATH.fullmatch(text)
    if parts is None or parts["argument"] is not None or not _NAME.fullmatch(parts["name"]):
        return False
    return parts["source"].endswith(".py") or _MODULE.fullmatch(parts["source"]) is not None


def absolute(path: str) -> str:
    """The same path with its file as an absolute one, for processes that run in other folders."""
    source, colon, name = path.rpartition(":")
    return f"{Path(source).expanduser().resolve()}:{name}" if colon and source.endswith(".py") else path


def located(value: Any) -> Any:
    """The same setting, with existing folders and files, such as an encoder's, as absolute paths."""
    if isinstance(value, Mapping):
        return {key: located(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [located(inner) for inner in value]
    if isinstance(value, str) and is_path(value):
        return absolute(value)
    is_folder = isinstance(value, str) and "/" in value and len(value) < 1024 and "\n" not in value
    return str(Path(value).resolve()) if is_folder and Path(value).exists() else value


def path_of(value: Any) -> str:
    """The path that names a class or function at the top level of a module, or an object that a module names so.

    Raises:
        ValueError: no module holds it under its name.
    """
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    loaded = sys.modules.get(module)
    if not name or getattr(loaded, name, None) is not value:
        raise ValueError(f"{value!r} is not at the top level of a module")
    file = next((file for file, (_, known) in _files.items() if known is loaded), None)
    return f"{module if file is None else file}:{name}"


def lookup(source: str, name: str) -> Any:
    """What a module or a file holds under a name; see `resolve`."""
    path = f"{source}:{name}"
    module = _load_file(Path(source).expanduser(), path) if _is_file(source) else _load_module(source, path)
    try:
        return getattr(module, name)
    except AttributeError as error:
        message = unknown("name", name, _names(module))
        raise ValueError(f"{path!r} cannot be loaded; {source} has no such name: {message}") from error


def check(value: object, path: str, interface: Interface) -> None:
    """Checks what a path names, without calling it.

    Raises:
        ValueError: it is not what the interface wants.
    """
    if not interface.accepts(value):
        raise ValueError(f"{path!r} is {_described(value)}, not {interface.what}; name {interface.wanted}")


def makes(value: object, method: str, type_name: str) -> bool:
    """Whether calling `value` makes an object with a method: it is such a class, or a function annotated so."""
    while isinstance(value, functools.partial):
        value = value.func
    if inspect.isclass(value):
        return has_method(value, method)
    function = value if inspect.isroutine(value) else vars(type(value)).get("__call__")
    annotation = getattr(function, "__annotations__", {}).get("return")
    with suppress(NameError, TypeError, AttributeError):  # what only type checkers import is known by its name
        annotation = typing.get_type_hints(function).get("return")
    if isinstance(annotation, str):
        return annotation.strip("'\" ").partition("[")[0].rpartition(".")[2] == type_name
    kind = typing.get_origin(annotation) or annotation
    return inspect.isclass(kind) and has_method(kind, method)


def has_method(kind: type, method: str) -> bool:
    """Whether instances of a class have a method; what its metaclass has does not count."""
    return any(callable(vars(base).get(method)) for base in kind.__mro__)


def takes(value: object, *parameters: str) -> bool:
    """Whether `value` is a function, or a callable object, whose first parameters have these names."""
    if inspect.isclass(value) or not callable(value):
        return False
    try:
        names = list(inspect.signature(value).parameters)
    except ValueError:  # built-in code that shows no signature
        return False
    return tuple(names[: len(parameters)]) == parameters


def _described(value: object) -> str:
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '')}()"
    return f"an object of type {type(value).__name__}"


def _names(module: ModuleType) -> list[str]:
    """The names that a module offers: those it lists, or those it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [name for name, value in public.items() if getattr(value, "__module__", "") == module.__name__]


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source or "\\" in source


def _load_module(source: str, path: str) -> ModuleType:
    with _importing_from(Path.cwd()):
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as error:
            missing = error.name
            if missing is None or not f"{source}.".startswith(f"{missing}."):
                raise  # the module is there, and lacks something itself
            near = _did_you_mean(missing, _modules_beside(missing))
            raise ValueError(
                f"{path!r} cannot be loaded: there is no module {missing!r}, neither installed nor in the current "
                f"folder{near}"
            ) from error


def _modules_beside(module: str) -> list[str]:
    """Names of the modules of the same package, or of all on the path."""
    import pkgutil

    parent, dot, _ = module.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else None
    return [f"{parent}{dot}{found.name}" for found in pkgutil.iter_modules(folders)]


def _load_file(file: Path, path: str) -> ModuleType:
    if not file.is_file():
        near = _did_you_mean(file.name, [other.name for other in file.parent.glob("*.py")])
        raise FileNotFoundError(f"there is no file {str(file)!r}, which {path!r} names{near}")
    if file.suffix != ".py":
        raise ValueError(f"{str(file)!r} is not a Python file; its name must end in .py")
    file = file.resolve()
    digest = hashlib.sha256(file.read_bytes()).digest()
    known = _files.get(file)
    if known is None or known[0] != digest:
        known = _files[file] = digest, _execute(file)
    return known[1]


def _execute(file: Path) -> ModuleType:
    name = f"rec_gym_file_{file.stem}_{hashlib.sha256(str(file).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # pickles and dataclasses of the file look it up
    with _importing_from(file.parent):
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            raise
    return module


def _did_you_mean(name: str, names: list[str]) -> str:
    close = nearest(name, names)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Lets modules of a folder be imported, after those that are installed."""
    entry = str(folder)
    added = entry not in sys.path
    if added:
        sys.path.append(entry)
    try:
        yield
    finally:
        if added and entry in sys.path:
            sys.path.remove(entry)
