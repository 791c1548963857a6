"""Texts that policies should not write, but do."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Sequence

MEGABYTE = 1_000_000
FRAGMENTS = (
    "<think>", "</think>", "<answer>", "</answer>", "```json\n", "```", '{"query": "', '"}', '{"query": ["a", "b"]}',
    '{"query": "lamp", "filters": {"price": {"<=": 50}, "size": "A3"}}', '", "filters": {"price": "<= 9"', '{"size": NaN}}',
    '{"reranked_items": ["Item_1", "Item_2"]}', "[1, 2, 3]", "[2] > [1]", "[1] > [1] > [99]", "1. ", "- ", "\n", "\r\n", " ",
    "red", "lamp", "soft", "oak", "chair", "the", "<stop>", "<search>", "Item_", "0", "12", "999999999", "-1", "1e9",
    "nan", '"', "'", "\\", "\\u00e9", "\x00", "\x1c", "\u2028", "\u0130", "\u00df", "\ud800", "\udfff", "\U0001f600",
    "e\u0301",
    "\u202e", "\ufeff", "\u3000", "中文", "ελληνικά", "שלום", "%s", "{request}", "$(x)", "AND", "OR", "NOT", "*", "~2", "^9",
)  # fmt: skip


_ENDINGS = ["".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=4)]


def new_words(draw: random.Random, count: int, between: str = " ") -> str:
    """Distinct words of eight letters, at most 456,976, that no other call is likely to return."""
    beginning = "".join(draw.choices(string.ascii_lowercase, k=4))
    return beginning + f"{between}{beginning}".join(_ENDINGS[:count])


def unicode_text(draw: random.Random, length: int) -> str:
    """Characters from all of Unicode, including lone surrogates."""
    return "".join(map(chr, draw.choices(range(0x110000), k=length)))


def mixture(draw: random.Random, vocabulary: Sequence[str] = ()) -> str:
    """A short text of fragments that mean something to some action format, random characters and words."""
    pieces = [draw.choice(FRAGMENTS) for _ in range(draw.randint(0, 12))]
    pieces += draw.choices(vocabulary, k=draw.randint(0, 6)) if vocabulary else []
    pieces += [unicode_text(draw, draw.randint(0, 5)) for _ in range(draw.randint(0, 2))]
    draw.shuffle(pieces)
    text = draw.choice(("", " ", "\n")).join(pieces)
    return text * draw.choice((1, 1, 1, 1, 50))


def _deep(draw: random.Random) -> str:
    return '{"query": ' + "[" * 100_000 + new_words(draw, 1) + "]" * 100_000 + "}"


def _short_words(draw: random.Random) -> str:
    return "".join(draw.choices(string.ascii_lowercase + " ", k=MEGABYTE // 4))


# Each makes a new text, so that nothing is cached from an earlier one.
WORST: dict[str, Callable[[random.Random], str]] = {
    "gibberish word": lambda draw: new_words(draw, 1),
    "four gibberish words": lambda draw: " ".join(new_words(draw, 1) for _ in range(4)),
    "1 MB, no blank": lambda draw: new_words(draw, 1) + "a" * MEGABYTE,
    "1 MB of blanks": lambda draw: new_words(draw, 1) + " " * MEGABYTE + "a",
    "10,000 lines": lambda draw: new_words(draw, 10_000, "\n"),
    "10,000 equal lines": lambda draw: f"{new_words(draw, 1)}\n" * 10_000,
    "100,000 bullets": lambda draw: "- " * 100_000 + new_words(draw, 1),
    "10,000 nested tags": lambda draw: (
        f"{'<think><answer>' * 10_000}{new_words(draw, 1)}{'</answer></think>' * 10_000}"
    ),
    "10,000 answers": lambda draw: "<answer>a</answer>" * 10_000 + new_words(draw, 1),
    "one word 100,000 times": lambda draw: f"{draw.choice(('lamp', 'red', 'soft', 'oak'))} " * 100_000,
    "100,000 distinct words": lambda draw: new_words(draw, 100_000),
    "short words": _short_words,
    "100,000 random characters": lambda draw: unicode_text(draw, 100_000),
    "JSON, nested 100,000 deep": _deep,
    "JSON, 100,000 queries": lambda draw: '{"query": ["' + new_words(draw, 100_000, '", "') + '"]}',
    "JSON, 100,000 numbers": lambda draw: f"[{', '.join(str(draw.randint(1, 30)) for _ in range(100_000))}]",
    "JSON, 100,000 keys": lambda draw: '{"' + new_words(draw, 100_000, '": 1, "') + '": 1}',
    "JSON, 10,000 filters": lambda draw: (
        '{"query": "lamp", "filters": {"' + new_words(draw, 10_000, '": {"<=": 1}, "') + '": 1}}'
    ),
    "JSON, 4,000 filters that are understood": lambda draw: (
        '{"query": "'
        + new_words(draw, 1)
        + '", "filters": ['
        + '["price", "<=", 50], ' * 4_000
        + '["price", ">=", 5]]}'
    ),
    "JSON, 1 MB of escapes": lambda draw: '{"query": "' + "\\u00e9" * (MEGABYTE // 6) + '"}',
    "10,000 numbers": lambda draw: " > ".join(f"[{draw.randint(1, 30)}]" for _ in range(10_000)),
    "100,000 open brackets": lambda draw: "[1" * 100_000 + new_words(draw, 1),
    "100,000 separators": lambda draw: "1 " + ">" * 100_000 + new_words(draw, 1),
    "1 MB of digits": lambda draw: str(draw.randint(1, 9)) * MEGABYTE,
}
