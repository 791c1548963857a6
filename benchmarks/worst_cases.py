"""The cost of the worst completions: no text should cost more than 20 times an ordinary one.

    python -m benchmarks.worst_cases [--rewrites FILE] [--quick] [--page]

Every recommender is asked through every action format with texts that policies should not write, each as it is and in the
form that the action format asks for, and with ordinary queries in between. Costs are CPU times of `Task.score` for a
completion on one thread, medians over rounds in which all take turns; no text comes twice, so that nothing is remembered.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import string
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import rec_gym
from benchmarks.attacks.texts import WORST
from benchmarks.engine import machine
from benchmarks.pages import DOCS, write_section
from rec_gym.catalog import Catalog
from rec_gym.loop.task import Task
from rec_gym.words import words as words_of

LIMIT = 20  # times an ordinary completion
SEARCH, HISTORY = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopHistory-BM25-v0"
RECOMMENDERS: dict[str, tuple[str, Any]] = {
    "bm25": (SEARCH, {"name": "bm25", "threads": 1}),
    "dense (hashing)": (SEARCH, "dense"),
    "hybrid": (SEARCH, {"name": "hybrid", "parts": [{"name": "bm25", "threads": 1}, "dense"]}),
    "rerank": (SEARCH, {"name": "rerank", "scorer": "rec_gym.recommenders.rerank:shared_words"}),
    "rank_bm25": (SEARCH, "rank_bm25"),
    "random": (SEARCH, "random"),
    "popularity": (HISTORY, "popularity"),
    "item-knn": (HISTORY, "item-knn"),
}
ACTIONS = ("plain", "append", "answer", "structured", "lines", "titles")
LINES = {"queries": 5, "titles": 10}  # that an ordinary completion has


EVERY_WORD, LIKE_WORDS = "every word of the catalogue", "words that begin like the catalogue's"
NAMES = (*WORST, EVERY_WORD, LIKE_WORDS)


def worst_for(catalog: Catalog) -> dict[str, Callable[[random.Random], str]]:
    """A function that makes a new one of each of the worst texts; some are bad because of what the catalogue holds."""
    words = sorted({word for texts in catalog.texts() for word in words_of("\n".join(texts))})

    def like_words(draw: random.Random) -> str:
        """Invented words with the first four letters of the catalogue's."""
        endings = ("".join(draw.choices(string.ascii_lowercase, k=4)) for _ in words)
        return " ".join(word[:4] + ending for word, ending in zip(draw.sample(words, len(words)), endings, strict=True))

    return {**WORST, EVERY_WORD: lambda draw: " ".join(draw.sample(words, len(words))), LIKE_WORDS: like_words}


def tasks(names: Sequence[str], actions: Sequence[str] = (*ACTIONS, "order")) -> Iterator[tuple[str, str, Task]]:
    """A task for each of the recommenders and action formats; an order of candidates asks no recommender."""
    for name in names:
        task_id, recommender = RECOMMENDERS[name]
        task = rec_gym.make_task(task_id, recommender=recommender, reward="ndcg@100")
        for plain in ACTIONS:
            if plain in actions:
                yield name, plain, task.replace(action=plain)
        if name == "bm25" and "order" in actions:
            for action in ("order", {"name": "order", "strict": True}):
                ordering = task.replace(action=action, candidates={"k": 20, "source": "judged"})
                yield "(candidates)", "order" if action == "order" else "order, strict", ordering


def ordinary_queries(path: Path | None, task: Task) -> Iterator[str]:
    """Queries that policies wrote, or those of the requests, endlessly."""
    if path is not None:
        lines = path.read_text(encoding="utf-8").splitlines()
        queries = [record["query"] for record in map(json.loads, lines) if record["policy"] != "original"]
    else:
        queries = task.dataset.texts(task.rows_in_split)
    draw = random.Random(0)
    while True:
        yield from draw.sample(queries, len(queries))


def ordinary_completions(task: Task, queries: Iterator[str], draw: random.Random, batch: int) -> list[str]:
    """A batch of ordinary completions in the task's action format."""
    if task.candidates is not None:
        orders = (draw.sample(range(1, 21), 20) for _ in range(batch))
        texts = [" > ".join(f"[{place}]" for place in order) for order in orders]
    else:
        lines = LINES.get(task.action.writes, 1)
        texts = ["\n".join(itertools.islice(queries, lines)) for _ in range(batch)]
    return [task.action.compose(text, "") for text in texts]


def cost(task: Task, texts: Sequence[str]) -> float:
    """CPU milliseconds per completion."""
    ids = [task.request_ids[place % len(task)] for place in range(len(texts))]
    start = time.process_time()
    task.score(ids, texts)
    return 1000 * (time.process_time() - start) / len(texts)


def measure(
    task: Task, queries: Iterator[str], rounds: int, batch: int, worst: Sequence[str] = NAMES
) -> dict[str, float]:
    """The cost of each of the worst texts, and of ordinary completions (named `ordinary`); medians over rounds."""
    draw, texts = random.Random(1), worst_for(task.dataset.catalog)
    times: dict[str, list[float]] = {}
    cost(task, ordinary_completions(task, queries, draw, batch))
    for _, name in itertools.product(range(rounds), worst):
        text = texts[name]
        times.setdefault("ordinary", []).append(cost(task, ordinary_completions(task, queries, draw, batch)))
        times.setdefault(name, []).append(cost(task, [text(draw) for _ in range(batch)]))
        composed = [task.action.compose(text(draw), "") for _ in range(batch)]
        times.setdefault(f"{name}, composed", []).append(cost(task, composed))
    return {name: statistics.median(values) for name, values in times.items()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The report as Markdown."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in machine().items()),
        "",
        "| recommender | action format | ordinary ms | worst ratio | worst text | next ratio | next text |",
        "|" + "---|" * 7,
    ]
    for row in rows:
        (worst, worst_ratio), (second, second_ratio) = row["ratios"][:2]
        cells = [row["recommender"], row["action"], f"{row['ordinary ms']:.3f}"]
        cells += [f"{worst_ratio:.1f}", worst, f"{second_ratio:.1f}", second]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.worst_cases")
    parser.add_argument(
        "--rewrites", type=Path, default=os.environ.get("REC_GYM_REWRITES"),
        help="JSONL of real queries: task, policy, query (or REC_GYM_REWRITES); by default those of the requests",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median is taken")
    parser.add_argument(
        "--batch", type=int, default=16, help="completions in a batch; the larger, the higher the ratios"
    )
    parser.add_argument("--recommenders", nargs="+", choices=RECOMMENDERS, default=list(RECOMMENDERS))
    parser.add_argument("--actions", nargs="+", choices=(*ACTIONS, "order"), default=[*ACTIONS, "order"])
    parser.add_argument("--texts", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help="by default all")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for worst_cases.json")
    parser.add_argument("--page", action="store_true", help="write the table into docs/worst-cases.md too")
    options = parser.parse_args(arguments)
    rows = []
    for recommender, action, task in tasks(options.recommenders, options.actions):
        rounds, queries = 3 if options.quick else options.rounds, ordinary_queries(options.rewrites, task)
        times = measure(task, queries, rounds, options.batch, options.texts)
        ordinary = times.pop("ordinary")
        ratios = sorted(((name, value / ordinary) for name, value in times.items()), key=lambda pair: -pair[1])
        rows.append({"recommender": recommender, "action": action, "ordinary ms": ordinary, "ratios": ratios})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "rows": rows}
    (options.out / "worst_cases.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.page:
        write_section(DOCS / "worst-cases.md", "worst cases", table(rows))
    over = [row for row in rows if cast(list, row["ratios"])[0][1] > LIMIT]
    print(f"{len(over)} of {len(rows)} pairs of a recommender and an action format exceed {LIMIT} times")
    raise SystemExit(bool(over))


if __name__ == "__main__":
    main()
