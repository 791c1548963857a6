"""Ranking measures: by name, from the ranks of the relevant items or from the ranking itself.

Conventions, which are those of trec_eval: NDCG has linear gains, log2 discounts and an ideal over all judged items; unjudged
items have gain 0; `map@k` and `recall@k` divide by all relevant items, `precision@k` by k; a request without relevant items
or with nothing retrieved scores 0. Ranks count from 0 here. `docs/numbers.md` lists every measure.

A custom measure is a function `(judged, cutoff)` or a class under `RankMeasure` or `ListMeasure`. It is named by
`register_measure`, or as `package.module:Name@10` wherever a measure is named.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_gym.columns import Ragged, first_few
from rec_gym.dataset import Dataset
from rec_gym.measures.base import (
    LIST,
    MEASURE,
    RANKS,
    Definition,
    Formula,
    Judged,
    Listed,
    ListMeasure,
    RankMeasure,
    formula_class,
    is_definition,
)
from rec_gym.measures.lists import LIST_MEASURES
from rec_gym.measures.ranks import RANK_MEASURES
from rec_gym.registry import Registry
from rec_gym.request_columns import GAIN_RULE, check_list, is_gain
from rec_gym.resolving import FORM, is_path
from rec_gym.tables import check_arguments, unknown

MEASURES: Registry[Definition] = Registry(MEASURE, {**RANK_MEASURES, **LIST_MEASURES})

_PARTS = re.compile(r"(?P<name>.*?)(?:\((?P<parameters>[^()]*)\))?(?:@(?P<cutoff>[^@()/\\:]*))?", re.DOTALL)
_CUTOFF = re.compile(r"[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[^\W\d][\w.-]*")
_MORE = f"{FORM} for custom code; a cut-off is written as @10, and parameters as in rbp(0.8)@10"

Parameter = int | float | str


@dataclass(frozen=True)
class Measure:
    """A measure, its cut-off and its parameters; parses from and prints as its name, such as `ndcg@100`.

    Attributes:
        name: a name in `MEASURES`, or `package.module:Name` or `FILE.py:Name` for custom code, which is imported when
            the measure is first used.
        cutoff: places that count, or None for the whole ranking.
        parameters: as in `rbp(0.8)@10`, in the order of the definition's own.

    Raises:
        ValueError: the name is unknown (near names are suggested) or does not name a measure, a parameter is missing or
            of the wrong type, or the measure needs a cut-off.
    """

    name: str
    cutoff: int | None = None
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        if not is_path(self.name):  # custom code is imported when a task is made, not when a card is read
            _ = self.formula

    @classmethod
    def parse(cls, text: str | Measure | Callable[..., np.ndarray]) -> Measure:
        """Reads a measure from its name.

        Args:
            text: such as `ndcg@10`, `rbp(0.8)@10` or `package.module:Name@10`. A function or class that defines a measure
                at the top level of a module stands for the path that names it.

        Raises:
            ValueError: the text does not name a measure (near names are suggested), or see the class.
        """
        if isinstance(text, Measure):
            return text
        if not isinstance(text, str):
            if not is_definition(text):
                raise ValueError(f"{text!r} is not a measure; name one, or pass {MEASURE.wanted}")
            return cls(MEASURES.name_of(text))
        name, parameters, cutoff = _split(text)
        if not is_measure_name(text) or (cutoff is not None and not _CUTOFF.fullmatch(cutoff)):
            raise ValueError(unknown("measure", text, similar_names(text), more=_MORE))
        return cls(name, int(cutoff) if cutoff else None, _parameters(parameters, text))

    def __str__(self) -> str:
        parameters = f"({','.join(map(str, self.parameters))})" if self.parameters else ""
        return f"{self.name}{parameters}" if self.cutoff is None else f"{self.name}{parameters}@{self.cutoff}"

    def __reduce__(self) -> tuple:
        return Measure, (self.name, self.cutoff, self.parameters)  # code is looked up by its name again

    @cached_property
    def formula(self) -> Formula:
        """How the measure is computed; custom code is imported when this is first asked for."""
        if self.name not in MEASURES and not is_path(self.name):
            raise ValueError(unknown("measure", self.name, MEASURES, more=_MORE))
        formula = _formula(MEASURES.find(self.name), self.name, self.parameters)
        if self.cutoff is None and formula.without_cutoff is None:
            raise ValueError(f"{self} needs a cut-off, such as {self}@10")
        return formula

    @property
    def needs(self) -> str:
        """`"ranks"`, or `"list"` if the ranks of the relevant items are not enough."""
        return self.formula.needs if self.cutoff is not None else self.formula.without_cutoff or LIST

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return self.formula.range

    @property
    def lower_is_better(self) -> bool:
        """Whether a better ranking has a lower value."""
        return self.formula.lower_is_better

    def check(self, dataset: Dataset) -> None:
        """Checks the measure's preconditions on a dataset.

        Raises:
            ValueError: the measure is meaningless there.
        """
        self.formula.check(dataset)

    def __call__(self, judged: Judged) -> np.ndarray:
        """The measure of each request, float64 [n] in `range`.

        Raises:
            ValueError: a list measure got ranks only, or a custom measure did not return one number in its range per
                request.
        """
        formula = self.formula
        if isinstance(formula, ListMeasure) and not isinstance(judged, Listed):
            raise ValueError(f"{self} looks at the rankings of a task; it cannot be computed from ids and gains")
        size = len(judged.ranks)
        if size == 0:
            return np.zeros(0)
        return self._checked(formula(judged, self.cutoff), size)

    def _checked(self, values: object, size: int) -> np.ndarray:
        try:
            numbers = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{self} must return numbers, one per request, not {values!r:.200}") from None
        if numbers.shape != (size,):
            raise ValueError(f"{self} must return one number per request, shape ({size},), not {numbers.shape}")
        low, high = self.range
        outside = ~((numbers >= low) & (numbers <= high))  # NaN is outside every range
        if outside.any():
            raise ValueError(
                f"{self} returned {numbers[outside][0]}, outside its range [{low}, {high}]; a class under RankMeasure or "
                "ListMeasure can state its own `range`"
            )
        return numbers


def register_measure(name: str, definition: Definition) -> None:
    """Gives a custom measure a name for rewards, terms, gates and `measures=` in this process.

    Args:
        name: lower-case letters, digits, `-` and `_`, beginning with a letter.
        definition: a function `(judged, cutoff) -> float64 [n]` or `(rankings, gains, catalog, requests) -> float64 [n]`,
            with values in [0, 1], or a class under `RankMeasure` or `ListMeasure`.

    Raises:
        ValueError: the name is taken or not of the right form, or the definition is something else.
    """
    MEASURES.register(name, definition)


def is_measure_name(text: str) -> bool:
    """Whether a text begins with the name of a measure; its cut-off or parameters may be wrong."""
    name = _split(text)[0]
    return name in MEASURES or is_path(name)


def similar_names(text: str) -> list[str]:
    """The names of all measures, with the cut-off of `text` if it is valid, and its parameters where they fit."""
    _, parameters, cutoff = _split(text)
    at = f"@{cutoff}" if cutoff and _CUTOFF.fullmatch(cutoff) else ""
    known = {name: parameter_names(definition) for name, definition in MEASURES.items()}
    return [f"{name}({parameters or ','.join(takes)}){at}" if takes else f"{name}{at}" for name, takes in known.items()]


def _split(text: str) -> tuple[str, str | None, str | None]:
    """Name, parameters and cut-off of a measure's name, as they are written."""
    parts = _PARTS.fullmatch(text)
    assert parts is not None  # everything matches
    return parts["name"], parts["parameters"], parts["cutoff"]


def _parameters(text: str | None, of: str) -> tuple[Parameter, ...]:
    if text is None:
        return ()
    return tuple(_parameter(part.strip(), of) for part in text.split(","))


def _parameter(text: str, of: str) -> Parameter:
    if _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() else number  # one spelling for one value
    if _WORD.fullmatch(text):
        return text
    raise ValueError(f"parameters of a measure are numbers or words, as in rbp(0.8)@10; {of!r} has {text!r}")


def _formula(definition: Definition, name: str, parameters: tuple[Parameter, ...]) -> Formula:
    make, known = formula_class(definition), parameter_names(definition)
    written = f"{name}({','.join(known)})" if known else name
    if len(parameters) != len(known):
        wrong = ", ".join(map(str, parameters)) or "none"
        raise ValueError(f"the measure {name} is written {written}; the parameters here are: {wrong}")
    options = dict(zip(known, parameters, strict=True))
    check_arguments(make, options, f"the measure {written}")
    return make(**options)


def parameter_names(definition: Definition) -> list[str]:
    """The parameters of a measure, in the order of its name."""
    return list(inspect.signature(formula_class(definition)).parameters)


def evaluate(
    names: Sequence[str],
    ranked: Sequence[Sequence[str]],
    gains: Sequence[Mapping[str, float] | Sequence[str]],
    *,
    duplicate_targets: str = "remove",
) -> dict[str, np.ndarray]:
    """Measures of ranked item ids against gains.

    Args:
        names: measures, such as `["ndcg@10", "recall@100"]`.
        ranked: for each request its item ids, best first.
        gains: for each request `{item id: gain}` of the judged items, or a list of target ids (gain 1).
        duplicate_targets: `"remove"` counts a repeated target once; `"count"` counts it again in the ideal
            DCG, as Rec-R1's published figures do.

    Returns:
        `{name: float64 [n]}`, names as they were given.

    Raises:
        ValueError: an unknown measure; different numbers of rankings and gains; a gain that is negative, not finite, or
            neither 0 nor between 1e-12 and 1e12; an item that appears twice in a ranking; or a text instead of a list.
    """
    names, ranked = check_list(names, "names", "['ndcg@10']"), check_list(ranked, "ranked", "[['a1', 'a2']]")
    gains = check_list(gains, "gains", "[{'a1': 1.0}]")
    if len(ranked) != len(gains):
        raise ValueError(f"{len(ranked)} rankings were given for {len(gains)} requests")
    if duplicate_targets not in ("remove", "count"):
        raise ValueError(f"duplicate_targets is 'remove' or 'count', not {duplicate_targets!r}")
    measures = {name: Measure.parse(name) for name in names}
    ranks, gained, ideal = [], [], []
    for row, (listed, wanted) in enumerate(zip(ranked, gains, strict=True)):
        items = check_list(listed, f"ranking {row}", "['a1', 'a2']")
        places = {item: rank for rank, item in enumerate(items)}
        if len(places) < len(items):
            raise ValueError(f"ranking {row} lists an item twice: {first_few(_repeated(items))}")
        targets = (
            ()
            if isinstance(wanted, Mapping)
            else check_list(wanted, f"gains of request {row}", "['a1'] or {'a1': 1.0}")
        )
        pairs = list(wanted.items()) if isinstance(wanted, Mapping) else [(item, 1.0) for item in targets]
        relevant = {item: gain for item, gain in _checked(pairs, row) if gain > 0}
        ranks.append([places.get(item, -1) for item in relevant])
        gained.append(list(relevant.values()))
        counted = [gain for _, gain in pairs if gain > 0] if duplicate_targets == "count" else gained[-1]
        ideal.append(sorted(counted, reverse=True))
    judged = Judged(
        Ragged.from_rows(ranks, np.int64),
        Ragged.from_rows(gained, np.float64),
        Ragged.from_rows(ideal, np.float64),
        np.array([len(items) for items in ranked]),
    )
    return {name: measure(judged) for name, measure in measures.items()}


def _checked(pairs: list[tuple[str, float]], row: int) -> list[tuple[str, float]]:
    wrong = [item for item, gain in pairs if not is_gain(gain)]
    if wrong:
        raise ValueError(f"{GAIN_RULE}; request {row} breaks this for {first_few(wrong)}")
    return pairs


def _repeated(items: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]


__all__ = [
    "LIST",
    "MEASURES",
    "RANKS",
    "Judged",
    "ListMeasure",
    "Listed",
    "Measure",
    "RankMeasure",
    "evaluate",
    "is_measure_name",
    "parameter_names",
    "register_measure",
    "similar_names",
]
