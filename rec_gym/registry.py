"""What can be extended: for each kind a registry of names, and beside it `package.module:Name` and `FILE.py:Name`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from rec_gym.resolving import FORM, Interface, check, is_path, path_of, resolve
from rec_gym.tables import named, read_fields, unknown

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Registry(Mapping[str, T], Generic[T]):
    """Everything of one kind that has a name, such as all action formats.

    Args:
        interface: what an entry has to be; `what` names the kind, such as `"an action format"`.
        entries: the built-in ones. A text is the path of an entry, which is imported when it is first asked for.
        more: what may be given beside a name, for messages.
    """

    def __init__(
        self, interface: Interface, entries: Mapping[str, T | str], more: str = f"{FORM} for custom code"
    ) -> None:
        self.interface, self._more = interface, more
        self._entries: dict[str, T | str] = dict(entries)
        self._places: dict[str, tuple[str, str] | None] = {}  # where what was registered is defined

    def __getitem__(self, name: str) -> T:
        entry = self._entries[name]
        return resolve(entry, self.interface) if isinstance(entry, str) else entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def kind(self) -> str:
        """The noun of the kind, without its article."""
        return self.interface.what.partition(" ")[2]

    def register(self, name: str, entry: T, source: object = None) -> None:
        """Gives a name to an entry in this process.

        A class or function that has been defined again, as when a notebook's cell is run again, replaces the older one;
        another object may be registered again as long as it is equal.

        Args:
            name: lower-case letters, digits, `-` and `_`, beginning with a letter.
            entry: the entry.
            source: the class or function that it was made of; by default the entry is one itself.

        Raises:
            ValueError: the name is taken or not of the right form, or the entry is something else than the kind.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"the name of {self.interface.what} is lower-case letters, digits, '-' and '_', beginning with a letter, "
                f"not {name!r}"
            )
        check(entry, name, self.interface)
        place = _place(entry if source is None else source)
        is_same = name in self and (self._entries[name] == entry or (place and self._places.get(name) == place))
        if name in self and not is_same:
            raise ValueError(f"the name {name!r} is taken by another {self.kind}; choose a different one")
        self._entries[name], self._places[name] = entry, place

    def find(self, name: str) -> T:
        """The entry of a name or of a path; the code that a path names is imported.

        Raises:
            ValueError: the name is unknown (near names are suggested), or the path names something else than the kind.
            FileNotFoundError: the path names a file that is missing.
        """
        if name in self:
            return self[name]
        if not is_path(name):
            raise ValueError(unknown(self.kind, name, self, more=self._more))
        return resolve(name, self.interface)

    def name_of(self, entry: object) -> str:
        """The name by which `find` gives an entry, or else the path to it.

        Raises:
            ValueError: it has neither a name nor a path.
        """
        for name, known in self._entries.items():
            if known is entry or (isinstance(known, str) and known == _path_or_none(entry)):
                return name
        path = _path_or_none(entry)
        if path is None:
            raise ValueError(
                f"{entry!r} is not at the top level of a module; register it by a name as {self.interface.what}"
            )
        return path

    def make(self, spec: object, read: Callable[[Any, dict[str, Any], str], Any] | None = None) -> Any:
        """An object from its class's name or path, or from a table with `name` and the options of that class.

        Args:
            spec: such as `"answer"` or `{"name": "answer", "strict": True}`.
            read: makes the object from the class, the options and what messages call it; by default the class is a
                dataclass whose fields are the options.

        Raises:
            ValueError: the name or an option is unknown (near names are suggested), or a value is of the wrong type.
        """
        name, options = named(spec, self.interface.what)
        kind, what = self.find(name), f"{self.kind} {name!r}"
        return read(kind, options, what) if read else read_fields(options, kind, what)  # type: ignore[arg-type]


def _path_or_none(entry: object) -> str | None:
    try:
        return path_of(entry)
    except ValueError:
        return None


def _place(source: object) -> tuple[str, str] | None:
    """Module and name of a class or function; None for other objects."""
    module, name = getattr(source, "__module__", None), getattr(source, "__qualname__", None)
    return (module, name) if isinstance(module, str) and isinstance(name, str) else None
