"""OpenRLHF: the agent for tasks of several turns.

    --train.agent_func_path "$(python -m rec_gym.adapters.openrlhf agent)"

After each completion the model is shown the titles that its query found, as a user message, until the turns are used up
or it says `<stop>`.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from rec_gym.adapters.openrlhf import as_completion, read_description
from rec_gym.adapters.rows import columns_of_one, gather_of_async
from rec_gym.loop.episode import Episode

try:
    from openrlhf.utils.agent import (  # type: ignore[import-not-found, unused-ignore]
        AgentInstanceBase,
        MultiTurnAgentExecutor,
    )
except ImportError as error:
    raise ImportError("the agent for OpenRLHF needs OpenRLHF: pip install 'rec-gym[openrlhf]'") from error


_MARK = "rec_gym marks this place"
_END_OF_MESSAGE = re.compile(r"<[|｜][^<>|｜]+[|｜]>|</s>|<(?:eos|end_of_turn|turn\|)>")


class AgentInstance(AgentInstanceBase):
    """One episode.

    Args:
        tokenizer: its chat template formats what the model is shown between its completions.
    """

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer
        self.measures: list[float] = []  # of each turn
        self.parsed: list[float] = []

    async def reset(self, states: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Starts the episode that the label names; the prompt stays as in the row."""
        description, request_id = read_description(states["label"])
        self.gather = await gather_of_async(description)
        self.task = self.gather.task
        (self.episode,) = self.task.start([request_id])
        self.is_chat = is_chat(self.tokenizer, states["observation"])
        return states

    async def step(self, state_dict: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """One turn: its reward, and what the model is shown next. A failure ends the training; it never becomes a reward."""
        completion = as_completion(state_dict["action_text"], state_dict["observation_text"])
        before = self.episode
        # The turns of all episodes that wait at the same time are one call of the recommender.
        turn = await self.gather.advance_one_async(before, completion)
        self.episode = turn.episode
        columns = columns_of_one(self.task, turn.outcome)
        self.measures.append(float(columns["measure"]))
        self.parsed.append(float(columns["parse_ok"]))
        best = max(self.measures)
        return {
            "rewards": torch.tensor(columns["score"], dtype=torch.float64),
            "scores": best,  # for dynamic filtering: a measure in [0, 1]
            "environment_feedback": self._feedback(before),
            "done": self.episode.done,
            # OpenRLHF keeps only the logs of the last turn, so these describe the episode.
            "extra_logs": {
                "turns": float(self.episode.turn),
                "first_measure": self.measures[0],
                "best_measure": best,
                "parse_ok": sum(self.parsed) / len(self.parsed),
            },
        }

    def _feedback(self, before: Episode) -> str:
        """What the last turn found, as the next user message; empty if there is no next turn."""
        if self.episode.done:
            return ""
        describe = partial(self.task.turns.describe, self.task.dataset.catalog, text="")
        known = describe(replace(before, done=True))
        news = describe(self.episode).removeprefix(known).strip()
        return next_message(self.tokenizer, news) if self.is_chat else f"\n\n{news}\n\n"


class AgentExecutor(MultiTurnAgentExecutor):
    """The class that OpenRLHF looks for in this file."""

    def __init__(self) -> None:
        super().__init__(AgentInstance)

    async def execute(
        self,
        prompt: str,
        label: str,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """Plays one episode, with an instance that has the tokenizer."""
        executor = MultiTurnAgentExecutor(AgentInstance)
        executor.agent_instance_cls = partial(AgentInstance, hf_tokenizer)
        # OpenRLHF changes the parameters during an episode, and all samples of a prompt share the object.
        return await executor.execute(
            prompt, label, deepcopy(sampling_params), max_length, hf_tokenizer, llm_engine, images=images
        )


def is_chat(tokenizer: Any, prompt: str) -> bool:
    """Whether a prompt ends as the tokenizer's chat template ends a user message."""
    if not getattr(tokenizer, "chat_template", None):
        return False
    ending = _chat(tokenizer, [{"role": "user", "content": _MARK}]).partition(_MARK)[2]
    return bool(ending) and prompt.endswith(ending)


def next_message(tokenizer: Any, text: str) -> str:
    """A user message between two completions, as the chat template formats it.

    The token that ends the completion is left out: the model has written it.
    """
    messages = [
        {"role": "user", "content": "."},
        {"role": "assistant", "content": _MARK},
        {"role": "user", "content": text},
    ]
    return _END_OF_MESSAGE.sub("", _chat(tokenizer, messages).partition(_MARK)[2], count=1)


def _chat(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
