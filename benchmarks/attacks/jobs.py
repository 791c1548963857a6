"""Jobs of processes whose files are damaged, whose disk is full, or which are killed. Each returns what it read."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.attacks.shop import LOADER, contents, ranked, shop
from rec_gym.cache import cache_home
from rec_gym.datasets.store import open_dataset
from rec_gym.evaluation import compare, evaluate
from rec_gym.evaluation.report import save_csv, save_json
from rec_gym.fetching.sources import WebFile
from rec_gym.loop.task import Task
from rec_gym.recommenders.bm25 import BM25, compilation
from rec_gym.recommenders.dense import Dense

SPLIT = "test"


class RecompiledError(Exception):
    """The cached kernels were refused and would be compiled, which takes most of a minute."""


def index(items: int) -> Any:
    """Indexes the shop and searches it."""
    return ranked(BM25(threads=1).fit(shop(items)))


def vectors(items: int) -> Any:
    """Encodes the shop's items and searches them."""
    return ranked(Dense(index="flat").fit(shop(items)))


def graph(items: int) -> Any:
    """The same with faiss."""
    return ranked(Dense(index="hnsw").fit(shop(items)))


def dataset(items: int) -> Any:
    """Converts the shop's data, and reads all of it."""
    return contents(open_dataset(LOADER, {"items": items}))


def prepare(items: int) -> Any:
    """Prepares all that a task needs, and scores its own requests."""
    task = _task(items)
    return [*contents(task.dataset), task.score(task.request_ids, _texts(task)).rewards.tolist()]


def kernels(items: int) -> Any:
    """Searches with the cached kernels; stops before anything is compiled."""
    load: Callable[[Path | None], ModuleType] = compilation._import

    def load_only(folder: Path | None) -> ModuleType:
        if folder is None or not any(folder.rglob("*.nbi")):
            raise RecompiledError("refused")
        return load(folder)

    compilation._import = load_only
    return index(items)


def fetch(sources: list[dict[str, Any]]) -> Any:
    """Fetches files; reads all of them."""
    from rec_gym.fetching.download import fetch as fetched  # with its clients

    folder = fetched([WebFile(**source) for source in sources], "shop")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def results(items: int, times: int) -> Any:
    """Reads the results that are there, and writes them again and again."""
    folder = cache_home() / "results"
    folder.mkdir(exist_ok=True)
    if (folder / "result.json").exists():
        json.loads((folder / "result.json").read_bytes())
    task = _task(items)
    comparison = compare([evaluate(task, _texts_of, name=name) for name in ("a", "b")])
    for _ in range(times):
        save_json(folder / "result.json", comparison)
        save_csv(folder / "result.csv", comparison)
    with open(folder / "result.csv", newline="", encoding="utf-8") as file:
        rows = [[row["policy"], row["measure"], row["mean"]] for row in csv.DictReader(file)]
    return [json.loads((folder / "result.json").read_bytes()), rows]


def _task(items: int) -> Task:
    data = open_dataset(LOADER, {"items": items})
    return Task(data, BM25(threads=1).fit(data.catalog), split=SPLIT, reward="ndcg@10")


def _texts(task: Task) -> list[str]:
    return task.dataset.texts(task.rows_in_split)


def _texts_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job for job in (index, vectors, graph, dataset, prepare, kernels, fetch, results)
}
