"""Damaged files: what is scored afterwards in a new process is what was scored before, or nothing is."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.attacks.shop import HARMS, ITEMS, harm, leftovers
from benchmarks.attacks.worker import Ended, Worker
from rec_gym.cache import MANIFEST
from rec_gym.recommenders.bm25 import compilation

# The jobs whose files are damaged, and the folder of the cache where those files are.
CACHED = {"index": "indexes", "vectors": "indexes", "dataset": "datasets", "prepare": "."}
if importlib.util.find_spec("faiss"):
    CACHED["graph"] = "indexes"


class Target:
    """A prepared cache of one job, and what the job returns for it.

    Args:
        worker: does the job.
        home: where the cache is to be.
        job: one of `CACHED`, or `kernels`, whose `home` has to hold compiled kernels.
    """

    def __init__(self, worker: Worker, home: Path, job: str) -> None:
        self.worker, self.home, self.job = worker, home, job
        self.expected = self.run()
        assert not self.expected.error, f"{job} fails without any damage: {self.expected.message}"
        self._whole = home.with_name(f"{home.name}-whole")
        shutil.copytree(home, self._whole)

    def run(self) -> Ended:
        """Does the job."""
        return self.worker.run(self.job, self.home, items=ITEMS)

    def files(self) -> list[Path]:
        """What may be damaged."""
        folder = self.home / CACHED.get(self.job, "kernels")
        return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")

    def check(self, harms: list[tuple[Path, str]], draw: random.Random) -> Counter[str]:
        """Damages files, does the job again, and counts the outcome.

        Raises:
            AssertionError: the process died, scored something else, or did not rebuild what was damaged.
        """
        for path, how in harms:
            harm(path, how, draw)
        shown = f"{self.job} after {[(str(path.relative_to(self.home)), how) for path, how in harms]}"
        ended = self.run()
        counts = Counter({"damaged files": len(harms)})
        assert not ended.signal, f"signal {ended.signal}: {shown}"
        if self.job == "kernels":
            assert "RecompiledError" in ended.error, f"{ended.error} {ended.message}, kernels were run: {shown}"
        else:
            assert not ended.error, f"{ended.error[0]} {ended.message}: {shown}"
            assert ended.value == self.expected.value, f"another score: {shown}"
            again = self.run()
            assert (again.value, again.error, again.said) == (self.expected.value, [], []), f"not repaired: {shown}"
        assert any("is rebuilt" in line for line in ended.said), f"nothing was reported: {shown}"
        assert not leftovers(self.home), f"{leftovers(self.home)} is left: {shown}"
        counts[self.outcome] += 1
        self._restore()
        return counts

    @property
    def outcome(self) -> str:
        """What damage leads to, in the counts."""
        return "kernels refused" if self.job == "kernels" else "caches rebuilt, same score"

    def _restore(self) -> None:
        if self.job == "kernels":  # nothing has rebuilt them
            shutil.rmtree(self.home)
            shutil.copytree(self._whole, self.home)


def targets(worker: Worker, home: Path) -> list[Target]:
    """A prepared cache for each job, below `home`."""
    return [Target(worker, home / job, job) for job in CACHED]


def kernels(worker: Worker, home: Path, compiled: Path) -> Target:
    """The same with compiled kernels; `compiled` is a cache folder that holds them, `worker` has not loaded any."""
    for manifest in (compiled / "kernels").glob(
        f"*/{MANIFEST}"
    ):  # there may be others, of older code or other versions
        if json.loads(manifest.read_bytes())["made"] == compilation._made_from():
            shutil.copytree(manifest.parent, home / "kernels" / "kernels" / manifest.parent.name)
    return Target(worker, home / "kernels", "kernels")


def random_harms(target: Target, draw: random.Random) -> list[tuple[Path, str]]:
    """One file and what happens to it, and sometimes several."""
    chosen: list[Any] = draw.sample(target.files(), draw.choice((1, 1, 1, 3)))
    return [(path, draw.choice([*HARMS, "flipped"])) for path in chosen]
