"""Settings are stated alike everywhere: `--set KEY=VALUE --set KEY=VALUE`, one each."""

import importlib
from pathlib import Path

import pytest

tyro = pytest.importorskip("tyro")

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = {"alternate_tasks": "--output x", "set_filters": "--output x", "train_grpo": "--model x --output x"}
TAKING = ["alternate_tasks", "best_of_n", "set_filters", "train_grpo", "train_sb3", "train_trl", "tree_search"]


@pytest.mark.parametrize("name", TAKING)
def test_set_is_repeated(monkeypatch, name):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for needed in {"train_grpo": ["torch"], "train_sb3": ["sb3_contrib"], "train_trl": ["trl"]}.get(name, []):
        pytest.importorskip(needed)
    arguments = importlib.import_module(name).Arguments
    others = NEEDED.get(name, "").split()
    command = [*others, "--set", "turns=1", "--set", 'reward={measure="ndcg@10"}']
    assert tyro.cli(arguments, args=command).set == ("turns=1", 'reward={measure="ndcg@10"}')
    assert tyro.cli(arguments, args=others).set == ()
    with pytest.raises(SystemExit):
        tyro.cli(arguments, args=[*others, "--set", "turns=1", "split=val"])


def test_no_other_example_has_such_an_option():
    taking = {path.stem for path in EXAMPLES.glob("*.py") if "\n    set: " in path.read_text(encoding="utf-8")}
    assert taking == set(TAKING)
