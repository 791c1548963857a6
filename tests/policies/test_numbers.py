"""Numbers in words are read as they are meant."""

import re

import pytest

from rec_gym.policies.numbers import DIGITS, IN_WORDS, number_of

ONES = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
]
ONES += ["eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def said(number, joint):
    """A whole number from 1 to 9,999 in English words."""
    if number >= 1000:
        rest = f" {said(number % 1000, joint)}" if number % 1000 else ""
        return f"{ONES[number // 1000 - 1]} thousand{rest}"
    if number >= 100:
        rest = f"{joint}{said(number % 100, joint)}" if number % 100 else ""
        return f"{ONES[number // 100 - 1]} hundred{rest}"
    if number >= 20:
        return TENS[number // 10 - 2] + (f"-{ONES[number % 10 - 1]}" if number % 10 else "")
    return ONES[number - 1]


@pytest.mark.parametrize("joint", [" ", " and "])
def test_every_number_in_words_is_read(joint):
    for number in range(1, 10_000):
        text = said(number, joint)
        assert re.fullmatch(IN_WORDS, text), text
        assert number_of(text) == number, text


@pytest.mark.parametrize(
    ("text", "value"), [("1,299.50", 1299.5), ("40", 40), ("a hundred", 100), ("A Thousand", 1000), ("fourty", 40)]
)
def test_other_spellings(text, value):
    assert re.fullmatch(f"{DIGITS}|{IN_WORDS}", text, re.IGNORECASE)
    assert number_of(text) == value
