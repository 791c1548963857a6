"""docs/cli.md names every command and every option of `rec-gym`, and none that is not there."""

import re
from pathlib import Path

import pytest
import typer

from rec_gym.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SHARED = "Options that several commands share"
OPTION = re.compile(r"`(--[a-z-]+)[ `]")


def walk(command, name="rec-gym"):
    """Every command with its whole name, groups that do something on their own included."""
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, f"{name} {part}")


COMMANDS = dict(walk(typer.main.get_command(app)))
SECTIONS = {
    heading.strip("`"): body for heading, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE)
}


def options(command):
    """The long names of what a command takes."""
    names = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    return sorted(set(names) - {"--help"})


def documented(section):
    """The options in the first column of a section's tables, and in its line about shared options."""
    rows = re.findall(r"^\| (`--.+?`) \|", section, re.MULTILINE)
    shared = re.findall(r"^Shared options: (.+)$", section, re.MULTILINE)
    return sorted(OPTION.findall(" ".join([*rows, *shared])))


def test_the_table_names_every_command():
    table = PAGE.partition("\n## ")[0]
    assert re.findall(r"^\| `(rec-gym .+?)` \|", table, re.MULTILINE) == [name for name in COMMANDS if " " in name]


def test_every_section_of_a_command_is_one_of_a_command():
    assert {name for name in SECTIONS if name.startswith("rec-gym")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_section_of_a_command_names_its_options(name):
    assert documented(SECTIONS[name]) == options(COMMANDS[name])


def test_shared_options_are_those_of_several_commands():
    taken = [option for command in COMMANDS.values() for option in options(command)]
    shared = documented(SECTIONS[SHARED])
    assert all(taken.count(option) > 1 for option in shared)
    for name, section in SECTIONS.items():
        stated = OPTION.findall(" ".join(re.findall(r"^Shared options: (.+)$", section, re.MULTILINE)))
        assert set(stated) <= set(shared), name
        assert not set(shared) & set(documented(section)) - set(stated) or name == SHARED


def test_defaults_that_the_page_states_are_those_of_the_command():
    compared = set()
    for name, command in COMMANDS.items():
        for parameter in command.params:
            row = next((line for line in SECTIONS[name].splitlines() if f"| `{parameter.opts[0]} " in line), "")
            stated = re.search(r"`?([^ ;`]+)`?(?: by default[.;:,| ])", row)
            if stated and parameter.default is not None:
                default = parameter.default
                text = f"{default:g}" if isinstance(default, float) else str(default)
                assert stated[1] == text, f"{name}: {row}"
                compared.add((name, parameter.opts[0]))
    assert {("rec-gym serve", "--port"), ("rec-gym evaluate", "--measures"), ("rec-gym demo", "--output")} <= compared
    assert len(compared) >= 12


def test_every_option_has_a_help_text():
    for name, command in COMMANDS.items():
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.opts}"
            assert parameter.help.endswith((".", "]")), f"{name} {parameter.opts}: {parameter.help}"
