"""What every action format shares: the action, and the base class that says how a completion becomes a ranking."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.filters import Condition
from rec_gym.loop.prompts import HISTORY, SEARCH, Prompt
from rec_gym.ranking import Rankings
from rec_gym.resolving import Interface
from rec_gym.tables import check_fields

MAX_CHARS = 10_000
# A bag-of-words engine takes at most 32,767 words; a text of this many characters holds no more.
MAX_CHARS_LIMIT = 65_534
# Characters of JSON that are read for each one that counts: it may be written as `\u00e9`, and other keys may come first.
_JSON_CHARS = 8

# What completions hold: baselines state which of these they can write. A custom format may state another word.
QUERY, QUERIES, TITLES, ORDER = "query", "queries", "titles", "order"


@dataclass(frozen=True, slots=True)
class Action:
    """What was understood of a completion.

    Attributes:
        query: what is asked or ordered, as human-readable text; empty when nothing was understood.
        written: the part of the query that the policy wrote.
        parse: one word that says what the parser did.
        ok: whether the completion parsed; one that did not is never sent to the recommender.
        clipped: whether something was cut to the format's limits.
        queries: what the recommender is asked, where a format may ask several; its rankings are merged into one.
        order: places of the candidates (from 0), best first, every one of them once; nothing is asked then.
        counts: a number for each name in the format's `counted`.
        filters: conditions that ranked items must meet, sorted and without repetitions, each `(column, operator, value)`.
    """

    query: str
    written: str
    parse: str
    ok: bool
    clipped: bool = False
    queries: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    filters: tuple[Condition, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether there is something to rank by: a query for the recommender, or an order of candidates."""
        return self.ok and bool(self.query)

    @property
    def questions(self) -> tuple[str, ...]:
        """What the recommender is asked."""
        return self.queries or (() if self.order else (self.query,))


class Asking(Protocol):
    """What a format makes rankings from: the actions of a batch that ask something, and the recommender.

    Attributes:
        actions: n actions.
        depth: places of a ranking that the task looks at.
    """

    actions: Sequence[Action]
    depth: int

    def ask(self, k: int) -> Rankings:
        """The top k of the first question of each action; identical questions are asked once."""
        ...

    def ask_each(self, k: int) -> Iterator[tuple[np.ndarray, list[Rankings]]]:
        """The top k of all questions, in groups of actions that ask equally many.

        Yields:
            The places of such actions, int [m], and for the first, second, ... question of each its Rankings [m, k].
        """
        ...

    def candidates(self) -> list[np.ndarray]:
        """For each action the item positions of its request's candidates, in the order in which they are given."""
        ...


class Truth(Protocol):
    """What a dataset knows to be right for one request, for the policy `oracle`."""

    @property
    def query(self) -> str:
        """The oracle query."""
        ...

    @property
    def titles(self) -> list[str]:
        """Distinct titles of the relevant items, by decreasing gain."""
        ...

    @property
    def order(self) -> list[int]:
        """Places of the candidates by decreasing gain; equals stay in the given order."""
        ...

    @property
    def constraints(self) -> Sequence[Condition]:
        """What the shopper insists on, as `(column, operator, value)`."""
        ...


@dataclass(frozen=True)
class ActionFormat(ABC):
    """From the text that a policy wrote to a ranking.

    A custom format is a class under this one or under one of the built-in formats. Its options are dataclass fields, so
    that `{name = "package.module:MyFormat", option = 3}` sets them. `parse` must not raise on any text.

    Args:
        max_chars: characters that count; what is longer is clipped.
    """

    max_chars: int = MAX_CHARS

    name: ClassVar[str] = ""  # by default the name of the class
    writes: ClassVar[str] = QUERY  # what a completion holds, which decides about the baselines that fit
    counted: ClassVar[tuple[str, ...]] = ()  # names of `Action.counts`
    instruction: ClassVar[str] = ""  # what a prompt says about the form of the answer
    needs_candidates: ClassVar[bool] = False  # whether a completion is about candidates that the request comes with
    # Whether the ranks of items are known only once the whole ranking is made: by default, if the class has its own rank().
    needs_list: ClassVar[bool] = False
    needs_oracle_query: ClassVar[bool] = True  # whether `best` reads `Truth.query`
    writes_filters: ClassVar[bool] = False  # whether a completion may hold filters (`Action.filters`)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__
        if "rank" in cls.__dict__ and "needs_list" not in cls.__dict__:
            cls.needs_list = True  # else `rank_of` of a recommender would answer for the first question alone

    def __post_init__(self) -> None:
        check_fields(self, f"action format {self.name!r}")
        if not 1 <= self.max_chars <= MAX_CHARS_LIMIT:
            raise ValueError(f"max_chars must lie in [1, {MAX_CHARS_LIMIT}], not {self.max_chars}")

    def bound_to(self, catalog: Catalog) -> ActionFormat:
        """The format as a task on this catalogue uses it: one that names its columns learns them here.

        What it learns goes into fields with `init=False`, so that the settings of a task hold only the options, and
        `compare=False`. The format itself is not changed.

        Raises:
            ValueError: an option does not fit the catalogue.
        """
        return self

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """Columns that a completion may filter by; over several turns the policy sees which values its results have."""
        return ()

    # Texts

    @abstractmethod
    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion.

        Args:
            completion: what the policy wrote.
            request: the request's own text.
            candidates: titles of the request's candidates, where the task has some.
        """

    @abstractmethod
    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`: the inverse of `parse`, for baselines and tests."""

    def with_filters(self, query: str, conditions: Sequence[Condition]) -> str:
        """A query with filters, as `compose` takes them; only for a format that `writes_filters`.

        Args:
            query: the query.
            conditions: `(column, operator, value)`.

        Raises:
            ValueError: completions of this format hold no filters.
        """
        raise ValueError(f"completions of the action format {self.name!r} hold no filters")

    def instruct(self) -> str:
        """What a prompt says about the form of the answer."""
        return self.instruction

    def prompt(self, is_history: bool) -> Prompt:
        """The prompt of a task that names none.

        Args:
            is_history: whether requests are purchase histories.
        """
        return HISTORY if is_history else SEARCH

    def list_candidates(self, titles: Sequence[str]) -> str:
        """The candidates as the prompt and the observation show them."""
        return "\n".join(f"[{number}] {title}" for number, title in enumerate(titles, 1))

    def best(self, truth: Truth) -> str:
        """The query (or titles, or order) that is right for a request, as `compose` takes it."""
        return truth.query

    def unchanged(self, count: int) -> Action:
        """The action that leaves `count` candidates in the order in which they are given.

        Raises:
            ValueError: the format has no candidates.
        """
        raise ValueError(f"the action format {self.name!r} has no order of candidates to compare with")

    # Rankings

    def rank(self, asking: Asking, k: int) -> Rankings:
        """One ranking of at most k places for each action: here, that of its only query.

        Args:
            asking: the actions of a batch, and the recommender.
            k: places in a ranking, >= 1.
        """
        return asking.ask(k)

    @property
    def max_json_chars(self) -> int:
        """Characters of JSON that are read: decoding one costs more than anything else that parsing does with it."""
        return _JSON_CHARS * self.max_chars


def _is_format(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, ActionFormat) and not inspect.isabstract(value)


ACTION_FORMAT = Interface("an action format", _is_format, "a class under ActionFormat with parse() and compose()")

# What a completion that ends an episode of several turns is understood as.
STOPPED = Action("", "", "stop", True)


def asked(query: str, word: str, max_chars: int) -> Action:
    """The action that asks a query, cut to the format's limit."""
    return Action(query[:max_chars], query[:max_chars], word, True, len(query) > max_chars)


def failed(word: str) -> Action:
    """What did not parse."""
    return Action("", "", word, False)
