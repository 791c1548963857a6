"""A small shop, whose indexes, vectors and converted data are damaged, interrupted by kills and written to full disks."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rec_gym import Catalog, Dataset
from rec_gym.recommenders.base import Recommender

WORDS = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool", "rug", "shelf"]
QUERIES = ["red lamp", "soft wool seat", "oak"]
ITEMS = 40
LOADER = "benchmarks.attacks.shop:load"

# How the content of a file changes, given the number of a bit; None removes the file.
HARMS: dict[str, Callable[[bytes, int], bytes] | None] = {
    "flipped": lambda raw, bit: bytes([*raw[: bit // 8], raw[bit // 8] ^ (1 << bit % 8), *raw[bit // 8 + 1 :]]),
    "zeroed": lambda raw, bit: bytes(len(raw)),
    "cut": lambda raw, bit: raw[: len(raw) * 2 // 3],
    "emptied": lambda raw, bit: b"",
    "removed": None,
}


def titles(items: int = ITEMS) -> list[str]:
    """A title for each item."""
    return [" ".join(WORDS[(n * k + k) % len(WORDS)] for k in (1, 3, 5, 7)) for n in range(items)]


def shop(items: int = ITEMS) -> Catalog:
    """The catalogue."""
    return Catalog.from_columns({"item_id": [f"i{n}" for n in range(items)], "title": titles(items)})


def load(items: int = ITEMS) -> Dataset:
    """The shop and two requests, as a loader returns them."""
    texts = titles(items)
    rows = [{"id": f"q{n}", "split": "test", "text": texts[n], "gains": {f"i{n}": 1.0, "i3": 0.5}} for n in (7, 9)]
    return Dataset.from_requests(shop(items), rows, notes={"dropped": 2})


def ranked(recommender: Recommender) -> list[Any]:
    """Items and scores of a few queries."""
    rankings = recommender.rank(QUERIES, 10)
    return [rankings.items.tolist(), rankings.scores.tolist()]


def contents(dataset: Dataset) -> list[Any]:
    """What a dataset holds."""
    rows = dataset.rows("all")
    return [
        dataset.catalog.content_hash,
        dataset.texts(rows),
        dataset.judged_items.values.tolist(),
        dataset.judged_gains.values.tolist(),
        dict(dataset.notes),
    ]


def harm(path: Path, how: str, draw: random.Random | None = None) -> None:
    """Damages a file; a bit is flipped at random, or in the middle without `draw`."""
    change = HARMS[how]
    if change is None:
        path.unlink()
        return
    raw = path.read_bytes()
    bit = len(raw) // 2 * 8 + 2 if draw is None else draw.randrange(max(1, 8 * len(raw)))
    changed = change(raw, bit)
    assert changed != raw, f"{path} cannot be {how}"
    path.write_bytes(changed)


def leftovers(home: Path) -> list[Path]:
    """What only a running or interrupted build leaves in a cache folder."""
    return [
        path
        for path in home.rglob("*")
        if path.suffix == ".parts" or (path.name.startswith(".") and path.suffix != ".lock")
    ]
