"""`rec-gym check`: what it says of a card that is right, and of cards that are wrong in one way each."""

import pytest
from typer.testing import CliRunner

from rec_gym.cli import app, card_findings
from rec_gym.cli.card_findings import FAIL, OK, WARN, check_card

runner = CliRunner()

LOADER = """
import rec_gym

def load(leaks: str = "", train: int = 8, val: int = 4, test: int = 4, oracle: str = "lamp", wanted: str = "a") -> rec_gym.Dataset:
    titles = {"a": "lamp", "b": "rug", "c": "lamp shade", "d": "shade of a rug"}
    catalog = rec_gym.Catalog.from_columns({"item_id": list(titles), "title": list(titles.values())})
    requests = [
        {"id": f"{split}{n}", "text": f"shade {split} {n}", "split": split, "targets": [wanted], "oracle": oracle}
        for split, count in (("train", train), ("val", val), ("test", test))
        for n in range(count)
    ]
    for request in requests:
        if leaks and request["split"] == leaks.split("-")[1]:
            request["text"] = request["text"].replace(*reversed(leaks.split("-")))
    return rec_gym.Dataset.from_requests(catalog, requests)

def nothing():
    return None

def broken() -> rec_gym.Dataset:
    raise KeyError("price")

class Constant:
    query_language = "any"

    def rank(self, queries, k, exclude=None):
        return rec_gym.Rankings.from_ids(load().catalog, [["b", "a"] for _ in queries])
"""
CARD = """
title = "Mine"
summary = "Four things."
licence = "none"
loader = "{file}:{function}"

[options]
{options}

[[env]]
id = "Checked-v0"
recommender = "{recommender}"
reward = "ndcg@{cutoff}"
{more}
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(card_findings, "_SLOW", float("inf"))  # no test depends on how fast a machine is


@pytest.fixture
def write(tmp_path):
    def write(**values):
        defaults = {"function": "load", "options": "", "recommender": "random", "cutoff": 4, "more": ""}
        (tmp_path / "mine.py").write_text(LOADER)
        values = {"file": tmp_path / "mine.py", **defaults, **values}
        values["recommender"] = values["recommender"].format(file=values["file"])
        (tmp_path / "card.toml").write_text(CARD.format(**values))
        return tmp_path / "card.toml"

    return write


def found(path):
    return {finding.check: finding for finding in check_card(path, {})}


def test_a_card_that_is_right(write):
    result = runner.invoke(app, ["check", str(write(recommender="rank_bm25"))])
    assert result.exit_code == 0, result.output
    assert "8 checks: 0 failed, 0 to look at" in result.output
    for text in (
        "it registers Checked-v0",
        "train 8, val 4, test 4",
        "no request is in two splits",
        "oracle 1.000, raw 0",
    ):
        assert text in result.output
    settings = ["--set", "reward=mrr@3", "--set", "split=test", "--seed", "3"]
    assert "(mrr@3, 4 requests)" in runner.invoke(app, ["check", str(write(recommender="rank_bm25")), *settings]).output


@pytest.mark.parametrize(
    ("values", "check", "verdict", "message"),
    [
        ({"more": "turn = 2"}, "keys", FAIL, "did you mean 'turns'"),
        ({"function": "nothing"}, "loader", FAIL, "not a loader"),
        ({"function": "lode"}, "loader", FAIL, "did you mean 'load'"),
        ({"function": "broken"}, "task", FAIL, "KeyError: 'price'"),
        ({"recommender": "nope:Nope"}, "task", FAIL, "no module 'nope'"),
        ({"options": "val = 0\ntrain = 1"}, "splits", WARN, "train 1, test 4; there is no val"),
        ({"options": "train = 0"}, "task", FAIL, "unknown split 'train'"),
        ({"options": "train = 1\nval = 0\ntest = 0"}, "splits", FAIL, "train 1; there is no val and no test"),
        ({"options": 'leaks = "train-test"'}, "leaks", FAIL, "4 of 4 in test are in train too"),
        ({"options": 'leaks = "val-test"'}, "leaks", WARN, "4 of 4 in test are in val too"),
        ({"options": 'oracle = "rug"', "recommender": "rank_bm25"}, "oracle", FAIL, "what is right earns no more"),
        ({"options": 'oracle = ""'}, "oracle", OK, "the data know no oracle query"),
        ({"recommender": "popularity"}, "task", FAIL, "popularity"),
        (
            {"recommender": "{file}:Constant"},
            "flat groups",
            FAIL,
            "100% of 8 groups of 8 random completions earn all the same",
        ),
    ],
)
def test_cards_that_are_wrong_in_one_way(values, check, verdict, message, write):
    finding = found(write(**values))[check]
    assert (finding.verdict, message in finding.detail) == (verdict, True), finding


def test_a_slow_step_is_doubtful(write, monkeypatch):
    monkeypatch.setattr(card_findings, "_SLOW", -1.0)
    finding = found(write())["step of 64"]
    assert (finding.verdict, finding.detail.endswith("see docs/performance.md")) == (WARN, True)


def test_flat_groups_are_doubtful_before_all_are(write, monkeypatch):
    path = write(recommender="rank_bm25")
    assert found(path)["flat groups"].verdict == OK
    monkeypatch.setattr(card_findings, "_MANY_FLAT", -1.0)
    finding = found(path)["flat groups"]
    assert (finding.verdict, "little is learnt at first" in finding.detail) == (WARN, True)


def test_a_failure_is_exit_code_1_and_a_missing_file_an_error(write, tmp_path):
    result = runner.invoke(app, ["check", str(write(recommender="rank_bm25", options='leaks = "train-test"'))])
    assert result.exit_code == 1
    assert "1 failed" in result.output
    result = runner.invoke(app, ["check", str(tmp_path / "nope.toml")])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize("action", ["plain", "append", "answer", "lines", "titles"])
def test_every_action_format_can_be_checked(action, write):
    findings = found(write(recommender="rank_bm25", more=f'action = "{action}"'))
    assert findings["flat groups"].verdict in (OK, WARN)
    assert findings["step of 64"].verdict == OK


def test_orders_can_be_checked(write):
    findings = found(
        write(recommender="rank_bm25", options='wanted = "c"', more='action = "order"\ncandidates = { k = 3 }')
    )
    assert {finding.verdict for finding in findings.values()} <= {OK, WARN}
    assert "given-order" in findings["oracle"].detail
