"""From a card and what is set beside it to a task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rec_gym.card_checks import FILES, INNER, task_keywords
from rec_gym.cards import Card, card_of, find_id
from rec_gym.resolving import absolute, located
from rec_gym.tables import unknown

if TYPE_CHECKING:
    from rec_gym.dataset import Dataset
    from rec_gym.datasets.store import Recipe
    from rec_gym.loop.settings import TaskSettings
    from rec_gym.loop.task import Task
    from rec_gym.recommenders.base import Recommender


def make_task(task_id: str | TaskSettings, *, card: str | None = None, **overrides: Any) -> Task:
    """Makes the task of an id; data that are not there yet are fetched, converted and indexed first.

    A card, and a recommender or encoder that is named as `package.module:Name` or `FILE.py:Name`, is code that is
    imported, as with any plugin. Take cards, tables and Gymnasium's spec JSON only from where you would take code.

    Args:
        task_id: a registered id; `card.toml`, `card.toml:ID` or `module:ID` for a custom one (see `find_id`); or the
            settings of a task, which is rebuilt.
        card: a TOML file that registers the id, should it not be registered yet; see `register_card`.
        overrides: settings of `Task` (`split`, `reward`, `action`, `turns`, ...), `recommender` (a name, or a table
            `{name = ..., settings}`), `protocol`, and the options of the card's loader (`data_dir`, ...). With the
            settings of a task, those of `Task`.

    Raises:
        ValueError: an unknown id, or a wrong setting; or settings that hold objects, so that nothing can be rebuilt.
        TypeError: an unknown keyword. These messages suggest near names.
        FetchError: the data have to be fetched and cannot be; the message says how to supply them.
    """
    from rec_gym.datasets.store import open_dataset
    from rec_gym.loop.settings import Origin, TaskSettings
    from rec_gym.loop.task import Task

    if isinstance(task_id, TaskSettings):
        task = _rebuild(task_id)
        return task.replace(**overrides) if overrides else task
    task_id = find_id(task_id, card)
    chosen = card_of(task_id)
    env = chosen.env(task_id)
    options, given, protocol = _sorted_out(chosen, env, overrides)
    defaults = {**chosen.content.get("settings", {}), **env}
    for key in ("id", "summary", "options", "protocol"):
        defaults.pop(key, None)
    loader = chosen.content["loader"]
    dataset = open_dataset(loader, options)
    orders = {**defaults, **given}.get("candidates") is not None
    stated = {**defaults, **_protocol_settings(protocol, dataset.is_history, orders)}
    if "reward" in given:
        stated.pop("cutoffs", None)  # a reward that the caller names keeps the cut-off that stands in it
    settings = {**stated, **given, **_candidates(stated, given)}
    name, recommender_options = _recommender(chosen, settings.pop("recommender"), options)
    written = {"path": chosen.path, "sha256": chosen.hash, "text": chosen.text}
    ranks = located({"name": name, **recommender_options})
    origin = Origin(absolute(loader), options, ranks, protocol.get("name", ""), written)
    return Task(dataset, _fitted(ranks, dataset), name=task_id, origin=origin, **settings)


def _rebuild(settings: TaskSettings) -> Task:
    """The task of settings that were saved."""
    from rec_gym.datasets.store import open_dataset
    from rec_gym.loop.settings import Origin
    from rec_gym.loop.task import Task

    objects = settings.objects()
    if objects:
        stated = "; ".join(f"{where} was {what}" for where, what in objects.items())
        raise ValueError(f"these settings hold objects, which are no data, so the task cannot be rebuilt: {stated}")
    dataset = open_dataset(settings.loader, settings.options)
    origin = Origin(settings.loader, settings.options, settings.recommender, settings.protocol, settings.card)
    return Task(dataset, _fitted(settings.recommender, dataset), origin=origin, **settings.arguments())


def _fitted(spec: Mapping[str, Any], dataset: Dataset) -> Recommender:
    from rec_gym.recommenders import make_recommender, recommender_name

    name, options = recommender_name(spec)
    return make_recommender(name, options, dataset.catalog, dataset.train_histories)


def recipe_of_task(task_id: str, *, card: str | None = None, **overrides: Any) -> Recipe:
    """What the dataset of `make_task(task_id, **overrides)` is made of; nothing is fetched or made.

    Raises:
        ValueError, TypeError: as `make_task`; also where a folder with the data has to be named.
    """
    from rec_gym.datasets.store import recipe_of

    task_id = find_id(task_id, card)
    chosen = card_of(task_id)
    options, _, _ = _sorted_out(chosen, chosen.env(task_id), overrides)
    return recipe_of(chosen.content["loader"], options)


def push_catalog(task_id: str, *, card: str | None = None, **overrides: Any) -> tuple[Dataset, Recommender]:
    """Writes the catalogue of `make_task(task_id, **overrides)` to the search engine of its recommender.

    Args:
        task_id: as for `make_task`.
        card: as for `make_task`.
        overrides: as for `make_task`; `recommender` names the engine, with the settings that the task will use.

    Returns:
        The dataset, and the recommender, which is not fitted.

    Raises:
        ValueError: the recommender has no `push`; or as `make_task`.
        RecommenderError: the engine failed.
    """
    from rec_gym.datasets.store import open_dataset
    from rec_gym.recommenders import RECOMMENDERS, new_recommender

    task_id = find_id(task_id, card)
    chosen = card_of(task_id)
    env = chosen.env(task_id)
    options, given, _ = _sorted_out(chosen, env, overrides)
    stated = {**chosen.content.get("settings", {}), **env, **given}
    name, settings = _recommender(chosen, stated["recommender"], options)
    recommender = new_recommender(name, settings)
    push = getattr(recommender, "push", None)
    if push is None:
        able = [known for known, engine in RECOMMENDERS.items() if hasattr(engine, "push")]
        raise ValueError(
            f"the recommender {name!r} is not a search engine that a catalogue can be written to; set recommender= to one of: "
            f"{', '.join(able)}"
        )
    dataset = open_dataset(chosen.content["loader"], options)
    push(dataset.catalog)
    return dataset, recommender


def _sorted_out(
    card: Card, env: Mapping[str, Any], overrides: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The loader's options, the settings that were given for the task, and the protocol."""
    options = card.options_of(env["id"])
    _check_keywords(env["id"], overrides, options)
    given = {key: value for key, value in overrides.items() if key not in options}
    stated = env.get("protocol", card.content.get("settings", {}).get("protocol"))
    protocol = _protocol(card, given.pop("protocol", stated))
    options |= protocol.get("options", {}) | {key: value for key, value in overrides.items() if key in options}
    return _located(card, options), given, protocol


def _check_keywords(task_id: str, overrides: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    known = [*task_keywords(), "recommender", "protocol", *options]
    for key in overrides:
        if key not in known:
            raise TypeError(f"{task_id} has no such keyword: {unknown('keyword', key, known)}")


def _protocol(card: Card, name: str | None) -> dict[str, Any]:
    """The card's table for a protocol, with its name; empty for none."""
    protocols = card.content.get("protocols", {})
    if name is not None and name not in protocols:
        raise ValueError(f"{card.path} has no such protocol: {unknown('protocol', name, protocols)}")
    return {} if name is None else {"name": name, **protocols[name]}


def _candidates(stated: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the candidates; the card's lie under those that were given."""
    over, under = given.get("candidates"), stated.get("candidates")
    both = isinstance(over, Mapping) and isinstance(under, Mapping)
    return {"candidates": {**under, **over}} if both else {}  # type: ignore[dict-item]


def _protocol_settings(protocol: dict[str, Any], is_history: bool, orders: bool) -> dict[str, Any]:
    """What a protocol sets."""
    from rec_gym.loop.papers import PROTOCOLS

    if not protocol:
        return {}
    return {"cutoffs": protocol["cutoffs"], **PROTOCOLS.find(protocol["name"])(is_history, orders)}


def _located(card: Card, options: dict[str, Any]) -> dict[str, Any]:
    """Options with the data folder as an absolute path, where one is named."""
    if not options.get("data_dir"):
        return options
    if not isinstance(options["data_dir"], str | os.PathLike):
        raise ValueError(f"data_dir is the path of a folder, not {options['data_dir']!r}")
    folder = Path(options["data_dir"]).expanduser()
    base = Path(card.path).parent if options["data_dir"] == card.options["data_dir"] else Path.cwd()
    return options | {"data_dir": str(folder if folder.is_absolute() else (base / folder).resolve())}


def _recommender(card: Card, spec: str | Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings; the card's settings for that recommender lie under those that were given.

    A `[[variant]]` of the card holds settings of recommenders for certain options, such as another language's stemmer.
    The same goes for recommenders within one: the `parts` of a hybrid, the `first` stage of a re-ranker, what is
    recorded, cached or degraded.
    """
    from rec_gym.recommenders import recommender_name

    def complete(inner: Any) -> Any:
        if not isinstance(inner, str | Mapping):
            return inner  # an object
        name, settings = _recommender(card, inner, options)
        return {"name": name, **settings}

    name, given = recommender_name(spec)
    settings = dict(card.content.get("recommenders", {}).get(name, {}))
    for variant in card.content.get("variant", []):
        if all(options.get(key) == value for key, value in variant["options"].items()):
            settings |= variant["recommenders"].get(name, {})
    settings |= given
    for key, default in INNER.get(name, {}).items():
        inner = settings.get(key, default)
        settings[key] = [complete(part) for part in inner] if isinstance(inner, list | tuple) else complete(inner)
    for key in FILES.get(name, ()):
        if settings.get(key) is not None:  # the task may be rebuilt from its settings in another folder
            settings[key] = str(Path(settings[key]).expanduser().absolute())
    return name, settings
