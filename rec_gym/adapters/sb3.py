"""Stable-Baselines3: a vectorised environment of query edits, networks for it, and a trained model as a policy.

`make_sb3_env` makes the environment, `WordSlotsPolicy` and `MaskableWordSlotsPolicy` are networks for it, and `SB3Policy` lets
`evaluate` play a trained model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    from sb3_contrib import TRPO, MaskablePPO
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError("this adapter needs Stable-Baselines3 and its contrib: pip install 'rec-gym[sb3]'") from error

from rec_gym.adapters.query_edits import QueryEdits, check_fits, observed, reads, request_texts
from rec_gym.adapters.sb3_networks import MaskableWordSlotsPolicy, WordSlotsPolicy
from rec_gym.cache import atomic_path, write_json
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.policies import make_policy
from rec_gym.vector_env import RecommenderVectorEnv

__all__ = [
    "MaskableWordSlotsPolicy",
    "QueryEditVecEnv",
    "SB3Policy",
    "WordSlotsPolicy",
    "load_policy",
    "make_sb3_env",
]

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {kind.__name__: kind for kind in (PPO, MaskablePPO, A2C, TRPO, DQN)}
BASELINES = (None, "raw")
_MODEL, _WORDS = "model.zip", "words.json"


class QueryEditVecEnv(VecEnv):
    """Environments ("members") that run side by side in one process: one index, one recommender call per step.

    The infos of a step hold what the task's own environments report, `reward` (the task's own), `TimeLimit.truncated` (never
    true) and, for members that ended, `terminal_observation` and `episode`. `episode`, from which SB3 logs
    `rollout/ep_rew_mean`, always uses the task's own rewards, as if each member were wrapped in `Monitor`.

    Args:
        task: what scores them. A task of several turns is observed as its rendered prompt, which shows the earlier turns.
        edits: how texts become numbers, and actions become words.
        num_envs: members.
        group_size: adjacent members that get the same request.
        baseline: `"raw"` pays the gain over the request's own text; None pays the task's reward.
        render_mode: `"ansi"` or None.

    Raises:
        ValueError: an unknown baseline, or a task whose completions are not words. See also `RecommenderVectorEnv`.
    """

    def __init__(
        self,
        task: Task,
        edits: QueryEdits | None = None,
        num_envs: int = 512,
        group_size: int = 1,
        baseline: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        if baseline not in BASELINES:
            raise ValueError(f"baseline is None or 'raw', not {baseline!r}")
        self.edits = edits or QueryEdits()
        self.task = observed(task)
        self.baseline, self.render_mode = baseline, render_mode
        self._envs = RecommenderVectorEnv(self.task, num_envs, group_size, render_mode=render_mode)
        self._raw = make_policy("raw", self.task)
        self._raw_rewards: dict[str, float] = {}
        self._actions = np.zeros(num_envs if self.edits.discrete else (num_envs, self.edits.slots), np.int64)
        self._requests: list[str] = []
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._start = time.time()
        super().__init__(num_envs, self.edits.observation_space, self.edits.action_space)

    def reset(self) -> np.ndarray:
        """Starts an episode in every member; float32 [num_envs, buckets].

        The first member's seed (`seed`) seeds all of them. Options (`set_options`) may name requests:
        `{"request_id": ...}` for each member.

        Raises:
            ValueError: another option, or requests for only some members.
        """
        texts, infos = self._envs.reset(seed=self._seeds[0], options=self._reset_option())
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        return self._observe(texts, infos)

    def step_async(self, actions: np.ndarray) -> None:
        """Takes one action for each member, whole numbers [num_envs, slots], or [num_envs] if they are discrete."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Scores the actions; members that ended have started their next episode.

        Returns:
            Observations float32 [num_envs, buckets], rewards float32 [num_envs], ends bool [num_envs], and one info per member.

        Raises:
            ValueError: not reset, or the number of actions is not that of members.
        """
        written = self.edits.texts(self._actions)
        if len(written) != len(self._requests):
            raise ValueError(
                f"step needs one action for each of the {self.num_envs} members, and a reset() before the first"
            )
        compose = self.task.action.compose
        completions = [compose(text, request) for text, request in zip(written, self._requests, strict=True)]
        texts, rewards, done, _, infos = self._envs.step(completions)
        outcomes = self._envs.last_outcome
        assert outcomes is not None
        turns = np.where(done, infos["final_info"]["turn"], infos["turn"])
        paid = rewards - self._baselines(outcomes.request_ids) * (turns == 1)
        self._returns += rewards
        self._lengths += 1
        infos_by_member = self._infos(outcomes, turns, rewards, done, infos["final_obs"])
        self._returns[done], self._lengths[done] = 0.0, 0
        return self._observe(texts, infos, done), paid.astype(np.float32), done, infos_by_member

    def action_masks(self) -> np.ndarray:
        """The choices that each member has now, bool [num_envs, slots * (vocabulary + 1)]; see `QueryEdits.masks`."""
        return self.edits.masks(self._requests)

    def close(self) -> None:
        """Does nothing: no resources are held."""
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, repeated for each member: they share it."""
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of all members.

        Raises:
            ValueError: only some members are named.
        """
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError(f"members share their attributes: set {attr_name!r} for all of them, without indices")
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """`action_masks` or `render` of each member.

        Raises:
            AttributeError: another method.
        """
        methods = {"action_masks": self.action_masks, "render": self._envs.render}
        if method_name not in methods:
            raise AttributeError(f"members have no method {method_name!r}; choose from: {', '.join(methods)}")
        values = methods[method_name](*method_args, **method_kwargs)
        return [None if values is None else values[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """False for all wrappers except `Monitor`, whose work is done here."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _reset_option(self) -> dict[str, Any] | None:
        if not any(self._options):
            return None
        wrong = next((options for options in self._options if set(options) != {"request_id"}), None)
        if wrong is not None:
            raise ValueError(f"options must be {{'request_id': ...}} for every member, or for none; one has {wrong}")
        return {"request_ids": [options["request_id"] for options in self._options]}

    def _observe(self, texts: Sequence[str], infos: dict[str, Any], started: np.ndarray | None = None) -> np.ndarray:
        """The members' current observations, as vectors; `started` marks those with a new episode, by default all."""
        ids, turns = infos["request_id"].tolist(), infos["turn"].tolist()
        for i in range(self.num_envs) if started is None else np.flatnonzero(started):
            self.reset_infos[i] = {"request_id": ids[i], "turn": turns[i]}
        self._requests = list(texts) if reads(self.task) == "text" else request_texts(self.task, ids)
        return self.edits.vectors(texts)

    def _baselines(self, request_ids: list[str]) -> np.ndarray:
        """What is subtracted from the reward of an episode's first turn, float64 [num_envs]."""
        if self.baseline is None:
            return np.zeros(len(request_ids))
        new = list(dict.fromkeys(name for name in request_ids if name not in self._raw_rewards))
        if new:
            rewards = self.task.score(new, self._raw(self.task.rows_of(self.task.start(new)))).rewards
            self._raw_rewards.update(zip(new, rewards.tolist(), strict=True))
        return np.array([self._raw_rewards[name] for name in request_ids])

    def _infos(
        self, outcomes: Outcomes, turns: np.ndarray, rewards: np.ndarray, done: np.ndarray, final: np.ndarray
    ) -> list[dict[str, Any]]:
        """One dict per member; nothing in them is shared with the environment."""
        columns = {
            "request_id": outcomes.request_ids,
            "turn": turns.tolist(),
            "reward": rewards.tolist(),
            **{key: values.tolist() for key, values in outcomes.columns().items()},
            "TimeLimit.truncated": [False] * self.num_envs,
        }
        infos: list[dict[str, Any]] = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        ended = np.flatnonzero(done)
        passed = round(time.time() - self._start, 6)
        for i, vector in zip(ended.tolist(), self.edits.vectors(final[ended].tolist()), strict=True):
            infos[i]["terminal_observation"] = vector
            infos[i]["episode"] = {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": passed}
        return infos


def make_sb3_env(
    task_id: str,
    num_envs: int = 512,
    *,
    vocabulary: Sequence[str] | None = None,
    slots: int = 8,
    buckets: int = 4096,
    discrete: bool = False,
    group_size: int = 1,
    baseline: str | None = None,
    render_mode: str | None = None,
    **overrides: Any,
) -> QueryEditVecEnv:
    """A registered environment for Stable-Baselines3.

    Args:
        task_id: a registered id.
        num_envs: members.
        vocabulary: see `QueryEdits`, as for `slots`, `buckets` and `discrete`.
        slots: words in a completion, at most.
        buckets: length of an observation.
        discrete: with one slot, actions are single numbers, as DQN needs them.
        group_size: see `QueryEditVecEnv`, as for `baseline` and `render_mode`.
        baseline: `"raw"` pays the gain over the request's own text.
        render_mode: `"ansi"` or None.
        overrides: of the card, see `rec_gym.make_task`, such as `action="append"`, which keeps the request in the query.
    """
    edits = QueryEdits(vocabulary, slots, buckets, discrete)
    return QueryEditVecEnv(make_task(task_id, **overrides), edits, num_envs, group_size, baseline, render_mode)


class SB3Policy:
    """A trained model as a policy of this package: rows in, completions out.

    Args:
        model: of any SB3 algorithm with the same spaces; `save` supports those in `ALGORITHMS`.
        edits: what it was trained with: `env.edits`.
        task: the task whose rows it answers: `env.task`.
        deterministic: whether to take the likeliest words; False draws them.
        row_entry: which entry of the rows it reads, `"text"` or `"prompt"`; by default what the task's environment shows.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        edits: QueryEdits,
        task: Task,
        *,
        deterministic: bool = True,
        row_entry: str | None = None,
    ) -> None:
        check_fits(task)
        self.model, self.edits, self.task, self.deterministic = model, edits, task, deterministic
        self.row_entry = row_entry or reads(task)

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """The completions for `rows`."""
        requests = [row["text"] for row in rows]
        vectors = self.edits.vectors([row[self.row_entry] for row in rows])
        masks: dict[str, Any] = (
            {"action_masks": self.edits.masks(requests)} if isinstance(self.model, MaskablePPO) else {}
        )
        actions, _ = self.model.predict(vectors, deterministic=self.deterministic, **masks)
        written = self.edits.texts(actions)
        return [self.task.action.compose(text, request) for text, request in zip(written, requests, strict=True)]

    def save(self, folder: Path | str) -> None:
        """Writes the model and its vocabulary into a folder, atomically; `load_policy` reads it.

        Raises:
            ValueError: `load_policy` does not support the model's algorithm.
        """
        algorithm = type(self.model).__name__
        if algorithm not in ALGORITHMS:
            raise ValueError(f"{algorithm} cannot be saved as a policy; choose from: {', '.join(ALGORITHMS)}")
        settings = {"algorithm": algorithm, "row_entry": self.row_entry, "edits": self.edits.settings}
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            # The members' observations are useless to a policy, and as large as the model.
            self.model.save(temporary / _MODEL, exclude=["_last_obs", "_last_original_obs", "_last_episode_starts"])
            write_json(temporary / _WORDS, settings)


def load_policy(folder: Path | str, task: Task) -> SB3Policy:
    """A policy that `SB3Policy.save` wrote; also for `rec-gym evaluate --policy rec_gym.adapters.sb3:load_policy:FOLDER`.

    SB3 unpickles what it loads: load only what you trust.

    Raises:
        FileNotFoundError: the folder does not hold such a policy.
    """
    folder = Path(folder)
    if not (folder / _WORDS).is_file():
        raise FileNotFoundError(f"{folder} does not hold a policy from SB3Policy.save ({_WORDS} is missing)")
    settings = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
    model = ALGORITHMS[settings["algorithm"]].load(folder / _MODEL, device="cpu")
    return SB3Policy(model, QueryEdits(**settings["edits"]), task, row_entry=settings["row_entry"])
