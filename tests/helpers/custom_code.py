"""Custom code of every kind, for the tests of the doors: at the top level of a module that is also a file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import rec_gym
from rec_gym.loop.actions import Action, failed
from rec_gym.loop.prompts import Prompt
from rec_gym.ranking import NOT_RANKED


def found_any(judged, cutoff):
    """Whether any relevant item is ranked within the cut-off."""
    return np.minimum(judged.total(judged.hits(cutoff).astype(np.float64)), 1.0)


@dataclass(frozen=True)
class Power(rec_gym.Transform):
    """The reward to a power."""

    by: int = 2

    def __call__(self, reward, values):
        return reward**self.by

    def bounds(self, low, high):
        return low**self.by, high**self.by


@dataclass(frozen=True)
class Outside(rec_gym.Transform):
    """It makes more of a reward than its bounds say."""

    def __call__(self, reward, values):
        return reward + 1.0

    def bounds(self, low, high):
        return low, high


def few_words(written, requests, most=5):
    """Whether the policy wrote at most so many words."""
    return np.array([float(len(text.split()) <= most) for text in written])


def out_of_range(written, requests):
    """The number of words, which no term may be."""
    return np.array([float(len(text.split())) for text in written])


@dataclass(frozen=True)
class Pair(rec_gym.ActionFormat):
    """Two queries, `first | second`; the items of the second come after those of the first, or before them."""

    second_first: bool = False
    writes = "queries"
    counted = ("halves",)
    instruction = "Write two queries with | between them."

    def parse(self, completion, request, candidates=()):
        text = completion[: self.max_chars]
        halves = tuple(part.strip() for part in text.split("|")[:2] if part.strip())
        if not halves:
            return failed("empty")
        clipped = len(completion) > self.max_chars
        return Action(
            " | ".join(halves)[: self.max_chars], text, "ok", True, clipped, queries=halves, counts=(len(halves),)
        )

    def compose(self, query, request):
        return " | ".join(query.split("\n")[:2])

    def rank(self, asking, k):
        items = np.full((len(asking.actions), k), NOT_RANKED, np.int32)
        for places, parts in asking.ask_each(k):
            for place, rows in zip(places, zip(*(part.items for part in parts), strict=True), strict=True):
                items[place, : len(merged)] = (merged := self.merged(rows)[:k])
        return rec_gym.Rankings(items, np.where(items >= 0, 1.0 / np.arange(1, k + 1), 0.0).astype(np.float32))

    def merged(self, rows):
        """Items of the rankings of one completion, one after the other."""
        rows = rows[::-1] if self.second_first else rows
        return list(dict.fromkeys(item for row in rows for item in row.tolist() if item >= 0))


class Overlap:
    """Ranks by the number of words shared with the query, long ones only."""

    query_language = "bag of words"

    def __init__(self, at_least: int = 1) -> None:
        self.at_least = at_least

    def fit(self, catalog):
        fitted = Overlap(self.at_least)
        fitted.words = [self._words(text) for batch in catalog.texts() for text in batch]
        return fitted

    def rank(self, queries, k, exclude=None):
        items = np.full((len(queries), k), NOT_RANKED, np.int32)
        scores = np.zeros((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            words = self._words(query)
            shared = np.array([len(words & others) for others in self.words])
            if exclude is not None:
                shared[exclude[row]] = 0
            best = np.argsort(-shared, kind="stable")[: min(k, int((shared > 0).sum()))]
            items[row, : len(best)], scores[row, : len(best)] = best, shared[best]
        return rec_gym.Rankings(items, scores)

    def _words(self, text):
        return {word for word in text.lower().split() if len(word) >= self.at_least}


def shout(rows):
    """The request in capitals."""
    return [row["text"].upper() for row in rows]


class Suffix:
    """The request, then a word."""

    def __init__(self, word: str = "please", seed: int = 0) -> None:
        self.word = f"{word}{seed or ''}"

    def __call__(self, rows):
        return [f"{row['text']} {self.word}" for row in rows]


SHORT = Prompt("{request}\n{instruction}")


def terse(is_history: bool, orders: bool) -> Mapping[str, object]:
    """A protocol: a short prompt, and another action format."""
    return {"prompt": {"user": "Terse: {request}"}, "action": "append"}


def never(*arguments: object) -> None:
    """What must never be called."""
    raise RuntimeError("it was called")


NOTHING = None  # of no kind
