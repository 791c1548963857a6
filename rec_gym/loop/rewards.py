"""Rewards: a measure, transformed, plus named terms.

A reward is data: a name (`"ndcg@100"`) or a table, as a card or a `gym.make` keyword holds it:

    {measure = "ndcg@100", transforms = ["log_rank", {name = "scale", by = 2}],
     terms = {format = 0.1, repetition = -0.2, length = {weight = -0.1, max = 50}}, unparsed = -1}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np

from rec_gym.loop.text_stats import LENGTH, TEXT_STATS
from rec_gym.measures import Measure

MEASURE_TERM, UNPARSED_TERM, FORMAT = "measure", "unparsed", "format"
Values = Mapping[Measure, np.ndarray]
Bounds = tuple[float, float]


class Transform(Protocol):
    """A step from one reward value to the next."""

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        ...

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        ...


@dataclass(frozen=True)
class LogRank:
    """1 + ln(x) / ln(k + 1), and 0 where x is smaller than 1 / (k + 1).

    On `mrr@k` this is 1 - ln(rank) / ln(k + 1): a reward that still tells rank 900 from rank 300.

    Args:
        k: the cut-off; by default the measure's own.
    """

    k: int = 0

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        floor = 1.0 / (self.k + 1)
        return np.maximum(0.0, 1.0 + np.log(np.maximum(reward, floor)) / math.log(self.k + 1))

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        low, high = (self(np.array([x]), {}).item() for x in (low, high))
        return low, high


@dataclass(frozen=True)
class Clip:
    """Values below `low` become `low`, values above `high` become `high`."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"clip needs low <= high, not {self.low} and {self.high}")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return np.clip(reward, self.low, self.high)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return min(max(low, self.low), self.high), min(max(high, self.low), self.high)


@dataclass(frozen=True)
class Scale:
    """Values are multiplied by `by`."""

    by: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.by):
            raise ValueError(f"scale needs a finite factor, not {self.by}")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return reward * self.by

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return min(low * self.by, high * self.by), max(low * self.by, high * self.by)


@dataclass(frozen=True)
class Gate:
    """Pays only where another measure allows it.

    Args:
        measure: the measure that gates, such as `constraints@10`.
        at: pays where the measure is at least this; without it the reward is multiplied by the measure.
    """

    measure: Measure
    at: float | None = None

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        gate = values[self.measure]
        return reward * (gate if self.at is None else gate >= self.at)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return min(low, 0.0), max(high, 0.0)


@dataclass(frozen=True)
class Floor:
    """No value is below `at`."""

    at: float = 0.0

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return np.maximum(reward, self.at)

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return max(low, self.at), max(high, self.at)


TRANSFORMS: dict[str, type] = {"log_rank": LogRank, "clip": Clip, "scale": Scale, "gate": Gate, "floor": Floor}


@dataclass(frozen=True)
class Term:
    """A named addition to the reward: weight times a value in [0, 1].

    Attributes:
        name: `format` (the completion parsed), `length`, `repetition`, `copy` (see text_stats), or a measure.
        weight: what a value of 1 pays; negative for a penalty.
        max: for `length` only: so many words, or more, count as 1.
        only_if_positive: pays only where the reward's own measure is above 0, so that it cannot be earned by doing
            nothing.
        only_if_improved: in a task with candidates, pays only where the reward's own measure is above that of the order
            in which they were given.
    """

    name: str
    weight: float
    max: float = 100.0
    only_if_positive: bool = False
    only_if_improved: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or not self.max > 0:
            raise ValueError(f"term {self.name!r} needs a finite weight and a max above 0")

    @property
    def measure(self) -> Measure | None:
        """The measure that is paid, if the term names one."""
        return None if self.name in (FORMAT, *TEXT_STATS) else Measure.parse(self.name)

    def value(self, values: Values, stats: Mapping[str, np.ndarray], parse_ok: np.ndarray) -> np.ndarray:
        """What is weighted, float64 [n] in [0, 1]."""
        if self.name == FORMAT:
            return parse_ok.astype(np.float64)
        if self.name == LENGTH:
            return np.minimum(stats[LENGTH] / self.max, 1.0)
        return stats[self.name] if self.name in TEXT_STATS else values[Measure.parse(self.name)]


@dataclass(frozen=True)
class Reward:
    """What a policy is trained on.

    Attributes:
        measure: the measure.
        transforms: applied to it, first to last.
        terms: added to the result.
        unparsed: the whole reward of a completion that does not parse.
    """

    measure: Measure
    transforms: tuple[Transform, ...] = ()
    terms: tuple[Term, ...] = ()
    unparsed: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.unparsed):
            raise ValueError(f"unparsed is a finite reward, not {self.unparsed}")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every measure that the reward needs, without repetition."""
        gates = [step.measure for step in self.transforms if isinstance(step, Gate)]
        terms = [term.measure for term in self.terms if term.measure]
        return tuple(dict.fromkeys([self.measure, *gates, *terms]))

    @property
    def compares(self) -> bool:
        """Whether the measure of the given order of candidates is needed."""
        return any(term.only_if_improved for term in self.terms)

    def __call__(
        self,
        values: Values,
        stats: Mapping[str, np.ndarray],
        parse_ok: np.ndarray,
        scored: np.ndarray,
        given: np.ndarray | None = None,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rewards float64 [n], and `{term: float64 [n]}` whose sum they are.

        Args:
            values: the measures of each completion, 0 where it was not scored.
            stats: its text statistics.
            parse_ok: whether it parsed, bool [n].
            scored: whether the recommender was asked, bool [n]; nothing but `unparsed` is paid where it was not.
            given: the reward's measure of the given order of candidates; needed if the reward `compares`.
        """
        main = values[self.measure]
        paid = main
        for step in self.transforms:
            paid = step(paid, values)
        terms = {MEASURE_TERM: np.where(scored, paid, 0.0)}
        for term in self.terms:
            pays = scored & (main > 0) if term.only_if_positive else scored
            if term.only_if_improved and given is not None:
                pays = pays & (main > given)
            terms[term.name] = np.where(pays, term.weight * term.value(values, stats, parse_ok), 0.0)
        terms[UNPARSED_TERM] = np.where(parse_ok, 0.0, self.unparsed)
        return np.sum(list(terms.values()), axis=0), terms

    @property
    def range(self) -> Bounds:
        """The least and the greatest reward that one completion can earn."""
        low, high = 0.0, 1.0
        for step in self.transforms:
            low, high = step.bounds(low, high)
        low += sum(min(term.weight, 0.0) for term in self.terms)
        high += sum(max(term.weight, 0.0) for term in self.terms)
        return min(low, self.unparsed), max(high, self.unparsed)


@dataclass(frozen=True)
class _Table:
    """The keys of a reward table, with their defaults."""

    measure: str
    transforms: Sequence[str | Mapping[str, object]] = ()
    terms: Mapping[str, float | Mapping[str, object]] = field(default_factory=dict)
    unparsed: float = 0.0


def make_reward(spec: str | Mapping[str, object] | Measure | Reward, cutoff: int | None = None) -> Reward:
    """A reward from its name or table.

    Args:
        spec: see the module.
        cutoff: replaces the cut-off of the reward's measure.

    Raises:
        ValueError: an unknown measure, transform, term or option; the message lists those there are.
    """
    if isinstance(spec, Reward):
        return spec
    if isinstance(spec, str | Measure):
        spec = {"measure": spec}
    table = _Table(**_known(dict(spec), _Table, "a reward"))
    measure = Measure.parse(table.measure)
    measure = Measure(measure.name, cutoff) if cutoff is not None else measure
    return Reward(
        measure,
        tuple(_make_transform(step, measure) for step in table.transforms),
        tuple(_make_term(name, value) for name, value in table.terms.items()),
        float(table.unparsed),
    )


def _make_transform(spec: str | Mapping[str, object], measure: Measure) -> Transform:
    options: dict = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if name not in TRANSFORMS:
        raise ValueError(f"unknown transform {name!r}; there are: {', '.join(TRANSFORMS)}")
    options = _known(options, TRANSFORMS[name], f"transform {name!r}")
    if name == "gate":
        options["measure"] = Measure.parse(options["measure"])
    if name == "log_rank" and not options.setdefault("k", measure.cutoff or 0) > 0:
        raise ValueError(f"log_rank needs a cut-off: name one in the measure ({measure}@100) or as k")
    return TRANSFORMS[name](**options)


def _make_term(name: str, value: float | Mapping[str, object]) -> Term:
    options: dict = dict(value) if isinstance(value, Mapping) else {"weight": value}
    try:
        term = Term(**(_known(options, Term, f"term {name!r}") | {"name": name}))
        _ = term.measure
    except ValueError as error:
        raise ValueError(f"term {name!r}: {error}; terms are {FORMAT}, {', '.join(TEXT_STATS)} and measures") from error
    return term


def _known(options: dict, kind: type, what: str) -> dict:
    """Checks the keys of a table against the fields of a dataclass."""
    known = [f.name for f in fields(kind)]
    required = [f.name for f in fields(kind) if f.name in ("measure", "weight")]
    wrong = [name for name in options if name not in known]
    missing = [name for name in required if name not in options]
    if wrong or missing:
        problem = f"has no option {wrong[0]!r}" if wrong else f"needs {missing[0]!r}"
        raise ValueError(f"{what} {problem}; its options are: {', '.join(known)}")
    return options
