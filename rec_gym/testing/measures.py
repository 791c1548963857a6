"""The check of a measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.dataset import Dataset
from rec_gym.measures import LIST, Judged, Listed, Measure
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.testing.base import attempt, pickled, require, small_dataset


def check_measure(measure: str | Measure | Callable[..., np.ndarray], dataset: Dataset | None = None) -> None:
    """Checks that a measure keeps its promises on rankings of many lengths, empty ones among them.

    * Its name parses, prints as a name that parses to the same measure, and survives pickle.
    * Its range is two finite numbers, and every value lies in it.
    * An empty batch has no values; a request is measured the same alone and in any batch, and again when it is repeated.
    * It does not change what it is given.
    * If it is computed from ranks, the order in which relevant items are listed does not matter.

    Args:
        measure: as `measures=` takes it, such as `"ndcg@10"`, `"package.module:Name@10"` or a function.
        dataset: requests on which its `check` passes; by default twelve small ones with graded gains up to 1,
            constraints, and the columns title, price, popularity, document and place.

    Raises:
        AssertionError: it breaks a promise; the message says which.
        ValueError: no measure has that name, its parameters are wrong, or it does not fit the dataset.
    """
    parsed = Measure.parse(measure)
    require(Measure.parse(str(parsed)) == parsed, f"{parsed} does not parse to the measure that it prints")
    require(pickled(parsed, f"the measure {parsed}") == parsed, f"a pickled copy of {parsed} is another measure")
    low, high = parsed.range
    require(
        np.isfinite([low, high]).all() and low <= high, f"the range of {parsed} must be finite, not ({low}, {high})"
    )
    data = dataset or small_dataset()
    parsed.check(data)
    rows = np.arange(min(len(data), 200)).repeat(3)
    rankings = _rankings(data, rows, parsed.cutoff or 20)
    batch = Listed.of(rankings, data, rows)
    before = [batch.ranks.values.copy(), batch.gains.values.copy(), batch.ideal.values.copy(), rankings.items.copy()]
    values = attempt(f"computing {parsed}", parsed, batch)
    after = [batch.ranks.values, batch.gains.values, batch.ideal.values, rankings.items]
    unchanged = all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    require(unchanged, f"{parsed} changed the arrays that it was given; copy them first")
    require(np.array_equal(values, parsed(batch)), f"{parsed} gives two different values for the same rankings")
    require(
        parsed(Listed.of(rankings.take(rows[:0]), data, rows[:0])).shape == (0,), f"{parsed} of no request is no value"
    )
    for place in range(0, len(rows), max(1, len(rows) // 40)):
        one = np.array([place])
        alone = attempt(f"{parsed} of one request", parsed, Listed.of(rankings.take(one), data, rows[one]))
        require(
            np.isclose(alone[0], values[place], 1e-12, 1e-12),
            f"{parsed} is {alone[0]} for a request alone and {values[place]} in a batch; compute each row by itself",
        )
    if parsed.needs != LIST:
        shuffled = attempt(f"{parsed} of relevant items in another order", parsed, _backwards(batch))
        require(
            np.allclose(values, shuffled, 1e-12, 1e-12),
            f"{parsed} changes with the order in which relevant items are listed; sort them first, see Judged.in_order",
        )


def _rankings(dataset: Dataset, rows: np.ndarray, depth: int) -> Rankings:
    """Random rankings of random lengths, the first of them empty and the second the ideal one."""
    size, draws = len(dataset.catalog), np.random.Generator(np.random.PCG64(0))
    depth = min(depth + 2, size)
    items = np.full((len(rows), depth), NOT_RANKED, np.int32)
    for row in range(2, len(rows)):
        length = int(draws.integers(0, depth + 1))
        items[row, :length] = draws.permutation(size)[:length]
    relevant, gains = dataset.relevant[rows[1]], dataset.relevant_gains[rows[1]]
    ideal = relevant[np.argsort(-gains, kind="stable")][:depth]
    items[1, : len(ideal)] = ideal
    return Rankings(items, np.tile(np.linspace(1, 0, depth, dtype=np.float32), (len(rows), 1)))


def _backwards(batch: Judged) -> Judged:
    """The same relevant items, each row in the opposite order."""

    def turned(column: Ragged, dtype: type) -> Ragged:
        return Ragged.from_rows([row[::-1] for row in column], dtype)

    return Judged(turned(batch.ranks, np.int64), turned(batch.gains, np.float64), batch.ideal, batch.lengths)
