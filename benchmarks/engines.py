"""Search engines as recommenders: CornerShop's raw test texts, and many callers at once.

    python -m benchmarks.engines [--page]

The engines take turns, in one run. `postgres` is measured where REC_GYM_POSTGRES holds the URL of a server; the catalogue is
pushed there as `rec_gym_benchmark`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.engine import machine
from benchmarks.pages import DOCS, write_section
from rec_gym import Task, make_task
from rec_gym.recommenders import Recommender, make_recommender
from rec_gym.recommenders.engines.postgres import Postgres

TASK, FIELDS = "RecR1-CornerShop-BM25-v0", ["title", "brand", "description"]
BATCH, SINGLE, DEPTH = 256, 32, 100
CALLERS, REQUESTS = (1, 64, 256, 1024), 2048
VERSIONS = ("processor", "python", "date", "numpy")


def engines_of(task: Task) -> dict[str, Recommender]:
    """The engines that can be asked here, fitted to the catalogue of a task."""
    catalog = task.dataset.catalog
    engines = {name: make_recommender(name, {"fields": FIELDS}, catalog) for name in ("bm25", "sqlite")}
    if os.environ.get("REC_GYM_POSTGRES"):
        postgres = Postgres(version="benchmark", fields=FIELDS)
        postgres.push(catalog)
        engines["postgres"] = postgres.fit(catalog)
    return engines


def milliseconds(engine: Recommender, queries: Sequence[str]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    engine.rank(queries, DEPTH)
    return 1000 * (time.perf_counter() - start)


def quality_rows(task: Task, engines: dict[str, Recommender], texts: list[str], rounds: int) -> list[dict[str, Any]]:
    """Time of a batch and of a single query, and what the raw texts score."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            times[name].append(milliseconds(engine, texts[:BATCH]))
            if number == 0:
                times[name].clear()  # it warmed up
    rows = []
    for name, engine in engines.items():
        outcomes = task.replace(recommender=engine).score(task.request_ids, texts)
        low, high = min(times[name]), max(times[name])
        rows.append(
            {
                "engine": name,
                f"ms per batch of {BATCH} (min to max)": f"{statistics.median(times[name]):.0f} ({low:.0f} to {high:.0f})",
                "ms per single query": f"{statistics.median(milliseconds(engine, [q]) for q in texts[:SINGLE]):.2f}",
                "nDCG@10": f"{outcomes.rewards.mean():.4f}",
                "recall@100": f"{outcomes.measures['recall@100'].mean():.4f}",
            }
        )
    return rows


def asked_by(engine: Recommender, texts: list[str], callers: int) -> tuple[list[float], int, float]:
    """Single queries from a number of threads, each of which asks as soon as its last query is answered.

    Returns:
        The milliseconds of each query that was answered, how many failed, and the seconds that all took.
    """
    waits: list[float] = []
    failures: list[Exception] = []
    together = threading.Barrier(callers)

    def ask(caller: int) -> None:
        together.wait()
        for number in range(caller, REQUESTS, callers):
            try:
                waits.append(milliseconds(engine, [f"{texts[number % len(texts)]} {number}"]))
            except Exception as error:
                failures.append(error)

    with ThreadPoolExecutor(callers) as threads:
        start = time.perf_counter()
        list(threads.map(ask, range(callers)))
        return waits, len(failures), time.perf_counter() - start


def caller_rows(engine: Recommender, texts: list[str]) -> list[dict[str, Any]]:
    """How long single queries take when many threads send them."""
    rows = []
    for callers in CALLERS:
        waits, failures, seconds = asked_by(engine, texts, callers)
        p50, p99 = np.percentile(waits, [50, 99])
        rows.append(
            {
                "callers": f"{callers:,}",
                "requests": f"{REQUESTS:,}",
                "failures": failures,
                "requests per second": f"{REQUESTS / seconds:,.0f}",
                "mean, ms": f"{statistics.mean(waits):.0f}",
                "p50, ms": f"{p50:.0f}",
                "p99, ms": f"{p99:.0f}",
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as lines of Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return lines + ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.engines")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/engines.md too")
    options = parser.parse_args(arguments)
    task = make_task(TASK, split="test", reward="ndcg@10", measures=["recall@100"])
    texts = [row["text"] for row in task.rows()]
    engines = engines_of(task)
    stamp = ", ".join(f"{name} {value}" for name, value in machine().items() if name in VERSIONS)
    lines = [stamp, "", *table(quality_rows(task, engines, texts, options.rounds))]
    if "postgres" in engines:
        lines += ["", "Single queries from many threads of one process, to `postgres`:", ""]
        lines += table(caller_rows(engines["postgres"], texts))
    print("\n".join(lines))
    if options.page:
        write_section(DOCS / "engines.md", "engines", "\n".join(lines))


if __name__ == "__main__":
    main()
