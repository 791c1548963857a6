"""The single environment: a shell around `Task` with the interface of Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.rendering import render_outcome, render_request
from rec_gym.spaces import UnicodeText
from rec_gym.tables import unknown

RESET_MASK = "reset_mask"


class RecommenderEnv(gym.Env[str, str]):
    """Text in, text out: the observation is a request, the action is what the policy wrote.

    Args:
        task: what scores it.
        render_mode: `"ansi"` or None.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]

    def __init__(self, task: Task, render_mode: str | None = None) -> None:
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode is 'ansi' or None, not {render_mode!r}")
        self.task = task
        self.render_mode = render_mode
        self.observation_space = UnicodeText()
        self.action_space = UnicodeText()
        self.reward_range = task.reward_range
        self.last_outcome: Outcomes | None = None
        self._sampler: RequestSampler | None = None
        self._count = 0
        self._episode: Episode | None = None

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode on the next request, or on the one that `options={"request_id": ...}` names.

        Raises:
            ValueError: another option, or a request outside the split.
            KeyError: an unknown request id.
        """
        options = check_reset_options(options, "request_id")
        super().reset(seed=seed)
        if seed is not None or self._sampler is None:
            self._sampler = make_sampler(self.task, self.np_random_seed)
            self._count = 0
        named = options.get("request_id")
        if named is None:
            place = self._sampler.at(0, self._count)
            named = self.task.request_ids[place]
            self._count += 1
        [self._episode] = self.task.start([named])
        self.last_outcome = None
        [observation] = self.task.observe([self._episode])
        return observation, {"request_id": self._episode.request_id, "turn": 0}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Scores what the policy wrote; the episode ends after the task's last turn or a stop.

        Raises:
            RuntimeError: there is no running episode.
        """
        if self._episode is None or self._episode.done:
            raise RuntimeError("there is no running episode; call reset() first")
        [self._episode], outcomes, [observation] = self.task.advance([self._episode], [action])
        self.last_outcome = outcomes
        info: dict[str, Any] = {"request_id": self._episode.request_id, "turn": self._episode.turn}
        info |= {key: _plain(values[0]) for key, values in outcomes.columns().items()}
        return observation, float(outcomes.rewards[0]), self._episode.done, False, info

    def render(self) -> str | None:
        """The request, the query, the ranking with relevant items marked, and the measures."""
        if self.render_mode is None or self._episode is None:
            return None
        parts = [render_request(self.task, self._episode.request_id)]
        if self.last_outcome is not None:
            parts.append(render_outcome(self.task, self.last_outcome, 0))
        return "\n\n".join(parts)


def make_env(task_id: str, render_mode: str | None = None, **overrides: Any) -> RecommenderEnv:
    """The entry point of every registered id; see `rec_gym.make_task` for the overrides."""
    return RecommenderEnv(make_task(task_id, **overrides), render_mode)


def make_sampler(task: Task, seed: int | None, groups: int = 1) -> RequestSampler:
    """Deals out the requests of the task's split; Gymnasium's seed -1 (unknown) is not a seed."""
    return RequestSampler(len(task), max(seed or 0, 0), groups)


def check_reset_options(options: Mapping[str, Any] | None, *known: str) -> Mapping[str, Any]:
    """Checks the options of a `reset`.

    Raises:
        TypeError: the options are not a table.
        ValueError: an option is unknown; `reset_mask` is for vector environments only.
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise TypeError(f"the options of a reset are a table, such as {{'request_id': ...}}, not {options!r}")
    for name in options:
        if name == RESET_MASK and name not in known:
            raise ValueError(
                f"{name} is for the members of a vector environment; a single one takes {', '.join(known)}"
            )
        if name not in known:
            raise ValueError(unknown("reset option", name, known))
    return options


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
