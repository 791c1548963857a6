"""The action format in which a completion holds a query and filters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from rec_gym.catalog import Catalog
from rec_gym.filters import Condition
from rec_gym.loop.actions.base import Action, Truth
from rec_gym.loop.actions.conditions import NUMBER, TEXT, TRUTH, Columns, as_written
from rec_gym.loop.actions.query import Answer
from rec_gym.loop.actions.tags import in_answer

_KEYS = ("filters", "filter")


@dataclass(frozen=True)
class Structured(Answer):
    """A query and filters: `<answer>{"query": "...", "filters": {"price": {"<=": 50}, "size": "A3"}}</answer>`.

    Everything around the object is understood as the format `answer` does it; `filters` may be absent. A filter is a value
    that the column must have, or a table of operators (`<=`, `>=`, `==`; also `<`, `>`, `=`, `≤`, `≥`) and values. A list of
    such tables, of `[column, operator, value]` or of `{"column": ..., "operator": ..., "value": ...}` is understood too.
    Column names may differ in case, blanks, `_` and `-`. A value of a text column is taken as it is written if the
    catalogue has it, or else as the only value that differs in case and blanks alone (in a column of at most 10,000
    distinct values); a value that the catalogue lacks is a filter that no item passes. A number may be a text such as
    "50", "£50", "1,299.00" or "<= 50". A null or an empty text is no filter. Filters with an unknown column or operator,
    of a wrong type, or beyond `max_filters` are ignored and counted.

    Parses: those of `answer`, and `filters_ignored` instead of `ok`.

    Args:
        max_chars: characters of the query that count; a longer one is clipped. Of longer JSON, see `answer`: filters
            behind a query that is cut are lost with what is cut.
        strict: the paper's check of tags and JSON; filters are read as ever.
        think_opened: the prompt has already written `<think>`, so that a completion need not.
        columns: columns of the catalogue that may be filtered by; empty for all of numbers, and those of text in which
            values repeat: among the first 10,000 items there are at most half as many distinct values.
        max_filters: conditions that are read.
    """

    columns: tuple[str, ...] = ()
    max_filters: int = 16
    _known: Columns = field(default=Columns(()), init=False, repr=False, compare=False)
    name: ClassVar[str] = "structured"
    writes_filters: ClassVar[bool] = True
    counted: ClassVar[tuple[str, ...]] = ("filters", "filters_ignored")
    instruction: ClassVar[str] = (
        "Show your work in <think> </think> tags. Then reply with a JSON object in <answer> </answer> tags, "
        'for example <answer>{example}</answer>. Only products that meet every filter are found; "filters" may be left out.'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_filters < 1:
            raise ValueError(f"max_filters must be at least 1, not {self.max_filters}")

    def bound_to(self, catalog: Catalog) -> Self:
        """The format with the columns of this catalogue; see `ActionFormat.bound_to`."""
        bound = replace(self)
        object.__setattr__(bound, "_known", Columns.of(catalog, self.columns))
        return bound

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """Columns that a completion may filter by; none before `bound_to`."""
        return self._known.names

    def instruct(self) -> str:
        """What a prompt says about the form of the answer: names and kinds of the columns, never their values."""
        numbers, texts, truths = (self._known.of_kind(kind) for kind in (NUMBER, TEXT, TRUTH))
        shown: dict[str, Any] = {name: {"<=": 50} for name in numbers[:1]} | dict.fromkeys(texts[:1], "...")
        example = json.dumps({"query": "...", "filters": shown or dict.fromkeys(truths[:1], True)}, ensure_ascii=False)
        kinds = [
            f"{', '.join(names)} ({'<=, >= or == a ' if kind == NUMBER else ''}{kind})"
            for kind, names in ((NUMBER, numbers), (TEXT, texts), (TRUTH, truths))
            if names
        ]
        columns = f" Filters may be set on: {'; '.join(kinds)}." if kinds else ""
        return self.instruction.replace("{example}", example) + columns

    def parse(self, completion: str, request: str, candidates: Sequence[str] = ()) -> Action:
        """Understands a completion; see `ActionFormat.parse`."""
        action = super().parse(completion, request, candidates)
        return action if action.counts or not action.ok else replace(action, counts=(0, 0))

    def compose(self, query: str, request: str) -> str:
        """The completion that asks `query`, which may be a JSON object with query and filters; see `with_filters`."""
        content = query.strip()
        if not self._is_object(content):
            content = json.dumps({"query": query}, ensure_ascii=False)
        return in_answer(content, self.think_opened)

    def with_filters(self, query: str, conditions: Sequence[Condition]) -> str:
        """A query with filters, as `compose` takes them; conditions on columns that may not be filtered by are left out."""
        known = [
            condition for condition in conditions if condition[0] in self.filter_columns or not self._known.columns
        ]
        filters = {"filters": as_written(known)} if known else {}
        return json.dumps({"query": query, **filters}, ensure_ascii=False)

    def best(self, truth: Truth) -> str:
        """The oracle query, and what the shopper insists on as filters."""
        return self.with_filters(truth.query, truth.constraints)

    def _understood(self, value: dict[str, Any], word: str) -> Action:
        action = super()._understood(value, word)
        if not action.ok:
            return action
        written: object = next((value[key] for key in _KEYS if value.get(key)), {})
        filters, ignored = self._known.read(written, self.max_filters)
        word = "filters_ignored" if ignored and action.parse == "ok" else action.parse
        return replace(action, parse=word, filters=filters, counts=(len(filters), ignored))

    def _is_object(self, content: str) -> bool:
        if not content.startswith("{") or len(content) > self.max_json_chars:
            return False
        try:
            value = json.loads(content, strict=False)
        except (ValueError, RecursionError):
            return False
        return isinstance(value, dict) and isinstance(value.get("query"), str)
