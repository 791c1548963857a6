"""Amazon-C4: long, complex queries that were written from reviews, each with the one product it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset
from rec_gym.datasets.reading.files import (
    TableBuilder,
    first_of_each,
    need_file,
    one_of,
    read_csv,
    read_jsonl,
    text_field,
)
from rec_gym.datasets.reading.judgements import catalog_of, dataset_of
from rec_gym.fetching.sources import HubFile

REPOSITORY = "McAuley-Lab/Amazon-C4"
QUERIES, ITEMS = "test.csv", "sampled_item_metadata_1M.jsonl"
HOLDS = f"{QUERIES} (qid, query, item_id, ...) and {ITEMS} (item_id, category, metadata)"
GET_DATA = f"The data set {REPOSITORY} on the Hugging Face hub has the files; a folder should hold {HOLDS}."

DOMAINS = ("Games", "Baby", "Office", "Sports")
"""The categories that Rec-R1 tests on, as named in the item file."""

_VAL_REQUESTS = 1000


def load(data_dir: str, domain: str = "all") -> Dataset:
    """Loads the queries in Rec-R1's splits; the catalogue is all sampled products.

    The source has one split, called test. As in Rec-R1, queries about Games, Baby, Office and Sports are for test; those
    about other categories are for training, the last 1,000 of them (in file order) for validation. A source with at most
    1,000 of these gets its validation split by hash, like any source without one. A request's id is its `qid`, its
    domain the category of its product. Of items with the same id, the first counts.

    Args:
        data_dir: the folder with the two files.
        domain: one of the four, for a test split of that domain alone, or `"all"`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is unknown, or a file does not hold what it should; the message names the line.
    """
    one_of("domain", domain, ("all", *DOMAINS))
    folder, notes = Path(data_dir), Counter[str]()
    queries = need_file(folder, QUERIES, HOLDS)
    catalog = _read_items(need_file(folder, ITEMS, HOLDS), notes)
    requests = list(_read_queries(queries, catalog, notes))
    others = [request for request in requests if request["domain"] not in DOMAINS]
    if len(others) > _VAL_REQUESTS:
        for request in others[-_VAL_REQUESTS:]:
            request["split"] = VAL
    if domain != "all":
        in_domain = [request for request in requests if request["split"] != TEST or request["domain"] == domain]
        notes[f"test requests of other domains than {domain}, left out"] += len(requests) - len(in_domain)
        requests = in_domain
    return dataset_of(catalog, requests, str(folder), notes)


def sources(**others: object) -> Sequence[HubFile]:
    """The publisher's two files."""
    return [HubFile(REPOSITORY, QUERIES), HubFile(REPOSITORY, ITEMS)]


def _read_items(path: Path, notes: Counter[str]) -> Catalog:
    """The catalogue; at most one chunk of it is held as Python objects."""
    table = TableBuilder({ID_COLUMN: str, "metadata": str, "category": str})
    for number, record in read_jsonl(path, notes):
        where = f"{path}, line {number}"
        texts = [text_field(record, name, where) for name in (ID_COLUMN, "metadata", "category")]
        notes["items without metadata"] += not texts[1].strip()
        table.add(*texts)
    return catalog_of(first_of_each(table.table(), ID_COLUMN, notes), str(path), notes)


def _read_queries(path: Path, catalog: Catalog, notes: Counter[str]) -> Iterator[dict[str, object]]:
    categories = catalog.table["category"].combine_chunks().dictionary_encode()
    names, codes = categories.dictionary.to_pylist(), categories.indices.to_numpy()
    seen: set[str] = set()
    for number, (name, text, item) in read_csv(path, ("qid", "query", "item_id")):
        if not name or name in seen:
            raise ValueError(f"{path}, line {number}: the qid {name!r} is empty or appears twice")
        seen.add(name)
        position = int(catalog.index.find([item])[0])
        if position < 0:
            notes["requests whose target is not in the catalogue, dropped"] += 1
        elif not text.strip():
            notes["queries without a text, dropped"] += 1
        else:
            category = names[codes[position]]
            split = TEST if category in DOMAINS else TRAIN
            yield {"id": name, "text": text, "split": split, "domain": category, "targets": [position]}
