"""Baselines that see only the request: every table of results should include some of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from rec_gym.dataset import TRAIN
from rec_gym.draws import generator
from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline
from rec_gym.words import words


class Raw(Baseline):
    """Asks the request's own text."""

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        return [row["text"] for row in rows]


class AppendText(Baseline):
    """Asks the request's text followed by a constant text: the baseline for keyword stuffing.

    Args:
        task: the task.
        text: what is appended to every request.
    """

    def __init__(self, task: Task, text: str) -> None:
        super().__init__(task)
        self.text = text

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        return [f"{row['text']} {self.text}" for row in rows]


class HistoryTitles(Baseline):
    """Asks the titles of the last items that the shopper bought.

    Args:
        task: the task; its requests hold purchase histories.
        last: how many of the newest titles; None for all that the request shows.

    Raises:
        ValueError: the requests hold no histories.
    """

    def __init__(self, task: Task, last: int | None = None) -> None:
        super().__init__(task)
        if task.dataset.history.values.size == 0:
            raise ValueError("policies of history titles need purchase histories; the requests of this task have none")
        self.last = last

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        start = 0 if self.last is None else -self.last
        return [" ".join(titles[start:]) for titles in self.task.dataset.history_titles(places)]


class RandomWords(Baseline):
    """Asks words drawn from those of the train requests: a baseline that never looks at the request or the catalogue.

    Args:
        task: the task.
        count: words per query.
        seed: of the draw, which depends only on it and on the request's id.

    Raises:
        ValueError: there is no train split, or its requests hold too few words.
    """

    def __init__(self, task: Task, count: int = 5, seed: int = 0) -> None:
        super().__init__(task)
        if TRAIN not in task.dataset.splits:
            raise ValueError("random-words draws from the requests of the train split; this dataset has none")
        if not 1 <= count <= len(self.vocabulary):
            raise ValueError(f"random-words takes from 1 to {len(self.vocabulary)} words here, not {count}")
        self.count, self.seed = count, seed

    @cached_property
    def vocabulary(self) -> list[str]:
        """The distinct words of the train requests, sorted."""
        dataset = self.task.dataset
        train = dataset.rows(TRAIN)
        if dataset.is_history:
            return sorted({word for titles in dataset.history_titles(train) for text in titles for word in words(text)})
        return sorted({word for text in dataset.texts(train) for word in words(text)})

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        return [self._draw(row["request_id"]) for row in rows]

    def _draw(self, request_id: str) -> str:
        """Distinct words."""
        draws = generator(self.seed, request_id)
        drawn: dict[int, None] = {}
        while len(drawn) < self.count:
            drawn[int(draws.random_raw()) % len(self.vocabulary)] = None
        return " ".join(self.vocabulary[place] for place in drawn)
