"""Action formats in which a completion holds several texts, one a line: queries, or titles of items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rec_gym.fusion import RRF_CONSTANT, reciprocal_rank_fusion, taking_turns
from rec_gym.loop.actions.base import Action, failed
from rec_gym.loop.actions.query import Plain
from rec_gym.loop.actions.tags import without_think
from rec_gym.ranking import Rankings

# "- ", "* ", "1. ", "2) ", "(3) ": a sign and a blank, so that "3 lamps" and "-40 degrees" stay as they are.
_BULLET = re.compile(r"(?:[-*+•‣◦–—]|\(?[0-9]{1,3}[.):])\s+")


def without_bullet(line: str) -> str:
    """A line without the blanks around it and one leading bullet or number."""
    line = line.strip()
    bullet = _BULLET.match(line)
    return line[bullet.end() :] if bullet else line


@dataclass(frozen=True)
class Several(Plain):
    """What the formats share that read one text a line.

    Bullets and numbering are removed, empty lines do not count, a line that stands there twice counts once.

    Parses: `ok`, `think_removed`, `duplicates` (a line stood there twice), `too_many` (lines beyond the limit are left
    out, and the completion counts as clipped); not ok: `empty`, `unclosed_think`.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: lines that count at the most.
    """

    max_queries: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_queries < 1:
            raise ValueError(f"max_queries must be at least 1, not {self.max_queries}")

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `Plain.parse`."""
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

    @property
    def merges(self) -> bool:
        """Always: the score of an item must not depend on how many lines a completion, or its neighbour, has."""
        return True

    def compose(self, query: str, request: str) -> str:
        """The completion that asks the lines of `query`; one that begins like a bullet is given a bullet before it."""
        lines = [line.strip() for line in query.split("\n")]
        return "\n".join(line if without_bullet(line) == line else f"- {line}" for line in lines)

    def instruct(self) -> str:
        """What a prompt says about the form of the answer."""
        return self.instruction.replace("{limit}", str(self.max_queries))


@dataclass(frozen=True)
class Lines(Several):
    """Several queries in one completion, one a line; their rankings are fused by reciprocal rank fusion.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: queries at the most.
        constant: of the fusion: an item's score is the sum of 1 / (constant + rank).
        depth: places of each query's ranking that are fused, whatever measures are taken of the result.
    """

    constant: float = RRF_CONSTANT
    depth: int = 1000
    name: ClassVar[str] = "lines"
    writes: ClassVar[str] = "queries"
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
        """One ranking for each completion by reciprocal rank fusion; see `Plain.merge`."""
        return reciprocal_rank_fusion(rankings, k, constant=self.constant)


@dataclass(frozen=True)
class Titles(Several):
    """Candidate generation: the completion names items by title, one a line, the best first.

    The recommender resolves each title to its best items. The ranking holds the best item of every title in the order in
    which they were written, then the second ones, and so on; an item stands where it came first.

    Args:
        max_chars: characters of the completion that count; a longer one is clipped.
        max_queries: titles at the most.
        per_title: items to which a title is resolved, at the most.
    """

    max_queries: int = 20
    per_title: int = 1
    name: ClassVar[str] = "titles"
    writes: ClassVar[str] = "titles"
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
        """One ranking for each completion, the titles taking turns; see `Plain.merge`."""
        return taking_turns(rankings, k)
