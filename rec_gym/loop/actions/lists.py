"""Action formats in which a completion holds several texts, one per line: queries, or titles of items."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rec_gym.fusion import RRF_CONSTANT, reciprocal_rank_fusion, taking_turns
from rec_gym.loop.actions.base import QUERIES, TITLES, Action, ActionFormat, Asking, Truth, failed
from rec_gym.loop.actions.tags import without_think
from rec_gym.loop.prompts import SEVERAL_HISTORY, SEVERAL_SEARCH, TITLES_HISTORY, TITLES_SEARCH, Prompt
from rec_gym.ranking import NOT_RANKED, Rankings

# "- ", "* ", "1. ", "2) ", "(3) ": a sign and a blank, so that "3 lamps" and "-40 degrees" stay as they are.
_BULLET = re.compile(r"(?:[-*+•‣◦–—]|\(?[0-9]{1,3}[.):])\s+")


def without_bullet(line: str) -> str:
    """A line without the blanks around it and one leading bullet or number."""
    line = line.strip()
    bullet = _BULLET.match(line)
    return line[bullet.end() :] if bullet else line


@dataclass(frozen=True)
class Several(ActionFormat):
    """What the formats share that read one text per line.

    Bullets and numbering are removed, empty lines do not count, a line that appears twice counts once.

    Parses: `ok`, `think_removed`, `duplicates` (a line appeared twice), `too_many` (lines beyond the limit are left
    out, and the completion counts as clipped); not ok: `empty`, `unclosed_think`.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: lines that count, at most.
    """

    max_queries: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_queries < 1:
            raise ValueError(f"max_queries must be at least 1, not {self.max_queries}")

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        text, word = without_think(completion)
        if word == "unclosed_think":
            return failed(word)
        lines = [without_bullet(line) for line in text[: self.max_chars].split("\n")]
        lines = [line for line in lines if line]
        distinct = list(dict.fromkeys(lines))
        kept = distinct[: self.max_queries]
        if not kept:
            return failed("empty")
        duplicates, left_out = len(lines) - len(distinct), len(distinct) - len(kept)
        word = "too_many" if left_out else "duplicates" if duplicates else word
        shown = "\n".join(kept)
        return Action(
            query=shown,
            written=shown,
            parse=word,
            ok=True,
            clipped=len(text) > self.max_chars or left_out > 0,
            queries=tuple(kept),
            counts=(len(kept), duplicates, left_out),
        )

    def compose(self, query: str, request: str) -> str:
        """The completion that asks the lines of `query`; one that begins like a bullet is given a bullet before it."""
        lines = [line.strip() for line in query.split("\n")]
        return "\n".join(line if without_bullet(line) == line else f"- {line}" for line in lines)

    def instruct(self) -> str:
        """What a prompt says about the form of the answer."""
        return self.instruction.replace("{limit}", str(self.max_queries))

    @abstractmethod
    def depth_of(self, k: int) -> int:
        """Places of each line's ranking that are looked at where the merged ranking has k."""

    @abstractmethod
    def merge(self, rankings: Sequence[Rankings], k: int) -> Rankings:
        """One ranking of at most k places for each completion.

        Args:
            rankings: for the first, second, ... line of the completions its rankings, one per completion.
            k: places in a ranking.
        """

    def rank(self, asking: Asking, k: int) -> Rankings:
        """One ranking for each action, from those of its lines; see `ActionFormat.rank`.

        The score of an item does not depend on how many lines a completion, or its neighbour, has.
        """
        size = len(asking.actions)
        items = np.full((size, k), NOT_RANKED, np.int32)
        scores = np.zeros((size, k), np.float32)
        clipped = np.zeros(size, bool)
        for places, parts in asking.ask_each(self.depth_of(k)):
            merged = self.merge(parts, k)
            items[places, : merged.depth], scores[places, : merged.depth] = merged.items, merged.scores
            for part in parts:
                clipped[places] |= False if part.clipped is None else part.clipped
        return Rankings(items, scores, clipped)


@dataclass(frozen=True)
class Lines(Several):
    """Several queries in one completion, one per line; their rankings are fused by reciprocal rank fusion.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: maximum number of queries.
        constant: of the fusion: an item's score is the sum of 1 / (constant + rank).
        depth: places of each query's ranking that are fused, whatever measures are taken of the result.
    """

    constant: float = RRF_CONSTANT
    depth: int = 1000
    name: ClassVar[str] = "lines"
    writes: ClassVar[str] = QUERIES
    counted: ClassVar[tuple[str, ...]] = ("queries", "duplicates", "left_out")
    instruction: ClassVar[str] = "Reply with one query per line, at most {limit}, and nothing else."

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constant < 0:
            raise ValueError(f"constant must be at least 0, not {self.constant}")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, not {self.depth}")

    def depth_of(self, k: int) -> int:
        """Places of each query's ranking that are fused: a fixed number, so that no measure changes another."""
        return self.depth

    def merge(self, rankings: Sequence[Rankings], k: int) -> Rankings:
        """One ranking for each completion by reciprocal rank fusion; see `Several.merge`."""
        return reciprocal_rank_fusion(rankings, k, constant=self.constant)

    def prompt(self, is_history: bool) -> Prompt:
        """The prompt of a task that names none; see `ActionFormat.prompt`."""
        return SEVERAL_HISTORY if is_history else SEVERAL_SEARCH


@dataclass(frozen=True)
class Titles(Several):
    """Candidate generation: the completion names items by title, one per line, best first.

    The recommender resolves each title to its best items. The ranking holds the best item of every title in the order in
    which they were written, then the second ones, and so on; an item stands where it came first.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: maximum number of titles.
        per_title: maximum number of items to which a title is resolved.
    """

    max_queries: int = 20
    per_title: int = 1
    name: ClassVar[str] = "titles"
    writes: ClassVar[str] = TITLES
    needs_oracle_query: ClassVar[bool] = False
    counted: ClassVar[tuple[str, ...]] = ("titles", "duplicates", "left_out")
    instruction: ClassVar[str] = "Reply with one title per line, at most {limit}, best first, and nothing else."

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_title < 1:
            raise ValueError(f"per_title must be at least 1, not {self.per_title}")

    def depth_of(self, k: int) -> int:
        """Places of each title's ranking that are looked at."""
        return min(k, self.per_title)

    def merge(self, rankings: Sequence[Rankings], k: int) -> Rankings:
        """One ranking for each completion, the titles taking turns; see `Several.merge`."""
        return taking_turns(rankings, k)

    def prompt(self, is_history: bool) -> Prompt:
        """The prompt of a task that names none; see `ActionFormat.prompt`."""
        return TITLES_HISTORY if is_history else TITLES_SEARCH

    def best(self, truth: Truth) -> str:
        """The titles of the best items, as many as a completion may name."""
        return "\n".join(truth.titles[: self.max_queries])
