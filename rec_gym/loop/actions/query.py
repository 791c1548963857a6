"""Action formats in which a completion holds one query."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rec_gym.loop.actions.base import Action, ActionFormat, asked, failed
from rec_gym.loop.actions.tags import (
    THINK,
    THINK_END,
    find_tag,
    in_answer,
    last_answer,
    tags_are_right,
    unfenced,
    without_think,
)

_DECODER = json.JSONDecoder(strict=False)  # models write raw newlines inside JSON strings
_ESCAPE = len(r"\u00e9")  # characters of the longest escape
_QUERY_BEGINS = re.compile(r'\{\s*"query"\s*:\s*"')


@dataclass(frozen=True)
class Plain(ActionFormat):
    """The whole text is the query; one leading closed `<think>...</think>` is removed and said.

    Parses: `ok`, `think_removed`; not ok: `empty`, `unclosed_think`.

    Args:
        max_chars: characters of the query that count; a longer one is clipped.
    """

    name: ClassVar[str] = "plain"
    instruction: ClassVar[str] = "Reply with the query and nothing else."

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        text, word = without_think(completion)
        if word == "unclosed_think" or not text:
            return failed(word if word == "unclosed_think" else "empty")
        return asked(text, word, self.max_chars)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`."""
        return query


@dataclass(frozen=True)
class Append(ActionFormat):
    """The request's own text, then what the policy wrote; an empty completion asks the request as it is.

    Parses: `ok`, `think_removed`, `nothing_added`; not ok: `unclosed_think`, `empty` (the request has no text either).
    """

    name: ClassVar[str] = "append"
    instruction: ClassVar[str] = "Reply with the words to add to the request and nothing else."

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        text, word = without_think(completion)
        if word == "unclosed_think":
            return failed(word)
        query = f"{request} {text}".strip()
        if not query:
            return failed("empty")
        action = asked(query, word if text else "nothing_added", self.max_chars)
        return Action(action.query, text[: self.max_chars], action.parse, True, action.clipped)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`; words of a leading request text are not written again."""
        return query.removeprefix(request).strip()


@dataclass(frozen=True)
class Answer(ActionFormat):
    """Rec-R1's format: `<think>...</think><answer>{"query": "..."}</answer>`.

    Tolerant by default: reasoning before the answer, code fences, text around it, a missing `</answer>` (stop strings
    are often cut off), several answers (the last counts) and a bare text instead of JSON are understood.

    Parses: `ok`, `bare` (no JSON), `fenced`, `last_answer` (of several), `unclosed_answer`, `trailing` (text after the
    JSON), `list` (several queries, joined); not ok: `no_answer`, `unclosed_think`, `bad_json`, `no_query`,
    `query_not_text`, `empty`, and with `strict` also `bad_tags`.

    Args:
        max_chars: characters of the query that count; a longer one is clipped. JSON that has not ended after eight times
            as many is `bad_json`, but for an object whose first value is a query of such a length.
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

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        if self.strict and not tags_are_right(completion, self.think_opened):
            return failed("bad_tags")
        answer = last_answer(completion)
        if answer is None:
            unclosed = find_tag(completion, THINK) >= 0 and find_tag(completion, THINK_END) < 0
            return failed("unclosed_think" if unclosed else "no_answer")
        return self._read(*answer)

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`."""
        return in_answer(json.dumps({"query": query}, ensure_ascii=False), self.think_opened)

    def _read(self, content: str, word: str) -> Action:
        inside = None if self.strict else unfenced(content)
        if inside is not None:
            content, word = inside, "fenced" if word == "ok" else word
        if not content:
            return failed("empty")
        if not content.startswith("{") and not self.strict:
            return self._bare(content, word)
        cut = content[: self.max_json_chars]
        too_long = len(content) > len(cut)
        # JSON is mostly too long because its query is. If the cut query can be read, the object has not ended, and need not
        # be decoded for that; only the characters that `_cut_query` may drop could end it unseen.
        cut_first = too_long and "}" not in cut[-_ESCAPE:]
        query = self._cut_query(cut) if cut_first else None
        if query is None:
            try:
                value, end = _DECODER.raw_decode(cut)
            except (ValueError, RecursionError):
                query = self._cut_query(cut) if too_long and not cut_first else None
                if query is None:
                    return failed("bad_json")
        if query is not None:
            return replace(self._query(query, word), clipped=True)
        if content[end:].strip():
            if self.strict:
                return failed("bad_json")
            word = "trailing" if word == "ok" else word
        if not isinstance(value, dict) or "query" not in value:
            return failed("no_query")
        return self._understood(value, word)

    def _understood(self, value: dict[str, Any], word: str) -> Action:
        """What a JSON object with a query says."""
        return self._query(value["query"], word)

    def _cut_query(self, cut: str) -> str | None:
        """The beginning of the query in the first characters of JSON, where it is the query that is cut."""
        if not _QUERY_BEGINS.match(cut):
            return None
        last = cut.rfind("\\", len(cut) - _ESCAPE)  # the last escape may be cut in two
        if last >= 0 and (last + 1 - len(cut[: last + 1].rstrip("\\"))) % 2:
            cut = cut[:last]
        try:
            return _DECODER.decode(cut + '"}')["query"]
        except (ValueError, RecursionError):
            return None

    def _bare(self, content: str, word: str) -> Action:
        """A text where JSON was asked for; one pair of quotation marks around it is not a part of it."""
        if len(content) > 1 and content[0] == content[-1] and content[0] in "\"'":
            content = content[1:-1].strip()
        return asked(content, "bare" if word == "ok" else word, self.max_chars) if content else failed("empty")

    def _query(self, query: object, word: str) -> Action:
        if isinstance(query, list) and query and all(isinstance(part, str) for part in query) and not self.strict:
            query, word = " ".join(query), "list" if word == "ok" else word
        if not isinstance(query, str):
            return failed("query_not_text")
        return asked(query.strip(), word, self.max_chars) if query.strip() else failed("empty")
