"""The latent shop: what every item is, as arrays of small numbers, before a word is written about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_gym.datasets.corner_shop.brands import brand_name
from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.taxonomy import ATTRIBUTES, KINDS, Kind, code_words

MIN_ITEMS = 600
ITEMS_PER_BRAND_ROUND = 5000
UNBRANDED_ITEMS = 10_000
"""Up to this size a request is judged over all brands; above it, each request names a brand."""

_MIN_BRANDS = 6
_RANGE_WEIGHTS = (4, 4, 3)
_MATERIAL_WEIGHTS = (4, 3, 3, 2)
_ENDINGS = np.array([0, 49, 95, 99])


@dataclass(frozen=True, eq=False)
class Shop:
    """The items' latent attributes, one array entry per item.

    Attributes:
        seed: the seed it was drawn from.
        kinds: number of the product type.
        brands: number of the brand within the department.
        codes: `{attribute: code}` for material, colour, size and use; see `taxonomy.code_words`.
        ranges: 0 for the value range, 1 for standard, 2 for premium.
        cents: the price in cents.
        popularity: units sold, following Zipf's law.
        brands_per_department: how many brands each department has.
    """

    seed: int
    kinds: np.ndarray
    brands: np.ndarray
    codes: dict[str, np.ndarray]
    ranges: np.ndarray
    cents: np.ndarray
    popularity: np.ndarray
    brands_per_department: int

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def branded(self) -> bool:
        """Whether requests name a brand, so that the judged pool of a request does not grow with the shop."""
        return len(self) > UNBRANDED_ITEMS

    def brand(self, kind: Kind, number: int) -> str:
        """The name of a department's brand."""
        return brand_name(number * 12 + kind.department_number)

    def word(self, attribute: str, item: int) -> str:
        """The shop's word for an attribute of an item."""
        kind = KINDS[self.kinds[item]]
        return code_words(attribute, kind.department)[self.codes[attribute][item]]


def draw_shop(items: int, seed: int) -> Shop:
    """Draws the latent attributes of a shop.

    Args:
        items: how many items, at least 600 (ten per product type).
        seed: the seed.

    Raises:
        ValueError: too few items.
    """
    if items < MIN_ITEMS:
        raise ValueError(f"items must be at least {MIN_ITEMS} (ten for each of the 60 product types), not {items}")
    kinds = _draw_kinds(items, seed)
    brands_per_department = max(_MIN_BRANDS, items // ITEMS_PER_BRAND_ROUND)
    ranges = _slots([_spread(range(3), _RANGE_WEIGHTS)] * len(KINDS), kinds, Draws(seed, "range")).astype(np.int8)
    codes = {
        attribute: _slots([_codes(kind, attribute) for kind in KINDS], kinds, Draws(seed, attribute)).astype(np.int8)
        for attribute in ATTRIBUTES
    }
    return Shop(
        seed=seed,
        kinds=kinds,
        brands=Draws(seed, "brand").array(brands_per_department, items).astype(np.int32),
        codes=codes,
        ranges=ranges,
        cents=_draw_cents(kinds, ranges, seed),
        popularity=_draw_popularity(items, seed),
        brands_per_department=brands_per_department,
    )


def _draw_kinds(items: int, seed: int) -> np.ndarray:
    """Types in equal parts, in random order: every type has items, however small the shop."""
    order = np.argsort(Draws(seed, "type").raw(items), kind="stable")
    return (order % len(KINDS)).astype(np.int8)


def _draw_cents(kinds: np.ndarray, ranges: np.ndarray, seed: int) -> np.ndarray:
    limits = np.array([kind.price_ranges for kind in KINDS], np.int64)
    low, high = limits[kinds, ranges].T
    draws = Draws(seed, "price")
    dollars = low + draws.array(high - low, len(kinds))
    return (dollars * 100 + _ENDINGS[draws.array(len(_ENDINGS), len(kinds))]).astype(np.int32)


def _draw_popularity(items: int, seed: int) -> np.ndarray:
    ranks = np.empty(items, np.int64)
    ranks[np.argsort(Draws(seed, "popularity").raw(items), kind="stable")] = np.arange(items)
    return 1 + 90_000 // (ranks + 9)


def _codes(kind: Kind, attribute: str) -> list[int]:
    """The codes that items of a type can have; each code is repeated according to its weight."""
    words = code_words(attribute, kind.department)
    codes = [words.index(value.word) for value in kind.values(attribute)]
    return _spread(codes, _MATERIAL_WEIGHTS) if attribute == "material" else codes


def _spread(values: range | list[int], weights: tuple[int, ...]) -> list[int]:
    return [value for value, weight in zip(values, weights, strict=True) for _ in range(weight)]


def _slots(choices: list[list[int]], kinds: np.ndarray, draws: Draws) -> np.ndarray:
    """For each item, one of the choices of its type."""
    lengths = np.array([len(row) for row in choices])
    table = np.zeros((len(choices), lengths.max()), np.int64)
    for row, values in enumerate(choices):
        table[row, : len(values)] = values
    return table[kinds, draws.array(lengths[kinds], len(kinds))]
