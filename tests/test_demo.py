"""The learner learns from the reward alone, and the demo reports what it measured."""

import io
import json
import re
import shlex

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from rec_gym import Catalog, Dataset, RecommenderVectorEnv, Task
from rec_gym.cli import app
from rec_gym.demo import LABELS, SPLITS, examples, plot, print_examples, reading, run
from rec_gym.evaluation import Interval
from rec_gym.policies.learner import LearnerSettings, WordPolicy, english_nouns
from rec_gym.recommenders import make_recommender

NEEDS = {"lamp": "light to read by", "chair": "somewhere to sit", "rug": "warm feet", "desk": "a place to write"}


@pytest.fixture
def shop():
    """Four things that are asked for in words that the catalogue does not use."""
    catalog = Catalog.from_columns({"item_id": list(NEEDS), "title": list(NEEDS)})
    requests = [{"id": item, "text": text, "split": "train", "targets": [item]} for item, text in NEEDS.items()]
    return Dataset.from_requests(catalog, requests)


def learned(shop, seed, steps=60):
    task = Task(shop, make_recommender("bm25", {}, shop.catalog), reward="ndcg@1", action="append")
    envs = RecommenderVectorEnv(task, num_envs=32, group_size=8)
    policy = WordPolicy([*NEEDS, "stone", "wheel", "paper"], LearnerSettings(draws=2, learning_rate=0.1, seed=seed))
    observations, _ = envs.reset(seed=seed)
    for _ in range(steps):
        texts = observations[::8]
        completions, drawn = policy.sample(texts, 8)
        observations, rewards, *_ = envs.step(completions)
        policy.learn(texts, drawn, rewards)
    rows = list(task.rows())
    return policy, task.score([row["request_id"] for row in rows], policy(rows)).rewards.mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_learner_learns_what_the_shop_calls_things(shop, seed):
    assert learned(shop, seed)[1] >= 0.75


def test_the_same_seed_learns_the_same(shop):
    first, second = (learned(shop, 3, steps=10)[0] for _ in range(2))
    texts = list(NEEDS.values())
    np.testing.assert_array_equal(first.probabilities(texts), second.probabilities(texts))


def test_rewards_without_difference_teach_nothing():
    policy = WordPolicy(["a", "b"])
    before = policy.probabilities(["x"]).copy()
    told = policy.learn(["x"], np.zeros((4, 8), np.int64), np.full(4, 0.7))
    assert told["flat_groups"] == 1
    np.testing.assert_allclose(policy.probabilities(["x"]), before)


def test_completions_hold_no_word_twice_and_may_be_empty():
    policy = WordPolicy(["a", "b"])
    texts, drawn = policy.sample(["x y", ""], 50)
    assert len(texts) == len(drawn) == 100
    assert all(len(text.split()) == len(set(text.split())) for text in texts)
    assert policy([{"text": ""}]) == [""] or set(policy([{"text": ""}])[0].split()) <= {"a", "b"}


def test_the_vocabulary_is_plain_english():
    words = english_nouns()
    assert len(words) == len(set(words)) > 1000
    assert all(re.fullmatch("[a-z]{3,}", word) for word in words)


@pytest.mark.slow
def test_the_demo_runs_and_saves_what_it_says(tmp_path):
    out = io.StringIO()
    result = run(steps=3, output=tmp_path, console=Console(file=out, width=80))
    text = out.getvalue()
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result))
    assert (tmp_path / "reward.png").read_bytes().startswith(b"\x89PNG")
    for split in SPLITS:
        assert split in text
        oracle = result["scores"][split]["oracle"]["mean"]
        assert f"{oracle:.3f}" in text
        assert result["scores"][split]["raw"]["mean"] < 0.2 < 0.9 < oracle
        means = {name: value["mean"] for name, value in result["scores"][split].items()}
        assert means.keys() == LABELS.keys()
        assert means["raw"] < means["best-word"] < means["best-words"] < means["oracle"]
    assert "train it for more steps" in " ".join(text.split())
    assert "action format 'append'" in text
    assert "\x1b" not in text
    *lines, command = text.splitlines()
    assert max(map(len, lines)) <= 80
    evaluated = CliRunner().invoke(app, [*shlex.split(command)[1:], "--json", str(tmp_path / "test.json")])
    assert evaluated.exit_code == 0, evaluated.output
    saved = json.loads((tmp_path / "test.json").read_text())
    means = {policy["policy"].partition(":")[0]: policy["measures"]["ndcg@10"]["mean"] for policy in saved["policies"]}
    shown = result["scores"]["test"]
    assert means == pytest.approx({"raw": shown["raw"]["mean"], "words": shown["trained"]["mean"]})


def test_examples_are_the_best_the_median_and_the_worst(shop):
    requests = [
        {"id": f"r{i}", "text": text, "split": "train", "targets": [item]}
        for i, (text, item) in enumerate(
            [("seat", "chair"), ("lamp", "lamp"), ("warm", "rug"), ("light", "lamp"), ("x", "rug")]
        )
    ]
    task = Task(
        Dataset.from_requests(shop.catalog, requests),
        make_recommender("bm25", {}, shop.catalog),
        reward="mrr@10",
        action="append",
    )
    added = {"seat": "chair", "lamp": "desk rug lamp", "warm": "rug", "light": "desk", "x": ""}

    def policy(rows):
        return [added[row["text"]] for row in rows]

    shown = examples(task, policy)
    assert [example.which for example in shown] == ["best", "median", "worst"]
    # The gains are 1, 0, 1, 0, 0: equals are put into order by their ids.
    assert [example.request_id for example in shown] == ["r0", "r1", "r4"]
    assert (shown[0].before, shown[0].after, shown[0].added) == (0, 1, "chair")
    assert (shown[0].titles_before, shown[0].titles_after) == ([], ["* chair"])
    assert shown[1].titles_after[0] == "* lamp"
    assert sorted(shown[1].titles_after[1:]) == ["  desk", "  rug"]
    out = io.StringIO()
    print_examples(shown, Console(file=out, width=80))
    assert re.search(r"best \(\+1\.00\): seat\n +\+ chair\n +raw: 0\.00 +trained: 1\.00 *\n +\* chair", out.getvalue())
    assert "+ (nothing)" in out.getvalue()


def scores(**trained):
    raw, flat = Interval(0.08, 0.06, 0.1), {"rm3": Interval(0.07, 0.05, 0.09), "oracle": Interval(0.9, 0.9, 0.9)}
    value = {split: trained.get(split.replace("-", "_"), 0.08) for split in SPLITS}
    return {split: flat | {"raw": raw, "trained": Interval(v, v - 0.02, v + 0.02)} for split, v in value.items()}


def test_the_sentence_follows_the_numbers():
    assert "from 0.08 to 0.50" in reading(scores(test=0.5))
    assert "30% of that gain" in reading(scores(test=0.48, ood_phrasing=0.2))
    assert "below the raw query (0.02 against 0.08)" in reading(scores(test=0.5, ood_type=0.02))
    assert "no better than the raw query" in reading(scores(test=0.5, ood_type=0.09))
    assert "above the raw query" in reading(scores(test=0.5, ood_type=0.3))
    assert "not what they mean" in reading(scores(test=0.5, ood_type=0.02))
    assert "not what they mean" not in reading(scores(test=0.5, ood_type=0.3))
    assert "not what they mean" not in reading(scores(test=0.5, ood_phrasing=0.45))
    assert "not yet above the raw query" in reading(scores(test=0.09))


def test_a_missing_extra_names_the_install_command(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[plot\]'"):
        plot([{"reward": 1.0}], tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
