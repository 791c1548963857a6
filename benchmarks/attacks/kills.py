"""Kills at random moments: the next process finds everything complete, or rebuilds it."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.attacks.shop import harm, leftovers
from benchmarks.attacks.worker import CHECKOUT, Worker
from rec_gym.cache import MANIFEST

# Sizes at which a job lasts long enough to be killed in the middle of its writes.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "index": {"items": 4000},
    "vectors": {"items": 4000},
    "dataset": {"items": 4000},
    "prepare": {"items": 4000},
    "results": {"items": 40, "times": 20},
}


@contextmanager
def downloads(pause: float = 0.002) -> Iterator[dict[str, Any]]:
    """Arguments of the job `fetch`, for files that a server on this machine has while the block lasts."""
    sys.path.append(str(CHECKOUT / "tests"))  # the server is that of the tests
    from helpers.loopback import Loopback

    content = random.Random(0).randbytes(600_000)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for place in range(20):
            file.writestr(f"part{place}.bin", content[place * 20_000 :][:20_000])
    with Loopback() as server:
        sources = []
        for name, data, unpack in (("a.bin", content, False), ("set.zip", archive.getvalue(), True)):
            url = server.add(f"/{name}", data, pause=pause, piece=1 << 14)
            checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
            sources.append({"url": url, "path": "set" if unpack else name, "checksum": checksum, "unpack": unpack})
        yield {"sources": sources}


class Victim:
    """A job that is killed again and again.

    Args:
        worker: does it.
        home: its cache folder.
        job: its name.
        arguments: its arguments.
    """

    def __init__(self, worker: Worker, home: Path, job: str, arguments: dict[str, Any]) -> None:
        self.worker, self.home, self.job, self.arguments = worker, home, job, arguments
        home.mkdir(parents=True)
        self.expected = worker.run(job, home, **arguments)
        assert not self.expected.error, f"{job} fails without being killed: {self.expected.message}"

    def check(self, draw: random.Random, kills: int = 1) -> Counter[str]:
        """Kills the job a few times, lets it end, and counts the kills that came before its end.

        Raises:
            AssertionError: the job that was let alone failed, or read something else, or left something.
        """
        counts: Counter[str] = Counter()
        self._begin(draw)
        for _ in range(kills):
            ended = self.worker.run(
                self.job, self.home, kill_after=draw.uniform(0, self.expected.seconds), **self.arguments
            )
            assert not ended.error, f"{self.job} fails after a kill: {ended.error[0]} {ended.message}"
            counts["kills" if ended.signal else "ended before its kill"] += 1
            counts["kills in the middle of a write"] += bool(ended.signal and leftovers(self.home))
        ended = self.worker.run(self.job, self.home, **self.arguments)
        assert not ended.signal, f"{self.job} ends with signal {ended.signal} after a kill"
        assert not ended.error, f"{self.job} fails after a kill: {ended.error[0]} {ended.message}"
        assert ended.value == self.expected.value, f"{self.job} reads something else after a kill"
        self._check_leftovers()
        counts["whole afterwards, same score"] += 1
        return counts

    def _check_leftovers(self) -> None:
        """What a kill left beside a file or folder that was whole by then is removed when that is written again."""
        if leftovers(self.home):
            for path in (self.home / "results").rglob("*"):
                os.utime(path, (0, 0))  # results are written without a lock, so that only age tells
            for path in self.home.rglob(MANIFEST):
                path.unlink()
            self.worker.run(self.job, self.home, **self.arguments)
        assert not leftovers(self.home), f"{self.job} leaves {leftovers(self.home)} after a kill"

    def _begin(self, draw: random.Random) -> None:
        """From nothing, or from files of which one is damaged; results are there already, or not."""
        files = [path for path in self.home.rglob("*") if path.is_file() and path.suffix != ".lock"]
        if self.job in ("fetch", "results") or draw.random() < 0.7:
            shutil.rmtree(self.home)
            self.home.mkdir()
        else:
            harm(draw.choice(files), "emptied")


def victims(worker: Worker, home: Path, files: dict[str, Any]) -> list[Victim]:
    """One for each job; `files` are the arguments of `fetch`."""
    return [Victim(worker, home / job, job, arguments) for job, arguments in (ARGUMENTS | {"fetch": files}).items()]
