"""Settings of a task on the command line: KEY=VALUE, with VALUE in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def overrides_of(data_dir: Path | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """The keywords of `make_task` that a command line states.

    Raises:
        ValueError: a setting is not of the form KEY=VALUE, or its value looks like TOML but does not parse.
    """
    overrides: dict[str, Any] = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"--set takes KEY=VALUE, not {setting!r}")
        overrides[key.strip()] = _value(value.strip())
    return overrides | ({} if data_dir is None else {"data_dir": str(data_dir)})


def _value(text: str) -> Any:
    """A TOML value; anything else is plain text, so that names need no quotation marks."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[:1] in ("[", "{", '"', "'"):
            raise ValueError(f"--set: {text} is not a TOML value: {error}") from error
        return text
    except RecursionError as error:
        raise ValueError(f"--set: {text[:40]}... is nested too deeply") from error
