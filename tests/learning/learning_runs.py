"""Runs with values that nobody measured, as examples and references leave them."""

from dataclasses import replace

import numpy as np

from benchmarks.learning.experiments import EXPERIMENTS, FOLD_COUNT, RAW, REFERENCES, TRAINED, source
from benchmarks.learning.kept import (
    flags,
)
from rec_gym.cache import write_json
from rec_gym.evaluation import Evaluation, compare, save_json

SIZE = 24  # requests of a split


def made(name, split, measures, seed, size=SIZE, task_id="RecR1-CornerShop-BM25-v0", prefix=""):
    """An evaluation with values that nobody measured, in five digits."""
    random = np.random.default_rng([seed, len(split), len(name)])
    lift = 0.0 if name == RAW else 0.3
    return Evaluation(
        name=name,
        reference="",
        task_id=task_id,
        card_hash="c" * 64,
        version="0",
        split=split,
        samples=1,
        seed=0,
        settings={"reward": measures[0]},
        request_ids=[f"{prefix}{split}-{number:03}" for number in range(size)],
        users=np.full(size, "", object),
        measures={key: np.round(random.random(size) * 0.5 + lift, 5) for key in measures},
        rewards=np.zeros(size),
        text_stats={key: random.random(size) for key in ("length", "repetition", "copy")},
        parse_ok=np.ones(size),
        clipped=np.zeros(size),
        turns=np.ones(size),
        strata={"asked": np.arange(size) % 3 + 1.0},
    )


def write_evaluation(path, *evaluations, **extra):
    save_json(path, compare(evaluations, list(evaluations[0].measures), resamples=50), extra)


def write_run(folder, run, splits, measures, **how):
    """A run folder as `examples/runs.py` leaves it."""
    output = folder / run.name
    arguments = {"output": "/home/somebody/runs/x"}
    for flag, values in flags(run.command).items():
        name = flag.removeprefix("--").replace("-", "_")
        if name.startswith("no_"):
            name, values = name.removeprefix("no_"), ["False"]
        known = {"set": list(values), "test_splits": list(values), "data_dir": "../data/somewhere"}
        known["model"] = f"/home/somebody/{values[0].rpartition('/')[2]}" if values else ""
        arguments.setdefault(name, known.get(name, values[0] if values else "True"))
    arguments["seed"] = run.seed
    curve = [
        {"step": step, "reward": step / 100, "length": 8 - step / 50, "seconds_rollout": 0.5, "seconds_learn": 0.25}
        | ({"val": step / 200} if step % 20 == 0 else {})
        for step in range(1, 101)
    ]
    machine = {"processor": "x", "cores": 2, "python": "3"}
    facts = {"id": how.get("task_id", "RecR1-CornerShop-BM25-v0"), "card_sha256": "c" * 64, "version": "0"}
    for split in splits:
        raw, trained = made(RAW, split, measures, 0, **how), made(TRAINED, split, measures, run.seed + 1, **how)
        write_evaluation(output / f"evaluation-{split}.json", raw, trained)
    for name in run.transfers:
        write_transfers(output, name, run.seed)
    write_json(output / "run.json", {**facts, "machine": machine, "arguments": arguments, "curve": curve})


def write_transfers(output, name, seed):
    task_id = "RecR1-CornerShop-BM25-v0" if name == "bm25" else "RecR1-CornerShop-Dense-v0"
    base = 0 if name == "bm25" else 50
    for split in REFERENCES[f"cornershop-{name}"].splits:
        raw = made(RAW, split, ("ndcg@10",), base, task_id=task_id)
        if name == "bm25":  # the raw query scores the same whoever is evaluated beside it
            all_measures = EXPERIMENTS["words"].kept_measures
            raw = replace(raw, measures={"ndcg@10": made(RAW, split, all_measures, 0).measures["ndcg@10"]})
        trained = made(TRAINED, split, ("ndcg@10",), base + seed + 7, task_id=task_id)
        write_evaluation(output / f"transfer-{name}-{split}.json", raw, trained)


def write_everything(folder):
    """Every run of every experiment, and the references."""
    for experiment in EXPERIMENTS.values():
        for number, run in enumerate(experiment.runs):
            if run.same_as:
                owner, own = source(experiment, run)
                for name in run.transfers:
                    write_transfers(folder / owner.name / own.name, name, run.seed)
                continue
            how = {"prefix": f"{number % FOLD_COUNT}-"} if experiment.pooled else {}
            if run.name.startswith("dense"):
                how = {"task_id": "RecR1-CornerShop-Dense-v0"}
            write_run(folder / experiment.name, run, experiment.splits, experiment.kept_measures, **how)
    for references in REFERENCES.values():
        for split in references.splits:
            found = [
                made(name, split, references.measures, 3 + place, task_id=references.environment.id)
                for place, name in enumerate(references.policies)
            ]
            path = folder / "references" / references.name / f"evaluation-{split}.json"
            write_evaluation(path, *found, asked=found[0].strata["asked"].tolist())


def cell(text, label, place):
    """A cell of a Markdown table, by the label of its row."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return line.split(" | ")[place + 1].removesuffix(" |")
