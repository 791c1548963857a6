"""Arguments and options that several commands share, and what they become."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rec_gym.loop.task import Task

_COMMA = re.compile(r"(?<!\\),")  # a comma inside a policy's text is written `\,`


def complete_id(incomplete: str) -> list[tuple[str, str]]:
    """The registered ids that begin with `incomplete`, each with a line about it, for the completion of a shell."""
    from rec_gym.cards import cards

    found = ((task_id, card) for task_id, card in sorted(cards().items()) if task_id.startswith(incomplete))
    return [(task_id, str(card.env(task_id).get("summary", card.content["summary"]))) for task_id, card in found]


def _registered_id(context: typer.Context, text: str) -> str:
    """The id that an argument names; a card that it names is registered."""
    from rec_gym.cards import find_id

    return text if context.resilient_parsing else find_id(text)


TaskId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A registered id (`rec-gym list` shows them), or card.toml, card.toml:ID or module:ID.",
        autocompletion=complete_id,
        callback=_registered_id,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="The folder that holds the data, for ids that need one."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting of the task; VALUE is TOML or plain text. May be repeated.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random draws.")]


def split_list(text: str) -> list[str]:
    r"""The parts of a comma-separated text without the blanks around them; `\,` is a comma within a part."""
    return [part.strip().replace("\\,", ",") for part in _COMMA.split(text) if part.strip()]


def task_of(task_id: str, split: str, overrides: dict[str, Any]) -> Task:
    """The task that a command works on; a split among the overrides takes precedence over `split`.

    Raises:
        ValueError, TypeError, FetchError: as `rec_gym.make_task`.
    """
    from rec_gym.making import make_task

    return make_task(task_id, **{"split": split, **overrides})
