"""What a card may hold: its tables, at every import, and the settings in them, when it is registered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from rec_gym.tables import check_arguments, check_keys, checked, read_fields, unknown

TASKS = ("search", "next item")

# Settings of recommenders that name recommenders, and what they are where they are not given.
INNER: dict[str, dict[str, Any]] = {
    "hybrid": {"parts": ("bm25", "dense")},
    "rerank": {"first": "bm25"},
    "recording": {"recommender": "bm25"},
    "cached": {"recommender": "bm25"},
    "degraded": {"recommender": "bm25"},
}

# Settings of recommenders that name files, which need not be there yet.
FILES: dict[str, tuple[str, ...]] = {"recording": ("record", "replay")}

_Table = Mapping[str, Any]


@dataclass(frozen=True)
class _Card:
    """The keys of a card."""

    title: str
    summary: str
    loader: str
    licence: str
    env: Sequence[_Table]
    task: str = ""
    citation: str = ""
    homepage: str = ""
    splits: str = ""
    needs: str = ""
    catalog_sha256: str = ""
    options: _Table = field(default_factory=dict)
    sizes: _Table = field(default_factory=dict)
    recommenders: _Table = field(default_factory=dict)
    settings: _Table = field(default_factory=dict)
    protocols: _Table = field(default_factory=dict)
    variant: Sequence[_Table] = ()
    baselines: _Table | Sequence[_Table] = ()


@dataclass(frozen=True)
class _Env:
    """The keys of an `[[env]]` table beside the settings of a task."""

    id: str
    recommender: str | _Table
    summary: str = ""
    protocol: str = ""
    options: _Table = field(default_factory=dict)


@dataclass(frozen=True)
class _Protocol:
    cutoffs: Mapping[str, int]
    options: _Table = field(default_factory=dict)


@dataclass(frozen=True)
class _Variant:
    options: _Table
    recommenders: _Table


def check_tables(content: _Table, path: str) -> None:
    """Checks keys and types of a card's tables; nothing heavy is imported.

    Args:
        content: the parsed card.
        path: names the card in messages.

    Raises:
        ValueError: a key is unknown (near names are suggested) or missing, or a value is of the wrong type; the message
            names the file and the table.
    """
    card = read_fields(content, _Card, f"the card {path}")
    with _said_of(path):
        if card.task and card.task not in TASKS:
            raise ValueError(unknown("task", card.task, TASKS))
        if not card.env:
            raise ValueError("a card registers ids; add an [[env]] table with 'id' and 'recommender'")
        options = dict(card.options)
        for number, table in enumerate(card.env, 1):
            env = _read(table, _Env, _env_label(table, number))
            options |= env.options
            if env.protocol and env.protocol not in card.protocols:
                raise ValueError(f"{_env_label(table, number)}: {unknown('protocol', env.protocol, card.protocols)}")
        twice = _first_repeated(table["id"] for table in card.env)
        if twice is not None:
            raise ValueError(f"the id {twice!r} appears twice; give every [[env]] an id of its own")
        if card.needs and card.needs not in card.options:
            raise ValueError(f"'needs' names an option: {unknown('option', card.needs, card.options)}")
        _check_protocols(card.protocols)
        _check_recommender_tables(card.recommenders, "[recommenders")
        for variant in card.variant:
            read = read_fields(variant, _Variant, "a [[variant]]")
            check_keys(read.options, list(options), "options of a [[variant]]")
            _check_recommender_tables(read.recommenders, "recommenders of a [[variant]]: [recommenders")


def check_settings(content: _Table, path: str) -> None:
    """Checks the settings in a card's tables against what takes them: the task, the recommenders, the protocols.

    Code that a card names is not imported; it is checked when a task is made.

    Args:
        content: the parsed card, after `check_tables`.
        path: names the card in messages.

    Raises:
        ValueError: a setting is unknown (near names are suggested) or wrong; the message names the file and the table.
    """
    from rec_gym.loop.papers import PROTOCOLS
    from rec_gym.resolving import is_path

    own = [slot.name for slot in fields(_Env)]
    with _said_of(path):
        for name in content.get("protocols", {}):
            if not is_path(name):
                with _said_of(f"[protocols.{name}]"):
                    PROTOCOLS.find(name)
        _check_task(content.get("settings", {}), ["protocol"], "[settings]")
        for number, env in enumerate(content["env"], 1):
            _check_task(env, own, _env_label(env, number))
            with _said_of(_env_label(env, number)):
                check_recommender(env["recommender"])
        for name, table in content.get("recommenders", {}).items():
            with _said_of(f"[recommenders.{name}]"):
                check_recommender({"name": name, **table})
        for variant in content.get("variant", []):
            for name, table in variant["recommenders"].items():
                with _said_of("a [[variant]]"):
                    check_recommender({"name": name, **table})


def check_recommender(spec: str | _Table) -> None:
    """Checks a recommender that is given as data, and those within it; nothing is made, and custom code not imported.

    Raises:
        ValueError: its name or a setting is unknown (near names are suggested), or a setting is of the wrong type.
    """
    from rec_gym.recommenders import RECOMMENDERS, recommender_name
    from rec_gym.resolving import is_path

    name, settings = recommender_name(spec)
    if name not in RECOMMENDERS and is_path(name):
        return
    check_arguments(RECOMMENDERS.find(name), settings, f"recommender {name!r}", complete=False)
    for key in INNER.get(name, {}):
        inner = settings.get(key, ())
        for part in [inner] if isinstance(inner, str | Mapping) else inner:
            check_recommender(part)


def task_keywords() -> list[str]:
    """The settings of a task that an id, or a caller, may state."""
    import inspect

    from rec_gym.loop.task import Task

    hidden = ("self", "dataset", "recommender", "name", "origin")
    return [key for key in inspect.signature(Task.__init__).parameters if key not in hidden]


def _check_task(table: _Table, own: Sequence[str], what: str) -> None:
    """Checks the settings of a task in a table, which may have keys of its own."""
    from rec_gym.loop.actions import make_action
    from rec_gym.loop.candidates import make_candidates
    from rec_gym.loop.prompts import make_prompt
    from rec_gym.loop.rewards import make_reward
    from rec_gym.loop.task import Task
    from rec_gym.measures import Measure

    keywords = task_keywords()
    check_keys(table, [*own, *keywords], what)
    settings = {key: value for key, value in table.items() if key in keywords}
    with _said_of(what):
        check_arguments(Task, settings, "the task", complete=False)
        # A cut-off that comes from elsewhere replaces the measure's; a stand-in shows that there is one.
        cutoff = 1 if "cutoffs" in settings or table.get("protocol") else None
        for name, cut in settings.get("cutoffs", {}).items():
            checked(cut, int, f"{name} of cutoffs")
        if "reward" in settings:
            make_reward(settings["reward"], cutoff)
        for measure in settings.get("measures", ()):
            Measure.parse(measure)
        if "action" in settings:
            make_action(settings["action"])
        if "candidates" in settings:
            make_candidates(settings["candidates"])
        if "prompt" in settings:
            make_prompt(settings["prompt"])


def _check_protocols(protocols: _Table) -> None:
    for name, table in protocols.items():
        what = f"[protocols.{name}]"
        read = read_fields(checked(table, Mapping[str, Any], what), _Protocol, what)
        for split, cutoff in read.cutoffs.items():
            checked(cutoff, int, f"{split} of cutoffs of {what}")


def _check_recommender_tables(tables: _Table, where: str) -> None:
    for name, table in tables.items():
        checked(table, Mapping[str, Any], f"{where}.{name}]")
        if "name" in table:
            raise ValueError(f"{where}.{name}] has its name in its title; remove 'name' from the table")


def _read(table: _Table, kind: type[_Env], what: str) -> _Env:
    """The keys of a table that are its own; the others are settings of a task."""
    own = [slot.name for slot in fields(kind)]
    return read_fields({key: value for key, value in table.items() if key in own}, kind, what)


def _env_label(table: _Table, number: int) -> str:
    task_id = table.get("id")
    return f"[[env]] {task_id!r}" if isinstance(task_id, str) else f"[[env]] number {number}"


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


@contextmanager
def _said_of(what: str) -> Iterator[None]:
    """Puts what is checked before the message of an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
