"""Measures of the ranking itself."""

from __future__ import annotations

import numpy as np

from rec_gym.dataset import Dataset
from rec_gym.filters import FilterTable
from rec_gym.measures.base import Definition, Listed, ListMeasure
from rec_gym.measures.distance import Distance
from rec_gym.ranking import NOT_RANKED


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
        meets &= FilterTable.of(listed.catalog).ranges(constraints).passes_each(np.maximum(items, 0))
        return meets.sum(axis=1) / cutoff


LIST_MEASURES: dict[str, Definition] = {"constraints": Constraints, "distance": Distance}
