"""Hard constraints of a request, such as a budget, checked on the ranking itself."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from rec_gym.dataset import Dataset
from rec_gym.ranking import NOT_RANKED, Rankings

_COMPARE: dict[str, Callable] = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


def share_that_meets(dataset: Dataset, rows: np.ndarray, rankings: Rankings, k: int) -> np.ndarray:
    """The share of the top k places that hold an item which meets every hard constraint of its request.

    Like precision it divides by k, so that a short ranking cannot win; a request without constraints is met by any item.

    Args:
        dataset: where the constraints and the items' columns stand.
        rows: the request of each ranking, int [n].
        rankings: [n, at least min(k, ranked items)].
        k: the cut-off.

    Returns:
        float64 [n] in [0, 1].
    """
    items = rankings.items[:, :k]
    meets = items != NOT_RANKED
    wanted = [dataset.constraints(int(row)) for row in rows]
    places = np.maximum(items, 0).ravel()
    columns = {name for constraints in wanted for name, _, _ in constraints}
    values = {name: dataset.catalog.values(name, places).reshape(items.shape) for name in columns}
    for i, constraints in enumerate(wanted):
        for column, sign, value in constraints:
            meets[i] &= np.asarray(_COMPARE[sign](values[column][i], value), bool)
    return meets.sum(axis=1) / k
