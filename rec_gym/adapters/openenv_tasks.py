"""OpenEnv, what all sessions of a server share: its tasks, and which request a reset names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.utils import seeding

from rec_gym.dataset import ALL
from rec_gym.env import make_sampler
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.serving.gather import Gather
from rec_gym.tables import unknown

# The groups of an outcome's columns, and the fields of an observation that hold them.
_GROUPS = {"measure": "measures", "term": "terms", "text": "text_stats"}
_SCORES = ("measures", "terms")


class ClientError(ValueError):
    """A client's request is invalid; the client gets the message, and its session continues."""


class SharedTasks:
    """The tasks of a server, one per split; they share one recommender, and all sessions share them.

    Args:
        task: the task of the default split.
        scores_each_turn: whether observations hold measures and terms before the episode ends.
    """

    def __init__(self, task: Task, scores_each_turn: bool = False) -> None:
        self.default, self.scores_each_turn = task.split, scores_each_turn
        self.splits = task.dataset.splits + ((ALL,) if task.split == ALL else ())
        self._task = task
        self._gatherers = {task.split: Gather(task)}
        self._blanks: dict[str, dict[str, dict[str, float]]] = {}

    def __repr__(self) -> str:
        return repr(self._task)

    def of(self, split: str | None) -> Task:
        """The task of a split, made on first use.

        Raises:
            ClientError: unknown split.
        """
        return self.gather(split).task

    def gather(self, split: str | None) -> Gather:
        """What gathers the steps of all sessions that play a split; None is the default split.

        Raises:
            ClientError: unknown split.
        """
        split = self.default if split is None else split
        if split not in self.splits:
            raise ClientError(unknown("split", split, self.splits))
        if split not in self._gatherers:
            # Two sessions may get here at once, and must then share one.
            self._gatherers.setdefault(split, Gather(self._task.replace(split=split)))
        return self._gatherers[split]

    def groups(self, columns: Mapping[str, Any], done: bool) -> dict[str, dict[str, float]]:
        """The measures, terms and text statistics of an observation.

        A client may pass the whole observation to its policy, so it has no score that the policy could still exploit:
        measures and terms are empty until the episode ends.
        """
        groups = _groups(columns)
        return groups if done or self.scores_each_turn else groups | {field: {} for field in _SCORES}

    def is_ready(self, split: str) -> bool:
        """Whether the task of a split has been made and has searched once."""
        return split in self._blanks

    def blank(self, split: str) -> dict[str, dict[str, float]]:
        """The value of `groups` for an episode that has just begun: every number is 0."""
        if split not in self._blanks:
            task = self.of(split)
            [text] = task.observe(task.start(task.request_ids[:1]))
            columns = task.score(task.request_ids[:1], [text]).columns()
            self._blanks[split] = self.groups(dict.fromkeys(columns, 0.0), done=False)
        return {field: dict(group) for field, group in self._blanks[split].items()}


class RequestOrder:
    """The requests of a split one after another, in the order of `RecommenderEnv`."""

    def __init__(self, task: Task) -> None:
        self._task, self._count = task, 0
        self._sampler: RequestSampler | None = None

    def start_over(self, seed: int | None) -> None:
        """Begins the order of a seed; without one, a random order if there is none yet.

        Raises:
            gymnasium.error.Error: the seed is invalid.
        """
        if seed is not None or self._sampler is None:
            _, drawn = seeding.np_random(seed)
            self._sampler, self._count = make_sampler(self._task, drawn), 0

    def next(self) -> str:
        """The id of the next request."""
        assert self._sampler is not None
        place = self._sampler.at(0, self._count)
        self._count += 1
        return self._task.request_ids[place]


def named_request(task: Task, request_id: Any, index: Any) -> str | None:
    """The request that a reset names, or None; a client may send values of any type."""
    if request_id is not None and index is not None:
        raise ClientError("name the request of a reset by request_id or by index, not by both")
    if request_id is not None:
        if not isinstance(request_id, str):
            raise ClientError(f"request_id is a text, not {request_id!r}")
        try:
            [episode] = task.start([request_id])
        except KeyError as error:
            raise ClientError(str(error.args[0])) from error
        except ValueError as error:
            raise ClientError(f"request {request_id!r} is not in split {task.split!r}; name its split too") from error
        return episode.request_id
    if index is None:
        return None
    if type(index) is not int or not 0 <= index < len(task):
        raise ClientError(f"index is a whole number from 0 to {len(task) - 1:,} in split {task.split!r}, not {index!r}")
    return task.request_ids[index]


def _groups(columns: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The columns named `measure/...`, `term/...` and `text/...` as the fields of an observation."""
    groups: dict[str, dict[str, float]] = {field: {} for field in _GROUPS.values()}
    for key, value in columns.items():
        kind, slash, name = key.partition("/")
        if slash:
            groups[_GROUPS[kind]][name] = float(value)
    return groups
