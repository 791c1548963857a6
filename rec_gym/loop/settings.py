"""Everything that makes a task, as plain data: what results and exports keep, and what a task is rebuilt from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rec_gym._version import __version__
from rec_gym.loop.actions import ACTIONS, ActionFormat
from rec_gym.loop.rewards import TRANSFORMS, Reward, Term, Transform
from rec_gym.measures import Measure
from rec_gym.tables import read_fields

if TYPE_CHECKING:
    from rec_gym.loop.task import Task

OBJECT = "object"  # the key of a table that stands for an object which was handed over in Python

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What a task was made of beside its own arguments.

    Attributes:
        loader: of the dataset; empty where an object was handed over.
        options: of the loader; `data_dir` is an absolute path.
        recommender: its name and settings.
        protocol: the name; empty for none.
        card: `path`, `sha256` and `text`; empty for a task without a card.
    """

    loader: str = ""
    options: Table = field(default_factory=dict)
    recommender: Table = field(default_factory=dict)
    protocol: str = ""
    card: Table = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSettings:
    """Everything that makes a task; `rec_gym.make_task(settings)` rebuilds it, without the card.

    Attributes:
        id: the registered id; empty for a task that was not made from one.
        version: of the package that wrote this.
        loader: `package.module:function` of the dataset.
        options: of the loader.
        recommender: a table with its name and settings.
        split: the requests.
        reward: a table with the measure, transforms, terms and what is paid for a completion that does not parse.
        measures: further measures.
        cutoffs: `{split: k}` for the reward's measure; those of the split are in `reward` already.
        action: a table with the name and the options of the action format.
        candidates: a table, or None.
        prompt: the templates.
        observation: `"request"` or `"prompt"`.
        turns: completions in an episode, at most.
        turn_reward: what a turn pays.
        feedback_k: titles that the policy sees of each earlier ranking.
        exclude_history: whether items of a request's history are left out of its ranking.
        protocol: the protocol that some of these come from; empty for none.
        card: `path`, `sha256` and `text`; empty without a card.

    What was handed over as an object is stated as `{"object": "its repr"}`.
    """

    loader: str
    options: Table
    recommender: Table
    split: str
    reward: Table
    measures: Sequence[str]
    cutoffs: Mapping[str, int] | None
    action: Table
    candidates: Table | None
    prompt: Table
    observation: str
    turns: int
    turn_reward: str
    feedback_k: int
    exclude_history: bool
    id: str = ""
    version: str = __version__
    protocol: str = ""
    card: Table = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: Table) -> TaskSettings:
        """Settings from what `as_table` gave, or from its JSON read again.

        Raises:
            ValueError: a key is unknown or missing, or a value is of the wrong type.
        """
        return read_fields(table, cls, "the settings of a task")

    def as_table(self) -> dict[str, Any]:
        """The settings as plain data, ready for JSON."""
        return json.loads(json.dumps(asdict(self)))

    def objects(self) -> dict[str, str]:
        """What was handed over as an object, and is no data: `{setting: its repr}`; such a task cannot be rebuilt."""
        return dict(_objects("", self.as_table()))

    def arguments(self) -> dict[str, Any]:
        """The keywords of `Task` beside its dataset and recommender."""
        names = [slot.name for slot in fields(self) if slot.name not in _NOT_OF_TASK]
        return {**{name: getattr(self, name) for name in names}, "name": self.id}


_NOT_OF_TASK = ("id", "version", "loader", "options", "recommender", "protocol", "card")


def settings_of(task: Task) -> TaskSettings:
    """The settings of a task, whole."""
    origin = task.origin
    asked_for = [measure for measure in task.measures if measure not in task.reward.measures]
    return TaskSettings(
        id=task.name,
        loader=origin.loader,
        options=origin.options if origin.loader else {OBJECT: repr(task.dataset)},
        recommender=origin.recommender or {OBJECT: repr(task.recommender)},
        protocol=origin.protocol,
        card=origin.card,
        split=task.split,
        reward=reward_table(task.reward),
        measures=[str(measure) for measure in asked_for],
        cutoffs=task.cutoffs,
        action=action_table(task.action),
        candidates=None if task.candidates is None else asdict(task.candidates.settings),
        prompt=asdict(task.prompt),
        observation=task.observation,
        turns=task.turns.limit,
        turn_reward=task.turns.reward,
        feedback_k=task.turns.feedback_k,
        exclude_history=task.exclude_history,
    )


def action_table(action: ActionFormat) -> dict[str, Any]:
    """An action format as `make_action` reads it."""
    return _named(ACTIONS.name_of, action)


def reward_table(reward: Reward) -> dict[str, Any]:
    """A reward as `make_reward` reads it."""
    return {
        "measure": str(reward.measure),
        "transforms": [_transform_table(step) for step in reward.transforms],
        # A list, since they are summed in their order, and writers of JSON may sort the keys of a table.
        "terms": [_term_table(term) for term in reward.terms],
        "unparsed": reward.unparsed,
    }


def _transform_table(step: Transform) -> dict[str, Any]:
    return _named(TRANSFORMS.name_of, step)


def _term_table(term: Term) -> dict[str, Any]:
    known = ("weight", "max", "only_if_positive", "only_if_improved")
    return {"name": term.name, **{key: getattr(term, key) for key in known}, **term.options}


def _named(name_of: Any, instance: Any) -> dict[str, Any]:
    """The name of an object's class, and its fields; what cannot be named in data is stated as an object."""
    try:
        name = name_of(type(instance))
    except ValueError:
        return {OBJECT: repr(instance)}
    options = {slot.name: getattr(instance, slot.name) for slot in fields(instance) if slot.init}
    plain = {key: str(value) if isinstance(value, Measure) else value for key, value in options.items()}
    return {"name": name, **{key: value for key, value in plain.items() if value is not None}}


def _objects(where: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        if set(value) == {OBJECT}:
            return [(where, value[OBJECT])]
        return [pair for key, inner in value.items() for pair in _objects(f"{where}.{key}".strip("."), inner)]
    if isinstance(value, str) and value.startswith("__main__:"):
        return [(where, value)]  # a script's own code, which no other process can import
    if isinstance(value, list):
        return [pair for number, inner in enumerate(value) for pair in _objects(f"{where}[{number}]", inner)]
    return []
