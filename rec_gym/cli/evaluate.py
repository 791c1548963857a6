"""`rec-gym evaluate`: policies on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.options import DataDir, Seed, Settings, TaskId, split_list, task_of
from rec_gym.overrides import overrides_of


def evaluate(
    task_id: TaskId,
    policy: Annotated[
        list[str],
        typer.Option(
            metavar="POLICY,...",
            help="Policies by name, or MODULE_OR_FILE:NAME[:ARG]; the others are compared to the first. "
            r"A comma within a text is written '\,'. May be repeated.",
        ),
    ],
    split: Annotated[str, typer.Option(help="The split to evaluate on; name test to use it.")] = "val",
    measures: Annotated[
        str, typer.Option(metavar="MEASURE,...", help="What to measure.")
    ] = "ndcg@10,ndcg@100,recall@100",
    samples: Annotated[int, typer.Option(min=1, help="Completions per request, averaged.")] = 1,
    shuffles: Annotated[
        int | None,
        typer.Option(
            min=1, help="Orders in which the candidates of a request are given, averaged. [default: 5, if shuffled]"
        ),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="Number of requests that are sampled from the split. [default: all]")
    ] = None,
    seed: Seed = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Save everything as JSON.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Save the table as CSV.")] = None,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Evaluate and compare policies on a split.

    The table holds means with 95% intervals, and paired differences to the first policy.
    """
    from rec_gym.evaluation import compare, print_report, save_csv, save_json
    from rec_gym.evaluation import evaluate as evaluate_policy
    from rec_gym.policies import make_policy

    specs = [spec for text in policy for spec in split_list(text)]
    repeated = [spec for place, spec in enumerate(specs) if spec in specs[:place]]
    if repeated:
        raise ValueError(f"policy {repeated[0]!r} is named twice; name it once")
    if not specs:
        raise ValueError("name at least one policy")
    overrides = overrides_of(data_dir, settings)
    task = task_of(task_id, split, overrides)
    policies = {spec: make_policy(spec, task, seed=seed) for spec in specs}  # all are checked before any runs
    names = split_list(measures)
    evaluations = [
        evaluate_policy(
            task, one, name=spec, measures=names, samples=samples, shuffles=shuffles, requests=requests, seed=seed
        )
        for spec, one in policies.items()
    ]
    comparison = compare(evaluations, seed=seed)
    if json_file:
        save_json(json_file, comparison, {"overrides": overrides})
    if csv_file:
        save_csv(csv_file, comparison)
    print_report(comparison)
