"""What `rec-gym check` finds out about a card: each finding is right, doubtful or wrong, and says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from rec_gym.cards import card_of, register_card
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset
from rec_gym.loop.actions.base import ORDER, QUERY, TITLES
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.policies import make_policy
from rec_gym.policies.registry import fitting_policies
from rec_gym.policies.training import catalog_words
from rec_gym.testing.data import shared_requests

OK, WARN, FAIL = "ok", "warn", "fail"
GROUPS, GROUP_SIZE, STEP, COMPARED = 32, 8, 64, 128

_MANY_FLAT = 0.5  # share of groups from which little is learnt
_SLOW = 1.0  # seconds
_REPEATS = 3


@dataclass(frozen=True)
class Finding:
    """What one check of a card found.

    Attributes:
        subject: the card's file, or one of its ids.
        check: what was checked, in a word or two.
        verdict: `ok`, `warn` or `fail`.
        detail: what was found, and where something is wrong, what to do.
    """

    subject: str
    check: str
    verdict: str
    detail: str


def check_card(path: str | Path, overrides: Mapping[str, Any], seed: int = 0) -> Iterator[Finding]:
    """Everything about a card, from its keys to the speed of its ids; the card is registered in this process.

    An id whose task cannot be made is not checked further.

    Args:
        path: the TOML file.
        overrides: settings of its tasks and options of its loader.
        seed: of what is drawn.

    Yields:
        The findings, as they come.

    Raises:
        FileNotFoundError: there is no such file.
    """
    name = Path(path).name
    ids: list[str] = []

    def register() -> str:
        ids.extend(register_card(path))
        return f"it registers {', '.join(ids)}"

    yield _attempted(name, "keys", register)
    if ids:
        loader = _attempted(name, "loader", partial(_loader, ids[0]))
        yield loader
        if loader.verdict == OK:
            for task_id in ids:
                yield from _check_id(task_id, overrides, seed)


def _check_id(task_id: str, overrides: Mapping[str, Any], seed: int) -> Iterator[Finding]:
    tasks: list[Task] = []

    def make() -> str:
        tasks.append(make_task(task_id, **overrides))
        return f"{len(tasks[0].dataset.catalog):,} items, {type(tasks[0].recommender).__name__}, {tasks[0].action.name}"

    yield _attempted(task_id, "task", make)
    if not tasks:
        return
    task = tasks[0]
    checks: list[tuple[str, Callable[[], tuple[str, str]]]] = [
        ("splits", lambda: _splits(task.dataset)),
        ("leaks", lambda: _leaks(task.dataset)),
        ("oracle", lambda: _oracle(task)),
        ("flat groups", lambda: _flat_groups(task, seed)),
        (f"step of {STEP}", lambda: _seconds(task, seed)),
    ]
    for check, function in checks:
        yield _attempted(task_id, check, function)


def _attempted(subject: str, check: str, function: Callable[[], str | tuple[str, str]]) -> Finding:
    """The finding of a function that returns a detail, or a verdict and a detail; what it raises is one too."""
    try:
        result = function()
    except FileNotFoundError as error:
        if check == "keys":
            raise
        return Finding(subject, check, FAIL, str(error))
    except Exception as error:  # custom code may raise anything
        known = isinstance(error, ValueError | TypeError)
        return Finding(subject, check, FAIL, str(error) if known else f"{type(error).__name__}: {error}")
    return Finding(subject, check, *((OK, result) if isinstance(result, str) else result))


def _loader(task_id: str) -> str:
    from rec_gym.datasets.store import LOADER
    from rec_gym.resolving import resolve

    loader = str(card_of(task_id).content["loader"])
    resolve(loader, LOADER)
    return loader


def _splits(dataset: Dataset) -> tuple[str, str]:
    sizes = ", ".join(f"{name} {len(dataset.rows(name)):,}" for name in dataset.splits)
    missing = [name for name in (TRAIN, VAL, TEST) if name not in dataset.splits]
    if TRAIN in missing or len(missing) == 2:
        return (
            FAIL,
            f"{sizes}; there is no {' and no '.join(missing)}, so there is nothing to train on or to evaluate on",
        )
    return (WARN, f"{sizes}; there is no {missing[0]}") if missing else (OK, sizes)


def _leaks(dataset: Dataset) -> tuple[str, str]:
    shared = shared_requests(dataset)
    if not shared:
        return OK, "no request is in two splits"
    counted = ", ".join(
        f"{count:,} of {len(dataset.rows(second)):,} in {second} are in {first} too"
        for (first, second), count in shared.items()
    )
    trained_on = any(first == TRAIN for first, _ in shared)
    return FAIL if trained_on else WARN, f"same text, history and filters: {counted}; remove them from one of the two"


def _oracle(task: Task) -> tuple[str, str]:
    fitting = fitting_policies(task)
    if "oracle" not in fitting:
        return OK, "the data know no oracle query"
    reference = next((name for name in ("raw", "given-order", "last-title") if name in fitting), "")
    rows = task.rows_of(task.start(task.request_ids[:COMPARED]))
    means = {}
    for name in filter(None, ("oracle", reference)):
        outcomes = task.score([row["request_id"] for row in rows], list(make_policy(name, task)(rows)))
        means[name] = outcomes.measures[str(task.reward.measure)].mean()
    described = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    detail = f"{described} ({task.reward.measure}, {len(rows)} requests)"
    if means["oracle"] <= means.get(reference, 0.0):
        return FAIL, f"{detail}: what is right earns no more; check gains, oracle queries and the recommender"
    return OK, detail


def _flat_groups(task: Task, seed: int) -> tuple[str, str]:
    ids = task.request_ids[:GROUPS]
    outcomes = task.score([name for name in ids for _ in range(GROUP_SIZE)], _sampled(task, ids, seed))
    rewards = outcomes.rewards.reshape(len(ids), GROUP_SIZE)
    flat = (rewards == rewards[:, :1]).all(axis=1).mean()
    detail = f"{flat:.0%} of {len(ids)} groups of {GROUP_SIZE} random completions earn all the same"
    if flat == 1.0:
        return FAIL, f"{detail}: nothing can be learnt from them; take a deeper cut-off, or terms"
    return (
        (WARN, f"{detail}: little is learnt at first; consider a deeper cut-off") if flat > _MANY_FLAT else (OK, detail)
    )


def _sampled(task: Task, ids: Sequence[str], seed: int) -> list[str]:
    """Random completions of each request, half of them words alone, half of them words after the request."""
    draws = np.random.Generator(np.random.PCG64(seed))
    writes = task.action.writes
    vocabulary = catalog_words(task) or ["a"]
    completions = []
    for row in task.rows_of(task.start(ids)):
        for number in range(GROUP_SIZE):
            if writes == ORDER:
                order = draws.permutation(len(row["candidates"]))
                text = " > ".join(f"[{place + 1}]" for place in order)
            elif writes == TITLES:
                text = "\n".join(task.dataset.catalog.titles(draws.integers(0, len(task.dataset.catalog), 5)))
            else:
                text = " ".join(vocabulary[place] for place in draws.integers(0, len(vocabulary), 3))
                text = f"{row['text']} {text}" if number % 2 and writes == QUERY else text
            completions.append(task.action.compose(text, row["text"]))
    return completions


def _seconds(task: Task, seed: int) -> tuple[str, str]:
    ids = list(islice(cycle(task.request_ids), STEP))
    times = []
    for repeat in range(_REPEATS + 1):  # the first one compiles and opens what is needed
        completions = list(islice(_sampled(task, ids, seed + repeat), 0, None, GROUP_SIZE))
        start = time.perf_counter()
        task.score(ids, completions)
        times.append(time.perf_counter() - start)
    seconds = float(np.median(times[1:]))
    detail = f"{seconds:.4f} s"
    return (
        (WARN, f"{detail}: training spends most of its time on it; see docs/performance.md")
        if seconds > _SLOW
        else (OK, detail)
    )
