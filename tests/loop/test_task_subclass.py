"""A subclass of Task that pays a further term: every path pays it."""

import json
import pickle

import numpy as np
import pytest

import rec_gym
from rec_gym import Task
from rec_gym.adapters import openrlhf, verl
from rec_gym.adapters import rows as rows_module
from rec_gym.adapters.trl import TaskReward, environment_factory
from rec_gym.env import RecommenderEnv
from rec_gym.evaluation import evaluate
from rec_gym.serving import Gather
from rec_gym.vector_env import RecommenderVectorEnv

TEXTS = {"q1": "red chair", "q2": "lamp", "q3": "desk"}


class MarginTask(Task):
    """Pays for the price of the first item."""

    weight = 0.01

    def score(self, request_ids, completions):
        outcomes = super().score(request_ids, completions)
        first = outcomes.rankings.items[:, 0]
        prices = np.where(first >= 0, self.dataset.catalog.values("price")[first], 0)
        return outcomes.with_term("margin", self.weight * prices)


class WeightedTask(MarginTask):
    """The same with a constructor of its own."""

    def __init__(self, *args, weight, **settings):
        super().__init__(*args, feedback_k=2, **settings)
        self.weight = weight


class ClosedTask(Task):
    """Its constructor hands on no settings."""

    def __init__(self, dataset, recommender):
        super().__init__(dataset, recommender)


@pytest.fixture
def task(dataset, overlap):
    return MarginTask(dataset, overlap)


@pytest.fixture
def expected(dataset, overlap):
    """Rewards by request, counted from the plain task and the prices: the chair's 40, the lamp's 10, the desk's 120."""
    plain = Task(dataset, overlap).score(list(TEXTS), list(TEXTS.values())).rewards
    return dict(zip(TEXTS, plain + np.array([0.4, 0.1, 1.2]), strict=True))


def test_score_and_both_environments_pay_the_same(task, expected):
    assert dict(zip(TEXTS, task.score(list(TEXTS), list(TEXTS.values())).rewards, strict=True)) == expected
    env = RecommenderEnv(task)
    for name, text in TEXTS.items():
        env.reset(options={"request_id": name})
        _, reward, _, _, info = env.step(text)
        assert reward == expected[name]
        assert info["term/margin"] == pytest.approx(expected[name] - info["measure/ndcg@100"])
    vector = RecommenderVectorEnv(task, 3)
    vector.reset(options={"request_ids": list(TEXTS)})
    assert vector.step(list(TEXTS.values()))[1].tolist() == list(expected.values())


def test_evaluation_agrees_with_training(task, expected):
    evaluation = evaluate(task, lambda rows: [TEXTS[row["request_id"]] for row in rows], progress=False)
    assert evaluation.rewards.tolist() == [expected[name] for name in evaluation.request_ids]


def test_the_adapters_pay_the_same(task, expected, monkeypatch):
    ids, texts = list(TEXTS), list(TEXTS.values())
    assert TaskReward(task)(completions=texts, request_id=ids) == list(expected.values())
    description = json.dumps({"id": "Shop-v0", "settings": {}})
    monkeypatch.setitem(rows_module._gatherers, description, Gather(task))
    rows = verl.compute_scores(["shop"] * 3, texts, ids, [{"task": description}] * 3)
    assert [row["score"] for row in rows] == list(expected.values())
    assert [row[rows_module.OTHER_TERMS] for row in rows] == pytest.approx([0.4, 0.1, 1.2])
    labels = [json.dumps({"task": description, "request_id": name}) for name in ids]
    rows = openrlhf.score([f"prompt{text}" for text in texts], ["prompt"] * 3, labels)
    assert [row["score"] for row in rows] == list(expected.values())


def test_stable_baselines3_pays_the_same(task, expected):
    pytest.importorskip("sb3_contrib")
    from rec_gym.adapters import sb3
    from rec_gym.adapters.query_edits import QueryEdits

    env = sb3.QueryEditVecEnv(task, QueryEdits(["lamp", "desk"], slots=1), num_envs=1)
    env.reset()
    _, rewards, _, infos = env.step(np.array([[1]]))
    [name] = [infos[0]["request_id"]]
    plain = Task(task.dataset, task.recommender).score([name], [infos[0]["query"]])
    price = task.dataset.catalog.values("price")[plain.rankings.items[0, 0]]
    assert rewards[0] == np.float32(plain.rewards[0] + 0.01 * price)


def test_turns_pay_it_and_a_stop_asks_nothing(task, overlap):
    turns = task.replace(turns=3, turn_reward="last")
    episodes, _, _ = turns.advance(turns.start(["q3", "q2", "q3"]), ["lamp", "lamp", "desk"])
    overlap.calls.clear()
    episodes, outcomes, _ = turns.advance(episodes, ["desk", "<stop>", "desk"])
    assert overlap.calls == [("desk",)]
    assert outcomes.parse == ["ok", "stop", "ok"]
    assert outcomes.scored.tolist() == [True, False, True]
    assert outcomes.terms["margin"].tolist() == [1.2, 0, 1.2]
    assert outcomes.rankings.lengths.tolist() == [1, 0, 1]
    assert outcomes.searched == ["desk", "", "desk"]
    assert [episode.done for episode in episodes] == [False, True, False]
    _, last, _ = turns.advance([episodes[0]], ["<stop>"])
    assert last.columns().keys() == outcomes.columns().keys()
    assert last.rewards.tolist() == [turns.score(["q3"], ["desk"]).rewards[0]]


def test_rollouts_with_tools_pay_it(task, expected):
    pytest.importorskip("trl")
    environment = environment_factory(task)()
    environment.reset(request_id="q3")
    environment.search("desk")
    assert environment.get_reward() == expected["q3"]


def test_it_pickles(task, expected):
    again = pickle.loads(pickle.dumps(task)).replace(measures=["mrr@10"])
    assert type(again) is MarginTask
    assert again.score(["q1"], ["red chair"]).rewards.tolist() == [expected["q1"]]


def test_replace_calls_a_constructor_again_with_what_it_was_given(dataset, overlap):
    task = WeightedTask(dataset, overlap, weight=0.1, split="val")
    train = pickle.loads(pickle.dumps(task)).replace(split="train", reward="mrr@10")
    assert (type(train), train.weight, train.turns.feedback_k, train.split) == (WeightedTask, 0.1, 2, "train")
    heavier = task.replace(weight=1.0)
    assert (heavier.weight, heavier.split, heavier.recommender) == (1.0, "val", overlap)
    assert heavier.score(["q4"], ["rug"]).terms["margin"].tolist() == [60.0]
    with pytest.raises(
        TypeError, match="a WeightedTask has no such setting: unknown setting 'wieght'; did you mean 'wei"
    ):
        task.replace(wieght=1)
    with pytest.raises(TypeError, match="multiple values for keyword argument 'feedback_k'"):
        task.replace(feedback_k=3)


def test_a_constructor_that_hands_on_nothing_is_refused(dataset, overlap):
    with pytest.raises(
        TypeError, match="a ClosedTask has no such setting: unknown setting 'split'; .*dataset, recommender"
    ):
        ClosedTask(dataset, overlap).replace(split="val")
    assert type(ClosedTask(dataset, overlap).replace(recommender=overlap)) is ClosedTask


def test_what_score_returns_is_looked_at(dataset, overlap):
    class Rewards(Task):
        def score(self, request_ids, completions):
            return super().score(request_ids, completions).rewards

    with pytest.raises(TypeError, match="Rewards.score must return Outcomes of 1 completions, not ndarray"):
        evaluate(Rewards(dataset, overlap), lambda rows: ["x"] * len(rows), requests=1, progress=False)


def test_a_term_needs_a_new_name_and_numbers(dataset, overlap):
    outcomes = Task(dataset, overlap).score(["q1"], ["red"])
    with pytest.raises(ValueError, match="there is a term 'measure' already"):
        outcomes.with_term("measure", np.zeros(1))
    for wrong in (np.zeros(2), np.array([np.nan])):
        with pytest.raises(ValueError, match="term 'margin' needs one finite number for each of 1 completions"):
            outcomes.with_term("margin", wrong)


def test_a_registered_task_is_replaced_as_before():
    task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", split="val", items=600)
    assert type(task.replace(split="test")) is Task
