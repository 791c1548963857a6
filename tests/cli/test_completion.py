"""Completion in a shell: of commands, and of ids where a command takes one."""

import os
import subprocess
import sys

import typer

from rec_gym.cards import cards
from rec_gym.cli import app

SHOP = "RecR1-CornerShop-"


def completed(line, *, code=""):
    """What bash is offered behind `line`, and what the process prints at its end."""
    words = line.split(" ")
    environment = os.environ | {
        "_REC_GYM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = f"import atexit, sys; sys.argv = ['rec-gym']; from rec_gym.cli import main; {code}main()"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    ).stdout.split()


def test_ids_are_offered_and_nothing_heavy_is_loaded():
    heavy = ("torch", "scipy", "numba", "pyarrow", "rec_gym.loop.task", "rec_gym.datasets.store")
    code = f"atexit.register(lambda: print('loaded', *(m for m in {heavy!r} if m in sys.modules))); "
    *offered, last = completed(f"rec-gym evaluate {SHOP}", code=code)
    assert offered == sorted(task_id for task_id in cards() if task_id.startswith(SHOP))
    assert last == "loaded"


def test_commands_are_offered():
    assert completed("rec-gym e") == ["evaluate", "export"]
    assert completed("rec-gym cache p") == ["prune"]


def test_a_shell_is_told_what_an_id_is():
    """zsh and fish show a line beside each."""
    environment = os.environ | {"_REC_GYM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"rec-gym info {SHOP}BM"}
    program = "import sys; sys.argv = ['rec-gym']; from rec_gym.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert f"{SHOP}BM25-v0" in done.stdout
    assert "Write the query for a shopper" in done.stdout


def test_every_command_that_takes_an_id_completes_it():
    group = typer.main.get_command(app)
    arguments = {name: [p for p in command.params if p.name == "task_id"] for name, command in group.commands.items()}
    taking = {name for name, found in arguments.items() if found}
    assert {"info", "play", "evaluate", "export", "prepare", "serve"} <= taking
    for name in taking:
        context = group.commands[name].make_context(name, [], resilient_parsing=True)
        assert [item.value for item in arguments[name][0].shell_complete(context, f"{SHOP}BM")] == [f"{SHOP}BM25-v0"]
