"""verl: the tool with which a model searches over several turns.

    actor_rollout_ref.rollout.multi_turn.tool_config_path=tool.yaml

    tools:
      - class_name: rec_gym.adapters.verl_tool.SearchTool
        config: {type: native}

A row of `rec-gym export ID --format verl` on a task of several turns tells the tool its request, and
`rec_gym.adapters.verl.compute_score` sums up what the searches paid.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from rec_gym.adapters.export import SEARCH_TOOL
from rec_gym.adapters.rows import gather_of_async
from rec_gym.loop.actions.base import STOPPED
from rec_gym.loop.actions.tags import THINK
from rec_gym.loop.episode import Episode
from rec_gym.loop.task import Task
from rec_gym.serving.outcome import Turn

try:
    from verl.tools.base_tool import BaseTool
    from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
except ImportError as error:
    raise ImportError("the tool for verl needs verl: pip install 'rec-gym[verl]'") from error

MAX_CHARS = 256  # verl's own limit, `max_tool_response_length`: it cuts the middle out of longer responses
ENDED = "No searches left; the best one counts."
NO_RESULTS, NOT_SHOWN = "(no results)", "(results are not shown)"
FAILED = "The search failed."
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Search:
    """One instance of the tool; verl makes a new one for every call.

    Attributes:
        row: `task` and `request_id` from the data row.
        trajectory: the object that all calls of one trajectory share; None until verl passes it.
    """

    row: Mapping[str, Any]
    trajectory: Any = None


@dataclass(eq=False)
class _Progress:
    """The progress of a trajectory: its episode, and what its searches have paid."""

    episode: Episode
    paid: float = 0.0
    # A model may call the tool several times at once; its searches are consecutive turns.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class SearchTool(BaseTool):
    """A search is a turn of the task: its reward is what the turn pays, its response the best titles.

    The first search pays what it earned above the reward's `unparsed`, which `compute_score` adds to every episode.

    Args:
        config: `max_chars`, characters of a response, at most (256): whole lines, best title first. Raise it together with
            `actor_rollout_ref.rollout.multi_turn.max_tool_response_length`.
        tool_schema: replaces the tool's description for the model; its name stays `search`.
    """

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None = None) -> None:
        super().__init__(config, tool_schema or self.get_openai_tool_schema())
        if self.name != SEARCH_TOOL:
            raise ValueError(f"the rows name the tool {SEARCH_TOOL!r}, so its schema must too, not {self.name!r}")
        self.max_chars = int(config.get("max_chars", MAX_CHARS))
        self._searches: dict[str, _Search] = {}
        # Between calls verl keeps only the trajectory's own object; its progress is forgotten with it.
        self._progress: WeakKeyDictionary[Any, _Progress] = WeakKeyDictionary()

    def get_openai_tool_schema(self) -> OpenAIFunctionToolSchema:
        """The tool's description for the model."""
        query = {"type": "string", "description": "The search query."}
        return OpenAIFunctionToolSchema.model_validate(
            {
                "type": "function",
                "function": {
                    "name": SEARCH_TOOL,
                    "description": "Searches the shop and returns the titles of the matching products, best first.",
                    "parameters": {"type": "object", "properties": {"query": query}, "required": ["query"]},
                },
            }
        )

    async def create(self, instance_id: str | None = None, **kwargs: Any) -> tuple[str, ToolResponse]:
        """Makes an instance for a request.

        Args:
            instance_id: its name, if it has one.
            kwargs: the row's `create_kwargs`, with `task` and `request_id`.
        """
        instance_id = instance_id or str(uuid4())
        self._searches[instance_id] = _Search(kwargs.get("create_kwargs") or kwargs)
        return instance_id, ToolResponse()

    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Searches: one turn of the task.

        Args:
            instance_id: from `create`.
            parameters: `query`; anything else counts as a completion that does not parse.
            kwargs: `agent_data`, verl's object for the trajectory.

        Returns:
            The titles, what the turn pays, and what the action format did. A failed search pays NaN, because verl turns a
            tool's error into a reward of 0; `compute_score` then raises.
        """
        search = self._searches[instance_id]
        search.trajectory = kwargs.get("agent_data") or search
        query = parameters.get("query") if isinstance(parameters, dict) else None
        try:
            description, request_id = _row(search.row)
            gather = await gather_of_async(description)
            progress = self._progress.setdefault(search.trajectory, _Progress(Episode(request_id)))
            async with progress.turn:
                before = progress.episode
                if before.done:
                    return ToolResponse(text=ENDED), 0.0, {}
                # The searches of all trajectories that wait at the same time are one call of the recommender.
                turn = await gather.advance_one_async(before, _completion(gather.task, before, query))
                progress.episode = turn.episode
                text = _response(gather.task, turn, self.max_chars)
                reward = turn.outcome.reward - (0.0 if before.turn else gather.task.reward.unparsed)
                progress.paid += reward
        except Exception:
            _log.exception("the search failed; the row of the request: %s", search.row)
            return ToolResponse(text=FAILED), math.nan, {}
        return ToolResponse(text=text), reward, {"parse": turn.outcome.parse}

    async def calc_reward(self, instance_id: str, **kwargs: Any) -> float:
        """What the searches of the instance's trajectory have paid so far."""
        trajectory = self._searches[instance_id].trajectory
        return 0.0 if trajectory is None else self._progress[trajectory].paid

    async def release(self, instance_id: str, **kwargs: Any) -> None:
        """Forgets the instance; the trajectory's progress stays as long as verl keeps the trajectory."""
        self._searches.pop(instance_id, None)


def _row(row: Mapping[str, Any]) -> tuple[str, str]:
    missing = [key for key in ("task", "request_id") if not row.get(key)]
    if missing:
        raise ValueError(
            f"the row's tools_kwargs have no {missing[0]!r} for the tool; write it with `rec-gym export --format verl`"
        )
    return row["task"], row["request_id"]


def _completion(task: Task, episode: Episode, query: object) -> str:
    """The completion that asks for the query; where it is not a text, one that no action format parses."""
    if not isinstance(query, str):
        return THINK
    return task.action.compose(query, task.dataset.texts(task.dataset.index.positions([episode.request_id]))[0])


def _response(task: Task, turn: Turn, max_chars: int) -> str:
    """What the model is told of its search."""
    if turn.outcome.parse == STOPPED.parse:
        return ENDED
    if not task.turns.feedback_k:
        return NOT_SHOWN
    return _list(task.dataset.catalog.titles(turn.episode.shown[-1]), max_chars)


def _list(titles: list[str], max_chars: int) -> str:
    """Numbered titles, one per line, as many as fit; at least the beginning of the first."""
    text = ""
    for place, title in enumerate(titles, 1):
        longer = f"{text}\n{place}. {title}" if text else f"{place}. {title}"
        if len(longer) > max_chars:
            return text or longer[:max_chars]
        text = longer
    return text or NO_RESULTS
