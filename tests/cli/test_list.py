"""`rec-gym list`: which ids it shows, and how it fits into a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rec_gym
from rec_gym.cards import card_of, cards
from rec_gym.cli import app, list_ids
from rec_gym.making import recipe_of_task

SHOP, ESCI, BEIR = "RecR1-CornerShop-BM25-v0", "RecR1-ESCI-BM25-v0", "RecR1-BEIR-BM25-v0"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def listed(*arguments):
    result = CliRunner().invoke(app, ["list", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def ids_of(*arguments):
    return [entry["id"] for entry in json.loads(listed("--json", *arguments))]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (30, ["id"]),
        (40, ["id"]),
        (60, ["id", "data"]),
        (80, ["id", "data", "recommender"]),
        (200, ["id", "data", "recommender", "reward", "task"]),
        (None, ["id", "data", "recommender", "reward", "task"]),
    ],
)
def test_columns_give_way_and_ids_stay_whole(monkeypatch, width, columns):
    monkeypatch.setattr(list_ids, "terminal_width", lambda: width)
    lines = listed().splitlines()
    assert lines[0].split() == columns
    longest = max(map(len, cards()))
    assert max(map(len, lines)) <= max(width or 1000, longest)
    first_words = [line.split()[0] for line in lines if line]
    assert all(first_words.count(task_id) == 1 for task_id in cards())


def test_ids_are_grouped_by_card():
    blocks = listed().split("\n\n")[1:]
    families = {lines[0]: [line.split()[0] for line in lines[1:]] for lines in map(str.splitlines, blocks)}
    assert families == {card.content["title"]: card.ids for card in cards().values()}
    assert next(iter(families)) == "CornerShop"  # what needs no data comes first


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_the_width_is_that_of_the_terminal():
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rec_gym.cli", "list"], stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        output += part
    os.close(ours)
    assert process.wait() == 0
    lines = output.decode().splitlines()
    assert lines[0].split() == ["id", "data"]
    assert any(line.split()[:1] == [SHOP] for line in lines)


def test_only_those_with_a_text():
    assert ids_of("cornershop") == [name for name in ids_of() if "CornerShop" in name]
    assert ids_of("next item") == [name for name in ids_of() if card_of(name).content["task"] == "next item"]
    assert ids_of("furniture") == card_of("RecR1-WANDS-BM25-v0").ids
    assert ids_of("nope") == []
    result = CliRunner().invoke(app, ["list", "nope"])
    assert result.exit_code == 2
    assert result.stderr == "Error: no id, title or task holds 'nope'; `rec-gym list` shows every id\n"


def test_ready_are_the_embedded_and_the_converted(home):
    embedded = [task_id for task_id in ids_of() if card_of(task_id).embedded]
    assert ids_of("--ready") == embedded
    recipe_of_task(ESCI).folder.mkdir(parents=True)
    others = [task_id for task_id in ids_of("--ready") if task_id not in embedded]
    assert others == [name for name in ids_of() if _same_data(name)]
    assert {ESCI, "RecR1-ESCI-Dense-v0"} <= set(others)
    states = {line.split()[0]: line.split()[1] for line in listed().splitlines() if line.startswith("  RecR1")}
    assert (states[ESCI], states[SHOP], states[BEIR]) == ("ready", "embedded", "--data-dir")
    assert "--set dataset=..." in listed("IRDatasets")
    assert "a download" in listed("AmazonC4")


def _same_data(task_id):
    card = card_of(task_id)
    return card.path == card_of(ESCI).path and recipe_of_task(task_id).folder == recipe_of_task(ESCI).folder


def test_json_has_what_programs_ask_for(tmp_path):
    (tmp_path / "mine.toml").write_text(
        f'title = "Mine"\nsummary = "s"\nloader = "rec_gym.datasets.beir:load"\nlicence = "CC0"\n'
        f'[options]\ndata_dir = "{tmp_path.as_posix()}"\n[[env]]\nid = "Mine-v0"\nrecommender = {{ name = "bm25" }}\n'
    )
    rec_gym.register_card(tmp_path / "mine.toml")
    entries = {entry["id"]: entry for entry in json.loads(listed("--json"))}
    assert set(entries) == set(cards())
    for task_id, entry in entries.items():
        assert list(entry) == ["id", "summary", "recommender", "task", "embedded", "ready", "card"]
        assert Path(entry["card"]).read_text(encoding="utf-8") == card_of(task_id).text
    assert entries["Mine-v0"] == {
        "id": "Mine-v0",
        "summary": "s",
        "recommender": "bm25",
        "task": "",
        "embedded": True,
        "ready": True,
        "card": str((tmp_path / "mine.toml").resolve()),
    }
    assert entries[SHOP]["summary"] == card_of(SHOP).env(SHOP)["summary"]
    assert entries[BEIR]["embedded"] is False
