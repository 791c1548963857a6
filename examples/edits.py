"""Edits of the last query (at first of the request) without a model: a policy that draws.

    python examples/best_of_n.py --policy examples/edits.py:Edits
    python examples/tree_search.py --policy examples/edits.py:Edits

Each copy of a row gets a different edit, so that there is something to choose from.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rec_gym.policies.learner import english_nouns
from rec_gym.words import words

# How a row shows the turns so far.
_SEARCH, _TITLE = re.compile(r"^Search \d+: ", re.MULTILINE), re.compile(r"^  \d+\. (.*)$", re.MULTILINE)


class Edits:
    """Drops a word, adds an English noun, or adds or substitutes a word from the titles that the row shows.

    The draw depends on the seed, the row's prompt and which copy of the row it is.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.nouns = int(seed), english_nouns()  # a policy's argument is text

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """One edit for each row."""
        copies: Counter[str] = Counter()
        edits = []
        for row in rows:
            copies[row["prompt"]] += 1
            key = [self.seed, zlib.crc32(row["prompt"].encode("utf-8", "surrogatepass")), copies[row["prompt"]]]
            edits.append(self.edit(row, np.random.PCG64(np.random.SeedSequence(key))))
        return edits

    def edit(self, row: Mapping[str, Any], random: np.random.PCG64) -> str:
        """A random edit of the row's last query."""

        def pick(options: Sequence[Any]) -> Any:
            return options[random.random_raw() % len(options)]  # raw draws are the same in every NumPy version

        searches = _SEARCH.split(row["prompt"])[1:]
        last = searches[-1] if searches else row["text"]
        query = words(last.partition("\n")[0] if searches else last) or [row["text"]]
        shown = words(" ".join(_TITLE.findall(last))) if searches else []
        move = pick(["drop", "noun", "title", "exchange"] if shown else ["drop", "noun"])
        place = pick(range(len(query)))
        others = query[:place] + query[place + 1 :]
        if move == "drop" and others:
            return " ".join(others)
        word = pick(shown if move in ("title", "exchange") else self.nouns)
        return " ".join([*(others if move == "exchange" else query), word])
