"""The outcomes of a batch of completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rec_gym.columns import Ragged
from rec_gym.loop.actions.base import STOPPED
from rec_gym.ranking import NOT_RANKED, Rankings

if TYPE_CHECKING:
    from rec_gym.loop.search import Lists


@dataclass(eq=False)
class Outcomes:
    """Everything that scoring a batch of completions yields; n completions.

    A pickle holds the columns, and of `rankings` and `searched` what was made before; the others are an error there.

    Attributes:
        request_ids: the request of each completion.
        queries: what was asked, or the order of the candidates; an empty text where nothing was.
        parse: what the action format did, one word per completion.
        parse_ok: whether the completion parsed, bool [n].
        clipped: whether the query was cut, by the format or by the recommender, bool [n].
        scored: whether there was something to rank by, a query or an order, bool [n].
        rewards: float64 [n].
        measures: `{name: float64 [n]}`; 0 where nothing was asked, or what an empty ranking has where lower is better.
        terms: `{name: float64 [n]}`; their sum is the one-turn reward.
        text_stats: `{name: float64 [n]}`, of what the policy wrote.
        ranks: ranks (from 0) of each request's relevant items within the task's depth, -1 elsewhere.
        filters: the filters in each completion that asked, as a JSON list of `[column, operator, value]`, sorted; an empty
            text for none, and None where completions of the task hold no filters.
    """

    # Info columns of text; `filters` is there only where completions of the task hold filters.
    TEXTS: ClassVar[tuple[str, ...]] = ("query", "parse", "filters")
    FLAGS: ClassVar[tuple[str, ...]] = ("parse_ok", "clipped", "scored")  # info columns of truth values

    request_ids: list[str]
    queries: list[str]
    parse: list[str]
    parse_ok: np.ndarray
    clipped: np.ndarray
    scored: np.ndarray
    rewards: np.ndarray
    measures: dict[str, np.ndarray]
    terms: dict[str, np.ndarray]
    text_stats: dict[str, np.ndarray]
    ranks: Ragged
    filters: list[str] | None = None
    _lists: Lists | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.request_ids)

    def __getstate__(self) -> dict[str, object]:
        # What has been looked at is kept by the lists; neither recommender nor dataset comes along.
        return {key: value for key, value in self.__dict__.items() if key not in ("rankings", "searched")}

    @cached_property
    def rankings(self) -> Rankings:
        """The rankings to the task's depth; computed when first asked for. Rows that were not scored are empty.

        Raises:
            RuntimeError: they were not looked at before these outcomes were pickled.
        """
        return self._made().rankings()

    def top(self, k: int) -> np.ndarray:
        """The best k items of each completion, int32 [n, at most k], padded with -1; whatever the task's depth is.

        Raises:
            RuntimeError: as for `rankings`.
        """
        return self._made().rankings(k).items[:, :k]

    @cached_property
    def searched(self) -> list[str]:
        """The words that the engine used of each query, separated by spaces.

        Raises:
            RuntimeError: as for `rankings`.
        """
        return self._made().searched()

    @property
    def flags(self) -> dict[str, np.ndarray]:
        """The columns of truth values, `{name: bool [n]}`."""
        return {name: getattr(self, name) for name in self.FLAGS}

    def columns(self) -> dict[str, np.ndarray]:
        """What an environment's info says of each completion; always the same keys for one task."""
        texts = dict(zip(self.TEXTS, (self.queries, self.parse, self.filters), strict=True))
        columns = {
            key: np.array(values, dtype=object) for key, values in texts.items() if values is not None
        } | self.flags
        for kind, named in (("measure", self.measures), ("term", self.terms), ("text", self.text_stats)):
            columns |= {f"{kind}/{name}": values for name, values in named.items()}
        return columns

    def with_rewards(self, rewards: np.ndarray) -> Outcomes:
        """The same outcomes with other rewards."""
        return replace(self, rewards=rewards)

    def with_term(self, name: str, values: np.ndarray) -> Outcomes:
        """The same outcomes with a further term, which is added to the rewards.

        Args:
            name: how the term is reported, beside those that are there.
            values: what it pays, float64 [n]; finite numbers.

        Raises:
            ValueError: there is a term of that name, or the values are not n finite numbers.
        """
        if name in self.terms:
            raise ValueError(f"there is a term {name!r} already; choose another name than {', '.join(self.terms)}")
        values = np.asarray(values, np.float64)
        if values.shape != (len(self),) or not np.isfinite(values).all():
            raise ValueError(f"term {name!r} needs one finite number for each of {len(self)} completions")
        return replace(self, rewards=self.rewards + values, terms={**self.terms, name: values})

    def with_stops(
        self,
        request_ids: list[str],
        stops: np.ndarray,
        relevant: Ragged,
        unscored: Mapping[str, np.ndarray] | None = None,
    ) -> Outcomes:
        """The outcomes of a whole turn, where these are of the completions that did not end their episode.

        Args:
            request_ids: of every episode of the turn, m ids.
            stops: which of them were ended, bool [m]; their columns are 0, and they count as parsed.
            relevant: relevant items of each request.
            unscored: measures of the completions that were ended, by name, where they are not 0.
        """
        places, size = np.flatnonzero(~stops), len(stops)

        def spread(column: np.ndarray, otherwise: np.ndarray | float = 0) -> np.ndarray:
            whole = np.zeros(size, column.dtype)
            whole[places], whole[stops] = column, otherwise
            return whole

        def texts(column: list[str], otherwise: str) -> list[str]:
            inner = iter(column)
            return [otherwise if stop else next(inner) for stop in stops]

        return Outcomes(
            request_ids=request_ids,
            queries=texts(self.queries, STOPPED.query),
            parse=texts(self.parse, STOPPED.parse),
            parse_ok=spread(self.parse_ok) | stops,
            clipped=spread(self.clipped),
            scored=spread(self.scored),
            rewards=spread(self.rewards),
            measures={name: spread(values, (unscored or {}).get(name, 0)) for name, values in self.measures.items()},
            terms={name: spread(values) for name, values in self.terms.items()},
            text_stats={name: spread(values) for name, values in self.text_stats.items()},
            ranks=spread_ranks(self.ranks, places, relevant),
            filters=None if self.filters is None else texts(self.filters, ""),
            _lists=None if self._lists is None else self._lists.among(places, size),
        )

    def _made(self) -> Lists:
        if self._lists is None:
            raise RuntimeError("these outcomes were made without rankings; let Task.score make them")
        return self._lists


def spread_ranks(ranks: Ragged, places: np.ndarray, relevant: Ragged) -> Ragged:
    """Ranks of the completions at `places` among all; the relevant items of the others are not ranked."""
    values = np.full(len(relevant.values), NOT_RANKED, np.int32)
    chosen = np.zeros(len(relevant), bool)
    chosen[places] = True
    values[np.repeat(chosen, relevant.lengths)] = ranks.values
    return relevant.with_values(values)
