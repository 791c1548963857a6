"""The type of a policy, and the base class of baselines that need no training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from rec_gym.loop.actions.base import QUERIES, QUERY, TITLES
from rec_gym.loop.task import Task

# A policy is a callable from rows (`Task.rows_of`) to completions, one per row. It may have an attribute `reference`,
# see `Baseline`.
Policy = Callable[[list[dict[str, Any]]], Sequence[str]]


class Baseline(ABC):
    """A policy that writes its answers in its task's action format.

    Args:
        task: the task whose rows it answers.

    Attributes:
        fits: the kinds of completions that it can write (`ActionFormat.writes`).
        reference: why its score is a reference and not a policy's, such as `"reads the catalogue"`; empty for a baseline
            that sees only what a policy may see.
    """

    fits: ClassVar[tuple[str, ...]] = (QUERY, QUERIES, TITLES)
    reference: ClassVar[str] = ""

    def __init__(self, task: Task) -> None:
        if task.action.writes not in self.fits:
            raise ValueError(
                f"{type(self).__name__} does not fit the action format {task.action.name!r}: it writes {', '.join(self.fits)}"
                f", and completions of this task are {task.action.writes!r}"
            )
        self.task = task

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """The completions for `rows`."""
        places = self.task.dataset.index.positions([row["request_id"] for row in rows])
        queries = self.queries(rows, places)
        return [self.task.action.compose(query, row["text"]) for query, row in zip(queries, rows, strict=True)]

    @abstractmethod
    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row, or its order of candidates as a text (`[2] > [1]`).

        Args:
            rows: rows of the task.
            places: the row of each request in the dataset, int32 [n].
        """
