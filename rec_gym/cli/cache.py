"""`rec-gym cache`: what is in the cache folder, and its removal."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rec_gym.cli.cache_entries import BusyError, Entry, entries, in_use
from rec_gym.cli.cache_entries import remove as remove_entry

_DAY = 86400.0

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_cache(context: typer.Context) -> None:
    """List what is in the cache folder: downloads, converted data, indexes and compiled code."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from rec_gym.cache import cache_home
    from rec_gym.evaluation.report import print_table

    listed = entries()
    if not listed:
        typer.echo(f"{cache_home()} holds nothing yet")
        return
    table = Table()
    for name in ("kind", "name", "size", "age", "holds"):
        table.add_column(name, overflow="fold")
    for entry in listed:
        table.add_row(entry.label, entry.name, _size(entry), _age(entry), _holds(entry))
    print_table(Console(), table)
    typer.echo(f"{_size(*listed)} in {cache_home()}")
    useless = [entry for entry in listed if entry.useless]
    if useless:
        typer.echo(f"`rec-gym cache prune` removes {_count(useless)} of no more use, {_size(*useless)}")


@app.command()
def remove(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Names as `rec-gym cache` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", min=0, help="Remove what is older.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove folders of the cache. What is needed again is fetched, converted or built again."""
    if bool(names) + everything + (older_than is not None) != 1:
        raise ValueError("say what to remove: names that `rec-gym cache` shows, or --all, or --older-than DAYS")
    chosen = _chosen(names or (), older_than)
    if _is_confirmed(chosen, yes):
        _remove(chosen)


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    yes: Yes = False,
) -> None:
    """Remove what is of no more use.

    That is: superseded conversions and indexes, and what was left behind unfinished.
    A conversion is superseded by a later one with the same loader and options; an index, by one in a newer format, or with
    the conversions of its catalogue. A download that has begun to arrive is never removed, and neither is what another
    process is filling or reading.
    """
    chosen = _unused([entry for entry in entries() if entry.useless])
    if dry_run:
        _print(chosen)
        typer.echo(f"would remove {_count(chosen)}, {_size(*chosen)}")
    elif _is_confirmed(chosen, yes):
        _remove(_unused(chosen), skips=True)  # the question may have stood for long


def _unused(chosen: Sequence[Entry]) -> list[Entry]:
    """Those that no other process reads; says which ones stay."""
    users = in_use(chosen)
    for entry in chosen:
        if entry.path in users:
            typer.echo(f"kept: {entry.name} is in use by process {users[entry.path]}")
    return [entry for entry in chosen if entry.path not in users]


def _chosen(names: Sequence[str], older_than: float | None) -> list[Entry]:
    from rec_gym.tables import unknown

    listed = entries()
    known = sorted({entry.name for entry in listed})
    for name in names:
        if name not in known:
            raise ValueError(f"the cache does not hold it: {unknown('name', name, known, more='`rec-gym cache`')}")
    if names:
        return [entry for entry in listed if entry.name in names]
    oldest = time.time() - (older_than or 0) * _DAY
    return [entry for entry in listed if older_than is None or entry.changed < oldest]


def _is_confirmed(chosen: Sequence[Entry], yes: bool) -> bool:
    """Shows what would be removed and asks; False where that is nothing.

    Raises:
        typer.Abort: the answer is no.
    """
    if not chosen:
        typer.echo("nothing to remove")
        return False
    _print(chosen)
    if not yes:
        typer.confirm(f"Remove {_count(chosen)}, {_size(*chosen)}?", abort=True)
    return True


def _remove(chosen: Sequence[Entry], skips: bool = False) -> None:
    """Removes the folders; one that is busy is an error or, with `skips`, is left with a line that says so."""
    from rec_gym.progress import Bar

    removed: list[Entry] = []
    with Bar("removing", sum(entry.size for entry in chosen), unit="bytes") as bar:
        for entry in chosen:
            try:
                if remove_entry(entry):
                    removed.append(entry)
            except BusyError as error:
                if not skips:
                    raise
                typer.echo(f"kept: {error}")
            bar.advance(entry.size)
    typer.echo(f"removed {_count(removed)}, {_size(*removed)}")


def _print(chosen: Sequence[Entry]) -> None:
    for entry in chosen:
        typer.echo(f"{entry.label}: {entry.name} ({_size(entry)})")


def _holds(entry: Entry) -> str:
    """What a folder was made from, as its manifest says."""
    from rec_gym.fetching.plan import MANIFEST

    options = entry.made.get("options", {})
    if entry.made:
        return ", ".join(f"{key}={value}" for key, value in options.items() if value != "")
    try:
        sources = json.loads(Path(entry.path, MANIFEST).read_text(encoding="utf-8"))["sources"]
        return ", ".join(dict.fromkeys(source.get("repo") or source["url"] for source in sources))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # no manifest, or none of these


def _count(chosen: Sequence[Entry]) -> str:
    return "1 folder" if len(chosen) == 1 else f"{len(chosen)} folders"


def _size(*chosen: Entry) -> str:
    from rec_gym.fetching.sources import as_size

    return as_size(sum(entry.size for entry in chosen))


def _age(entry: Entry) -> str:
    days = (time.time() - entry.changed) / _DAY
    for count, unit in ((days, "day"), (days * 24, "hour"), (days * 24 * 60, "minute")):
        if count >= 1:
            return f"{count:.0f} {unit}{'' if round(count) == 1 else 's'}"
    return "now"
