"""Every command line of the README and the docs is one that the command or the example takes."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from rec_gym import cards
from rec_gym.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = ROOT / "examples"
LINE = re.compile(r"^ *(?:\$ )?((?:rec-gym|python examples/\w+\.py)(?: (?:\\\n|.)*)?)$", re.MULTILINE)


def commands(start):
    """Command lines that stand alone on a line, which the next line may go on with."""
    found = []
    for page in PAGES:
        for number, line in enumerate(LINE.findall(page.read_text(encoding="utf-8")), 1):
            if line.startswith(start):
                words = shlex.split(line.replace("\\\n", " "), comments=True)
                found.append(pytest.param(words, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("words", commands("rec-gym"))
def test_rec_gym_takes_it(words, monkeypatch):
    monkeypatch.setattr(cards, "find_id", lambda text: text)  # a page's my_shop.toml is the reader's
    group = typer.main.get_command(app)
    # Resilient: an option such as --install-completion must not act.
    context = group.make_context("rec-gym", words[1:2], resilient_parsing=True)
    name, command, _ = group.resolve_command(context, words[1:2])
    command.make_context(name, words[2:], parent=context)  # a UsageError says what it does not take


@pytest.mark.trainer
@pytest.mark.parametrize("words", commands("python"))
def test_the_example_takes_it(words, monkeypatch):
    tyro = pytest.importorskip("tyro")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for needed in re.findall(r"^(?:import|from) (\w+)", (ROOT / words[1]).read_text(encoding="utf-8"), re.MULTILINE):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    name = Path(words[1]).stem
    module = sys.modules.get(name) or importlib.import_module(name)
    tyro.cli(module.Arguments, args=words[2:])  # exits where it does not take them


def test_there_are_commands():
    assert len(commands("rec-gym")) > 20
    assert len(commands("python")) > 20
