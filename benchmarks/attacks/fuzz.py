"""Completions of all kinds: every outcome must keep what a task promises."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

import rec_gym
from benchmarks.attacks.texts import mixture
from rec_gym.env import RecommenderEnv
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.task import Task

QUERIES = ("plain", "append", "answer", {"name": "answer", "strict": True}, "structured", "lines", "titles")
ORDERS = ("order", {"name": "order", "strict": True})
REWARDS: tuple[object, ...] = (
    "ndcg@10",
    {
        "measure": "mrr@100",
        "transforms": ["log_rank", {"name": "clip", "low": 0.1}, {"name": "scale", "by": 0.7}],
        "terms": {
            "format": 0.3,
            "copy": -0.2,
            "length": {"weight": 0.1, "max": 7},
            "repetition": -0.7,
            "recall@10": 0.1,
        },
        "unparsed": -0.6,
    },
    {"measure": "recall@100", "transforms": [{"name": "floor", "at": 0.05}], "terms": {"format": 0.1}},
)


def tasks(task_id: str) -> Iterator[Task]:
    """The task of a registered id, and its variants with each suitable action format and reward."""
    task = rec_gym.make_task(task_id)
    yield task
    formats = ORDERS if task.candidates is not None else QUERIES
    for place, action in enumerate(formats):
        yield task.replace(action=action, reward=REWARDS[place % len(REWARDS)])


def completions(task: Task, draw: random.Random, count: int) -> tuple[list[str], list[str]]:
    """Request ids of the task and a text for each; every second one in the format of the task."""
    ids = draw.choices(task.request_ids, k=count)
    requests = task.dataset.texts(task.dataset.index.positions(ids))
    texts = [mixture(draw, request.split()) for request in requests]
    texts[::2] = [task.action.compose(text, "") for text in texts[::2]]
    return ids, texts


def check(task: Task, ids: Sequence[str], texts: Sequence[str]) -> Outcomes:
    """Scores completions and checks invariants of all of them.

    Raises:
        AssertionError: one does not hold; the message says for which completion.
    """
    outcomes = task.score(ids, texts)
    low, high = task.reward.range  # of one turn
    outside = ~((outcomes.rewards >= low) & (outcomes.rewards <= high))  # NaN is outside as well
    assert not outside.any(), f"{outcomes.rewards[outside]} are outside [{low}, {high}]: {_shown(texts, outside)}"
    columns = outcomes.columns()
    assert list(columns) == list(task.score(ids[:1], [""]).columns()), "the keys of info depend on the completion"
    for name, values in columns.items():
        if values.dtype.kind == "f":
            assert np.isfinite(values).all(), f"{name} is not finite: {_shown(texts, ~np.isfinite(values))}"
    for name, values in outcomes.measures.items():
        assert ((values >= 0) & (values <= 1)).all(), f"{name} is outside [0, 1]"
    unparsed = [text for text, word in zip(texts, outcomes.parse, strict=True) if not word]
    assert not unparsed, f"without a parse word: {unparsed[:1]!r}"
    _same(outcomes, task.score(ids, texts), "a second time")
    order = list(range(len(ids)))[::-1]
    backwards = task.score([ids[i] for i in order], [texts[i] for i in order])
    assert np.array_equal(backwards.rewards[order], outcomes.rewards), "rewards depend on the order of the batch"
    return outcomes


def check_single(task: Task, ids: Sequence[str], texts: Sequence[str]) -> None:
    """Checks that one environment gives what a batch gives, in the first turn.

    Raises:
        AssertionError: it does not.
    """
    env = RecommenderEnv(task)
    low, high = env.reward_range
    together = task.advance(task.start(ids), texts)[1]
    for place, (request_id, text) in enumerate(zip(ids, texts, strict=True)):
        env.reset(options={"request_id": request_id})
        _, reward, _, _, info = env.step(text)
        assert low <= reward <= high, f"{reward} is outside [{low}, {high}]: {text!r}"
        assert reward == together.rewards[place], f"rewards differ alone and in a batch: {text!r}"
        for name, values in together.columns().items():
            assert info[name] == values[place], f"{name} differs alone and in a batch: {text!r}"


def _same(outcomes: Outcomes, again: Outcomes, when: str) -> None:
    assert np.array_equal(outcomes.rewards, again.rewards), f"rewards differ {when}"
    for name, values in again.columns().items():
        assert np.array_equal(outcomes.columns()[name], values), f"{name} differs {when}"


def _shown(texts: Sequence[str], rows: np.ndarray) -> str:
    return repr(texts[int(np.flatnonzero(rows)[0])])[:300]
