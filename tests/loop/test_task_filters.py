"""Filters of requests and of completions, from the dataset to the recommender and back into outcomes."""

import json
import pickle

import numpy as np
import pytest
from helpers.word_overlap import FilteringOverlap, WordOverlap, passes

import rec_gym
from rec_gym.loop.actions import Structured
from rec_gym.loop.facets import facets
from rec_gym.loop.task import Task
from rec_gym.recommenders import make_recommender
from rec_gym.rendering import render_outcome, render_request
from rec_gym.testing.base import small_dataset
from rec_gym.testing.data import shared_requests

CHEAP, RED = ["price", "<=", 20.0], ["title", "==", "red chair"]


def with_filters(dataset, filters):
    """The dataset whose requests have these filters, by id."""
    requests = []
    for name in dataset.column("id"):
        request = dataset.request(name)
        rows = {"id": name, "text": request.text, "split": request.split, "gains": request.gains}
        requests.append({**rows, "filters": filters.get(name)})
    return rec_gym.Dataset.from_requests(dataset.catalog, requests)


@pytest.fixture
def filtering(catalog):
    return FilteringOverlap(catalog)


@pytest.fixture
def structured(dataset, filtering):
    return Task(dataset, filtering, reward="ndcg@5", action={"name": "structured", "columns": ["price", "title"]})


def written(query, **filters):
    return f"<answer>{json.dumps({'query': query, 'filters': filters})}</answer>"


def ranked(task, outcomes):
    return [task.dataset.catalog.ids(items[items >= 0]) for items in outcomes.rankings.items]


def test_filters_of_a_completion_are_applied_and_said(structured):
    texts = [
        written("red lamp"),
        written("red lamp", price={"<=": 20}),
        written("red lamp", Price={">=": "$20"}, colour="blue"),
        written("red lamp", title="Red Chair"),
        written("red lamp", title="sofa"),
        "lamp",
    ]
    outcomes = structured.score(["q1"] * len(texts), texts)
    both, lamps = ["lamp-r", "lamp-b", "chair-r"], ["lamp-r", "lamp-b"]
    assert ranked(structured, outcomes) == [both, lamps, ["chair-r"], ["chair-r"], [], []]
    assert outcomes.filters == [
        "",
        '[["price", "<=", 20.0]]',
        '[["price", ">=", 20.0]]',
        '[["title", "==", "red chair"]]',
        '[["title", "==", "sofa"]]',
        "",
    ]
    assert outcomes.parse == ["ok", "ok", "filters_ignored", "ok", "ok", "no_answer"]
    columns = outcomes.columns()
    assert columns["filters"].tolist() == outcomes.filters
    assert columns["text/filters"].tolist() == [0, 1, 1, 1, 1, 0]
    assert columns["text/filters_ignored"].tolist() == [0, 0, 1, 0, 0, 0]
    assert columns["query"].tolist() == ["red lamp"] * 5 + [""]


def test_identical_questions_are_asked_once_and_other_filters_are_another_question(structured, filtering):
    texts = [written("lamp", price={"<=": 20}), written("lamp"), written("lamp", price={"≤": "20"}), written("lamp")]
    structured.score(["q1", "q2", "q1", "q2"], texts)
    assert filtering.calls == [("lamp", "lamp")]
    assert filtering.filters == [[(("price", "<=", 20.0),), ()]]


def test_nothing_is_passed_where_nothing_is_filtered(structured, filtering, dataset, catalog):
    structured.score(["q1"], [written("lamp")])
    assert filtering.filters == [None]
    Task(dataset, WordOverlap(catalog)).score(["q1"], ["lamp"])  # whose rank() takes no filters


def test_filters_of_a_request_hold_for_every_format_and_question(dataset, filtering):
    filtered = with_filters(dataset, {"q1": [CHEAP]})
    for action, text in (("plain", "red lamp"), ("lines", "red\nlamp"), ("titles", "red lamp\nred chair")):
        task = Task(filtered, filtering, reward="ndcg@5", action=action)
        first, second = ranked(task, task.score(["q1", "q2"], [text, text]))
        assert first[0] == second[0] == "lamp-r"
        assert "chair-r" not in first
        assert action == "titles" or "chair-r" in second
        assert task.score(["q1"], [text]).filters is None


def test_filters_of_request_and_completion_hold_together(dataset, filtering):
    filtered = with_filters(dataset, {"q1": [CHEAP], "q3": [RED, CHEAP]})
    task = Task(filtered, filtering, reward="ndcg@5", action={"name": "structured", "columns": ["price"]})
    texts = [
        written("red lamp", price={">=": 11}),
        written("red lamp", price={"<=": 20}),
        written("red chair"),
        written("lamp"),
    ]
    outcomes = task.score(["q1", "q1", "q3", "q2"], texts)
    assert ranked(task, outcomes) == [["lamp-b"], ["lamp-r", "lamp-b"], [], ["lamp-r", "lamp-b"]]
    [asked] = filtering.filters
    cheap = ("price", "<=", 20.0)
    assert asked == [(cheap, ("price", ">=", 11.0)), (cheap,), (tuple(RED), cheap), ()]


def test_equal_filters_of_two_requests_rank_their_own_candidates(dataset, filtering):
    filtered = with_filters(dataset, {name: [CHEAP] for name in ("q1", "q2", "q3")})
    task = Task(filtered, filtering, candidates={"k": 3, "source": "judged"}, action="order")
    offered = task.candidates.of(np.arange(3))
    cheap = {p for p, item in enumerate(filtering.items) if passes(item, [CHEAP])}
    assert all(set(items.tolist()) <= cheap for items in offered)
    assert set(offered[1].tolist()) == cheap


def test_ranks_without_a_list_are_filtered_alike():
    dataset = small_dataset()
    task = Task(dataset, make_recommender("bm25", {}, dataset.catalog), reward="ndcg@5", action="structured")
    texts = [written("red blue oak lamp desk", price={"<=": 50}), written("red blue oak lamp desk")]
    outcomes = task.score(["q0", "q0"], texts)
    listed = task.replace(measures=["constraints@3"]).score(["q0", "q0"], texts)
    assert outcomes.ranks.values.tolist() == listed.ranks.values.tolist()
    prices = dataset.catalog.values("price")
    for row, limit in zip(outcomes.rankings.items, (50, 110), strict=True):
        assert prices[row[row >= 0]].max() <= limit


def test_a_recommender_that_cannot_filter_is_refused(dataset, catalog):
    message = "WordOverlap cannot filter; choose from: bm25, .*popularity.*, or a custom recommender with filters_items"
    with pytest.raises(ValueError, match=f"completions of the format 'structured' hold filters, and {message}"):
        Task(dataset, WordOverlap(catalog), action="structured")
    with pytest.raises(ValueError, match=f"requests of this dataset have filters, and {message}"):
        Task(with_filters(dataset, {"q1": [CHEAP]}), WordOverlap(catalog))
    says_no = FilteringOverlap(catalog)
    says_no.filters_items = False
    with pytest.raises(ValueError, match="FilteringOverlap cannot filter"):
        Task(dataset, says_no, action="structured")


class Forgetful(FilteringOverlap):
    """It says that it filters, and does not."""

    def rank(self, queries, k, exclude=None, filters=None):
        return super().rank(queries, k, exclude)


def test_rankings_that_do_not_pass_are_an_error(dataset, catalog):
    task = Task(dataset, Forgetful(catalog), action={"name": "structured", "columns": ["price"]})
    task.score(["q1"], [written("lamp", price={"<=": 20})])
    with pytest.raises(
        rec_gym.RecommenderError, match=r"items that do not pass the filters \(\('price', '>=', 20.0\),\)"
    ):
        task.score(["q1", "q1"], [written("desk"), written("lamp", price={">=": 20})])


def test_requests_keep_their_filters(dataset, tmp_path):
    filtered = with_filters(dataset, {"q1": [CHEAP], "q2": []})
    filtered.save(tmp_path)
    for same in (filtered, rec_gym.Dataset.open(tmp_path), pickle.loads(pickle.dumps(filtered))):
        assert same.request("q1").filters == (("price", "<=", 20.0),)
        assert same.request("q2").filters == ()
        assert same.has_filters
    assert not dataset.has_filters


def test_a_dataset_stored_before_there_were_filters_has_none(dataset, tmp_path):
    older = rec_gym.Dataset(
        dataset.catalog,
        dataset.table.drop_columns(["filters"]),
        dataset.judged_items,
        dataset.judged_gains,
        dataset.history,
    )
    assert not older.has_filters
    assert older.request("q1").filters == ()
    assert older.table.column("filters").to_pylist() == [""] * len(older)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([["prise", "<=", 5]], "in the filter .*unknown column 'prise'; did you mean 'price'.*see requests 'q1'"),
        ([["price", "<", 5]], "in the filter .*unknown operator '<'"),
        (
            [["price", "<=", "5"]],
            "the value of a filter on 'price', which holds double, must be a finite number, not '5'",
        ),
        ([["title", "==", 5]], "the value of a filter on 'title', which holds large_string, must be text, not 5"),
        ([["price", "<="]], r"a filter is \[column, operator, value\]"),
        ("price <= 5", "filters must be a list such as"),
        ([[{1}, "==", 1]], "each of the filters may hold only texts, numbers and booleans"),
    ],
)
def test_filters_of_requests_are_checked(dataset, filters, message):
    with pytest.raises(ValueError, match=message):
        with_filters(dataset, {"q1": filters})


def test_a_column_of_filters_holds_text(dataset):
    import pyarrow as pa

    place = dataset.table.column_names.index("filters")
    numbers = dataset.table.set_column(place, "filters", pa.array([1.0] * len(dataset)))
    with pytest.raises(ValueError, match="the column 'filters' of the requests holds JSON, not double"):
        rec_gym.Dataset(dataset.catalog, numbers, dataset.judged_items, dataset.judged_gains, dataset.history)


def test_turns_show_filters_and_the_values_of_what_was_found(structured):
    task = structured.replace(turns=3, feedback_k=2)
    episodes = task.start(["q1"])
    for text in (
        written("lamp red", price={"<=": 20}, title="red lamp"),
        written("lamp red"),
        written("nothing", price=1),
    ):
        observed = task.observe(episodes)
        episodes, _, _ = task.advance(episodes, [text])
    assert observed == [
        "something red to sit on\n\n"
        'Search 1: lamp red, filters {"price": {"<=": 20.0}, "title": "red lamp"}\n'
        "  1. red lamp\n"
        "  Values of these: price: 10; title: red lamp (1)\n\n"
        "Search 2: lamp red\n"
        "  1. red lamp\n"
        "  2. blue lamp\n"
        "  Values of these: price: 10 to 12; title: blue lamp (1), red lamp (1)\n\n"
        "Search again, or reply <stop> if you cannot find anything better."
    ]
    assert episodes[0].filters == ('[["price", "<=", 20.0], ["title", "==", "red lamp"]]', "", '[["price", "==", 1.0]]')
    assert 'filters {"price": 1.0}\n  (no results)' in task.observe(episodes)[0]


def test_turns_without_such_a_format_show_neither(dataset, filtering):
    task = Task(with_filters(dataset, {"q1": [CHEAP]}), filtering, turns=2)
    episodes, _, [observed] = task.advance(task.start(["q1"]), ["lamp"])
    assert "Values" not in observed
    assert "price" not in observed
    assert episodes[0].filters == ()


def test_a_stop_holds_no_filters(structured):
    task = structured.replace(turns=3)
    episodes, _, _ = task.advance(task.start(["q1", "q2"]), [written("lamp", price={"<=": 20})] * 2)
    episodes, outcomes, _ = task.advance(episodes, ["<stop>", written("red", price={"<=": 11})])
    assert outcomes.filters == ["", '[["price", "<=", 11.0]]']
    assert [len(episode.filters) for episode in episodes] == [1, 2]
    assert list(outcomes.columns()) == list(task.score(["q1"], ["x"]).columns())


def test_facets():
    catalog = rec_gym.Catalog.from_columns(
        {
            "item_id": [f"i{n}" for n in range(8)],
            "title": [f"t{n}" for n in range(8)],
            "size": ["A3", "A4", "A4", "", None, "x" * 70, "B\nC", "A5"],
            "price": [1.5, None, float("nan"), 1234567.25, 3.0, 2.0, 2.0, 2.0],
            "new": [True, False, True, True, None, None, None, None],
        }
    )
    assert facets(catalog, [0, 1, 2, 3], ["size", "price", "new"]) == (
        "size: A4 (2), A3 (1); price: 1.5 to 1234567.25; new: True (3), False (1)"
    )
    assert facets(catalog, [5, 6, 6], ["size"]) == f"size: B C (2), {'x' * 57}... (1)"
    assert facets(catalog, range(8), ["title"]) == "title: t0 (1), t1 (1), t2 (1), t3 (1), t4 (1) and 3 more"
    assert facets(catalog, [2, 4], ["price"]) == "price: 3"
    assert facets(catalog, [1, 4], ["price", "new"]) == "price: 3; new: False (1)"
    assert facets(catalog, [2], ["price"]) == facets(catalog, [], ["price"]) == facets(catalog, [0], []) == ""


def test_the_options_survive_settings_and_replace(structured, dataset, filtering):
    table = structured.settings.action
    assert table == {
        "name": "structured",
        "max_chars": 10_000,
        "strict": False,
        "think_opened": False,
        "columns": ("price", "title"),
        "max_filters": 16,
    }
    for task in (
        Task(dataset, filtering, action=json.loads(json.dumps(structured.settings.as_table()["action"]))),
        structured.replace(reward="ndcg@1"),
        structured.replace(action=structured.action),
        pickle.loads(pickle.dumps(structured)),
    ):
        assert task.action == structured.action
        assert task.action.filter_columns == ("price", "title")
        assert task.score(["q1"], [written("lamp", price={"<=": 11})]).filters == ['[["price", "<=", 11.0]]']


def test_outcomes_pickle_with_their_filters(structured):
    outcomes = structured.score(["q1"], [written("lamp", price={"<=": 11})])
    assert pickle.loads(pickle.dumps(outcomes)).filters == outcomes.filters


def test_a_format_that_holds_no_filters_says_so():
    with pytest.raises(ValueError, match="completions of the action format 'answer' hold no filters"):
        rec_gym.loop.actions.Answer().with_filters("lamp", [])
    assert Structured.writes_filters


def test_the_same_words_within_another_document_are_another_request(catalog):
    requests = [
        {
            "id": f"{split}{n}",
            "text": "a lamp",
            "split": split,
            "targets": ["lamp-r"],
            "filters": [["price", "<=", limit]],
        }
        for n, (split, limit) in enumerate([("train", 20), ("test", 30), ("test", 20)])
    ]
    dataset = rec_gym.Dataset.from_requests(catalog, requests)
    assert shared_requests(dataset) == {("train", "test"): 1}


def test_what_is_rendered_names_the_filters(structured, dataset, filtering):
    outcomes = structured.score(["q1"] * 2, [written("lamp", price={"<=": 11}, colour="red"), written("lamp")])
    assert 'Filters: [["price", "<=", 11.0]] (1 ignored)\n' in render_outcome(structured, outcomes, 0)
    assert "Filters: none\n" in render_outcome(structured, outcomes, 1)
    plain = Task(with_filters(dataset, {"q1": [CHEAP]}), filtering)
    assert "Filters" not in render_outcome(plain, plain.score(["q1"], ["lamp"]), 0)
    assert "searched only where price <= 20.0" in render_request(plain, "q1")
