"""A baseline that reads filters out of a request's words by rules."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from rec_gym.filters import Condition
from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * value for value, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000}

_PRICES = ("price", "cost", "amount")
_WORD = rf"(?:{'|'.join(sorted([*_NUMBERS, *_SCALES, 'fourty', 'ninty'], key=len, reverse=True))})"
_DIGITS = r"[0-9]{1,9}(?:,[0-9]{3}){0,3}(?:\.[0-9]{1,2})?"
_UNIT = r"(?:dol+[ae]rs?|bucks?|euros?|pounds?|quid|usd|eur|gbp)"
_SUM = re.compile(
    rf"[$£€]\s?({_DIGITS})|\b({_DIGITS})\s?(?:[$£€]|{_UNIT}\b)|\b((?:a\s)?{_WORD}(?:(?:\s|-|\sand\s){_WORD}){{0,9}})\s{_UNIT}\b",
    re.IGNORECASE,
)
_AROUND = 40  # characters before and after a sum in which its direction is looked for
_UP = re.compile(r"\b(?:more than|over|above|beyond|higher than|exceed\w*)\b")
_DOWN = re.compile(r"\b(?:less than|under|below|cheaper than|lower than)\b")
_NEGATED = re.compile(r"\b(?:no|not|cannot|can't|never|nothing|don't|won't|without)\b")
_AT_LEAST = re.compile(r"\b(?:at least|minimum|starting (?:at|from)|upwards of|from)\b")
_AT_MOST = re.compile(r"\b(?:at most|up to|maximum|max|budget|limit|within|afford)\b")
_OR_MORE = re.compile(r"\s*(?:or more|or over|or above|and up|and more|upwards|minimum|at least)\b")
_OR_LESS = re.compile(r"\s*(?:or less|or under|or below|at most|maximum|max|tops)\b")
_CODE = r"((?=[\w.-]*[0-9])(?=[\w.-]*[^\W\d_])[\w.-]*\w)"  # of letters and digits: `size A3`, not `size and`


class FilterRule(Baseline):
    """Asks the request's text, with filters that rules read out of its words.

    The first column of numbers whose name holds price, cost or amount is limited by sums of money (`under $50`, `fifty
    dollars or more`, `nothing cheaper than 40 bucks`). A column of text is set to the code behind its name, a word
    of letters and digits (`size A3`). The rules know the request's text and the names of the columns; they see neither
    items nor gains.

    Args:
        task: the task; its action format holds filters.

    Raises:
        ValueError: the action format holds no filters.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if not task.action.writes_filters:
            raise ValueError(
                f"the policy 'filter-rule' needs an action format with filters, such as 'structured', not {task.action.name!r}"
            )
        columns, texts = task.action.filter_columns, task.dataset.catalog.text_columns
        numbers = [name for name in columns if name not in texts]
        self._price = next((name for name in numbers if any(word in name.lower() for word in _PRICES)), None)
        self._named = {name: _behind(name) for name in columns if name in texts}

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row, with its filters; see `ActionFormat.with_filters`."""
        return [self.task.action.with_filters(row["text"], self.filters(row["text"])) for row in rows]

    def filters(self, text: str) -> list[Condition]:
        """The filters that the rules read out of a request's text."""
        conditions: list[Condition] = []
        end = 0
        for match in _SUM.finditer(text) if self._price else ():
            before = text[max(end, match.start() - _AROUND) : match.start()]
            end = match.end()
            sign, value = _direction(before, text[end : end + _AROUND]), _value(match)
            if sign and value > 0:
                conditions.append((str(self._price), sign, value))
        for name, pattern in self._named.items():
            conditions += [(name, "==", match[1]) for match in [pattern.search(text)] if match]
        return conditions


def _behind(column: str) -> re.Pattern[str]:
    """The code behind a column's name."""
    words = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", column)))
    return re.compile(rf"\b{words}(?:\s(?:is\s)?|:\s?){_CODE}", re.IGNORECASE)


def _direction(before: str, after: str) -> str:
    """Whether a sum of money is the least (`>=`) or the most (`<=`) that is to be paid; empty if its words do not say."""
    near, after = re.split(r"[.?!]\s", before.lower())[-1], after.lower()
    if _OR_MORE.match(after):
        return ">="
    if _OR_LESS.match(after):
        return "<="
    negated = bool(_NEGATED.search(near))
    if _UP.search(near):
        return "<=" if negated else ">="
    if _DOWN.search(near):
        return ">=" if negated else "<="
    return ">=" if _AT_LEAST.search(near) else "<=" if _AT_MOST.search(near) else ""


def _value(match: re.Match[str]) -> float:
    """The sum of money that was written, in digits or in words."""
    digits = match[1] or match[2]
    if digits:
        return float(digits.replace(",", ""))
    total = part = 0
    for word in re.split(r"[\s-]+", match[3].lower().replace("fourty", "forty").replace("ninty", "ninety")):
        if word == "thousand":
            total, part = total + max(part, 1) * 1000, 0
        elif word == "hundred":
            part = max(part, 1) * 100
        else:
            part += _NUMBERS.get(word, 0)
    return float(total + part)
