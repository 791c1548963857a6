"""The settings of a task: whole, plain data, and enough to rebuild the task."""

import json

import gymnasium as gym
import numpy as np
import pytest

import rec_gym
from rec_gym import TaskSettings, make_task
from rec_gym.cards import card_of
from rec_gym.loop.rewards import Scale, Transform, make_reward
from rec_gym.loop.task import Task
from rec_gym.recommenders.trivial import RandomRecommender

SHOP = "RecR1-CornerShop-BM25-v0"
RICH = {
    "split": "val",
    "items": 600,
    "recommender": {"name": "bm25", "k1": 0.9, "fields": ["title"]},
    "reward": {
        "measure": "rbp(0.8)@10",
        "transforms": [{"name": "scale", "by": 2}, {"name": "gate", "measure": "constraints@10", "at": 0.1}],
        "terms": {"repetition": -0.1, "length": {"weight": 0.3, "max": 50}, "copy": 0.2, "recall@10": 0.7},
        "unparsed": -1,
    },
    "measures": ["ndcg@10"],
    "action": {"name": "lines", "max_queries": 3, "constant": 30.0},
    "prompt": {"system": "Be brief.", "user": "{request}"},
    "observation": "prompt",
    "turns": 2,
    "turn_reward": "best",
    "feedback_k": 2,
}


def rebuilt(task):
    """The task again from its settings after a trip through JSON that sorts the keys."""
    text = json.dumps(task.settings.as_table(), sort_keys=True, allow_nan=False)
    return make_task(TaskSettings.from_table(json.loads(text)))


def outcomes(task):
    rows = [row for _, row in zip(range(20), task.rows(), strict=False)]
    written = [task.action.compose(" ".join(row["text"].split()[:3]), row["text"]) for row in rows]
    return task.score([row["request_id"] for row in rows], written)


def same(task, other):
    one, two = outcomes(task), outcomes(other)
    assert one.rewards.tolist() == two.rewards.tolist()
    assert {key: value.tolist() for key, value in one.terms.items()} == {k: v.tolist() for k, v in two.terms.items()}
    assert next(iter(task.rows())) == next(iter(other.rows()))
    assert task.settings == other.settings
    assert (task.name, task.split, task.reward_range) == (other.name, other.split, other.reward_range)


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_embedded_id_is_rebuilt(embedded_id, split):
    task = make_task(embedded_id, split=split)
    same(task, rebuilt(task))
    card = card_of(embedded_id)
    assert task.settings.card == {"path": card.path, "sha256": card.hash, "text": card.text}


def test_all_that_can_be_set_is_rebuilt():
    task = make_task(SHOP, **RICH)
    same(task, rebuilt(task))
    assert [term["name"] for term in task.settings.reward["terms"]] == list(RICH["reward"]["terms"])
    assert task.settings.recommender["k1"] == 0.9


def test_a_protocol_is_rebuilt_without_its_card():
    task = make_task("RecR1-CornerShopRerank-BM25-v0", protocol="paper", split="test")
    again = rebuilt(task)
    assert again.settings.protocol == "paper"
    assert again.reward.measure == task.reward.measure
    assert str(again.replace(split="train").reward.measure) == "ndcg@16"  # the cut-offs of the other splits stay


def test_changes_of_a_task_are_in_its_settings():
    task = make_task(SHOP, items=600)
    changed = task.replace(split="test", reward="mrr@5", action={"name": "answer", "strict": True})
    assert (changed.settings.split, changed.settings.reward["measure"]) == ("test", "mrr@5")
    same_task = make_task(task.settings, split="test", reward="mrr@5", action={"name": "answer", "strict": True})
    assert same_task.settings == changed.settings


class TestObjects:
    def test_a_recommender_that_is_an_object_is_said(self):
        task = make_task(SHOP, items=600)
        mine = RandomRecommender().fit(task.dataset.catalog)
        changed = task.replace(recommender=mine)
        assert list(changed.settings.objects()) == ["recommender"]
        assert changed.settings.loader == task.settings.loader
        with pytest.raises(ValueError, match="so the task cannot be rebuilt: recommender was .*Random"):
            rebuilt(changed)
        assert list(Task(task.dataset, mine).settings.objects()) == ["options", "recommender"]

    def test_a_transform_of_a_function_is_said(self):
        class Half(Transform):
            def __call__(self, reward, values):
                return reward / 2

            def bounds(self, low, high):
                return low / 2, high / 2

        task = make_task(SHOP, items=600, reward={"measure": "ndcg@10", "transforms": [Half()]})
        assert list(task.settings.objects()) == ["reward.transforms[0]"]

    def test_wrong_settings_are_errors(self):
        table = make_task(SHOP, items=600).settings.as_table()
        with pytest.raises(ValueError, match="unknown option 'splitt'; did you mean 'split'"):
            TaskSettings.from_table({**table, "splitt": "val"})
        with pytest.raises(ValueError, match="turns of the settings of a task must be a whole number"):
            TaskSettings.from_table({**table, "turns": "2"})


def test_terms_may_be_a_list():
    listed = {"measure": "ndcg@10", "terms": [{"name": "format", "weight": 0.1}, {"name": "copy", "weight": -1}]}
    table = {"measure": "ndcg@10", "terms": {"format": 0.1, "copy": -1}}
    assert make_reward(listed) == make_reward(table)
    with pytest.raises(ValueError, match="a term is a name or a table with 'name'"):
        make_reward({"measure": "ndcg@10", "terms": [{"weight": 1}]})


def test_evaluations_keep_the_settings_whole():
    from rec_gym.evaluation import evaluate
    from rec_gym.policies import make_policy

    task = make_task(SHOP, items=600, split="test")
    result = evaluate(task, make_policy("raw", task), progress=False, requests=20)
    again = make_task(TaskSettings.from_table(result.settings))
    np.testing.assert_array_equal(
        evaluate(again, make_policy("raw", again), progress=False, requests=20).rewards, result.rewards
    )


def test_an_environment_states_the_settings_of_its_task():
    env = gym.make(SHOP, items=600, reward={"measure": "ndcg@10", "transforms": [{"name": "scale", "by": 3}]})
    step = env.unwrapped.task.reward.transforms[0]
    assert step == Scale(3.0)
    assert rec_gym.make_task(env.unwrapped.task.settings).reward.transforms == (step,)
