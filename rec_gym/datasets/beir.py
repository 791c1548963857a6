"""BEIR folders: a corpus, queries, and relevance judgements in one file per split; BEIR's own sets are fetched by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rec_gym.catalog import Catalog
from rec_gym.dataset import ALL, Dataset
from rec_gym.datasets.folders import files_in
from rec_gym.datasets.reading.files import TableBuilder, need_file, number_of, read_jsonl, read_tsv, text_field
from rec_gym.datasets.reading.judgements import Judgements, catalog_of, dataset_of, split_name
from rec_gym.fetching.sources import WebFile
from rec_gym.tables import unknown

HOLDS = "corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/<split>.tsv (query-id, corpus-id, score)"
GET_DATA = (
    "Name a set of the BEIR benchmark, which is fetched (name='nfcorpus'), or a folder (data_dir=...): a set of BEIR's, "
    f"unpacked (https://github.com/beir-cellar/beir), or your own, holding {HOLDS}."
)

ARCHIVES = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/"
MD5 = {
    "arguana": "8ad3e3c2a5867cdced806d6503f29b99",
    "climate-fever": "8b66f0a9126c521bae2bde127b4dc99d",
    "cqadupstack": "4e41456d7df8ee7760a7f866133bda78",
    "dbpedia-entity": "c2a39eb420a3164af735795df012ac2c",
    "fever": "5a818580227bfb4b35bb6fa46d9b6c03",
    "fiqa": "17918ed23cd04fb15047f73e6c3bd9d9",
    "hotpotqa": "f412724f78b0d91183a0e86805e16114",
    "msmarco": "444067daf65d982533ea17ebd59501e4",
    "nfcorpus": "a89dba18a62ef92f7d323ec890a0d38d",
    "nq": "d4d3d2e48787a744b6f6e691ff534307",
    "quora": "18fb154900ba42a600f84b839c173167",
    "scidocs": "38121350fc3a4d2f48850f6aff52e4a9",
    "scifact": "5f7d1de60b170fc8027bb7898e2efca1",
    "trec-covid": "ce62140cb23feb9becf6270d0d1fe6d1",
    "webis-touche2020": "46f650ba5a527fc69e0a6521c5a23563",
}
"""BEIR's public archives, and their checksums as its table of data sets states them."""

FORUMS = (
    "android", "english", "gaming", "gis", "mathematica", "physics", "programmers", "stats", "tex", "unix", "webmasters",
    "wordpress",
)  # fmt: skip
"""The sets that `cqadupstack` consists of, each with its own corpus: `name="cqadupstack/android"`."""

_QRELS_COLUMNS = ["query-id", "corpus-id", "score"]
_BATCH = 1 << 16


def sources(name: str = "", **options: object) -> list[WebFile]:
    """The archive of the set `name`; none if the name is empty.

    Raises:
        ValueError: BEIR has no public archive of that name.
    """
    if not name:
        return []
    archive, _, forum = name.partition("/")
    forums = FORUMS if archive == "cqadupstack" else ("",)
    if archive not in MD5 or forum not in forums:
        names = [f"cqadupstack/{one}" for one in FORUMS] + [one for one in MD5 if one != "cqadupstack"]
        raise ValueError(unknown("BEIR archive", name, sorted(names)))
    return [WebFile(f"{ARCHIVES}{archive}.zip", ".", checksum=f"md5:{MD5[archive]}", unpack=True)]


def load(data_dir: str, name: str = "", encoding: str = "utf-8") -> Dataset:
    """Loads a BEIR folder.

    Each `qrels/<split>.tsv` is a split (`dev` becomes `val`); a request's id is its query's `_id`. A query that several
    files judge goes to the strictest of them (test, then val, then others, then train), with that file's judgements.
    Scores are used as gains; a negative score becomes 0. Metadata other than title and text is left out.

    Args:
        data_dir: the folder, or one that holds it under `name`.
        name: a BEIR set, such as `"nfcorpus"` or `"cqadupstack/android"`; fetched if `data_dir` is empty.
        encoding: how the files are encoded.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file does not hold what it should; the message names the line.
    """
    folder, notes = Path(data_dir), Counter[str]()
    if name and not (folder / "corpus.jsonl").exists():
        folder /= name
    catalog = _read_corpus(need_file(folder, "corpus.jsonl", HOLDS), encoding, notes)
    queries = need_file(folder, "queries.jsonl", HOLDS)
    qrels = files_in(folder / "qrels", "*.tsv")
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
            raise ValueError(f"{where}: the query id {name!r} appears twice; ids must be unique")
        texts[name] = text
    return texts


def _read_qrels(path: Path, encoding: str, judgements: Judgements, notes: Counter[str]) -> None:
    split = split_name(path.stem)
    if split == ALL:
        raise ValueError(f"{path}: {ALL!r} is reserved for all splits together; rename the file after its split")
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
