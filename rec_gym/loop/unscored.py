"""What measures are of completions that ask nothing: those that do not parse, and those that end an episode."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rec_gym.dataset import Dataset
from rec_gym.measures import Judged, Listed, Measure
from rec_gym.ranking import Rankings


def unscored_values(measures: Iterable[Measure], dataset: Dataset, rows: np.ndarray) -> dict[Measure, np.ndarray]:
    """Each measure where nothing was asked, float64 [n]: 0, or what an empty ranking has where lower is better.

    Args:
        measures: of a task.
        dataset: its requests.
        rows: those that were not asked, int [n].
    """
    return {
        measure: measure(_empty(dataset, rows)) if measure.lower_is_better else np.zeros(len(rows))
        for measure in measures
    }


def _empty(dataset: Dataset, rows: np.ndarray) -> Judged:
    """Empty rankings for the requests."""
    size = len(rows)
    rankings = Rankings(np.empty((size, 0), np.int32), np.empty((size, 0), np.float32))
    return Listed.of(rankings, dataset, rows)
