"""Episodes and outcomes: the values that the loop passes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.ranking import Rankings


@dataclass(frozen=True)
class Episode:
    """A request and what has happened on it so far; small and frozen, so that a search branches by keeping it.

    Attributes:
        request_id: the request.
        turn: completions so far.
        queries: what was asked in each turn; an empty text where a completion did not parse.
        shown: for each turn the positions of the top items whose titles the policy has seen.
        best: the best reward of a turn so far; -inf before the first.
        last: the reward of the last turn.
        done: whether the episode has ended.
    """

    request_id: str
    turn: int = 0
    queries: tuple[str, ...] = ()
    shown: tuple[tuple[int, ...], ...] = ()
    best: float = -np.inf
    last: float = 0.0
    done: bool = False


@dataclass(eq=False)
class Outcomes:
    """Everything that scoring a batch of completions yields; n completions.

    Attributes:
        request_ids: the request of each completion.
        queries: what was asked, or the order of the candidates; an empty text where nothing was.
        parse: what the action format did, a word each.
        parse_ok: whether the completion parsed, bool [n].
        clipped: whether the query was cut, by the format or by the recommender, bool [n].
        scored: whether there was something to rank by, a query or an order, bool [n].
        rewards: float64 [n].
        measures: `{name: float64 [n]}`, 0 where nothing was asked.
        terms: `{name: float64 [n]}`; their sum is the one-turn reward.
        text_stats: `{name: float64 [n]}`, of what the policy wrote.
        ranks: ranks (from 0) of each request's relevant items within the task's depth, -1 elsewhere.
    """

    request_ids: list[str]
    queries: list[str]
    parse: list[str]
    parse_ok: np.ndarray
    clipped: np.ndarray
    scored: np.ndarray
    rewards: np.ndarray
    measures: dict[str, np.ndarray]
    terms: dict[str, np.ndarray]
    text_stats: dict[str, np.ndarray]
    ranks: Ragged
    rank_again: Callable[..., Rankings] = field(repr=False)
    search_again: Callable[[], list[str]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.request_ids)

    @cached_property
    def rankings(self) -> Rankings:
        """The rankings to the task's depth; computed when first asked for. Rows that were not scored are empty."""
        return self.rank_again()

    def top(self, k: int) -> np.ndarray:
        """The best k items of each completion, int32 [n, at most k], padded with -1; whatever the task's depth is."""
        return self.rank_again(k=k).items[:, :k]

    @cached_property
    def searched(self) -> list[str]:
        """The words that the engine used of each query, separated by spaces."""
        return self.search_again()

    def columns(self) -> dict[str, np.ndarray]:
        """What an environment's info says of each completion; always the same keys for one task."""
        texts = {"query": self.queries, "parse": self.parse}
        flags = {"parse_ok": self.parse_ok, "clipped": self.clipped, "scored": self.scored}
        columns = {key: np.array(values, dtype=object) for key, values in texts.items()} | flags
        for kind, named in (("measure", self.measures), ("term", self.terms), ("text", self.text_stats)):
            columns |= {f"{kind}/{name}": values for name, values in named.items()}
        return columns

    def with_rewards(self, rewards: np.ndarray) -> Outcomes:
        """The same outcomes with other rewards."""
        return replace(self, rewards=rewards)
