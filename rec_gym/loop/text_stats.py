"""What a policy's text looks like: numbers that show keyword stuffing and copying beside the reward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_gym.words import words

LENGTH, REPETITION, COPY = "length", "repetition", "copy"
TEXT_STATS = (LENGTH, REPETITION, COPY)


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
