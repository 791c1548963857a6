"""TRL: a task as the reward function, the data set and the environment of `GRPOTrainer`.

    trainer = GRPOTrainer(model, reward_funcs=TaskReward(task), train_dataset=make_dataset(task), ...)

and over several turns, with one tool that the model calls:

    trainer = GRPOTrainer(
        model,
        reward_funcs=log_episodes,
        train_dataset=make_dataset(task, prompt="tools"),
        environment_factory=environment_factory(task),
        ...,
    )

Gains stay in the task: rows carry the request id. Nothing here imports TRL; `make_dataset` needs `datasets`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from rec_gym.loop.action_base import THINK
from rec_gym.loop.episode import Episode
from rec_gym.loop.prompts import Prompt
from rec_gym.loop.task import Task
from rec_gym.loop.turns import STOP

if TYPE_CHECKING:
    from datasets import Dataset

PROMPTS = ("messages", "text", "tools")
# Before TRL knew `get_reward` it would have offered it to the model as a tool; this is the version it was checked with.
LEAST_TRL = (1, 16)
NO_VARIANCE = "groups_without_variance"

Messages = list[dict[str, Any]]
Completion = str | Sequence[dict[str, Any]]
LogMetric = Callable[[str, float], None]
LogExtra = Callable[[str, list], None]


class TaskReward:
    """A reward function for `GRPOTrainer(reward_funcs=...)`: one call of `task.score` for a whole batch.

    It logs the mean of each measure, reward term and text statistic, the shares `parse_ok`, `clipped` and `scored`, and
    the share of groups whose rewards are all the same; and for each completion its request id, query and parse word. The
    keys are the same in every call. Thread-safe and picklable, as the task is. A trainer takes one of them.

    Args:
        task: of one turn; its split is that of the data set.
        name: what TRL logs the reward under; by default the task's id, else the reward's measure.

    Raises:
        ValueError: the task has several turns.
    """

    def __init__(self, task: Task, name: str = "") -> None:
        if task.turns.limit > 1:
            raise ValueError(
                f"the task has {task.turns.limit} turns: give environment_factory(task) to the trainer, or score single "
                "completions with task.replace(turns=1)"
            )
        self.task = task
        self.__name__ = name or task.name or str(task.reward.measure)

    def __repr__(self) -> str:
        return f"TaskReward({self.task!r})"

    def __call__(
        self,
        completions: Sequence[Completion],
        request_id: Sequence[str] | None = None,
        log_metric: LogMetric | None = None,
        log_extra: LogExtra | None = None,
        **columns: Any,
    ) -> list[float]:
        """The reward of each completion.

        Args:
            completions: n texts, or n lists of messages whose last one by the assistant counts.
            request_id: n ids: the data set's column of that name.
            log_metric: TRL's, called with a name and a number.
            log_extra: TRL's, called with a column and its n values.
            columns: what else TRL hands over; not looked at.

        Raises:
            ValueError: there are no request ids, or one lies outside the task's split.
            RecommenderError: the recommender failed; training stops, and no reward is made up.
        """
        if request_id is None:
            raise ValueError(
                "the rewards need the column request_id: make the data set with make_dataset(task), and leave "
                "GRPOConfig(remove_unused_columns=False) as it is"
            )
        outcomes = self.task.score(request_id, [completion_text(completion) for completion in completions])
        rewards = outcomes.rewards.tolist()
        _log(list(request_id), rewards, outcomes.columns(), log_metric, log_extra)
        return rewards


class SearchEnvironment:
    """One rollout of several turns; TRL makes an instance a rollout, and offers `search` to the model as a tool.

    A call of the tool is a turn of the task's episode. A reply without a call ends the episode as `<stop>` does; if
    nothing was ever searched, the rollout counts as a completion that does not parse. Made by `environment_factory`.

    Attributes:
        episode: what has happened so far; None before the first reset.
        turns: for each turn what an environment's info says of it, see `Outcomes.columns`.
        best: of the turn with the best reward, the first of equals; empty before the first turn.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.episode: Episode | None = None
        self.turns: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self._paid = 0.0
        self._failure: Exception | None = None

    def reset(self, request_id: str | None = None, **row: Any) -> None:
        """Starts an episode on the request of a row of the data set.

        Raises:
            ValueError: the row has no request id, or one of another split.
        """
        if request_id is None:
            raise ValueError("a row needs the column request_id; make the data set with make_dataset(task, 'tools')")
        [self.episode] = self._task.start([request_id])
        self.turns, self.best, self._paid, self._failure = [], {}, 0.0, None

    # The docstring is what the model reads of the tool, through its chat template.
    def search(self, query: str) -> str:
        """Search the shop and see the titles of the products that fit the query best.

        Args:
            query: What to search for.

        Returns:
            The titles, best first.
        """
        if self.episode is None:
            raise RuntimeError("there is no running episode; call reset() first")
        if not isinstance(query, str):
            raise TypeError(f"query is a text, not {type(query).__name__}")
        if self.episode.done or self._failure is not None:
            return "The search is over; this query was not searched."
        text = self._task.rows_of([self.episode])[0]["text"]
        try:
            turn = self._advance(self._task.action.compose(query, text))
        except Exception as error:
            # TRL would hand it to the model as the tool's answer and go on; get_reward raises it again.
            self._failure = error
            raise
        return self._answer(turn)

    def get_reward(self) -> float:
        """What the episode paid in all; ends it if it has not ended.

        Raises:
            RecommenderError: the recommender failed during the rollout; training stops, and no reward is made up.
        """
        if self.episode is None:
            raise RuntimeError("there is no running episode; call reset() first")
        if self._failure is not None:
            raise self._failure
        if not self.episode.turn:
            self._advance(THINK)  # nothing was asked: what no action format understands
        if not self.episode.done:
            self._advance(STOP)
        return self._paid

    def _advance(self, completion: str) -> dict[str, Any]:
        before = self.episode
        assert before is not None
        [after], outcomes, _ = self._task.advance([before], [completion])
        turn = {key: values[0] for key, values in outcomes.columns().items()}
        self.episode, self._paid = after, self._paid + float(outcomes.rewards[0])
        if after.last > before.best:
            self.best = turn
        if completion != STOP:
            self.turns.append(turn)
        return turn

    def _answer(self, turn: dict[str, Any]) -> str:
        """What the model sees of a search: its titles only, as the messages before it hold the rest."""
        assert self.episode is not None
        shown = self.episode.shown[-1] if self.episode.shown else ()
        lines = [f"{place}. {title}" for place, title in enumerate(self._task.dataset.catalog.titles(shown), 1)]
        if not turn["scored"]:
            lines = ["The query was not understood."]
        elif not lines and self._task.turns.limit > 1 and self._task.turns.feedback_k:
            lines = ["No results."]
        return "\n".join([*lines, "That was the last search."] if self.episode.done else lines)


def environment_factory(task: Task) -> partial[SearchEnvironment]:
    """A factory for `GRPOTrainer(environment_factory=...)`; picklable, and every environment has its own episode.

    Raises:
        ImportError: TRL is missing or too old.
        ValueError: the task puts candidates into order, which asks nothing.
    """
    if task.candidates is not None:
        raise ValueError("a task with candidates has nothing to search; train it with TaskReward(task)")
    install = "pip install 'rec-gym[train]' 'trl>={}.{}'".format(*LEAST_TRL)
    try:
        installed = version("trl")
    except PackageNotFoundError:
        raise ImportError(f"environments need TRL: {install}") from None
    if tuple(int(part) for part in installed.split(".")[:2]) < LEAST_TRL:
        raise ImportError(f"environments need a newer TRL than {installed}: {install}")
    return partial(SearchEnvironment, task)


def log_episodes(
    environments: Sequence[SearchEnvironment],
    log_metric: LogMetric | None = None,
    log_extra: LogExtra | None = None,
    **columns: Any,
) -> list[float]:
    """A reward function that pays nothing and logs what `TaskReward` logs, for rollouts in `SearchEnvironment`.

    Measures, terms and text statistics are those of a rollout's best turn, the shares of `parse_ok`, `clipped` and
    `scored` are over its turns, and `searches` counts the queries that parsed. The reward itself is the environment's.

    Args:
        environments: TRL's, one a rollout.
        log_metric: TRL's.
        log_extra: TRL's.
        columns: what else TRL hands over; not looked at.
    """
    rewards = [environment.get_reward() for environment in environments]
    rows = []
    for environment in environments:
        shares = {key: np.mean([turn[key] for turn in environment.turns]) for key in ("parse_ok", "clipped", "scored")}
        rows.append(environment.best | shares | {"searches": sum(turn["scored"] for turn in environment.turns)})
    names = [environment.episode.request_id for environment in environments if environment.episode is not None]
    _log(names, rewards, {key: [row[key] for row in rows] for key in rows[0]}, log_metric, log_extra)
    return [0.0] * len(environments)


class ToolPolicy:
    """A policy for `evaluate` that plays as a rollout in `SearchEnvironment` does, message by message.

    A call of the tool is the next query; of several calls in one message the first counts. A message without one ends
    the episode. Each request is played once in an evaluation.

    Args:
        task: the task that is evaluated.
        write: called with n lists of messages and the tools; returns n messages by the assistant, each a dict with
            `role`, `content` and perhaps `tool_calls`, as `trl.chat_template_utils.parse_response` makes them.
    """

    def __init__(self, task: Task, write: Callable[[list[Messages], list[Callable]], list[dict[str, Any]]]) -> None:
        self.task, self.write, self.make = task, write, environment_factory(task)
        self._with_tool = task.replace(prompt=_with_tool(task.prompt, task.turns.limit))
        self._talks: dict[str, tuple[SearchEnvironment, Messages]] = {}

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """The completion for each row: its next query in the task's action format, or `<stop>`.

        Raises:
            ValueError: a request stands there more than once.
        """
        texts = {row["request_id"]: row["text"] for row in rows}
        if len(texts) < len(rows):
            raise ValueError("each request is played once; evaluate with samples=1")
        for name in texts:
            if name not in self._talks:
                self._talks[name] = self.make(), self._with_tool.rows_of([Episode(name)])[0]["messages"]
                self._talks[name][0].reset(name)
        asking = [name for name in texts if self._talks[name][1][-1]["role"] != "assistant"]
        written = dict.fromkeys(texts, STOP)
        if asking:
            tools: list[Callable] = [self._talks[asking[0]][0].search]
            messages = self.write([self._talks[name][1] for name in asking], tools)
            for name, message in zip(asking, messages, strict=True):
                written[name] = self._read(*self._talks[name], message, texts[name])
        for name, completion in written.items():
            episode = self._talks[name][0].episode
            if completion == STOP or self.task.turns.limit == 1 or (episode is not None and episode.done):
                del self._talks[name]
        return list(written.values())

    def _read(self, environment: SearchEnvironment, talk: Messages, message: dict[str, Any], text: str) -> str:
        """The completion that a message stands for; the talk goes on with the message and the tool's answer."""
        calls = message.get("tool_calls") or [{}]
        function = calls[0].get("function", {})
        arguments = function.get("arguments")
        query = arguments.get("query") if isinstance(arguments, Mapping) and function.get("name") == "search" else None
        if not isinstance(query, str):
            talk.append({"role": "assistant", "content": message.get("content", "")})
            return STOP if environment.turns else THINK
        answer = environment.search(query)
        talk += [message | {"tool_calls": calls[:1]}, {"role": "tool", "name": "search", "content": answer}]
        return self.task.action.compose(query, text)


def make_dataset(task: Task, prompt: str = "messages") -> Dataset:
    """The requests of a task's split as a data set with columns `prompt`, `request_id`, `text` and `domain`.

    Args:
        task: its split; gains stay in it.
        prompt: `"messages"` for chat messages, to which the trainer applies the model's chat template and gives back
            completions as messages; `"text"` for one text; `"tools"` for messages that say to use the tool `search`.

    Raises:
        ImportError: `datasets` is missing.
        ValueError: another prompt.
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt is one of {', '.join(PROMPTS)}, not {prompt!r}")
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError("make_dataset needs Hugging Face's datasets: pip install 'rec-gym[train]'") from error
    if prompt == "tools":
        task = task.replace(prompt=_with_tool(task.prompt, task.turns.limit))
    key = "prompt" if prompt == "text" else "messages"
    rows = task.rows()
    return Dataset.from_list(
        [{"prompt": row[key]} | {k: row[k] for k in ("request_id", "text", "domain")} for row in rows]
    )


def completion_text(completion: Completion) -> str:
    """What the assistant wrote: the text itself, or the content of its last message.

    Raises:
        ValueError: a list of messages without one by the assistant.
    """
    if isinstance(completion, str):
        return completion
    said = [message for message in completion if message.get("role") == "assistant"]
    if not said:
        raise ValueError(f"a completion holds no message by the assistant: {list(completion)!r}")
    content = said[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _with_tool(prompt: Prompt, limit: int) -> Prompt:
    """The prompt with the tool in place of the action format's instruction."""
    often = "once" if limit == 1 else f"up to {limit} times"
    says = f"Call the tool search to ask the engine, {often}. Reply without a call when nothing better is to be found."
    user = prompt.user if "{instruction}" in prompt.user else f"{prompt.user}\n{{instruction}}"
    return replace(prompt, user=user.replace("{instruction}", says))


def _log(
    request_ids: list[str],
    rewards: list[float],
    outcomes: Mapping[str, Sequence[Any] | np.ndarray],
    log_metric: LogMetric | None,
    log_extra: LogExtra | None,
) -> None:
    """Means of all numbers through `log_metric`; request id, query and parse word through `log_extra`."""
    texts = ("query", "parse")
    if log_metric is not None:
        for key, values in outcomes.items():
            if key not in texts:
                log_metric(key, float(np.mean(values)))
        log_metric(NO_VARIANCE, _share_without_variance(request_ids, rewards))
    if log_extra is not None:
        log_extra("request_id", request_ids)
        for key in texts:
            log_extra(key, list(outcomes[key]))


def _share_without_variance(request_ids: list[str], rewards: list[float]) -> float:
    """The share of requests whose completions all earned the same, from which GRPO learns nothing."""
    earned: dict[str, set[float]] = {}
    for name, reward in zip(request_ids, rewards, strict=True):
        earned.setdefault(name, set()).add(reward)
    return float(np.mean([len(values) == 1 for values in earned.values()]))
