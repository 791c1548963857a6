"""What a measure computes from, and what it states about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.dataset import Dataset
from rec_gym.ranking import Rankings
from rec_gym.resolving import Interface, takes

RANKS, LIST = "ranks", "list"


@dataclass(frozen=True, eq=False)
class Judged:
    """The relevant items of a batch of requests and where they were ranked: what rank measures compute from.

    Attributes:
        ranks: rank (from 0) of each relevant item, -1 if it is not ranked; int [total], row by row.
        gains: their gains (> 0), float64, the same rows.
        ideal: gains over which the ideal DCG is taken, float64, decreasing along each row; usually those of `gains`.
        lengths: items ranked for each request, int [n]; None if only the ranks are known.
    """

    ranks: Ragged
    gains: Ragged
    ideal: Ragged
    lengths: np.ndarray | None = None

    def hits(self, cutoff: int | None) -> np.ndarray:
        """Which relevant items are ranked within the cut-off, bool [total]."""
        ranks = self.ranks.values
        return ranks >= 0 if cutoff is None else (ranks >= 0) & (ranks < cutoff)

    def in_order(self, cutoff: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, ranks and gains of the relevant items within the cut-off, by row and then by rank; each [hits]."""
        hits = np.flatnonzero(self.hits(cutoff))
        rows, ranks = self.ranks.row_of[hits], self.ranks.values[hits]
        order = np.lexsort((ranks, rows))
        return rows[order], ranks[order], self.gains.values[hits][order]

    def total(self, values: np.ndarray, of: Ragged | None = None) -> np.ndarray:
        """Sums values by request; always in the same order, so sums are the same on every machine."""
        rows = of or self.ranks
        return np.bincount(rows.row_of, weights=values, minlength=len(rows))


@dataclass(frozen=True, eq=False, kw_only=True)
class Listed(Judged):
    """The rankings of a batch of requests of a dataset: what list measures compute from.

    Attributes:
        rankings: to the task's depth, which is at least the cut-off; n rankings.
        dataset: the requests and the catalogue.
        rows: the row of each ranking's request in the dataset, int [n].
    """

    rankings: Rankings
    dataset: Dataset
    rows: np.ndarray

    @classmethod
    def of(cls, rankings: Rankings, dataset: Dataset, rows: np.ndarray) -> Listed:
        """Rankings for the requests at `rows`, with the ranks and gains of their relevant items."""
        return cls(
            rankings.ranks_of(dataset.relevant.take(rows)),
            dataset.relevant_gains.take(rows),
            dataset.ideal_gains.take(rows),
            rankings.lengths,
            rankings=rankings,
            dataset=dataset,
            rows=rows,
        )

    @property
    def catalog(self) -> Catalog:
        """The items that are ranked."""
        return self.dataset.catalog

    def top(self, cutoff: int | None) -> Rankings:
        """The rankings down to the cut-off."""
        rankings = self.rankings
        return Rankings(rankings.items[:, :cutoff], rankings.scores[:, :cutoff], rankings.clipped)

    def gains_at(self, cutoff: int | None) -> np.ndarray:
        """The gain of the item at each place of `top(cutoff)`, 0 if it is not relevant; float64 [n, places]."""
        items = self.rankings.items[:, :cutoff]
        gains = np.zeros(items.shape)
        rows, ranks, values = self.in_order(items.shape[1])
        gains[rows, ranks] = values
        return gains


class Formula:
    """How a measure is computed, and what it states about itself. The arguments of the constructor are its parameters.

    Attributes:
        needs: `"ranks"` or `"list"`, with a cut-off.
        without_cutoff: the same without one; None if the measure needs a cut-off.
        range: the least and the greatest value.
        lower_is_better: whether a better ranking has a lower value, as with a distance. Tables say so, and a reward is not
            made of such a measure.
    """

    needs: ClassVar[str]
    without_cutoff: ClassVar[str | None]
    range: tuple[float, float] = (0.0, 1.0)
    lower_is_better: ClassVar[bool] = False

    def check(self, dataset: Dataset) -> None:
        """Checks the measure's preconditions on a dataset.

        Raises:
            ValueError: the measure is meaningless there.
        """

    def __call__(self, judged: Any, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        raise NotImplementedError


class RankMeasure(Formula):
    """A measure of the ranks of the relevant items. Subclasses with parameters are dataclasses of them."""

    needs = RANKS
    without_cutoff: ClassVar[str | None] = RANKS

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        raise NotImplementedError


class ListMeasure(Formula):
    """A measure of the ranking itself. Subclasses with parameters are dataclasses of them."""

    needs = LIST
    without_cutoff: ClassVar[str | None] = LIST

    def __call__(self, listed: Listed, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        raise NotImplementedError


class RankFunction(RankMeasure):
    """A rank measure in [0, 1] from a function `(judged, cutoff) -> float64 [n]`."""

    def __init__(self, function: Callable[[Judged, int | None], np.ndarray]) -> None:
        self._function = function

    def __call__(self, judged: Judged, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        return self._function(judged, cutoff)


class ListFunction(ListMeasure):
    """A list measure in [0, 1] from a function `(rankings, gains, catalog, requests) -> float64 [n]`.

    It receives the rankings down to the cut-off, the gain at each place (float64 [n, places], 0 where the item is not
    relevant), the catalogue, and the requests as a list of `Request`.
    """

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        self._function = function

    def __call__(self, listed: Listed, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        ids = listed.dataset.column("id", listed.rows).tolist()
        known = {name: listed.dataset.request(name) for name in dict.fromkeys(ids)}
        requests = [known[name] for name in ids]
        return self._function(listed.top(cutoff), listed.gains_at(cutoff), listed.catalog, requests)


Definition = type[Formula] | Callable[..., np.ndarray]

_RANK_ARGUMENTS = ("judged", "cutoff")
_LIST_ARGUMENTS = ("rankings", "gains", "catalog", "requests")


def is_definition(value: object) -> bool:
    """Whether a value defines a measure: a class under `RankMeasure` or `ListMeasure`, or a function of either kind."""
    if isinstance(value, type):
        return issubclass(value, RankMeasure | ListMeasure) and value not in (RankMeasure, ListMeasure)
    return takes(value, *_RANK_ARGUMENTS) or takes(value, *_LIST_ARGUMENTS)


def formula_class(definition: Definition) -> Callable[..., Formula]:
    """What is called with the parameters of a measure: the class itself; for a function, a factory without parameters."""
    if isinstance(definition, type):
        return definition
    kind = RankFunction if takes(definition, *_RANK_ARGUMENTS) else ListFunction

    def formula() -> Formula:
        return kind(definition)

    return formula


MEASURE = Interface(
    "a measure",
    is_definition,
    "a class under RankMeasure or ListMeasure, or a function (judged, cutoff) or (rankings, gains, catalog, requests)",
)


def ratio(part: np.ndarray, whole: np.ndarray | np.float64 | None) -> np.ndarray:
    """Quotients, float64 [n]; 0 if there is nothing to divide by."""
    whole = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
