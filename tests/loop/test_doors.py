"""Custom code of every kind at work: in a task, in an evaluation and in a vector environment, by name and by path."""

import gymnasium as gym
import numpy as np
import pytest
from helpers import custom_code as custom
from helpers.registries import keep

import rec_gym
from rec_gym.loop.actions import ACTIONS
from rec_gym.loop.papers import PROTOCOLS
from rec_gym.loop.prompts import PROMPTS
from rec_gym.loop.terms import TERMS
from rec_gym.loop.transforms import TRANSFORMS
from rec_gym.measures import MEASURES
from rec_gym.policies.registry import POLICIES
from rec_gym.recommenders import RECOMMENDERS
from rec_gym.testing import check_action_format, check_measure, check_policy, check_recommender

SHOP = "RecR1-CornerShop-BM25-v0"
REGISTERED = {
    "found_any": (rec_gym.register_measure, "found-any"),
    "Power": (rec_gym.register_transform, "power"),
    "Outside": (rec_gym.register_transform, "outside"),
    "few_words": (rec_gym.register_term, "few-words"),
    "out_of_range": (rec_gym.register_term, "out-of-range"),
    "Pair": (rec_gym.register_action, "pair"),
    "Overlap": (rec_gym.register_recommender, "overlap"),
    "shout": (rec_gym.register_policy, "shout"),
    "Suffix": (rec_gym.register_policy, "suffix"),
    "SHORT": (rec_gym.register_prompt, "short"),
}


@pytest.fixture(params=["name", "module", "file"])
def named(request, monkeypatch):
    """How settings name the custom code, registered or not."""
    keep(monkeypatch, ACTIONS, MEASURES, POLICIES, PROMPTS, PROTOCOLS, RECOMMENDERS, TERMS, TRANSFORMS)
    if request.param == "name":
        for attribute, (register, name) in REGISTERED.items():
            register(name, getattr(custom, attribute))
        return lambda attribute: REGISTERED[attribute][1]
    source = custom.__file__ if request.param == "file" else custom.__name__
    return lambda attribute: f"{source}:{attribute}"


@pytest.fixture
def task(dataset, overlap):
    return rec_gym.Task(dataset, overlap, reward="ndcg@6")


IDS, COMPLETIONS = ["q1", "q2", "q3", "q1"], ["red chair", "lamp", "a place to write and to work at", "nothing at all"]


def test_a_measure(named, task):
    measure = f"{named('found_any')}@2"
    check_measure(measure)
    outcomes = task.replace(reward=measure, measures=["recall@2"]).score(IDS, COMPLETIONS)
    np.testing.assert_array_equal(outcomes.rewards, outcomes.measures["recall@2"] > 0)
    assert outcomes.rewards.tolist() == outcomes.measures[measure].tolist()
    assert 0 < outcomes.rewards.sum() < 4


def test_a_transform_and_its_options(named, task):
    plain = task.score(IDS, COMPLETIONS).rewards
    for by in (2, 3):
        powers = task.replace(reward={"measure": "ndcg@6", "transforms": [{"name": named("Power"), "by": by}]})
        np.testing.assert_allclose(powers.score(IDS, COMPLETIONS).rewards, plain**by)
        assert powers.reward_range == (0.0, 1.0)
    assert len(set(plain.tolist())) > 2
    for options, message in (({"bye": 2}, "did you mean 'by'"), ({"by": "2"}, "by")):
        with pytest.raises(ValueError, match=message):
            task.replace(reward={"measure": "ndcg@6", "transforms": [{"name": named("Power"), **options}]})


def test_a_transform_out_of_its_bounds_is_an_error(named, task):
    wrong = task.replace(reward={"measure": "ndcg@6", "transforms": [named("Outside")]})
    with pytest.raises(ValueError, match=r"outside of \[0.0, 1.0\]; correct bounds\(\) of \['Outside'\]"):
        wrong.score(IDS, COMPLETIONS)


def test_a_term_and_its_options(named, task):
    name = named("few_words")
    plain = task.score(IDS, COMPLETIONS).rewards
    for term, few in ((0.5, [1, 1, 0, 1]), ({"weight": 0.5, "most": 1}, [0, 1, 0, 0])):
        paid = task.replace(reward={"measure": "ndcg@6", "terms": {name: term}})
        outcomes = paid.score(IDS, COMPLETIONS)
        np.testing.assert_allclose(outcomes.rewards, plain + 0.5 * np.array(few))
        assert outcomes.terms[name].tolist() == [0.5 * one for one in few]
        assert paid.reward_range == (0.0, 1.5)


def test_options_of_a_term_are_checked(named, task):
    for options, message in (
        ({"weight": 1, "moost": 2}, "did you mean 'most'"),
        ({"most": 2}, "weight"),
        ({"weight": "1"}, "weight"),
    ):
        reward = {"measure": "ndcg@6", "terms": {named("few_words"): options}}
        with pytest.raises(ValueError, match=message):
            task.replace(reward=reward).score(IDS, COMPLETIONS)


def test_a_term_out_of_range_is_an_error(named, task):
    wrong = task.replace(reward={"measure": "ndcg@6", "terms": {named("out_of_range"): 1}})
    with pytest.raises(ValueError, match=r"must return 4 numbers in \[0, 1\], not array\(\[2."):
        wrong.score(IDS, COMPLETIONS)


def test_an_action_format_merges_two_queries_by_its_own_rule(named, task, catalog):
    check_action_format(named("Pair"))
    completion = "red chair | oak desk"
    for options, expected in (
        ({}, ["chair-r", "lamp-r", "chair-b", "desk"]),
        ({"second_first": True}, ["desk", "chair-r", "lamp-r", "chair-b"]),
    ):
        pairs = task.replace(action={"name": named("Pair"), **options}, measures=["mrr@6"])
        outcomes = pairs.score(["q3", "q1"], [completion, "|"])
        assert outcomes.rankings.ids(catalog) == [expected, []]
        assert outcomes.measures["mrr@6"].tolist() == [1 / (1 + expected.index("desk")), 0]
        assert outcomes.text_stats["halves"].tolist() == [2, 0]
        assert outcomes.parse == ["ok", "empty"]
        assert pairs.action.instruction in pairs.rows_of(pairs.start(["q1"]))[0]["prompt"]
    with pytest.raises(ValueError, match="did you mean 'second_first'"):
        task.replace(action={"name": named("Pair"), "second_frist": True})


def test_an_action_format_in_an_evaluation(named):
    task = rec_gym.make_task(SHOP, split="val", action={"name": named("Pair"), "second_first": True})

    def two(rows):
        return [f"wool | {row['text']}" for row in rows]

    result = rec_gym.evaluation.evaluate(task, two, requests=12, measures=["ndcg@10"], progress=False)
    raw = rec_gym.evaluation.evaluate(
        task, lambda rows: [row["text"] for row in rows], requests=12, measures=["ndcg@10"], progress=False
    )
    np.testing.assert_allclose(result.measures["ndcg@10"], raw.measures["ndcg@10"])  # the second query leads
    assert raw.measures["ndcg@10"].any()
    assert set(result.text_stats["halves"]) == {2.0}


def test_an_action_format_in_a_vector_environment(named):
    settings = {"action": named("Pair"), "reward": "ndcg@10"}
    envs = gym.make_vec(SHOP, num_envs=3, **settings)
    observations, infos = envs.reset(seed=0)
    completions = [f"wool blanket | {text}" for text in observations]
    _, rewards, done, _, infos = envs.step(completions)
    task = rec_gym.make_task(SHOP, **settings)
    expected = task.score(infos["final_info"]["request_id"].tolist(), completions)
    assert done.all()
    assert rewards.tolist() == expected.rewards.tolist()
    assert infos["final_info"]["text/halves"].tolist() == [2, 2, 2]
    envs.close()


def test_a_recommender_and_its_options(named, catalog):
    task = rec_gym.make_task(SHOP, recommender={"name": named("Overlap"), "at_least": 4}, reward="ndcg@10")
    assert task.recommender.at_least == 4
    check_recommender(task.recommender, task.dataset.catalog)
    ids = task.request_ids[:8]
    queries = [f"a of {text}" for text in task.dataset.column("text", task.rows_in_split[:8])]
    expected = custom.Overlap(4).fit(task.dataset.catalog).rank(queries, 10)
    np.testing.assert_array_equal(task.score(ids, queries).rankings.items, expected.items)
    with pytest.raises(ValueError, match="did you mean 'at_least'"):
        rec_gym.make_task(SHOP, recommender={"name": named("Overlap"), "at_leest": 4})
    with pytest.raises(ValueError, match="at_least"):
        rec_gym.make_task(SHOP, recommender={"name": named("Overlap"), "at_least": "4"})


def test_policies(named, task):
    rows = [{"text": "red lamp", "request_id": "q1"}]
    for spec, text in (
        (named("shout"), "RED LAMP"),
        (named("Suffix"), "red lamp please"),
        (f"{named('Suffix')}:now", "red lamp now"),
    ):
        assert rec_gym.policies.make_policy(spec, task)(rows) == [text]
        check_policy(spec, task)
    assert rec_gym.policies.make_policy(named("Suffix"), task, seed=3)(rows) == ["red lamp please3"]
    with pytest.raises(ValueError, match="takes no argument"):
        rec_gym.policies.make_policy(f"{named('shout')}:now", task)


def test_a_prompt(named, task):
    short = task.replace(prompt=named("SHORT"), observation="prompt")
    [text] = short.observe(short.start(["q1"]))
    assert text.endswith("something red to sit on\nReply with the query and nothing else.\n")


CARD = """
title = "Shop"
summary = "By a protocol of its own."
licence = "none"
loader = "helpers.custom_data:load"

[protocols."{protocol}"]
cutoffs = {{ train = 3, default = 2 }}

[[env]]
id = "Terse-v0"
recommender = "random"
protocol = "{protocol}"
reward = "ndcg"
"""


@pytest.mark.parametrize("how", ["name", "module", "file"])
def test_a_protocol(how, monkeypatch, tmp_path):
    keep(monkeypatch, PROTOCOLS)
    rec_gym.register_protocol("terse", custom.terse)
    protocol = {"name": "terse", "module": f"{custom.__name__}:terse", "file": f"{custom.__file__}:terse"}[how]
    (tmp_path / "card.toml").write_text(CARD.format(protocol=protocol))
    rec_gym.register_card(tmp_path / "card.toml")
    task = rec_gym.make_task("Terse-v0")
    assert (task.action.name, task.reward.measure.cutoff) == ("append", 3)
    assert "Terse: " in task.rows_of(task.start(task.request_ids[:1]))[0]["prompt"]


def test_what_is_of_another_kind_is_refused_in_settings(task):
    never = f"{custom.__name__}:never"
    refused = [
        lambda: task.replace(reward=never),
        lambda: task.replace(measures=[never]),
        lambda: task.replace(reward={"measure": "ndcg@5", "transforms": [never]}),
        lambda: task.replace(reward={"measure": "ndcg@5", "terms": {never: 1}}),
        lambda: task.replace(action=never),
        lambda: task.replace(prompt=never),
        lambda: rec_gym.make_task(SHOP, recommender=never),
        lambda: rec_gym.policies.make_policy(never, task),
        lambda: rec_gym.datasets.store.open_dataset(never, {}),
    ]
    for make in refused:
        with pytest.raises(ValueError, match=r"is the function never\(\), not an? "):
            make()


def test_an_error_within_a_custom_recommender_names_the_query(dataset, catalog, overlap):
    class Broken:
        query_language = "any"

        def rank(self, queries, k, exclude=None):
            raise RuntimeError("no engine")

    with pytest.raises(rec_gym.RecommenderError, match="no engine"):
        rec_gym.Task(dataset, Broken()).score(["q1"], ["lamp"])
