"""Expected errors of a command: one line on standard error, and exit code 2."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class OneLineErrors(TyperGroup):
    """A group whose commands end with one line and exit code 2 at an expected error; `--debug` shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; an expected error ends it with one line."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if ctx.params.get("debug") or not _is_expected(error):
                raise
            # A KeyError prints its message as a quoted literal.
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"Error: {message}", err=True)
            raise typer.Exit(2) from error


def _is_expected(error: Exception) -> bool:
    from rec_gym.recommenders.base import RecommenderError

    if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone; typer ends quietly
        return False
    if isinstance(error, ImportError):  # of an extra, with the command that installs it; others are bugs
        return "pip install" in str(error)
    return isinstance(error, ValueError | KeyError | TypeError | OSError | RecommenderError)
