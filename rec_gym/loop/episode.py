"""Where an episode stands: a small frozen value that is passed from turn to turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


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
        filters: the filters of each turn, as in `Outcomes.filters`; empty where completions of the task hold none.
    """

    request_id: str
    turn: int = 0
    queries: tuple[str, ...] = ()
    shown: tuple[tuple[int, ...], ...] = ()
    best: float = -np.inf
    last: float = 0.0
    done: bool = False
    filters: tuple[str, ...] = ()
