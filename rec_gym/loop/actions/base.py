"""What every action format shares: the action itself, and the formats in which a text holds one query."""

from __future__ import annotations

from dataclasses import dataclass

MAX_CHARS = 10_000
# A bag-of-words engine takes at most 32,767 words; a text of this many characters holds no more.
MAX_CHARS_LIMIT = 65_534
# Characters of JSON that are read for each one that counts: it may be written as `\u00e9`, and other keys may come first.
_JSON_CHARS = 8


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


def asked(query: str, word: str, max_chars: int) -> Action:
    """The action that asks a query, cut to the format's limit."""
    return Action(query[:max_chars], query[:max_chars], word, True, len(query) > max_chars)


def failed(word: str) -> Action:
    """What did not parse."""
    return Action("", "", word, False)
