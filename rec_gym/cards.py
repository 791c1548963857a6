"""Cards: TOML files that declare a dataset, its recommenders and the registered ids.

This file is read at `import rec_gym`; it loads nothing heavy until a task is made.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rec_gym.card_checks import INNER, check_settings, check_tables, task_keywords
from rec_gym.tables import unknown

if TYPE_CHECKING:
    from rec_gym.datasets.store import Recipe
    from rec_gym.loop.task import Task

_registered: dict[str, Card] = {}


@dataclass(frozen=True)
class Card:
    """One TOML file.

    Attributes:
        path: where it stands, for messages and relative folders.
        text: its content.
    """

    path: str
    text: str

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed file.

        Raises:
            ValueError: it is not TOML, a key is unknown or missing, or a value is of the wrong type.
        """
        try:
            content = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{self.path} is not valid TOML: {error}") from error
        except RecursionError as error:
            raise ValueError(f"{self.path} is nested too deeply; a card has few levels of tables") from error
        check_tables(content, self.path)
        return content

    @property
    def hash(self) -> str:
        """SHA-256 of the file; a saved result holds it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def ids(self) -> list[str]:
        """The ids that the card registers."""
        return [env["id"] for env in self.content["env"]]

    def env(self, task_id: str) -> dict[str, Any]:
        """The `[[env]]` table of an id."""
        return next(env for env in self.content["env"] if env["id"] == task_id)

    @property
    def options(self) -> dict[str, Any]:
        """The loader's options and their defaults; `data_dir = ""` is given by the caller, or the data are fetched."""
        return dict(self.content.get("options", {}))

    def options_of(self, task_id: str) -> dict[str, Any]:
        """The loader's options for one of the ids."""
        return {**self.options, **self.env(task_id).get("options", {})}

    @property
    def embedded(self) -> bool:
        """Whether the data are at hand: they come with the package, or the card names their folder.

        A card whose loader takes no folder says with `needs` which option the caller has to give.
        """
        return self.options.get("data_dir") != "" and not self.content.get("needs")

    def is_fetched(self, task_id: str) -> bool:
        """Whether the data of an id are fetched from their publisher on first use."""
        from rec_gym.datasets.store import sources_of

        return not self.embedded and bool(sources_of(self.content["loader"], self.options_of(task_id)))


def cards() -> dict[str, Card]:
    """The card of every registered id."""
    return dict(_registered)


def card_of(task_id: str) -> Card:
    """The card that registers an id.

    Raises:
        ValueError: no card does; the message suggests near ids.
    """
    if task_id not in _registered:
        raise ValueError(unknown("id", task_id, sorted(_registered), more="`rec-gym list`"))
    return _registered[task_id]


def register_card(path: str | Path) -> list[str]:
    """Registers a custom card with Gymnasium.

    A card is code: it names a loader, and may name recommenders, that are imported and called when a task is made, as
    with any plugin. Register only cards that you trust. Names, types and settings of all tables are checked here, and
    nothing that the card names is imported yet.

    Args:
        path: the TOML file; a relative `data_dir` in it counts from the file's folder.

    Returns:
        The ids that are registered now.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the card is not right (the message names the table, and suggests near names), or an id is taken by
            another card.
    """
    path = Path(path).resolve()
    try:
        card = Card(str(path), path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8, as TOML has to be: {error}") from error
    check_settings(card.content, card.path)
    return _register(card, {"card": str(path)})


def register_packaged_cards() -> None:
    """Registers every card that is installed with the package."""
    for file in sorted(resources.files("rec_gym.envs").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            _register(Card(file.name, file.read_text(encoding="utf-8")), {})


def make_task(task_id: str, *, card: str | None = None, **overrides: Any) -> Task:
    """Makes the task of a registered id; data that are not there yet are fetched, converted and indexed first.

    A card, and a recommender or encoder that is named as `package.module:Name` or `FILE.py:Name`, is code that is
    imported, as with any plugin. Take cards, tables and Gymnasium's spec JSON only from where you would take code.

    Args:
        task_id: a registered id.
        card: a TOML file that registers the id, should it not be registered yet; see `register_card`.
        overrides: settings of `Task` (`split`, `reward`, `action`, `turns`, ...), `recommender` (a name, or a table
            `{name = ..., settings}`), `protocol`, and the options of the card's loader (`data_dir`, ...).

    Raises:
        ValueError: an unknown id, or a wrong setting.
        TypeError: an unknown keyword. These messages suggest near names.
        FetchError: the data have to be fetched and cannot be; the message says how to supply them.
    """
    from rec_gym.datasets.store import open_dataset
    from rec_gym.loop.task import Task
    from rec_gym.recommenders import make_recommender

    if card is not None and task_id not in _registered:
        register_card(card)
    chosen = card_of(task_id)
    env = chosen.env(task_id)
    options, given, protocol = _sorted_out(chosen, env, overrides)
    defaults = {**chosen.content.get("settings", {}), **env}
    for key in ("id", "summary", "options", "protocol"):
        defaults.pop(key, None)
    dataset = open_dataset(chosen.content["loader"], options)
    orders = {**defaults, **given}.get("candidates") is not None
    stated = {**defaults, **_protocol_settings(protocol, dataset.is_history, orders)}
    if "reward" in given:
        stated.pop("cutoffs", None)  # a reward that the caller names keeps the cut-off that stands in it
    settings = {**stated, **given, **_candidates(stated, given)}
    name, recommender_options = _recommender(chosen, settings.pop("recommender"), options)
    recommender = make_recommender(name, recommender_options, dataset.catalog, dataset.train_histories)
    return Task(dataset, recommender, name=task_id, **settings)


def recipe_of_task(task_id: str, **overrides: Any) -> Recipe:
    """What the dataset of `make_task(task_id, **overrides)` is made of; nothing is fetched or made.

    Raises:
        ValueError, TypeError: as `make_task`; also where a folder with the data has to be named.
    """
    from rec_gym.datasets.store import recipe_of

    chosen = card_of(task_id)
    options, _, _ = _sorted_out(chosen, chosen.env(task_id), overrides)
    return recipe_of(chosen.content["loader"], options)


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


def _register(card: Card, kwargs: Mapping[str, str]) -> list[str]:
    for task_id in card.ids:  # all are checked before any is registered
        known = _registered.get(task_id)
        if known is not None and known.path != card.path:
            raise ValueError(f"{card.path}: the id {task_id!r} is registered by {known.path}; choose another id")
        try:
            gym.envs.registration.parse_env_id(task_id)
        except gym.error.Error as error:
            raise ValueError(f"{card.path}: {task_id!r} is not an id such as 'MyShop-BM25-v0': {error}") from error
    for task_id in card.ids:
        if task_id in gym.registry:
            del gym.registry[task_id]  # the same file, read again
        gym.register(
            id=task_id,
            entry_point="rec_gym.env:make_env",
            vector_entry_point="rec_gym.vector_env:make_vector_env",
            kwargs={"task_id": task_id, **kwargs},
        )
        _registered[task_id] = card
    return card.ids


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
    from rec_gym.loop.protocols import PROTOCOLS

    if not protocol:
        return {}
    return {"cutoffs": protocol["cutoffs"], **PROTOCOLS[protocol["name"]](is_history, orders)}


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
    The same goes for recommenders within one: the `parts` of a hybrid, the `first` stage of a re-ranker.
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
        settings[key] = complete(inner) if key == "first" else [complete(part) for part in inner]
    return name, settings
