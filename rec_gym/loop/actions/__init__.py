"""Action formats: from the raw text that a policy wrote to what is asked.

A format never raises on any text. What it understood, it says in one word (`Action.parse`). A custom format is a class
under `ActionFormat`, named by `register_action` or as `package.module:Name` wherever a format is named.
"""

from __future__ import annotations

from collections.abc import Mapping

from rec_gym.loop.actions.base import (
    ACTION_FORMAT,
    MAX_CHARS,
    MAX_CHARS_LIMIT,
    STOPPED,
    Action,
    ActionFormat,
    Asking,
    Truth,
    asked,
    failed,
)
from rec_gym.loop.actions.lists import Lines, Titles
from rec_gym.loop.actions.order import Order
from rec_gym.loop.actions.query import Answer, Append, Plain
from rec_gym.loop.actions.structured import Structured
from rec_gym.registry import Registry

ACTIONS: Registry[type[ActionFormat]] = Registry(
    ACTION_FORMAT, {format_.name: format_ for format_ in (Plain, Append, Answer, Structured, Lines, Titles, Order)}
)


def make_action(spec: str | Mapping[str, object] | ActionFormat) -> ActionFormat:
    """An action format from its name or path, or from a table such as `{name = "answer", strict = true}`.

    Raises:
        ValueError: an unknown format or option (near names are suggested), or a value of the wrong type.
    """
    return spec if isinstance(spec, ActionFormat) else ACTIONS.make(spec)


def register_action(name: str, action_format: type[ActionFormat]) -> None:
    """Gives a custom action format a name, by which `action=` finds it in this process.

    Raises:
        ValueError: the name is taken or not of the right form, or the class is not a format.
    """
    ACTIONS.register(name, action_format)


__all__ = [
    "ACTIONS",
    "MAX_CHARS",
    "MAX_CHARS_LIMIT",
    "STOPPED",
    "Action",
    "ActionFormat",
    "Answer",
    "Append",
    "Asking",
    "Lines",
    "Order",
    "Plain",
    "Structured",
    "Titles",
    "Truth",
    "asked",
    "failed",
    "make_action",
    "register_action",
]
