"""Custom measures: by registered name, by path and as functions, in tasks and in lists."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.registries import keep

import rec_gym
from rec_gym.evaluation import evaluate as evaluate_policy
from rec_gym.measures import MEASURES, ListMeasure, Measure, RankMeasure, evaluate, parameter_names, register_measure
from rec_gym.policies import make_policy
from rec_gym.recommenders.trivial import RandomRecommender

HERE = __name__


def found_share(judged, cutoff):
    return judged.total(judged.hits(cutoff)) / judged.ranks.lengths


def gain_share(rankings, gains, catalog, requests):
    assert gains.shape == rankings.items.shape
    whole = [sum(request.gains.values()) for request in requests]
    ids = [catalog.ids(items[items >= 0]) for items in rankings.items]
    listed = [sum(r.gains.get(item, 0) for item in row) for r, row in zip(requests, ids, strict=True)]
    np.testing.assert_allclose(gains.sum(axis=1), listed)
    return gains.sum(axis=1) / whole


class Length(ListMeasure):
    range = (0.0, 1e9)

    def __call__(self, listed, cutoff):
        return listed.top(cutoff).lengths


@dataclass
class Capped(RankMeasure):
    most: float

    def check(self, dataset):
        if self.most < 0.01:
            raise ValueError(f"{self.most} is too little for {len(dataset)} requests")

    def __call__(self, judged, cutoff):
        return np.minimum(found_share(judged, cutoff), self.most)


def two(judged, cutoff):
    return np.full(len(judged.ranks), 2.0)


def short(judged, cutoff):
    return np.zeros(1)


def no_measure(text):
    raise AssertionError("it must not be called")


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task("RecR1-CornerShop-BM25-v0")


@pytest.fixture
def registry(monkeypatch):
    keep(monkeypatch, MEASURES)


def score(task, **settings):
    task = task.replace(**settings)
    rows = [row for _, row in zip(range(20), task.rows(), strict=False)]
    return task, task.score([row["request_id"] for row in rows], [row["text"] for row in rows])


def test_a_registered_measure_is_one_like_all_others(task, registry):
    register_measure("share", found_share)
    register_measure("capped", Capped)
    spec = {
        "measure": "share@10",
        "terms": {"share@5": 0.5, "capped(0.25)@10": 1},
        "transforms": [{"name": "gate", "measure": "capped(1)@10"}],
    }
    _, outcomes = score(task, reward=spec, measures=["recall@10", "recall@5"])
    recall = outcomes.measures["recall@10"]
    assert recall.any()
    np.testing.assert_allclose(outcomes.measures["share@10"], recall)
    np.testing.assert_allclose(outcomes.measures["capped(0.25)@10"], np.minimum(recall, 0.25))
    np.testing.assert_allclose(
        outcomes.rewards, recall**2 + 0.5 * outcomes.measures["recall@5"] + np.minimum(recall, 0.25)
    )
    values = evaluate(["share@1", "recall@1"], [["a", "b"]], [{"a": 1, "b": 1}])
    assert values["share@1"] == values["recall@1"] == 0.5


def test_a_path_names_a_measure_wherever_one_is_named(task):
    name = f"{HERE}:gain_share@10"
    _, outcomes = score(task, reward={"measure": name, "terms": {f"{HERE}:found_share@10": 1}}, measures=["recall@10"])
    np.testing.assert_allclose(outcomes.rewards, outcomes.measures[name] + outcomes.measures["recall@10"])
    gated = {"measure": "ndcg@10", "transforms": [{"name": "gate", "measure": f"{HERE}:found_share@10", "at": 0.5}]}
    _, outcomes = score(task, reward=gated, measures=["recall@10"])
    open_ = outcomes.measures["recall@10"] >= 0.5
    np.testing.assert_allclose(outcomes.rewards, np.where(open_, outcomes.measures["ndcg@10"], 0))


def test_a_file_names_a_measure(tmp_path):
    (tmp_path / "mine.py").write_text("def first(judged, cutoff):\n    return (judged.ranks.values == 0) * 1.0\n")
    name = f"{tmp_path}/mine.py:first@3"
    assert evaluate([name], [["a", "b"]], [{"a": 1}])[name] == 1


def test_a_function_is_a_measure_in_python(task):
    scored, outcomes = score(task, reward=gain_share, measures=[Length])
    assert [str(measure) for measure in scored.measures] == [f"{HERE}:gain_share", f"{HERE}:Length"]
    assert (outcomes.rewards == outcomes.measures[f"{HERE}:gain_share"]).all()
    assert outcomes.measures[f"{HERE}:Length"].tolist() == outcomes.rankings.lengths.tolist()
    policy = make_policy("raw", task)
    evaluation = evaluate_policy(task, policy, measures=[found_share, "rbp(0.80)@10"], requests=5, progress=False)
    assert list(evaluation.measures)[:2] == [f"{HERE}:found_share", "rbp(0.8)@10"]
    with pytest.raises(ValueError, match="not at the top level of a module; register it by a name as a measure"):
        task.replace(measures=[lambda judged, cutoff: None])
    with pytest.raises(ValueError, match="is not a measure; name one, or pass a class under"):
        task.replace(reward=no_measure)


def test_what_is_no_measure_is_refused_and_not_called(task):
    with pytest.raises(ValueError, match="is the function no_measure.., not a measure; name a class under RankMeasure"):
        task.replace(measures=[f"{HERE}:no_measure@10"])
    with pytest.raises(ValueError, match="did you mean 'gain_share'"):
        task.replace(measures=[f"{HERE}:gain_shares@10"])


def test_code_is_imported_when_a_task_is_made_and_not_when_it_is_named():
    assert str(Measure.parse("nowhere.at.all:fn@10")) == "nowhere.at.all:fn@10"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two@10", r"returned 2.0, outside its range \[0.0, 1.0\]"),
        ("short@10", r"one number per request, shape \(20,\)"),
    ],
)
def test_wrong_values_are_refused(task, name, message):
    with pytest.raises(ValueError, match=message):
        score(task, measures=[f"{HERE}:{name}"])


def test_a_reward_takes_measures_in_0_1_only(task):
    with pytest.raises(ValueError, match=r"measures in \[0, 1\], and .*:Length@5 lies in .* report it with measures="):
        task.replace(reward=f"{HERE}:Length@5")


def test_preconditions_are_checked_when_a_task_is_made(task):
    with pytest.raises(ValueError, match="0.001 is too little for"):
        task.replace(measures=[f"{HERE}:Capped(0.001)@5"])
    with pytest.raises(ValueError, match=r"err\(0.5\) takes gains up to 0.5"):
        task.replace(measures=["err(0.5)@10"])
    request = {"id": "q", "text": "x", "split": "train", "targets": ["a"]}
    catalog = rec_gym.Catalog.from_columns({"item_id": ["a"], "title": ["x"]})
    dataset = rec_gym.Dataset.from_requests(catalog, [request])
    with pytest.raises(ValueError, match="constraints@k needs a dataset whose requests keep hard constraints"):
        rec_gym.Task(dataset, RandomRecommender().fit(catalog), measures=["constraints@10"])


@pytest.mark.parametrize(
    ("name", "definition", "message"),
    [
        ("ndcg", found_share, "the name 'ndcg' is taken by another measure"),
        ("ndcg@10", found_share, "the name of a measure is lower-case letters"),
        ("my measure", found_share, "the name of a measure is lower-case letters"),
        ("a:b", found_share, "the name of a measure is lower-case letters"),
        ("", found_share, "the name of a measure is lower-case letters"),
        (5, found_share, "the name of a measure is lower-case letters"),
        ("mine", no_measure, "not a measure; name a class under RankMeasure"),
        ("mine", RankMeasure, "not a measure; name"),
        ("mine", "ndcg", "not a measure; name"),
    ],
)
def test_what_cannot_be_registered(registry, name, definition, message):
    with pytest.raises(ValueError, match=message):
        register_measure(name, definition)


@pytest.mark.parametrize("name", ["ndcg@10", "rbp(0.8)@10", "f1@5", "err(4)@20", "mrr", f"{HERE}:Capped(0.5)@10"])
def test_names_print_as_themselves_and_pickle(name):
    measure = Measure.parse(name)
    again = pickle.loads(pickle.dumps(measure))
    assert str(measure) == str(again) == name
    assert (measure, hash(measure)) == (again, hash(again))


def test_equal_parameters_have_one_spelling():
    assert str(Measure.parse("err(4.0)@10")) == "err(4)@10"
    assert Measure.parse("rbp(0.80)@10") == Measure.parse("rbp( 0.8 )@10")


def test_the_table_of_the_docs_is_the_registry():
    text = (Path(rec_gym.__file__).parents[1] / "docs" / "numbers.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([a-z0-9]+)(?:\((\w+)\))?@k` \| (\w+) \| (\[0, [^|]+) \| (.+?) \| ([^|]+?) \|$", text, re.MULTILINE
    )
    stated = {name: ([parameter] if parameter else [], needs) for name, parameter, needs, *_ in rows}
    ranges = {name: written for name, _, _, written, *_ in rows}
    plain = {"rbp": (0.5,), "err": (4,)}
    assert stated == {
        name: (parameter_names(definition), Measure(name, 10, plain.get(name, ())).needs)
        for name, definition in MEASURES.items()
    }
    for name, written in ranges.items():
        measure = Measure(name, 10, plain.get(name, ()))
        most = {1.0: "1", 2.0**31 - 1: "2^31 - 1"}[measure.range[1]]
        assert written == f"[0, {most}]" + (", lower is better" if measure.lower_is_better else ""), name
