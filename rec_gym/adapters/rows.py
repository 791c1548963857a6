"""Shared by adapters: a task as text in rows, the task made from it, and the columns of its outcomes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.rewards import FORMAT, MEASURE_TERM, UNPARSED_TERM
from rec_gym.loop.task import Task
from rec_gym.loop.text_stats import TEXT_STATS
from rec_gym.making import make_task
from rec_gym.resolving import absolute, is_path

_PATHS = ("data_dir", "card")

_tasks: dict[str, Task] = {}
_making = threading.Lock()


def describe_task(task_id: str, settings: Mapping[str, Any]) -> str:
    """The id and the settings of a task as one line of JSON, for a row; `task_of` makes the task from it.

    Folders are written as absolute paths, because trainers score in processes with other working directories.

    Args:
        task_id: a registered id.
        settings: keywords of `make_task`, including `split`.

    Raises:
        ValueError: a setting is not plain data.
    """
    located = {
        key: str(Path(value).expanduser().resolve()) if key in _PATHS and value else _located(value)
        for key, value in settings.items()
    }
    try:
        # The order of the keys is kept: a reward's terms are summed in their given order.
        text = json.dumps({"id": task_id, "settings": located}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"settings travel in the rows, so they must be names, numbers, lists or tables: {error}"
        ) from error
    return text


def _located(value: Any) -> Any:
    """The same setting, with existing folders and files, such as an encoder's, as absolute paths."""
    if isinstance(value, Mapping):
        return {key: _located(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_located(inner) for inner in value]
    if isinstance(value, str) and is_path(value):
        return absolute(value)
    is_folder = isinstance(value, str) and "/" in value and len(value) < 1024 and "\n" not in value
    return str(Path(value).resolve()) if is_folder and Path(value).exists() else value


def task_of(description: str) -> Task:
    """The task that `describe_task` describes, made once per process; thread-safe.

    Raises:
        ValueError: the text is not from `describe_task`, or see `make_task`.
        TypeError, FetchError: see `make_task`.
    """
    task = _tasks.get(description)
    if task is not None:
        return task
    with _making:  # callers wait while any task is being made
        if description not in _tasks:
            try:
                content = json.loads(description)
                task_id, settings = content["id"], dict(content["settings"])
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{description[:200]!r} does not describe a task; write the rows with rec_gym's export"
                ) from error
            _tasks[description] = make_task(task_id, **settings)
        return _tasks[description]


# verl takes the columns of a batch from its first sample, so every task has the same ones.
TERMS = (MEASURE_TERM, UNPARSED_TERM, FORMAT, *TEXT_STATS)


OTHER_TERMS = "term/measures"


def columns_of(task: Task, outcomes: Outcomes) -> list[dict[str, float | str]]:
    """For each completion its score and its parts; the same keys for every task of one turn.

    `measure` is the reward's measure, `term/...` sum to the score (`term/measures` holds the terms that pay further
    measures), and `measure/...` are the other measures that the task reports.
    """
    zeros = np.zeros(len(outcomes))
    columns = {"score": outcomes.rewards, "measure": outcomes.measures[str(task.reward.measure)]}
    flags = {"parse_ok": outcomes.parse_ok, "clipped": outcomes.clipped, "scored": outcomes.scored}
    columns |= flags
    columns |= {f"term/{name}": outcomes.terms.get(name, zeros) for name in TERMS}
    others = [values for name, values in outcomes.terms.items() if name not in TERMS]
    columns[OTHER_TERMS] = np.sum(others, axis=0) if others else zeros
    columns |= {f"text/{name}": outcomes.text_stats[name] for name in TEXT_STATS}
    asked_for = [str(measure) for measure in task.measures if measure not in task.reward.measures]
    columns |= {f"measure/{name}": outcomes.measures[name] for name in asked_for}
    return [
        {key: float(values[i]) for key, values in columns.items()} | {"parse": outcomes.parse[i]}
        for i in range(len(outcomes))
    ]
