"""Requests and gains that would be read wrongly, or overflow, are refused; what is taken gives finite measures."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.measures import evaluate
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.checks import check_excluded
from rec_gym.request_columns import LEAST_GAIN, MOST_GAIN

SHOP = Catalog.from_columns({"item_id": ["a", "b", "ab"], "title": ["red lamp", "blue lamp", "desk"]})


def build(**changes):
    request = {"id": "q", "text": "x", "split": "test", "targets": ["a"]} | changes
    return Dataset.from_requests(SHOP, [{name: value for name, value in request.items() if value is not None}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": "ab"}, r"request 'q': targets must be a list such as \['a1'\], not 'ab'"),
        ({"targets": b"ab"}, "targets must be a list"),
        ({"targets": {"ab": 1}}, "targets must be a list"),
        ({"targets": 3}, "targets must be a list"),
        ({"targets": ["a", 1]}, "name items either all by id .str. or all by position .int., not 'a'"),
        ({"targets": [10**30]}, "items outside the catalogue of 3 items: 10000"),
        ({"targets": [-1]}, "items outside the catalogue of 3 items: -1"),
        ({"history": "ab"}, r"request 'q': history must be a list such as \['a1', 'a2'\], not 'ab'"),
        ({"history": "", "text": ""}, "history must be a list"),
        ({"targets": None, "gains": ["a"]}, "request 'q': gains must be a mapping"),
        ({"targets": None, "gains": "a"}, "request 'q': gains must be a mapping"),
        ({"targets": None, "gains": {"a": "1"}}, "request 'q': gains must be finite .* these are not: '1'"),
        ({"targets": None, "gains": {"a": None}}, "request 'q': gains must be finite .* these are not: None"),
        ({"targets": None, "gains": {"a": [1, 2]}}, "request 'q': gains must be finite"),
        ({"targets": None, "gains": {"a": [1], "b": [2]}}, "request 'q': gains must be finite"),
        ({"targets": None, "gains": {"a": 2e12}}, "between 1e-12 and 1e.12 .* see requests 'q'"),
        ({"targets": None, "gains": {"a": 1, "b": 1e-13}}, "between 1e-12 and 1e.12 .* see requests 'q'"),
        ({"targets": None, "gains": {"a": 10**400}}, "gains must be finite"),
        ({"text": ["x"]}, "request 'q': text must be text, not"),
        ({"user": 1.5}, "request 'q': user must be text, not 1.5"),
        ({"asked": 10**400}, "request 'q': 'asked' cannot be stored as a 64-bit number"),
    ],
)
def test_a_request_of_the_wrong_kind_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_what_is_a_list_of_items_is_taken():
    for targets in (
        ["ab", "a"],
        ("ab", "a"),
        np.array(["ab", "a"]),
        np.array([2, 0]),
        [2, 0],
        {"ab": 1}.keys() | {"a"},
    ):
        assert build(targets=targets).judged_items[0].tolist() == [0, 2]
    assert build(text="", history=np.array([2, 0])).history[0].tolist() == [2, 0]
    assert build(targets=None, gains={"a": True, "b": np.float32(0.5), "ab": 0}).judged_gains[0].tolist() == [1, 0.5, 0]


@pytest.mark.parametrize(
    ("names", "ranked", "gains", "message"),
    [
        (
            ["ndcg@10"],
            [["B01"]],
            ["B01"],
            r"gains of request 0 must be a list such as \['a1'\] or \{'a1': 1.0\}, not 'B01'",
        ),
        (["ndcg@10"], [["B01"]], [b"B01"], "gains of request 0 must be a list"),
        (["ndcg@10"], ["B01"], [["B01"]], r"ranking 0 must be a list such as \['a1', 'a2'\], not 'B01'"),
        (["ndcg@10"], "B", [["B"]], "ranked must be a list"),
        (["ndcg@10"], [["B"]], "B", r"gains must be a list such as \[\{'a1': 1.0\}\]"),
        (["ndcg@10"], [["B"]], {"B": 1.0}, "gains must be a list"),
        ("ndcg@10", [["B"]], [["B"]], r"names must be a list such as \['ndcg@10'\], not 'ndcg@10'"),
        (["ndcg"], [["a"]], [{"a": "1"}], "gains must be finite .* request 0 breaks this for 'a'"),
        (["ndcg"], [["a"]], [{"a": 1e308}], "between 1e-12 and 1e.12 .* request 0 breaks this for 'a'"),
        (["ndcg"], [["a"]], [{"a": 5e-324}], "between 1e-12 and 1e.12"),
        (["ndcg"], [["a"]], [{"a": 10**400}], "gains must be finite"),
    ],
)
def test_evaluate_takes_lists_and_gains_within_bounds(names, ranked, gains, message):
    with pytest.raises(ValueError, match=message):
        evaluate(names, ranked, gains)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=40),
    st.sampled_from([LEAST_GAIN, 1e-6, 1.0, MOST_GAIN / 9]),
    st.randoms(),
)
@settings(max_examples=100, deadline=None)
def test_gains_at_the_bounds_give_the_measure_of_the_same_gains_as_whole_numbers(grades, scale, random):
    items = [f"i{k}" for k in range(len(grades))]
    ranked = random.sample(items, len(items))
    run = {item: float(len(ranked) - rank) for rank, item in enumerate(ranked)}
    oracle = pytrec_eval.RelevanceEvaluator({"q": dict(zip(items, grades, strict=True))}, {"ndcg"})
    gains = {item: grade * scale for item, grade in zip(items, grades, strict=True)}
    theirs = oracle.evaluate({"q": run})["q"]["ndcg"]
    assert evaluate(["ndcg"], [ranked], [gains])["ndcg"][0] == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ("a", "exclude names items for one text, but there are 1 queries"),
        (["a"], r"one list of item positions \(int\) per query, such as \[\[3, 5\]\], not 'a'"),
        ([["a"]], "one list of item positions"),
        ([[0.5]], "one list of item positions"),
        ([0], "one list of item positions"),
    ],
)
def test_what_is_excluded_is_a_list_of_positions(exclude, message):
    with pytest.raises(ValueError, match=message):
        check_excluded(exclude, 1, 3)
    with pytest.raises(ValueError, match=message):
        BM25().fit(SHOP).rank(["lamp"], 3, exclude=exclude)
