"""Requests: which items shoppers have in mind, in which split, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.judging import Intent, Judge
from rec_gym.datasets.corner_shop.shop import Shop
from rec_gym.datasets.corner_shop.taxonomy import (
    ATTRIBUTES,
    HELD_OUT_KINDS,
    KINDS,
    SEEN_KINDS,
    above,
    held_out_pairs,
)
from rec_gym.datasets.corner_shop.wording import say

COMBINATION, PHRASING, TYPE = "ood-combination", "ood-phrasing", "ood-type"
SPLITS = ("train", "val", "test", COMBINATION, PHRASING, TYPE)

_ASKED_PERCENT = {1: 40, 2: 35, 3: 25}
_HARD_PERCENT = 50
_MOST_TRIES = 2000


@dataclass(frozen=True)
class Drawn:
    """A request and its latent meaning.

    Attributes:
        id: the request's id.
        split: the split.
        text: the shopper's words.
        intent: what they mean.
    """

    id: str
    split: str
    text: str
    intent: Intent


def draw_requests(shop: Shop, sizes: dict[str, int]) -> Iterator[Drawn]:
    """Draws the requests of every split, in the order of `SPLITS`; no text appears twice."""
    judge, pairs, texts = Judge(shop), held_out_pairs(shop.seed), set[str]()
    for split in SPLITS:
        draws = Draws(shop.seed, f"requests {split}")
        for place, count in enumerate(_asked_counts(sizes[split], draws)):
            for _ in range(_MOST_TRIES):
                intent = _draw_intent(judge, split, count, pairs, draws)
                if intent is None:
                    continue
                brand = None if intent.brand is None else shop.brand(KINDS[intent.kind], intent.brand)
                text = say(intent, draws, unseen=split == PHRASING, brand=brand)
                if text.lower() not in texts:
                    break
            else:
                raise ValueError(f"{len(shop)} items are too few for {sizes[split]} requests in {split}; ask for less")
            texts.add(text.lower())
            yield Drawn(f"{split}-{place + 1:05d}", split, text, intent)


def as_mapping(request: Drawn, judge: Judge) -> dict[str, object]:
    """A request as `Dataset.from_requests` takes it; items are named by position."""
    return {
        "id": request.id,
        "split": request.split,
        "text": request.text,
        "domain": KINDS[request.intent.kind].department.name,
        "gains": judge.gains(request.intent),
        "constraints": judge.constraints(request.intent),
        "oracle": judge.oracle(request.intent),
        "asked": request.intent.count,
    }


def _asked_counts(size: int, draws: Draws) -> list[int]:
    """How many attributes each request asks for: the same shares in every split, in random order."""
    most = [count for count, percent in _ASKED_PERCENT.items() if count > 1 for _ in range(size * percent // 100)]
    return draws.sample([1] * (size - len(most)) + most, size)


def _draw_intent(judge: Judge, split: str, count: int, pairs: dict[int, dict[str, str]], draws: Draws) -> Intent | None:
    """An intent that one drawn item answers exactly, or None if that item does not suit the split."""
    shop = judge.shop
    kind = draws.choice(HELD_OUT_KINDS if split == TYPE else SEEN_KINDS)
    item = int(draws.choice(judge.items(kind.number)))  # type: ignore[arg-type]
    words = {attribute: shop.word(attribute, item) for attribute in ATTRIBUTES}
    held_out = [a for a in ATTRIBUTES if pairs.get(kind.number, {}).get(a) == words[a]]
    if split == COMBINATION:
        if not held_out:
            return None
        first = draws.choice(held_out)
        others = [name for name in (*ATTRIBUTES, "price") if name != first]
        names = [first, *draws.sample(others, count - 1)]
    else:
        free = [name for name in (*ATTRIBUTES, "price") if name not in held_out]
        if len(free) < count:
            return None
        names = draws.sample(free, count)
    return Intent(
        kind=kind.number,
        asked=tuple((name, words[name]) for name in ATTRIBUTES if name in names),
        budget=_draw_budget(kind.type.prices, int(shop.ranges[item]), draws) if "price" in names else None,
        hard=tuple(name for name in ("material", "size") if name in names and draws.chance(_HARD_PERCENT)),
        brand=int(shop.brands[item]) if shop.branded else None,
    )


def _draw_budget(prices: tuple[int, int, int, int], tier: int, draws: Draws) -> tuple[str, int]:
    """A budget that lies in a gap between two price ranges and that an item of the range `tier` meets."""
    _, middle, upper, _ = prices
    if tier == 0:
        return "<=", _round_sum(upper if draws.chance(25) else middle, draws)
    if tier == 1 and draws.chance(75):
        return "<=", _round_sum(upper, draws)
    return ">=", _round_sum(middle if tier == 1 else upper, draws)


def _round_sum(limit: int, draws: Draws) -> int:
    """A sum from `limit` to the end of the gap above it, the roundest kind that the gap holds."""
    gap = range(limit, above(limit))
    for unit in (50, 10, 5):
        choices = [dollars for dollars in gap if dollars % unit == 0]
        if choices and (unit < 50 or limit >= 150):
            return draws.choice(choices)
    return draws.choice(gap)
