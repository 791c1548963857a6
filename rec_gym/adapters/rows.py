"""Shared by adapters: a task as text in rows, the task made from it and what gathers its calls, the columns of outcomes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rec_gym.cards import card_of, find_id
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.rewards import FORMAT, MEASURE_TERM, UNPARSED_TERM
from rec_gym.loop.task import Task
from rec_gym.loop.text_stats import TEXT_STATS
from rec_gym.making import make_task
from rec_gym.resolving import located
from rec_gym.serving.gather import Gather
from rec_gym.serving.outcome import Outcome, split_outcomes

_PATHS = ("data_dir", "card")

_gatherers: dict[str, Gather] = {}
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
    return gather_of(description).task


def gather_of(description: str) -> Gather:
    """What gathers the completions that this process scores with the task of `task_of`; one for each description.

    Raises:
        ValueError, TypeError, FetchError: see `task_of`.
    """
    gather = _gatherers.get(description)
    if gather is not None:
        return gather
    with _making:  # callers wait while any task is being made
        if description not in _gatherers:
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
            _gatherers[description] = Gather(task)
        return _gatherers[description]


async def gather_of_async(description: str) -> Gather:
    """`gather_of` from an event loop, which goes on while a task is made.

    Raises:
        ValueError, TypeError, FetchError: see `task_of`.
    """
    gather = _gatherers.get(description)
    return await asyncio.to_thread(gather_of, description) if gather is None else gather


def _check_card(task_id: str, card_hash: str) -> None:
    """Checks that the card is the one that the rows were written with: another one may pay other rewards."""
    card = card_of(task_id)
    if card_hash and card.hash != card_hash:
        raise ValueError(
            f"the card {card.path} of {task_id} has changed since these rows were written (SHA-256 {card_hash[:12]}... "
            f"then, {card.hash[:12]}... now); export them again"
        )


def score_rows(
    descriptions: Sequence[str], request_ids: Sequence[str], completions: Sequence[str]
) -> list[dict[str, float | str]]:
    """The columns of completions for tasks of one turn, with one call per task.

    A completion that is alone is gathered with what other threads ask at the same time.

    Args:
        descriptions: n texts of `describe_task`.
        request_ids: n ids.
        completions: n texts.

    Raises:
        ValueError, KeyError, TypeError, RecommenderError: see `task_of` and `Task.score`.
    """
    columns: list[dict[str, float | str]] = [{}] * len(descriptions)
    for description in dict.fromkeys(descriptions):
        places = [place for place, other in enumerate(descriptions) if other == description]
        ids, texts = [request_ids[place] for place in places], [completions[place] for place in places]
        gather = gather_of(description)
        if len(places) == 1:
            scored = [columns_of_one(gather.task, gather.score_one(ids[0], texts[0]))]
        else:
            scored = columns_of(gather.task, gather.task.score(ids, texts))
        for place, row in zip(places, scored, strict=True):
            columns[place] = row
    return columns


# verl takes the columns of a batch from its first sample, so every task has the same ones.
TERMS = (MEASURE_TERM, UNPARSED_TERM, FORMAT, *TEXT_STATS)


OTHER_TERMS = "term/other"
_TERM_KEYS = tuple((name, f"term/{name}") for name in TERMS)
_TEXT_KEYS = tuple((name, f"text/{name}") for name in TEXT_STATS)


def columns_of(task: Task, outcomes: Outcomes) -> list[dict[str, float | str]]:
    """For each completion its score and its parts; the same keys for every task of one turn.

    `measure` is the reward's measure, `term/...` sum to the score (`term/other` holds those that pay
    further measures or are custom), and `measure/...` are the other measures that the task reports.
    """
    return [columns_of_one(task, outcome) for outcome in split_outcomes(outcomes)]


def columns_of_one(task: Task, outcome: Outcome) -> dict[str, float | str]:
    """The columns of one completion, see `columns_of`."""
    measures, terms, stats = outcome.measures, outcome.terms, outcome.text_stats
    columns: dict[str, float | str] = {"score": outcome.reward, "measure": measures[str(task.reward.measure)]}
    for flag in Outcomes.FLAGS:
        columns[flag] = float(getattr(outcome, flag))
    for name, key in _TERM_KEYS:
        columns[key] = terms.pop(name, 0.0)
    columns[OTHER_TERMS] = sum(terms.values(), start=0.0)
    for name, key in _TEXT_KEYS:
        columns[key] = stats[name]
    for measure in task.measures:
        if measure not in task.reward.measures:
            columns[f"measure/{measure}"] = measures[str(measure)]
    columns["parse"] = outcome.parse
    return columns
