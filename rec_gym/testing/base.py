"""What the checks share: the requirement, odd texts, and a small dataset."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TypeVar

from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset

T = TypeVar("T")

_PIECES = ["<think>", "</think>", "<answer>", "</answer>", "```json\n", "```", '{"query": "', '"}', "{", "[", "\\u00"]
ODD_TEXTS: tuple[str, ...] = (
    *(
        "",
        " ",
        "\n\n",
        "\0",
        "\ud800",
        "\udfff lamp \ud800",
        "Ärger 灯 \U0001f4a1",
        "a\u0301\u200b\ufeff",
        "%s {request} {}",
    ),
    *(
        "<think>for ever",
        "<answer></answer>",
        "</answer><answer>",
        '<answer>{"query": "\ud800"}</answer>',
        "[[[[",
        "- - -",
    ),
    *(
        "[1] > [2] > [1]",
        "[99999999999999999999]",
        "[-1] > [0]",
        "1,2,,3",
        "NaN",
        "null",
        '{"query": null}',
        "[" * 3000,
    ),
    *(first + second for first in _PIECES for second in _PIECES),
    "red lamp\n" * 200,
)
"""Texts that a policy may write, however strange; lone surrogates and control characters are among them."""


def require(condition: object, message: str) -> None:
    """Raises an AssertionError with the message where the condition does not hold."""
    if not condition:
        raise AssertionError(message)


def attempt(what: str, function: Callable[..., T], *arguments: object, **options: object) -> T:
    """What the function returns; whatever it raises becomes an AssertionError that says what was attempted."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        raise AssertionError(f"{what} raised {type(error).__name__}: {error}") from error


def pickled(value: T, what: str) -> T:
    """The value after a round trip through pickle, as other processes get it."""
    advice = (
        f"pickling {what} (workers get a copy; keep locks, open files and functions of functions out of its attributes)"
    )
    data = attempt(advice, pickle.dumps, value)
    return attempt(advice, pickle.loads, data)


def small_dataset() -> Dataset:
    """Twelve items and twelve requests with one to four relevant items, graded, with constraints and oracle queries."""
    things = ["lamp", "desk", "chair", "rug"]
    titles = [f"{colour} {thing}" for colour in ("red", "blue", "oak") for thing in things]
    catalog = Catalog.from_columns(
        {
            "item_id": [f"i{number}" for number in range(12)],
            "title": titles,
            "price": [number * 10.0 for number in range(12)],
            "popularity": list(range(12)),
            "document": [f"d{number // 4}" for number in range(12)],
            "place": [number % 4 for number in range(12)],
        }
    )
    requests = [
        {
            "id": f"q{number}",
            "text": f"a {things[number % 4]} for me",
            "split": "train" if number < 8 else "val" if number < 10 else "test",
            "gains": {f"i{(number + step) % 12}": 1.0 / (1 + step) for step in range(1 + number % 4)},
            "constraints": [["price", "<=", 60.0]],
            "oracle": titles[number],
        }
        for number in range(12)
    ]
    return Dataset.from_requests(catalog, requests)
