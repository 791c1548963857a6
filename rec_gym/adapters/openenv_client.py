"""OpenEnv, client side: the messages and a typed client. It needs neither data nor a recommender.

with RecommenderClient("http://127.0.0.1:8000").sync() as client:
    asked = client.reset(seed=0)
    answered = client.step("insulated steel bottle")
    print(answered.reward, answered.observation.measures)
"""

from __future__ import annotations

import re
from typing import Annotated, Any

try:
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server.types import Action, Observation, State
    from pydantic import AfterValidator, Field
except ImportError as error:
    raise ImportError(f"this adapter needs OpenEnv: pip install 'rec-gym[openenv]' ({error})") from error

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def sayable(text: str) -> str:
    """The text as valid UTF-8: lone surrogates become U+FFFD, as the answer to a step could otherwise not be sent."""
    return _LONE_SURROGATE.sub("\ufffd", text)


Text = Annotated[str, AfterValidator(sayable)]


class RecommenderAction(Action):
    """What a policy wrote; the server's task parses it.

    Attributes:
        text: the completion. Lone surrogates, which cannot be sent, become U+FFFD.
    """

    text: Text = Field(description="what the policy wrote")


class RecommenderObservation(Observation):
    """What a policy sees, and the outcome of its last completion; the same fields after every reset and step.

    Attributes:
        text: the request, or the prompt around it; with the turns so far in a task of several turns.
        request_id: the request.
        split: its split.
        turn: completions so far in the episode.
        query: what was asked; empty after a reset, and if nothing was asked.
        filters: the filters in the completion, as a JSON list of `[column, operator, value]`; empty without any.
        parse: what the action format did, one word; empty after a reset.
        parse_ok: whether the completion parsed.
        clipped: whether the query was clipped.
        scored: whether the recommender was asked; false after a reset.
        measures: by name, such as `ndcg@100`. Empty before the episode ends, unless the server is set otherwise: a
            client that shows the whole observation to its policy must not reveal the score.
        terms: the parts of the reward, by name; empty when `measures` is.
        text_stats: `length`, `repetition` and `copy` of what the policy wrote.
        done: whether the episode has ended.
        reward: None for a client; OpenEnv sends it separately, as `StepResult.reward`.
    """

    text: Text = Field(description="the request, with the turns so far")
    request_id: str = Field(description="the request")
    split: str = Field(description="the split of the request")
    turn: int = Field(ge=0, description="completions so far")
    query: Text = Field(default="", description="what was asked")
    filters: Text = Field(default="", description="the filters in the completion, as a JSON list of triples")
    parse: str = Field(default="", description="what the action format did, one word")
    parse_ok: bool = Field(default=False, description="whether the completion parsed")
    clipped: bool = Field(default=False, description="whether the query was clipped")
    scored: bool = Field(default=False, description="whether the recommender was asked")
    measures: dict[str, float] = Field(description="ranking measures by name, at the end of the episode")
    terms: dict[str, float] = Field(description="parts of the reward by name, at the end of the episode")
    text_stats: dict[str, float] = Field(description="statistics of what the policy wrote")


class RecommenderState(State):
    """The state of a session.

    Attributes:
        episode_id: the client's name for the episode, or a random one; None before the first reset.
        step_count: completions so far in the episode.
        request_id: the request; empty before the first reset.
        split: the split of the request.
    """

    episode_id: Text | None = Field(default=None, description="the client's name for the episode, or a random one")
    request_id: str = Field(default="", description="the request; empty before the first reset")
    split: str = Field(default="", description="the split of the request")


class RecommenderClient(EnvClient[RecommenderAction | str, RecommenderObservation, RecommenderState]):
    """A session with a server of `rec_gym.adapters.openenv`; its arguments are those of OpenEnv's `EnvClient`.

    Asynchronous: `async with RecommenderClient(url) as client: await client.reset(...)`; `.sync()` gives the same without
    `await`. `reset` takes `seed`, `episode_id`, `split`, and `request_id` or `index`; `step` takes the completion, a text.
    Both return a `StepResult` with `observation`, `reward` and `done`. If the server refuses something, a RuntimeError says
    why; the session continues.
    """

    def _step_payload(self, action: RecommenderAction | str) -> dict[str, Any]:
        action = RecommenderAction(text=action) if isinstance(action, str) else action
        return {"text": action.text}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[RecommenderObservation]:
        done = payload.get("done", False)
        observation = RecommenderObservation(**payload["observation"], done=done)
        return StepResult(observation=observation, reward=payload.get("reward"), done=done)

    def _parse_state(self, payload: dict[str, Any]) -> RecommenderState:
        return RecommenderState(**payload)
