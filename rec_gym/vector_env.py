"""The vector environment: one index and one recommender call per step for all members."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rec_gym.env import RESET_MASK, check_reset_options, make_sampler
from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.rendering import render_outcome, render_request
from rec_gym.spaces import UnicodeText
from rec_gym.tables import checked, unknown

# By our names, and by Gymnasium's values, as its own vector environments take them.
AUTORESET_MODES = {
    **{mode.name.lower(): mode for mode in AutoresetMode},
    **{mode.value: mode for mode in AutoresetMode},
}


class RecommenderVectorEnv(VectorEnv):
    """Environments ("members") that run side by side; observations are tuples of texts, actions any sequence of texts.

    Args:
        task: what scores them.
        num_envs: members.
        group_size: adjacent members that get the same request, as group-relative methods (GRPO) need. In a task of
            several turns, a member that stops early moves on to the group's next request before the others: compare
            members by the `request_id` in `final_info`.
        autoreset_mode: `"same_step"`: a member that ended starts its next episode in the same step, and `final_obs` and
            `final_info` describe the one that ended; `"next_step"`: in the next step, whose action is ignored;
            `"disabled"`: when reset with a `reset_mask`. Gymnasium's `AutoresetMode` and its values (`"SameStep"`,
            `"NextStep"`, `"Disabled"`) mean the same.
        render_mode: `"ansi"` or None.

    Raises:
        ValueError: `num_envs` is not a multiple of `group_size`, or an unknown mode.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]

    def __init__(
        self,
        task: Task,
        num_envs: int = 1,
        group_size: int = 1,
        autoreset_mode: str | AutoresetMode = "same_step",
        render_mode: str | None = None,
    ) -> None:
        for what, count in (("num_envs", num_envs), ("group_size", group_size)):
            checked(count, int, what)
        if group_size < 1 or num_envs < 1 or num_envs % group_size:
            raise ValueError(f"num_envs ({num_envs}) must be a multiple of group_size ({group_size})")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode is 'ansi' or None, not {render_mode!r}")
        self.task, self.num_envs, self.group_size, self.render_mode = task, num_envs, group_size, render_mode
        self.autoreset_mode = _autoreset(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.single_observation_space = UnicodeText()
        self.single_action_space = UnicodeText()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reward_range = task.reward_range
        self.last_outcome: Outcomes | None = None
        self._sampler: RequestSampler | None = None
        self._counts = np.zeros(num_envs, np.int64)
        self._episodes: list[Episode] = []

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The state of each member; `task.rows_of(episodes)` makes the rows that a policy reads."""
        return tuple(self._episodes)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Starts an episode in every member, or in those of `options={"reset_mask": bool [num_envs]}`.

        `options={"request_ids": [...]}` names the requests: one per member, or one per group.

        Raises:
            ValueError: another option, the wrong number of ids, or a request outside the split.
            KeyError: an unknown request id.
        """
        options = check_reset_options(options, "request_ids", RESET_MASK)
        super().reset(seed=seed)
        if seed is not None or self._sampler is None:
            self._sampler = make_sampler(self.task, self.np_random_seed, self.num_envs // self.group_size)
            self._counts[:] = 0
        mask = np.asarray(options.get(RESET_MASK, np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not (self._episodes or mask.all()):
            raise ValueError(f"reset_mask must be bool [{self.num_envs}], and the first reset must cover all members")
        members = np.flatnonzero(mask)
        named = self._named(options.get("request_ids"))
        started = self.task.start(self._next_ids(members) if named is None else [named[i] for i in members])
        self._episodes = self._episodes or [Episode("")] * self.num_envs
        for member, episode in zip(members, started, strict=True):
            self._episodes[member] = episode
        self.last_outcome = None
        return tuple(self.task.observe(self._episodes)), self._states(mask)

    def step(
        self, actions: Sequence[str]
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Scores one completion for each member.

        Returns:
            Observations, rewards float64 [num_envs], terminations bool, truncations bool (never true), and infos: the
            top level describes each member now, `final_info` holds the outcomes of the last turn of members that ended;
            its measures are 0 if that turn was a stop (`scored` is then false).

        Raises:
            ValueError: the wrong number of actions.
            RuntimeError: not reset, or (with autoreset disabled) a member has ended.
        """
        if not self._episodes:
            raise RuntimeError("there is no running episode; call reset() first")
        if isinstance(actions, str) or len(actions) != self.num_envs:
            raise ValueError(f"step needs one text for each of the {self.num_envs} members")
        ended_before = np.array([episode.done for episode in self._episodes])
        if ended_before.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            raise RuntimeError(f"members {np.flatnonzero(ended_before).tolist()} have ended; reset them")
        running = np.flatnonzero(~ended_before)
        advanced, outcomes, observed = self.task.advance(
            [self._episodes[i] for i in running], [actions[int(i)] for i in running]
        )
        # After the recommender has answered: a failed step changes nothing and may be retried.
        self._restart(np.flatnonzero(ended_before))
        self.last_outcome = outcomes
        for member, episode in zip(running, advanced, strict=True):
            self._episodes[member] = episode
        rewards = np.zeros(self.num_envs)
        rewards[running] = outcomes.rewards
        done = np.array([episode.done for episode in self._episodes])
        ended = np.flatnonzero(done)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            final = _object_array(self.num_envs)
            final[ended] = _object_array_of([text for text, e in zip(observed, advanced, strict=True) if e.done])
            infos = {"final_obs": final, "_final_obs": done, "final_info": self._outcome_infos(outcomes, running, done)}
            infos["_final_info"] = done.copy()
            self._restart(ended)
            infos |= self._states(np.ones(self.num_envs, bool))
            if self.task.turns.limit > 1:
                infos |= self._outcome_infos(outcomes, running, ~done, standing=False)
        else:
            infos = self._outcome_infos(outcomes, running, ~ended_before, standing=False)
            infos |= self._states(np.ones(self.num_envs, bool))
        return tuple(self.task.observe(self._episodes)), rewards, done, np.zeros(self.num_envs, bool), infos

    def render(self) -> tuple[str, ...] | None:
        """One text per member: its request and, unless it has just started over, the outcome of its last step."""
        if self.render_mode is None or not self._episodes:
            return None
        outcomes = self.last_outcome
        if outcomes is None:
            return tuple(render_request(self.task, episode.request_id) for episode in self._episodes)
        return tuple(
            f"{render_request(self.task, name)}\n\n{render_outcome(self.task, outcomes, place)}"
            for place, name in enumerate(outcomes.request_ids)
        )

    def _named(self, ids: Sequence[str] | None) -> list[str] | None:
        if ids is None:
            return None
        if isinstance(ids, str) or not isinstance(ids, Collection):
            raise ValueError(f"request_ids is a list of ids, not {ids!r}")
        if len(ids) == self.num_envs:
            return list(ids)
        if len(ids) * self.group_size == self.num_envs:
            return [name for name in ids for _ in range(self.group_size)]
        raise ValueError(f"request_ids needs one id per member ({self.num_envs}) or per group, not {len(ids)}")

    def _next_ids(self, members: np.ndarray) -> list[str]:
        """Each member counts separately: its j-th request is its group's j-th, whenever it gets there."""
        assert self._sampler is not None
        ids = []
        for member in members:
            place = self._sampler.at(int(member) // self.group_size, int(self._counts[member]))
            self._counts[member] += 1
            ids.append(self.task.request_ids[place])
        return ids

    def _restart(self, members: np.ndarray) -> None:
        for member, episode in zip(members, self.task.start(self._next_ids(members)), strict=True):
            self._episodes[member] = episode

    def _states(self, mask: np.ndarray) -> dict[str, Any]:
        infos: dict[str, Any] = {
            "request_id": _object_array_of([episode.request_id for episode in self._episodes]),
            "turn": np.array([episode.turn for episode in self._episodes]),
        }
        return infos | {f"_{key}": mask.copy() for key in infos}

    def _outcome_infos(
        self, outcomes: Outcomes, running: np.ndarray, mask: np.ndarray, standing: bool = True
    ) -> dict[str, Any]:
        """The outcomes' columns as arrays over all members, with a mask of the members that they describe."""
        infos = self._states(mask) if standing else {}
        for key, values in outcomes.columns().items():
            column = np.zeros(self.num_envs, values.dtype) if values.dtype != object else _object_array(self.num_envs)
            column[running] = values
            column[~mask] = "" if values.dtype == object else 0
            infos[key], infos[f"_{key}"] = column, mask.copy()
        return infos


def make_vector_env(
    task_id: str,
    num_envs: int = 1,
    group_size: int = 1,
    autoreset_mode: str | AutoresetMode = "same_step",
    render_mode: str | None = None,
    **overrides: Any,
) -> RecommenderVectorEnv:
    """The vector entry point of every registered id; see `rec_gym.make_task` for the overrides."""
    return RecommenderVectorEnv(make_task(task_id, **overrides), num_envs, group_size, autoreset_mode, render_mode)


def _autoreset(mode: str | AutoresetMode) -> AutoresetMode:
    if isinstance(mode, AutoresetMode):
        return mode
    if not isinstance(mode, str) or mode not in AUTORESET_MODES:
        raise ValueError(unknown("autoreset_mode", mode, AUTORESET_MODES, "an AutoresetMode of Gymnasium"))
    return AUTORESET_MODES[mode]


def _object_array(size: int) -> np.ndarray:
    return np.full(size, "", dtype=object)


def _object_array_of(values: list[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
