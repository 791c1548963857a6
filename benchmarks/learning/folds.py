"""Cross-validation on a BEIR folder: five folders in the same layout, each with a fifth of the queries as its test."""

from __future__ import annotations

import shutil
from pathlib import Path

from rec_gym.cache import atomic_path
from rec_gym.draws import seeded_order

HEADER = "query-id\tcorpus-id\tscore"


def fold_of(queries: list[str], count: int) -> dict[str, int]:
    """The fold of each query: a seeded order, dealt out in turns, so that sizes differ by at most one.

    Args:
        queries: their ids, in any order.
        count: number of folds.

    Raises:
        ValueError: there are fewer queries than folds.
    """
    if len(queries) < count:
        raise ValueError(f"{len(queries)} queries cannot be dealt out to {count} folds")
    names = sorted(queries)
    return {names[place]: turn % count for turn, place in enumerate(seeded_order(len(names), "folds", count))}


def read_qrels(folder: Path) -> dict[str, list[str]]:
    """The lines of all qrels files, by query.

    Raises:
        ValueError: a query is judged in several files.
    """
    lines: dict[str, list[str]] = {}
    for path in sorted((folder / "qrels").glob("*.tsv")):
        here: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            if line.strip():
                here.setdefault(line.split("\t")[0], []).append(line)
        twice = sorted(here.keys() & lines.keys())
        if twice:
            raise ValueError(f"{path}: query {twice[0]!r} is judged in another file of qrels/ too; keep one of them")
        lines |= here
    return lines


def write_folds(data: Path, target: Path, count: int) -> None:
    """Writes `target/fold-K` for each fold: its queries are test, those of the others train.

    Args:
        data: a BEIR folder; the splits of its qrels files are ignored.
        target: its folders `fold-K` are replaced.
        count: number of folds.
    """
    lines = read_qrels(data)
    folds = fold_of(list(lines), count)
    for k in range(count):
        with atomic_path(target / f"fold-{k}") as folder:
            (folder / "qrels").mkdir(parents=True)
            for name in ("corpus.jsonl", "queries.jsonl"):
                shutil.copyfile(data / name, folder / name)
            for split, is_test in (("train", False), ("test", True)):
                chosen = [line for query in sorted(lines) if (folds[query] == k) == is_test for line in lines[query]]
                text = "\n".join([HEADER, *chosen]) + "\n"
                (folder / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
