"""`rec-gym info`: the card of an id, and the sizes of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from rec_gym.cards import Card, card_of
from rec_gym.cli.options import DataDir, Settings, TaskId
from rec_gym.making import make_task, recipe_of_task
from rec_gym.overrides import overrides_of

if TYPE_CHECKING:
    from rec_gym.loop.task import Task


def info(task_id: TaskId, data_dir: DataDir = None, settings: Settings = None) -> None:
    """Show the card of an id, and the sizes of its data.

    The card says: task, data, licence, citation, reward, recommender, options and stated baselines. Sizes, splits, measures
    and policies follow where the data are at hand.
    """
    from rec_gym.datasets.store import get_data

    overrides = overrides_of(data_dir, settings)
    card = card_of(task_id)
    content, env = card.content, card.env(task_id)
    _line("id", task_id)
    _line("data", content["title"])
    _line("task", f"{content.get('task', '')}: {env.get('summary', '')}".strip(": "))
    _line("summary", content["summary"])
    for key in ("licence", "citation", "homepage"):
        _line(key, content.get(key))
    if not card.embedded:
        _line("to get it", get_data(content["loader"]))
    _line("card", f"SHA-256 {card.hash}")
    _line("reward", reward_of(card, env))
    name = recommender_of(env)
    _line("recommender", f"{name}{_bracketed(content.get('recommenders', {}).get(name))}")
    _line("action", env.get("action", content.get("settings", {}).get("action", "plain")))
    _line("candidates", _flat(env.get("candidates", {})))
    _line("turns", env.get("turns", 1))
    _line("options", _flat({**card.options, **env.get("options", {})}))
    _line("protocols", ", ".join(content.get("protocols", {})))
    _line("stated sizes", _flat(content.get("sizes", {})))
    _print_baselines(content.get("baselines"))
    missing = _missing(card, task_id, overrides)
    if missing:
        _line("sizes", missing)
    else:
        _print_sizes(task_id, overrides)


def _missing(card: Card, task_id: str, overrides: Mapping[str, Any]) -> str:
    """Why the data are not counted: they would have to be named or fetched first; empty if they are at hand."""
    from rec_gym.datasets.store import sources_of
    from rec_gym.fetching.sources import total_size

    if card.embedded or overrides.get("data_dir"):
        return ""
    known = card.options_of(task_id)
    given = {key: value for key, value in overrides.items() if key in known}
    sources = sources_of(card.content["loader"], known | given)
    if not sources:
        return "pass --data-dir DIR to count the data"
    if recipe_of_task(task_id, **overrides).is_prepared:
        return ""
    return f"not here yet; fetched on first use, or by `rec-gym prepare {task_id}` ({total_size(sources)})"


def _print_sizes(task_id: str, overrides: Mapping[str, Any]) -> None:
    task = make_task(task_id, **overrides)
    dataset = task.dataset
    _line("items", f"{len(dataset.catalog):,} ({', '.join(dataset.catalog.table.column_names)})")
    _line("splits", ", ".join(f"{name} {len(dataset.rows(name)):,}" for name in dataset.splits))
    judged = dataset.relevant.lengths
    _line("relevant items", f"{judged.mean():.2f} per request, at most {judged.max()}")
    _line("dropped", _flat(dataset.notes))
    _line("measures", ", ".join(f"{m} (lower is better)" if m.lower_is_better else str(m) for m in task.measures))
    low, high = task.reward_range
    _line("reward range", f"{low:g} to {high:g}")
    _line("query language", task.recommender.query_language)
    _line("constraints", "yes: constraints@k is known" if dataset.has_constraints else None)
    _line("filters", "yes: every ranking is filtered as its request says" if dataset.has_filters else None)
    _line("policies", ", ".join(_policies(task)))


def _policies(task: Task) -> list[str]:
    """The baselines that the task fits and that take no argument."""
    from rec_gym.policies.registry import POLICIES, fitting_policies

    return [name for name in fitting_policies(task) if not POLICIES[name].argument.startswith(":")]


def _print_baselines(baselines: Any) -> None:
    """The figures that the card states, whatever their form."""
    if isinstance(baselines, list):
        for entry in baselines:
            _line("baseline", _flat(entry) if isinstance(entry, Mapping) else entry)
    elif isinstance(baselines, Mapping):
        for name, entry in baselines.items():
            _line("baseline", f"{name}: {_flat(entry) if isinstance(entry, Mapping) else entry}")


def _line(label: str, value: object) -> None:
    """One labelled line; nothing for what the card does not say."""
    if value not in (None, ""):
        typer.echo(f"{label + ':':16}{' '.join(str(value).split())}")


def _flat(table: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value!r}" for key, value in _leaves(table)
    )


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _bracketed(table: Mapping[str, Any] | None) -> str:
    return f" ({_flat(table)})" if table else ""


def recommender_of(env: Mapping[str, Any]) -> str:
    """The name of the recommender in the `[[env]]` table of an id."""
    spec = env["recommender"]
    return spec if isinstance(spec, str) else str(spec.get("name", ""))


def reward_of(card: Card, env: Mapping[str, Any]) -> str:
    """The reward of an id: its measure, and the settings around it."""
    reward = env.get("reward", card.content.get("settings", {}).get("reward", "ndcg@100"))
    return reward if isinstance(reward, str) else f"{reward.get('measure')} ({_flat(reward)})"
