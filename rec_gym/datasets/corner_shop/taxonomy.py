"""Look-ups over the departments: what the generator needs to know of the sixty product types, by number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rec_gym.datasets.corner_shop.colours import COLOURS
from rec_gym.datasets.corner_shop.departments import DEPARTMENTS
from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.materials import MATERIALS
from rec_gym.datasets.corner_shop.words import Department, ProductType, Value

ATTRIBUTES = ("material", "colour", "size", "use")
"""The asked attributes that are words; the price is the fifth."""

MATERIAL_WORDS = tuple(MATERIALS)


@dataclass(frozen=True)
class Kind:
    """A product type together with its place in the shop.

    Attributes:
        number: its number, from 0.
        department_number: the number of its department.
        department: the department.
        type: the words of the type.
        complements: numbers of the types that go with it.
    """

    number: int
    department_number: int
    department: Department
    type: ProductType
    complements: tuple[int, ...]

    def values(self, attribute: str) -> tuple[Value, ...]:
        """The values of one attribute that items of this type can have."""
        if attribute == "material":
            return tuple(MATERIALS[word] for word in self.type.materials)
        if attribute == "colour":
            return tuple(COLOURS[word] for word in self.department.colours)
        if attribute == "size":
            return self.department.sizes
        return tuple(use for use in self.department.uses if use.word in self.type.uses)

    @property
    def price_ranges(self) -> tuple[tuple[int, int], ...]:
        """The value, standard and premium range in whole dollars, each from the first up to the second."""
        low, middle, upper, high = self.type.prices
        return (low, middle), (above(middle), upper), (above(upper), high)


def above(limit: int) -> int:
    """Where the range above a price limit begins, in whole dollars: budgets lie in the gap between two ranges."""
    return limit + max(1, limit * 3 // 10)


def code_words(attribute: str, department: Department) -> tuple[str, ...]:
    """The words that the code numbers of an attribute stand for.

    Materials are numbered over the whole shop, the other attributes within their department, so that items of two types
    can be compared by number.
    """
    if attribute == "material":
        return MATERIAL_WORDS
    if attribute == "colour":
        return department.colours
    return tuple(value.word for value in (department.sizes if attribute == "size" else department.uses))


def _kinds() -> tuple[Kind, ...]:
    placed = [(d, department, t) for d, department in enumerate(DEPARTMENTS) for t in department.types]
    numbers = {t.name: number for number, (_, _, t) in enumerate(placed)}
    return tuple(
        Kind(number, d, department, t, tuple(numbers[name] for name in t.complements))
        for number, (d, department, t) in enumerate(placed)
    )


KINDS = _kinds()
SEEN_KINDS = tuple(kind for kind in KINDS if not kind.type.held_out)
HELD_OUT_KINDS = tuple(kind for kind in KINDS if kind.type.held_out)


def held_out_pairs(seed: int) -> dict[int, dict[str, str]]:
    """The combinations that only `ood-combination` asks for: `{type number: {attribute: word}}`.

    For each type of the training requests, one value of each attribute; only values that another type keeps, so that
    the pair is new and not the value itself.
    """
    draws = Draws(seed, "held-out combinations")
    pairs: dict[int, dict[str, str]] = {kind.number: {} for kind in SEEN_KINDS}
    for attribute in ATTRIBUTES:
        remaining = Counter(value.word for kind in SEEN_KINDS for value in kind.values(attribute))
        for kind in SEEN_KINDS:
            words = [value.word for value in kind.values(attribute) if remaining[value.word] > 1]
            if words:
                pairs[kind.number][attribute] = draws.choice(words)
                remaining[pairs[kind.number][attribute]] -= 1
    return pairs
