"""The commands on a card of a package outside of this one."""

import json
from pathlib import Path

SHOP = f"{Path(__file__).parent / 'rec_gym_outside' / 'card.toml'}:Outside-v0"


def test_evaluate(run, tmp_path):
    policies = "rec_gym_outside.agents:tag_all,rec_gym_outside.agents:TagWord:chair,oracle"
    measures = "rec_gym_outside.rewards:HalfLife(2)@10,ndcg@10"
    arguments = ["evaluate", SHOP, "--split", "test", "--measures", measures, "--json", "result.json"]
    text = run("-m", "rec_gym.cli", *arguments, "--policy", policies)
    assert "HalfLife(2)@10" in text
    words, with_chair, oracle = json.loads((tmp_path / "result.json").read_text())["policies"]
    means = [policy["measures"]["ndcg@10"]["mean"] for policy in (words, with_chair, oracle)]
    assert means[0] < means[1] < means[2] == 1.0


def test_train(run, tmp_path):
    run("-m", "rec_gym.cli", "train", SHOP, "--steps", 10, "--vocabulary", "catalog", "--output", "out")
    curve = json.loads((tmp_path / "out" / "result.json").read_text())["training"]["curve"]
    assert len(curve) == 10
    assert curve[-1]["reward"] > curve[0]["reward"] > 0
