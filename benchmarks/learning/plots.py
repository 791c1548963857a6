"""The learning curves of an experiment as one PNG: runs thin, their mean thick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.scores import KeptRun
from rec_gym.cache import atomic_path

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77")


def plot_curves(runs: Sequence[KeptRun], measure: str, path: Path) -> None:
    """Draws reward and, if the runs have it, val over the steps.

    The file depends only on the runs: it has no date and no version.

    Args:
        runs: at least one; each arm has a colour.
        measure: what val is.
        path: the PNG.
    """
    from matplotlib.figure import Figure

    panels = {"reward": "reward of training", "val": f"val, {measure}"}
    shown = [name for name in panels if any(series(run, name) for run in runs)]
    figure = Figure(figsize=(4.6 * len(shown), 3.2), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for panel, name in zip(axes, shown, strict=True):
        draw(panel, runs, name)
        panel.set(xlabel="step", title=panels[name])
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def draw(panel: Any, runs: Sequence[KeptRun], name: str) -> None:
    """One column of the curves."""
    for colour, arm in zip(COLOURS, dict.fromkeys(run.arm for run in runs), strict=False):
        curves = [points for run in runs if run.arm == arm and (points := series(run, name))]
        if not curves:
            continue  # an untrained run has no curve
        for one in curves:
            panel.plot(list(one), list(one.values()), color=colour, linewidth=0.7, alpha=0.5)
        # If a run is shorter, the mean is over the steps that all have.
        shared = sorted(set.intersection(*(set(one) for one in curves)))
        means = [float(np.mean([one[step] for one in curves])) for step in shared]
        panel.plot(shared, means, color=colour, linewidth=2.2, label=f"{arm}, mean of {len(curves)}")


def series(run: KeptRun, name: str) -> dict[float, float]:
    """Step and value of a curve's column; empty if the run has none."""
    curve = run.content["curve"]
    points = zip(curve["step"], curve.get(name, ()), strict=False)
    return {step: value for step, value in points if value is not None}
