"""Measures of the ranking itself."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from rec_gym.columns import is_text
from rec_gym.dataset import Dataset
from rec_gym.measures.base import Definition, Listed, ListMeasure
from rec_gym.measures.distance import Distance
from rec_gym.ranking import NOT_RANKED

_COMPARE: dict[str, Callable] = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


class Constraints(ListMeasure):
    """The share of the top k places that hold an item which meets every hard constraint of its request.

    Like precision it divides by k, so that a short ranking cannot win; without constraints, any item counts.
    A missing value and NaN meet no constraint. Numbers are compared exactly, texts by their code points.
    """

    without_cutoff = None

    def check(self, dataset: Dataset) -> None:
        """Refuses a dataset in which no request has a hard constraint."""
        if not dataset.has_constraints:
            raise ValueError("constraints@k needs a dataset whose requests keep hard constraints; this one has none")

    def __call__(self, listed: Listed, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        assert cutoff is not None  # stated by `without_cutoff`
        items = listed.top(cutoff).items
        meets = items != NOT_RANKED
        constraints = [listed.dataset.constraints(int(row)) for row in listed.rows]
        places = pa.array(np.maximum(items, 0).ravel())
        names = {name for conditions in constraints for name, _, _ in conditions}
        columns = {name: _Column(listed.catalog.table[name].take(places)) for name in names}
        for i, conditions in enumerate(constraints):
            here = slice(i * items.shape[1], (i + 1) * items.shape[1])
            for name, sign, value in conditions:
                meets[i] &= columns[name].meets(here, sign, value)
        return meets.sum(axis=1) / cutoff


class _Column:
    """The values of a column for some items, and which of them are present."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._is_text, self._is_whole = is_text(column.type), pa.types.is_integer(column.type)
        self._present = column.is_valid().to_numpy()
        filler = "" if self._is_text else pa.scalar(0).cast(column.type)
        self._values = column.fill_null(filler).to_numpy()
        if pa.types.is_floating(column.type):
            self._values = self._values.astype(np.float64)  # a 32-bit column would round the value it is compared with

    def meets(self, places: slice, sign: str, value: object) -> np.ndarray:
        """Which of the values at `places` are present and meet a condition, bool [places]."""
        if self._is_whole and isinstance(value, float):
            value = _whole(sign, value)
        return self._present[places] & np.asarray(_COMPARE[sign](self._values[places], value), bool)


def _whole(sign: str, value: float) -> float:
    """The equivalent bound for whole numbers; for equality, a fraction becomes NaN, which equals nothing."""
    if sign == "==":
        return int(value) if value.is_integer() else math.nan
    return math.floor(value) if sign == "<=" else math.ceil(value)


LIST_MEASURES: dict[str, Definition] = {"constraints": Constraints, "distance": Distance}
