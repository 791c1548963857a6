"""Collections of the library ir_datasets, by their ids there; the library downloads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import first_few
from rec_gym.dataset import TEST, Dataset
from rec_gym.datasets.reading.files import TableBuilder
from rec_gym.datasets.reading.judgements import Judgements, catalog_of, dataset_of, split_name
from rec_gym.progress import track

GET_DATA = (
    "https://ir-datasets.com lists the ids. The library downloads what is missing into its own folder, ~/.ir_datasets or "
    "IR_DATASETS_HOME; some collections must be requested and placed there by hand; it then says how."
)

_PARTS = ("train", "dev", "valid", "validation", "val", "test")
_BATCH = 1 << 16


def load(dataset: str) -> Dataset:
    """Loads a collection with its queries and judgements.

    Where the id has parts with queries and judgements under the names train, dev (or valid, validation) and test, they
    are the splits: `beir/nfcorpus` has all three. An id without such parts, such as `beir/nfcorpus/test`, is a test split. A
    query that several parts judge goes to the strictest of them. Relevance becomes the gain; negative relevance becomes 0.

    Args:
        dataset: the library's id.

    Raises:
        ImportError: the library is not installed.
        ValueError: unknown id, or the collection has no documents, queries or judgements.
    """
    library = _library()
    notes = Counter[str]()
    parts = _parts(library, dataset)
    collection = next(iter(parts.values()))
    source = f"ir_datasets {dataset}"
    catalog = _read_documents(collection, source, notes)
    judgements = Judgements(catalog, source, notes)
    texts: dict[str, str] = {}
    for split, part in parts.items():
        _read_part(part, split, judgements, texts, notes)
    return dataset_of(catalog, judgements.requests(texts.get), source, notes)


def _library() -> ModuleType:
    try:
        import ir_datasets
    except ImportError as error:
        raise ImportError(
            "collections of ir_datasets need that library: pip install 'rec-gym[ir-datasets]'", name="ir_datasets"
        ) from error
    return ir_datasets


def _parts(library: ModuleType, name: str) -> dict[str, Any]:
    """`{split: part}` of an id; the id itself if it has no parts."""
    try:
        whole = library.load(name)
    except KeyError as error:
        raise ValueError(
            f"ir_datasets does not know {name!r}; https://ir-datasets.com lists the ids, such as 'beir/nfcorpus'"
        ) from error
    parts: dict[str, Any] = {}
    for word in _PARTS:
        try:
            part = library.load(f"{name}/{word}")
        except KeyError:
            continue
        if part.has_queries() and part.has_qrels():
            parts.setdefault(split_name(word), part)
    if not parts and whole.has_queries() and whole.has_qrels():
        parts[TEST] = whole
    if not parts or not whole.has_docs():
        lacking = [what for what in ("docs", "queries", "qrels") if not getattr(whole, f"has_{what}")()]
        raise ValueError(
            f"ir_datasets {name!r} lacks {first_few(lacking)}; name an id that has documents and judgements"
        )
    return parts


def _read_documents(collection: Any, source: str, notes: Counter[str]) -> Catalog:
    table = TableBuilder({ID_COLUMN: str, "title": str, "text": str})
    for document in track(collection.docs_iter(), "reading documents", collection.docs_count()):
        text = getattr(document, "text", None)
        text = document.default_text() if text is None else text
        table.add(document.doc_id, getattr(document, "title", None) or "", text)
    return catalog_of(table.table(), source, notes)


def _read_part(part: Any, split: str, judgements: Judgements, texts: dict[str, str], notes: Counter[str]) -> None:
    for query in part.queries_iter():
        texts.setdefault(query.query_id, query.default_text())
    for batch in _batches(part.qrels_iter()):
        notes["judgements with a negative score, taken as 0"] += sum(row.relevance < 0 for row in batch)
        judgements.add(
            [row.query_id for row in batch],
            [row.doc_id for row in batch],
            [max(float(row.relevance), 0.0) for row in batch],
            [split] * len(batch),
        )


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
