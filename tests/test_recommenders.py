"""What every recommender promises; a new one is checked without a new line."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_gym import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders import RECOMMENDERS, Recommender, make_recommender
from rec_gym.recommenders.base import RanksItems, SaysWhatItSearched
from rec_gym.recommenders.hybrid import Hybrid
from rec_gym.recommenders.rank_bm25 import RankBM25

QUERIES = ["red lamp", "soft seat for a room", "", "zzzz", "lamp lamp lamp", "Ärger \ud800 \0", "red lamp"]


@pytest.fixture(scope="module")
def catalog():
    rng = np.random.Generator(np.random.PCG64(0))
    words = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool"]
    titles = [" ".join(words[i] for i in rng.integers(0, len(words), 4)) for _ in range(60)]
    return Catalog.from_columns(
        {"item_id": [f"i{n}" for n in range(60)], "title": titles, "popularity": rng.integers(0, 5, 60)}
    )


HISTORIES = Ragged.from_rows([[1, 2, 3], [2, 3, 9], [5, 1], [0, 59, 2]], np.int32)
NEEDED = {"rerank": {"scorer": "rec_gym.recommenders.rerank:shared_words"}}  # settings without a default


@pytest.fixture(params=sorted(RECOMMENDERS))
def recommender(request, catalog):
    return make_recommender(request.param, NEEDED.get(request.param, {}), catalog, HISTORIES)


def test_it_is_a_recommender_and_states_its_language(recommender):
    assert isinstance(recommender, Recommender)
    assert recommender.query_language in ("bag of words", "natural language", "boolean", "any")


@pytest.mark.parametrize("k", [1, 7, 60, 1000])
def test_rankings_are_rankings(recommender, catalog, k):
    rankings = recommender.rank(QUERIES, k)
    assert len(rankings) == len(QUERIES)
    assert rankings.depth <= k
    rankings.check(len(catalog))
    scores, ranked = rankings.scores, rankings.items >= 0
    tied = ranked[:, 1:] & (scores[:, 1:] == scores[:, :-1])
    assert (rankings.items[:, 1:] > rankings.items[:, :-1])[tied].all()
    np.testing.assert_array_equal(rankings.items[0], rankings.items[6])


def test_a_shallower_ranking_is_the_top_of_a_deeper_one(recommender):
    deep, shallow = recommender.rank(QUERIES, 60), recommender.rank(QUERIES, 5)
    np.testing.assert_array_equal(deep.items[:, :5], shallow.items)


def test_what_is_excluded_is_not_ranked_and_the_rest_moves_up(recommender):
    full = recommender.rank(QUERIES, 60)
    exclude = [row[row >= 0][:3] for row in full.items]
    left = recommender.rank(QUERIES, 60, exclude)
    for before, hidden, after in zip(full.items, exclude, left.items, strict=True):
        expected = [item for item in before[before >= 0] if item not in hidden]
        # The parts of a hybrid rank without the hidden items, which may move the others past one another.
        same = sorted if isinstance(recommender, Hybrid) else list
        assert same(after[after >= 0].tolist()) == same(expected)


@given(queries=st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=4))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_query(recommender, queries):
    assert len(recommender.rank(queries, 5)) == len(queries)
    if isinstance(recommender, SaysWhatItSearched):
        assert len(recommender.searched(queries)) == len(queries)


def test_ranks_without_a_list_are_those_of_the_list(recommender):
    if not isinstance(recommender, RanksItems):
        pytest.skip("it makes lists only")
    rankings = recommender.rank(QUERIES, 10)
    items = Ragged.from_rows([np.arange(60)] * len(QUERIES), np.int32)
    np.testing.assert_array_equal(recommender.rank_of(QUERIES, items, 10).values, rankings.ranks_of(items).values)


def test_it_pickles(recommender):
    again = pickle.loads(pickle.dumps(recommender))
    np.testing.assert_array_equal(again.rank(QUERIES, 9).items, recommender.rank(QUERIES, 9).items)


def test_one_object_for_the_same_name_options_and_catalogue(catalog):
    assert make_recommender("random", {"seed": 1}, catalog) is make_recommender("random", {"seed": 1}, catalog)
    first = make_recommender("random", {"seed": 1}, catalog)
    assert first is not make_recommender("random", {"seed": 2}, catalog)


def test_settings_that_are_arrays_are_told_apart(catalog):
    kept = [
        make_recommender("hybrid", {"parts": ["bm25", "random"], "weights": np.array([weight, 1.0])}, catalog)
        for weight in (1.0, 2.0, 3.0, 4.0)
    ]
    assert [recommender.weights[0] for recommender in kept] == [1, 2, 3, 4]


def test_random_orders_differ_by_query_and_seed(catalog):
    one, two = (make_recommender("random", {"seed": seed}, catalog) for seed in (1, 2))
    assert sorted(one.rank(["a"], 60).items[0]) == list(range(60))
    assert one.rank(["a"], 60).items.tolist() != one.rank(["b"], 60).items.tolist()
    assert one.rank(["a"], 60).items.tolist() != two.rank(["a"], 60).items.tolist()


def test_popularity_is_the_catalogues_column(catalog):
    ranked = make_recommender("popularity", {}, catalog).rank(["a"], 60).items[0]
    counts = catalog.values("popularity")[ranked]
    assert (np.diff(counts) <= 0).all()
    with pytest.raises(ValueError, match="popularity needs a numeric catalogue column 'popularity'"):
        make_recommender("popularity", {}, Catalog.from_columns({"item_id": ["a"], "title": ["x"]}))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bm26", {}, "unknown recommender 'bm26'; there are: bm25, rank_bm25, random, popularity"),
        ("random", {"sede": 1}, "'sede'; its options are: seed"),
        ("nowhere:Engine", {}, "'nowhere:Engine' cannot be loaded"),
        ("json:nothing", {}, "cannot be loaded"),
        ("json:__doc__", {}, "is not a class or a function"),
    ],
)
def test_wrong_names_and_options_list_the_right_ones(catalog, name, options, message):
    with pytest.raises(ValueError, match=message):
        make_recommender(name, options, catalog)


def test_a_catalogue_without_words_is_refused():
    empty = Catalog.from_columns({"item_id": ["a"], "title": [""]})
    with pytest.raises(ValueError, match="no item has a word"):
        make_recommender("rank_bm25", {}, empty)


def test_rank_bm25_is_the_library_and_looks_at_the_catalogue_once_for_a_word(catalog, monkeypatch):
    fitted = RankBM25().fit(catalog)
    engine, asked = fitted._engine, []
    scores_of = engine.get_scores

    def counting(words):
        asked.extend(words)
        return scores_of(words)

    monkeypatch.setattr(engine, "get_scores", counting)
    query = "red lamp red red soft nothing a calm lamp " * 20 + "zzqx"
    ranked = fitted.rank([query, query], 6)
    assert sorted(asked) == ["lamp", "red", "soft"]
    scores = scores_of(query.split())
    for items, values in zip(ranked.items, ranked.scores, strict=True):
        listed = items[items >= 0]
        assert listed.tolist() == [item for item in np.argsort(-scores, kind="stable") if item in listed]
        np.testing.assert_array_equal(values[: len(listed)], scores[listed].astype(np.float32))
