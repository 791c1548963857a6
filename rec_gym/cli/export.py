"""`rec-gym export`: rows for a trainer, and what its command line has to say about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.overrides import overrides_of


def export(
    task_id: TaskId,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    format_: Annotated[str, typer.Option("--format", help="verl, openrlhf or jsonl.")] = "jsonl",
    split: Annotated[str, typer.Option(help="The requests to write.")] = "train",
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Write a split as a file for a trainer.

    A row holds the prompt, the request id and the settings of the task; never gains.
    """
    from rec_gym.adapters.export import FORMATS
    from rec_gym.adapters.export import export as export_rows

    overrides = overrides_of(data_dir, settings)
    file, task = export_rows(task_id, output, format=format_, split=overrides.pop("split", split), **overrides)
    typer.echo(f"{file}: {len(task):,} rows of {task_id}, split {task.split}")
    lines = FORMATS[format_].options(file, task.split, task.turns.limit)
    if lines:
        typer.echo(f"\nFor the command line of {format_}:")
    for line in lines:
        typer.echo(f"    {line}")
