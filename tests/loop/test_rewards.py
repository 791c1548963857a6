"""Rewards: transforms, terms, their sum and their range."""

import itertools
import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.loop.rewards import Clip, Floor, Gate, LogRank, Reward, Scale, Term, make_reward
from rec_gym.loop.text_stats import text_stats
from rec_gym.measures import Measure
from rec_gym.words import words

NDCG, GATE = Measure.parse("ndcg@10"), Measure.parse("constraints@10")
numbers = st.floats(-3, 3)
shares = st.floats(0, 1) | st.sampled_from([0.0, 1 / 11, 1.0])
clips = st.tuples(numbers, numbers).map(lambda ends: {"name": "clip", "low": min(ends), "high": max(ends)})
transforms = st.lists(
    st.just("log_rank")
    | st.just("clip")
    | clips
    | st.builds(lambda k: {"name": "log_rank", "k": k}, st.integers(1, 5000))
    | st.builds(lambda by: {"name": "scale", "by": by}, numbers)
    | st.builds(lambda at: {"name": "floor", "at": at}, numbers)
    | st.just({"name": "gate", "measure": "constraints@10"})
    | st.builds(lambda at: {"name": "gate", "measure": "constraints@10", "at": at}, st.floats(-0.5, 1.5)),
    max_size=4,
)
conditions = st.dictionaries(st.sampled_from(["only_if_positive", "only_if_improved"]), st.booleans())
terms = st.dictionaries(
    st.sampled_from(["format", "length", "repetition", "copy", "ndcg@10", "constraints@10"]),
    numbers | st.builds(lambda weight, when: {"weight": weight, **when}, numbers, conditions),
)


def pay(spec, ndcg, gate=1.0, ok=True, scored=True, written="a b b", request="b"):
    reward = make_reward(spec)
    values = {NDCG: np.array([ndcg]), GATE: np.array([gate])}
    rewards, parts = reward(values, text_stats([written], [request]), np.array([ok]), np.array([scored]))
    return rewards[0], {name: part[0] for name, part in parts.items()}


class AnyReward(NamedTuple):
    """A reward specification and one completion that it is asked about."""

    spec: dict
    ndcg: float
    gate: float
    given: float
    parse_ok: bool
    scored: bool
    written: str

    def paid(self):
        reward = make_reward(self.spec)
        values = {NDCG: np.array([self.ndcg]), GATE: np.array([self.gate])}
        stats = text_stats([self.written], ["b c"])
        flags = np.array([self.parse_ok]), np.array([self.scored])
        rewards, parts = reward(values, stats, *flags, np.array([self.given]))
        return rewards[0], {name: part[0] for name, part in parts.items()}


any_reward = st.builds(
    AnyReward,
    st.fixed_dictionaries(
        {"measure": st.just("ndcg@10"), "transforms": transforms, "terms": terms, "unparsed": numbers}
    ),
    *[shares] * 3,
    st.booleans(),
    st.booleans(),
    st.text("abc ", max_size=12),
)


@given(any_reward)
@settings(max_examples=500, deadline=None)
def test_no_reward_is_outside_its_range_not_even_by_rounding(asked):
    paid, _ = asked.paid()
    low, high = make_reward(asked.spec).range
    assert low <= paid <= high


@given(any_reward)
@settings(max_examples=300, deadline=None)
def test_rewards_are_the_sum_of_their_terms(asked):
    paid, parts = asked.paid()
    assert paid == pytest.approx(sum(parts.values()))
    assert set(parts) == {"measure", "unparsed", *asked.spec["terms"]}
    if not asked.parse_ok:
        assert paid == asked.spec["unparsed"]
    elif not asked.scored:
        assert paid == 0


@given(transforms.filter(bool), shares, shares, shares, shares)
@settings(max_examples=500, deadline=None)
def test_each_transform_stays_in_its_bounds(steps, low, high, share, gate):
    low, high = min(low, high), max(low, high)
    inside = min(max(low + share * (high - low), low), high)
    for step in make_reward({"measure": "ndcg@10", "transforms": steps}).transforms:
        values = {GATE: np.array([gate])}
        for x in (low, inside, high):
            least, greatest = step.bounds(low, high)
            assert least <= step(np.array([x]), values).item() <= greatest


ALWAYS = {"name": "gate", "measure": "constraints@10", "at": 0}
NEVER = {"name": "gate", "measure": "constraints@10", "at": 1.5}
POSITIVE = {"weight": -0.1, "only_if_positive": True}
IMPROVED = {"weight": -0.1, "only_if_improved": True}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0, 1)),
        ({"unparsed": -1}, (-1, 1)),
        ({"unparsed": 3}, (0, 3)),
        ({"transforms": ["log_rank"]}, (0, 1)),
        ({"transforms": [{"name": "scale", "by": -2}]}, (-2, 0)),
        ({"transforms": [{"name": "floor", "at": 0.36}], "unparsed": 0.5}, (0, 1)),  # 0: nothing was asked
        ({"transforms": [{"name": "clip", "low": 0.2, "high": 0.5}]}, (0, 0.5)),
        ({"transforms": [{"name": "clip", "low": -0.5, "high": -0.2}], "unparsed": -0.3}, (-0.3, 0)),
        ({"transforms": [{"name": "floor", "at": 0.3}, ALWAYS, {"name": "scale", "by": -1}]}, (-1, 0)),
        ({"transforms": [NEVER]}, (0, 0)),
        ({"terms": {"format": 0.1}, "unparsed": -2}, (-2, 1.1)),
        ({"terms": {"format": -0.1}}, (-0.1, 0.9)),  # what is scored has parsed
        ({"terms": {"format": POSITIVE}}, (-0.1, 0.9)),
        ({"terms": {"format": IMPROVED}}, (-0.1, 1)),
        ({"terms": {"length": 0.1, "constraints@10": -0.2}}, (-0.2, 1.1)),
    ],
)
def test_the_ends_of_a_range_are_paid(settings, expected):
    spec = {"measure": "ndcg@10", **settings}
    paid = [
        AnyReward(spec, *case).paid()[0]
        for case in itertools.product(
            (0.0, 1e-300, 1.0), (0.0, 1.0), (0.0, 1.0), (True, False), (True, False), ("?", "a " * 100)
        )
    ]
    assert make_reward(spec).range == expected
    assert (min(paid), max(paid)) == expected


def test_a_sum_does_not_depend_on_the_size_of_the_batch():
    rng = np.random.default_rng(0)
    names = [f"recall@{k}" for k in range(1, 12)]
    reward = make_reward({"measure": "ndcg@10", "terms": dict(zip(names, rng.normal(size=11), strict=True))})
    values = {measure: rng.random(50) for measure in reward.measures}
    stats = text_stats([""] * 50, [""] * 50)
    together, _ = reward(values, stats, *np.ones((2, 50), bool))
    alone = [
        reward({name: value[[i]] for name, value in values.items()}, stats, *np.ones((2, 1), bool))[0][0]
        for i in range(50)
    ]
    assert together.tolist() == alone


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


NAN, INF = float("nan"), float("inf")


def with_steps(*steps):
    return {"measure": "ndcg@10", "transforms": steps}


def with_term(name, value):
    return {"measure": "ndcg@10", "terms": {name: value}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "a reward is a measure's name or a table.*not None"),
        (5, "a reward is a measure's name or a table.*not 5"),
        ("ndgc@10", "unknown measure 'ndgc@10'"),
        ({"measure": "ndcg@10", "transform": []}, "a reward has no such option: unknown option 'transform'; did you mean 'transforms'"),
        ({"transforms": []}, "a reward needs 'measure'"),
        ({"measure": 5}, "measure of a reward must be text or Measure or a function, not 5"),
        ({"measure": "ndcg@10", "unparsed": "-1"}, "unparsed of a reward must be a finite number, not '-1'"),
        ({"measure": "ndcg@10", "unparsed": -INF}, "unparsed of a reward must be a finite number, not -inf"),
        ({"measure": "ndcg@10", "transforms": "log_rank"}, "transforms of a reward must be a list"),
        ({"measure": "ndcg@10", "transforms": [5]}, "transforms of a reward must be a list, each text or a table"),
        (with_steps({"by": 2}), "a transform is a name or a table with 'name'"),
        (with_steps("log"), "unknown transform 'log'; choose from: log_rank, clip, scale, gate, floor"),
        (with_steps("flor"), "unknown transform 'flor'; did you mean 'floor'"),
        (with_steps({"name": "clip", "hight": 0}), "transform 'clip' has no such option: unknown option 'hight'; did you mean 'high'"),
        (with_steps({"name": "clip", "low": 2}), "'clip' needs low <= high, not 2.0 and 1.0"),
        (with_steps({"name": "clip", "low": NAN}), "low of transform 'clip' must be a finite number, not nan"),
        (with_steps({"name": "clip", "high": INF}), "high of transform 'clip' must be a finite number, not inf"),
        (with_steps({"name": "scale", "by": INF}), "by of transform 'scale' must be a finite number, not inf"),
        (with_steps({"name": "floor", "at": NAN}), "at of transform 'floor' must be a finite number, not nan"),
        (with_steps({"name": "floor", "at": INF}), "at of transform 'floor' must be a finite number, not inf"),
        (with_steps("gate"), "transform 'gate' needs 'measure'"),
        (with_steps({"name": "gate", "measure": 5}), "measure of transform 'gate' must be Measure, not 5"),
        (with_steps({"name": "gate", "measure": "hit@1", "at": NAN}), "at of transform 'gate' must be a finite number or nothing, not nan"),
        ({"measure": "ndcg", "transforms": ["log_rank"]}, "log_rank' needs a cut-off"),
        (with_steps({"name": "log_rank", "k": 0}), r"k of transform 'log_rank' must lie in \[1, 2147483647\], not 0"),
        (with_steps({"name": "log_rank", "k": 10**400}), "must lie in"),
        (with_steps({"name": "log_rank", "k": 1.5}), "k of transform 'log_rank' must be a whole number, not 1.5"),
        (with_steps(*[{"name": "scale", "by": 1e200}] * 2), r"Scale\(by=1e\+200\) makes values in \[0.0, inf\]"),
        ({"measure": "ndcg@10", "terms": ["format"]}, "terms of a reward must be a table"),
        (with_term("lenght", 1), "unknown term 'lenght'; did you mean 'length'"),
        (with_term("ndgc@10", 1), "unknown term 'ndgc@10'; did you mean 'ndcg@10'"),
        (with_term(5, 1), "name of term 5 must be text"),
        (with_term("ndcg@0", 1), "unknown measure 'ndcg@0'"),
        (with_term("constraints", 1), "constraints needs a cut-off"),
        (with_term("length", {"weigth": 1}), "term 'length' has no such option: unknown option 'weigth'; did you mean 'weight'"),
        (with_term("length", {"max": 1}), "term 'length' needs 'weight'"),
        (with_term("length", NAN), "weight of term 'length' must be a finite number, not nan"),
        (with_term("length", "0.1"), "weight of term 'length' must be a finite number, not '0.1'"),
        (with_term("length", {"weight": 1, "max": INF}), "max of term 'length' must be a finite number, not inf"),
        (with_term("length", {"weight": 1, "max": 0}), "max of term 'length' must be above 0, not 0"),
        (with_term("length", {"weight": 1, "only_if_positive": "no"}), "only_if_positive of term 'length' must be true or false"),
        ({"measure": "ndcg@10", "terms": {"length": 1e308, "copy": 1e308}}, "rewards would lie in .*; make factors, weights and unparsed smaller"),
        ({"measure": "ndcg@10", "terms": {"length": 1e308, "copy": -1e308}}, "too far apart for a float"),
    ],
)  # fmt: skip
def test_wrong_settings_say_what_is_right(spec, message):
    with pytest.raises(ValueError, match=message):
        make_reward(spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Floor(NAN), "at of transform 'floor'"),
        (lambda: Gate(GATE, INF), "at of transform 'gate'"),
        (lambda: Gate("constraints@10"), "measure of transform 'gate' must be Measure"),
        (lambda: Scale(NAN), "by of transform 'scale'"),
        (lambda: Clip(-INF, 0), "low of transform 'clip'"),
        (lambda: LogRank(0), "k of transform 'log_rank'"),
        (lambda: Term("format", INF), "weight of term 'format'"),
        (lambda: Term("fromat", 1), "unknown term 'fromat'; did you mean 'format'"),
        (lambda: Reward("ndcg@10"), "measure of a reward must be Measure, not 'ndcg@10'"),
        (lambda: Reward(NDCG, unparsed=NAN), "unparsed of a reward"),
        (lambda: Reward(NDCG, ("log_rank",)), "transforms of a reward must be a list, each Transform"),
        (lambda: Reward(NDCG, (), ("format",)), "terms of a reward must be a list, each Term"),
        (lambda: Reward(NDCG, (), (Term("format", 1), Term("format", 2))), "format, format one appears twice"),
        (lambda: Reward(NDCG, (Scale(1e308), Scale(10))), "choose a smaller factor"),
    ],
)
def test_rewards_that_are_built_in_python_are_checked_too(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_numbers_of_other_kinds_become_floats():
    reward = Reward(NDCG, [Scale(np.float32(0.1))], [Term("format", np.int64(2))], np.float16(-1))
    assert {type(x) for x in (reward.transforms[0].by, reward.terms[0].weight, reward.unparsed)} == {float}
    assert (type(reward.transforms), type(reward.terms)) == (tuple, tuple)


def test_an_improvement_needs_something_to_compare_with():
    with pytest.raises(ValueError, match="pass its measure as given"):
        pay(with_term("format", {"weight": 1, "only_if_improved": True}), 0.5)


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
