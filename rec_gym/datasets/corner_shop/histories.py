"""Purchase histories: shoppers with a taste, what they bought in order, and what they buy next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rec_gym.datasets.corner_shop.departments import DEPARTMENTS
from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.judging import EXACT
from rec_gym.datasets.corner_shop.shop import Shop
from rec_gym.datasets.corner_shop.taxonomy import ATTRIBUTES, KINDS, MATERIAL_WORDS

SHORTEST, LONGEST = 4, 12

_TRAIN_PERCENT, _VAL_PERCENT = 70, 15
_AGAIN_PERCENT, _COMPLEMENT_PERCENT = 25, 35
_DEPARTMENT_WEIGHTS = (5, 3, 2)
_LOOKED_AT = 25  # items that a shopper compares before buying one


@dataclass(frozen=True)
class Taste:
    """What a shopper likes.

    Attributes:
        departments: numbers of three departments, favourite first.
        colours: for each department, the codes of two colours.
        materials: codes of twelve materials.
        sizes: for each department, the size's code: people do not change their size from one purchase to the next.
        tier: the price range, 0 to 2.
        brands: for each department, the number of the favourite brand.
    """

    departments: tuple[int, ...]
    colours: tuple[frozenset[int], ...]
    materials: frozenset[int]
    sizes: tuple[int, ...]
    tier: int
    brands: tuple[int, ...]


def draw_histories(shop: Shop, users: int) -> Iterator[dict[str, object]]:
    """Draws one request per user: 4 to 12 purchases in order, and the next one as the target.

    The next purchase is often of the same type as the last one or of a type that goes with it; otherwise the taste
    decides. Among the items of the type, the shopper looks at some, popular ones first, and takes what suits best.
    """
    draws, stock = Draws(shop.seed, "histories"), _by_popularity(shop)
    for user in range(users):
        taste = _draw_taste(shop, draws)
        bought: list[int] = []
        for _ in range(SHORTEST + draws.below(LONGEST - SHORTEST + 1) + 1):
            bought.append(_buy(shop, stock, taste, bought, draws))
        *history, target = bought
        percent = 100 * user // users
        split = "train" if percent < _TRAIN_PERCENT else "val" if percent < _TRAIN_PERCENT + _VAL_PERCENT else "test"
        yield {
            "id": f"shopper-{user + 1:05d}",
            "user": f"shopper-{user + 1:05d}",
            "split": split,
            # The department of the last purchase, not of the target: the domain must not give the answer away.
            "domain": KINDS[shop.kinds[history[-1]]].department.name,
            "history": history,
            "gains": {target: EXACT},
            "oracle": _oracle(shop, target),
        }


def _by_popularity(shop: Shop) -> list[np.ndarray]:
    """The items of each type, most popular first."""
    order = np.lexsort((np.arange(len(shop)), -shop.popularity, shop.kinds))
    ends = np.searchsorted(shop.kinds[order], np.arange(len(KINDS) + 1))
    return [order[start:stop] for start, stop in pairwise(ends)]


def _draw_taste(shop: Shop, draws: Draws) -> Taste:
    return Taste(
        departments=tuple(draws.sample(range(len(DEPARTMENTS)), 3)),
        colours=tuple(frozenset(draws.sample(range(len(d.colours)), 2)) for d in DEPARTMENTS),
        materials=frozenset(draws.sample(range(len(MATERIAL_WORDS)), 12)),
        sizes=tuple(draws.below(len(d.sizes)) for d in DEPARTMENTS),
        tier=draws.below(3),
        brands=tuple(draws.below(shop.brands_per_department) for _ in DEPARTMENTS),
    )


def _buy(shop: Shop, stock: list[np.ndarray], taste: Taste, bought: list[int], draws: Draws) -> int:
    """The item that a shopper buys next; never one that was bought before."""
    items = stock[_next_kind(shop, taste, bought, draws)]
    # A draw below a draw falls on the popular end more often.
    looked_at = [int(items[draws.below(draws.below(len(items)) + 1)]) for _ in range(_LOOKED_AT)]
    fresh = [item for item in looked_at if item not in bought]
    if not fresh:
        fresh = [int(item) for item in items if item not in bought] or [i for i in range(len(shop)) if i not in bought]
    return max(fresh, key=lambda item: _liking(shop, taste, item))


def _next_kind(shop: Shop, taste: Taste, bought: list[int], draws: Draws) -> int:
    if bought:
        last = KINDS[shop.kinds[bought[-1]]]
        fate = draws.below(100)
        if fate < _AGAIN_PERCENT:
            return last.number
        if fate < _AGAIN_PERCENT + _COMPLEMENT_PERCENT:
            return draws.choice(last.complements)
    department = taste.departments[draws.weighted(_DEPARTMENT_WEIGHTS)]
    return draws.choice([kind.number for kind in KINDS if kind.department_number == department])


def _liking(shop: Shop, taste: Taste, item: int) -> int:
    """How well an item suits a taste, in whole points."""
    department = KINDS[shop.kinds[item]].department_number
    return (
        3 * (int(shop.codes["colour"][item]) in taste.colours[department])
        + 3 * (int(shop.codes["size"][item]) == taste.sizes[department])
        + 3 * (int(shop.brands[item]) == taste.brands[department])
        + 2 * (int(shop.codes["material"][item]) in taste.materials)
        + 2 * (int(shop.ranges[item]) == taste.tier)
    )


def _oracle(shop: Shop, item: int) -> str:
    """The target in the shop's words."""
    kind = KINDS[shop.kinds[item]]
    words = [shop.word(attribute, item) for attribute in ATTRIBUTES]
    return " ".join(
        [kind.type.name, *words, kind.department.ranges[shop.ranges[item]], shop.brand(kind, shop.brands[item])]
    )
