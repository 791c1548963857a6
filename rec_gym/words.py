r"""Words: maximal runs of `\w` (letters, digits and underscores of any script) in the lower case of a text."""

from __future__ import annotations

import functools
import re
import sys

import numpy as np

_WORD = re.compile(r"\w+")
# Characters between ASCII words become spaces: this takes a quarter of the regex's time, and most queries are ASCII.
_ASCII = "".join(char if _WORD.match(char) else " " for char in map(chr, range(128)))
_LONG = 1 << 10  # characters from which a table is faster than the regex, which tries at every position


def words(text: str) -> list[str]:
    """The words of a text in order; any Unicode is allowed."""
    text = text.lower()
    if not text.isascii() and len(text) < _LONG:
        return _WORD.findall(text)
    return _blanked(text).split()


def blanked(text: str) -> str:
    """The text in lower case with spaces in place of what is between its words."""
    return _blanked(text.lower())


def _blanked(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII)
    if len(text) < _LONG:
        return " ".join(_WORD.findall(text))
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return np.where(_in_words()[points], points, np.uint32(ord(" "))).astype("<u4").tobytes().decode("utf-32-le")


@functools.cache
def _in_words() -> np.ndarray:
    """Whether each character is a word character, bool [1,114,112]."""
    table = np.zeros(sys.maxunicode + 1, bool)
    for match in _WORD.finditer("".join(map(chr, range(len(table))))):
        table[match.start() : match.end()] = True
    return table
