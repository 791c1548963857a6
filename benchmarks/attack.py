"""Large-scale attacks: what the tests check on a small scale, for any length of time.

    python -m benchmarks.attack fuzz damage kills server [--seconds 60] [--seed 0] [--page]

An attack stops at the first thing that does not hold, and says what shows it; otherwise it says how much it has tried.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.attacks import NotTriedError, damage, disks, fuzz, kills, runs
from benchmarks.attacks.worker import Worker
from benchmarks.engine import machine
from benchmarks.pages import DOCS, write_section
from rec_gym.cache import cache_home
from rec_gym.cards import cards
from rec_gym.recommenders.bm25.compilation import load_kernels

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


def attack_with_damage(seconds: float, seed: int) -> Counter[str]:
    """Cache files, including compiled kernels, are changed, cut, emptied and removed."""
    draw, counts = random.Random(seed), Counter[str]()
    load_kernels()  # so that they are cached
    with tempfile.TemporaryDirectory() as folder, Worker() as worker, Worker(with_kernels=False) as without:
        home = Path(folder)
        targets = [*damage.targets(worker, home), damage.kernels(without, home, cache_home())]
        start = time.monotonic()
        for target in itertools.cycle(targets):
            if time.monotonic() - start > seconds:
                return counts
            counts += target.check(damage.random_harms(target, draw), draw)
    return counts


def attack_with_kills(seconds: float, seed: int) -> Counter[str]:
    """Processes that convert, index, encode, fetch and write results are killed at random moments."""
    draw, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, Worker() as worker, kills.downloads() as files:
        victims = kills.victims(worker, Path(folder), files)
        start = time.monotonic()
        for victim in itertools.cycle(victims):
            if time.monotonic() - start > seconds:
                return counts
            counts += victim.check(draw, draw.choice((1, 1, 2, 4)))
    return counts


def attack_with_disks(seconds: float, seed: int) -> Counter[str]:
    """The cache is on a disk that is too small; root and `mount` are needed."""
    draw, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, Worker() as worker, kills.downloads(pause=0) as files:
        jobs = disks.ARGUMENTS | {"fetch": files}
        start = time.monotonic()
        for job, arguments in itertools.cycle(jobs.items()):
            if time.monotonic() - start > seconds:
                return counts
            kilobytes = int(2 ** draw.uniform(4, 15))
            counts += disks.check(worker, Path(folder) / "disk", kilobytes, job, arguments)
    return counts


def attack_with_clients(seconds: float, seed: int) -> Counter[str]:
    """Clients of a real OpenEnv server send damaged and oversized messages, break off and sit idle, while others play."""
    try:
        from benchmarks.attacks import server
    except ImportError as error:
        raise NotTriedError(f"pip install -c constraints.txt -e '.[openenv]' ({error})") from error
    counts: Counter[str] = Counter()
    with server.serving() as target:
        attack = server.Attack(target, random.Random(seed))
        start = time.monotonic()
        for kind in itertools.cycle(attack.kinds):
            if time.monotonic() - start > seconds:
                return counts
            counts += kind()
    return counts


ATTACKS: dict[str, Callable[[float, int], Counter[str]]] = {
    "fuzz": attack_with_texts,
    "measures": attack_with_runs,
    "damage": attack_with_damage,
    "kills": attack_with_kills,
    "disk": attack_with_disks,
    "server": attack_with_clients,
}


def attempt(name: str, seconds: float, seed: int) -> tuple[bool, str]:
    """Whether nothing was found, and what was tried or found."""
    try:
        counts = ATTACKS[name](seconds, seed)
    except AssertionError as error:
        return False, f"FOUND: {error}"
    except NotTriedError as error:
        return True, f"not tried: {error}"
    return True, f"nothing found in {', '.join(f'{count:,} {what}' for what, count in counts.items())}"


def table(results: dict[str, str], seconds: float) -> str:
    """The results as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in machine().items()), ""]
    lines += ["| attack | what it does | seconds | result |", "|" + "---|" * 4]
    for name, result in results.items():
        what = " ".join((ATTACKS[name].__doc__ or "").split())
        lines.append(f"| `{name}` | {what} | {seconds:.0f} | {result.replace('|', '/')} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; its status is 1 if an attack found something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.attack")
    parser.add_argument("attacks", nargs="+", choices=ATTACKS, help="which attacks")
    parser.add_argument("--seconds", type=float, default=60, help="how long each of them lasts")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--page", action="store_true", help="write the table into docs/reliability.md too")
    options = parser.parse_args(arguments)
    results, held = {}, True
    for name in options.attacks:
        holds, results[name] = attempt(name, options.seconds, options.seed)
        held &= holds
        print(f"{name}: {results[name]}", flush=True)
    if options.page:
        write_section(DOCS / "reliability.md", "attacks", table(results, options.seconds))
    if not held:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
