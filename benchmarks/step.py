"""A whole training step compared with others: from the texts that a policy wrote to rewards.

    python -m benchmarks.step --rewrites FILE [--quick]

A batch is 32 requests with 8 completions each, or 64 with 16; the completions of a request share their words as the samples of
one prompt do. `Task.score` and `RecommenderVectorEnv.step` parse, describe the text, search, measure and build infos; the others
are given words that are already split, return their top k, and NDCG is taken from it in NumPy with this package's measures: a
loop that somebody would write around them. One thread, CPU time, medians over rounds in which all take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora import CORPORA, LOADS, query_shapes
from benchmarks.engine import ENGINES, Engine, machine, words_of
from benchmarks.pages import DOCS, write_section
from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.loop.task import Task
from rec_gym.loop.text_stats import text_stats
from rec_gym.measures import Judged, Measure
from rec_gym.ranking import Rankings
from rec_gym.recommenders.bm25 import BM25
from rec_gym.vector_env import RecommenderVectorEnv

BATCHES = ((32, 8), (64, 16))
DEPTH = 1000  # the cut-off of the reward
RELEVANT = 8  # items per request
JOINED = (
    3  # real queries in the pool of words of a request; a completion takes a third of it, and is as long as a real one
)


def make_requests(catalog: Catalog, engine: BM25, queries: Sequence[str], seed: int = 3) -> Dataset:
    """Requests whose relevant items are at ranks 1 to 2,000 (log-uniform) of a query for them."""
    draw = np.random.default_rng(seed)
    rankings = engine.rank(queries, 2000)
    rows = []
    for number, (query, items) in enumerate(zip(queries, rankings.items, strict=True)):
        ranks = np.unique(np.exp(draw.uniform(0, np.log(len(items)), RELEVANT)).astype(int) - 1)
        targets = [int(item) for item in items[ranks] if item >= 0] or [int(draw.integers(len(catalog)))]
        rows.append({"id": f"r{number}", "text": query, "split": "train", "gains": dict.fromkeys(targets, 1.0)})
    return Dataset.from_requests(catalog, rows)


def make_completions(queries: Sequence[str], group: int, seed: int = 4) -> list[str]:
    """`group` completions for each query: each takes a third of its words, with their repetitions."""
    draw = np.random.default_rng(seed)
    texts = []
    for query in queries:
        words = query.split()
        distinct = list(dict.fromkeys(words))
        for _ in range(group):
            kept = set(draw.permutation(distinct)[: max(1, len(distinct) // JOINED)].tolist())
            texts.append(" ".join(word for word in words if word in kept))
    return texts


def others(engine: Engine, dataset: Dataset, k: int) -> Callable[[Sequence[str], Sequence[str]], np.ndarray]:
    """Top k by another engine, then NDCG in NumPy."""
    measure = Measure("ndcg", k)

    def score(request_ids: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        rows = dataset.index.positions(request_ids)
        found = engine.items(engine.search(texts, k))
        items = np.full((len(found), k), -1, np.int32)
        for row, places in enumerate(found):
            items[row, : len(places)] = places
        ranks = Rankings(items, np.zeros(items.shape, np.float32)).ranks_of(dataset.relevant.take(rows))
        return measure(Judged(ranks, dataset.relevant_gains.take(rows), dataset.ideal_gains.take(rows)))

    return score


def shared_words(texts: Sequence[str], group: int) -> float:
    """Distinct words of a group over the sum of its members' distinct words, mean over groups."""
    words = [set(words_of(text)) for text in texts]
    groups = [words[start : start + group] for start in range(0, len(words), group)]
    return float(np.mean([len(set().union(*members)) / sum(map(len, members)) for members in groups]))


def stages(task: Task, ids: Sequence[str], texts: Sequence[str]) -> dict[str, Callable[[], object]]:
    """The parts of a step, each to be timed alone."""
    rows = task.dataset.index.positions(ids)
    requests = task.dataset.texts(rows)
    items = task.dataset.relevant.take(rows)
    ranks = task.recommender.rank_of(texts, items, task.depth)  # type: ignore[attr-defined]
    judged = Judged(ranks, task.dataset.relevant_gains.take(rows), task.dataset.ideal_gains.take(rows))
    outcomes = task.score(ids, texts)
    return {
        "parse": lambda: [task.action.parse(t, r) for t, r in zip(texts, requests, strict=True)],
        "text statistics": lambda: text_stats(texts, requests),
        "engine (words, scores, ranks)": lambda: task.recommender.rank_of(texts, items, task.depth),  # type: ignore[attr-defined]
        "measures": lambda: [measure(judged) for measure in task.measures],
        "info columns": outcomes.columns,
    }


def timed(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU milliseconds of each, medians over rounds in which they take turns; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, call in work.items():
            start = time.process_time()
            call()
            if number:
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_batch(
    task: Task, rivals: dict[str, Callable], prompts: int, group: int, queries: Sequence[str], rounds: int
) -> dict[str, Any]:
    """One batch: whole steps, the others, and the stages of ours."""
    ids = [f"r{number}" for number in range(prompts) for _ in range(group)]
    texts = make_completions(queries[:prompts], group)
    env = RecommenderVectorEnv(task, prompts * group, group)
    names = [f"r{number}" for number in range(prompts)]

    def step() -> None:
        env.reset(seed=0, options={"request_ids": names})
        env.step(texts)

    rewards = task.score(ids, texts).rewards
    agreement = {name: float(np.abs(score(ids, texts) - rewards).mean()) for name, score in rivals.items()}
    work: dict[str, Callable[[], object]] = {"Task.score": lambda: task.score(ids, texts), "reset + step": step}
    work |= {name: partial(score, ids, texts) for name, score in rivals.items()}
    whole, parts = timed(work, rounds), timed(stages(task, ids, texts), rounds)
    return {
        "batch": f"{prompts} x {group}",
        "words": float(np.mean([len(words_of(text)) for text in texts])),
        "union/sum": shared_words(texts, group),
        "ms": whole,
        "stages": parts,
        "ratio": {name: whole[name] / whole["Task.score"] for name in rivals},
        "step/engine": whole["reset + step"] / parts["engine (words, scores, ranks)"],
        "reward difference": agreement,
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rivals = list(report["rows"][0]["ratio"])
    head = ["corpus", "items", "load", "batch", "words", "Task.score ms", "step ms", "step / engine"]
    head += [f"{name} + NDCG ms (ratio)" for name in rivals]
    lines = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in report["rows"]:
        cells = [row["corpus"], f"{row['items']:,}", row["load"], row["batch"], f"{row['words']:.0f}"]
        cells += [f"{row['ms']['Task.score']:.1f}", f"{row['ms']['reset + step']:.1f}", f"{row['step/engine']:.2f}"]
        cells += [f"{row['ms'][name]:.0f} ({row['ratio'][name]:.1f})" for name in rivals]
        lines.append("| " + " | ".join(cells) + " |")
    names = list(report["rows"][0]["stages"])
    lines += [
        "",
        "| corpus | items | load | batch | " + " | ".join(f"{n} ms" for n in names) + " |",
        "|" + "---|" * (4 + len(names)),
    ]
    for row in report["rows"]:
        cells = [
            row["corpus"],
            f"{row['items']:,}",
            row["load"],
            row["batch"],
            *(f"{row['stages'][n]:.1f}" for n in names),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.step")
    known = os.environ.get("REC_GYM_REWRITES")
    parser.add_argument(
        "--rewrites", type=Path, default=known, required=known is None,
        help="JSONL of real queries: task, policy, query (or REC_GYM_REWRITES)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="100,000 items and few rounds")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=["zipf"], help="which texts")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_200_000], help="sizes of the corpora")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=["bm25s-numba", "tantivy"])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for step.json and step.md")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md too")
    options = parser.parse_args(arguments)
    if options.quick:
        options.items, options.rounds = [100_000], 3
    rows = []
    for corpus, size in itertools.product(options.corpora, options.items):
        source = CORPORA[corpus]()
        catalog = source.catalog(size)
        engine = BM25(threads=1).fit(catalog)
        fitted = {name: ENGINES[name](catalog) for name in options.engines}
        for load in ("short", "long"):
            drawn = source.queries(query_shapes(options.rewrites, *LOADS[load]), JOINED * max(p for p, _ in BATCHES))
            queries = [" ".join(drawn[start : start + JOINED]) for start in range(0, len(drawn), JOINED)]
            dataset = make_requests(catalog, engine, queries)
            task = Task(dataset, engine, split="all", reward=f"ndcg@{DEPTH}")
            rivals = {name: others(one, dataset, DEPTH) for name, one in fitted.items()}
            for prompts, group in BATCHES:
                row = measure_batch(task, rivals, prompts, group, queries, options.rounds)
                rows.append({"corpus": corpus, "items": size, "load": load, "k": DEPTH, **row})
                print(json.dumps(rows[-1]), flush=True)
    report = {"machine": machine(), "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "step.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "step.md").write_text(table(report) + "\n", encoding="utf-8")
    if options.page:
        write_section(DOCS / "performance.md", "step", table(report))
    print(table(report))


if __name__ == "__main__":
    main()
