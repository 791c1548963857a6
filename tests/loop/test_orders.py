"""The action formats of several texts and of orders, on what models write and on anything else."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym import Rankings
from rec_gym.fusion import taking_turns
from rec_gym.loop.actions import Lines, Order, Titles, make_action
from rec_gym.loop.actions.order import order_text

any_text = st.text(st.characters(exclude_categories=()), max_size=60)
pieces = st.lists(
    st.sampled_from(
        ["[1]", "[2]", "[3]", " > ", ", ", "\n", "- ", "1. ", "<think>", "</think>", "<answer>", "</answer>", "```", "{",
         '"reranked_items": [', '"Item_2"', "]", "}", "red lamp", "9" * 5000, "[" * 50, "٣", "²"]
    )
    | any_text,
    max_size=10,
).map("".join)  # fmt: skip
titles = st.lists(any_text | st.sampled_from(["red lamp", "1984", "", "[2]", "a > b"]), max_size=6)
TITLES = ["red lamp", "blue lamp", "oak desk, small", "1984"]


class TestAnyText:
    @pytest.mark.parametrize("action", [Order(), Order(strict=True), Order(strict=True, think_opened=True)], ids=repr)
    @given(text=any_text | pieces, candidates=titles)
    @settings(max_examples=300, deadline=None)
    def test_an_order_is_a_permutation_or_nothing(self, action, text, candidates):
        parsed = action.parse(text, "request", candidates)
        assert parsed.parse.isidentifier()
        if not candidates:
            assert (parsed.parse, parsed.ok, parsed.asks) == ("no_candidates", True, False)
        elif parsed.ok:
            assert sorted(parsed.order) == list(range(len(candidates)))
            missing, _, _ = parsed.counts
            named = parsed.order[: len(candidates) - missing]
            assert parsed.query == order_text(named)
            # What is not named follows in the given order.
            assert list(parsed.order[len(named) :]) == sorted(parsed.order[len(named) :])
            assert len(parsed.written) <= action.max_chars
        else:
            assert (parsed.query, parsed.order, parsed.asks) == ("", (), False)

    @pytest.mark.parametrize("action", [Lines(), Titles(), Lines(max_queries=1, max_chars=4)], ids=repr)
    @given(text=any_text | pieces)
    @settings(max_examples=200, deadline=None)
    def test_lines_keep_their_limits(self, action, text):
        parsed = action.parse(text, "request")
        assert parsed.parse.isidentifier()
        assert parsed.ok == bool(parsed.query) == bool(parsed.queries)
        assert len(parsed.queries) <= action.max_queries
        assert len(set(parsed.queries)) == len(parsed.queries)
        assert len(parsed.query) <= action.max_chars
        assert all(query and "\n" not in query for query in parsed.queries)

    @given(query=st.text(st.sampled_from("ab \n-1.)"), min_size=1, max_size=30))
    @settings(max_examples=200, deadline=None)
    def test_lines_compose_is_the_inverse_of_parse(self, query):
        wanted = list(dict.fromkeys(line.strip() for line in query.split("\n") if line.strip()))[:5]
        parsed = Lines().parse(Lines().compose(query, ""), "")
        if wanted:
            assert list(parsed.queries) == wanted

    @pytest.mark.parametrize("action", [Order(), Order(strict=True), Order(strict=True, think_opened=True)], ids=repr)
    @given(places=st.permutations(range(7)))
    @settings(max_examples=30, deadline=None)
    def test_order_compose_is_the_inverse_of_parse(self, action, places):
        parsed = action.parse(action.compose(order_text(places), ""), "", [str(i) for i in range(7)])
        assert (parsed.order, parsed.parse) == (tuple(places), "ok")


@pytest.mark.parametrize(
    ("text", "word", "query"),
    [
        ("[3] > [1] > [2] > [4]", "ok", "[3] > [1] > [2] > [4]"),
        ("3 > 1 > 2 > 4", "ok", "[3] > [1] > [2] > [4]"),
        ("3, 1, 2, 4", "ok", "[3] > [1] > [2] > [4]"),
        ("3 1 2 4", "ok", "[3] > [1] > [2] > [4]"),
        ("3\n1\n2\n4", "ok", "[3] > [1] > [2] > [4]"),
        ("[3, 1, 2, 4]", "ok", "[3] > [1] > [2] > [4]"),
        ("[3][1][2][4]", "ok", "[3] > [1] > [2] > [4]"),
        ("Item_3 > Item 1 > #2 > (4)", "ok", "[3] > [1] > [2] > [4]"),
        ('{"order": ["Item_3", 1, "blue lamp", "4"]}', "ok", "[3] > [1] > [2] > [4]"),
        ("```json\n[3, 1, 2, 4]\n```", "fenced", "[3] > [1] > [2] > [4]"),
        ("<think>[1] is good</think>[3] > [1] > [2] > [4]", "think_removed", "[3] > [1] > [2] > [4]"),
        ("<answer>[3] > [1] > [2] > [4]</answer>", "ok", "[3] > [1] > [2] > [4]"),
        ("<answer>[1]</answer> no: <answer>[3] > [1] > [2] > [4]</answer>", "last_answer", "[3] > [1] > [2] > [4]"),
        ("<answer>[3] > [1] > [2] > [4]", "unclosed_answer", "[3] > [1] > [2] > [4]"),
        # A chain counts more than the numbers that are mentioned before it.
        ("[1] beats [4], so: [3] > [1] > [2] > [4]", "ok", "[3] > [1] > [2] > [4]"),
        ("1. blue lamp\n2. red lamp\n3. 1984\n4. oak desk, small", "ok", "[2] > [1] > [4] > [3]"),
        ("Blue  LAMP > red lamp > 1984 > oak desk, small", "ok", "[2] > [1] > [4] > [3]"),
        ("[2] blue lamp\n[1] red lamp", "incomplete", "[2] > [1]"),
        ("1. [4]\n2. [2]", "incomplete", "[4] > [2]"),
        ("oak desk, small", "incomplete", "[3]"),
        ("blue lamp", "incomplete", "[2]"),
        ("2", "incomplete", "[2]"),
        ("[2] > [2] > [1]", "duplicates", "[2] > [1]"),
        ("[2] > [9] > [1]", "unknown", "[2] > [1]"),
        ("[2] > [0] > [2]", "unknown_and_duplicates", "[2]"),
        ("My order:\nblue lamp", "unknown", "[2]"),
        ("", "empty", ""),
        ("<think>x</think>", "empty", ""),
        ("<think>[1] > [2]", "unclosed_think", ""),
        ("no idea", "no_order", ""),
        ("[9] > [8]", "no_order", ""),
        ("[true, null, [1]]", "no_order", ""),
    ],
)
def test_orders(text, word, query):
    parsed = Order().parse(text, "request", TITLES)
    assert (parsed.parse, parsed.query, parsed.ok) == (word, query, bool(query))


def test_what_is_missing_unknown_and_repeated_is_counted():
    parsed = Order().parse("[2] > [9] > [2] > red lamp > green lamp", "", TITLES)
    # Numbers in brackets win only where no title is named.
    assert (parsed.order, parsed.counts) == ((1, 0, 2, 3), (2, 2, 1))
    assert dict(zip(Order.counted, parsed.counts, strict=True)) == {"missing": 2, "unknown": 2, "duplicates": 1}


def test_candidates_of_one_title_are_taken_one_after_the_other():
    parsed = Order().parse("lamp\nlamp\nlamp", "", ["lamp", "rug", "lamp"])
    assert (parsed.order, parsed.parse) == ((0, 2, 1), "duplicates")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"reranked_items": ["Item_2", "Item_1"]}', "ok"),
        ('{"reranked_items": ["Item_2"]}', "not_all_once"),
        ('{"reranked_items": ["Item_2", "Item_2", "Item_1"]}', "not_all_once"),
        ('{"reranked_items": ["Item_2", "Item_1", "Item_3"]}', "not_all_once"),
        ('{"reranked_items": [2, 1]}', "not_all_once"),
        ('{"items": ["Item_2", "Item_1"]}', "bad_json"),
        ('{"reranked_items": ["Item_2", "Item_1"]} ok?', "bad_json"),
        ("[2] > [1]", "bad_json"),
    ],
)
def test_the_papers_check(content, word):
    strict = Order(strict=True, think_opened=True)
    parsed = strict.parse(f"so</think><answer>{content}</answer>", "", ["a", "b"])
    assert (parsed.parse, parsed.ok) == (word, word == "ok")
    assert strict.parse(f"<answer>{content}</answer>", "", ["a", "b"]).parse == "bad_tags"


@pytest.mark.parametrize(
    ("text", "word", "queries"),
    [
        ("red lamp\nblue lamp", "ok", ("red lamp", "blue lamp")),
        ("1. red lamp\n2) blue lamp\n(3) rug", "ok", ("red lamp", "blue lamp", "rug")),
        ("- red lamp\n\n* 3 rugs\r\n", "ok", ("red lamp", "3 rugs")),
        ("<think>x</think>red lamp", "think_removed", ("red lamp",)),
        ("lamp\n- lamp\nrug", "duplicates", ("lamp", "rug")),
        ("a\nb\nc\nd", "too_many", ("a", "b", "c")),
        ("\n \n", "empty", ()),
        ("<think>x", "unclosed_think", ()),
    ],
)
def test_lines(text, word, queries):
    parsed = Lines(max_queries=3).parse(text, "request")
    assert (parsed.parse, parsed.queries, parsed.ok) == (word, queries, bool(queries))
    assert parsed.clipped == (word == "too_many")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "lines", "max_queries": 0}, "max_queries must be at least 1"),
        ({"name": "lines", "max_queries": 2.5}, "max_queries of action format 'lines' must be a whole number"),
        ({"name": "lines", "constant": -1}, "constant must be at least 0"),
        ({"name": "lines", "constant": float("nan")}, "constant of action format 'lines' must be a finite number"),
        ({"name": "titles", "per_title": 0}, "per_title must be at least 1"),
        ({"name": "order", "k": 5}, "unknown option 'k'; choose from: max_chars, strict, think_opened"),
    ],
)
def test_wrong_options(spec, message):
    with pytest.raises(ValueError, match=message):
        make_action(spec)


def test_a_hostile_text_takes_no_time():
    order = Order()
    for text in (
        "```" + " " * 1_000_000 + "x",
        "[1] > " * 300_000,
        "[" * 1_000_000,
        "[ " * 500_000,
        json.dumps([1] * 10**5),
    ):
        order.parse(text, "", TITLES)


def test_titles_take_turns():
    def ranking(*rows):
        return Rankings(np.array(rows, np.int32), np.zeros((len(rows), len(rows[0])), np.float32))

    merged = taking_turns([ranking([5, 6], [1, -1]), ranking([6, 7], [1, 2]), ranking([5, 8], [-1, -1])], 4)
    # Firsts of all: 5, 6, (5); then the seconds: (6), 7, 8.
    assert merged.items.tolist() == [[5, 6, 7, 8], [1, 2, -1, -1]]
    merged.check(10)
    assert taking_turns([ranking([5, 6]), ranking([6, 7])], 2).items.tolist() == [[5, 6]]
