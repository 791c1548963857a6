"""The baseline that reads filters out of a request's words."""

import json

import pytest

import rec_gym
from rec_gym.policies import make_policy
from rec_gym.policies.filter_rule import FilterRule
from rec_gym.policies.registry import fitting_policies

SHOP, FILTERS = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopFilters-BM25-v0"


@pytest.fixture(scope="module")
def rule():
    return FilterRule(rec_gym.make_task(FILTERS))


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("It must cost less than 50 dollars.", [("price", "<=", 50.0)]),
        ("Not more than fifty bucks, please.", [("price", "<=", 50.0)]),
        ("I cannot spend more than forty dolars.", [("price", "<=", 40.0)]),
        ("My budget is $1,250.50.", [("price", "<=", 1250.5)]),
        ("under £20", [("price", "<=", 20.0)]),
        ("30€ at most", [("price", "<=", 30.0)]),
        ("something over two hundred dollars", [("price", ">=", 200.0)]),
        ("one hundred and twenty dollars or more", [("price", ">=", 120.0)]),
        ("Nothing cheaper than $40, please.", [("price", ">=", 40.0)]),
        ("for at least a hundred bucks", [("price", ">=", 100.0)]),
        ("Two thousand three hundred and five euros or less", [("price", "<=", 2305.0)]),
        ("over $20 and under $30", [("price", ">=", 20.0), ("price", "<=", 30.0)]),
        ("Not the red one. Something over $20.", [("price", ">=", 20.0)]),
        ("it cost me $20 last year", []),
        ("a lamp with two bulbs for 4 people", []),
        ("paper of size A3", [("size", "==", "A3")]),
        ("Size: 45X, colour blue", [("size", "==", "45X")]),
        ("in size 45", []),
        ("the size is of no matter", []),
        ("", []),
        ("$" * 1000 + "1" * 1000, []),
    ],
)
def test_filters_are_read_out_of_words(rule, text, conditions):
    assert rule.filters(text) == conditions


def test_it_asks_the_request_with_its_filters(rule):
    task = rule.task
    rows = task.rows_of(task.start(task.request_ids[:50]))
    asked = [json.loads(query) for query in rule.queries(rows, None)]
    assert [entry["query"] for entry in asked] == [row["text"] for row in rows]
    outcomes = task.score([row["request_id"] for row in rows], rule(rows))
    assert (outcomes.parse_ok & (outcomes.text_stats["filters_ignored"] == 0)).all()
    assert [bool(text) for text in outcomes.filters] == ["filters" in entry for entry in asked]
    assert any(outcomes.filters)


def test_it_fits_formats_with_filters_only():
    assert "filter-rule" in fitting_policies(rec_gym.make_task(FILTERS))
    plain = rec_gym.make_task(SHOP)
    assert "filter-rule" not in fitting_policies(plain)
    with pytest.raises(ValueError, match="the policy 'filter-rule' needs an action format with filters, .*not 'plain'"):
        make_policy("filter-rule", plain)


def test_columns_that_may_not_be_filtered_by_are_left_alone():
    titles = rec_gym.make_task(FILTERS, action={"name": "structured", "columns": ["brand"]})
    assert FilterRule(titles).filters("size A3 under $50") == []


def test_the_oracle_writes_the_constraints_as_filters():
    task = rec_gym.make_task(FILTERS, split="test")
    rows = task.rows_of(task.start(task.request_ids[:40]))
    outcomes = task.score([row["request_id"] for row in rows], make_policy("oracle", task)(rows))
    constraints = [task.dataset.request(row["request_id"]).constraints for row in rows]
    assert [json.loads(text or "[]") for text in outcomes.filters] == [sorted(map(list, each)) for each in constraints]
    assert outcomes.measures["ndcg@10"].mean() > 0.95
