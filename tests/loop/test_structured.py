"""The action format with a query and filters: what policies write, and anything else."""

import json
import math
import pickle
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym.filters import FilterTable
from rec_gym.loop.actions import Answer, Structured, make_action
from rec_gym.loop.actions.conditions import as_written

CATALOG = rec_gym.Catalog.from_columns(
    {
        "item_id": [f"i{n}" for n in range(12)],
        "title": [f"thing number {n}" for n in range(12)],
        "size": ["A3", "A4", "a4", "XL", "45", "Extra Large"] * 2,
        "paper_kind": ["Matt", "Glossy", None] * 4,
        "price": [float(n) for n in range(12)],
        "stock": list(range(12)),
        "new": [True, False] * 6,
    }
)
FORMAT = Structured().bound_to(CATALOG)


def answer(filters, query="lamp"):
    return f"<answer>{json.dumps({'query': query, 'filters': filters})}</answer>"


def read(filters):
    action = FORMAT.parse(answer(filters), "request")
    assert (action.query, action.ok) == ("lamp", True)
    assert action.parse == ("filters_ignored" if action.counts[1] else "ok")
    assert action.counts[0] == len(action.filters)
    return action.filters, action.counts[1]


@pytest.mark.parametrize(
    ("filters", "conditions"),
    [
        ({"price": {"<=": 50}}, [("price", "<=", 50.0)]),
        ({"price": {"<=": 50, ">=": 10}}, [("price", "<=", 50.0), ("price", ">=", 10.0)]),
        ({"price": {"<=": 50}, "size": "A3"}, [("price", "<=", 50.0), ("size", "==", "A3")]),
        ({"price": 5}, [("price", "==", 5.0)]),
        ({"price": {"≤": 5, "≥": 1, "=": 3}}, [("price", "<=", 5.0), ("price", "==", 3.0), ("price", ">=", 1.0)]),
        ({"price": {"<": 5}}, [("price", "<=", math.nextafter(5, 0))]),
        ({"stock": {">": 5}}, [("stock", ">=", math.nextafter(5, 9))]),
        # numbers as text
        *(
            ({"price": {"<=": text}}, [("price", "<=", 1299.0)])
            for text in ("1299", " 1,299 ", "£1299", "$ 1,299.00", "1299€", "1.299e3")
        ),
        ({"price": "<= 50"}, [("price", "<=", 50.0)]),
        ({"price": ">=$50"}, [("price", ">=", 50.0)]),
        ({"price": "-0"}, [("price", "==", 0.0)]),
        # names and values in another case
        ({"Price": 5, "Paper Kind": "matt"}, [("paper_kind", "==", "Matt"), ("price", "==", 5.0)]),
        ({"paper-kind": " glossy "}, [("paper_kind", "==", "Glossy")]),
        ({"size": "a3"}, [("size", "==", "A3")]),
        ({"size": "extra  large"}, [("size", "==", "Extra Large")]),
        ({"size": "A4"}, [("size", "==", "A4")]),
        ({"size": "a4"}, [("size", "==", "a4")]),
        ({"size": "A5"}, [("size", "==", "A5")]),
        ({"size": 45}, [("size", "==", "45")]),
        ({"size": {">=": "B"}}, [("size", ">=", "B")]),
        ({"new": True}, [("new", "==", True)]),
        ({"new": "No"}, [("new", "==", False)]),
        # other forms
        ([["price", "<=", 50], ["size", "==", "XL"]], [("price", "<=", 50.0), ("size", "==", "XL")]),
        ([{"price": {"<=": 50}}, {"size": "XL"}], [("price", "<=", 50.0), ("size", "==", "XL")]),
        ([{"column": "price", "operator": "<=", "value": 50}], [("price", "<=", 50.0)]),
        ({"column": "size", "value": "XL"}, [("size", "==", "XL")]),
        ({"size": ["XL"]}, [("size", "==", "XL")]),
        ([["price", "<=", 5], ["Price", "≤", "5"]], [("price", "<=", 5.0)]),
        # none
        *((none, []) for none in ({}, [], None, "", {"price": None}, {"size": ""}, {"price": {}}, {"price": {"<=": None}})),
    ],
)  # fmt: skip
def test_filters_are_understood(filters, conditions):
    assert read(filters) == (tuple(conditions), 0)


@pytest.mark.parametrize(
    ("filters", "ignored"),
    [
        ({"colour": "red"}, 1),
        ({"size": {"contains": "A"}}, 1),
        ({"size": {"<": "B"}}, 1),
        ({"price": "cheap"}, 1),
        ({"price": "12,50"}, 1),
        ({"price": "50 or less"}, 1),
        ({"price": {"<=": "<= 50"}}, 1),
        ({"price": {"<=": [1, 2]}}, 1),
        ({"price": True}, 1),
        ({"size": ["A3", "A4"]}, 1),
        ({"size": True}, 1),
        ({"size": {"==": {"==": "A3"}}}, 1),
        ({"new": 1}, 1),
        ({"new": {">=": True}}, 1),
        ({"price": math.inf, "stock": math.nan, "size": math.nan}, 3),
        ({"price": {"<=": "1e999"}}, 1),
        ({"price": {"<": 1e300}}, 1),
        ({"size": "A" * 1001}, 1),
        ("price <= 50", 1),
        (7, 1),
        ([["price", "<="], "size", 3, [None, None, 1], [[], {}, 1]], 5),
        ({f"c{n}": n for n in range(500)}, 500),
        ({" ": 1, "": 2}, 2),
    ],
)
def test_what_is_not_a_filter_is_ignored_and_counted(filters, ignored):
    assert read(filters) == ((), ignored)
    if isinstance(filters, dict) and ignored < FORMAT.max_filters:
        assert read([filters, ["stock", "<=", 3]]) == ((("stock", "<=", 3.0),), ignored)


def test_conditions_beyond_the_limit_are_ignored():
    few = Structured(max_filters=2).bound_to(CATALOG)
    action = few.parse(answer([["price", "<=", n] for n in range(5)]), "")
    assert action.filters == (("price", "<=", 0.0), ("price", "<=", 1.0))
    assert action.counts == (2, 3)
    with pytest.raises(ValueError, match="max_filters must be at least 1, not 0"):
        Structured(max_filters=0)


def test_whole_numbers_beyond_floats_stay_exact():
    big = 2**53 + 1
    assert read({"stock": {"<=": big}}) == ((("stock", "<=", big),), 0)
    action = FORMAT.parse(answer({"stock": {"<=": 10**400}}), "")
    assert (action.filters, action.counts) == ((), (0, 1))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('<think>x</think><answer>{"query": "lamp", "filters": {"size": "A3"}}</answer>', "ok"),
        ('<answer>{"filters": {"size": "A3"}, "query": "lamp"}</answer>', "ok"),
        ('<answer>{"query": "lamp", "filter": {"size": "A3"}}</answer>', "ok"),
        ('<answer>```json\n{"query": "lamp", "filters": {"size": "A3"}}\n```</answer>', "fenced"),
        ('<answer>{"query": "lamp", "filters": {"size": "A3"}}', "unclosed_answer"),
        ('<answer>a</answer><answer>{"query": "lamp", "filters": {"size": "A3"}}</answer>', "last_answer"),
        ('<answer>{"query": "lamp", "filters": {"size": "A3"}} as asked</answer>', "trailing"),
        ('<answer>{"query": ["lamp"], "filters": {"size": "A3"}}</answer>', "list"),
    ],
)
def test_what_stands_around_the_object_is_understood_as_by_answer(text, word):
    action = FORMAT.parse(text, "request")
    assert (action.parse, action.query, action.filters) == (word, "lamp", (("size", "==", "A3"),))
    plain = Answer().parse(text, "request")
    assert (plain.parse, plain.query) == (action.parse, action.query)


def test_without_filters_it_is_answer():
    for text in (
        "<answer>lamp</answer>",
        '<answer>{"query": "lamp"}</answer>',
        '<answer>{"query": "' + "lamp " * 20_000,
    ):
        action, plain = FORMAT.parse(text, ""), Answer().parse(text, "")
        assert (action.query, action.parse, action.clipped) == (plain.query, plain.parse, plain.clipped)
        assert (action.filters, action.counts) == ((), (0, 0))
    for text in ("", "lamp", "<think>", "<answer>{</answer>", '<answer>{"filters": {"size": "A3"}}</answer>'):
        action = FORMAT.parse(text, "")
        assert (action.ok, action.filters, action.counts) == (False, (), ())
        assert action.parse == Answer().parse(text, "").parse


def test_an_ignored_filter_does_not_hide_what_else_was_said():
    action = FORMAT.parse('<answer>{"query": "lamp", "filters": {"colour": "red"}} so</answer>', "")
    assert (action.parse, action.counts) == ("trailing", (0, 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["A3", "<= 50", "a4"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["price", "size", "new", "<=", "==", "column", "value"]) | st.text(max_size=5), inner)
    ),
    max_leaves=12,
)  # fmt: skip


@given(filters=json_values)
@example(filters={"size": "\ud800"})
@example(filters={"column": ["price"], "value": {}})
@settings(max_examples=300, deadline=None)
def test_any_json_gives_filters_that_the_catalogue_takes(filters):
    action = FORMAT.parse(answer(filters), "")
    assert action.ok
    assert list(action.filters) == sorted(set(action.filters))
    ranges = FilterTable.of(CATALOG).ranges([action.filters])
    items = CATALOG.table.to_pylist()
    compare = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "==": lambda a, b: a == b}
    expected = [
        all(item[c] is not None and compare[sign](item[c], value) for c, sign, value in action.filters)
        for item in items
    ]
    assert ranges.passes(0).tolist() == expected
    again = FORMAT.parse(answer(as_written(action.filters)), "")
    assert (again.filters, again.counts[1]) == (action.filters, 0)


@given(
    query=st.text(min_size=1, max_size=30).map(str.strip).filter(bool), filters=st.just({"size": "A3"}) | st.just({})
)
@settings(max_examples=100, deadline=None)
def test_compose_is_the_inverse_of_parse(query, filters):
    if any(tag in query for tag in ("<answer>", "</answer>", "think>")):
        return
    conditions = [(name, "==", value) for name, value in filters.items()]
    for composed in (FORMAT.compose(FORMAT.with_filters(query, conditions), ""), FORMAT.compose(query, "")):
        action = FORMAT.parse(composed, "")
        assert action.query == query
    assert FORMAT.parse(FORMAT.compose(FORMAT.with_filters(query, conditions), ""), "").filters == tuple(conditions)


def test_strict_ones_compose_what_they_parse():
    for opened in (False, True):
        strict = Structured(strict=True, think_opened=opened).bound_to(CATALOG)
        action = strict.parse(strict.compose(strict.with_filters("lamp", [("price", "<=", 5.0)]), ""), "")
        assert (action.parse, action.query, action.filters) == ("ok", "lamp", (("price", "<=", 5.0),))
    assert strict.parse('<answer>{"query": "lamp"}</answer>', "").parse == "bad_tags"


def test_two_conditions_with_one_operator_are_composed_too():
    conditions = [("price", "<=", 5.0), ("price", "<=", 7.0)]
    assert FORMAT.parse(FORMAT.compose(FORMAT.with_filters("lamp", conditions), ""), "").filters == tuple(conditions)


def test_conditions_on_other_columns_are_not_composed():
    prices = Structured(columns=("price",)).bound_to(CATALOG)
    assert json.loads(prices.with_filters("lamp", [("price", "<=", 5.0), ("size", "==", "A3")])) == {
        "query": "lamp",
        "filters": {"price": {"<=": 5.0}},
    }


WORST = {
    "many filters": lambda: answer({f"price{n}": {"<=": n} for n in range(3000)}),
    "many columns of one name": lambda: answer([["price", "<=", n] for n in range(4000)]),
    "deep nesting": lambda: '<answer>{"query": "lamp", "filters": ' + "[" * 1_000_000,
    "deep tables": lambda: '<answer>{"query": "lamp", "filters": ' + '{"a":' * 200_000,
    "a huge number": lambda: '<answer>{"query": "lamp", "filters": {"price": ' + "9" * 4000 + "}}</answer>",
    "a huge text number": lambda: answer({"price": "9" * 70_000}),
    "commas": lambda: answer({"price": "1" + ",000" * 15_000}),
    "a megabyte": lambda: answer({"size": "A" * 1_000_000}),
    "blanks": lambda: answer({"price": " " * 70_000 + "x"}),
    "a name of blanks": lambda: answer({" _-" * 20_000: 1}),
    "NaN": lambda: '<answer>{"query": "lamp", "filters": {"price": NaN, "stock": -Infinity}}</answer>',
}


def least_time(function):
    """CPU seconds of the fastest of some calls."""
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("name", WORST)
def test_no_filters_cost_much(name):
    text = WORST[name]()
    assert len(FORMAT.parse(text, "").filters) <= FORMAT.max_filters
    assert least_time(lambda: FORMAT.parse(text, "")) < 0.1
    assert least_time(lambda: (FORMAT.compose(text, ""), FORMAT.compose("{" + text, ""))) < 0.1


def test_default_columns_are_numbers_and_texts_that_repeat():
    assert FORMAT.filter_columns == ("size", "paper_kind", "price", "stock", "new")
    assert Structured(columns=("title", "price")).bound_to(CATALOG).filter_columns == ("title", "price")


def test_columns_are_checked():
    with pytest.raises(ValueError, match="columns to filter by: unknown column 'prise'; did you mean 'price'"):
        Structured(columns=("prise",)).bound_to(CATALOG)
    with pytest.raises(ValueError, match="columns to filter by: one appears twice in price, price"):
        Structured(columns=("price", "price")).bound_to(CATALOG)
    with pytest.raises(
        ValueError, match="columns of action format 'structured' must be a list, each text, not 'price'"
    ):
        make_action({"name": "structured", "columns": "price"})
    titles = rec_gym.Catalog.from_columns({"item_id": ["a", "b"], "title": ["x", "y"]})
    with pytest.raises(ValueError, match="this catalogue has no column to filter by"):
        Structured().bound_to(titles)


def test_the_prompt_names_columns_and_kinds_but_no_values():
    text = Structured(columns=("price", "stock", "size", "new")).bound_to(CATALOG).instruct()
    assert "Filters may be set on: price, stock (<=, >= or == a number); size (text); new (true or false)." in text
    assert '{"query": "...", "filters": {"price": {"<=": 50}, "size": "..."}}' in text
    assert "A3" not in text


def test_binding_changes_neither_the_format_nor_what_it_is_equal_to():
    unbound = Structured(columns=("price",))
    bound = unbound.bound_to(CATALOG)
    assert bound == unbound
    assert unbound.filter_columns == ()
    assert unbound.parse(answer({"price": 5}), "").counts == (0, 1)
    other = rec_gym.Catalog.from_columns({"item_id": ["a", "b"], "title": ["x", "y"], "price": ["low", "high"]})
    assert bound.bound_to(other).parse(answer({"price": "LOW"}), "").filters == (("price", "==", "low"),)
    assert pickle.loads(pickle.dumps(bound)).parse(answer({"price": 5}), "").filters == (("price", "==", 5.0),)


def test_values_of_a_column_of_very_many_are_taken_as_written():
    size = 20_001
    many = rec_gym.Catalog.from_columns(
        {"item_id": [f"i{n}" for n in range(size)], "title": ["x"] * size, "code": [f"C{n // 2}" for n in range(size)]}
    )
    bound = Structured(columns=("code",)).bound_to(many)
    assert bound.parse(answer({"code": "c7"}), "").filters == (("code", "==", "c7"),)
    assert len(pickle.dumps(bound)) < 1000
