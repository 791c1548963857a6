"""Writes measured tables into the pages of the documentation, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rec_gym._version import __version__
from rec_gym.cache import atomic_path
from rec_gym.cards import card_of

DOCS = Path(__file__).parents[1] / "docs"


def stamp(task_ids: Sequence[str]) -> str:
    """What a measured page was made from: each id with the beginning of its card's SHA-256, and the package's version.

    A test holds the stamps of all pages to the cards and the version of the tree.
    """
    ids = ", ".join(f"{task_id} (card {card_of(task_id).hash[:12]})" for task_id in sorted(task_ids))
    return f"{ids}; rec_gym {__version__}"


def write_section(page: Path, name: str, text: str) -> None:
    """Replaces the text between the marks `<!-- measured NAME: begin -->` and `<!-- measured NAME: end -->`.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- measured {name}: begin -->", f"<!-- measured {name}: end -->"
    content = page.read_text(encoding="utf-8")
    head, found, rest = content.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} needs the marks {begin} and {end}")
    with atomic_path(page) as temporary:
        temporary.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")
