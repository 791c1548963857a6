"""What every action format shares: the action itself, and the formats in which a text holds one query."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rec_gym.ranking import Rankings
from rec_gym.tables import check_fields

MAX_CHARS = 10_000
# A bag-of-words engine takes 32,767 words at the most; a text of this many characters holds no more.
MAX_CHARS_LIMIT = 65_534
# Characters of JSON that are read for each one that counts: it may be written as `\u00e9`, and other keys may come first.
_JSON_CHARS = 8

THINK, THINK_END = "<think>", "</think>"
ANSWER, ANSWER_END = "<answer>", "</answer>"
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Action:
    """What was understood of a completion.

    Attributes:
        query: what is asked or ordered, as a text for people; empty when nothing was understood.
        written: the part of the query that the policy wrote.
        parse: one word that says what the parser did.
        ok: whether the completion parsed; one that did not is never sent to the recommender.
        clipped: whether something was cut to the format's limits.
        queries: what the recommender is asked, where a format may ask several; its rankings are merged into one.
        order: places of the candidates (from 0), best first, every one of them once; nothing is asked then.
        counts: a number for each name in the format's `counted`.
    """

    query: str
    written: str
    parse: str
    ok: bool
    clipped: bool = False
    queries: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether there is something to rank by: a query for the recommender, or an order of candidates."""
        return self.ok and bool(self.query)

    @property
    def questions(self) -> tuple[str, ...]:
        """What the recommender is asked."""
        return self.queries or (() if self.order else (self.query,))


# What a completion that ends an episode of several turns is understood as.
STOPPED = Action("", "", "stop", True)


@dataclass(frozen=True)
class Plain:
    """The whole text is the query; one leading closed `<think>...</think>` is removed and said.

    Parses: `ok`, `think_removed`; not ok: `empty`, `unclosed_think`.

    Args:
        max_chars: characters of the query that count; a longer one is clipped.
    """

    max_chars: int = MAX_CHARS
    name: ClassVar[str] = "plain"
    writes: ClassVar[str] = "query"  # or "queries", "titles", "order": what a completion is, and which baselines fit
    counted: ClassVar[tuple[str, ...]] = ()  # names of `Action.counts`
    instruction: ClassVar[str] = "Reply with the query and nothing else."

    def __post_init__(self) -> None:
        check_fields(self, f"the action format {self.name!r}")
        if not 1 <= self.max_chars <= MAX_CHARS_LIMIT:
            raise ValueError(f"max_chars must lie in [1, {MAX_CHARS_LIMIT}], not {self.max_chars}")

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion.

        Args:
            completion: what the policy wrote.
            request: the request's own text.
            candidates: titles of the request's candidates, where the task has some.
        """
        text, word = without_think(completion)
        if word == "unclosed_think" or not text:
            return failed(word if word == "unclosed_think" else "empty")
        return asked(text, word, self.max_chars)

    @property
    def max_json_chars(self) -> int:
        """Characters of JSON that are read: decoding costs more for a character than anything else that parsing does."""
        return _JSON_CHARS * self.max_chars

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`: the inverse of `parse`, for baselines and tests."""
        return query

    def instruct(self) -> str:
        """What a prompt says about the form of the answer."""
        return self.instruction

    @property
    def merges(self) -> bool:
        """Whether a ranking is made from those of several questions, even where a completion asks only one."""
        return False

    def depth_of(self, k: int) -> int:
        """Places of each question's ranking that are looked at where the merged ranking has k."""
        return k

    def merge(self, rankings: Sequence[Rankings], k: int) -> Rankings:
        """One ranking of k places for each completion, from those of its questions.

        Args:
            rankings: for each question of a completion its rankings, one a completion.
            k: places at the most.
        """
        raise NotImplementedError(f"the action format {self.name!r} asks one query a completion")


def without_think(completion: str) -> tuple[str, str]:
    """The text after one leading closed `<think>`, and the parse word."""
    text = completion.strip()
    if not text.startswith(THINK):
        return text, "ok"
    _, closed, rest = text.partition(THINK_END)
    return (rest.strip(), "think_removed") if closed else ("", "unclosed_think")


def last_answer(completion: str) -> tuple[str, str] | None:
    """The text of the last `<answer>` and the parse word; None where there is none."""
    start = completion.rfind(ANSWER)
    if start < 0:
        return None
    end = completion.find(ANSWER_END, start)
    several = completion.find(ANSWER, 0, start) >= 0
    content = completion[start + len(ANSWER) : end if end >= 0 else len(completion)].strip()
    return content, "last_answer" if several else "ok" if end >= 0 else "unclosed_answer"


def tags_are_right(completion: str, think_opened: bool) -> bool:
    """The paper's check: each of the four tags exactly once, in order.

    Args:
        completion: what the policy wrote.
        think_opened: the prompt has already written `<think>`, so that a completion need not.
    """
    if think_opened and THINK not in completion:
        completion = THINK + completion
    tags = (THINK, THINK_END, ANSWER, ANSWER_END)
    places = [completion.find(tag) for tag in tags]
    return all(completion.count(tag) == 1 for tag in tags) and places == sorted(places)


def unfenced(content: str) -> str | None:
    """What a code fence holds; None where there is no fence."""
    if not content.startswith(_FENCE):
        return None
    inside = content.removeprefix(_FENCE).lstrip(string.ascii_letters)  # the fence may name a language
    return inside.strip().removesuffix(_FENCE).strip()


def in_answer(content: str, think_opened: bool) -> str:
    """A completion in Rec-R1's tags, without reasoning."""
    return f"{'' if think_opened else THINK}{THINK_END}\n{ANSWER}{content}{ANSWER_END}"


def asked(query: str, word: str, max_chars: int) -> Action:
    """The action that asks a query, cut to the format's limit."""
    return Action(query[:max_chars], query[:max_chars], word, True, len(query) > max_chars)


def failed(word: str) -> Action:
    """What did not parse."""
    return Action("", "", word, False)
