"""`rec-gym push`: the catalogue of an id, written to a search engine."""

from __future__ import annotations

import typer

from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.overrides import overrides_of


def push(task_id: TaskId, data_dir: DataDir = None, settings: Settings = None) -> None:
    """Write a catalogue to a search engine."""
    from rec_gym.making import push_catalog

    dataset, recommender = push_catalog(task_id, **overrides_of(data_dir, settings))
    typer.echo(f"{type(recommender).__name__} holds the {len(dataset.catalog):,} items of {task_id}")
