"""`rec-gym play`: a person instead of the policy."""

from __future__ import annotations

from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Seed, Settings, TaskId, task_of
from rec_gym.overrides import overrides_of


def play(
    task_id: TaskId,
    split: Annotated[str, typer.Option(help="The requests to play.")] = "train",
    request: Annotated[str, typer.Option(help="Id of the request to begin with.")] = "",
    top: Annotated[int, typer.Option(min=1, help="Number of ranked items to show.")] = 10,
    seed: Seed = 0,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Type queries yourself, and see what they earn.

    Each query shows its ranking, its measures and reward, and which relevant items moved since the query before.
    """
    from rec_gym.cli.game import Game, read_lines
    from rec_gym.cli.text import write_text

    task = task_of(task_id, split, overrides_of(data_dir, settings))
    Game(task, top=top, seed=seed, write=write_text).play(read_lines(), request)
