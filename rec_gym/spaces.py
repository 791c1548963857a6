"""A text space for real text: any Unicode, checked by length only.

Gymnasium's own `Text` allows 62 distinct characters by default, and a charset of all Unicode would pickle to tens of MB.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

import numpy as np
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Box, Text, flatdim, flatten, flatten_space, unflatten
from gymnasium.vector.utils import create_empty_array, create_shared_memory

from rec_gym.tables import checked

MAX_LENGTH = 1 << 24
_SAMPLE = "abcdefghijklmnopqrstuvwxyz     ÄÖÜßéñøłжшאب漢字かなカナ한국🙂👍\t\n\"'<>{}[]()\\/&%$#@!?.,:;-_+*=0123456789"
_SAMPLE_LENGTH = 64


class UnicodeText(Text):
    """Any text of at most `max_length` characters.

    Args:
        max_length: characters, at most.
        seed: of `sample`.

    Raises:
        ValueError: `max_length` is not a whole number of at least 0.
    """

    def __init__(self, max_length: int = MAX_LENGTH, *, seed: int | np.random.Generator | None = None) -> None:
        if checked(max_length, int, "max_length of UnicodeText") < 0:
            raise ValueError(f"max_length of UnicodeText must be at least 0, not {max_length}")
        super().__init__(max_length, min_length=0, charset="", seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short text with letters of several scripts, symbols and white space; masks are not supported.

        Raises:
            ValueError: a mask or probability is given.
        """
        if mask is not None or probability is not None:
            raise ValueError("UnicodeText samples without mask and probability; leave them out")
        length = int(self.np_random.integers(0, min(_SAMPLE_LENGTH, self.max_length) + 1))
        return "".join(_SAMPLE[i] for i in self.np_random.integers(0, len(_SAMPLE), length))

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash((type(self), self.max_length))


def _refuse(space: UnicodeText, *args: object, **kwargs: object) -> NoReturn:
    raise NotImplementedError(
        "text of any length does not flatten to a box of fixed size; encode it (a tokenizer, hashed n-grams) before an "
        "algorithm that needs numbers"
    )


@create_empty_array.register(UnicodeText)
def _empty_texts(space: UnicodeText, n: int = 1, fn: Callable = np.zeros) -> tuple[str, ...]:
    return ("",) * n


@create_shared_memory.register(UnicodeText)
def _no_shared_memory(space: UnicodeText, n: int = 1, ctx: BaseContext | None = None) -> NoReturn:
    # With shared memory, every observation would silently be the initial one.
    raise CustomSpaceError("text does not fit into shared memory; pass shared_memory=False")


def _flatten_space(space: UnicodeText) -> Box:
    _refuse(space)


flatten.register(UnicodeText, _refuse)
unflatten.register(UnicodeText, _refuse)
flatdim.register(UnicodeText, _refuse)
flatten_space.register(UnicodeText, _flatten_space)
