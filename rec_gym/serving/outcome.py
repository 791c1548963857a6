"""The outcome of one completion: a row of the outcomes of its batch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """The columns of `Outcomes` as lists of plain values, which are faster than arrays to read one at a time."""

    request_id: list[str]
    query: list[str]
    parse: list[str]
    parse_ok: list[bool]
    clipped: list[bool]
    scored: list[bool]
    reward: list[float]
    measures: dict[str, list[float]]
    terms: dict[str, list[float]]
    text_stats: dict[str, list[float]]
    filters: list[str] | list[None]


class Outcome:
    """What scoring one completion yields: a row of `Outcomes`, as plain values.

    Immutable; equal if all values are. It shares the columns of its batch, but for rankings; a pickle holds its own values
    only.
    """

    # A trainer makes thousands of these a second and often reads nothing but the reward: values are looked up when they are
    # asked for, and nothing is made for them before.
    __slots__ = ("_columns", "_place")

    def __init__(self, columns: _Columns, place: int) -> None:
        self._columns, self._place = columns, place

    @property
    def request_id(self) -> str:
        """The request."""
        return self._columns.request_id[self._place]

    @property
    def query(self) -> str:
        """What was asked; an empty text if nothing was."""
        return self._columns.query[self._place]

    @property
    def parse(self) -> str:
        """What the action format did, one word."""
        return self._columns.parse[self._place]

    @property
    def parse_ok(self) -> bool:
        """Whether the completion parsed."""
        return self._columns.parse_ok[self._place]

    @property
    def clipped(self) -> bool:
        """Whether the query was cut, by the format or by the recommender."""
        return self._columns.clipped[self._place]

    @property
    def scored(self) -> bool:
        """Whether there was something to rank by, a query or an order."""
        return self._columns.scored[self._place]

    @property
    def reward(self) -> float:
        """What the completion earned."""
        return self._columns.reward[self._place]

    @property
    def measures(self) -> dict[str, float]:
        """The measures by name; 0 if nothing was asked."""
        return self._row(self._columns.measures)

    @property
    def terms(self) -> dict[str, float]:
        """The parts of the reward by name; their sum is the one-turn reward."""
        return self._row(self._columns.terms)

    @property
    def text_stats(self) -> dict[str, float]:
        """Statistics of what the policy wrote, by name."""
        return self._row(self._columns.text_stats)

    @property
    def filters(self) -> str | None:
        """The filters in the completion, as JSON, see `Outcomes`; None where completions of the task hold no filters."""
        return self._columns.filters[self._place]

    def columns(self) -> dict[str, str | bool | float]:
        """What an environment's info says of the completion: its row of `Outcomes.columns`, under the same keys."""
        values: dict[str, str | bool | float] = {key: getattr(self, key) for key in (*Outcomes.TEXTS, *Outcomes.FLAGS)}
        if values["filters"] is None:
            del values["filters"]
        for kind, named in (("measure", self.measures), ("term", self.terms), ("text", self.text_stats)):
            values |= {f"{kind}/{name}": value for name, value in named.items()}
        return values

    def _row(self, named: dict[str, list[float]]) -> dict[str, float]:
        return {name: values[self._place] for name, values in named.items()}

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(_Columns)}

    def __repr__(self) -> str:
        return f"Outcome({', '.join(f'{name}={value!r}' for name, value in self._values().items())})"

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Outcome) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _alone, tuple(self._values().values())


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of an episode.

    Attributes:
        episode: after the turn.
        outcome: of the turn's completion, with the turn's reward.
        observation: what the policy sees next.
    """

    episode: Episode
    outcome: Outcome
    observation: str


def split_outcomes(outcomes: Outcomes) -> list[Outcome]:
    """The outcome of each completion of a batch, in order."""
    columns = _Columns(
        request_id=outcomes.request_ids,
        query=outcomes.queries,
        parse=outcomes.parse,
        parse_ok=outcomes.parse_ok.tolist(),
        clipped=outcomes.clipped.tolist(),
        scored=outcomes.scored.tolist(),
        reward=outcomes.rewards.tolist(),
        measures={name: values.tolist() for name, values in outcomes.measures.items()},
        terms={name: values.tolist() for name, values in outcomes.terms.items()},
        text_stats={name: values.tolist() for name, values in outcomes.text_stats.items()},
        filters=[None] * len(outcomes) if outcomes.filters is None else outcomes.filters,
    )
    return [Outcome(columns, place) for place in range(len(outcomes))]


def _alone(*values: Any) -> Outcome:
    """An outcome from its own values, in the order of the columns."""
    columns = [{name: [one] for name, one in value.items()} if isinstance(value, dict) else [value] for value in values]
    return Outcome(_Columns(*columns), 0)  # type: ignore[arg-type]
