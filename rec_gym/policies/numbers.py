"""Numbers in a text, in digits and in English words."""

from __future__ import annotations

import re

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * value for value, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 1000}
_WORD = rf"(?:{'|'.join(sorted([*_NUMBERS, *_SCALES, 'fourty', 'ninty'], key=len, reverse=True))})"

DIGITS = r"[0-9]{1,9}(?:,[0-9]{3}){0,3}(?:\.[0-9]{1,2})?"
"""A number in digits, as a regular expression."""

IN_WORDS = rf"(?:a\s)?{_WORD}(?:(?:\s|-|\sand\s){_WORD}){{0,9}}"
"""A number in English words, as a regular expression; cases are to be ignored."""


def number_of(text: str) -> float:
    """The number that a text of the form `DIGITS` or `IN_WORDS` says."""
    if text[:1].isdigit():
        return float(text.replace(",", ""))
    total = part = 0
    for word in re.split(r"[\s-]+", text.lower().replace("fourty", "forty").replace("ninty", "ninety")):
        if word == "thousand":
            total, part = total + max(part, 1) * 1000, 0
        elif word == "hundred":
            part = max(part, 1) * 100
        else:
            part += _NUMBERS.get(word, 0)
    return float(total + part)
