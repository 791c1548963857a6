"""OpenEnv's server with many sessions: steps per second, and where the time of a step goes.

    python -m benchmarks.gather_openenv [--quick]

A server in this process, and clients in another one that play whole episodes. Sessions that step together take turns with
sessions that each search alone, in a thread of their own as OpenEnv runs methods that are no coroutines. The last line is the
report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from openenv.core.env_server.interfaces import Environment

from rec_gym.adapters import openenv as adapter
from rec_gym.adapters.openenv_client import RecommenderClient
from rec_gym.loop.episode import Episode
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.serving.outcome import Turn, split_outcomes

TASK_ID = "RecR1-CornerShopRefine-BM25-v0"  # three turns
SESSIONS = (1, 8, 64)
ROOT = Path(__file__).parents[1]


class Scoring:
    """CPU seconds that threads spend in the calls of a task."""

    def __init__(self) -> None:
        self.seconds, self._lock, self._inside = 0.0, threading.Lock(), threading.local()

    def timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, with its CPU time noted; a call within a call counts once."""

        def call(*arguments: Any) -> Any:
            if getattr(self._inside, "call", False):
                return method(*arguments)
            start, self._inside.call = time.thread_time(), True
            try:
                return method(*arguments)
            finally:
                self._inside.call = False
                with self._lock:
                    self.seconds += time.thread_time() - start

        return call


class Alone:
    """In the place of a gatherer: every call by itself."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def start_one(self, request_id: str) -> tuple[Episode, str]:
        """A new episode, and what the policy observes first."""
        [episode] = self.task.start([request_id])
        return episode, self.task.observe([episode])[0]

    def advance_one(self, episode: Episode, completion: str) -> Turn:
        """One turn."""
        [after], outcomes, [text] = self.task.advance([episode], [completion])
        return Turn(after, split_outcomes(outcomes)[0], text)


class TasksAlone(adapter.SharedTasks):
    """A server's tasks without gathering."""

    def gather(self, split: str | None) -> Any:
        """What serves the calls of a split."""
        return Alone(super().gather(split).task)


class EnvironmentAlone(adapter.RecommenderEnvironment):
    """A session whose reset and step run in a thread of its own."""

    reset_async = Environment.reset_async
    step_async = Environment.step_async


@contextmanager
def server(task: Task, is_gathered: bool) -> Iterator[str]:
    """A running server, and its address."""
    tasks, environment = adapter.SharedTasks, adapter.RecommenderEnvironment
    if not is_gathered:
        adapter.SharedTasks, adapter.RecommenderEnvironment = TasksAlone, EnvironmentAlone  # type: ignore[misc]
    try:
        app = adapter.app_of(task)
    finally:
        adapter.SharedTasks, adapter.RecommenderEnvironment = tasks, environment  # type: ignore[misc]
    with adapter.serving(app) as url:
        yield url


async def play(url: str, sessions: int, seconds: float) -> dict[str, float]:
    """Sessions that play whole episodes side by side for some seconds."""
    clients = [RecommenderClient(url) for _ in range(sessions)]
    await asyncio.gather(*(client.connect() for client in clients))
    waits: list[float] = []
    start = time.perf_counter()

    async def episodes(client: Any) -> None:
        while time.perf_counter() < start + seconds:
            text = (await client.reset()).observation.text
            done, words = False, text.split()
            while not done:
                begin = time.perf_counter()
                result = await client.step(" ".join(words[: 3 + len(waits) % 5]))
                waits.append(1000 * (time.perf_counter() - begin))
                done = result.done

    await asyncio.gather(*map(episodes, clients))
    wall = time.perf_counter() - start
    await asyncio.gather(*(client.close() for client in clients))
    waits.sort()
    middle, late = waits[len(waits) // 2], waits[int(0.99 * len(waits))]
    return {"steps": len(waits), "rate": len(waits) / wall, "p50": middle, "p99": late}


def measure(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each number of sessions and way, medians over rounds in which the ways take turns."""
    scoring = Scoring()
    ways: dict[str, Task] = {}
    for way in ("one by one", "together"):
        ways[way] = make_task(TASK_ID)
        for method in ("start", "observe", "advance"):
            setattr(ways[way], method, scoring.timed(getattr(ways[way], method)))
    runs: dict[tuple[int, str], list[dict[str, float]]] = {}
    with server(ways["one by one"], False) as alone, server(ways["together"], True) as together:
        for number in range(rounds + 1):
            for sessions in SESSIONS:
                for way, url in (("one by one", alone), ("together", together)):
                    command = [
                        sys.executable,
                        "-m",
                        "benchmarks.gather_openenv",
                        "--play",
                        url,
                        str(sessions),
                        str(seconds),
                    ]
                    cpu, scored = time.process_time(), scoring.seconds
                    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                    run = json.loads(done.stdout.splitlines()[-1])
                    run["cpu_ms"] = 1000 * (time.process_time() - cpu) / run["steps"]
                    run["scoring_ms"] = 1000 * (scoring.seconds - scored) / run["steps"]
                    if number:
                        runs.setdefault((sessions, way), []).append(run)
    return [
        {"sessions": sessions, "way": way} | {key: statistics.median(run[key] for run in several) for key in several[0]}
        for (sessions, way), several in runs.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.gather_openenv")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--play", nargs=3, metavar=("URL", "SESSIONS", "SECONDS"), help="be the clients of a server")
    options = parser.parse_args(arguments)
    if options.play is not None:
        url, sessions, seconds = options.play
        print(json.dumps(asyncio.run(play(url, int(sessions), float(seconds)))))
        return
    rows = measure(*((1.0, 1) if options.quick else (2.5, 2)))
    print(json.dumps({"versions": {"openenv": version("openenv")}, "rows": rows}))


if __name__ == "__main__":
    main()
