"""Objects that can be made again with other arguments, whatever constructor a subclass gives them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

_NOTED = "_arguments"


def noting(init: Callable[..., None], positional: tuple[str, ...]) -> Callable[..., None]:
    """A constructor that notes the arguments of the outermost call, by their names, for `made_again`.

    Args:
        init: an `__init__`.
        positional: what the positional arguments are called that `init` takes as `*args` and hands on.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def noted(self: object, *args: Any, **kwargs: Any) -> None:
        if _NOTED not in self.__dict__:  # a subclass's constructor was called before that of its base
            bound = signature.bind(self, *args, **kwargs)
            arguments: dict[str, Any] = {}
            for name, value in list(bound.arguments.items())[1:]:
                kind = signature.parameters[name].kind
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    arguments |= zip(positional, value, strict=False)  # too many are refused by the base
                elif kind is inspect.Parameter.VAR_KEYWORD:
                    arguments |= value
                else:
                    arguments[name] = value
            self.__dict__[_NOTED] = arguments
        init(self, *args, **kwargs)

    return noted


def made_again(original: Any, **overrides: Any) -> Any:
    """An object of the same class, made with the same arguments but for `overrides`.

    Raises:
        TypeError: the class's constructor does not take one of them.
    """
    cls = type(original)
    arguments = {**original.__dict__[_NOTED], **overrides}
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise TypeError(
            f"{cls.__name__} cannot be made again with {', '.join(overrides) or 'its arguments'}: {error}. Let its "
            "constructor take **settings and hand them to the base class"
        ) from error
    return cls(**arguments)


def argument_names(cls: type, base: type) -> list[str]:
    """Names that the constructor of `cls` takes; those of `base` too where it hands on `**settings`."""
    taken: dict[str, None] = {}
    for kind in (cls, base):
        parameters = inspect.signature(kind).parameters.values()
        taken |= {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(taken)
