"""The example that learns filters: what its three arms train, and that a run leaves what it says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rec_gym import make_task
from rec_gym.policies import make_policy
from rec_gym.policies.learner import load_policy

tyro = pytest.importorskip("tyro")

sys.path.append(str(Path(__file__).parents[2] / "examples"))  # examples import their neighbours

from set_filters import Arguments, main  # noqa: E402

SMALL = {"set": ("items=600",), "steps": 2, "prompts": 4, "group_size": 4, "val_every": 2, "seed": 5}


@pytest.mark.parametrize(("words", "filters"), [(False, True), (True, False), (True, True)])
def test_a_run_leaves_what_it_says(tmp_path, capsys, words, filters):
    main(Arguments(tmp_path / "out", words=words, filters=filters, test_splits=("test",), **SMALL))
    policy = load_policy(tmp_path / "out" / "policy.npz")
    assert (len(policy.vocabulary) > 1, policy.filters is not None) == (words, filters)
    curve = json.loads((tmp_path / "out" / "run.json").read_text())["curve"]
    assert ["filters" in step for step in curve] == [filters, filters]
    assert ["val" in step for step in curve] == [False, True]
    saved = json.loads((tmp_path / "out" / "evaluation-test.json").read_text())
    assert [policy["policy"] for policy in saved["policies"]] == ["raw", "trained"]
    task = make_task(Arguments.id, items=600, split="test")
    again = task.score(
        task.request_ids, make_policy(f"words:{tmp_path / 'out' / 'policy.npz'}", task)(list(task.rows()))
    )
    np.testing.assert_allclose(again.rewards, saved["policies"][1]["requests"]["ndcg@10"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": False, "filters": False}, "has nothing to learn"),
        ({"set": ("turns=3", "items=600")}, "needs --set turns=1"),
    ],
)
def test_what_it_cannot_train_is_refused(tmp_path, changes, message):
    with pytest.raises(SystemExit, match=message):
        main(Arguments(tmp_path / "out", **SMALL | changes))
    assert not (tmp_path / "out").exists()
