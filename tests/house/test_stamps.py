"""Measured pages state what they were made from; a page whose cards or version have changed since says that it is stale."""

import re
from pathlib import Path

import pytest

from benchmarks.pages import stamp
from rec_gym._version import __version__
from rec_gym.cards import cards

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SECTION = re.compile(r"<!-- measured ([\w -]+): begin -->(.*?)<!-- measured \1: end -->", re.DOTALL)
CARD = re.compile(r"(RecR1-[\w-]+-v\d+) \(card ([0-9a-f]{12})\)")
VERSION = re.compile(r"rec_gym (\d[\w.]*\w)")
# A page with a section that cannot be measured again says so outside of it, in a line such as
# "> Stale: card 0123456789ab: the model that it was trained from is no longer to be had."
STALE = re.compile(r"^> Stale: (?:card ([0-9a-f]{12})|rec_gym (\d[\w.]*\w)): \S.+$", re.MULTILINE)


def old_stamps(text: str) -> set[str]:
    """The stamps in the measured sections of a page that are not those of this tree."""
    measured = "".join(section for _, section in SECTION.findall(text))
    current = {task_id: card.hash[:12] for task_id, card in cards().items()}
    old = {f"card {hash_}" for task_id, hash_ in CARD.findall(measured) if current.get(task_id) != hash_}
    return old | {f"rec_gym {version}" for version in VERSION.findall(measured) if version != __version__}


def notes_of(text: str) -> set[str]:
    """The stamps that a page says are stale."""
    return {f"card {card}" if card else f"rec_gym {version}" for card, version in STALE.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_stamps_are_those_of_this_tree(page):
    text = page.read_text(encoding="utf-8")
    old, notes = old_stamps(text), notes_of(text)
    assert not old - notes, f"{page.name} was measured with {old - notes}: measure again, or say why it is stale"
    assert not notes - old, f"{page.name} is not stale in {notes - old}: remove the note"


@pytest.mark.parametrize("name", ["demo.md", "results.md"])
def test_what_was_measured_on_an_id_names_its_card(name):
    sections = SECTION.findall((DOCS / name).read_text(encoding="utf-8"))
    assert sections
    assert [title for title, text in sections if not (CARD.search(text) and VERSION.search(text))] == []


def test_old_stamps_are_found_and_may_be_explained():
    task_id = "RecR1-CornerShop-BM25-v0"
    page = "<!-- measured x: begin -->\n{}; NumPy 2\n<!-- measured x: end -->\n{}\n"
    assert old_stamps(page.format(stamp([task_id]), "")) == set()
    text = page.format(f"{task_id} (card 0123456789ab), Gone-v0; rec_gym 0.0.1", "> Stale: card 0123456789ab: no GPU.")
    assert old_stamps(text) == {"card 0123456789ab", "rec_gym 0.0.1"}
    assert notes_of(text) == {"card 0123456789ab"}
    assert notes_of(text.replace(": no GPU.", ":")) == set()  # a reason is needed
    assert old_stamps(f"{task_id} (card 0123456789ab), not measured") == set()
