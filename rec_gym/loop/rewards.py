"""Rewards: a measure, transformed, plus named terms.

A reward is data: a name (`"ndcg@100"`) or a table, as a card or a `gym.make` keyword holds it:

    {measure = "ndcg@100", transforms = ["log_rank", {name = "scale", by = 2}],
     terms = {format = 0.1, repetition = -0.2, length = {weight = -0.1, max = 50}}, unparsed = -1}

Custom measures, transforms and terms are named in it as the built-in ones are, or as `package.module:Name`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, TypeVar

import numpy as np

from rec_gym.loop.terms import FORMAT, TERMS, Term, make_term, register_term
from rec_gym.loop.transforms import (
    TRANSFORMS,
    Bounds,
    Clip,
    Floor,
    Gate,
    LogRank,
    Scale,
    Transform,
    Values,
    hull,
    make_transform,
    register_transform,
)
from rec_gym.measures import Measure
from rec_gym.tables import check_fields, checked, named, read_fields, unknown

MEASURE_TERM, UNPARSED_TERM = "measure", "unparsed"
# What a protocol may name of any dataset, whether this one has it or not.
_USUAL_SPLITS = ("default", "train", "val", "test", "all")
Summand = TypeVar("Summand", float, np.ndarray)

_EXACT = frozenset({Clip, Floor, Gate, LogRank, Scale})  # transforms whose bounds need no look at what they return


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
        read = [measure for step in self.transforms for measure in step.measures]
        terms = [term.measure for term in self.terms if term.measure]
        return tuple(dict.fromkeys([self.measure, *read, *terms]))

    def check_ranges(self) -> None:
        """Checks that all measures lie in [0, 1] and are greater for better rankings, as `range`, gates and terms assume.

        Custom code that a measure names is imported here.

        Raises:
            ValueError: a measure's range is wider, or lower values of it are better.
        """
        for measure in self.measures:
            if measure.lower_is_better:
                raise ValueError(
                    f"a reward is made of measures of which more is better, and lower values of {measure} are better: report "
                    "it with measures=, or define a measure in [0, 1] that is greater for better rankings"
                )
            low, high = measure.range
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(
                    f"a reward is made of measures in [0, 1], and {measure} lies in [{low}, {high}]: report it with "
                    "measures=, or define a measure that scales it to [0, 1]"
                )

    def text_stats(self, written: Sequence[str], requests: Sequence[str]) -> dict[str, np.ndarray]:
        """What custom terms say of texts, `{name: float64 [n]}`.

        Raises:
            ValueError: one returned something else than one number in [0, 1] per text.
        """
        return {term.name: term.compute(written, requests) for term in self.terms if term.function is not None}

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
            stats: its text statistics, those of `text_stats` included.
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
        self._check_bounds(paid[scored])
        terms = {MEASURE_TERM: np.where(scored, paid, 0.0)}
        for term in self.terms:
            pays = scored & (main > 0) if term.only_if_positive else scored
            if term.only_if_improved and given is not None:
                pays = pays & (main > given)
            terms[term.name] = np.where(pays, term.weight * term.value(values, stats, parse_ok), 0.0)
        terms[UNPARSED_TERM] = np.where(parse_ok, 0.0, self.unparsed)
        return _total(terms.values()), terms

    def _check_bounds(self, paid: np.ndarray) -> None:
        """Holds custom transforms to the bounds that they state, since `range` is made of these."""
        custom = [type(step).__name__ for step in self.transforms if type(step) not in _EXACT]
        if not custom:
            return
        low, high = hull([*self._transformed(0.0), *self._transformed(1.0)])
        outside = ~((paid >= low) & (paid <= high))  # NaN lies nowhere
        if outside.any():
            raise ValueError(
                f"the transforms made {paid[outside][0]}, outside of [{low}, {high}]; correct bounds() of {custom}"
            )

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
        return hull(ends)

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


@dataclass(frozen=True)
class _Table:
    """The keys of a reward table, with their types and defaults."""

    measure: str | Measure | Callable[..., np.ndarray]
    transforms: Sequence[str | Mapping[str, object] | Transform] = ()
    terms: Mapping[str | Callable[..., Any], float | Mapping[str, object]] | Sequence[Mapping[str, object]] = ()
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
        return spec if cutoff is None else replace(spec, measure=replace(spec.measure, cutoff=cutoff))
    if isinstance(spec, str | Measure) or callable(spec):
        spec = {"measure": spec}
    if not isinstance(spec, Mapping):
        raise ValueError(f"a reward is a measure's name or a table, such as {{'measure': 'ndcg@10'}}, not {spec!r}")
    table = read_fields(spec, _Table, "a reward")
    measure = Measure.parse(table.measure)
    measure = replace(measure, cutoff=cutoff) if cutoff is not None else measure
    return Reward(
        measure,
        tuple(make_transform(step, measure) for step in table.transforms),
        tuple(make_term(name, value) for name, value in _pairs(table.terms)),
        table.unparsed,
    )


def cutoff_of(cutoffs: Mapping[str, int] | None, split: str, splits: Sequence[str]) -> int | None:
    """The cut-off that `{split: k}` states for a split; None where nothing is stated.

    Args:
        cutoffs: by split; `default` for those that are not named.
        split: the split.
        splits: those of the dataset.

    Raises:
        ValueError: there is none for the split, one is not a whole number of at least 1, or a name is that of no split.
    """
    if not cutoffs:
        return None
    known = [*dict.fromkeys([*_USUAL_SPLITS, *splits])]
    for name, cutoff in cutoffs.items():
        if name not in known:
            raise ValueError(f"cutoffs: {unknown('split', name, known)}")
        if checked(cutoff, int, f"the cut-off of split {name!r}") < 1:
            raise ValueError(f"the cut-off of split {name!r} must be at least 1, not {cutoff!r}")
    if split not in cutoffs and "default" not in cutoffs:
        raise ValueError(f"cutoffs name no cut-off for split {split!r}; add it, or 'default'")
    return cutoffs.get(split, cutoffs.get("default"))


def _pairs(terms: Mapping[Any, Any] | Sequence[Mapping[str, object]]) -> Iterable[tuple[Any, Any]]:
    """Name and weight, or options, of each term; a list holds tables with `name`, whose order no JSON writer changes."""
    return terms.items() if isinstance(terms, Mapping) else [named(term, "a term") for term in terms]


__all__ = [
    "FORMAT",
    "MEASURE_TERM",
    "TERMS",
    "TRANSFORMS",
    "UNPARSED_TERM",
    "Clip",
    "Floor",
    "Gate",
    "LogRank",
    "Reward",
    "Scale",
    "Term",
    "Transform",
    "make_reward",
    "register_term",
    "register_transform",
]
