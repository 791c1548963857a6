"""The demo's training over several seeds: `python -m benchmarks.demo`, which rewrites the table of `docs/demo.md`.

Settings were chosen on the val split; every seed reads test and the shifted splits once, at its end.
"""

from __future__ import annotations

import datetime
import platform
import time
from pathlib import Path

import numpy as np
import typer
from rich.console import Console

from benchmarks.pages import DOCS, stamp, write_section
from rec_gym.demo import BEST_WORD, BEST_WORDS, MEASURE, SPLITS, TASK_ID, TRAINED, score, train
from rec_gym.evaluation import Interval
from rec_gym.loop.text_stats import text_stats
from rec_gym.policies.learner import LearnerSettings

PAGE = DOCS / "demo.md"
REFERENCES = {
    "raw": "raw query",
    "rm3": "RM3 (reads the catalogue)",
    BEST_WORD: "best word of the policy's vocabulary (exact; knows the relevant items)",
    BEST_WORDS: "best eight words of it, or fewer (greedy, a lower bound; knows the relevant items)",
    "oracle": "oracle (the shop's words for what is wanted)",
}


def measure(seeds: int, steps: int) -> str:
    """Trains and evaluates; returns the tables as Markdown."""
    runs: list[dict[str, dict[str, Interval]]] = []
    written, seconds = [], []
    for seed in range(seeds):
        start = time.process_time()
        task, training = train(steps, LearnerSettings(seed=seed), Console(stderr=True))
        seconds.append(time.process_time() - start)
        runs.append(score(task, training.policy))
        rows = list(task.replace(split="test").rows())
        texts = training.policy(rows)
        stats = text_stats(texts, [row["text"] for row in rows])
        words = {word for text in texts for word in text.split()}
        written.append((stats["length"].mean(), len(words), stats["copy"].mean()))
    return "\n\n".join([_table(runs), _text_table(written), _origin(seeds, steps, seconds)])


def _table(runs: list[dict[str, dict[str, Interval]]]) -> str:
    lines = [f"| {MEASURE} | " + " | ".join(SPLITS) + " |", "|---" * (len(SPLITS) + 1) + "|"]
    for name, label in REFERENCES.items():
        cells = [f"{runs[0][s][name].mean:.3f} {runs[0][s][name].bounds}" for s in SPLITS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    for seed, run in enumerate(runs):
        cells = [f"{run[s][TRAINED].mean:.3f} {run[s][TRAINED].bounds}" for s in SPLITS]
        lines.append(f"| trained, seed {seed} | " + " | ".join(cells) + " |")
    means = np.array([[run[s][TRAINED].mean for s in SPLITS] for run in runs])
    cells = [f"**{m:.3f}** (± {d:.3f})" for m, d in zip(means.mean(0), means.std(0, ddof=1), strict=True)]
    return "\n".join([*lines, f"| trained, mean (± deviation over {len(runs)} seeds) | " + " | ".join(cells) + " |"])


def _text_table(written: list[tuple[float, int, float]]) -> str:
    lines = [
        "| what it writes on test | words per completion | different words in total | share copied |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| seed {seed} | {length:.1f} | {words} | {copy:.2f} |" for seed, (length, words, copy) in enumerate(written)
    ]
    return "\n".join(lines)


def _origin(seeds: int, steps: int, seconds: list[float]) -> str:
    return (
        f"Measured {datetime.date.today()}: {stamp([TASK_ID])}; action format append; {seeds} seeds of {steps} steps, "
        f"{np.median(seconds):.0f} s of processor time per seed (median) on {platform.machine()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}. Brackets: 95% intervals over requests, for each bound the "
        "farther one of Student's t and the bootstrap-t."
    )


def main(seeds: int = 5, steps: int = 600, page: Path = PAGE) -> None:
    """Measures and writes the tables between the marks of the page."""
    tables = measure(seeds, steps)
    write_section(page, "demo", tables)
    print(tables)


if __name__ == "__main__":
    typer.run(main)
