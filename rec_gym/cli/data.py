"""`rec-gym prepare` and `rec-gym cache`: data ahead of their use, and what is kept of them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

_KINDS = {"downloads": "download", "datasets": "data set", "indexes": "index", "kernels": "compiled code"}
_DAY = 86400.0

cache_app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)


def prepare_task(task_id: str, overrides: Mapping[str, Any], mirror: str) -> None:
    """Fetches, converts and indexes the data of an id, and compiles what searches them.

    Raises:
        ValueError: a mirror and a folder with the data are named, or `make_task` refuses the overrides.
        FetchError: the data cannot be fetched.
    """
    from rec_gym.fetching.download import mirrored
    from rec_gym.making import make_task, recipe_of_task

    if mirror and overrides.get("data_dir"):
        raise ValueError(
            "--mirror says where to fetch from, but with --data-dir nothing is fetched; leave one of them out"
        )
    with mirrored(mirror):
        task = make_task(task_id, **{"split": "all", **overrides})  # whatever splits there are
    row = next(iter(task.rows()))
    outcomes = task.score([row["request_id"]], [row["text"]])
    assert len(outcomes.rankings.items)  # measures need no list; it is compiled as well
    given = {key: value for key, value in overrides.items() if key != "split"}
    recipe = recipe_of_task(task_id, **given)
    typer.echo(f"{task_id} is ready: {task.dataset!r}")
    for label, folder in (("fetched", recipe.download), ("converted", recipe.folder)):
        if folder is not None and folder.is_dir():
            typer.echo(f"{label + ':':11}{folder} ({_size_text(folder)})")


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes:
        path: where it is.
        kind: what it holds, in a word or two.
        name: as it is shown and removed.
        size: bytes of its files.
        changed: when it was made, or changed last, in seconds since 1970.
    """

    path: Path
    kind: str
    name: str
    size: int
    changed: float

    @property
    def lock(self) -> Path:
        """The lock that whoever fills the folder holds."""
        return self.path.parent / f".{self.name}.lock"


def entries() -> list[Entry]:
    """What the cache folder holds, sorted by kind and name; what a killed process left unfinished is among it."""
    from rec_gym.cache import cache_home

    found = []
    for folder, kind in _KINDS.items():
        home = cache_home() / folder
        for path in sorted(home.iterdir()) if home.is_dir() else ():
            if not path.is_dir():
                continue
            hidden = path.name.startswith(".")
            name = path.name[1:].rpartition(".")[0] if hidden else path.name  # .<name>.partial, .<name>.<random>
            label = f"{kind}, unfinished" if hidden else kind
            found.append(Entry(path, label, name or path.name, _size(path), path.stat().st_mtime))
    return found


@cache_app.callback()
def list_cache(context: typer.Context) -> None:
    """List what is kept: downloads, converted data, indexes and compiled code."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from rec_gym.cache import cache_home
    from rec_gym.evaluation.report import print_table
    from rec_gym.fetching.sources import as_size

    found = entries()
    if not found:
        typer.echo(f"{cache_home()} holds nothing yet")
        return
    table = Table()
    for name in ("kind", "name", "size", "age", "holds"):
        table.add_column(name, overflow="fold")
    for entry in found:
        table.add_row(entry.kind, entry.name, as_size(entry.size), _age(entry), _holds(entry.path))
    print_table(Console(), table)
    typer.echo(f"{as_size(sum(entry.size for entry in found))} in {cache_home()}")


@cache_app.command("remove")
def remove(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="As `rec-gym cache` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", min=0, help="Remove what is older.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove folders of the cache. What is needed again is fetched, converted or built again."""
    from rec_gym.fetching.sources import as_size

    if bool(names) + everything + (older_than is not None) != 1:
        raise ValueError("say what to remove: names that `rec-gym cache` shows, or --all, or --older-than DAYS")
    chosen = _chosen(names or (), older_than)
    if not chosen:
        typer.echo("nothing to remove")
        return
    what = "folder" if len(chosen) == 1 else "folders"
    for entry in chosen:
        typer.echo(f"{entry.kind}: {entry.name} ({as_size(entry.size)})")
    if not yes:
        typer.confirm(f"Remove {len(chosen)} {what}, {as_size(sum(entry.size for entry in chosen))}?", abort=True)
    for entry in chosen:
        _remove(entry)
    typer.echo(f"removed {len(chosen)} {what}")


def _chosen(names: Sequence[str], older_than: float | None) -> list[Entry]:
    found = entries()
    unknown = [name for name in names if name not in {entry.name for entry in found}]
    if unknown:
        there = ", ".join(sorted({entry.name for entry in found})) or "nothing"
        raise ValueError(f"the cache holds no {unknown[0]!r}; there is: {there}")
    if names:
        return [entry for entry in found if entry.name in names]
    oldest = time.time() - (older_than or 0) * _DAY
    return [entry for entry in found if older_than is None or entry.changed < oldest]


def _remove(entry: Entry) -> None:
    """Removes a folder that nobody fills; it leaves its place at once, so that it is never half there."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(entry.lock, timeout=0):
            holder = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.path.parent))
            os.replace(entry.path, holder / "removed")
            shutil.rmtree(holder)
    except Timeout as error:
        raise ValueError(f"{entry.name} is being prepared by another process; remove it when that is done") from error


def _holds(path: Path) -> str:
    """What a folder was made from, as its manifest says."""
    from rec_gym.cache import MANIFEST
    from rec_gym.fetching.plan import MANIFEST as DOWNLOAD

    try:
        if (path / DOWNLOAD).is_file() and not (path / MANIFEST).is_file():
            stated = json.loads((path / DOWNLOAD).read_text(encoding="utf-8"))["sources"]
            return ", ".join(dict.fromkeys(source.get("repo") or source["url"] for source in stated))
        options = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["made"]["options"]
        return ", ".join(f"{key}={value}" for key, value in options.items() if value != "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # no manifest, or none of these


def _age(entry: Entry) -> str:
    days = (time.time() - entry.changed) / _DAY
    for count, unit in ((days, "day"), (days * 24, "hour"), (days * 24 * 60, "minute")):
        if count >= 1:
            return f"{count:.0f} {unit}{'' if round(count) == 1 else 's'}"
    return "now"


def _size(folder: Path) -> int:
    sizes = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                sizes += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # another process has just replaced it
                continue
    return sizes


def _size_text(folder: Path) -> str:
    from rec_gym.fetching.sources import as_size

    return as_size(_size(folder))
