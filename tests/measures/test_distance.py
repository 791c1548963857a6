"""Distances in places of a document, against the definition written out slowly."""

import csv
import io
import re

import numpy as np
import pyarrow as pa
import pytest
from helpers.registries import keep
from hypothesis import given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.evaluation import compare
from rec_gym.evaluation import evaluate as evaluate_policy
from rec_gym.evaluation.report import as_json, print_report, save_csv
from rec_gym.measures import MEASURES, Listed, ListMeasure, Measure, evaluate, register_measure
from rec_gym.measures.distance import Distance
from rec_gym.ranking import NOT_RANKED, Rankings
from rec_gym.recommenders.trivial import RandomRecommender
from rec_gym.testing import check_measure


def catalog_of(documents, places, **others):
    size = len(documents)
    columns = {"item_id": [f"i{k}" for k in range(size)], "title": ["x"] * size}
    return Catalog.from_columns({**columns, "document": documents, "place": places, **others})


def dataset_of(catalog, targets):
    rows = [{"id": f"q{k}", "text": "x", "split": "train", "targets": list(row)} for k, row in enumerate(targets)]
    return Dataset.from_requests(catalog, rows)


def measured(dataset, ranked, k, measure="distance"):
    width = max(map(len, ranked))
    items = np.array([[*row, *[NOT_RANKED] * (width - len(row))] for row in ranked], np.int32).reshape(
        len(ranked), width
    )
    rankings = Rankings(items, np.tile(-np.arange(width, dtype=np.float32), (len(ranked), 1)))
    rows = np.arange(len(ranked))
    return Measure.parse(f"{measure}@{k}")(Listed.of(rankings, dataset, rows))


def slow_distance(documents, places, targets, ranked, k):
    """Every pair of a target and one of the first k items of the target's document; else the longest document of a target."""
    gaps = [abs(places[i] - places[t]) for i in ranked[:k] for t in targets if documents[i] == documents[t]]
    if gaps:
        return min(gaps)
    lengths = []
    for target in targets:
        own = [place for document, place in zip(documents, places, strict=True) if document == documents[target]]
        lengths.append(max(own) - min(own) + 1)
    return max(lengths)


@st.composite
def cases(draw):
    size = draw(st.integers(1, 9))
    documents = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=size, max_size=size))
    places = draw(st.lists(st.integers(0, 40), min_size=size, max_size=size))
    requests = draw(st.integers(1, 4))
    targets = [draw(st.sets(st.integers(0, size - 1), min_size=1)) for _ in range(requests)]
    ranked = [draw(st.permutations(range(size)))[: draw(st.integers(0, size))] for _ in range(requests)]
    return documents, places, targets, ranked, draw(st.integers(1, size + 1))


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_distance_is_that_of_the_definition(case):
    documents, places, targets, ranked, k = case
    dataset = dataset_of(catalog_of(documents, places), targets)
    expected = [slow_distance(documents, places, wanted, row, k) for wanted, row in zip(targets, ranked, strict=True)]
    assert measured(dataset, ranked, k).tolist() == expected


def test_a_ranked_target_is_at_distance_0_and_an_empty_ranking_is_as_far_as_the_document_is_long():
    dataset = dataset_of(catalog_of(["a"] * 10 + ["b"] * 3, [*range(10), *range(3)]), [[4], [4], [4], [4], [4, 11]])
    ranked = [[4], [9, 4], [], [10, 11, 12], [12]]
    assert measured(dataset, ranked, 1).tolist() == [0, 5, 10, 10, 1]
    assert measured(dataset, ranked, 2).tolist() == [0, 0, 10, 10, 1]


def test_lower_is_better_is_stated():
    assert Measure.parse("distance@3").lower_is_better
    assert not any(Measure(name, 3).lower_is_better for name in ("ndcg", "success", "constraints"))
    assert Measure.parse("distance@3").range == (0.0, 2.0**31 - 1)


@pytest.mark.parametrize("document", [["a", "b", "a"], [1, 2, 1], [0.5, 1.5, 0.5]])
@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64()])
def test_documents_are_texts_or_numbers_and_places_any_whole_numbers(document, kind):
    catalog = catalog_of(document, pa.array([100, 3, 0], kind))
    dataset = dataset_of(catalog, [[0]])
    Measure.parse("distance@1").check(dataset)
    assert measured(dataset, [[2]], 1).tolist() == [100]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"place": [0, 1]}, "needs the columns 'document' and 'place'.*the catalogue has: item_id, title, place"),
        ({"document": ["a", "b"]}, "needs the columns 'document' and 'place'"),
        ({"document": ["a", None], "place": [0, 1]}, "a document for each item, but 1 have none"),
        ({"document": ["a", "a"], "place": pa.array([0, None])}, "a place for each item, but 1 have none"),
        ({"document": ["a", "a"], "place": [0.0, 1.0]}, "whole numbers in the column 'place', not double"),
        ({"document": ["a", "a"], "place": ["0", "1"]}, "whole numbers in the column 'place', not large_string"),
        ({"document": ["a", "a"], "place": [-1, 1]}, "places from 0 to 2147483646; the column 'place' holds -1 to 1"),
        ({"document": ["a", "a"], "place": [0, 2**31 - 1]}, "holds 0 to 2147483647"),
    ],
)
def test_a_catalogue_without_whole_places_is_refused(columns, message):
    catalog = Catalog.from_columns({"item_id": ["i0", "i1"], "title": ["x", "y"], **columns})
    dataset = dataset_of(catalog, [[0]])
    with pytest.raises(ValueError, match=message):
        rec_gym.Task(dataset, RandomRecommender().fit(catalog), measures=["distance@3"])


def test_the_cut_off_is_needed_and_ids_alone_are_not_enough():
    with pytest.raises(ValueError, match="distance needs a cut-off, such as distance@10"):
        Measure.parse("distance")
    with pytest.raises(ValueError, match="looks at the rankings of a task"):
        evaluate(["distance@1"], [["a"]], [["a"]])


class Pages(Distance):
    """The same in pages of a volume."""

    document = "volume"
    place = "page"


def test_a_subclass_measures_by_other_columns(monkeypatch):
    keep(monkeypatch, MEASURES)
    register_measure("pages", Pages)
    catalog = catalog_of(["a"] * 3, [0, 1, 2], volume=["v", "v", "w"], page=[7, 90, 8])
    dataset = dataset_of(catalog, [[0]])
    assert measured(dataset, [[2, 1]], 2, "pages").tolist() == [83]
    assert measured(dataset, [[2, 1]], 2).tolist() == [1]
    check_measure("pages@2", dataset)


def test_it_keeps_the_promises_of_a_measure():
    check_measure("distance@2")


class Regret(ListMeasure):
    """A custom measure in [0, 1] of which less is better."""

    lower_is_better = True

    def __call__(self, listed, cutoff):
        return 1.0 - (listed.gains_at(cutoff) > 0).any(axis=1)


@pytest.mark.parametrize("measure", ["distance@1", f"{__name__}:Regret@1"])
@pytest.mark.parametrize("where", ["measure", "gate", "term"])
def test_no_reward_is_made_of_a_measure_of_which_less_is_better(measure, where):
    dataset = dataset_of(catalog_of(["a"] * 3, [0, 1, 2]), [[0]])
    recommender = RandomRecommender().fit(dataset.catalog)
    rewards = {
        "measure": measure,
        "gate": {"measure": "ndcg@1", "transforms": [{"name": "gate", "measure": measure, "at": 0.5}]},
        "term": {"measure": "ndcg@1", "terms": {measure: 0.5}},
    }
    with pytest.raises(ValueError, match=f"lower values of {re.escape(measure)} are better: report it with measures="):
        rec_gym.Task(dataset, recommender, reward=rewards[where])
    task = rec_gym.Task(dataset, recommender, reward="ndcg@1", measures=[measure])
    assert task.score(["q0"], ["x"]).measures[measure][0] >= 0


class Reversed:
    """A recommender that ranks every item, last first, if there is a query."""

    query_language = "any"

    def __init__(self, size):
        self.size = size

    def rank(self, queries, k, exclude=None):
        items = np.arange(self.size - 1, -1, -1, dtype=np.int32)[:k]
        return Rankings(
            np.tile(items, (len(queries), 1)), np.tile(-np.arange(len(items), dtype=np.float32), (len(queries), 1))
        )


def test_a_completion_that_asks_nothing_is_as_far_off_as_an_empty_ranking():
    dataset = dataset_of(catalog_of(["a"] * 6, range(6)), [[2], [2, 3]])
    task = rec_gym.Task(dataset, Reversed(6), reward="ndcg@1", measures=["distance@1", "success@1"])
    outcomes = task.score(["q0", "q1", "q0"], ["x", "", "x"])
    assert outcomes.scored.tolist() == [True, False, True]
    assert outcomes.measures["distance@1"].tolist() == [3, 6, 3]
    assert outcomes.measures["success@1"].tolist() == [0, 0, 0]


def test_a_completion_that_ends_its_episode_is_not_at_distance_0():
    dataset = dataset_of(catalog_of(["a"] * 6, range(6)), [[2], [5]])
    task = rec_gym.Task(dataset, Reversed(6), reward="ndcg@1", measures=["distance@1"], turns=3)
    episodes = task.start(["q0", "q1"])
    episodes, outcomes, _ = task.advance(episodes, ["x", "x"])
    assert outcomes.measures["distance@1"].tolist() == [3, 0]
    _, outcomes, _ = task.advance(episodes, ["<stop>", "x"])
    assert outcomes.scored.tolist() == [False, True]
    assert outcomes.measures["distance@1"].tolist() == [6, 0]


def test_reports_say_that_lower_is_better(tmp_path):
    dataset = dataset_of(catalog_of(["a"] * 6, range(6)), [[k % 6] for k in range(12)])
    task = rec_gym.Task(dataset, Reversed(6), reward="ndcg@1", split="all", measures=["distance@1"])
    one, two = (
        evaluate_policy(task, lambda rows: ["x"] * len(rows), name=name, measures=["success@1"]) for name in "ab"
    )
    assert one.lower_is_better == ("distance@1",)
    comparison = compare([one, two])
    text = io.StringIO()
    print_report(comparison, text)
    headers = text.getvalue().splitlines()[2:4]
    at = headers[0].index("distance@1")
    assert headers[1][at:].startswith("lower is better")
    assert "lower" not in headers[1].replace("lower is better", "", 1)
    measures = as_json(comparison)["policies"][1]["measures"]
    assert {name for name, entry in measures.items() if entry.get("lower_is_better")} == {"distance@1"}
    save_csv(tmp_path / "r.csv", comparison)
    with open(tmp_path / "r.csv", newline="") as file:
        marked = {row["measure"]: row["lower_is_better"] for row in csv.DictReader(file)}
    assert marked == {"success@1": "False", "ndcg@1": "False", "distance@1": "True"}
