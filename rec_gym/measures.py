"""Ranking measures: pure functions from the ranks and gains of the relevant items to one number a request.

Conventions, which are those of trec_eval: NDCG has linear gains, log2 discounts and an ideal over all judged items; unjudged
items have gain 0; `map@k` and `recall@k` divide by all relevant items, `precision@k` by k; a request without relevant items
or with nothing retrieved scores 0. Ranks count from 0 here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rec_gym.columns import Ragged, first_few
from rec_gym.request_columns import GAIN_RULE, check_list, is_gain

_NAME = re.compile(r"([a-z]+)(?:@([1-9][0-9]*))?")


@dataclass(frozen=True, order=True)
class Measure:
    """A measure and its cut-off; parses from and prints as its name, such as `ndcg@100`.

    Attributes:
        name: `ndcg`, `recall`, `precision`, `mrr`, `map` or `hit`; `constraints` is known to tasks only.
        cutoff: places that count, or None for the whole ranking.
    """

    name: str
    cutoff: int | None = None

    @classmethod
    def parse(cls, text: str | Measure) -> Measure:
        """Reads a measure from its name.

        Raises:
            ValueError: the text does not name a measure; the message lists those there are.
        """
        if isinstance(text, Measure):
            return text
        match = _NAME.fullmatch(text)
        if match is None or match[1] not in MEASURES:
            known = ", ".join(MEASURES)
            raise ValueError(f"unknown measure {text!r}; there are: {known}, each with or without a cut-off like @10")
        measure = cls(match[1], int(match[2]) if match[2] else None)
        if measure.name == CONSTRAINTS and measure.cutoff is None:
            raise ValueError("constraints needs a cut-off, such as constraints@10")
        return measure

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @property
    def needs_list(self) -> bool:
        """Whether the ranks of the relevant items do not suffice: the measure looks at the list itself."""
        return self.name == CONSTRAINTS or (self.name == "precision" and self.cutoff is None)

    def __call__(self, judged: Judged) -> np.ndarray:
        """The measure of each request, float64 [n] in [0, 1]."""
        return MEASURES[self.name](judged, self.cutoff)


@dataclass(frozen=True, eq=False)
class Judged:
    """The relevant items of a batch of requests and where they were ranked.

    Attributes:
        ranks: rank (from 0) of each relevant item, -1 where it is not ranked; int [total], row by row.
        gains: their gains (> 0), float64, the same rows.
        ideal: gains over which the ideal DCG is taken, float64, falling along each row; usually those of `gains`.
        lengths: items ranked for each request, int [n]; needed by `precision` without a cut-off only.
    """

    ranks: Ragged
    gains: Ragged
    ideal: Ragged
    lengths: np.ndarray | None = None

    def hits(self, cutoff: int | None) -> np.ndarray:
        """Which relevant items stand within the cut-off, bool [total]."""
        ranks = self.ranks.values
        return ranks >= 0 if cutoff is None else (ranks >= 0) & (ranks < cutoff)

    def total(self, values: np.ndarray, of: Ragged | None = None) -> np.ndarray:
        """Sums values by request; always in the same order, so that sums are the same on every machine."""
        rows = of or self.ranks
        return np.bincount(rows.row_of, weights=values, minlength=len(rows))


def _discounts(ranks: np.ndarray) -> np.ndarray:
    return 1.0 / np.log2(ranks + 2.0)


def _ndcg(judged: Judged, cutoff: int | None) -> np.ndarray:
    """DCG over the ideal DCG; Järvelin and Kekäläinen 2002 with linear gains and log2(rank + 1), ranks from 1."""
    hits = np.flatnonzero(judged.hits(cutoff))
    rows, ranks = judged.ranks.row_of[hits], judged.ranks.values[hits]
    # Summed in the order of ranks, as the ideal is: a perfect ranking then scores exactly 1.
    order = np.lexsort((ranks, rows))
    paid = judged.gains.values[hits] * _discounts(ranks)
    dcg = np.bincount(rows[order], weights=paid[order], minlength=len(judged.ranks))
    ideal = judged.ideal
    places = np.arange(len(ideal.values)) - np.repeat(ideal.offsets[:-1], ideal.lengths)
    counted = places < (len(ideal.values) if cutoff is None else cutoff)
    best = judged.total(np.where(counted, ideal.values * _discounts(places), 0.0), of=ideal)
    return np.minimum(_ratio(dcg, best), 1.0)  # rounding must not lift a near-perfect ranking above 1


def _recall(judged: Judged, cutoff: int | None) -> np.ndarray:
    return _ratio(judged.total(judged.hits(cutoff)), judged.ranks.lengths)


def _precision(judged: Judged, cutoff: int | None) -> np.ndarray:
    if cutoff is None and judged.lengths is None:
        raise ValueError("precision without a cut-off needs the lengths of the rankings")
    return _ratio(judged.total(judged.hits(cutoff)), judged.lengths if cutoff is None else np.float64(cutoff))


def _hit(judged: Judged, cutoff: int | None) -> np.ndarray:
    return (judged.total(judged.hits(cutoff)) > 0).astype(np.float64)


def _mrr(judged: Judged, cutoff: int | None) -> np.ndarray:
    """One over the rank (from 1) of the first relevant item."""
    reciprocal = np.where(judged.hits(cutoff), 1.0 / (np.maximum(judged.ranks.values, 0) + 1.0), 0.0)
    best = np.zeros(len(judged.ranks))
    np.maximum.at(best, judged.ranks.row_of, reciprocal)
    return best


def _map(judged: Judged, cutoff: int | None) -> np.ndarray:
    """Mean over all relevant items of the precision at their ranks; 0 for those that are not retrieved."""
    rows = judged.ranks.row_of
    key = np.where(judged.hits(cutoff), judged.ranks.values, np.iinfo(np.int32).max)
    order = np.lexsort((key, rows))
    found = np.arange(len(key)) - np.repeat(judged.ranks.offsets[:-1], judged.ranks.lengths) + 1.0
    precision = np.where(judged.hits(cutoff)[order], found / (key[order] + 1.0), 0.0)
    return _ratio(judged.total(precision), judged.ranks.lengths)


def _constraints(judged: Judged, cutoff: int | None) -> np.ndarray:
    raise ValueError("constraints@k needs a task whose dataset keeps the requests' hard constraints")


def _ratio(part: np.ndarray, whole: np.ndarray | np.float64 | None) -> np.ndarray:
    whole = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


CONSTRAINTS = "constraints"
MEASURES: dict[str, Callable[[Judged, int | None], np.ndarray]] = {
    "ndcg": _ndcg,
    "recall": _recall,
    "precision": _precision,
    "mrr": _mrr,
    "map": _map,
    "hit": _hit,
    CONSTRAINTS: _constraints,
}


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
        duplicate_targets: `"remove"` counts a target that a list repeats once; `"count"` counts it again in the ideal
            DCG, as Rec-R1's published figures do.

    Returns:
        `{name: float64 [n]}`, names as they were given.

    Raises:
        ValueError: an unknown measure; rankings and gains of different number; a gain that is negative, not finite, or
            neither 0 nor between 1e-12 and 1e12; an item that a ranking holds twice; or one text where a list belongs.
    """
    names, ranked = check_list(names, "names", "['ndcg@10']"), check_list(ranked, "ranked", "[['a1', 'a2']]")
    gains = check_list(gains, "gains", "[{'a1': 1.0}]")
    if len(ranked) != len(gains):
        raise ValueError(f"{len(ranked)} rankings were given for {len(gains)} requests")
    if duplicate_targets not in ("remove", "count"):
        raise ValueError(f"duplicate_targets is 'remove' or 'count', not {duplicate_targets!r}")
    measures = {name: Measure.parse(name) for name in names}
    ranks, kept, ideal = [], [], []
    for row, (listed, wanted) in enumerate(zip(ranked, gains, strict=True)):
        items = check_list(listed, f"ranking {row}", "['a1', 'a2']")
        places = {item: rank for rank, item in enumerate(items)}
        if len(places) < len(items):
            raise ValueError(f"ranking {row} holds an item twice: {first_few(_repeated(items))}")
        targets = (
            ()
            if isinstance(wanted, Mapping)
            else check_list(wanted, f"gains of request {row}", "['a1'] or {'a1': 1.0}")
        )
        pairs = list(wanted.items()) if isinstance(wanted, Mapping) else [(item, 1.0) for item in targets]
        relevant = {item: gain for item, gain in _checked(pairs, row) if gain > 0}
        ranks.append([places.get(item, -1) for item in relevant])
        kept.append(list(relevant.values()))
        counted = [gain for _, gain in pairs if gain > 0] if duplicate_targets == "count" else kept[-1]
        ideal.append(sorted(counted, reverse=True))
    judged = Judged(
        Ragged.from_rows(ranks, np.int64),
        Ragged.from_rows(kept, np.float64),
        Ragged.from_rows(ideal, np.float64),
        np.array([len(items) for items in ranked]),
    )
    return {name: measure(judged) for name, measure in measures.items()}


def _checked(pairs: list[tuple[str, float]], row: int) -> list[tuple[str, float]]:
    wrong = [item for item, gain in pairs if not is_gain(gain)]
    if wrong:
        raise ValueError(f"{GAIN_RULE}; request {row} has others for {first_few(wrong)}")
    return pairs


def _repeated(items: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
