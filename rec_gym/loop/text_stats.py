"""What a policy's text looks like: numbers that show keyword stuffing and copying beside the reward."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")
# What stands between ASCII words becomes a space: a quarter of the expression's time, and most queries are ASCII.
_ASCII = "".join(char if _WORD.match(char) else " " for char in map(chr, range(128)))

LENGTH, REPETITION, COPY = "length", "repetition", "copy"
TEXT_STATS = (LENGTH, REPETITION, COPY)


def words(text: str) -> list[str]:
    """The words of a text in lower case: runs of letters, digits and underscores of any script."""
    if text.isascii():
        return text.lower().translate(_ASCII).split()
    return _WORD.findall(text.lower())


def text_stats(written: Sequence[str], requests: Sequence[str]) -> dict[str, np.ndarray]:
    """Describes what policies wrote.

    Args:
        written: n texts.
        requests: the text of the request that each of them answers.

    Returns:
        `length`, the number of words; `repetition`, the share of them that repeat an earlier one; `copy`, the share of
        distinct words that stand in the request too. Each float64 [n]; a text without words has 0 everywhere.
    """
    stats = np.zeros((len(TEXT_STATS), len(written)))
    known: dict[str, frozenset[str]] = {}  # the samples of a group share their request
    for i, (text, request) in enumerate(zip(written, requests, strict=True)):
        found = words(text)
        if not found:
            continue
        if request not in known:
            known[request] = frozenset(words(request))
        distinct = set(found)
        stats[:, i] = len(found), 1 - len(distinct) / len(found), len(distinct & known[request]) / len(distinct)
    return dict(zip(TEXT_STATS, stats, strict=True))
