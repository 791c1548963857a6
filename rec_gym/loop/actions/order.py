"""The action format of re-ranking: a completion puts the request's candidates into an order."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rec_gym.fusion import by_place
from rec_gym.loop.actions.base import ORDER, Action, ActionFormat, Asking, Truth, failed
from rec_gym.loop.actions.lists import without_bullet
from rec_gym.loop.actions.tags import in_answer, last_answer, tags_are_right, unfenced, without_think
from rec_gym.loop.prompts import ORDER_HISTORY, ORDER_SEARCH, Prompt
from rec_gym.ranking import NOT_RANKED, Rankings

_CHAIN = re.compile(r"\[\s*[0-9]{1,9}\s*\](?:\s*>\s*\[\s*[0-9]{1,9}\s*\])+")
_BRACKETED = re.compile(r"\[\s*([0-9]{1,9})\s*\]")
_NUMBERS = re.compile(r"[0-9]{1,9}(?:[\s,;>]+[0-9]{1,9})+")
_NUMBER = re.compile(
    r"(?:(?:item|candidate|product|number|no\.?)[\s_#]*)?[#(\[]?([0-9]{1,9})[)\]]?[.:]?", re.IGNORECASE
)
_ENTRIES_EACH = 10  # entries of an order that are read, for each candidate
_PAPER_NAME = re.compile(r"Item_([1-9][0-9]{0,8})")
_PAPER_KEY = "reranked_items"
_QUOTES = " \t\"'`*“”"

Entry = int | str  # the place of a candidate (from 0) that a number names, or a text that may be a title


@dataclass(frozen=True)
class Order(ActionFormat):
    """An order of the candidates: `[3] > [1] > [2]`, numbers or titles, plain or in `<answer>`.

    Understood are chains in square brackets (the last one of a text that holds several), numbers between commas, blanks
    or `>`, a JSON list of either (also as a value of an object), and titles, one per line or between `>`; reasoning in a
    leading `<think>` and code fences are removed. Candidates that are not named follow in the given order.

    Parses: `ok`, `think_removed`, `fenced`, `last_answer`, `unclosed_answer`; `incomplete` (some candidates are missing),
    `duplicates` (one is named again), `unknown` (something names no candidate), `unknown_and_duplicates`;
    `no_candidates` (the request has none, and nothing is ranked); not ok: `empty`, `unclosed_think`, `no_order` (no
    candidate is named), and with `strict` also `bad_tags`, `bad_json` (also JSON of more than eight times
    `max_chars`), `not_all_once`.

    Of an order that names ten times as many things as there are candidates the rest is left out, and it counts as
    clipped.

    Args:
        max_chars: characters of the order that count; a longer one is clipped.
        strict: Rec-R1's check: each of the four tags exactly once, in order, around
            `{"reranked_items": ["Item_4", ...]}`, every candidate exactly once.
        think_opened: the prompt has already written `<think>`, so that a completion need not.
    """

    strict: bool = False
    think_opened: bool = False
    name: ClassVar[str] = "order"
    writes: ClassVar[str] = ORDER
    needs_candidates: ClassVar[bool] = True
    needs_oracle_query: ClassVar[bool] = False
    counted: ClassVar[tuple[str, ...]] = ("missing", "unknown", "duplicates")
    instruction: ClassVar[str] = (
        "Reply with the numbers of all candidates, best first, for example [2] > [3] > [1], and nothing else."
    )

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        if not candidates:
            return Action("", "", "no_candidates", True)
        if self.strict:
            return self._parse_strictly(completion, candidates)
        content, word = _content(completion)
        if not content:
            return failed(word if word == "unclosed_think" else "empty")
        most = _ENTRIES_EACH * len(candidates)
        entries = _entries(content[: self.max_chars], candidates, most + 1)
        action = _ordered(entries[:most], candidates, word)
        written = content[: self.max_chars] if action.ok else ""
        clipped = len(content) > self.max_chars or len(entries) > most
        return replace(action, written=written, clipped=action.ok and clipped)

    def compose(self, query: str, request: str) -> str:
        """The completion that orders as `query` says, such as `[2] > [1]`."""
        if not self.strict:
            return query
        names = [f"Item_{number}" for number in _BRACKETED.findall(query)]
        return in_answer(json.dumps({_PAPER_KEY: names}), self.think_opened)

    def list_candidates(self, titles: Sequence[str]) -> str:
        """The candidates as the prompt and the observation show them."""
        if self.strict:
            return "\n\n".join(f"Item_{number}: , {title}" for number, title in enumerate(titles, 1))
        return super().list_candidates(titles)

    def prompt(self, is_history: bool) -> Prompt:
        """The prompt of a task that names none; see `ActionFormat.prompt`."""
        return ORDER_HISTORY if is_history else ORDER_SEARCH

    def best(self, truth: Truth) -> str:
        """The candidates by decreasing gain."""
        return order_text(truth.order)

    def unchanged(self, count: int) -> Action:
        """The action that leaves the candidates as they are given."""
        order = tuple(range(count))
        return Action(order_text(order), "", "ok", True, order=order)

    def rank(self, asking: Asking, k: int) -> Rankings:
        """The candidates in the order of each action; the recommender is not asked."""
        items = np.full((len(asking.actions), asking.depth), NOT_RANKED, np.int32)
        for row, (action, offered) in enumerate(zip(asking.actions, asking.candidates(), strict=True)):
            items[row, : len(offered)] = offered[list(action.order)]
        return by_place(items)

    def _parse_strictly(self, completion: str, candidates: Sequence[str]) -> Action:
        answer = last_answer(completion)
        if answer is None or not tags_are_right(completion, self.think_opened):
            return failed("bad_tags")
        content = answer[0]
        if len(content) > self.max_json_chars:
            return failed("bad_json")
        value = _json(content)
        names = value.get(_PAPER_KEY) if isinstance(value, dict) else None
        if not isinstance(names, list):
            return failed("bad_json")
        names = names[: _ENTRIES_EACH * len(candidates)]
        found = [_PAPER_NAME.fullmatch(name) if isinstance(name, str) else None for name in names]
        entries = [int(match[1]) - 1 if match else -1 for match in found]
        action = _ordered(entries, candidates, "ok")
        if not action.ok or any(action.counts):
            return replace(failed("not_all_once"), counts=action.counts)
        return replace(action, written=content[: self.max_chars])


def order_text(places: Sequence[int]) -> str:
    """An order as a text: `[3] > [1]` for the places 2 and 0."""
    return " > ".join(f"[{place + 1}]" for place in places)


def _content(completion: str) -> tuple[str, str]:
    """The part of a completion that holds the order, and the parse word."""
    content, word = last_answer(completion) or without_think(completion)
    inside = unfenced(content)
    return (content, word) if inside is None else (inside, "fenced" if word == "ok" else word)


def _ordered(entries: Sequence[Entry], candidates: Sequence[str], word: str) -> Action:
    """The order that entries name; candidates that they do not name follow as they were given."""
    places_of: dict[str, list[int]] = {}
    for place, title in enumerate(candidates):
        places_of.setdefault(_key(title), []).append(place)
    named: dict[int, None] = {}
    unknown = duplicates = 0
    for entry in entries:
        # Candidates of the same title are taken one after the other.
        places = places_of.get(_key(entry), []) if isinstance(entry, str) else [entry]
        places = [place for place in places if 0 <= place < len(candidates)]
        free = [place for place in places if place not in named]
        if free:
            named[free[0]] = None
        duplicates += bool(places) and not free
        unknown += not places
    counts = (len(candidates) - len(named), unknown, duplicates)
    if not named:
        return replace(failed("no_order"), counts=counts)
    if any(counts):
        word = "incomplete"
    if unknown or duplicates:
        word = "unknown_and_duplicates" if unknown and duplicates else "unknown" if unknown else "duplicates"
    rest = [place for place in range(len(candidates)) if place not in named]
    return Action(order_text(list(named)), "", word, True, order=(*named, *rest), counts=counts)


def _entries(content: str, candidates: Sequence[str], most: int) -> list[Entry]:
    """What a text names, in its order, and no more than `most` of it."""
    value = _json(content)
    if isinstance(value, dict):
        value = next((part for part in value.values() if isinstance(part, list)), None)
    titles = {_key(title) for title in candidates}
    if isinstance(value, list):
        return [_json_entry(part, titles, len(candidates)) for part in value[:most]]
    pieces = _pieces(content, titles, most)
    if not any(_key(piece) in titles for piece in pieces):
        # A chain says more than the numbers that a text mentions before it comes to its order.
        chains = _CHAIN.findall(content)
        numbers = _BRACKETED.findall(chains[-1] if chains else content)
        if numbers:
            return [int(number) - 1 for number in numbers[:most]]
    return [_entry(piece, titles, len(candidates)) for piece in pieces]


def _pieces(content: str, titles: set[str], most: int) -> list[str]:
    """The parts of a text: its lines, cut at `>` and (where there is one line only) at commas, titles left whole."""
    if _NUMBERS.fullmatch(content):
        return re.split(r"[\s,;>]+", content, maxsplit=most)[:most]
    lines = [without_bullet(line) for line in content.split("\n")]
    lines = [line for line in lines if line]
    pieces: list[str] = []
    for line in lines:
        if _key(line) in titles:
            pieces.append(line)
        elif ">" in line:
            pieces += line.split(">")
        else:
            pieces += re.split("[,;]", line) if len(lines) == 1 else [line]
        if len(pieces) > most:
            pieces = [piece for piece in pieces if piece.strip()]
            if len(pieces) >= most:
                break
    return [piece for piece in pieces if piece.strip()][:most]


def _entry(piece: str, titles: set[str], count: int) -> Entry:
    """A title that is a number is a title only where it cannot be the number of a candidate."""
    match = _NUMBER.fullmatch(piece.strip(_QUOTES))
    if match is None or (int(match[1]) > count and _key(piece) in titles):
        return piece
    return int(match[1]) - 1


def _json_entry(part: object, titles: set[str], count: int) -> Entry:
    if isinstance(part, str):
        return _entry(part, titles, count)
    return part - 1 if isinstance(part, int) and not isinstance(part, bool) else -1


def _key(title: str) -> str:
    """What two writings of a title have in common: case, blanks and quotation marks around it do not count."""
    return " ".join(title.casefold().split()).strip(_QUOTES)


def _json(content: str) -> object:
    """The value of a text that is JSON as a whole, else None."""
    if not content.startswith(("{", "[")):
        return None
    try:
        return json.loads(content, strict=False)
    except (ValueError, RecursionError):
        return None
