"""The command `rec-gym`, one file per command. What is heavy is imported within the commands, so that `--help` is fast."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rec_gym._version import __version__
from rec_gym.cli import (
    cache,
    check,
    demo,
    evaluate,
    export,
    info,
    list_ids,
    new_card,
    play,
    prepare,
    push,
    serve,
    train,
)
from rec_gym.cli.errors import OneLineErrors

app = typer.Typer(cls=OneLineErrors, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"rec-gym {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Environments in which a language model is trained against a recommender's ranking measure."""


app.command("list")(list_ids.list_ids)
app.command("info")(info.info)
app.command("prepare")(prepare.prepare)
app.command("push")(push.push)
app.add_typer(cache.app, name="cache", help="List what is in the cache folder, or remove it.")
app.command("check")(check.check)
app.command("new-card")(new_card.new_card)
app.command("play")(play.play)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("train")(train.train)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a title must not fail where the output takes ASCII only
    app()
