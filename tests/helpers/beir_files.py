"""Folders as BEIR lays them out."""

import json
from pathlib import Path

CORPUS = [{"_id": f"d{k}", "title": f"title {k}", "text": f"text {k}", "metadata": {}} for k in range(4)]


QUERIES = [{"_id": f"q{k}", "text": f"query {k}"} for k in range(4)]


HEADER = "query-id\tcorpus-id\tscore\n"


def write_beir(folder, corpus=CORPUS, queries=QUERIES, **qrels):
    folder = Path(folder)
    (folder / "qrels").mkdir(exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for split, rows in (qrels or {"test": "q0\td0\t1\n"}).items():
        text = rows if rows.startswith(("query", "!")) else HEADER + rows
        (folder / "qrels" / f"{split}.tsv").write_text(text.removeprefix("!"), encoding="utf-8")
    return str(folder)
