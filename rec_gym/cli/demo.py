"""`rec-gym demo`: a policy learns to ask CornerShop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.options import Seed


def demo(
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 600,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the curve and the numbers are saved.")] = Path(
        "runs/demo"
    ),
) -> None:
    """Train a small policy on CornerShop.

    It learns from nothing but the reward, and is compared to the raw query, RM3 and the oracle.
    """
    from rec_gym.demo import run

    run(seed=seed, steps=steps, output=output)
