"""Rec-R1's protocol on ESCI: its four domains, its splits, and the lists of queries that it published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rec_gym.catalog import Catalog
from rec_gym.dataset import TEST, TRAIN, VAL
from rec_gym.datasets.folders import check_file
from rec_gym.datasets.reading.asin_categories import FILE as CATEGORIES
from rec_gym.datasets.reading.asin_categories import categories_of
from rec_gym.datasets.reading.files import need_file

DOMAINS = ("Video_Games", "Baby_Products", "Office_Products", "Sports_and_Outdoors")
"""The four that are tested on; training happens on the others."""

LISTS_HOLD = "Rec-R1's lists train.json, val.json and <domain>.json: [{query, item_id: [...]}], beside the ESCI files"
CATEGORIES_HOLD = f"{CATEGORIES} of the Hugging Face data set McAuley-Lab/Amazon-Reviews-2023, beside the ESCI files"

_VAL_REQUESTS = 100


def domains_of(folder: Path, targets: Mapping[str, list[str]]) -> dict[str, str]:
    """The domain of each query: the category of its first target that has one; queries without any are left out.

    Args:
        folder: holds asin2category.json.
        targets: the exact matches of each query, in the file's order.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it cannot be read.
    """
    path = need_file(folder, CATEGORIES, CATEGORIES_HOLD)
    categories = categories_of(path, {name for names in targets.values() for name in names})
    firsts = {query: next(filter(None, map(categories.get, names)), None) for query, names in targets.items()}
    return {query: category for query, category in firsts.items() if category}


def in_domain(
    requests: Iterable[Mapping[str, object]], domain_of: Mapping[str, str], domain: str, notes: Counter[str]
) -> Iterator[dict[str, object]]:
    """The requests of one domain, in their own splits."""
    for request in requests:
        own = domain_of.get(str(request["id"]), "")
        if own == domain:
            yield {**request, "domain": own}
        else:
            notes[f"queries of other domains than {domain}, left out"] += 1


def in_papers_splits(
    requests: Iterable[Mapping[str, object]], domain_of: Mapping[str, str], domain: str, notes: Counter[str]
) -> Iterator[dict[str, object]]:
    """Rec-R1's splits: test on one of the four domains (or all four), training on the others, 100 of them as val.

    Test and val come from ESCI's test and train split, so that they share no query. The 100 are the first in the file.
    """
    tested = DOMAINS if domain == "all" else (domain,)
    left = _VAL_REQUESTS
    for request in requests:
        own = domain_of.get(str(request["id"]), "")
        if not own:
            notes["queries none of whose exact matches has a known category, left out"] += 1
        elif request["split"] == TEST and own in tested:
            yield {**request, "domain": own}
        elif request["split"] == TRAIN and own not in DOMAINS:
            yield {**request, "domain": own, "split": VAL if left > 0 else TRAIN}
            left -= 1
        elif request["split"] == TEST:
            notes["test queries of domains that are not tested on, left out"] += 1
        else:
            notes["train queries of the domains that are tested on, left out"] += 1


def read_lists(folder: Path, domain: str, notes: Counter[str]) -> list[dict[str, object]]:
    """The requests of Rec-R1's own lists, with their targets by id; ids are `<list>-<place>`, counted from 1.

    Queries of train or val that are also in a test list are left out.

    Raises:
        FileNotFoundError: a list is missing.
        ValueError: a list is malformed.
    """
    tested = DOMAINS if domain == "all" else (domain,)
    requests = [
        request for name in tested for request in _read_list(need_file(folder, f"{name}.json", LISTS_HOLD), TEST, name)
    ]
    texts = {request["text"] for request in requests}
    for split in (TRAIN, VAL):
        for request in _read_list(need_file(folder, f"{split}.json", LISTS_HOLD), split, ""):
            if request["text"] in texts:
                notes["train and val queries that are also in a test list, left out"] += 1
            else:
                requests.append(request)
    return requests


def known_targets(
    requests: Iterable[dict[str, object]], catalog: Catalog, notes: Counter[str]
) -> Iterator[dict[str, object]]:
    """The same requests with their targets as positions; those that are not in the catalogue are dropped."""
    for request in requests:
        targets: list[str] = request["targets"]  # type: ignore[assignment]
        positions = [place for place in catalog.index.find(targets).tolist() if place >= 0]
        notes["targets that are not in the catalogue, dropped"] += len(targets) - len(positions)
        notes["repeated targets in a list"] += len(positions) - len(set(positions))
        if positions:
            yield request | {"targets": positions}
        else:
            notes["queries without a target in the catalogue, dropped"] += 1


def _read_list(path: Path, split: str, domain: str) -> Iterator[dict[str, object]]:
    check_file(path)
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); the file may be truncated") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of {{query, item_id: [...]}}, found {type(entries).__name__}")
    for place, entry in enumerate(entries, 1):
        query = entry.get("query") if isinstance(entry, dict) else None
        targets = entry.get("item_id") if isinstance(entry, dict) else None
        texts = isinstance(targets, list) and all(isinstance(name, str) for name in targets)
        if not isinstance(query, str) or not query.strip() or not targets or not texts:
            raise ValueError(f"{path}, entry {place}: expected a query and a list item_id of ids, found {entry!r:.100}")
        yield {"id": f"{path.stem}-{place}", "text": query, "split": split, "domain": domain, "targets": targets}
