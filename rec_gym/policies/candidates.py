"""Baselines of tasks in which a completion puts candidates into an order."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.loop.actions.base import ORDER
from rec_gym.loop.actions.order import order_text
from rec_gym.loop.candidates import request_words
from rec_gym.policies.base import Baseline
from rec_gym.ranking import NOT_RANKED

_DEPTH = 10_000  # places of the list in which candidates are looked up, if the recommender has no rank_of


class GivenOrder(Baseline):
    """Leaves the candidates in the given order: what doing nothing earns."""

    fits: ClassVar[tuple[str, ...]] = (ORDER,)

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The order for each row; see `Baseline.queries`."""
        return [order_text(range(len(row["candidates"]))) for row in rows]


class FirstStage(Baseline):
    """Orders the candidates as the task's recommender ranks them for the request's words: what a re-ranker must beat.

    Candidates that the recommender does not rank come last, in the given order.
    """

    fits: ClassVar[tuple[str, ...]] = (ORDER,)
    reference: ClassVar[str] = "asks the recommender"

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The order for each row; see `Baseline.queries`."""
        dataset, engine = self.task.dataset, self.task.engine
        asked = request_words(dataset, places)
        items = Ragged.from_rows([dataset.catalog.positions(row["candidate_ids"]) for row in rows], np.int32)
        if engine.ranks_items:
            ranks = engine.rank_of(asked, places, items, len(dataset.catalog))
        else:
            ranks = engine.rank(asked, places, min(len(dataset.catalog), _DEPTH)).ranks_of(items)
        last = np.iinfo(np.int32).max
        return [order_text(np.argsort(np.where(r == NOT_RANKED, last, r), kind="stable").tolist()) for r in ranks]
