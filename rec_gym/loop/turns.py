"""Episodes of several turns: what a turn pays, what the policy sees, and when the episode ends.

`"gain"` pays the first turn its reward and each later one max(0, r - best so far), so that the return is the best turn's
reward; `"last"` and `"best"` pay nothing until the end, and then the last or the best turn's reward. From the second turn
on, the completion `<stop>` ends the episode; under `"gain"` it pays 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.loop.actions.conditions import as_written
from rec_gym.loop.actions.tags import ANSWER, ANSWER_END, THINK_END
from rec_gym.loop.episode import Episode
from rec_gym.loop.facets import facets
from rec_gym.loop.outcomes import Outcomes
from rec_gym.tables import check_fields, unknown

TURN_REWARDS = ("gain", "last", "best")
STOP = "<stop>"


@dataclass(frozen=True)
class Turns:
    """The length of episodes and what their turns pay.

    Attributes:
        limit: completions in an episode, at most.
        reward: one of `TURN_REWARDS`.
        feedback_k: how many titles of each earlier ranking are shown.

    Raises:
        ValueError: a setting is out of range or has the wrong type.
    """

    limit: int = 1
    reward: str = "gain"
    feedback_k: int = 5

    def __post_init__(self) -> None:
        check_fields(self, "turns")
        if self.reward not in TURN_REWARDS:
            raise ValueError(unknown("turn_reward", self.reward, TURN_REWARDS))
        if self.limit < 1 or self.feedback_k < 0:
            raise ValueError(
                f"turns must be at least 1 and feedback_k at least 0, not {self.limit} and {self.feedback_k}"
            )

    def reward_range(self, one_turn: tuple[float, float]) -> tuple[float, float]:
        """The least and the greatest reward of a step, given those of one turn.

        A turn before the last pays 0 under `"last"` and `"best"`, as does one without improvement under `"gain"`, where
        the maximum is the gain of the best second turn over the worst first one.
        """
        low, high = one_turn
        if self.limit == 1:
            return one_turn
        return min(low, 0.0), max(high, 0.0, high - low if self.reward == "gain" else 0.0)

    def describe(self, catalog: Catalog, episode: Episode, text: str, columns: Sequence[str] = ()) -> str:
        """The request, every earlier query, and the titles of its top items.

        Args:
            catalog: the items.
            episode: where the episode stands.
            text: of the request.
            columns: columns that a completion may filter by; the values that the shown items have in them are described.
        """
        if self.limit == 1 or not episode.turn:
            return text
        parts = [text]
        filters = episode.filters or ("",) * len(episode.queries)
        for turn, (query, shown, written) in enumerate(zip(episode.queries, episode.shown, filters, strict=True), 1):
            titles = [f"  {place}. {title}" for place, title in enumerate(catalog.titles(shown), 1)]
            query = query or "(query could not be parsed)"
            line = f"Search {turn}: {query}" + (f", filters {_as_json(written)}" if written else "")
            values = facets(catalog, shown, columns) if columns and shown else ""
            described = [f"  Values of these: {values}"] if values else []
            parts.append("\n".join([line, *(titles or ["  (no results)"]), *described]))
        if not episode.done:
            parts.append(f"Search again, or reply {STOP} if you cannot find anything better.")
        return "\n\n".join(parts)

    def stops(self, episodes: Sequence[Episode], completions: Sequence[str]) -> list[bool]:
        """Which completions end their episode instead of searching: those that say `<stop>`, after any reasoning."""
        return [
            self.limit > 1 and episode.turn > 0 and isinstance(text, str) and _without_reasoning(text) == STOP
            for episode, text in zip(episodes, completions, strict=True)
        ]

    def after(
        self, episodes: Sequence[Episode], outcomes: Outcomes, stops: Sequence[bool]
    ) -> tuple[list[Episode], np.ndarray]:
        """The episodes after a turn, and the turn's rewards, float64 [n].

        Args:
            episodes: before the turn.
            outcomes: of its completions.
            stops: which of them ended their episode.
        """
        if self.limit == 1:
            return [_ended(e, outcomes, i) for i, e in enumerate(episodes)], outcomes.rewards
        shown = self._shown(outcomes)
        advanced, rewards = [], np.zeros(len(episodes))
        for i, episode in enumerate(episodes):
            if stops[i]:
                after = replace(episode, turn=episode.turn + 1, done=True)
            else:
                turn_reward = float(outcomes.rewards[i])
                after = replace(
                    episode,
                    turn=episode.turn + 1,
                    queries=(*episode.queries, outcomes.queries[i]),
                    shown=(*episode.shown, shown[i]),
                    best=max(episode.best, turn_reward),
                    last=turn_reward,
                    done=episode.turn + 1 >= self.limit,
                    filters=() if outcomes.filters is None else (*episode.filters, outcomes.filters[i]),
                )
            advanced.append(after)
            rewards[i] = self._pays(episode, after)
        return advanced, rewards

    def _pays(self, before: Episode, after: Episode) -> float:
        if self.reward == "gain":
            return after.last if before.turn == 0 else max(0.0, after.best - before.best)
        if not after.done:
            return 0.0
        return after.last if self.reward == "last" else after.best

    def _shown(self, outcomes: Outcomes) -> list[tuple[int, ...]]:
        if self.feedback_k == 0:
            return [()] * len(outcomes)
        return [tuple(row[row >= 0].tolist()) for row in outcomes.top(self.feedback_k)]


def _without_reasoning(completion: str) -> str:
    """The text after the last `</think>`; like an answer, a stop may be inside `<answer>`."""
    text = completion.rpartition(THINK_END)[2].strip()
    return text.removeprefix(ANSWER).removesuffix(ANSWER_END).strip()


def _as_json(conditions: str) -> str:
    """Filters as a completion holds them."""
    return json.dumps(as_written(json.loads(conditions)), ensure_ascii=False)


def _ended(episode: Episode, outcomes: Outcomes, place: int) -> Episode:
    """The only turn of an episode; nobody looks at its ranking, so there is none."""
    reward = float(outcomes.rewards[place])
    filters = () if outcomes.filters is None else (outcomes.filters[place],)
    return Episode(episode.request_id, 1, (outcomes.queries[place],), ((),), reward, reward, True, filters)
