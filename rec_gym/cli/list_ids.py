"""`rec-gym list`: the registered ids, by family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

import typer

from rec_gym.cards import Card, cards
from rec_gym.cli.info import recommender_of, reward_of
from rec_gym.cli.text import terminal_width, wrapped

_INDENT, _GAP = 2, 2
_READY, _EMBEDDED = "ready", "embedded"


@dataclass(frozen=True)
class _Row:
    """What the table says about an id, in the order in which columns give way to a narrow terminal, the last one first."""

    id: str
    data: str
    recommender: str
    reward: str
    task: str

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.id, self.data, self.recommender, self.reward, self.task)


_HEADER = _Row("id", "data", "recommender", "reward", "task")


def list_ids(
    match: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="List only what holds this text in its id, title or task."),
    ] = None,
    is_ready: Annotated[
        bool, typer.Option("--ready", help="List only ids whose data are at hand: embedded, or prepared in the cache.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False,
) -> None:
    """List the registered ids by family."""
    chosen = [(task_id, card) for task_id, card in _by_family() if match is None or _holds(task_id, card, match)]
    if is_ready:
        chosen = [(task_id, card) for task_id, card in chosen if _is_ready(task_id, card)]
    if as_json:
        typer.echo(json.dumps([_as_json(task_id, card) for task_id, card in chosen], indent=2, ensure_ascii=False))
    elif chosen:
        typer.echo("\n".join(_lines(chosen, terminal_width())))
    else:
        what = f"no {'ready ' if is_ready else ''}id, title or task holds {match!r}"
        raise ValueError(f"{what}; `rec-gym list` shows every id")


def _by_family() -> list[tuple[str, Card]]:
    """Ids and their cards: embedded ones first, the cards by title, the ids of a card in its own order."""
    families = {card.path: card for card in cards().values()}
    ordered = sorted(families.values(), key=lambda card: (not card.embedded, card.content["title"].lower()))
    return [(task_id, card) for card in ordered for task_id in card.ids]


def _holds(task_id: str, card: Card, text: str) -> bool:
    texts = (task_id, card.content["title"], str(card.content.get("task", "")))
    return any(text.lower() in one.lower() for one in texts)


def _lines(chosen: Sequence[tuple[str, Card]], width: int | None) -> list[str]:
    """The table: a line per family, and below it one per id. Ids are never broken; other columns give way to them."""
    rows = {task_id: _row(task_id, card) for task_id, card in chosen}
    columns = list(zip(*(row.cells for row in (_HEADER, *rows.values())), strict=True))
    widths = [max(map(len, column)) for column in columns]
    count = len(widths)
    if width is not None:
        while count > 1 and _INDENT + sum(widths[:count]) + _GAP * (count - 1) > width:
            count -= 1
    indent = " " * (_INDENT if width is None or _INDENT + widths[0] <= width else 0)

    def line(row: _Row) -> str:
        cells = (cell.ljust(size + _GAP) for cell, size in zip(row.cells[:count], widths[:count], strict=True))
        return indent + "".join(cells).rstrip()

    lines, family = [line(_HEADER)], ""
    for task_id, card in chosen:
        if card.path != family:
            family = card.path
            lines += ["", *wrapped(card.content["title"], width).split("\n")]
        lines.append(line(rows[task_id]))
    return lines


def _row(task_id: str, card: Card) -> _Row:
    env = card.env(task_id)
    if card.embedded:
        data = _EMBEDDED
    elif "needs" in card.content:
        data = f"--set {card.content['needs']}=..."
    elif not card.is_fetched(task_id):
        data = "--data-dir DIR"
    else:
        data = _READY if _is_ready(task_id, card) else "a download"
    return _Row(
        task_id, data, recommender_of(env), reward_of(card, env).partition(" (")[0], str(card.content.get("task", ""))
    )


def _is_ready(task_id: str, card: Card) -> bool:
    """Whether the data, with the options of the id, are embedded or converted in the cache; no checksum is computed."""
    from rec_gym.making import recipe_of_task

    if card.embedded or "needs" in card.content or not card.is_fetched(task_id):
        return card.embedded
    return recipe_of_task(task_id).folder.is_dir()


def _as_json(task_id: str, card: Card) -> dict[str, object]:
    env = card.env(task_id)
    return {
        "id": task_id,
        "summary": env.get("summary", card.content["summary"]),
        "recommender": recommender_of(env),
        "task": card.content.get("task", ""),
        "embedded": card.embedded,
        "ready": _is_ready(task_id, card),
        "card": str(resources.files("rec_gym.envs") / card.path),  # an absolute path stays as it is
    }
