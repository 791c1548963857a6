"""Action formats: from the raw text that a policy wrote to the query that is asked.

A format never raises on any text. What it understood, it says in one word (`Action.parse`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

MAX_CHARS = 10_000
# A bag-of-words engine takes 32,767 words at the most; a text of this many characters holds no more.
MAX_CHARS_LIMIT = 65_534

_THINK, _THINK_END = "<think>", "</think>"
_ANSWER, _ANSWER_END = "<answer>", "</answer>"
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*(.*?)\s*(?:```\s*)?\Z", re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)  # models write raw newlines inside JSON strings


@dataclass(frozen=True, slots=True)
class Action:
    """What was understood of a completion.

    Attributes:
        query: what the recommender is asked; empty when nothing was understood.
        written: the part of the query that the policy wrote.
        parse: one word that says what the parser did.
        ok: whether the completion parsed; one that did not is never sent to the recommender.
        clipped: whether the query was cut to the format's limit.
    """

    query: str
    written: str
    parse: str
    ok: bool
    clipped: bool = False

    @property
    def asks(self) -> bool:
        """Whether there is a query for the recommender."""
        return self.ok and bool(self.query)


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
    instruction: ClassVar[str] = "Reply with the query and nothing else."

    def __post_init__(self) -> None:
        if not 1 <= self.max_chars <= MAX_CHARS_LIMIT:
            raise ValueError(f"max_chars must lie in [1, {MAX_CHARS_LIMIT}], not {self.max_chars}")

    def parse(self, completion: str, request: str) -> Action:
        """Understands a completion; `request` is the request's own text."""
        text, word = _without_think(completion)
        if word == "unclosed_think" or not text:
            return _failed(word if word == "unclosed_think" else "empty")
        return _asked(text, word, self.max_chars)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`: the inverse of `parse`, for baselines and tests."""
        return query


@dataclass(frozen=True)
class Append(Plain):
    """The request's own text, then what the policy wrote; an empty completion asks the request as it is.

    Parses: `ok`, `think_removed`, `nothing_added`; not ok: `unclosed_think`, `empty` (the request has no text either).
    """

    name: ClassVar[str] = "append"
    instruction: ClassVar[str] = "Reply with words to add to the request, and nothing else."

    def parse(self, completion: str, request: str) -> Action:
        """Understands a completion; `request` is the request's own text."""
        text, word = _without_think(completion)
        if word == "unclosed_think":
            return _failed(word)
        asked = f"{request} {text}".strip()
        if not asked:
            return _failed("empty")
        action = _asked(asked, word if text else "nothing_added", self.max_chars)
        return Action(action.query, text[: self.max_chars], action.parse, True, action.clipped)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`; words of a leading request text are not written again."""
        return query.removeprefix(request).strip()


@dataclass(frozen=True)
class Answer(Plain):
    """Rec-R1's format: `<think>...</think><answer>{"query": "..."}</answer>`.

    Tolerant by default: reasoning before the answer, code fences, text around it, a missing `</answer>` (stop strings
    are often cut off), several answers (the last counts) and a bare text instead of JSON are understood.

    Parses: `ok`, `bare` (no JSON), `fenced`, `last_answer` (of several), `unclosed_answer`, `trailing` (text after the
    JSON), `list` (several queries, joined); not ok: `no_answer`, `unclosed_think`, `bad_json`, `no_query`,
    `query_not_text`, `empty`, and with `strict` also `bad_tags`.

    Args:
        max_chars: characters of the query that count; a longer one is clipped.
        strict: the paper's check: each of the four tags exactly once, in order, around a JSON object with `query`.
        think_opened: the prompt has already written `<think>`, so that a completion need not.
    """

    strict: bool = False
    think_opened: bool = False
    name: ClassVar[str] = "answer"
    instruction: ClassVar[str] = (
        "Show your work in <think> </think> tags. Then reply with a JSON object in <answer> </answer> tags, "
        'for example <answer>{"query": "..."}</answer>.'
    )

    def parse(self, completion: str, request: str) -> Action:
        """Understands a completion; `request` is the request's own text."""
        if self.strict and not self._tags_are_right(completion):
            return _failed("bad_tags")
        start = completion.rfind(_ANSWER)
        if start < 0:
            unclosed = _THINK in completion and _THINK_END not in completion
            return _failed("unclosed_think" if unclosed else "no_answer")
        content, closed, _ = completion[start + len(_ANSWER) :].partition(_ANSWER_END)
        several = completion.count(_ANSWER) > 1
        word = "last_answer" if several else "ok" if closed else "unclosed_answer"
        return self._read(content.strip(), word)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`."""
        opening = "" if self.think_opened else _THINK
        return f"{opening}{_THINK_END}\n{_ANSWER}{json.dumps({'query': query}, ensure_ascii=False)}{_ANSWER_END}"

    def _tags_are_right(self, completion: str) -> bool:
        if self.think_opened and _THINK not in completion:
            completion = _THINK + completion
        tags = (_THINK, _THINK_END, _ANSWER, _ANSWER_END)
        places = [completion.find(tag) for tag in tags]
        return all(completion.count(tag) == 1 for tag in tags) and places == sorted(places)

    def _read(self, content: str, word: str) -> Action:
        fenced = _FENCE.match(content) if content.startswith("```") and not self.strict else None
        if fenced:
            content, word = fenced[1], "fenced" if word == "ok" else word
        if not content:
            return _failed("empty")
        if not content.startswith("{") and not self.strict:
            return self._bare(content, word)
        try:
            value, end = _DECODER.raw_decode(content)
        except (ValueError, RecursionError):
            return _failed("bad_json")
        if content[end:].strip():
            if self.strict:
                return _failed("bad_json")
            word = "trailing" if word == "ok" else word
        if not isinstance(value, dict) or "query" not in value:
            return _failed("no_query")
        return self._query(value["query"], word)

    def _bare(self, content: str, word: str) -> Action:
        """A text where JSON was asked for; one pair of quotation marks around it is not a part of it."""
        if len(content) > 1 and content[0] == content[-1] and content[0] in "\"'":
            content = content[1:-1].strip()
        return _asked(content, "bare" if word == "ok" else word, self.max_chars) if content else _failed("empty")

    def _query(self, query: object, word: str) -> Action:
        if isinstance(query, list) and query and all(isinstance(part, str) for part in query) and not self.strict:
            query, word = " ".join(query), "list" if word == "ok" else word
        if not isinstance(query, str):
            return _failed("query_not_text")
        return _asked(query.strip(), word, self.max_chars) if query.strip() else _failed("empty")


ACTIONS: dict[str, type[Plain]] = {format_.name: format_ for format_ in (Plain, Append, Answer)}


def make_action(spec: str | Mapping[str, object] | Plain) -> Plain:
    """An action format from its name or a table such as `{name = "answer", strict = true}`.

    Raises:
        ValueError: an unknown format or option; the message lists those there are.
    """
    if isinstance(spec, Plain):
        return spec
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if name not in ACTIONS:
        raise ValueError(f"unknown action format {name!r}; there are: {', '.join(ACTIONS)}")
    known = [field.name for field in fields(ACTIONS[name])]
    wrong = [option for option in options if option not in known]
    if wrong:
        raise ValueError(f"action format {name!r} has no option {wrong[0]!r}; there are: {', '.join(known)}")
    return ACTIONS[name](**options)


def _without_think(completion: str) -> tuple[str, str]:
    """The text after one leading closed `<think>`, and the parse word."""
    text = completion.strip()
    if not text.startswith(_THINK):
        return text, "ok"
    _, closed, rest = text.partition(_THINK_END)
    return (rest.strip(), "think_removed") if closed else ("", "unclosed_think")


def _asked(query: str, word: str, max_chars: int) -> Action:
    return Action(query[:max_chars], query[:max_chars], word, True, len(query) > max_chars)


def _failed(word: str) -> Action:
    return Action("", "", word, False)
