"""Best of n: what choosing among several completions of a policy could give.

    python examples/best_of_n.py --policy random-words --completions 16
    python examples/best_of_n.py --policy examples/hf_policy.py:HFSampler:PATH --best runs/best.jsonl

The choice is made by the true reward, which no policy sees when it answers: the figures are an upper bound on what choosing
can give, and the completions that are saved are training data (rejection sampling, supervised fine-tuning).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from rec_gym import Task, make_task
from rec_gym.cache import atomic_path, write_json
from rec_gym.dataset import TRAIN
from rec_gym.evaluation.compare import TOO_FEW
from rec_gym.evaluation.evaluate import drawn_places
from rec_gym.evaluation.intervals import mean_intervals
from rec_gym.evaluation.resampling import units_of
from rec_gym.overrides import overrides_of
from rec_gym.policies import POLICIES, Policy, make_policy

from runs import facts, plain, save_plot

BATCH_SIZE = 1024  # completions per call, at most


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    id: str = "RecR1-CornerShop-BM25-v0"
    "environment; its episodes must have one turn"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML, such as items=600"
    data_dir: Path | None = None
    "folder with the data, for ids that need one"
    policy: str = "random-words"
    "a name, or MODULE_OR_FILE:NAME[:ARG]; it should draw its completions"
    split: str = TRAIN
    "split of the requests"
    requests: int = 0
    "number of requests to draw, the same ones as `rec-gym evaluate` draws; 0 for all"
    completions: int = 16
    "N: completions per request"
    seed: int = 0
    "seed of policies that take one"
    output: Path = Path("runs/best-of-n")
    "folder for result.json and best_of_n.png"
    best: Path | None = None
    "JSONL file for the best completion of each train request"
    above: float = 0.0
    "write only completions with a greater reward"
    any_split: bool = False
    "let --best write requests of splits other than train; do not train on them"


def expected_best(rewards: np.ndarray, n: int) -> np.ndarray:
    """The expected best of n completions that are drawn from N without replacement, for each request.

    With the N rewards in rising order r_1 <= ... <= r_N, r_i is the best of C(i - 1, n - 1) of the C(N, n) subsets:

        E = sum over i = n .. N of  C(i - 1, n - 1) / C(N, n) * r_i

    It is the U-statistic of the best of n draws, and so unbiased for the policy's own best of n (Tang et al. 2020, "Showing
    Your Work Doesn't Always Work", ACL); for rewards of 0 and 1 it is pass@n of Chen et al. 2021, arXiv:2107.03374.

    Args:
        rewards: float64 [requests, N].
        n: from 1 to N.
    """
    size = rewards.shape[1]
    weights = np.array([comb(i - 1, n - 1) / comb(size, n) for i in range(1, size + 1)])
    return np.sort(rewards, axis=1) @ weights


def draw(task: Task, arguments: Arguments, request_ids: Sequence[str]) -> tuple[list[list[str]], np.ndarray]:
    """Draws N completions for each request and scores them.

    A policy of the package draws by its seed, so that N of them are made. A custom policy is called once, and gets each
    row N times, side by side.

    Returns:
        The completions, one list per request, and their rewards, float64 [requests, N].
    """
    count = arguments.completions
    own = arguments.policy.partition(":")[0] not in POLICIES
    seeds = range(arguments.seed, arguments.seed + (1 if own else count))
    policies = [make_policy(arguments.policy, task, seed=seed) for seed in seeds]
    texts: list[list[str]] = []
    rewards: list[np.ndarray] = []
    step = max(1, BATCH_SIZE // count)
    for start in range(0, len(request_ids), step):
        ids = request_ids[start : start + step]
        rows = task.rows_of(task.start(ids))
        if own:
            drawn = written(policies[0], [row for row in rows for _ in range(count)])
        else:
            columns = [written(policy, rows) for policy in policies]
            drawn = [text for row in zip(*columns, strict=True) for text in row]
        outcomes = task.score([request_id for request_id in ids for _ in range(count)], drawn)
        texts += [drawn[place : place + count] for place in range(0, len(drawn), count)]
        rewards.append(outcomes.rewards.reshape(-1, count))
    return texts, np.concatenate(rewards)


def written(policy: Policy, rows: list[dict[str, Any]]) -> list[str]:
    """The policy's completions, one per row."""
    completions = list(policy(rows))
    if len(completions) != len(rows):
        raise ValueError(f"the policy wrote {len(completions)} completions for {len(rows)} rows; write one per row")
    return completions


def report(rewards: np.ndarray, users: np.ndarray) -> list[dict[str, float | None]]:
    """Mean over requests of the expected best of n, for n = 1, 2, 4 ... and N.

    The bounds of its 95% interval are None if there are too few requests or users for one.
    """
    size = rewards.shape[1]
    counts = [*(2**power for power in range(size.bit_length()) if 2**power < size), size]
    units = units_of(np.stack([expected_best(rewards, n) for n in counts], axis=1), users)
    low, high, no_interval = mean_intervals(units)
    columns = zip(counts, units.means.tolist(), low.tolist(), high.tolist(), no_interval, strict=True)
    return [
        {"n": n, "reward": mean, "low": None if none else below, "high": None if none else above}
        for n, mean, below, above, none in columns
    ]


def best_rows(
    task: Task, ids: Sequence[str], texts: list[list[str]], rewards: np.ndarray, above: float
) -> list[dict[str, Any]]:
    """The best completion of each request, the first of equals, if its reward is greater than `above`."""
    best = rewards.argmax(axis=1)
    rows = task.rows_of(task.start(ids))
    return [
        {
            "request_id": row["request_id"],
            "prompt": row["prompt"],
            "completion": drawn[place],
            "reward": float(own[place]),
        }
        for row, drawn, own, place in zip(rows, texts, rewards, best, strict=True)
        if own[place] > above
    ]


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes one JSON object per line, the whole file or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def plot(table: list[dict[str, float | None]], title: str, path: Path) -> None:
    """Draws the curve as a PNG, if matplotlib is installed."""

    def draw_curve(axes: Any) -> None:
        keys = ("n", "reward", "low", "high")
        counts, mean, low, high = (np.array([row[key] for row in table], np.float64) for key in keys)
        axes.fill_between(counts, low, high, alpha=0.2, linewidth=0)
        axes.plot(counts, mean, marker="o")
        axes.set_xscale("log", base=2)
        axes.set(xlabel="n", ylabel="expected reward of the best of n", title=title)
        axes.spines[["top", "right"]].set_visible(False)

    save_plot(path, draw_curve)


def main(arguments: Arguments) -> None:
    """Draws, reports and saves."""
    a = arguments
    if a.best and a.split != TRAIN and not a.any_split:
        raise SystemExit(f"--best writes training data: of train, not of {a.split!r} (--any-split allows it)")
    if a.completions < 1 or a.requests < 0:
        raise SystemExit("--completions must be at least 1 and --requests at least 0")
    task = make_task(a.id, split=a.split, **overrides_of(a.data_dir, a.set))
    if task.turns.limit > 1:
        raise SystemExit(f"{a.id} has {task.turns.limit} turns; add --set turns=1, or see tree_search.py")
    places = drawn_places(task, a.requests or None)
    ids = [task.request_ids[place] for place in places]
    texts, rewards = draw(task, a, ids)
    table = report(rewards, task.dataset.column("user", task.rows_in_split[places]))
    distinct = float(np.mean([len(set(drawn)) for drawn in texts]))
    print(f"{a.id}, split {a.split}, {len(ids):,} requests, policy {a.policy}")
    print(f"{a.completions} completions per request, {distinct:.1f} of them different (mean)")
    print("best of n, chosen by the true reward: an upper bound on what choosing can give\n")
    print("     n  reward  95% interval")
    for row in table:
        bounds = TOO_FEW if row["low"] is None else f"[{row['low']:.4f}, {row['high']:.4f}]"
        print(f"{row['n']:6}  {row['reward']:.4f}  {bounds}")
    result = {**facts(task.name), "n": len(ids), "arguments": plain(a), "distinct": distinct, "best_of_n": table}
    result |= {"chosen_by": "the true reward: an upper bound", "request_ids": ids, "rewards": rewards.tolist()}
    write_json(a.output / "result.json", result)
    plot(table, f"{a.policy}, {a.split}", a.output / "best_of_n.png")
    print(f"\nSaved in {a.output}")
    if a.best:
        best = best_rows(task, ids, texts, rewards, a.above)
        write_lines(a.best, best)
        print(f"Best completions of {len(best):,} requests: {a.best}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
