"""verl: the reward function.

    reward.custom_reward_function.path=pkg://rec_gym.adapters.verl reward.custom_reward_function.name=compute_score_async

`rec-gym export ID --format verl` writes the rows. verl asks for one sample at a time; what it asks for at the same time is
scored in one call. verl may also load this file by its path and send the function to other processes: everything that a
process caches is in `rec_gym.adapters.rows`, so that the function alone can be pickled. `rec_gym.adapters.verl_manager` is
a faster reward manager around it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from rec_gym.adapters.rows import columns_of_one, gather_of, gather_of_async, score_rows, task_of
from rec_gym.loop.task import Task

# Modules of verl whose reward managers catch every exception and timeout, and pay 0.
_HIDES_FAILURES = {"verl.experimental.reward_loop.reward_manager.limited": "rate_limited"}


class RewardManagerRefused(BaseException):
    """A reward manager of verl would turn failures into rewards of 0, so nothing is scored for it.

    Not an `Exception`, because the manager would turn that into a reward of 0 too; this stops the training.
    """


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **_verl: Any,
) -> dict[str, float | str]:
    """Called by verl for each sample, from a few threads; `compute_score_async` makes larger batches, and is faster.

    Args:
        data_source: the id of the task; ignored if `extra_info` holds the task.
        solution_str: the completion, without special tokens.
        ground_truth: the request id.
        extra_info: of the row, with `task` (see `rec_gym.adapters.rows`); in a task of several turns verl adds the
            tool's rewards.
        _verl: further arguments of verl, such as the address of a reward model.

    Returns:
        `score` and its parts, always with the same keys; floats except for the text `parse`.

    Raises:
        ValueError, KeyError: the row does not describe a task, or the request is unknown or not in its split.
        RuntimeError: a search failed in the tool; no reward is invented for it.
        RewardManagerRefused: called from verl's reward manager `rate_limited`.
    """
    _check_manager()
    gather = gather_of(_description(data_source, extra_info))
    if gather.task.turns.limit > 1:
        return _of_searches(gather.task, extra_info)
    return columns_of_one(gather.task, gather.score_one(str(ground_truth), solution_str))


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **_verl: Any,
) -> dict[str, float | str]:
    """`compute_score` as a coroutine, which verl awaits for all samples of a batch at once: they are scored together.

    Args:
        data_source: the id of the task; ignored if `extra_info` holds the task.
        solution_str: the completion, without special tokens.
        ground_truth: the request id.
        extra_info: see `compute_score`.
        _verl: further arguments of verl.

    Returns:
        See `compute_score`.

    Raises:
        ValueError, KeyError, RuntimeError, RewardManagerRefused: see `compute_score`.
    """
    _check_manager()
    gather = await gather_of_async(_description(data_source, extra_info))
    if gather.task.turns.limit > 1:
        return _of_searches(gather.task, extra_info)
    return columns_of_one(gather.task, await gather.score_one_async(str(ground_truth), solution_str))


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[Mapping[str, Any] | None],
    **_verl: Any,
) -> list[dict[str, float | str]]:
    """`compute_score` for a batch, with one recommender call per task; for reward managers that score batches."""
    _check_manager()
    described = [_description(*row) for row in zip(data_sources, extra_infos, strict=True)]
    scores: list[dict[str, float | str]] = [{}] * len(described)
    one_turn = []
    for place, description in enumerate(described):
        task = task_of(description)
        if task.turns.limit > 1:
            scores[place] = _of_searches(task, extra_infos[place])
        else:
            one_turn.append(place)
    ids, texts = [str(ground_truths[place]) for place in one_turn], [solution_strs[place] for place in one_turn]
    columns = score_rows([described[place] for place in one_turn], ids, texts)
    for place, row in zip(one_turn, columns, strict=True):
        scores[place] = row
    return scores


def _check_manager() -> None:
    """Refuses reward managers that hide failures; the manager is on the call stack.

    Raises:
        RewardManagerRefused: there is one.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        manager = _HIDES_FAILURES.get(frame.f_globals.get("__name__", ""))
        if manager is not None:
            raise RewardManagerRefused(
                f"verl's reward manager {manager!r} pays 0 if scoring fails or takes too long, so an unavailable "
                "recommender looks like bad completions; set reward.reward_manager.name=naive"
            )
        frame = frame.f_back


def _description(data_source: str, extra_info: Mapping[str, Any] | None) -> str:
    description = (extra_info or {}).get("task")
    return description or json.dumps({"id": str(data_source), "settings": {}})


def _of_searches(task: Task, extra_info: Mapping[str, Any] | None) -> dict[str, float | str]:
    """The score of an episode of several turns: `unparsed` and what the tool paid for its searches.

    The first search pays what it earned above `unparsed`, so that the sum is what the episode earned. A model that never
    searches keeps `unparsed`; so does one that calls an unknown tool, for which verl itself records a reward of 0.
    """
    rewards = (extra_info or {}).get("tool_rewards")
    if rewards is None:
        raise ValueError(
            f"{task!r} has {task.turns.limit} turns, which verl plays with the agent loop 'tool_agent' and the tool of "
            "rec_gym.adapters.verl_tool; for single completions export it with turns=1"
        )
    paid = [float(reward) for reward in rewards]
    if any(math.isnan(reward) for reward in paid):
        raise RuntimeError(f"a search in {task!r} failed, see the log of the agent loop; no reward is invented for it")
    base = task.reward.unparsed
    return {"score": base + sum(paid), "tool_calls": float(len(paid)), "first_call": base + (paid[0] if paid else 0.0)}
