"""What examples write: the folder of a training run, the facts that belong to a number, plots."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rec_gym import __version__
from rec_gym.cache import atomic_path, write_json
from rec_gym.cards import card_of
from rec_gym.evaluation import compare, evaluate, print_report, save_json
from rec_gym.policies import make_policy
from rec_gym.policies.registry import fitting_policies

LIBRARIES = ("numpy", "numba", "torch", "transformers", "peft", "trl", "stable-baselines3", "sentence-transformers")


class RunFolder:
    """`arguments.json`, `metrics.jsonl` and, at the end, `run.json`, `curve.png` and `evaluation-SPLIT.json`.

    Args:
        folder: where to write; a run with the same arguments in it is continued.
        arguments: a dataclass.

    Raises:
        SystemExit: the folder holds a run with other arguments.
    """

    def __init__(self, folder: Path, arguments: Any) -> None:
        self.folder = folder
        self.arguments = plain(arguments)
        kept = folder / "arguments.json"
        if kept.is_file() and json.loads(kept.read_text()) != self.arguments:
            raise SystemExit(f"{folder} holds a run with other arguments; choose another --output, or remove it")
        write_json(kept, self.arguments)
        self._log = folder / "metrics.jsonl"
        self._board: Any = None
        self._worked = time.process_time()

    @property
    def curve(self) -> list[dict[str, float]]:
        """What was logged, step by step."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.is_file() else []

    def go_on_after(self, steps: int) -> None:
        """Drops what was logged after the last checkpoint: those steps are repeated. Called once, before any `log`."""
        self._board = _summary_writer(self.folder / "tensorboard", steps + 1)
        lines = self._log.read_text().splitlines() if self._log.is_file() else []  # the last one may be cut off
        with atomic_path(self._log) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines[:steps]))

    def log(self, found: dict[str, float]) -> None:
        """Logs the numbers of a step; `found["step"]` is its number.

        `processor_seconds` is added: what this process worked since the line before, on all cores together.
        """
        worked = time.process_time()
        found = {**found, "processor_seconds": worked - self._worked}
        self._worked = worked
        with self._log.open("a") as file:
            file.write(json.dumps(found) + "\n")
        for key, value in found.items() if self._board else ():
            self._board.add_scalar(key, value, found["step"])

    def finish(
        self, task: Any, policy: Any, splits: Sequence[str], measures: Sequence[str], requests: int | None = None
    ) -> None:
        """Evaluates the policy beside the raw query, or beside the given order of candidates; writes what ends a run.

        Args:
            task: any split of it.
            policy: what was trained.
            splits: read once each.
            measures: of the evaluations; the first one is drawn where the curve holds `val`.
            requests: drawn of each split; None for all.
        """
        for split in splits:
            held = task.replace(split=split)
            untrained = "raw" if "raw" in fitting_policies(held) else "given-order"
            policies = {untrained: make_policy(untrained, held), "trained": policy}
            found = [
                evaluate(held, one, name=name, measures=measures, requests=requests) for name, one in policies.items()
            ]
            comparison = compare(found)
            save_json(self.folder / f"evaluation-{split}.json", comparison)
            print_report(comparison)
        if self._board:
            self._board.close()
        curve = self.curve
        write_json(self.folder / "run.json", {**facts(task.name), "arguments": self.arguments, "curve": curve})
        plot(curve, measures[0], self.folder / "curve.png")


def facts(task_id: str) -> dict[str, Any]:
    """The facts that belong to a number: environment, card, version and machine."""
    return {
        "id": task_id,
        "card_sha256": card_of(task_id).hash,
        "version": __version__,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        | _accelerator(),
        "libraries": {name: version(name) for name in LIBRARIES if name.replace("-", "_") in sys.modules},
    }


def _accelerator() -> dict[str, str]:
    """The GPU, if torch is loaded and finds one."""
    torch = sys.modules.get("torch")
    return {"gpu": torch.cuda.get_device_name()} if torch and torch.cuda.is_available() else {}


def plain(arguments: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON holds them."""
    return json.loads(json.dumps(asdict(arguments), default=str))


def plot(curve: Sequence[dict[str, float]], measure: str, path: Path) -> None:
    """Draws reward and val as a PNG, if matplotlib is installed."""

    def draw(axes: Any) -> None:
        for key, label, style in (("reward", "reward", "-"), ("val", f"val {measure}", ".-")):
            found = [(step["step"], step[key]) for step in curve if key in step]
            axes.plot(*zip(*found, strict=True) if found else ([], []), style, label=label)
        axes.set(xlabel="step")
        axes.legend(frameon=False)

    save_plot(path, draw)


def save_plot(path: Path, draw: Callable[[Any], None]) -> None:
    """Saves what `draw` draws on matplotlib's axes as a PNG; without matplotlib, only says so."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"no {path.name} without matplotlib: pip install matplotlib")
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    draw(figure.subplots())
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _summary_writer(folder: Path, first: int) -> Any:
    """TensorBoard's writer, which forgets the steps from `first` on; None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=first)
