"""What writes, and what its texts mean: an action format, and policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import rec_gym
from rec_gym.loop.actions import Action, asked, failed


@dataclass(frozen=True)
class Hashtags(rec_gym.ActionFormat):
    """The words with a # before them are the query; items that are ranked for it change places two by two if asked."""

    swap: bool = False
    counted: ClassVar[tuple[str, ...]] = ("tags",)
    instruction: ClassVar[str] = "Write words with # before them."

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        words = [word[1:] for word in completion.split() if word.startswith("#") and word[1:].strip("#")]
        if not words:
            return failed("no_tags")
        action = asked(" ".join(words), "ok", self.max_chars)
        return Action(action.query, action.written, "ok", True, action.clipped, counts=(len(words),))

    def compose(self, query: str, request: str) -> str:
        return " ".join(f"#{word.lstrip('#')}" for word in query.split())

    def rank(self, asking, k):
        rankings = asking.ask(k)
        if not self.swap:
            return rankings
        order = np.arange(rankings.depth)
        even = order[: rankings.depth // 2 * 2]
        order[: len(even)] = even ^ 1
        items = rankings.items[:, order]
        places = np.argsort(items < 0, axis=1, kind="stable")  # padding stays at the end
        return rec_gym.Rankings(np.take_along_axis(items, places, 1), rankings.scores, rankings.clipped)


def tag_all(rows):
    """Every word of the request as a tag."""
    return [" ".join(f"#{word}" for word in row["text"].split()) for row in rows]


class TagWord:
    """Every word of the request as a tag, and one more."""

    def __init__(self, word: str = "thing") -> None:
        self.word = word

    def __call__(self, rows):
        return [f"{text} #{self.word}" for text in tag_all(rows)]
