"""Outcomes of several batches as those of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.loop.outcomes import Outcomes
from rec_gym.ranking import NOT_RANKED, Rankings


def join_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of consecutive batches of one task, at least one, as those of the whole batch."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(first):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "ranks":
            columns[field.name] = _join_ragged(values)
        elif field.name == "_lists":
            columns[field.name] = None if any(value is None for value in values) else _JoinedLists(values)
        elif values[0] is None:  # a column that the task's outcomes do not have
            columns[field.name] = None
        elif isinstance(values[0], dict):
            columns[field.name] = {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        elif isinstance(values[0], np.ndarray):
            columns[field.name] = np.concatenate(values)
        else:
            columns[field.name] = [one for value in values for one in value]
    return type(first)(**columns)


def _join_ragged(parts: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(parts[0].offsets.dtype)
    return Ragged(offsets, np.concatenate([part.values for part in parts]))


class _JoinedLists:
    """The rankings behind joined outcomes, with the interface of `Lists`."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts

    def rankings(self, k: int = 0) -> Rankings:
        """Rankings of all completions, to depth k or the task's; see `Lists.rankings`."""
        parts = [part.rankings(k) for part in self._parts]
        depth = max(part.depth for part in parts)
        items = np.concatenate([_wide(part.items, depth, NOT_RANKED) for part in parts])
        scores = np.concatenate([_wide(part.scores, depth, 0) for part in parts])
        clipped = [np.zeros(len(part), bool) if part.clipped is None else part.clipped for part in parts]
        return Rankings(items, scores, np.concatenate(clipped))

    def searched(self) -> list[str]:
        """What the engine searched for; see `Lists.searched`."""
        return [words for part in self._parts for words in part.searched()]

    def among(self, places: np.ndarray, size: int) -> _JoinedLists:
        """The same lists in a larger batch, of whose `size` completions these stand at `places`; see `Lists.among`."""
        return _Placed(self, places, size)


class _Placed(_JoinedLists):
    """Joined lists in a larger batch."""

    def __init__(self, lists: _JoinedLists, places: np.ndarray, size: int) -> None:
        super().__init__([lists])
        self._places, self._size = places, size

    def rankings(self, k: int = 0) -> Rankings:
        """Rankings of the larger batch; of the other completions they are empty."""
        inner = super().rankings(k)
        items = np.full((self._size, inner.depth), NOT_RANKED, np.int32)
        scores = np.zeros((self._size, inner.depth), np.float32)
        clipped = np.zeros(self._size, bool)
        items[self._places], scores[self._places], clipped[self._places] = inner.items, inner.scores, inner.clipped
        return Rankings(items, scores, clipped)

    def searched(self) -> list[str]:
        """What the engine searched for; an empty text for the other completions."""
        words = [""] * self._size
        for place, one in zip(self._places.tolist(), super().searched(), strict=True):
            words[place] = one
        return words


def _wide(values: np.ndarray, depth: int, blank: int) -> np.ndarray:
    """The columns of a matrix, and blank ones up to `depth`."""
    return np.pad(values, ((0, 0), (0, depth - values.shape[1])), constant_values=blank)
