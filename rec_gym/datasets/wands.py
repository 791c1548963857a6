"""WANDS, Wayfair's product search relevance data: furniture queries with judgements in three grades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.dataset import TEST, TRAIN, Dataset
from rec_gym.datasets.reading.files import TableBuilder, need_file, number_of, read_csv
from rec_gym.datasets.reading.judgements import Judgements, catalog_of, dataset_of
from rec_gym.draws import share
from rec_gym.fetching.sources import WebFile

OOD_CLASS = "ood-class"
HOLDS = (
    "product.csv (product_id, product_name, product_class, category hierarchy, ...), query.csv (query_id, query, "
    "query_class) and label.csv (query_id, product_id, label), separated by tabs"
)
GET_DATA = f"https://github.com/wayfair/WANDS has the files in its folder dataset; a folder should hold {HOLDS}."

_URL = "https://raw.githubusercontent.com/wayfair/WANDS/main/dataset/{name}"
_FILES = ("product.csv", "query.csv", "label.csv")
_PRODUCT = {  # column in the file -> column of the catalogue
    "product_id": ID_COLUMN,
    "product_name": "title",
    "product_class": "product_class",
    "category hierarchy": "category",
    "product_description": "description",
    "product_features": "features",
}
_NUMBERS = ("rating_count", "average_rating", "review_count")
_OOD_SHARE, _TEST_SHARE = 0.2, 0.2
_BATCH = 1 << 16


class _Query(NamedTuple):
    text: str
    classes: tuple[str, ...]
    split: str


def load(data_dir: str, partial: float = 0.5) -> Dataset:
    """Loads the queries and judgements; the catalogue is all products.

    The source has no splits. A fifth of the query classes, by a hash of their names, make the split `ood-class`: no
    query of train, val or test has one of them (a query with classes on both sides is left out). A fifth of the
    other queries, by a hash of their ids, is test, and val is split off the rest. A request's domain is its class.

    Args:
        data_dir: the folder with the three files.
        partial: the gain of the label Partial; Exact is 1, Irrelevant 0.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file does not hold what it should; the message names the line.
    """
    if not 0 <= partial <= 1:
        raise ValueError(f"partial, the gain of the label Partial, must be between 0 and 1, not {partial!r}")
    folder, notes = Path(data_dir), Counter[str]()
    product, query, label = (need_file(folder, name, HOLDS) for name in _FILES)
    catalog = _read_products(product, notes)
    queries = _read_queries(query, notes)
    judgements = Judgements(catalog, str(label), notes)
    _read_labels(label, {"Exact": 1.0, "Partial": float(partial), "Irrelevant": 0.0}, queries, judgements, notes)
    used = {name for name, row in queries.items() if row.split}
    notes["queries without a judgement, left out"] += len(used - judgements.queries.keys())
    requests = judgements.requests(lambda name: queries[name].text)
    with_domain = (row | {"domain": "|".join(queries[str(row["id"])].classes)} for row in requests)
    return dataset_of(catalog, with_domain, str(folder), notes)


def sources(**others: object) -> Sequence[WebFile]:
    """The publisher's three files."""
    return [WebFile(_URL.format(name=name), name) for name in _FILES]


def _read_products(path: Path, notes: Counter[str]) -> Catalog:
    kinds: dict[str, type] = dict.fromkeys(_PRODUCT.values(), str) | dict.fromkeys(_NUMBERS, float)
    table = TableBuilder(kinds)
    for number, cells in read_csv(path, (*_PRODUCT, *_NUMBERS), "\t"):
        texts, numbers = cells[: len(_PRODUCT)], cells[len(_PRODUCT) :]
        notes["items without a title"] += not texts[1].strip()
        where = f"{path}, line {number}"
        values = [
            number_of(cell, where, f"column {name!r}") if cell.strip() else None
            for cell, name in zip(numbers, _NUMBERS, strict=True)
        ]
        table.add(*texts[:-1], texts[-1].replace("|", " "), *values)
    return catalog_of(table.table(), str(path), notes)


def _read_queries(path: Path, notes: Counter[str]) -> dict[str, _Query]:
    queries: dict[str, _Query] = {}
    for number, (name, text, classes) in read_csv(path, ("query_id", "query", "query_class"), "\t"):
        if not name or name in queries:
            raise ValueError(f"{path}, line {number}: the query id {name!r} is empty or appears twice")
        own = tuple(part.strip() for part in classes.split("|") if part.strip())
        queries[name] = _Query(text, own, _split(name, own))
        notes["queries with classes both inside and outside ood-class, left out"] += not queries[name].split
    return queries


def _split(name: str, classes: tuple[str, ...]) -> str:
    """The split of a query; empty if it has classes on both sides."""
    outside = {share(f"class {part}") < _OOD_SHARE for part in classes}
    if len(outside) == 2:
        return ""
    if outside == {True}:
        return OOD_CLASS
    return TEST if share(f"query {name}") < _TEST_SHARE else TRAIN


def _read_labels(
    path: Path, gains: dict[str, float], queries: dict[str, _Query], judgements: Judgements, notes: Counter[str]
) -> None:
    batch: list[tuple[str, str, float, str]] = []
    for number, (query, item, label) in read_csv(path, ("query_id", "product_id", "label"), "\t"):
        if label not in gains:
            raise ValueError(f"{path}, line {number}: unknown label {label!r}; choose from: {', '.join(gains)}")
        if query not in queries:
            notes["judgements of queries that are not in query.csv, dropped"] += 1
            continue
        if not queries[query].split:
            continue  # the query is counted already
        batch.append((query, item, gains[label], queries[query].split))
        if len(batch) == _BATCH:
            judgements.add(*map(list, zip(*batch, strict=True)))
            batch = []
    if batch:
        judgements.add(*map(list, zip(*batch, strict=True)))
