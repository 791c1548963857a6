"""The checks of a loader and of a card."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from rec_gym.cards import card_of, register_card
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset
from rec_gym.datasets.store import LOADER
from rec_gym.making import make_task
from rec_gym.resolving import check, resolve
from rec_gym.testing.base import attempt, require

_SCORED = 16


def check_loader(loader: str | Callable[..., Dataset], **options: object) -> None:
    """Checks that a loader keeps its promises.

    * It is annotated to return a `Dataset`, and returns one; called again, it returns the same.
    * There is a train split and another one to evaluate on.
    * No request (text, history and filters) is in two splits, but for named shifts, which may repeat those of the test split.
    * The dataset is the same after it was saved and opened.

    Args:
        loader: `package.module:function`, `FILE.py:function`, or the function.
        options: what it is called with.

    Raises:
        AssertionError: it breaks a promise; the message says which.
        ValueError: the path names no loader.
    """
    function = resolve(loader, LOADER) if isinstance(loader, str) else loader
    check(function, loader if isinstance(loader, str) else repr(loader), LOADER)
    dataset = attempt("the loader", function, **options)
    require(isinstance(dataset, Dataset), f"the loader must return a Dataset, not {type(dataset).__name__}")
    check_splits(dataset)
    again = attempt("the loader, called again,", function, **options)
    require(
        _same(dataset, again), "the loader returned two different datasets for the same options; fix its seed and order"
    )
    with tempfile.TemporaryDirectory() as folder:
        attempt("saving the dataset", dataset.save, Path(folder))
        opened = Dataset.open(Path(folder))
        require(_same(dataset, opened), "the dataset is another one after it was saved and opened")
        del opened  # its files are mapped, and cannot be removed everywhere before


def check_splits(dataset: Dataset) -> None:
    """Checks that a dataset has requests to train on and others to evaluate on.

    Raises:
        AssertionError: a split is missing, or a request is in two of them.
    """
    splits = dataset.splits
    require(TRAIN in splits, f"there is no train split; the splits are: {', '.join(splits)}")
    require(len(splits) > 1, "all requests are in train; give some of them the split 'test'")
    for (first, second), count in shared_requests(dataset).items():
        raise AssertionError(
            f"{count} requests of {second!r} are in {first!r} too (same text, history and filters): what is evaluated was "
            "trained on; remove them from one of the two"
        )


def shared_requests(dataset: Dataset) -> dict[tuple[str, str], int]:
    """How many requests of a split have the text, history and filters of one of an earlier split, by pairs of splits.

    A named shift is compared with train only: it may ask again what val and test ask.
    """
    texts = [""] * len(dataset) if dataset.is_history else dataset.column("text").tolist()
    asked: dict[str, Counter[tuple[str, bytes, str]]] = {split: Counter() for split in dataset.splits}
    columns = (dataset.column(name) for name in ("filters", "split"))
    for text, history, filters, split in zip(texts, dataset.history, *columns, strict=True):
        asked[split][" ".join(text.split()), history.tobytes(), filters] += 1
    pairs = [pair for pair in combinations(dataset.splits, 2) if pair[0] == TRAIN or pair[1] in (VAL, TEST)]
    counts = {pair: sum(n for key, n in asked[pair[1]].items() if key in asked[pair[0]]) for pair in pairs}
    return {pair: count for pair, count in counts.items() if count}


def check_card(path: str | Path) -> None:
    """Checks that a card can be used, and registers it in this process.

    * Its keys, types and settings are right (`register_card`).
    * Its loader is one, and its data can be opened; the data of a card without them are fetched.
    * Its splits hold no request twice (see `check_loader`).
    * Every id makes a task, whose rows can be scored, with rewards within its range.

    Args:
        path: the TOML file.

    Raises:
        AssertionError: it breaks a promise; the message says which, and for which id.
        ValueError: a key, type or setting is wrong.
        FileNotFoundError: there is no such file.
    """
    for task_id in register_card(path):
        resolve(card_of(task_id).content["loader"], LOADER)
        task = attempt(f"making the task of {task_id!r}", make_task, task_id)
        check_splits(task.dataset)
        names = task.request_ids[:_SCORED]
        rows = list(task.rows_of(task.start(names)))
        texts = [task.action.compose(row["text"] or "a", row["text"]) for row in rows]
        outcomes = attempt(f"scoring {task_id!r}", task.score, names, texts)
        low, high = task.reward.range
        inside = ((outcomes.rewards >= low) & (outcomes.rewards <= high)).all()
        require(inside, f"rewards of {task_id!r} lie outside of [{low}, {high}]")


def _same(one: Dataset, other: Dataset) -> bool:
    return (
        one.catalog.content_hash == other.catalog.content_hash
        and one.table.equals(other.table)
        and all(
            [row.tolist() for row in getattr(one, name)] == [row.tolist() for row in getattr(other, name)]
            for name in ("judged_items", "judged_gains", "history", "ideal_gains")
        )
    )
