"""What a request asks for, and how well each item answers it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rec_gym.datasets.corner_shop.shop import Shop
from rec_gym.datasets.corner_shop.taxonomy import KINDS, Kind, code_words

EXACT, SUBSTITUTE, COMPLEMENT = 1.0, 0.1, 0.01

_CARRIED_OVER = ("colour", "use", "price")


@dataclass(frozen=True)
class Intent:
    """The latent meaning of a request.

    Attributes:
        kind: number of the product type.
        asked: `(attribute, word)` of the asked material, colour, size and use.
        budget: operator and whole dollars, `("<=", 40)` or `(">=", 40)`, or None.
        hard: the attributes (material, size) that were asked as a must.
        brand: the brand's number within the department if the request names it, else None.
    """

    kind: int
    asked: tuple[tuple[str, str], ...]
    budget: tuple[str, int] | None
    hard: tuple[str, ...]
    brand: int | None = None

    @property
    def count(self) -> int:
        """How many attributes are asked besides the type."""
        return len(self.asked) + (self.budget is not None)


class Judge:
    """Grades the items of a shop for an intent.

    * exact (1): of the type, and meets every asked attribute;
    * substitute (0.1): of the type, and misses exactly one asked attribute;
    * complement (0.01): of one of the two types that go with it, and meets the asked colour, use and budget (material
      and size mean something else for another type and are not compared).

    Where the request names a brand, items of other brands are not judged.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        order = np.argsort(shop.kinds, kind="stable")
        ends = np.searchsorted(shop.kinds[order], np.arange(len(KINDS) + 1))
        self._items = [order[start:stop] for start, stop in pairwise(ends)]

    def items(self, kind: int) -> np.ndarray:
        """Positions of the items of a type, in increasing order."""
        return self._items[kind]

    def gains(self, intent: Intent) -> dict[int, float]:
        """`{position: gain}` of the judged items, by increasing position."""
        items, met = self._met(intent.kind, intent, (*(name for name, _ in intent.asked), "price"))
        graded = [(items[met == intent.count], EXACT), (items[met == intent.count - 1], SUBSTITUTE)]
        carried = [name for name, _ in intent.asked if name in _CARRIED_OVER] + ["price"] * (intent.budget is not None)
        for kind in KINDS[intent.kind].complements:
            items, met = self._met(kind, intent, _CARRIED_OVER)
            graded.append((items[met == len(carried)], COMPLEMENT))
        gains = {item: gain for items, gain in graded for item in items.tolist()}
        return dict(sorted(gains.items()))

    def _met(self, kind: int, intent: Intent, attributes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The items of a type (and of the named brand), and how many of the asked attributes each one meets."""
        items = self._items[kind]
        if intent.brand is not None:
            items = items[self.shop.brands[items] == intent.brand]
        met = np.zeros(len(items), np.int64)
        for attribute, word in intent.asked:
            if attribute in attributes:
                code = code_words(attribute, KINDS[kind].department).index(word)
                met += self.shop.codes[attribute][items] == code
        if intent.budget is not None and "price" in attributes:
            operator, dollars = intent.budget
            cents = self.shop.cents[items]
            met += cents <= dollars * 100 if operator == "<=" else cents >= dollars * 100
        return items, met

    def constraints(self, intent: Intent) -> list[list[object]]:
        """The hard constraints as `[column, operator, value]` over catalogue columns."""
        constraints: list[list[object]] = [[name, "==", word] for name, word in intent.asked if name in intent.hard]
        if intent.budget is not None:
            operator, dollars = intent.budget
            constraints.append(["price", operator, float(dollars)])
        if intent.brand is not None:
            constraints.append(["brand", "==", self.shop.brand(KINDS[intent.kind], intent.brand)])
        return constraints

    def oracle(self, intent: Intent) -> str:
        """The request in the shop's words: type, attributes, the ranges that the budget allows, brand."""
        kind = KINDS[intent.kind]
        words = [kind.type.name, *(word for _, word in intent.asked), *_allowed_ranges(kind, intent)]
        if intent.brand is not None:
            words.append(self.shop.brand(kind, intent.brand))
        return " ".join(words)


def _allowed_ranges(kind: Kind, intent: Intent) -> list[str]:
    """Names of the price ranges within the budget; a budget never cuts a range in two."""
    if intent.budget is None:
        return []
    operator, dollars = intent.budget
    return [
        name
        for name, (low, high) in zip(kind.department.ranges, kind.price_ranges, strict=True)
        if (high <= dollars if operator == "<=" else low >= dollars)
    ]
