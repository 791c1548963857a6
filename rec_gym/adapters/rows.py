"""Shared by adapters: a task as text in rows, the task made from it, and the columns of its outcomes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rec_gym.cards import card_of, find_id
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.rewards import FORMAT, MEASURE_TERM, UNPARSED_TERM
from rec_gym.loop.task import Task
from rec_gym.loop.text_stats import TEXT_STATS
from rec_gym.making import make_task
from rec_gym.resolving import located

_PATHS = ("data_dir", "card")

_tasks: dict[str, Task] = {}
_making = threading.Lock()


def describe_task(task_id: str, settings: Mapping[str, Any]) -> str:
    """The id and the settings of a task as one line of JSON, for a row; `task_of` makes the task from it.

    Folders are written as absolute paths, because trainers score in processes with other working directories. The hash of
    the id's card is written too, and the path of a card that does not come with the package.

    Args:
        task_id: a registered id, `card.toml`, `card.toml:ID` or `module:ID`.
        settings: keywords of `make_task`, including `split`.

    Raises:
        ValueError: the id is unknown, or a setting is not plain data.
    """
    paths = {key: str(Path(value).expanduser().resolve()) for key, value in settings.items() if key in _PATHS and value}
    stated = {key: paths.get(key) or located(value) for key, value in settings.items() if key != "card"}
    task_id = find_id(task_id, paths.get("card"))
    card = card_of(task_id)
    if not card.is_packaged:
        stated["card"] = card.path
    content = {"id": task_id, "card_sha256": card.hash, "settings": stated}
    try:
        # The order of the keys is kept: a reward's terms are summed in their given order.
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"settings travel in the rows, so they must be names, numbers, lists or tables: {error}"
        ) from error


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
                card_hash = content.get("card_sha256", "")  # rows that were written by hand state none
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{description[:200]!r} does not describe a task; write the rows with rec_gym's export"
                ) from error
            task = make_task(task_id, **settings)
            _check_card(task_id, card_hash)
            _tasks[description] = task
        return _tasks[description]


def _check_card(task_id: str, card_hash: str) -> None:
    """Checks that the card is the one that the rows were written with: another one may pay other rewards."""
    card = card_of(task_id)
    if card_hash and card.hash != card_hash:
        raise ValueError(
            f"the card {card.path} of {task_id} has changed since these rows were written (SHA-256 {card_hash[:12]}... "
            f"then, {card.hash[:12]}... now); export them again"
        )


# verl takes the columns of a batch from its first sample, so every task has the same ones.
TERMS = (MEASURE_TERM, UNPARSED_TERM, FORMAT, *TEXT_STATS)


OTHER_TERMS = "term/other"


def columns_of(task: Task, outcomes: Outcomes) -> list[dict[str, float | str]]:
    """For each completion its score and its parts; the same keys for every task of one turn.

    `measure` is the reward's measure, `term/...` sum to the score (`term/other` holds those that pay
    further measures or are custom), and `measure/...` are the other measures that the task reports.
    """
    zeros = np.zeros(len(outcomes))
    columns = {"score": outcomes.rewards, "measure": outcomes.measures[str(task.reward.measure)]}
    columns |= outcomes.flags
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
