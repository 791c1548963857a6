"""Scoring one completion at a time: what gathering reaches, compared with batches of the same size in the same run.

    python -m benchmarks.gather [--quick] [--page] [--verl PYTHON] [--openenv PYTHON]

N callers, as coroutines of one event loop or as threads, each score one completion after another. In every round they take
turns with `Task.score` on batches of N, and with threads that call `Task.score` without gathering. verl and OpenEnv need
environments of their own: their interpreters are named, and `benchmarks.gather_verl` and `benchmarks.gather_openenv` run there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS, write_section
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.serving import Gather

TASK_ID = "RecR1-CornerShop-BM25-v0"
CALLERS = (1, 8, 64, 512, 1024)
MOST_UNGATHERED = 64  # threads that call Task.score by themselves; more only wait for each other
ROOT = Path(__file__).parents[1]

Pairs = Sequence[tuple[str, str]]


@dataclass
class Times:
    """Of rounds the completions per second and the CPU seconds per completion; and waits of single calls, in milliseconds."""

    rates: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @contextmanager
    def round(self, count: int) -> Iterator[None]:
        """Times the completions of a round."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.rates.append(count / (time.perf_counter() - wall))
        self.cpus.append((time.process_time() - cpu) / count)

    def row(self, batch: Times | None = None) -> dict[str, float]:
        """Median rate, percentiles of the waits, and compared with the batch, medians over rounds: wall and CPU time."""
        row = {"rate": statistics.median(self.rates)}
        if self.waits:
            waits = sorted(self.waits)
            row |= {"p50": waits[len(waits) // 2], "p99": waits[int(0.99 * len(waits))]}
        if batch is not None:
            row["ratio"] = statistics.median(b / own for b, own in zip(batch.rates, self.rates, strict=True))
            row["cpu_ratio"] = statistics.median(own / b for b, own in zip(batch.cpus, self.cpus, strict=True))
        return row


def completions(task: Task, count: int) -> list[tuple[str, str]]:
    """Requests in turn, each with some of its own words as the completion."""
    rows = list(task.rows())
    pairs = ((row["request_id"], " ".join(row["text"].split()[: 3 + place % 5])) for place, row in enumerate(rows))
    return list(islice(cycle(list(pairs)), count))


def in_batches(task: Task, pairs: Pairs, size: int, times: Times) -> None:
    """`Task.score` on batches of `size`."""
    with times.round(len(pairs)):
        for first in range(0, len(pairs), size):
            ids, texts = zip(*pairs[first : first + size], strict=True)
            task.score(list(ids), list(texts))


def by_coroutines(gather: Gather, pairs: Pairs, callers: int, times: Times) -> None:
    """Coroutines of one event loop, each awaiting one completion after another."""
    left = iter(pairs)

    async def call() -> None:
        for request_id, completion in left:
            begin = time.perf_counter()
            await gather.score_one_async(request_id, completion)
            times.waits.append(1000 * (time.perf_counter() - begin))

    async def play() -> None:
        await asyncio.gather(*(call() for _ in range(callers)))

    with times.round(len(pairs)):
        asyncio.run(play())


def by_threads(score: Callable[[str, str], object], pairs: Pairs, callers: int, times: Times) -> None:
    """Threads, each scoring one completion after another."""
    left = iter(pairs)

    def call() -> None:
        for request_id, completion in left:
            begin = time.perf_counter()
            score(request_id, completion)
            times.waits.append(1000 * (time.perf_counter() - begin))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    with times.round(len(pairs)):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check(task: Task, gather: Gather, pairs: Pairs) -> None:
    """Rewards are those of the batch, to the digit.

    Raises:
        AssertionError: one is not.
    """

    async def play() -> list[float]:
        outcomes = await asyncio.gather(*(gather.score_one_async(*pair) for pair in pairs))
        return [outcome.reward for outcome in outcomes]

    ids, texts = map(list, zip(*pairs, strict=True))
    assert asyncio.run(play()) == task.score(ids, texts).rewards.tolist()


def measure_callers(task: Task, callers: int, count: int, rounds: int) -> dict[str, Any]:
    """One row: batches, coroutines, threads, and threads without gathering; the first round is not counted."""
    pairs = completions(task, count)
    with Gather(task) as gather:
        check(task, gather, pairs[:500])
        for number in range(rounds + 1):
            if number <= 1:
                batch, coroutines, threads, alone = Times(), Times(), Times(), Times()
            in_batches(task, pairs, callers, batch)
            by_coroutines(gather, pairs, callers, coroutines)
            by_threads(gather.score_one, pairs, callers, threads)
            if callers <= MOST_UNGATHERED:
                few = pairs[: max(callers, count // 8)]
                by_threads(lambda name, text: task.score([name], [text]), few, callers, alone)
    row = {"callers": callers, "batch": batch.row(), "coroutines": coroutines.row(batch), "threads": threads.row(batch)}
    return row | ({"ungathered": alone.row(batch)} if alone.rates else {})


def run_elsewhere(python: Path, module: str, quick: bool) -> dict[str, Any]:
    """The report of another benchmark, run by another interpreter.

    Raises:
        RuntimeError: it failed.
    """
    command = [str(python), "-m", module, *(["--quick"] if quick else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rates(row: dict[str, Any] | None) -> list[str]:
    """The cells of one way to call."""
    if row is None:
        return ["", "", ""]
    compared = f"{row['ratio']:.2f} / {row['cpu_ratio']:.2f}"
    return [f"{row['rate']:,.0f}", compared, f"{row['p50']:.1f} / {row['p99']:.1f}"]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def tables(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    head = ["callers", "batches of as many, per s"]
    for way in ("coroutines", "threads", "threads without gathering"):
        head += [f"{way}, per s", "wall / CPU", "p50 / p99 ms"]
    rows = [
        [f"{row['callers']:,}", f"{row['batch']['rate']:,.0f}"]
        + [cell for way in ("coroutines", "threads", "ungathered") for cell in rates(row.get(way))]
        for row in report["callers"]
    ]
    parts = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), markdown(head, rows)]
    if "verl" in report:
        head = ["verl's reward loop, one worker", "samples per s", "CPU µs per sample", "samples per CPU second"]
        rows = [
            [row["way"], f"{row['rate']:,.0f}", f"{row['cpu_us']:.0f}", f"{1e6 / row['cpu_us']:,.0f}"]
            for row in report["verl"]["rows"]
        ]
        parts.append(markdown(head, rows))
    if "openenv" in report:
        head = ["OpenEnv sessions", "steps", "steps per s", "p50 / p99 ms", "server CPU ms per step", "of it scoring"]
        rows = [
            [
                f"{row['sessions']}",
                row["way"],
                f"{row['rate']:,.0f}",
                f"{row['p50']:.1f} / {row['p99']:.1f}",
                f"{row['cpu_ms']:.2f}",
                f"{row['scoring_ms']:.2f}",
            ]
            for row in report["openenv"]["rows"]
        ]
        parts.append(markdown(head, rows))
    return "\n\n".join(parts)


def this_machine(others: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Machine, versions and date of the figures."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = {name: version(name) for name in ("numpy", "numba")}
    for other in others:
        packages |= other["versions"]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        **packages,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.gather")
    parser.add_argument("--quick", action="store_true", help="few completions and rounds")
    parser.add_argument("--verl", type=Path, help="an interpreter with the extra verl")
    parser.add_argument("--openenv", type=Path, help="an interpreter with the extra openenv")
    parser.add_argument("--out", type=Path, help="folder for gather.json")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md too")
    options = parser.parse_args(arguments)
    task = make_task(TASK_ID)
    report: dict[str, Any] = {"callers": []}
    for callers in CALLERS:
        count = {1: 1000, 8: 4000}.get(callers, 8192)
        row = measure_callers(
            task, callers, max(callers, count // 8) if options.quick else count, 2 if options.quick else 5
        )
        report["callers"].append(row)
        print(json.dumps(row), flush=True)
    for name, python in (("verl", options.verl), ("openenv", options.openenv)):
        if python is not None:
            report[name] = run_elsewhere(python.absolute(), f"benchmarks.gather_{name}", options.quick)
    report["machine"] = this_machine([report[name] for name in ("verl", "openenv") if name in report])
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "gather.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.page:
        write_section(DOCS / "performance.md", "gather", tables(report))
    print(tables(report))


if __name__ == "__main__":
    main()
