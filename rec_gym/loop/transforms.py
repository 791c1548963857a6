"""Transforms: steps from one reward value to the next, each with exact bounds.

A custom transform is a class under `Transform`, named by `register_transform` or as `package.module:Name` wherever a
transform is named.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rec_gym.measures import Measure
from rec_gym.registry import Registry
from rec_gym.resolving import Interface
from rec_gym.tables import check_fields, read_fields

Values = Mapping[Measure, np.ndarray]
Bounds = tuple[float, float]

_LARGEST_K = 2**31 - 1  # positions of items are int32
_LOG_ERROR = 8 * np.finfo(np.float64).eps  # libraries differ in the last digits of a logarithm


@dataclass(frozen=True)
class Transform(ABC):
    """A step from one reward value to the next; its options are dataclass fields."""

    @abstractmethod
    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n].

        Args:
            reward: float64 [n]; 0 for a completion that was not scored, whose result is not paid.
            values: the task's measures, among them `measures`.
        """

    @abstractmethod
    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]; a result outside is an error."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measures that the transform reads beside the reward."""
        return ()

    @classmethod
    def read(cls, options: dict[str, Any], what: str, measure: Measure) -> Self:
        """The transform from the options of a table.

        Args:
            options: the table without its name.
            what: how messages name the transform.
            measure: the reward's measure.
        """
        return read_fields(options, cls, what)


@dataclass(frozen=True)
class LogRank(Transform):
    """1 + ln(x) / ln(k + 1), and 0 where x is at most 1 / (k + 1).

    On `mrr@k` this is 1 - ln(rank) / ln(k + 1): a reward that still tells rank 900 from rank 300.

    Args:
        k: the cut-off; in a table by default the measure's own.

    Raises:
        ValueError: k is not a whole number of at least 1.
    """

    k: int

    def __post_init__(self) -> None:
        check_fields(self, "transform 'log_rank'")
        if not 1 <= self.k <= _LARGEST_K:
            raise ValueError(f"k of transform 'log_rank' must lie in [1, {_LARGEST_K}], not {self.k}")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        least = 1.0 / (self.k + 1)
        logs = np.log(np.maximum(reward, least)) / math.log(self.k + 1)
        return np.where(reward <= least, 0.0, np.maximum(0.0, 1.0 + logs))

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high].

        Exact where an end is 1, or is paid 0. Elsewhere the interval is wider by a few units in the last place, because
        a computed logarithm need not rise with its argument to the last digit.
        """
        low_paid, high_paid = (self(np.array([x]), {}).item() for x in (low, high))
        return max(0.0, low_paid - self._error(low, low_paid)), high_paid + self._error(high, high_paid)

    @classmethod
    def read(cls, options: dict[str, Any], what: str, measure: Measure) -> Self:
        """The transform from a table; k is the measure's own cut-off where the table has none."""
        if options.setdefault("k", measure.cutoff) is None:
            raise ValueError(f"{what} needs a cut-off: name one in the measure ({measure}@100) or as k")
        return super().read(options, what, measure)

    def _error(self, reward: float, paid: float) -> float:
        exact = reward == 1.0 or reward <= 1.0 / (self.k + 1)
        return 0.0 if exact else _LOG_ERROR * (1.0 + paid)


@dataclass(frozen=True)
class Clip(Transform):
    """Values below `low` become `low`, values above `high` become `high`."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "transform 'clip'")
        if self.low > self.high:
            raise ValueError(f"transform 'clip' needs low <= high, not {self.low} and {self.high}")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return np.clip(reward, self.low, self.high)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return min(max(low, self.low), self.high), min(max(high, self.low), self.high)


@dataclass(frozen=True)
class Scale(Transform):
    """Values are multiplied by `by`."""

    by: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "transform 'scale'")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return reward * self.by

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return hull([low * self.by, high * self.by])


@dataclass(frozen=True)
class Gate(Transform):
    """Pays only where another measure allows it.

    Args:
        measure: the measure that gates, such as `constraints@10`.
        at: pays where the measure is at least this; without it the reward is multiplied by the measure.
    """

    measure: Measure
    at: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, "transform 'gate'")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measure that gates."""
        return (self.measure,)

    @classmethod
    def read(cls, options: dict[str, Any], what: str, measure: Measure) -> Self:
        """The transform from a table, which names its measure."""
        if isinstance(options.get("measure"), str):
            options["measure"] = Measure.parse(options["measure"])
        return super().read(options, what, measure)

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        gate = values[self.measure]
        return reward * (gate if self.at is None else gate >= self.at)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        if self.at is not None and self.at <= 0.0:
            return low, high  # always open
        if self.at is not None and self.at > 1.0:
            return 0.0, 0.0  # never open
        return min(low, 0.0), max(high, 0.0)


@dataclass(frozen=True)
class Floor(Transform):
    """No value is below `at`."""

    at: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "transform 'floor'")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return np.maximum(reward, self.at)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return max(low, self.at), max(high, self.at)


def hull(values: Sequence[float]) -> Bounds:
    """The least and the greatest of some values."""
    return min(values), max(values)


def _is_transform(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Transform) and not inspect.isabstract(value)


TRANSFORM = Interface("a transform", _is_transform, "a class under Transform with __call__() and bounds()")
TRANSFORMS: Registry[type[Transform]] = Registry(
    TRANSFORM, {"log_rank": LogRank, "clip": Clip, "scale": Scale, "gate": Gate, "floor": Floor}
)


def make_transform(spec: str | Mapping[str, object] | Transform, measure: Measure) -> Transform:
    """A transform from its name or path, or from a table such as `{name = "scale", by = 2}`.

    Args:
        spec: the transform.
        measure: the reward's measure.

    Raises:
        ValueError: an unknown transform or option (near names are suggested), or a value of the wrong type.
    """
    if isinstance(spec, Transform):
        return spec
    return TRANSFORMS.make(spec, lambda kind, options, what: kind.read(options, what, measure))


def register_transform(name: str, transform: type[Transform]) -> None:
    """Gives a custom transform a name, by which rewards find it in this process.

    Raises:
        ValueError: the name is taken or not of the right form, or the class is not a transform.
    """
    TRANSFORMS.register(name, transform)
