"""TRL over several turns: an environment with one tool that the model calls, and the same conversation in an evaluation.

Import from `rec_gym.adapters.trl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from rec_gym.loop.actions.base import STOPPED
from rec_gym.loop.actions.tags import THINK
from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.prompts import Prompt
from rec_gym.loop.task import Task
from rec_gym.loop.turns import STOP
from rec_gym.serving.gather import Gather

# Older versions of TRL do not know `get_reward` and would offer it to the model as a tool; checked with this one.
LEAST_TRL = (1, 16)
NO_VARIANCE = "groups_without_variance"
# Default number of messages with calls in a conversation, beyond one per turn: otherwise a model that repeats a failing
# call would never end.
SPARE_MESSAGES = 8

Messages = list[dict[str, Any]]
LogMetric = Callable[[str, float], None]
LogExtra = Callable[[str, list], None]


class SearchEnvironment:
    """One rollout of several turns; TRL makes one instance per rollout, and offers `search` to the model as a tool.

    A call of the tool is a turn of the task's episode. A reply without a call ends the episode as `<stop>` does; if
    nothing was ever searched, the rollout counts as a completion that does not parse. Created by `environment_factory`.

    Args:
        task: the task, or what gathers the searches of all environments that share it.

    Attributes:
        episode: what has happened so far; None before the first reset.
        turns: the outcome of each of `completions`, see `Outcomes.columns`.
        best: the outcome of the turn with the best reward, the first of equals; empty before the first turn.
        completions: each turn as a completion in the task's action format, including `<stop>`.
    """

    def __init__(self, task: Task | Gather) -> None:
        self._gather = task if isinstance(task, Gather) else Gather(task)
        self._task = self._gather.task
        self.episode: Episode | None = None
        self.turns: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.completions: list[str] = []
        self._paid = 0.0
        self._failure: Exception | None = None

    def reset(self, request_id: str | None = None, **row: Any) -> None:
        """Starts an episode on the request of a data set row.

        Raises:
            ValueError: the row has no request id, or one from another split.
        """
        if request_id is None:
            raise ValueError("a row needs the column request_id; make the data set with make_dataset(task, 'tools')")
        [self.episode] = self._task.start([request_id])
        self.turns, self.best, self.completions = [], {}, []
        self._paid, self._failure = 0.0, None

    # The model reads this docstring through its chat template.
    def search(self, query: str) -> str:
        """Search the shop and get the titles of the products that match the query best.

        Args:
            query: The search query.

        Returns:
            The titles, best first.
        """
        if self.episode is None:
            raise RuntimeError("there is no running episode; call reset() first")
        if not isinstance(query, str):
            raise TypeError(f"query is a text, not {type(query).__name__}")
        if self.episode.done or self._failure is not None:
            return "The search is over; this query was not run."
        text = self._task.rows_of([self.episode])[0]["text"]
        try:
            turn = self._advance(self._task.action.compose(query, text))
        except Exception as error:
            # TRL would pass it to the model as the tool's answer and continue; get_reward raises it again.
            self._failure = error
            raise
        return self._answer(turn)

    def get_reward(self) -> float:
        """The total reward of the episode; ends it if it has not ended.

        Raises:
            RecommenderError: the recommender failed during the rollout; training stops, and no reward is invented.
        """
        if self.episode is None:
            raise RuntimeError("there is no running episode; call reset() first")
        if self._failure is not None:
            raise self._failure
        if not self.episode.turn:
            self._advance(THINK)  # nothing was asked: no action format parses this
        if not self.episode.done:
            self._advance(STOP)
        return self._paid

    def _advance(self, completion: str) -> dict[str, Any]:
        before = self.episode
        assert before is not None
        advanced = self._gather.advance_one(before, completion)
        self.completions.append(completion)
        turn: dict[str, Any] = advanced.outcome.columns()
        self.episode, self._paid = advanced.episode, self._paid + advanced.outcome.reward
        if self.episode.last > before.best:
            self.best = turn
        self.turns.append(turn)
        return turn

    def _answer(self, turn: dict[str, Any]) -> str:
        """What the model sees of a search: only its titles, as earlier messages hold the rest."""
        assert self.episode is not None
        shown = self.episode.shown[-1] if self.episode.shown else ()
        lines = [f"{place}. {title}" for place, title in enumerate(self._task.dataset.catalog.titles(shown), 1)]
        if not turn["scored"]:
            lines = ["The query could not be parsed."]
        elif not lines and self._task.turns.limit > 1 and self._task.turns.feedback_k:
            lines = ["No results."]
        return "\n".join([*lines, "That was the last search."] if self.episode.done else lines)


def environment_factory(task: Task) -> partial[SearchEnvironment]:
    """A factory for `GRPOTrainer(environment_factory=...)`; picklable, and every environment has its own episode.

    Where a trainer calls tools from threads, as `AsyncGRPOTrainer` does, searches at the same time are one call of the
    recommender.

    Raises:
        ImportError: TRL is missing or too old.
        ValueError: the task orders candidates, so there is nothing to search.
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
    return partial(SearchEnvironment, Gather(task))


def log_episodes(
    environments: Sequence[SearchEnvironment],
    log_metric: LogMetric | None = None,
    log_extra: LogExtra | None = None,
    **columns: Any,
) -> list[float]:
    """A reward function that pays nothing and logs what `TaskReward` logs, for rollouts in `SearchEnvironment`.

    Measures, terms and text statistics are those of a rollout's best turn. `parse_ok` and `clipped` are shares of its
    completions, and a reply without a call counts as one, `<stop>`, as in `evaluate`: a rollout that never searches has
    one completion that does not parse and one that does, which makes 0.5. `scored` is the share of searches that were
    scored, and `searches` counts the queries that parsed. The reward itself comes from the environment.

    Args:
        environments: TRL's, one per rollout.
        log_metric: TRL's.
        log_extra: TRL's.
        columns: further arguments of TRL; ignored.
    """
    rewards = [environment.get_reward() for environment in environments]
    rows = []
    for environment in environments:
        shares = {key: np.mean([turn[key] for turn in environment.turns]) for key in ("parse_ok", "clipped")}
        scored = [turn["scored"] for turn in environment.turns if turn["parse"] != STOPPED.parse]
        rows.append(environment.best | shares | {"scored": np.mean(scored), "searches": sum(scored)})
    names = [environment.episode.request_id for environment in environments if environment.episode is not None]
    log_outcomes(names, rewards, {key: [row[key] for row in rows] for key in rows[0]}, log_metric, log_extra)
    return [0.0] * len(environments)


class ToolPolicy:
    """A policy for `evaluate` that plays as `GRPOTrainer` rolls out a `SearchEnvironment`, message by message.

    The calls of a message are executed one after another, each as a turn of the task. A call that fails (another tool, other
    arguments, a query that is not text) is answered with the error and costs no turn. Then the model is asked again. A
    message without calls ends the episode. To keep to a token limit as TRL does, `write` cuts the message that exceeds it, and
    returns an empty message if the tool's answers no longer fit: earlier searches count.

    Each request is played once per evaluation; after an interrupted one, make a new policy.

    Args:
        task: the task that is evaluated; with the split `all`, it serves the evaluation of every split.
        write: called with n lists of messages and the tools; returns n messages by the assistant, each a dict with
            `role`, `content` and perhaps `tool_calls`, as `trl.chat_template_utils.parse_response` returns them. They stay
            in the list unchanged, with any further keys.
        iterations: messages of one conversation whose calls are executed, at most: the counterpart of
            `GRPOConfig(max_tool_calling_iterations=...)`. By default 8 more than the task's turns; TRL limits only the
            tokens.

    Raises:
        ImportError: TRL is missing or too old.
        ValueError: the task orders candidates, or `iterations` is below 1.
    """

    def __init__(
        self,
        task: Task,
        write: Callable[[list[Messages], list[Callable]], list[dict[str, Any]]],
        iterations: int | None = None,
    ) -> None:
        if iterations is not None and iterations < 1:
            raise ValueError(f"iterations must be at least 1, not {iterations}")
        self.task, self.write, self.make = task, write, environment_factory(task)
        self.iterations = task.turns.limit + SPARE_MESSAGES if iterations is None else iterations
        self._with_tool = task.replace(prompt=with_tool(task.prompt, task.turns.limit))
        self._talks: dict[str, _Talk] = {}

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """The completion for each row: its next query in the task's action format, or `<stop>`.

        Raises:
            ValueError: a request appears more than once.
            RecommenderError: the recommender failed, see `SearchEnvironment.get_reward`.
        """
        names = [row["request_id"] for row in rows]
        if len(set(names)) < len(names):
            raise ValueError("each request is played once; evaluate with samples=1")
        for name in names:
            if name not in self._talks:
                self._talks[name] = self._start(name)
        talks = [self._talks[name] for name in names]
        while asking := [talk for talk in talks if talk.is_asked]:
            messages = self.write([talk.messages for talk in asking], [asking[0].environment.search])
            for talk, message in zip(asking, messages, strict=True):
                talk.hear(message, self.iterations)
        completions = [talk.next_completion() for talk in talks]
        for name, talk in zip(names, talks, strict=True):
            if talk.is_over:
                del self._talks[name]
        return completions

    def _start(self, request_id: str) -> _Talk:
        environment = self.make()
        environment.reset(request_id)
        return _Talk(environment, self._with_tool.rows_of([Episode(request_id)])[0]["messages"])


@dataclass(eq=False)
class _Talk:
    """A conversation that may be ahead of the evaluation: the completions of its environment are handed out one by one.

    Attributes:
        environment: executes the calls.
        messages: all so far.
        returned: completions handed out so far.
        heard: messages of the model.
    """

    environment: SearchEnvironment
    messages: Messages
    returned: int = 0
    heard: int = 0

    @property
    def is_asked(self) -> bool:
        """Whether the model must write before there is another completion."""
        return self.returned == len(self.environment.completions)

    @property
    def is_over(self) -> bool:
        episode = self.environment.episode
        return self.is_asked and episode is not None and episode.done

    def next_completion(self) -> str:
        self.returned += 1
        return self.environment.completions[self.returned - 1]

    def hear(self, message: dict[str, Any], limit: int) -> None:
        """Takes the model's message and executes its calls; the last one ends the episode."""
        calls = message.get("tool_calls") or []
        self.messages.append(message)
        self.messages += [self._execute(call) for call in calls]
        self.heard += 1
        if not calls or self.heard >= limit:
            self.environment.get_reward()

    def _execute(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's message, exactly as TRL's `GRPOTrainer._tool_call_loop` writes it."""
        if call["type"] != "function":
            error = {"error": f"Unsupported tool call type: {call['type']}"}
            return {"role": "tool", "name": call.get("name", "unknown"), "content": str(error)}
        name = call["function"]["name"]
        try:
            if name != self.environment.search.__name__:
                raise ValueError(f"Tool {name} not found.")
            content = self.environment.search(**call["function"]["arguments"])
        except Exception as error:  # the recommender's error is raised again at the end of the conversation
            content = str({"error": str(error)})
        return {"role": "tool", "name": name, "content": content}


def with_tool(prompt: Prompt, limit: int) -> Prompt:
    """The prompt with an instruction to use the tool instead of the action format's."""
    often = "once" if limit == 1 else f"up to {limit} times"
    instruction = (
        f"Call the search tool to query the search engine, {often}. Reply without a call when you cannot find "
        "anything better."
    )
    user = prompt.user if "{instruction}" in prompt.user else f"{prompt.user}\n{{instruction}}"
    return replace(prompt, user=user.replace("{instruction}", instruction))


def log_outcomes(
    request_ids: list[str],
    rewards: list[float],
    outcomes: Mapping[str, Sequence[Any] | np.ndarray],
    log_metric: LogMetric | None,
    log_extra: LogExtra | None,
) -> None:
    """Means of all numbers through `log_metric`; request id, query, filters and parse word through `log_extra`."""
    texts = [key for key in Outcomes.TEXTS if key in outcomes]
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
    """The share of requests whose completions all earned the same reward, from which GRPO learns nothing."""
    earned: dict[str, set[float]] = {}
    for name, reward in zip(request_ids, rewards, strict=True):
        earned.setdefault(name, set()).add(reward)
    return float(np.mean([len(values) == 1 for values in earned.values()]))
