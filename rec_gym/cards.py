"""Cards: TOML files that declare a dataset, its recommenders and the registered ids.

This file is read at `import rec_gym`; it loads nothing heavy until a task is made.
"""

from __future__ import annotations

import hashlib
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module, metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym

from rec_gym.card_checks import check_settings, check_tables
from rec_gym.resolving import is_path
from rec_gym.tables import unknown

ENTRY_POINTS = "rec_gym.cards"

_registered: dict[str, Card] = {}


@dataclass(frozen=True)
class Card:
    """One TOML file.

    Attributes:
        path: where it stands, for messages and relative folders.
        text: its content.
        is_packaged: whether it comes with this package, so that every process knows its ids.
    """

    path: str
    text: str
    is_packaged: bool = False

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
        return content if self.is_packaged else _anchored(content, Path(self.path).parent)

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


def _anchored(value: Any, folder: Path) -> Any:
    """The same tables, with the files of code beside a card (`FILE.py:Name`) as absolute paths."""
    if isinstance(value, Mapping):
        return {key: _anchored(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_anchored(inner, folder) for inner in value]
    if isinstance(value, str) and ".py:" in value and is_path(value) and (folder / value.rpartition(":")[0]).is_file():
        return str(folder / value)
    return value


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


def find_id(text: str, card: str | Path | None = None) -> str:
    """The registered id that a text names; a card that it names is registered first.

    Args:
        text: a registered id; `card.toml` where that registers one id; `card.toml:ID`; or `module:ID`, where importing
            the module registers the card.
        card: a TOML file that registers the id, should it not be registered yet.

    Raises:
        FileNotFoundError: there is no such card.
        ValueError: the id is unknown (near names are suggested), or the card registers several and none is named.
    """
    if card is not None and text not in _registered:
        register_card(card)
    if text in _registered:
        return text
    source, colon, task_id = text.rpartition(":")
    if text.endswith(".toml"):
        ids = register_card(text)
        if len(ids) > 1:
            raise ValueError(f"{text} registers several ids; name one as {text}:ID, choosing from: {', '.join(ids)}")
        return ids[0]
    if colon and source.endswith(".toml"):
        ids = register_card(source)
        if task_id not in ids:
            raise ValueError(f"{source} has no such id: {unknown('id', task_id, ids)}")
        return task_id
    if colon:
        import_module(source)
        card_of(task_id)
        return task_id
    card_of(text)
    return text


def unregister_card(path: str | Path) -> list[str]:
    """Forgets a custom card, such as one whose id another card should take, as in a notebook.

    Returns:
        The ids that were registered by it.

    Raises:
        ValueError: no card of that path is registered, or it comes with the package.
    """
    name = str(Path(path).resolve())
    ids = [task_id for task_id, card in _registered.items() if card.path == name and not card.is_packaged]
    if not ids:
        custom = sorted({card.path for card in _registered.values() if not card.is_packaged})
        raise ValueError(f"no card {name} is registered; custom cards: {', '.join(custom) or 'none'}")
    for task_id in ids:
        del _registered[task_id]
        gym.registry.pop(task_id, None)
    return ids


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
    path = Path(path).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no card {path}; name a TOML file")
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
            _register(Card(file.name, file.read_text(encoding="utf-8"), is_packaged=True), {})


def register_installed_cards() -> None:
    """Registers the cards of other installed packages: those that the entry-point group `rec_gym.cards` names.

    An entry point `package` stands for every TOML file in that package's folder, and `package:name` for `name.toml`. The
    packages are not imported. One that is broken is a warning, and the others are registered.
    """
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            package, _, name = entry.value.partition(":")
            for file in _toml_files(package.strip(), name.strip()):
                register_card(file)
        except Exception as error:  # a broken package must not break the import of this one
            warnings.warn(
                f"the cards of the entry point {entry.name} = {entry.value} are left out: {error}", stacklevel=2
            )


def _toml_files(package: str, name: str) -> list[Path]:
    spec = find_spec(package)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob(f"{name or '*'}.toml"))]
    if not files:
        raise ValueError(f"the package {package!r} holds no {name or '*'}.toml")
    return files


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
