"""The example that trains with TRL: over one turn and over several, as a user would run it, and what it keeps."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trl_script import FRAMEWORK_WARNINGS, NEEDS_TRAINER, the_example

import rec_gym
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy

pytestmark = [pytest.mark.trainer, pytest.mark.slow, NEEDS_TRAINER, *FRAMEWORK_WARNINGS]

EXAMPLES = Path(__file__).parents[3] / "examples"
REFINE = "RecR1-CornerShopRefine-BM25-v0"


def run(output, *arguments):
    numbers = [
        "--prompts",
        "2",
        "--group-size",
        "4",
        "--max-new-tokens",
        "8",
        "--val-requests",
        "10",
        "--test-requests",
        "10",
    ]
    command = [sys.executable, str(EXAMPLES / "train_trl.py"), *numbers, "--output", str(output), *arguments]
    return subprocess.run(command, cwd=output.parent, capture_output=True, text=True)


def curve(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_one_turn(tmp_path):
    folder = tmp_path / "run"
    given = ["--set", "items=600", "--set", "reward=ndcg@10", "--steps", "2", "--val-every", "2", "--seed", "3"]
    done = run(folder, *given, "--test-splits", "test", "ood-type", "--micro-batch", "4")
    assert done.returncode == 0, done.stderr
    steps = curve(folder)
    assert [found["step"] for found in steps] == [1, 2]
    assert [found["step"] for found in steps if "val" in found] == [2]
    assert {"reward", "measure/ndcg@10", "term/measure", "text/copy", "parse_ok"} <= steps[0].keys()
    assert steps[0]["reward"] == pytest.approx(steps[0]["measure/ndcg@10"])
    kept = json.loads((folder / "run.json").read_text())
    assert kept["curve"] == steps
    assert (kept["arguments"]["seed"], kept["id"]) == (3, "RecR1-CornerShop-BM25-v0")
    assert kept["arguments"] == json.loads((folder / "arguments.json").read_text())
    assert {path.name for path in folder.glob("evaluation-*")} == {"evaluation-test.json", "evaluation-ood-type.json"}
    result = json.loads((folder / "evaluation-test.json").read_text())
    assert [policy["policy"] for policy in result["policies"]] == ["raw", "trained"]

    # The saved folder is a policy, and the one that was evaluated.
    task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600, split="test")
    policy = make_policy(f"{EXAMPLES / 'hf_policy.py'}:HFPolicy:{folder / 'model'}", task)
    again = evaluate(task, policy, measures=["ndcg@10"], requests=10, progress=False)
    found = result["policies"][1]["requests"]
    assert found["ndcg@10"] == again.values("ndcg@10").tolist()
    assert found["length"] == again.text_stats["length"].tolist()
    assert max(found["length"]) > 1

    other = run(folder, *given, "--lora-rank", "1")
    assert other.returncode != 0
    assert "holds a run with other arguments" in other.stderr
    assert curve(folder) == steps


def test_several_turns(tmp_path):
    folder = tmp_path / "run"
    done = run(folder, "--id", REFINE, "--set", "items=600", *["--steps", "1", "--val-every", "0", "--lora-rank", "2"])
    assert done.returncode == 0, done.stderr
    [step] = curve(folder)
    assert {"measure/ndcg@100", "searches", "rewards/SearchEnvironment/mean", "tools/failure_frequency"} <= step.keys()
    assert "val" not in step
    result = json.loads((folder / "evaluation-test.json").read_text())
    assert result["settings"]["turns"] == 3
    assert result["policies"][1]["policy"] == "trained"
    assert (folder / "model" / "adapter_config.json").is_file()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"test_splits": ("nope",)}, "unknown split 'nope'"),
        ({"micro_batch": 3}, "--micro-batch must divide prompts \\* group_size, 8; 3 does not"),
        ({"set": ("items=600", "colour=red")}, "colour"),
        ({"model": "./nowhere"}, "no model at './nowhere'"),
        ({"group_size": 1}, "at least 2"),
    ],
)
def test_what_is_wrong_is_reported_before_there_is_a_folder(tmp_path, wrong, says):
    example = the_example()
    right = example.Arguments(output=tmp_path / "run", set=("items=600",), prompts=2, group_size=4)
    with pytest.raises((SystemExit, ValueError, TypeError, FileNotFoundError), match=says):
        example.main(replace(right, **wrong))
    assert not (tmp_path / "run").exists()
