"""What recording, caching and degrading a recommender cost, and what faults take from a reward.

    python -m benchmarks.wrappers [--page]

Batches are 256 requests of CornerShop as they are, ranked to 100 by BM25; CPU time, medians over batches, in which all take
turns. The rewards are those of raw requests of the val split, with degraded BM25.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine import machine
from benchmarks.pages import DOCS, stamp, write_section
from rec_gym.catalog import Catalog
from rec_gym.evaluation import evaluate
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.policies import make_policy
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.cached import Cached
from rec_gym.recommenders.degraded import WORST, Degraded
from rec_gym.recommenders.recording import Recording

ID = "RecR1-CornerShop-BM25-v0"
BATCH, DEPTH, ROUNDS = 256, 100, 3
DIFFICULTIES = (0, 25, 50, 75, 100)


def speed(batches: Sequence[list[str]], catalog: Catalog, folder: Path) -> tuple[dict[str, float], float]:
    """Milliseconds per batch of each, and bytes of the file per answer."""
    plain = make_recommender("bm25", {}, catalog)
    recording = Recording("bm25", record=folder / "run.sqlite").fit(catalog)
    cached = Cached("bm25", identity=f"benchmark in {folder}").fit(catalog)
    degraded = Degraded("bm25", difficulty=50).fit(catalog)
    times: dict[str, list[float]] = {}

    def timed(name: str, rank: Callable[[], object]) -> None:
        start = time.process_time()
        rank()
        times.setdefault(name, []).append(1000 * (time.process_time() - start))

    def turn(name: str, recommender: Any, batch: list[str]) -> None:
        timed(name, partial(recommender.rank, batch, DEPTH))

    warm: list[Any] = [plain, recording, cached, degraded]
    for recommender in warm:
        recommender.rank(["warm up"], DEPTH)
    for batch in batches:
        turn("`bm25`", plain, batch)
        turn("`recording`, new answers", recording, batch)
        turn("`recording`, answers in the file", recording, batch)
        replay = Recording("bm25", replay=folder / "run.sqlite").fit(catalog)
        replay.rank(batch[:1], DEPTH)
        turn("`recording`, replay", replay, batch)
        cached.rank(batch, DEPTH)
        turn("`cached`, answers in the file", cached, batch)
        turn("`degraded`, difficulty 50", degraded, batch)
    recording.close()
    size = (folder / "run.sqlite").stat().st_size / recording.stats.recorded
    return {name: statistics.median(values) for name, values in times.items()}, size


def rewards(task: Task, recommender: Degraded) -> list[float]:
    """Means of nDCG@10 and nDCG@100 of the raw requests."""
    harder = task.replace(recommender=recommender)
    measured = evaluate(harder, make_policy("raw", harder), measures=["ndcg@10", "ndcg@100"])
    return [float(measured.values(measure).mean()) for measure in ("ndcg@10", "ndcg@100")]


def report() -> str:
    """The tables as Markdown."""
    task = make_task(ID, split="train")
    texts = [row["text"] for row in task.rows()]
    whole = [texts[start : start + BATCH] for start in range(0, len(texts) - BATCH + 1, BATCH)]
    batches = [[f"{text} {turn}" for text in batch] for turn in range(ROUNDS) for batch in whole]
    with tempfile.TemporaryDirectory() as folder:
        times, size = speed(batches, task.dataset.catalog, Path(folder))
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    lines = [f"{about}; {stamp([ID])}", "", "| | CPU ms per batch of 256 | beside `bm25` |", "|---|---|---|"]
    lines += [f"| {name} | {value:.1f} | {value / times['`bm25`']:.1f} |" for name, value in times.items()]
    lines += ["", f"An answer of {DEPTH} places takes {size:,.0f} bytes of the file.", ""]
    task = make_task(ID, split="val", recommender={"name": "degraded", "recommender": "bm25", "difficulty": 0})
    fitted = task.recommender
    assert isinstance(fitted, Degraded)
    lines += ["| faults | nDCG@10 | nDCG@100 |", "|---|---|---|"]
    for difficulty in DIFFICULTIES:
        lines.append(_row(f"difficulty {difficulty}", rewards(task, fitted.at(difficulty))))
    for fault, worst in WORST.items():
        alone = Degraded(fitted.inner, difficulty=0, **{fault: worst}).fit(task.dataset.catalog)
        lines.append(_row(f"only `{fault}`, {worst:g}", rewards(task, alone)))
    return "\n".join(lines)


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{np.round(value, 4):.4f}' for value in values)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.wrappers")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/recommenders.md too")
    options = parser.parse_args(arguments)
    text = report()
    print(text)
    if options.page:
        write_section(DOCS / "recommenders.md", "wrappers", text)


if __name__ == "__main__":
    main()
