"""The example that trains with Stable-Baselines3 runs as a user would run it, and keeps what it should."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rec_gym
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy

for framework in ("stable_baselines3", "sb3_contrib", "tyro"):
    pytest.importorskip(framework)
pytestmark = pytest.mark.trainer

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_sb3.py"
REWARD = 'reward={measure="ndcg@100", terms={"ndcg@10"=1.0}}'


def run(output, *arguments):
    command = [sys.executable, str(EXAMPLE), "--output", str(output), *arguments]
    return subprocess.run(command, cwd=output.parent, capture_output=True, text=True)


def tiny(*settings):
    numbers = "--rollouts 3 --members 16 --slots 3 --buckets 256 --epochs 2 --batch-size 8 --val-every 2 --seed 5"
    stated = [part for setting in ("action=append", REWARD, "items=600", *settings) for part in ("--set", setting)]
    return [*stated, *numbers.split()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of PPO, and its words."""
    folder = tmp_path_factory.mktemp("sb3")
    (folder / "words.txt").write_text("lamp\nwool blanket\n\nsteel\n", encoding="utf-8")
    done = run(folder / "run", *tiny(), "--vocabulary", "words.txt", "--test-splits", "test", "ood-type")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_curve_and_the_arguments_are_kept(finished):
    curve = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [found["step"] for found in curve] == [1, 2, 3]
    assert [found["step"] for found in curve if "val" in found] == [2]
    assert curve[0]["seconds"] < curve[2]["seconds"]
    assert 0.9 * 3 * np.log(4) < curve[0]["entropy"] < 3 * np.log(4), "three draws of four choices, hardly learned from"
    kept = json.loads((finished / "run.json").read_text())
    assert kept["curve"] == curve
    assert kept["arguments"]["seed"] == 5
    assert kept["arguments"]["slots"] == 3
    assert kept["id"] == "RecR1-CornerShop-BM25-v0"


def test_trained_is_compared_with_raw_on_each_split_and_is_the_saved_policy(finished):
    assert {path.name for path in finished.glob("evaluation-*")} == {"evaluation-test.json", "evaluation-ood-type.json"}
    for split in ("test", "ood-type"):
        result = json.loads((finished / f"evaluation-{split}.json").read_text())
        assert result["split"] == split
        reward = result["settings"]["reward"]
        assert reward["measure"] == "ndcg@10", "the measure itself, not the reward of the training"
        assert (reward["transforms"], reward["terms"]) == ([], [])
        assert [policy["policy"] for policy in result["policies"]] == ["raw", "trained"]
        task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", action="append", items=600, split=split, reward="ndcg@10")
        policy = make_policy(f"rec_gym.adapters.sb3:load_policy:{finished / 'policy'}", task)
        assert policy.edits.vocabulary == ["lamp", "wool blanket", "steel"]
        again = evaluate(task, policy, measures=["ndcg@10"], progress=False)
        assert result["policies"][1]["requests"]["ndcg@10"] == again.values("ndcg@10").tolist()


def test_maskable_and_several_turns(tmp_path):
    settings = {"algorithm": "maskable", "steps": 2, "gamma": 1, "baseline": "none", "test-splits": "test"}
    done = run(tmp_path / "run", *tiny("turns=2"), *(f"--{key}={value}" for key, value in settings.items()))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/policy/words.json").read_text())["algorithm"] == "MaskablePPO"
    assert json.loads((tmp_path / "run/evaluation-test.json").read_text())["settings"]["turns"] == 2


def test_a_missing_split_is_reported_before_the_training(tmp_path):
    done = run(tmp_path / "run", *tiny(), "--test-splits", "nope")
    assert done.returncode == 1
    assert "has no split 'nope'" in done.stderr
    assert not (tmp_path / "run").exists()
