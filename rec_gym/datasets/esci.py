"""ESCI, Amazon's shopping queries, from parquet files in either of their two published layouts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import first_few
from rec_gym.dataset import Dataset
from rec_gym.datasets.reading.asin_categories import FILE as CATEGORIES
from rec_gym.datasets.reading.files import first_rows, need_file, one_of, read_parquet
from rec_gym.datasets.reading.judgements import Judgements, catalog_of, dataset_of, split_name
from rec_gym.datasets.reading.recr1_esci import (
    DOMAINS,
    domains_of,
    in_domain,
    in_papers_splits,
    known_targets,
    read_lists,
)
from rec_gym.fetching.sources import HubFile

EXAMPLES = "shopping_queries_dataset_examples.parquet"
PRODUCTS = "shopping_queries_dataset_products.parquet"
HOLDS = f"either {EXAMPLES} and {PRODUCTS}, or the parquet shards of tasksource/esci (train-*.parquet, test-*.parquet)"
GET_DATA = (
    "By hand: clone https://github.com/amazon-science/esci-data with Git LFS and name its folder shopping_queries_dataset, "
    "or fetch the Hugging Face data set tasksource/esci (hf download tasksource/esci --repo-type dataset --local-dir DIR) "
    "and name DIR."
)

_GAINS = {
    "graded": {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0},
    "exact": {"E": 1.0, "S": 0.0, "C": 0.0, "I": 0.0},
}
_LABELS = {"Exact": "E", "Substitute": "S", "Complement": "C", "Irrelevant": "I"}
_TEXTS = ("title", "description", "bullet_point", "brand", "color")
_SPLITS = ("train", "test", "validation", "valid", "dev", "val")

_LOCALES = ("us", "es", "jp")
_PUBLISHED, _PAPER, _LISTS = "published", "rec-r1", "rec-r1-lists"

Examples = list[tuple[Path, str | None]]


def sources(
    locale: str = "us", domain: str = "all", splits: str = _PUBLISHED, version: str = "small", **others: object
) -> list[HubFile]:
    """The files that `load` reads: the parquet shards on the hub, and the products' categories if needed.

    Rec-R1's lists are not on the hub, so nothing can be fetched for them.
    """
    _check(locale, version, domain, splits)
    if splits == _LISTS:
        return []
    shards = HubFile("tasksource/esci", "data/*.parquet", size=2_518_000_000)
    needs_categories = domain != "all" or splits == _PAPER
    return [shards, HubFile("McAuley-Lab/Amazon-Reviews-2023", CATEGORIES)] if needs_categories else [shards]


def load(
    data_dir: str,
    locale: str = "us",
    version: str = "small",
    gains: str = "graded",
    domain: str = "all",
    splits: str = _PUBLISHED,
    duplicate_targets: str = "remove",
) -> Dataset:
    """Loads the queries of one locale, and all of its products as the catalogue.

    A request's id is its `query_id`. The catalogue is the same for both versions. In `tasksource/esci`'s layout the
    file's name tells the split, and a product's text is taken from the first row that holds it.

    The splits: `"published"` are ESCI's train and test; a tenth of train becomes val. `"rec-r1"` is the paper's
    protocol: test queries of the domain, or of Rec-R1's four; train queries of every domain except these four, the first
    100 of them for val. `"rec-r1-lists"` reads the lists that the paper published, each target with gain 1. A query's domain
    is the category of its first exact match that has one, from the file asin2category.json next to the parquet files; that
    file is needed for `"rec-r1"` and for a single domain only.

    Args:
        data_dir: the folder with the parquet files.
        locale: `"us"` or `"es"`. Japanese (`"jp"`) is left out: it is written without blanks between words, so the
            package's recommenders cannot search it.
        version: `"small"` (the harder queries) or `"large"`.
        gains: `"graded"` (exact 1, substitute 0.1, complement 0.01, irrelevant 0) or `"exact"` (exact 1, others 0).
        domain: `"Video_Games"`, `"Baby_Products"`, `"Office_Products"` or `"Sports_and_Outdoors"` for its queries only;
            `"all"` for all.
        splits: which queries are in train, val and test: `"published"`, `"rec-r1"` or `"rec-r1-lists"`.
        duplicate_targets: for the lists only: `"count"` counts a repeated target again in the ideal DCG, as the paper's
            figures do.

    Raises:
        FileNotFoundError: the folder holds neither layout, or lacks a file that an option needs.
        ValueError: an option is unknown, or a file does not hold what it should.
    """
    one_of("gains", gains, list(_GAINS))
    _check(locale, version, domain, splits)
    folder, notes = Path(data_dir), Counter[str]()
    if splits == _LISTS:
        catalog = _read_products(folder, _find_products(folder), locale, notes)
        lists = known_targets(read_lists(folder, domain, notes), catalog, notes)
        return dataset_of(catalog, lists, str(folder), notes, duplicate_targets)
    products, examples = _find_files(folder)
    catalog = _read_products(folder, products, locale, notes)
    judgements = Judgements(catalog, str(folder), notes)
    texts: dict[str, str] = {}
    exact: dict[str, list[str]] = {}
    for path, split in examples:
        _read_examples(path, split, locale, version, _GAINS[gains], judgements, texts, exact)
    requests: Iterable[Mapping[str, object]] = judgements.requests(texts.get)
    if splits == _PAPER:
        requests = in_papers_splits(requests, domains_of(folder, exact), domain, notes)
    elif domain != "all":
        requests = in_domain(requests, domains_of(folder, exact), domain, notes)
    return dataset_of(catalog, requests, str(folder), notes)


def _check(locale: str, version: str, domain: str, splits: str) -> None:
    one_of("locale", locale, _LOCALES)
    if locale == "jp":
        raise ValueError(
            "locale 'jp' is left out: Japanese is written without blanks between words, and the package has no "
            "recommender that segments it; choose 'us' or 'es'"
        )
    one_of("version", version, ("small", "large"))
    one_of("domain", domain, ("all", *DOMAINS))
    one_of("splits", splits, (_PUBLISHED, _PAPER, _LISTS))


def _find_products(folder: Path) -> list[Path]:
    """Files that hold products."""
    return [folder / PRODUCTS] if (folder / PRODUCTS).is_file() else _find_files(folder)[0]


def _find_files(folder: Path) -> tuple[list[Path], Examples]:
    """Files that hold products, and files that hold judgements, with the split from the file name."""
    if (folder / EXAMPLES).is_file() or (folder / PRODUCTS).is_file():
        return [need_file(folder, PRODUCTS, HOLDS)], [(need_file(folder, EXAMPLES, HOLDS), None)]
    examples: Examples = []
    for path in sorted(folder.rglob("*.parquet")):
        # `train-00000-of-00006.parquet`, or `train/0000.parquet` among a hub's converted files
        words = [re.split(r"[-_.]", path.name)[0], path.parent.name]
        split = next((word for word in words if word in _SPLITS), None)
        if split is None:
            raise ValueError(f"{path}: its name does not state a split; {folder} should hold {HOLDS}")
        examples.append((path, split_name(split)))
    if not examples:
        need_file(folder, EXAMPLES, HOLDS)
    return [path for path, _ in examples], examples


def _read_products(folder: Path, paths: list[Path], locale: str, notes: Counter[str]) -> Catalog:
    """The locale's products. Two passes, so that only one batch of text is held besides the catalogue itself."""
    ids: list[pa.Array] = []
    locales = Counter[str]()
    for path in paths:
        for batch in read_parquet(path, ["product_id", "product_locale"]):
            locales.update({v["values"]: v["counts"] for v in pc.value_counts(batch["product_locale"]).to_pylist()})
            ids.append(_text(batch["product_id"]).filter(pc.equal(batch["product_locale"], locale)))
    if not locales[locale]:
        raise ValueError(f"{folder} holds no product of locale {locale!r}; its locales: {first_few(sorted(locales))}")
    wanted = first_rows(pa.chunked_array(ids)) if len(paths) > 1 or paths[0].name != PRODUCTS else None
    batches, row = [], 0
    columns = ["product_id", *(f"product_{name}" for name in _TEXTS)]
    for path in paths:
        for batch in read_parquet(path, [*columns, "product_locale"]):
            batch = batch.filter(pc.equal(batch["product_locale"], locale))
            chosen = batch if wanted is None else batch.filter(pa.array(wanted[row : row + len(batch)]))
            row += len(batch)
            batches.append(pa.record_batch([_text(chosen[name]) for name in columns], names=[ID_COLUMN, *_TEXTS]))
    return catalog_of(pa.Table.from_batches(batches), str(folder), notes)


def _read_examples(
    path: Path,
    split: str | None,
    locale: str,
    version: str,
    gain_of: dict[str, float],
    judgements: Judgements,
    texts: dict[str, str],
    exact: dict[str, list[str]],
) -> None:
    """Reads the judgements of a file, and which products match each query exactly, in the file's order."""
    flag = f"{version}_version"
    columns = ["query_id", "query", "product_id", "esci_label", "product_locale", flag]
    for batch in read_parquet(path, columns if split else [*columns, "split"]):
        batch = batch.filter(pc.and_(pc.equal(batch["product_locale"], locale), pc.equal(batch[flag], 1)))
        queries = _text(batch["query_id"]).to_pylist()
        if None in queries:
            raise ValueError(f"{path}: a row has no query_id; the file is damaged")
        gains = list(_gains(path, batch["esci_label"], gain_of))
        splits = [split] * len(batch) if split else [split_name(name) for name in _splits(path, batch["split"])]
        items = [item or "" for item in _text(batch["product_id"]).to_pylist()]
        judgements.add(queries, items, gains, splits)
        for name, text in zip(queries, _text(batch["query"]).to_pylist(), strict=True):
            texts.setdefault(name, text or "")
        for name, item, gain in zip(queries, items, gains, strict=True):
            if gain == 1:
                exact.setdefault(name, []).append(item)


def _gains(path: Path, labels: pa.Array, gain_of: dict[str, float]) -> Iterator[float]:
    for label in labels.to_pylist():
        letter = _LABELS.get(label, label)
        if letter not in gain_of:
            known = ", ".join((*gain_of, *_LABELS))
            raise ValueError(f"{path}: unknown esci_label {label!r}; choose from: {known}")
        yield gain_of[letter]


def _splits(path: Path, splits: pa.Array) -> list[str]:
    names = splits.to_pylist()
    wrong = [name for name in names if name not in _SPLITS]
    if wrong:
        raise ValueError(f"{path}: unknown split {first_few(set(wrong))}; choose from: {', '.join(_SPLITS)}")
    return names


def _text(column: pa.Array) -> pa.Array:
    """The column as text that may exceed 2 GB in all."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_string())
