"""Attacks at large: what the tests check in small, for as long as is asked for.

    python -m benchmarks.attack fuzz [--seconds 60] [--seed 0]

An attack stops at the first thing that does not hold, and says what shows it; otherwise it says how much it has tried.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.attacks import fuzz, runs
from rec_gym.cards import cards

_BATCH = 64


def attack_with_texts(seconds: float, seed: int) -> Counter[str]:
    """Completions of all kinds to every embedded id, in every action format."""
    draw, counts, start = random.Random(seed), Counter[str](), time.monotonic()
    ids = [name for name, card in cards().items() if card.embedded]
    tasks = [task for task_id in ids for task in fuzz.tasks(task_id)]
    counts["tasks"] = len(tasks)
    for task in itertools.cycle(tasks):
        if time.monotonic() - start > seconds:
            return counts
        request_ids, texts = fuzz.completions(task, draw, _BATCH)
        outcomes = fuzz.check(task, request_ids, texts)
        fuzz.check_single(task, request_ids[:2], texts[:2])
        counts["completions"] += len(texts)
        counts["of them parsed"] += int(outcomes.parse_ok.sum())
        counts["of them earned something"] += int((outcomes.rewards > 0).sum())
    return counts


def attack_with_runs(seconds: float, seed: int) -> Counter[str]:
    """Random runs, whose measures are compared with trec_eval's."""
    draw, counts, start = random.Random(seed), Counter[str](), time.monotonic()
    while time.monotonic() - start <= seconds:
        counts["values"] += runs.check(draw, 200)
    return counts


ATTACKS: dict[str, Callable[[float, int], Counter[str]]] = {"fuzz": attack_with_texts, "measures": attack_with_runs}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.attack")
    parser.add_argument("attacks", nargs="+", choices=ATTACKS, help="which attacks")
    parser.add_argument("--seconds", type=float, default=60, help="how long each of them lasts")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other attacks")
    options = parser.parse_args(arguments)
    for name in options.attacks:
        counts = ATTACKS[name](options.seconds, options.seed)
        print(
            f"{name}: nothing found in {', '.join(f'{count:,} {what}' for what, count in counts.items())}", flush=True
        )


if __name__ == "__main__":
    main()
