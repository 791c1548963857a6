"""Rewards: a measure, transformed, plus named terms.

A reward is data: a name (`"ndcg@100"`) or a table, as a card or a `gym.make` keyword holds it:

    {measure = "ndcg@100", transforms = ["log_rank", {name = "scale", by = 2}],
     terms = {format = 0.1, repetition = -0.2, length = {weight = -0.1, max = 50}}, unparsed = -1}
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, reduce
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from rec_gym.loop.text_stats import LENGTH, TEXT_STATS
from rec_gym.measures import Measure, is_measure_name, similar_names
from rec_gym.tables import check_fields, check_keys, named, read_fields, unknown

MEASURE_TERM, UNPARSED_TERM, FORMAT = "measure", "unparsed", "format"
Values = Mapping[Measure, np.ndarray]
Bounds = tuple[float, float]
Summand = TypeVar("Summand", float, np.ndarray)

_LARGEST_K = 2**31 - 1  # positions of items are int32
_LOG_ERROR = 8 * np.finfo(np.float64).eps  # libraries differ in the last digits of a logarithm


@runtime_checkable
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
    """1 + ln(x) / ln(k + 1), and 0 where x is at most 1 / (k + 1).

    On `mrr@k` this is 1 - ln(rank) / ln(k + 1): a reward that still tells rank 900 from rank 300.

    Args:
        k: the cut-off; in a table by default the measure's own.

    Raises:
        ValueError: k is no whole number of at least 1.
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

    def _error(self, reward: float, paid: float) -> float:
        exact = reward == 1.0 or reward <= 1.0 / (self.k + 1)
        return 0.0 if exact else _LOG_ERROR * (1.0 + paid)


@dataclass(frozen=True)
class Clip:
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
class Scale:
    """Values are multiplied by `by`."""

    by: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "transform 'scale'")

    def __call__(self, reward: np.ndarray, values: Values) -> np.ndarray:
        """The transformed reward, float64 [n]."""
        return reward * self.by

    def bounds(self, low: float, high: float) -> Bounds:
        """Where the result lies when the reward lies in [low, high]."""
        return _hull([low * self.by, high * self.by])


@dataclass(frozen=True)
class Gate:
    """Pays only where another measure allows it.

    Args:
        measure: the measure that gates, such as `constraints@10`.
        at: pays where the measure is at least this; without it the reward is multiplied by the measure.
    """

    measure: Measure
    at: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, "transform 'gate'")

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
class Floor:
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
        what = f"term {self.name!r}"
        check_fields(self, what)
        if not self.max > 0:
            raise ValueError(f"max of {what} must be above 0, not {self.max}")
        if self.name not in (FORMAT, *TEXT_STATS) and not is_measure_name(self.name):
            raise ValueError(unknown("term", self.name, [FORMAT, *TEXT_STATS, *similar_names(self.name)]))
        _ = self.measure  # its cut-off may be wrong

    @cached_property
    def measure(self) -> Measure | None:
        """The measure that is paid, if the term names one."""
        return None if self.name in (FORMAT, *TEXT_STATS) else Measure.parse(self.name)

    def value(self, values: Values, stats: Mapping[str, np.ndarray], parse_ok: np.ndarray) -> np.ndarray:
        """What is weighted, float64 [n] in [0, 1]."""
        if self.name == FORMAT:
            return parse_ok.astype(np.float64)
        if self.name == LENGTH:
            return np.minimum(stats[LENGTH], self.max) / self.max
        return stats[self.name] if self.measure is None else values[self.measure]

    def bounds(self, positive: bool) -> Bounds:
        """Where the term lies for a completion that was scored.

        Args:
            positive: whether the reward's own measure is above 0.
        """
        if not positive and (self.only_if_positive or self.only_if_improved):
            return 0.0, 0.0
        # What was scored has parsed, so that a format term pays its whole weight.
        least = self.weight if self.name == FORMAT else 0.0
        return _hull([least, self.weight, 0.0] if self.only_if_improved else [least, self.weight])


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
        check_fields(self, "a reward")
        for step in self.transforms:
            if not isinstance(step, Transform):
                raise ValueError(f"transforms of a Reward are objects, such as Scale(2.0), not {step!r}")
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError(f"a reward holds a term once; of {', '.join(names)} one appears twice")
        low, high = self.range
        if not math.isfinite(high - low):  # a later turn may pay as much as the difference
            raise ValueError(
                f"rewards would lie in [{low}, {high}], too far apart for a float; make factors, weights and unparsed "
                "smaller"
            )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Every measure that the reward needs, without repetition."""
        gates = [step.measure for step in self.transforms if isinstance(step, Gate)]
        terms = [term.measure for term in self.terms if term.measure]
        return tuple(dict.fromkeys([self.measure, *gates, *terms]))

    def check_ranges(self) -> None:
        """Checks that all measures lie in [0, 1], as `range`, gates and terms take for granted.

        Custom code that a measure names is imported here.

        Raises:
            ValueError: a measure's range is wider.
        """
        for measure in self.measures:
            low, high = measure.range
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(
                    f"a reward is made of measures in [0, 1], and {measure} lies in [{low}, {high}]: report it with "
                    "measures=, or define a measure that scales it to [0, 1]"
                )

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
            scored: whether there was something to rank by, bool [n]; nothing but `unparsed` is paid where there was not,
                or where the completion did not parse.
            given: the reward's measure of the given order of candidates; needed if the reward `compares`.

        Raises:
            ValueError: the reward `compares`, and `given` is missing.
        """
        if self.compares and given is None:
            raise ValueError("only_if_improved compares with the given order: pass its measure as given")
        main = values[self.measure]
        scored = scored & parse_ok
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
        return _total(terms.values()), terms

    @cached_property
    def range(self) -> Bounds:
        """The least and the greatest reward that one completion can earn.

        Three cases count: a completion that does not parse is paid `unparsed`, one that parses but asks nothing is paid
        0, and one that is scored is paid measure and terms. No reward lies outside, not even by rounding: every step of
        a reward rises or falls with its input, and the ends are computed in the same steps and the same order. Measures
        and text statistics are taken as independent: if a gate or a term names the reward's own measure, the ends may lie
        further out than any reward.
        """
        ends = [self.unparsed, 0.0]
        for best in (0.0, 1.0):  # nothing was found; something may have been found
            paid = self._transformed(best)
            parts = [paid, *(term.bounds(positive=best > 0.0) for term in self.terms)]
            ends += [_total(part[end] for part in parts) for end in (0, 1)]
        return _hull(ends)

    def _transformed(self, best: float) -> Bounds:
        """What the transforms make of measures in [0, best]."""
        bounds = 0.0, best
        for step in self.transforms:
            bounds = step.bounds(*bounds)
            if not all(map(math.isfinite, bounds)):
                raise ValueError(f"{step} makes values in [{bounds[0]}, {bounds[1]}]; choose a smaller factor")
        return bounds


def _total(parts: Iterable[Summand]) -> Summand:
    """The sum, first to last. One order for arrays and for their bounds: neither `sum` nor `np.sum` promises one."""
    return reduce(operator.add, parts)


def _hull(values: Sequence[float]) -> Bounds:
    return min(values), max(values)


@dataclass(frozen=True)
class _Table:
    """The keys of a reward table, with their types and defaults."""

    measure: str | Measure | Callable[..., np.ndarray]
    transforms: Sequence[str | Mapping[str, object]] = ()
    terms: Mapping[str, float | Mapping[str, object]] = field(default_factory=dict)
    unparsed: float = 0.0


def make_reward(
    spec: str | Mapping[str, object] | Measure | Callable[..., np.ndarray] | Reward, cutoff: int | None = None
) -> Reward:
    """A reward from its name or table.

    Args:
        spec: see the module.
        cutoff: replaces the cut-off of the reward's measure.

    Raises:
        ValueError: an unknown measure, transform, term or option (near names are suggested), a value of the wrong type,
            or weights and factors so large that rewards would not stay finite.
    """
    if isinstance(spec, Reward):
        return spec
    if isinstance(spec, str | Measure) or callable(spec):
        spec = {"measure": spec}
    if not isinstance(spec, Mapping):
        raise ValueError(f"a reward is a measure's name or a table, such as {{'measure': 'ndcg@10'}}, not {spec!r}")
    table = read_fields(spec, _Table, "a reward")
    measure = Measure.parse(table.measure)
    measure = replace(measure, cutoff=cutoff) if cutoff is not None else measure
    return Reward(
        measure,
        tuple(_make_transform(step, measure) for step in table.transforms),
        tuple(_make_term(name, value) for name, value in table.terms.items()),
        table.unparsed,
    )


def _make_transform(spec: object, measure: Measure) -> Transform:
    name, options = named(spec, "a transform")
    if name not in TRANSFORMS:
        raise ValueError(unknown("transform", name, TRANSFORMS))
    if name == "gate" and isinstance(options.get("measure"), str):
        options["measure"] = Measure.parse(options["measure"])
    if name == "log_rank" and options.setdefault("k", measure.cutoff) is None:
        raise ValueError(f"log_rank needs a cut-off: name one in the measure ({measure}@100) or as k")
    return read_fields(options, TRANSFORMS[name], f"transform {name!r}")


def _make_term(name: str, value: float | Mapping[str, object]) -> Term:
    options = dict(value) if isinstance(value, Mapping) else {"weight": value}
    known = [slot.name for slot in fields(Term) if slot.name != "name"]
    check_keys(options, known, f"term {name!r}", required=["weight"])
    return Term(name, **options)  # it checks the types itself
