"""`rec-gym new-card`: a folder to begin a card with, which works as it is."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from rec_gym.cli.new_card_files import FILES

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def new_card(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as my-shop: lower-case words and numbers.")],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the folder NAME is made; it is not there yet.")
    ] = Path("."),
) -> None:
    """Write a folder with a card, a loader, a recommender and a test that passes, to be changed step by step."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name of a card is lower-case words and numbers with '-' or '_' between them, such as my-shop, not {name!r}"
        )
    folder = output / name
    if folder.exists():
        raise ValueError(f"{folder} is already there; choose another name, or another folder with --output")
    words = re.split("[_-]", name)
    values = {
        "name": name,
        "module": "_".join(words),
        "title": " ".join(words).capitalize(),
        "task_id": "".join(word.capitalize() for word in words) + "-v0",
    }
    folder.mkdir(parents=True)
    for file, text in FILES.items():
        path = folder / Template(file).substitute(values)
        path.write_text(Template(text).substitute(values), encoding="utf-8", newline="\n")
        typer.echo(f"wrote {path}")
    typer.echo(f"To go on:\n  cd {folder}\n  pytest\n  rec-gym check card.toml")
