"""Lines for a terminal: broken between words where it is narrower than they are."""

from __future__ import annotations

import re
import shutil
import sys

import typer

# What stands before the text of a line: blanks, the mark of a relevant item, and the number of an item or candidate.
_LEAD = re.compile(r"\s*(?:\*\s+)?(?:\d+\.\s+|\[\d+\]\s+)?")


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output is no terminal, so that its lines are never broken."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int | None) -> str:
    """The text with lines of at most `width` columns, broken between words and indented where they go on.

    A word that is longer than a line stays whole.
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _wrapped_line(line, width))


def write_text(text: str) -> None:
    """Prints the text as the terminal is wide."""
    typer.echo(wrapped(text, terminal_width()))


def _wrapped_line(line: str, width: int) -> list[str]:
    from rich.cells import cell_len  # a Chinese or Japanese character takes two columns

    if cell_len(line) <= width:
        return [line]
    lead = (match.group() if (match := _LEAD.match(line)) else "")[: width // 2]
    parts = [lead]
    for word in re.findall(r"\S+\s*", line[len(lead) :]):
        if cell_len(parts[-1] + word.rstrip()) > width and parts[-1].strip():
            parts.append(" " * len(lead))
        parts[-1] += word
    return [part.rstrip() for part in parts]
