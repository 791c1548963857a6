"""The outcome of one completion, as a small value apart from its batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What scoring one completion yields: a row of `Outcomes`, as plain values; small to keep and to pickle.

    Attributes:
        request_id: the request.
        query: what was asked; an empty text if nothing was.
        parse: what the action format did, one word.
        parse_ok: whether the completion parsed.
        clipped: whether the query was cut.
        scored: whether there was something to rank by.
        reward: what the completion earned.
        measures: by name; 0 if nothing was asked.
        terms: by name; their sum is the one-turn reward.
        text_stats: by name, of what the policy wrote.
    """

    request_id: str
    query: str
    parse: str
    parse_ok: bool
    clipped: bool
    scored: bool
    reward: float
    measures: Mapping[str, float]
    terms: Mapping[str, float]
    text_stats: Mapping[str, float]

    def columns(self) -> dict[str, str | bool | float]:
        """What an environment's info says of the completion: the row of `Outcomes.columns`, under the same keys."""
        values: dict[str, str | bool | float] = {key: getattr(self, key) for key in (*Outcomes.TEXTS, *Outcomes.FLAGS)}
        for kind, named in (("measure", self.measures), ("term", self.terms), ("text", self.text_stats)):
            values |= {f"{kind}/{name}": value for name, value in named.items()}
        return values


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
    columns = (
        outcomes.request_ids,
        outcomes.queries,
        outcomes.parse,
        outcomes.parse_ok.tolist(),
        outcomes.clipped.tolist(),
        outcomes.scored.tolist(),
        outcomes.rewards.tolist(),
        *(_rows(named, len(outcomes)) for named in (outcomes.measures, outcomes.terms, outcomes.text_stats)),
    )
    return [Outcome(*row) for row in zip(*columns, strict=True)]


def _rows(named: Mapping, size: int) -> list[dict[str, float]]:
    """`{name: array [n]}` as n tables of plain numbers."""
    if not named:
        return [{} for _ in range(size)]
    names = list(named)
    return [dict(zip(names, row, strict=True)) for row in zip(*(named[name].tolist() for name in names), strict=True)]
