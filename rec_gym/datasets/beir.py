"""BEIR folders: a corpus, queries, and relevance judgements in one file a split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rec_gym.catalog import Catalog
from rec_gym.dataset import ALL, Dataset
from rec_gym.datasets.files import TableBuilder, need_file, number_of, read_jsonl, read_tsv, text_field
from rec_gym.datasets.judgements import Judgements, catalog_of, dataset_of, split_name

HOLDS = "corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/<split>.tsv (query-id, corpus-id, score)"
GET_DATA = (
    "Any data set of the BEIR benchmark (https://github.com/beir-cellar/beir) will do, unpacked; so will a folder of "
    f"your own that holds {HOLDS}."
)

_QRELS_COLUMNS = ["query-id", "corpus-id", "score"]
_BATCH = 1 << 16


def load(data_dir: str, encoding: str = "utf-8") -> Dataset:
    """Loads a BEIR folder.

    Each `qrels/<split>.tsv` is a split (`dev` becomes `val`); a request's id is its query's `_id`. A query that several
    files judge goes to the strictest of them (test, then val, then others, then train), with that file's judgements.
    Scores become gains as they are; a negative score becomes 0. Metadata beside title and text is left out.

    Args:
        data_dir: the folder.
        encoding: how the files are encoded.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file does not hold what it should; the message names the line.
    """
    folder, notes = Path(data_dir), Counter[str]()
    catalog = _read_corpus(need_file(folder, "corpus.jsonl", HOLDS), encoding, notes)
    queries = need_file(folder, "queries.jsonl", HOLDS)
    qrels = sorted((folder / "qrels").glob("*.tsv"))
    if not qrels:
        need_file(folder, "qrels/test.tsv", HOLDS)
    judgements = Judgements(catalog, str(folder / "qrels"), notes)
    for path in qrels:
        _read_qrels(path, encoding, judgements, notes)
    texts = _read_queries(queries, encoding, judgements, notes)
    return dataset_of(catalog, judgements.requests(texts.get), str(folder), notes)


def _read_corpus(path: Path, encoding: str, notes: Counter[str]) -> Catalog:
    table = TableBuilder({"item_id": str, "title": str, "text": str})
    for number, record in read_jsonl(path, notes, encoding):
        where = f"{path}, line {number}"
        title = text_field(record, "title", where, default="")
        table.add(text_field(record, "_id", where), title, text_field(record, "text", where))
    return catalog_of(table.table(), str(path), notes)


def _read_queries(path: Path, encoding: str, judgements: Judgements, notes: Counter[str]) -> dict[str, str]:
    """Texts of the judged queries; a benchmark's file may hold many more."""
    texts: dict[str, str] = {}
    for number, record in read_jsonl(path, notes, encoding):
        where = f"{path}, line {number}"
        name, text = text_field(record, "_id", where), text_field(record, "text", where)
        if name not in judgements.queries:
            continue
        if name in texts:
            raise ValueError(f"{where}: the query id {name!r} stands there twice; ids must be unique")
        texts[name] = text
    return texts


def _read_qrels(path: Path, encoding: str, judgements: Judgements, notes: Counter[str]) -> None:
    split = split_name(path.stem)
    if split == ALL:
        raise ValueError(f"{path}: {ALL!r} names every split together; rename the file after its split")
    header, rows = read_tsv(path, encoding)
    if [cell.strip().replace("_", "-") for cell in header] != _QRELS_COLUMNS:
        raise ValueError(f"{path}: the header line must be {_QRELS_COLUMNS} separated by tabs, not {header}")
    queries: list[str] = []
    items: list[str] = []
    gains: list[float] = []
    empty = True
    for number, (query, item, score) in rows:
        gain = number_of(score, f"{path}, line {number}", "the score")
        notes["judgements with a negative score, taken as 0"] += gain < 0
        queries.append(query)
        items.append(item)
        gains.append(max(gain, 0.0))
        empty = False
        if len(queries) == _BATCH:
            judgements.add(queries, items, gains, [split] * len(queries))
            queries, items, gains = [], [], []
    judgements.add(queries, items, gains, [split] * len(queries))
    notes["qrels files without a judgement"] += empty
