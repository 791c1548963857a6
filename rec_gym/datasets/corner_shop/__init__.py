"""CornerShop: a generated shop, and shoppers who do not use its words. No download, any size, the same everywhere.

The catalogue
    Twelve departments with five product types each. An item has a type, a brand, a material, a colour, a size, a use,
    a price and a popularity. Titles and descriptions are in the shop's language: a sweater is `Navy`, of the `Market`
    range and cut `Large`, never "a dark blue jumper under fifty dollars for a tall person".

The requests
    A shopper names a need ("something to do eggs and bacon in") and 1 to 3 asked attributes (`asked`): material,
    colour, size, use, or a budget. A budget always lies in the gap between two of the type's three price ranges, which
    the shop's texts name, so that a query in the shop's words can answer it. Budgets, and the materials and sizes that
    are asked as a must ("it has to be ..."), are hard constraints and are kept as data. Some requests are misspelt.
    Each request has an oracle query: its meaning in the shop's words.

The gains
    Exact, 1: an item of the type that meets every asked attribute. Substitute, 0.1: an item of the type that misses
    exactly one of them. Complement, 0.01: an item of one of the two types that go with it, which meets the asked
    colour, use and budget. Every request has an exact item. In a shop of more than 10,000 items each request names a
    brand as well (a hard constraint, not counted in `asked`) and only items of that brand are judged; the number of
    brands grows with the shop, so that the judged pool does not.

The splits
    `train`, `val` and `test` are of one distribution. The others shift one thing each and keep the rest:

    * `ood-combination`: at least one asked attribute forms a pair with the type that train, val and test never ask for.
      Of each type one material, one colour, one size and one use are held out in this way, never a value that no other
      type keeps. A budget is never the unseen part, so that budgets are rarer here than in test;
    * `ood-phrasing`: the needs, the wordings of attributes and the sentences around them are ones that no other split
      uses (sums of money are written in the same ways);
    * `ood-type`: the twelve types, one per department, that no other split asks for. They are in the catalogue.

    Every split has the same shares of requests with 1, 2 and 3 asked attributes. None has 0, since those
    could not hold an unseen combination.

The purchase histories
    Shoppers with a latent taste (departments, colours, materials, sizes, price range, brands), each with 4 to 12
    purchases in order; the target is the next one. Splits are by shopper.

Everything is drawn from `BitGenerator.random_raw` by whole-number arithmetic, so that one seed gives the same bytes on
every machine.
"""

from __future__ import annotations

from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.datasets.corner_shop.copywriting import write_catalogue
from rec_gym.datasets.corner_shop.histories import draw_histories
from rec_gym.datasets.corner_shop.judging import Judge
from rec_gym.datasets.corner_shop.requests import as_mapping, draw_requests
from rec_gym.datasets.corner_shop.shop import draw_shop

__all__ = ["load", "load_histories"]


def load(
    items: int = 5000, seed: int = 0, train: int = 2000, val: int = 400, test: int = 400, ood: int = 400
) -> Dataset:
    """Generates the shop and its shoppers' requests.

    Args:
        items: items in the catalogue, at least 600.
        seed: the seed of catalogue and requests.
        train: requests in train.
        val: requests in val.
        test: requests in test.
        ood: requests in each of `ood-combination`, `ood-phrasing` and `ood-type`.

    Raises:
        ValueError: too few items, or too few for that many different requests.
    """
    shop = draw_shop(items, seed)
    sizes = {"train": train, "val": val, "test": test, "ood-combination": ood, "ood-phrasing": ood, "ood-type": ood}
    judge = Judge(shop)
    requests = (as_mapping(request, judge) for request in draw_requests(shop, sizes))
    return Dataset.from_requests(Catalog(write_catalogue(shop)), requests)


def load_histories(items: int = 5000, seed: int = 0, users: int = 1500) -> Dataset:
    """Generates the same shop and its shoppers' purchase histories.

    Args:
        items: items in the catalogue, at least 600.
        seed: the seed of catalogue and histories.
        users: shoppers, one request each: 70% train, 15% val, 15% test.

    Raises:
        ValueError: too few items or no users.
    """
    shop = draw_shop(items, seed)
    return Dataset.from_requests(Catalog(write_catalogue(shop)), draw_histories(shop, users))
