"""Settings as data: a name or a table becomes an object, with types checked and near names suggested.

Cards, `gym.make` keywords and the command line hold strings, numbers and tables. Everything that reads them goes
through this file, so a misspelt name or a value of the wrong type gets the same message everywhere.
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

_SHOWN = 16  # choices that are listed; of more, only the nearest are named
_NEAREST = 3
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}

T = TypeVar("T")


def nearest(name: object, choices: Iterable[str]) -> list[str]:
    """At most three of `choices` that are spelt like `name`, nearest first; case is ignored."""
    by_lower: dict[str, list[str]] = {}
    for choice in choices:
        by_lower.setdefault(choice.lower(), []).append(choice)
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=_NEAREST, cutoff=0.6)
    return [choice for lower in close for choice in by_lower[lower]][:_NEAREST]


def unknown(kind: str, name: object, choices: Iterable[str], more: str = "") -> str:
    """The message for an unknown name.

    Args:
        kind: what the name should name, such as `"measure"`.
        name: what was given.
        choices: the known names.
        more: what else is possible, such as `"package.module:Name"`, or where the names are listed.
    """
    choices = list(choices)
    close = nearest(name, choices)
    parts = [f"unknown {kind} {name!r}"]
    if close:
        parts.append(f"did you mean {' or '.join(map(repr, close))}?")
    if len(choices) <= _SHOWN:
        parts.append(f"choose from: {', '.join(choices) or 'none'}{f', or {more}' if more else ''}")
    elif more:
        parts.append(f"see {more}")
    elif not close:
        parts.append(f"choose from: {', '.join(choices)}")
    return "; ".join(parts)


def check_keys(table: Mapping[str, object], known: Sequence[str], what: str, required: Sequence[str] = ()) -> None:
    """Checks the keys of a table.

    Args:
        table: the table.
        known: keys that it may have.
        what: what the table describes, for messages, such as `"a reward"`.
        required: keys that it must have.

    Raises:
        ValueError: a key is unknown (near names are suggested) or missing.
    """
    for key in table:
        if key not in known:
            raise ValueError(f"{what} has no such option: {unknown('option', key, known)}")
    for key in required:
        if key not in table:
            raise ValueError(f"{what} needs {key!r}; its options are: {', '.join(known)}")


def checked(value: object, annotation: Any, what: str) -> Any:
    """`value`, if it has the annotated type; lists become tuples if a tuple or sequence is wanted.

    Args:
        value: from TOML, JSON or Python.
        annotation: a resolved type: `bool`, `int`, `float`, `str`, `None`, unions, `Literal`, `Sequence[...]`,
            `tuple[..., ...]`, `Mapping[...]`, or any class. Text does not count as a sequence, nor a boolean as a number,
            and numbers must be finite.
        what: the value's name in messages, such as `"max_chars of the action format 'plain'"`.

    Raises:
        ValueError: it has another type; the message says which is wanted.
    """
    if not _matches(value, annotation):
        raise ValueError(f"{what} must be {_described(annotation)}, not {value!r}")
    if annotation is float:
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, list) and _is_sequence(annotation):
        return tuple(value)
    return value


def read_fields(table: Mapping[str, object], kind: Callable[..., T], what: str) -> T:
    """A dataclass from a table of its fields.

    Raises:
        ValueError: a key is unknown or missing, a value is of the wrong type, or the class itself refuses a value.
    """
    slots = [field for field in fields(kind) if field.init]  # type: ignore[arg-type]
    required = [f.name for f in slots if f.default is MISSING and f.default_factory is MISSING]
    check_keys(table, [f.name for f in slots], what, required)
    hints = typing.get_type_hints(kind)
    return kind(**{key: checked(value, hints[key], f"{key} of {what}") for key, value in table.items()})


def check_fields(instance: Any, what: str) -> None:
    """Checks the values of a dataclass against its annotations, from its `__post_init__`: not every one is made from a table.

    Numbers become floats if annotated as floats, and lists become tuples.

    Raises:
        ValueError: a value has another type; the message says which is wanted.
    """
    hints = typing.get_type_hints(type(instance))
    for slot in fields(instance):
        value = checked(getattr(instance, slot.name), hints[slot.name], f"{slot.name} of {what}")
        object.__setattr__(instance, slot.name, value)  # works for frozen ones too


def named(spec: object, what: str) -> tuple[str, dict[str, Any]]:
    """Name and options of something given as a name or as a table with `name`.

    Args:
        spec: `"log_rank"` or `{"name": "scale", "by": 2}`.
        what: what it describes, for messages, such as `"a transform"`.

    Raises:
        ValueError: it is neither, or the table has no `name`.
    """
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ValueError(f"{what} is a name or a table with 'name', not {spec!r}")
    return spec["name"], {key: value for key, value in spec.items() if key != "name"}


def check_arguments(
    function: Callable[..., object], options: Mapping[str, object], what: str, complete: bool = True
) -> None:
    """Checks keyword arguments against a function's signature, and their types if it states simple ones.

    Args:
        function: what takes them.
        options: the arguments.
        what: what they describe, for messages.
        complete: whether required arguments must be among them; false if some come from elsewhere.

    Raises:
        ValueError: an option is unknown (near names are suggested), missing or of the wrong type.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    slots = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in slots if complete and p.default is p.empty]
    known = [p.name for p in slots]
    check_keys(options, [*known, *(options if takes_any else ())], what, required)
    try:
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError, AttributeError):  # annotations that only a type checker can resolve
        return
    for key, value in options.items():
        if key in hints:
            checked(value, hints[key], f"{key} of {what}")


def _matches(value: object, annotation: Any) -> bool:
    """Whether a value has the annotated type; what cannot be checked counts as right."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object or isinstance(annotation, TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, choice) for choice in arguments)
    if origin is typing.Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation in (int, float):
        return _is_number(value, annotation)
    if _is_sequence(annotation):
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            return False
        item = arguments[0] if arguments else Any
        return all(_matches(part, item) for part in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    kind = origin or annotation
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    return isinstance(value, kind)


def _is_number(value: object, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, typing.SupportsFloat) or isinstance(value, str):
        return False
    if kind is int:
        return isinstance(value, typing.SupportsIndex)
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _is_sequence(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and kind is not str and issubclass(kind, Sequence)


def _described(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(choice) for choice in arguments))
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if annotation is None or annotation is type(None):
        return "nothing"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if _is_sequence(annotation):
        return f"a list, each {_described(arguments[0])}" if arguments else "a list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    if origin is Callable:
        return "a function"
    return getattr(annotation, "__name__", str(annotation))
