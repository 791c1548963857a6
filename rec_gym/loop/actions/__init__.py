"""Action formats: from the raw text that a policy wrote to what is asked.

A format never raises on any text. What it understood, it says in one word (`Action.parse`).
"""

from __future__ import annotations

from collections.abc import Mapping

from rec_gym.loop.actions.base import MAX_CHARS, MAX_CHARS_LIMIT, STOPPED, Action
from rec_gym.loop.actions.lists import Lines, Titles
from rec_gym.loop.actions.order import Order
from rec_gym.loop.actions.query import Answer, Append, Plain
from rec_gym.tables import named, read_fields, unknown

ACTIONS: dict[str, type[Plain]] = {format_.name: format_ for format_ in (Plain, Append, Answer, Lines, Titles, Order)}


def make_action(spec: str | Mapping[str, object] | Plain) -> Plain:
    """An action format from its name or a table such as `{name = "answer", strict = true}`.

    Raises:
        ValueError: an unknown format or option (near names are suggested), or a value of the wrong type.
    """
    if isinstance(spec, Plain):
        return spec
    name, options = named(spec, "an action format")
    if name not in ACTIONS:
        raise ValueError(unknown("action format", name, ACTIONS))
    return read_fields(options, ACTIONS[name], f"the action format {name!r}")


__all__ = [
    "ACTIONS",
    "MAX_CHARS",
    "MAX_CHARS_LIMIT",
    "STOPPED",
    "Action",
    "Answer",
    "Append",
    "Lines",
    "Order",
    "Plain",
    "Titles",
    "make_action",
]
