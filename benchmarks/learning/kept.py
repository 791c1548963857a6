"""Kept runs: what the report needs of finished runs, small enough for the repository, and without third-party data.

A kept file holds the origin of each run, its curve, and per split and policy the value of each request. If the raw query
has the same values in several runs, they are stored once, and the other runs refer to that run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.learning.experiments import (
    EXPERIMENTS,
    MODELS,
    RAW,
    REFERENCES,
    SHOP,
    SHOP_DENSE,
    SHOP_FILTERS,
    SHOP_SPLITS,
    TRAINED,
    TRANSFER_MEASURES,
    Experiment,
    References,
    Run,
)
from rec_gym.cache import atomic_path

KEPT = Path(__file__).parent / "kept"
POINTS = 60  # of a curve, at most
EXAMPLES = 5
FILTERS_FILE = "filters.json"  # of a run whose policy sets filters
DIGITS = 5
FOLDERS = ("output", "data_dir", "model")
COLUMNS = (
    "reward", "naming", "val", "best_of_group", "flat_groups", "length", "repetition", "copy", "entropy", "filters",
)  # fmt: skip
OWN_DATA = (SHOP, SHOP_DENSE, SHOP_FILTERS)  # ids whose requests are this package's own, so they may be kept
_FOREIGN_PATH = re.compile(r'(?<![^\s"=,\[])(?:\.\.[/\\]|/|~/|[A-Za-z]:\\)[^"\s,\]]*')


def keep(folder: Path, target: Path = KEPT) -> list[str]:
    """Writes the kept files of everything that is finished in a folder; other kept runs are left unchanged.

    Returns:
        The files written, to print.

    Raises:
        ValueError: a run does not match its experiment, or lacks a measure.
    """
    compacted = {name: compact_references(folder / "references" / name, one) for name, one in REFERENCES.items()}
    lines = [write_kept(target / f"references-{name}.json", content) for name, content in compacted.items() if content]
    for experiment in EXPERIMENTS.values():
        path = target / f"{experiment.name}.json"
        runs = read_runs(path)
        finished = dict(_finished(folder / experiment.name, folder, experiment))
        if finished:
            ordered = [run.name for run in experiment.runs if run.name in {**runs, **finished}]
            merged = {name: {**runs, **finished}[name] for name in ordered}
            check_alike(experiment, merged)
            content = {"experiment": experiment.name, "runs": share_raw(merged)}
            lines.append(f"{write_kept(path, content)}: {', '.join(finished)}")
    return lines


def _finished(own: Path, folder: Path, experiment: Experiment) -> Iterator[tuple[str, dict[str, Any]]]:
    for run in experiment.runs:
        if run.same_as:
            others = compact_transfers(folder / run.same_as, run)
            if others:
                yield run.name, {"same_as": run.same_as, "evaluations": others}
        elif (own / run.name / "run.json").is_file():
            yield run.name, compact(own / run.name, experiment, run)


def compact(folder: Path, experiment: Experiment, run: Run) -> dict[str, Any]:
    """The kept entry of a finished run.

    Args:
        folder: of the run, as `examples/runs.py` writes it.
        experiment: whose measures must be there.
        run: whose command must match the arguments of the run.

    Raises:
        ValueError: a measure is missing, or the command does not match.
    """
    run_file = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    wrong = differences(run.command, run_file["arguments"])
    if wrong:
        raise ValueError(
            f"{folder} was made with different arguments than {experiment.name} {run.name}: {'; '.join(wrong)}"
        )
    kept = {key: run_file[key] for key in ("id", "card_sha256", "version", "machine")}
    kept |= {"seed": run_file["arguments"]["seed"], "arguments": neutral(run_file["arguments"])}
    kept |= {"libraries": run_file.get("libraries", {}), "processor_seconds": processor_seconds_of(run_file)}
    kept |= {"seconds": seconds_of(run_file), "steps": len(run_file["curve"]), "curve": thin(run_file["curve"])}
    evaluations = compact_evaluations(folder, "evaluation-", experiment.kept_measures)
    missing = [split for split in experiment.splits if split not in evaluations]
    if missing:
        raise ValueError(f"{folder} has no evaluation of {', '.join(missing)}")
    kept["evaluations"] = {split: evaluations[split] for split in experiment.splits}
    kept["evaluations"] |= compact_transfers(folder, run)
    if run_file["id"] in OWN_DATA and (folder / "examples.json").is_file():
        kept["examples"] = json.loads((folder / "examples.json").read_text(encoding="utf-8"))[:EXAMPLES]
    if (folder / FILTERS_FILE).is_file():
        kept["filters"] = json.loads((folder / FILTERS_FILE).read_text(encoding="utf-8"))
    return kept


def check_alike(experiment: Experiment, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises a ValueError if runs of one arm differ in arguments other than seed and folders."""
    firsts: dict[str, tuple[str, dict[str, Any]]] = {}
    for run in experiment.runs:
        if "arguments" not in runs.get(run.name, {}):
            continue
        stated = {key: value for key, value in runs[run.name]["arguments"].items() if key not in ("seed", *FOLDERS)}
        other, expected = firsts.setdefault(run.arm, (run.name, stated))
        if stated != expected:
            wrong = sorted(key for key in {**stated, **expected} if stated.get(key) != expected.get(key))
            raise ValueError(
                f"{experiment.name}: {run.name} and {other} differ in {', '.join(wrong)}; repeat one of them"
            )


def compact_transfers(folder: Path, run: Run) -> dict[str, dict[str, Any]]:
    """The evaluations of a run under other recommenders; empty if there are none.

    Raises:
        ValueError: some are missing.
    """
    found = compact_evaluations(folder, "transfer-", TRANSFER_MEASURES) if run.transfers else {}
    missing = [f"{name}/{split}" for name in run.transfers for split in SHOP_SPLITS if f"{name}/{split}" not in found]
    if found and missing:
        raise ValueError(f"{folder} lacks the evaluations {', '.join(missing)}; run the experiment again to make them")
    return found


def compact_evaluations(folder: Path, prefix: str, measures: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The evaluations of a run folder whose files begin with `prefix`, by the rest of their names.

    A transfer's name is RECOMMENDER/SPLIT.
    """
    found = {}
    for path in sorted(folder.glob(f"{prefix}*.json")):
        name = path.stem.removeprefix(prefix)
        name = name.replace("-", "/", 1) if prefix == "transfer-" else name
        found[name] = compact_evaluation(path, measures)
    return found


def compact_evaluation(path: Path, measures: Sequence[str]) -> dict[str, Any]:
    """One evaluation: its id, a hash of its requests, and for each policy values and text summary.

    Raises:
        ValueError: a measure is missing.
    """
    saved = json.loads(path.read_text(encoding="utf-8"))
    kept: dict[str, Any] = {"id": saved["id"], "card_sha256": saved["card_sha256"], "version": saved["version"]}
    kept |= {"split": saved["split"], "n": len(saved["request_ids"]), "requests": sha(saved["request_ids"])}
    if "users" in saved:  # only which requests belong to the same user, not who
        codes = {user: code for code, user in enumerate(dict.fromkeys(saved["users"]))}
        kept["users"] = [codes[user] for user in saved["users"]]
    kept["policies"] = {}
    for policy in saved["policies"]:
        missing = [name for name in measures if name not in policy["requests"]]
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}; evaluate with the measures {', '.join(measures)}")
        values = {name: [short(value) for value in policy["requests"][name]] for name in measures}
        text = {name: short(value) for name, value in policy["text"].items() if value is not None}
        kept["policies"][policy["policy"]] = {"values": values, "text": text}
    return kept


def compact_references(folder: Path, references: References) -> dict[str, Any] | None:
    """The kept references, with the number of asked attributes; None if they are not finished."""
    paths = {split: folder / f"evaluation-{split}.json" for split in references.splits}
    if not all(path.is_file() for path in paths.values()):
        return None
    evaluations = {}
    for split, path in paths.items():
        saved = json.loads(path.read_text(encoding="utf-8"))
        evaluations[split] = compact_evaluation(path, references.measures)
        if saved["id"] in OWN_DATA:
            evaluations[split]["request_ids"] = saved["request_ids"]
        if "asked" in saved:
            evaluations[split]["asked"] = [short(value) for value in saved["asked"]]
    return {"references": references.name, "evaluations": evaluations}


def read_runs(path: Path) -> dict[str, dict[str, Any]]:
    """The runs of a kept file, each with its own values of the raw query; empty if there is no file."""
    if not path.is_file():
        return {}
    runs: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    for run in runs.values():
        for name, evaluation in run["evaluations"].items():
            raw = evaluation["policies"][RAW]
            if isinstance(raw, str):
                evaluation["policies"][RAW] = runs[raw]["evaluations"][name]["policies"][RAW]
    return runs


def share_raw(runs: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The runs, with the raw query's values replaced by the name of an earlier run if they are equal."""
    shared: dict[str, dict[str, Any]] = {}
    holders: dict[str, str] = {}
    for run, content in runs.items():
        evaluations = {}
        for name, evaluation in content["evaluations"].items():
            raw = evaluation["policies"][RAW]
            key = json.dumps([name, evaluation["requests"], raw], sort_keys=True)
            holder = holders.setdefault(key, run)
            policies = {RAW: raw if holder == run else holder, TRAINED: evaluation["policies"][TRAINED]}
            evaluations[name] = {**evaluation, "policies": policies}
        shared[run] = {**content, "evaluations": evaluations}
    return shared


def thin(curve: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """At most 60 points, each the mean of several steps, as columns; `step` and `val` are those of the last of them."""
    size = -(-len(curve) // POINTS) if curve else 1
    parts = [curve[start : start + size] for start in range(0, len(curve), size)]
    columns: dict[str, list[float | None]] = {"step": [part[-1].get("step", 0) for part in parts]}
    for name in COLUMNS:
        found = [[step[name] for step in part if step.get(name) is not None] for part in parts]
        if any(found):
            columns[name] = [
                None if not own else short(own[-1] if name == "val" else sum(own) / len(own)) for own in found
            ]
    return columns


def seconds_of(run_file: Mapping[str, Any]) -> float | None:
    """Duration of the training without evaluations; None if the curve does not say.

    A column `seconds` is a running total if it only grows, otherwise the time of a step; columns `seconds_...` are parts of a
    step.
    """
    totals = [step["seconds"] for step in run_file["curve"] if "seconds" in step]
    if len(totals) > 1 and all(first < second for first, second in pairwise(totals)):
        return round(totals[-1], 1)
    parts = [value for step in run_file["curve"] for name, value in step.items() if name.startswith("seconds")]
    return round(sum(parts), 1) if parts else None


def processor_seconds_of(run_file: Mapping[str, Any]) -> float | None:
    """Processor time of the training on all cores, including evaluations on val; None if the curve does not say."""
    found = [step["processor_seconds"] for step in run_file["curve"] if "processor_seconds" in step]
    return round(sum(found), 1) if found else None


def differences(command: Sequence[str], arguments: Mapping[str, Any]) -> list[str]:
    """Where the arguments of a run differ from those of a command; folders may be anywhere."""
    wrong = []
    for flag, values in flags(command).items():
        name = flag.removeprefix("--").replace("-", "_")
        if name.startswith("no_") and name not in arguments:
            name, values = name.removeprefix("no_"), ["False"]
        there = arguments.get(name)
        if values and values[0].startswith(MODELS):  # the folder may be anywhere, the model is what its name says
            values, there = [values[0].rpartition("/")[2]], re.split(r"[/\\]", str(there))[-1]
        folder = any(value.startswith("<") for value in values)
        if name not in arguments or not (folder or _same(values, there)):
            wrong.append(f"{flag} is {there!r}, not {' '.join(values) or 'given'}")
    return wrong


def flags(command: Sequence[str]) -> dict[str, list[str]]:
    """The values of each flag of a command."""
    found: dict[str, list[str]] = {}
    last: list[str] = []
    for part in command:
        if part.startswith("--"):
            last = found.setdefault(part, [])
        else:
            last.append(part)
    return found


def _same(values: Sequence[str], there: Any) -> bool:
    """Whether an argument matches a command line; texts with a folder to be filled in are ignored."""
    if isinstance(there, list):
        pairs = zip(values, map(str, there), strict=False)
        return len(values) == len(there) and all("<" in a or _same_text(a, b) for a, b in pairs)
    return _same_text(values[0] if values else "True", str(there))


def _same_text(first: str, second: str) -> bool:
    try:
        return float(first) == float(second)
    except ValueError:
        return first == second


def neutral(value: Any) -> Any:
    """Arguments in which every path out of the working folder has become `FOLDER/` and its last name."""
    if isinstance(value, Mapping):
        return {key: neutral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [neutral(item) for item in value]
    if isinstance(value, str):
        return _FOREIGN_PATH.sub(lambda found: "FOLDER/" + re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], value)
    return value


def sha(request_ids: Sequence[str]) -> str:
    """A short hash of requests and their order: two evaluations are paired if it is the same."""
    return hashlib.sha256("\n".join(request_ids).encode()).hexdigest()[:16]


def short(value: float) -> float | int:
    """The number with five digits, whole ones as such."""
    rounded = round(float(value), DIGITS)
    return int(rounded) if rounded == int(rounded) else rounded


def write_kept(path: Path, content: Any) -> str:
    """Writes JSON with one line for each list of numbers or names; returns the file's name."""
    with atomic_path(path) as temporary:
        temporary.write_text(_json(content, "") + "\n", encoding="utf-8")
    return path.name


def _json(value: Any, indent: str) -> str:
    if isinstance(value, Mapping) and value:
        inner = ",\n".join(f"{indent} {json.dumps(key)}: {_json(item, indent + ' ')}" for key, item in value.items())
        return f"{{\n{inner}\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        inner = ",\n".join(f"{indent} {_json(item, indent + ' ')}" for item in value)
        return f"[\n{inner}\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
