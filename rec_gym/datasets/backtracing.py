"""Backtracing: find the sentence of a lecture, a news article or a conversation that caused a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rec_gym.catalog import ID_COLUMN
from rec_gym.columns import first_few
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset
from rec_gym.datasets.folders import files_in
from rec_gym.datasets.reading.files import TableBuilder, need_file, one_of, text_field
from rec_gym.datasets.reading.json_lists import read_json_list
from rec_gym.datasets.reading.judgements import catalog_of, dataset_of
from rec_gym.draws import seeded_order
from rec_gym.fetching.sources import WebFile

HOLDS = "the folder data of the repository rosewang2008/backtracing, with {queries}/ID.json and {sources}/ID.json"
GET_DATA = (
    "By hand: clone https://github.com/rosewang2008/backtracing and name its folder, which holds data/sight (lectures), "
    "data/inquisitive (news) and data/reccon (conversations)."
)

DOCUMENT, PLACE = "document", "place"
"""The catalogue's columns that say where a sentence is: in which document, and at which place, from 0."""

_COMMIT = "0911084d74ec1cd3eb7a5d86f8af78f6de9bf177"
_ARCHIVE = f"https://github.com/rosewang2008/backtracing/archive/{_COMMIT}.zip"
_LEAST_FOLDS = 3  # one each for test, val and train


class _Domain(NamedTuple):
    """Where a domain's files are, and how they name the targets of a query.

    Attributes:
        queries: the folder of the queries, one file per document.
        sources: the folder of the sentences, with the same file names.
        targets: the field of a query that holds its targets, a number or a list of numbers.
        first: the number of a document's first sentence in that field.
    """

    queries: str
    sources: str
    targets: str
    first: int


_DOMAINS = {
    "lecture": _Domain("sight/query/annotated", "sight/sources/annotated", "annotatedSourceSentencesIndices", 0),
    "news": _Domain("inquisitive/query/test", "inquisitive/sources/test", "sentence_id", 1),
    "conversation": _Domain("reccon/query", "reccon/sources", "source_sentences", 0),
}


def sources(domain: str = "lecture", **others: object) -> Sequence[WebFile]:
    """The authors' repository, at the commit whose files the package's figures were measured on.

    Raises:
        ValueError: unknown domain.
    """
    one_of("domain", domain, list(_DOMAINS))
    return [WebFile(_ARCHIVE, ".", unpack=True)]


def load(data_dir: str, domain: str = "lecture", folds: int = 5, fold: int = 0) -> Dataset:
    """Loads the questions of one domain; the items are the sentences of all of its documents.

    An item has the sentence as its `title`, the `document` that it is from, and its `place` there, from 0; its id is
    `DOCUMENT-PLACE`. Sentences that are repeated stay separate items. A request is a query, its id is `DOCUMENT-NUMBER`
    with its number in the file, its domain is the document, and a filter keeps its ranking within that document. Its
    relevant items are the sentences that caused it, gain 1 each; the first of them is the oracle's query.

    The documents are dealt into folds of about as many queries each: those with most queries first, and otherwise in an
    order that is drawn from their ids. One fold is test, the next one val and the others train, so that no document is in
    two splits.

    Args:
        data_dir: the folder of the repository, or one that holds it unpacked.
        domain: `"lecture"` (questions of students), `"news"` (questions of readers) or `"conversation"` (emotional lines;
            such a line is itself a sentence of its document, and can be ranked).
        folds: how many parts the documents are dealt into, at least 3.
        fold: the one that is test, from 0; the next one (after the last, the first) is val.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is unknown, or a file does not hold what it should; the message names the line.
    """
    one_of("domain", domain, list(_DOMAINS))
    _check_folds(folds, fold)
    layout, notes = _DOMAINS[domain], Counter[str]()
    folder = _data_folder(Path(data_dir), layout)
    paths = files_in(folder / layout.queries, "*.json")
    if not paths:
        need_file(folder, f"{layout.queries}/ID.json", _holds(layout))
    table = TableBuilder({ID_COLUMN: str, "title": str, DOCUMENT: str, PLACE: int})
    requests: dict[str, list[dict[str, object]]] = {}
    start = 0
    for path in paths:
        sentences = _add_sentences(need_file(folder / layout.sources, path.name, _holds(layout)), table, notes)
        requests[path.stem] = list(_read_queries(path, layout, start, sentences, notes))
        start += len(sentences)
    unused = {path.stem for path in files_in(folder / layout.sources, "*.json")} - requests.keys()
    notes["documents without a file of queries, left out"] += len(unused)
    catalog = catalog_of(table.table(), str(folder / layout.sources), notes)
    sizes = {name: len(rows) for name, rows in requests.items() if rows}
    split_of = _split_documents(sizes, domain, folds, fold, folder)
    in_splits = ({**row, "split": split_of[name]} for name, rows in requests.items() for row in rows)
    return dataset_of(catalog, in_splits, str(folder / layout.queries), notes)


def _check_folds(folds: int, fold: int) -> None:
    for name, value in (("folds", folds), ("fold", fold)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, not {value!r}")
    if folds < _LEAST_FOLDS:
        raise ValueError(f"folds must be at least {_LEAST_FOLDS} (test, val and train), not {folds}")
    if not 0 <= fold < folds:
        raise ValueError(f"fold must be between 0 and {folds - 1}, as there are {folds} folds, not {fold}")


def _data_folder(folder: Path, layout: _Domain) -> Path:
    """The folder `data` of the repository: in `folder`, or in the one into which its archive unpacks."""
    unpacked = sorted(folder.glob("backtracing-*/data")) if not (folder / "data").is_dir() else []
    if len(unpacked) > 1:
        names = first_few(path.parent.name for path in unpacked)
        raise ValueError(f"{folder} holds several copies of the repository: {names}; name one of them")
    return unpacked[0] if unpacked else folder / "data"


def _holds(layout: _Domain) -> str:
    return HOLDS.format(queries=layout.queries, sources=layout.sources)


def _add_sentences(path: Path, table: TableBuilder, notes: Counter[str]) -> list[str]:
    """Adds a document's sentences to the table, and returns them."""
    sentences = []
    for place, (where, record) in enumerate(read_json_list(path, notes)):
        text = text_field(record, "text", where)
        notes["sentences without a text, kept"] += not text.strip()
        table.add(f"{path.stem}-{place}", text, path.stem, place)
        sentences.append(text)
    if not sentences:
        raise ValueError(f"{path} holds no sentence; the file may be damaged")
    return sentences


def _read_queries(
    path: Path, layout: _Domain, start: int, sentences: Sequence[str], notes: Counter[str]
) -> Iterator[dict[str, object]]:
    """The requests of one document, without their split.

    Args:
        path: the file of its queries.
        layout: how it names targets.
        start: the position of the document's first sentence in the catalogue.
        sentences: those of the document.
        notes: counts what is dropped.
    """
    for number, (where, record) in enumerate(read_json_list(path, notes)):
        text = text_field(record, "text", where)
        targets = _targets(record, layout, len(sentences), where)
        if not targets:
            notes["queries without a target, dropped"] += 1
        elif not text.strip():
            notes["queries without a text, dropped"] += 1
        else:
            notes["repeated targets of a query, counted once"] += len(targets) - len(set(targets))
            yield {
                "id": f"{path.stem}-{number}",
                "text": text,
                "domain": path.stem,
                "targets": [start + place for place in targets],
                "filters": [[DOCUMENT, "==", path.stem]],
                "oracle": sentences[targets[0]].strip(),
            }


def _targets(record: dict, layout: _Domain, size: int, where: str) -> list[int]:
    """Places of a query's targets in its document, from 0."""
    name, first = layout.targets, layout.first
    if name not in record:
        raise ValueError(f"{where}: no field {name!r}; its fields: {', '.join(map(str, record))}")
    values = record[name] if isinstance(record[name], list) else [record[name]]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{where}: {name} must hold whole numbers, not {value!r:.100}")
        if not first <= value < first + size:
            raise ValueError(
                f"{where}: {name} names sentence {value}, but the document has sentences {first} to {first + size - 1}; "
                "its file of sentences may be truncated"
            )
    return [value - first for value in values]


def _split_documents(queries: Mapping[str, int], domain: str, folds: int, fold: int, folder: Path) -> dict[str, str]:
    """The split of each document: those with most queries first, each goes to the fold with the fewest queries so far.

    Documents with as many queries are in a drawn order.

    Args:
        queries: how many each document has, at least one.
        domain: part of the key of the order.
        folds: how many there are.
        fold: the one that is test.
        folder: for messages.
    """
    names = sorted(queries)
    if len(names) < folds:
        raise ValueError(
            f"{folder} has queries on {len(names)} documents of the domain {domain}, too few for {folds} folds"
        )
    order = seeded_order(len(names), "documents of backtracing", domain, *names)
    splits = {fold: TEST, (fold + 1) % folds: VAL}
    sizes, split_of = [0] * folds, {}
    for name in sorted((names[place] for place in order), key=lambda name: -queries[name]):
        smallest = sizes.index(min(sizes))
        sizes[smallest] += queries[name]
        split_of[name] = splits.get(smallest, TRAIN)
    return split_of
