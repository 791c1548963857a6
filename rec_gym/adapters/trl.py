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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rec_gym.adapters.trl_tools import (
    LogExtra,
    LogMetric,
    SearchEnvironment,
    ToolPolicy,
    environment_factory,
    log_episodes,
    log_outcomes,
    with_tool,
)
from rec_gym.loop.task import Task
from rec_gym.tables import unknown

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "PROMPTS",
    "SearchEnvironment",
    "TaskReward",
    "ToolPolicy",
    "completion_text",
    "environment_factory",
    "log_episodes",
    "make_dataset",
]

PROMPTS = ("messages", "text", "tools")

Completion = str | Sequence[dict[str, Any]]


class TaskReward:
    """A reward function for `GRPOTrainer(reward_funcs=...)`: one call of `task.score` for a whole batch.

    It logs the mean of each measure, reward term and text statistic, the shares `parse_ok`, `clipped` and `scored`, and
    the share of groups without variance in their rewards; and for each completion its request id, query and parse word.
    The keys are the same in every call. Thread-safe and picklable, like the task. Use one per trainer.

    Args:
        task: of one turn; its split is that of the data set.
        name: under which TRL logs the reward; by default the task's id, or else the reward's measure.

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
            columns: further arguments of TRL; ignored.

        Raises:
            ValueError: there are no request ids, or one is outside the task's split.
            RecommenderError: the recommender failed; training stops, and no reward is invented.
        """
        if request_id is None:
            raise ValueError(
                "the rewards need the column request_id: make the data set with make_dataset(task), and leave "
                "GRPOConfig(remove_unused_columns=False) as it is"
            )
        outcomes = self.task.score(request_id, [completion_text(completion) for completion in completions])
        rewards = outcomes.rewards.tolist()
        log_outcomes(list(request_id), rewards, outcomes.columns(), log_metric, log_extra)
        return rewards


def make_dataset(task: Task, prompt: str = "messages") -> Dataset:
    """The requests of a task's split as a data set with columns `prompt`, `request_id`, `text` and `domain`.

    Args:
        task: its split; gains are not included.
        prompt: `"messages"` for chat messages, to which the trainer applies the model's chat template, returning
            completions as messages; `"text"` for one text; `"tools"` for messages that ask to use the `search` tool.

    Raises:
        ImportError: `datasets` is missing.
        ValueError: unknown prompt.
    """
    if prompt not in PROMPTS:
        raise ValueError(unknown("prompt", prompt, PROMPTS))
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError("make_dataset needs Hugging Face's datasets: pip install 'rec-gym[train]'") from error
    if prompt == "tools":
        task = task.replace(prompt=with_tool(task.prompt, task.turns.limit))
    key = "prompt" if prompt == "text" else "messages"
    rows = task.rows()
    return Dataset.from_list(
        [{"prompt": row[key]} | {k: row[k] for k in ("request_id", "text", "domain")} for row in rows]
    )


def completion_text(completion: Completion) -> str:
    """What the assistant wrote: the text itself, or the content of its last message.

    Raises:
        ValueError: no message is by the assistant.
    """
    if isinstance(completion, str):
        return completion
    messages = [message for message in completion if message.get("role") == "assistant"]
    if not messages:
        raise ValueError(f"a completion has no message by the assistant: {list(completion)!r}")
    content = messages[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")
