"""Terms: named additions to a reward, each a weight times a value in [0, 1].

What is weighted is `format` (the completion parsed), a text statistic (`length`, `repetition`, `copy`), a measure, or a
custom function `(written, requests) -> float64 [n]` of what policies wrote and the texts of the requests. A custom
function is named by `register_term`, or as `package.module:Name` wherever a term is named; further parameters of it are
options of the term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from rec_gym.loop.text_stats import LENGTH, TEXT_STATS
from rec_gym.loop.transforms import Bounds, Values, hull
from rec_gym.measures import MEASURE, Measure, is_measure_name, similar_names
from rec_gym.registry import Registry
from rec_gym.resolving import FORM, Interface, is_path, takes
from rec_gym.resolving import resolve as load
from rec_gym.tables import check_arguments, check_fields, check_keys, unknown

FORMAT = "format"
TextFunction = Callable[..., np.ndarray]

_MAX_LENGTH = 100.0


def _is_text_function(value: object) -> bool:
    return takes(value, "written", "requests")


TERM = Interface("a term", _is_text_function, "a function (written, requests) that returns float64 [n] in [0, 1]")
_PAYABLE = Interface(
    "a term", lambda value: _is_text_function(value) or MEASURE.accepts(value), f"{TERM.wanted}, or {MEASURE.wanted}"
)
# Custom functions that have a name; what `Term` itself knows is not among them.
TERMS: Registry[TextFunction] = Registry(TERM, {})


def register_term(name: str, function: TextFunction) -> None:
    """Gives a custom term a name, by which rewards find it in this process.

    Args:
        name: lower-case letters, digits, `-` and `_`, beginning with a letter.
        function: `(written, requests) -> float64 [n]` in [0, 1]: what policies wrote, and the texts of the requests that
            they answer, both lists of n texts. Further parameters are options of the term.

    Raises:
        ValueError: the name is taken or not of the right form, or the function takes other parameters.
    """
    if isinstance(name, str) and (name in (FORMAT, *TEXT_STATS) or is_measure_name(name)):
        raise ValueError(f"the name {name!r} is taken by another term or measure; choose a different one")
    TERMS.register(name, function)


@dataclass(frozen=True)
class Term:
    """A named addition to the reward: weight times a value in [0, 1].

    Attributes:
        name: `format` (the completion parsed), `length`, `repetition`, `copy` (see text_stats), a measure, or a custom
            function by its registered name or path.
        weight: what a value of 1 pays; negative for a penalty.
        max: for `length` only: as many words, or more, count as 1.
        only_if_positive: pays only where the reward's own measure is above 0, so that it cannot be earned by doing
            nothing.
        only_if_improved: in a task with candidates, pays only where the reward's own measure is above that of the order
            in which they were given.
        options: of a custom function.
    """

    name: str
    weight: float
    max: float = _MAX_LENGTH
    only_if_positive: bool = False
    only_if_improved: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        what = f"term {self.name!r}"
        check_fields(self, what)
        if not self.max > 0:
            raise ValueError(f"max of {what} must be above 0, not {self.max}")
        if self.max != _MAX_LENGTH and self.name != LENGTH:
            raise ValueError(f"max is an option of the term 'length', not of {what}")
        if self.name in TERMS:
            _ = self.function  # its options may be wrong
        elif is_measure_name(self.name):
            if not self._may_be_function:  # custom code is imported when a task is made, not when a card is read
                _ = self.measure  # its cut-off may be wrong
        elif not self._is_built_in:
            choices = [FORMAT, *TEXT_STATS, *TERMS, *similar_names(self.name)]
            raise ValueError(unknown("term", self.name, choices, more=f"{FORM} for custom code"))
        if self.options and not self._may_be_function:
            check_keys(self.options, [], what)

    @property
    def _is_built_in(self) -> bool:
        return self.name in (FORMAT, *TEXT_STATS)

    @property
    def _may_be_function(self) -> bool:
        """Whether the name is that of a custom function, or a path without a cut-off, which may be that of a measure."""
        return self.name in TERMS or (is_path(self.name) and not self._is_built_in)

    @cached_property
    def function(self) -> TextFunction | None:
        """The custom function of texts that is paid, if the term names one; custom code is imported here."""
        if not self._may_be_function:
            return None
        found = TERMS[self.name] if self.name in TERMS else load(self.name, _PAYABLE)
        if not _is_text_function(found):
            return None
        texts: dict[str, Any] = {"written": [], "requests": []}
        check_arguments(found, {**texts, **self.options}, f"term {self.name!r}")
        return found

    @cached_property
    def measure(self) -> Measure | None:
        """The measure that is paid, if the term names one."""
        return None if self._is_built_in or self.function is not None else Measure.parse(self.name)

    def compute(self, written: Sequence[str], requests: Sequence[str]) -> np.ndarray:
        """What a custom function says of texts, float64 [n].

        Raises:
            ValueError: it returned something else than one number in [0, 1] per text.
        """
        assert self.function is not None
        values = np.asarray(self.function(list(written), list(requests), **self.options), np.float64)
        if values.shape != (len(written),) or not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"term {self.name!r} must return {len(written)} numbers in [0, 1], not {values!r:.200}")
        return values

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
        return hull([least, self.weight, 0.0] if self.only_if_improved else [least, self.weight])


def make_term(spec: str | Callable[..., Any], value: float | Mapping[str, object]) -> Term:
    """A term from its name and its weight, or a table with `weight`.

    Args:
        spec: the name, or a function at the top level of a module: a custom term, or a measure.
        value: the weight, or a table of the fields of `Term` and of a custom function's options.

    Raises:
        ValueError: an unknown term or option (near names are suggested), or a value of the wrong type.
    """
    name = _name_of(spec) if callable(spec) else spec
    table = dict(value) if isinstance(value, Mapping) else {"weight": value}
    known = [slot.name for slot in fields(Term) if slot.name not in ("name", "options")]
    is_custom = name in TERMS or (isinstance(name, str) and is_path(name))
    options = {key: table.pop(key) for key in list(table) if is_custom and key not in known}
    check_keys(table, known, f"term {name!r}", required=["weight"])
    return Term(name, options=options, **table)  # it checks the types itself


def _name_of(function: object) -> str:
    if _is_text_function(function):
        return TERMS.name_of(function)
    if not MEASURE.accepts(function):
        raise ValueError(f"{function!r} is not a term; name one, or pass {_PAYABLE.wanted}")
    return str(Measure.parse(function))  # type: ignore[arg-type]
