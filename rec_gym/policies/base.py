"""What a policy is, and the base of those that need no training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from rec_gym.loop.task import Task

# A policy is a callable from rows (`Task.rows_of`) to completions, one a row. It may carry an attribute `reference`,
# see `Baseline`.
Policy = Callable[[list[dict[str, Any]]], Sequence[str]]


class Baseline(ABC):
    """A policy that asks one query a request, whatever the action format of its task.

    Args:
        task: the task whose rows it answers.

    Attributes:
        reference: why its score is a reference and no policy's, such as `"reads the catalogue"`; empty for one that
            sees what a policy may see.
    """

    reference: ClassVar[str] = ""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """The completions for `rows`."""
        places = self.task.dataset.index.positions([row["request_id"] for row in rows])
        queries = self.queries(rows, places)
        return [self.task.action.compose(query, row["text"]) for query, row in zip(queries, rows, strict=True)]

    @abstractmethod
    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row.

        Args:
            rows: rows of the task.
            places: the row of each request in the dataset, int32 [n].
        """

    def words_of_request(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """What each shopper brought, as plain words: the query, or the titles of the history without numbering."""
        if not self.task.dataset.is_history:
            return [row["text"] for row in rows]
        return [" ".join(titles) for titles in self.task.dataset.history_titles(places)]
