"""Rewards: transforms, terms, their sum and their range."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.loop.rewards import make_reward
from rec_gym.loop.text_stats import text_stats, words
from rec_gym.measures import Measure

NDCG, GATE = Measure.parse("ndcg@10"), Measure.parse("constraints@10")
unit = st.floats(0, 1)
transforms = st.lists(
    st.sampled_from(
        [
            "log_rank",
            "clip",
            {"name": "clip", "low": 0.2, "high": 0.5},
            {"name": "scale", "by": -2.0},
            {"name": "scale", "by": 3},
            {"name": "floor", "at": 0.1},
            {"name": "gate", "measure": "constraints@10"},
            {"name": "gate", "measure": "constraints@10", "at": 0.5},
        ]
    ),
    max_size=3,
)
weights = st.floats(-2, 2)
terms = st.dictionaries(
    st.sampled_from(["format", "length", "repetition", "copy", "constraints@10"]),
    weights | st.builds(lambda w: {"weight": w, "only_if_positive": True}, weights),
)


def pay(spec, ndcg, gate=1.0, ok=True, scored=True, written="a b b", request="b"):
    reward = make_reward(spec)
    values = {NDCG: np.array([ndcg]), GATE: np.array([gate])}
    rewards, parts = reward(values, text_stats([written], [request]), np.array([ok]), np.array([scored]))
    return rewards[0], {name: part[0] for name, part in parts.items()}


@given(transforms, terms, weights, unit, unit, st.booleans())
@settings(max_examples=300, deadline=None)
def test_rewards_are_the_sum_of_their_terms_and_stay_in_range(steps, extra, unparsed, ndcg, gate, ok):
    spec = {"measure": "ndcg@10", "transforms": steps, "terms": extra, "unparsed": unparsed}
    total, parts = pay(spec, ndcg, gate, ok, ok)
    low, high = make_reward(spec).range
    assert total == pytest.approx(sum(parts.values()))
    assert low - 1e-9 <= total <= high + 1e-9
    assert set(parts) == {"measure", "unparsed", *extra}
    assert ok or total == unparsed


@pytest.mark.parametrize(
    ("steps", "ndcg", "gate", "expected"),
    [
        ([], 0.3, 1, 0.3),
        (["log_rank"], 1.0, 1, 1.0),
        (["log_rank"], 0.0, 1, 0.0),
        (["log_rank"], 1 / 11, 1, 0.0),
        (["log_rank"], 0.5, 1, 1 - np.log(2) / np.log(11)),
        ([{"name": "log_rank", "k": 100}], 0.5, 1, 1 - np.log(2) / np.log(101)),
        ([{"name": "clip", "low": 0.4, "high": 0.5}], 0.3, 1, 0.4),
        ([{"name": "scale", "by": 2}, {"name": "floor", "at": 0.7}], 0.3, 1, 0.7),
        ([{"name": "gate", "measure": "constraints@10"}], 0.4, 0.5, 0.2),
        ([{"name": "gate", "measure": "constraints@10", "at": 0.6}], 0.4, 0.5, 0.0),
        ([{"name": "gate", "measure": "constraints@10", "at": 0.5}], 0.4, 0.5, 0.4),
    ],
)
def test_transforms(steps, ndcg, gate, expected):
    assert pay({"measure": "ndcg@10", "transforms": steps}, ndcg, gate)[0] == pytest.approx(expected)


def test_log_rank_on_mrr_is_linear_in_the_log_of_the_rank():
    reward = make_reward({"measure": "mrr@1000", "transforms": ["log_rank"]})
    ranks = np.array([1, 10, 100, 1000])
    values, _ = reward({reward.measure: 1 / ranks}, text_stats([""] * 4, [""] * 4), *np.ones((2, 4), bool))
    np.testing.assert_allclose(values, 1 - np.log(ranks) / np.log(1001))


def test_terms():
    spec = {
        "measure": "ndcg@10",
        "terms": {"format": 0.5, "length": {"weight": -1, "max": 6}, "repetition": -0.3, "copy": 0.2},
    }
    _, parts = pay(spec, 0.0, written="a b b", request="b")
    assert parts == pytest.approx(
        {"measure": 0, "format": 0.5, "length": -0.5, "repetition": -0.1, "copy": 0.1, "unparsed": 0}
    )


def test_a_format_term_can_be_paid_only_where_something_was_found():
    spec = {"measure": "ndcg@10", "terms": {"format": {"weight": 0.1, "only_if_positive": True}}, "unparsed": -2}
    assert pay(spec, 0.4)[0] == pytest.approx(0.5)
    assert pay(spec, 0.0)[0] == 0
    assert pay(spec, 0.0, ok=False, scored=False)[0] == -2
    assert make_reward(spec).range == (-2, 1.1)


def test_what_was_not_asked_is_paid_nothing():
    assert pay({"measure": "ndcg@10", "transforms": [{"name": "floor", "at": 1}]}, 0.0, ok=True, scored=False)[0] == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ndgc@10", "unknown measure 'ndgc@10'; there are: ndcg"),
        ({"measure": "ndcg@10", "transform": []}, "a reward has no option 'transform'; its options are: measure, transforms"),
        ({"transforms": []}, "a reward needs 'measure'"),
        ({"measure": "ndcg@10", "transforms": ["log"]}, "unknown transform 'log'; there are: log_rank, clip, scale, gate, floor"),
        ({"measure": "ndcg@10", "transforms": [{"name": "clip", "min": 0}]}, "transform 'clip' has no option 'min'; its options are: low, high"),
        ({"measure": "ndcg@10", "transforms": ["gate"]}, "transform 'gate' needs 'measure'"),
        ({"measure": "ndcg", "transforms": ["log_rank"]}, "log_rank needs a cut-off"),
        ({"measure": "ndcg@10", "terms": {"lenght": 1}}, "unknown measure 'lenght'.*terms are format, length, repetition, copy and measures"),
        ({"measure": "ndcg@10", "terms": {"length": {"weigth": 1}}}, "has no option 'weigth'"),
        ({"measure": "ndcg@10", "terms": {"length": float("nan")}}, "finite weight"),
    ],
)  # fmt: skip
def test_wrong_settings_list_the_right_ones(spec, message):
    with pytest.raises(ValueError, match=message):
        make_reward(spec)


def test_a_cutoff_of_the_split_replaces_that_of_the_measure():
    assert make_reward("ndcg@10", cutoff=1000).measure == Measure("ndcg", 1000)


@given(st.text(st.characters(max_codepoint=127)) | st.text(st.characters(exclude_categories=())))
@settings(max_examples=200, deadline=None)
def test_words_are_runs_of_letters_digits_and_underscores(text):
    assert words(text) == re.findall(r"\w+", text.lower())


def test_text_stats():
    stats = text_stats(["Red red LAMP", "", "ärger_1 ?! über"], ["a red lamp", "x", "über"])
    assert stats["length"].tolist() == [3, 0, 2]
    np.testing.assert_allclose(stats["repetition"], [1 / 3, 0, 0])
    np.testing.assert_allclose(stats["copy"], [1, 0, 0.5])
