"""Best of n: the estimator, who draws and how, and what a run leaves behind."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tyro

from rec_gym import Task, make_task
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.append(str(EXAMPLES))  # examples import their neighbours

import best_of_n  # noqa: E402
from best_of_n import Arguments, best_rows, draw, expected_best, plot, report  # noqa: E402

POLICY = '''
calls = []


def draws(rows):
    """Writes how often it has seen a row of the request before."""
    calls.append([row["request_id"] for row in rows])
    return [f"lamp {sum(other == row['request_id'] for other in calls[-1][:place])}" for place, row in enumerate(rows)]


def short(rows):
    return ["lamp"]
'''


@pytest.fixture
def task(dataset, overlap):
    return Task(dataset, overlap, reward="ndcg@10")


@pytest.fixture
def policy_file(tmp_path):
    path = tmp_path / "policy.py"
    path.write_text(POLICY)
    return path


@pytest.mark.parametrize("n", range(1, 8))
def test_the_expected_best_is_the_mean_over_all_subsets(n):
    rewards = np.array([[0.3, 0.0, 0.9, 0.3, -1.0, 0.5, 0.3], [0, 1, 0, 0, 1, 0, 0], [0.2] * 7])
    brute = [np.mean([max(subset) for subset in combinations(row, n)]) for row in rewards]
    np.testing.assert_allclose(expected_best(rewards, n), brute, atol=1e-12)


def test_the_table_holds_powers_of_two_and_n_and_rises():
    rewards = np.random.default_rng(0).random((50, 12))
    table = report(rewards, np.array([""] * 50, object))
    assert [row["n"] for row in table] == [1, 2, 4, 8, 12]
    means = [row["reward"] for row in table]
    assert means == sorted(means)
    assert means[0] == pytest.approx(rewards.mean())
    assert means[-1] == pytest.approx(rewards.max(axis=1).mean())
    assert all(row["low"] < row["reward"] < row["high"] for row in table)
    assert [row["n"] for row in report(rewards[:, :8], np.array([""] * 50, object))] == [1, 2, 4, 8]


def test_a_custom_policy_finds_each_row_n_times_side_by_side(task, policy_file):
    arguments = Arguments(policy=f"{policy_file}:draws", completions=3)
    texts, rewards = draw(task, arguments, ["q2", "q3"])
    assert texts == [["lamp 0", "lamp 1", "lamp 2"]] * 2
    np.testing.assert_array_equal(
        rewards, task.score(["q2"] * 3 + ["q3"] * 3, texts[0] + texts[1]).rewards.reshape(2, 3)
    )
    assert rewards[0].min() == 1
    assert rewards[1].max() == 0


def test_a_named_policy_draws_by_its_seeds(task):
    texts, rewards = draw(task, Arguments(policy="random-words:2", completions=6), ["q1", "q2"])
    assert all(len(set(drawn)) > 3 for drawn in texts)
    again, _ = draw(task, Arguments(policy="random-words:2", completions=6), ["q1", "q2"])
    other, _ = draw(task, Arguments(policy="random-words:2", completions=6, seed=100), ["q1", "q2"])
    assert texts == again != other
    np.testing.assert_array_equal(rewards[1], task.score(["q2"] * 6, texts[1]).rewards)


def test_batches_change_nothing(task, policy_file, monkeypatch):
    arguments = Arguments(policy=f"{policy_file}:draws", completions=3)
    whole = draw(task, arguments, task.request_ids)
    monkeypatch.setattr(best_of_n, "BATCH_SIZE", 2)  # less than one request takes
    parts = draw(task, arguments, task.request_ids)
    assert whole[0] == parts[0]
    np.testing.assert_array_equal(whole[1], parts[1])


def test_a_policy_that_writes_too_little_is_an_error(task, policy_file):
    with pytest.raises(ValueError, match="wrote 1 completions for 4 rows"):
        draw(task, Arguments(policy=f"{policy_file}:short", completions=2), ["q1", "q2"])


def test_the_first_of_the_best_is_kept_where_it_earns_enough(task):
    texts = [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]
    rewards = np.array([[0.1, 0.7, 0.7], [0.0, 0.0, 0.0], [0.2, 0.1, 0.0]])
    ids = ["q1", "q2", "q3"]
    kept = best_rows(task, ids, texts, rewards, 0.0)
    assert [(row["request_id"], row["completion"], row["reward"]) for row in kept] == [
        ("q1", "b", 0.7),
        ("q3", "g", 0.2),
    ]
    assert kept[0]["prompt"] == next(task.rows())["prompt"]
    assert [row["request_id"] for row in best_rows(task, ids, texts, rewards, 0.2)] == ["q1"]


def test_without_matplotlib_there_is_no_picture(tmp_path, monkeypatch, capsys):
    table = [{"n": 1, "reward": 0.1, "low": 0.0, "high": 0.2}]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    plot(table, "title", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
    assert "no a.png without matplotlib: pip install matplotlib" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--completions", "0"], "at least 1"),
        (["--requests", "-5"], "at least 0"),
        (["--best", "best.jsonl", "--split", "test"], "training data"),
        (["--id", "RecR1-CornerShopRefine-BM25-v0", "--set", "items=600"], "3 turns"),
    ],
)
def test_what_it_refuses(options, message):
    with pytest.raises(SystemExit, match=message):
        best_of_n.main(tyro.cli(Arguments, args=options))


@pytest.mark.parametrize("requests", [0, 30])
def test_its_requests_are_those_of_an_evaluation(tmp_path, monkeypatch, requests):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # a picture takes long
    settings = ("items=600", "reward=ndcg@10")
    best_of_n.main(
        Arguments(policy="raw", split="val", requests=requests, completions=1, set=settings, output=tmp_path)
    )
    result = json.loads((tmp_path / "result.json").read_text())
    task = make_task("RecR1-CornerShop-BM25-v0", items=600, reward="ndcg@10", split="val")
    evaluation = evaluate(task, make_policy("raw", task), requests=requests or None, progress=False)
    assert result["request_ids"] == evaluation.request_ids
    assert [reward for [reward] in result["rewards"]] == evaluation.rewards.tolist()


def test_data_that_is_fetched_comes_from_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        best_of_n.main(Arguments(id="RecR1-ESCI-BM25-v0", data_dir=tmp_path))


@pytest.mark.slow
def test_a_run_leaves_what_it_says(tmp_path):
    command = [sys.executable, str(EXAMPLES / "best_of_n.py"), "--set", "items=600", "--set", "reward=ndcg@10"]
    command += ["--requests", "30", "--completions", "5", "--output", "out", "--best", "best.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [row["n"] for row in result["best_of_n"]] == [1, 2, 4, 5]
    assert result["arguments"]["completions"] == 5
    assert len(result["request_ids"]) == len(set(result["request_ids"])) == result["n"] == 30
    assert all(request_id.startswith("train-") for request_id in result["request_ids"])
    rewards = np.array(result["rewards"])
    assert rewards.shape == (30, 5)
    assert result["best_of_n"][-1]["reward"] == pytest.approx(rewards.max(axis=1).mean())
    assert f"{result['best_of_n'][-1]['reward']:.4f}" in done.stdout
    assert {"id", "card_sha256", "version", "machine"} <= result.keys()
    lines = [json.loads(line) for line in (tmp_path / "best.jsonl").read_text().splitlines()]
    assert len(lines) == (rewards.max(axis=1) > 0).sum() > 0
    assert all(list(line) == ["request_id", "prompt", "completion", "reward"] for line in lines)
    task = make_task("RecR1-CornerShop-BM25-v0", items=600, reward="ndcg@10")
    again = task.score([line["request_id"] for line in lines], [line["completion"] for line in lines]).rewards
    assert again.tolist() == [line["reward"] for line in lines]
    has_picture = (tmp_path / "out" / "best_of_n.png").is_file()
    assert has_picture != ("matplotlib" in done.stdout)
