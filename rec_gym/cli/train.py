"""`rec-gym train`: the small word policy on any id, with everything that could fail checked before the first step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rec_gym.cli.options import DataDir, Seed, Settings, TaskId
from rec_gym.overrides import overrides_of

if TYPE_CHECKING:
    from rich.console import Console

    from rec_gym.evaluation import Comparison
    from rec_gym.loop.task import Task
    from rec_gym.policies.base import Policy
    from rec_gym.policies.training import Training, Vocabulary

POLICY, RESULT = "policy.npz", "result.json"
_MEASURE = "ndcg@10"  # evaluated beside what the reward needs
_TRAINED = "trained"


def train(
    task_id: TaskId,
    steps: Annotated[int, typer.Option(min=1, help="Training steps: 64 requests with 16 completions each.")] = 600,
    vocabulary: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="Words that it may write: english (1,199 nouns from WordNet), catalog (the catalogue's own), or a text file "
            "with one word per line.",
        ),
    ] = "english",
    split: Annotated[str, typer.Option(help="The requests to train on.")] = "train",
    val: Annotated[str, typer.Option(help="The requests to evaluate on afterwards.")] = "val",
    output: Annotated[
        Path, typer.Option(metavar="DIR", help=f"Where {POLICY} and {RESULT} are saved; it holds neither yet.")
    ] = Path("runs/train"),
    seed: Seed = 0,
    data_dir: DataDir = None,
    settings: Settings = None,
) -> None:
    """Train a small word policy on an id with nothing but its reward, save it, and compare it to the raw request."""
    from rich.console import Console

    from rec_gym.evaluation import print_report
    from rec_gym.evaluation.report import evaluate_command
    from rec_gym.policies.learner import LearnerSettings
    from rec_gym.policies.training import print_curve, read_vocabulary, train_words

    console = Console(highlight=False)
    task = _trainable(task_id, split, overrides_of(data_dir, settings))
    held_out = _held_out(task, val)
    words = read_vocabulary(vocabulary, task)
    _check_output(output)
    _print_heading(console, task, held_out, words)
    training = train_words(task, words, steps, LearnerSettings(seed=seed), console)
    training.policy.save(output / POLICY)
    comparison = _compare(held_out, training, seed)
    _save(output / RESULT, task, words, steps, training, comparison)
    print_curve(training, console)
    print_report(comparison)
    splits = task.dataset.splits
    given = [word for pair in _kept_settings(settings) for word in ("--set", pair)]
    options = [*(["--data-dir", str(data_dir)] if data_dir else []), *given]
    policies = ["raw", f"words:{output / POLICY}"]
    command = evaluate_command(task_id, options, "test" if "test" in splits else val, policies)
    console.print(f"The policy is saved; this evaluates it:\n  {command}", markup=False, soft_wrap=True)


def _trainable(task_id: str, split: str, overrides: dict[str, Any]) -> Task:
    """The task to train on; where nothing else was asked for, completions that are a query become words to add to it.

    Completions that hold filters stay as they are.
    """
    from rec_gym.making import make_task
    from rec_gym.policies.training import check_trainable

    task = make_task(task_id, **{"split": split, **overrides})
    if "action" not in overrides and task.action.writes == "query" and not task.action.writes_filters:
        task = task.replace(action="append")
    check_trainable(task)
    return task


def _held_out(task: Task, split: str) -> Task:
    """The task on the requests that are evaluated, with all that will be measured."""
    from rec_gym.tables import unknown

    if split not in task.dataset.splits:
        more = "; name requests that are not trained on with --val"
        raise ValueError(
            f"{task.name} has no requests to evaluate on: {unknown('split', split, task.dataset.splits)}{more}"
        )
    if split == task.split or "all" in (split, task.split):
        raise ValueError(
            f"{split!r} would be both trained and evaluated on; choose another split with --val or --split"
        )
    return task.replace(split=split, measures=[*task.measures, _MEASURE])


def _check_output(folder: Path) -> None:
    """Makes the folder; what an earlier training saved there is never replaced."""
    there = [name for name in (POLICY, RESULT) if (folder / name).exists()]
    if there:
        raise ValueError(
            f"{folder} holds {' and '.join(there)} of an earlier training; choose another folder with --output"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _print_heading(console: Console, task: Task, held_out: Task, words: Vocabulary) -> None:
    from rec_gym.policies.filter_slots import slots_of

    how = "the words are the whole query" if task.action.name == "plain" else "the words are added to the request"
    if task.action.writes_filters:
        how += f", and filters may be set on {', '.join(dict.fromkeys(slot.column for slot in slots_of(task)))}"
    lines = [
        f"{task.name}: {len(task):,} requests of {task.split}, {len(held_out):,} of {held_out.split}",
        f"Reward: {task.reward.measure}{' and more' if task.reward.terms or task.reward.transforms else ''}; "
        f"action format {task.action.name}: {how}",
        f"Vocabulary: {len(words.words):,} {words.source}",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _compare(held_out: Task, training: Training, seed: int) -> Comparison:
    """The trained policy beside the raw request, which is what it asked before the training where it adds words."""
    from rec_gym.evaluation import compare, evaluate
    from rec_gym.policies import make_policy
    from rec_gym.policies.learner import SavedWords

    measures = list(dict.fromkeys([str(held_out.reward.measure), _MEASURE]))
    trained = SavedWords(held_out, training.policy) if training.policy.filters else training.policy
    policies: dict[str, Policy] = {"raw": make_policy("raw", held_out), _TRAINED: trained}
    evaluations = [evaluate(held_out, one, name=name, measures=measures, seed=seed) for name, one in policies.items()]
    return compare(evaluations, measures, seed=seed)


def _save(path: Path, task: Task, words: Vocabulary, steps: int, training: Training, comparison: Comparison) -> None:
    from rec_gym.cache import write_json
    from rec_gym.evaluation import as_json

    made = {
        "split": task.split,
        "steps": steps,
        "vocabulary": {"words": len(words.words), "source": words.source},
        "settings": asdict(training.policy.settings),
        "flat_groups": dict(zip(("start", "end"), training.flat_groups, strict=True)),
        "curve": training.curve,
    }
    write_json(path, as_json(comparison, {"training": made}))


def _kept_settings(settings: list[str] | None) -> list[str]:
    """The settings that an evaluation takes too; it names its own split."""
    return [text for text in settings or [] if text.partition("=")[0].strip() != "split"]
