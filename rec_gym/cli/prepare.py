"""`rec-gym prepare`: the data of an id ahead of its first use."""

from __future__ import annotations

from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.overrides import overrides_of


def prepare(
    task_id: TaskId,
    mirror: Annotated[
        str, typer.Option(metavar="URL", help="Fetch from this address instead of the hub and other hosts.")
    ] = "",
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Fetch, convert and index data before first use."""
    from rec_gym.cli.cache_entries import size_of
    from rec_gym.fetching.download import mirrored
    from rec_gym.fetching.sources import as_size
    from rec_gym.making import make_task, recipe_of_task

    overrides = overrides_of(data_dir, settings)
    if mirror and overrides.get("data_dir"):
        raise ValueError(
            "--mirror says where to fetch from, but with --data-dir nothing is fetched; leave one of them out"
        )
    with mirrored(mirror):
        task = make_task(task_id, **{"split": "all", **overrides})  # whatever splits there are
    row = next(iter(task.rows()))
    outcomes = task.score([row["request_id"]], [row["text"]])
    assert len(outcomes.rankings.items)  # measures need no list; what makes it is compiled as well
    recipe = recipe_of_task(task_id, **{key: value for key, value in overrides.items() if key != "split"})
    typer.echo(f"{task_id} is ready: {task.dataset!r}")
    for label, folder in (("fetched", recipe.download), ("converted", recipe.folder)):
        if folder is not None and folder.is_dir():
            typer.echo(f"{label + ':':11}{folder} ({as_size(size_of(folder))})")
