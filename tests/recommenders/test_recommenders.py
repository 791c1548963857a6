"""What every recommender promises; a new one is checked without a new line."""

import inspect
import operator
import pickle
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_gym import Catalog, Dataset, RecommenderError, Task
from rec_gym.columns import Ragged
from rec_gym.fusion import reciprocal_rank_fusion
from rec_gym.recommenders import RECOMMENDERS, Recommender, make_recommender, new_recommender
from rec_gym.recommenders.base import (
    NotFittedError,
    RanksItems,
    SaysWhatItClips,
    SaysWhatItSearched,
    honours_filters,
    reads_histories,
)
from rec_gym.recommenders.degraded import Degraded
from rec_gym.recommenders.hybrid import Hybrid
from rec_gym.recommenders.rank_bm25 import RankBM25
from rec_gym.recommenders.rerank import Rerank

QUERIES = ["red lamp", "soft seat for a room", "", "zzzz", "lamp lamp lamp", "Ärger \ud800 \0", "red lamp"]


@pytest.fixture(scope="module")
def catalog():
    rng = np.random.Generator(np.random.PCG64(0))
    words = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool"]
    titles = [" ".join(words[i] for i in rng.integers(0, len(words), 4)) for _ in range(60)]
    return Catalog.from_columns(
        {
            "item_id": [f"i{n}" for n in range(60)],
            "title": titles,
            "popularity": rng.integers(0, 5, 60),
            "price": [None if n % 7 == 0 else n / 4 for n in range(60)],
            "brand": [("Ace", "Bo", "", None)[n % 4] for n in range(60)],
        }
    )


HISTORIES = Ragged.from_rows([[1, 2, 3], [2, 3, 9], [5, 1], [0, 59, 2]], np.int32)
FOLDER = tempfile.TemporaryDirectory()  # of recordings
NEEDED = {  # settings without a default
    "rerank": {"scorer": "rec_gym.recommenders.rerank:shared_words"},
    "recording": {"record": f"{FOLDER.name}/needed.sqlite"},
}
ELSEWHERE = {"recording": {"record": f"{FOLDER.name}/elsewhere.sqlite"}}  # a file holds one catalogue


SERVERS = {"postgres"}  # tested in tests/recommenders/engines/, where there is a server
AT_HAND = sorted(set(RECOMMENDERS) - SERVERS)


@pytest.fixture(params=AT_HAND)
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
        # The parts of a hybrid rank without the hidden items, which may move the others past one another; so do faults.
        same = sorted if isinstance(recommender, Hybrid | Degraded) else list
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


CONDITIONS = st.one_of(
    st.tuples(st.just("popularity"), st.sampled_from(["<=", ">=", "=="]), st.integers(-1, 5)),
    st.tuples(st.just("price"), st.sampled_from(["<=", ">="]), st.sampled_from([0, 2.5, 9, 12.25])),
    st.tuples(st.just("brand"), st.sampled_from(["<=", ">=", "=="]), st.sampled_from(["Ace", "Bo", "C", "\ud800"])),
)
FILTERS = st.lists(
    st.none() | st.lists(CONDITIONS, max_size=3).map(tuple), min_size=len(QUERIES), max_size=len(QUERIES)
)


def passes(catalog, filtered):
    """Which items pass, compared one by one."""
    compare = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
    rows = catalog.table.to_pylist()
    return [all(row[c] is not None and compare[s](row[c], v) for c, s, v in filtered or ()) for row in rows]


@given(filters=FILTERS, data=st.data(), k=st.sampled_from([1, 4, 60]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_leaves_of_the_whole_ranking_what_passes(recommender, catalog, filters, data, k):
    assert honours_filters(recommender)
    exclude = data.draw(st.none() | st.just([np.array(history[:2], np.int32) for history in [*HISTORIES] * 2][:7]))
    ranked = recommender.rank(QUERIES, k, exclude, filters=filters)
    whole = recommender.rank(QUERIES, 60, exclude)
    for row, own in enumerate(filters):
        listed = whole.items[row] >= 0
        listed[listed] = np.array(passes(catalog, own), bool)[whole.items[row][listed]]
        items, there = whole.items[row][listed], ranked.items[row] >= 0
        if isinstance(recommender, Hybrid | Rerank):  # the parts rank fewer items, which may pass one another
            assert set(ranked.items[row][there]) <= set(np.flatnonzero(passes(catalog, own)))
            assert there.sum() == min(k, len(items))
        elif isinstance(recommender, Degraded):  # an item that does not pass may have been swapped for one that does
            others = np.flatnonzero(~np.array(passes(catalog, own), bool))
            hidden = others if exclude is None else np.union1d(others, exclude[row])
            left = recommender.rank([QUERIES[row]], k, [hidden]).items[0]
            assert ranked.items[row][there].tolist() == left[left >= 0].tolist()
        else:
            assert ranked.items[row][there].tolist() == items[:k].tolist()
            np.testing.assert_array_equal(ranked.scores[row][there], whole.scores[row][listed][:k])
    if isinstance(recommender, RanksItems):
        items = Ragged.from_rows([np.arange(60)] * len(QUERIES), np.int32)
        ranks = recommender.rank_of(QUERIES, items, k, exclude, filters=filters)
        np.testing.assert_array_equal(ranks.values, ranked.ranks_of(items).values)


def test_a_hybrid_fuses_what_its_parts_rank_of_the_items_that_pass(catalog):
    hybrid = make_recommender("hybrid", {"parts": ["bm25", "dense"], "depth": 10}, catalog)
    filters = [(("popularity", "==", 3),)] * len(QUERIES)
    lists = [make_recommender(name, {}, catalog).rank(QUERIES, 10, filters=filters) for name in ("bm25", "dense")]
    fused = reciprocal_rank_fusion(lists, 5)
    np.testing.assert_array_equal(hybrid.rank(QUERIES, 5, filters=filters).items, fused.items)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([(("popularty", "<=", 5),)], "unknown column 'popularty'; did you mean 'popularity'"),
        ([(("popularity", "<", 5),)], "unknown operator '<'"),
        ([(("popularity", "<=", "5"),)], "must be a finite number, not '5'"),
        ([(("brand", "==", 5),)], "must be text, not 5"),
        ([], "filters are for 0 queries, but there are 1 queries"),
        ([(), ()], "filters are for 2 queries, but there are 1 queries"),
        (["brand"], "the filter of a query is a tuple of conditions"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused(recommender, filters, message):
    with pytest.raises(ValueError, match=message):
        recommender.rank(["red lamp"], 3, None, filters=filters)
    if isinstance(recommender, RanksItems):
        with pytest.raises(ValueError, match=message):
            recommender.rank_of(["red lamp"], Ragged.from_rows([[1]], np.int32), 3, None, filters=filters)


def test_what_a_recommender_asks_has_to_take_filters_too(catalog):
    inner = WithoutRanks(make_recommender("bm25", {}, catalog))
    assert not honours_filters(inner)
    for outer in (Hybrid([inner, "random"]).fit(catalog), Rerank(**NEEDED["rerank"], first=inner).fit(catalog)):
        assert not honours_filters(outer)
        outer.rank(["red"], 3, None, filters=[None])
        with pytest.raises(
            ValueError, match="WithoutRanks does not take filters; choose one whose filters_items is true"
        ):
            outer.rank(["red"], 3, None, filters=[(("popularity", "<=", 3),)])


@pytest.mark.parametrize("name", sorted(RECOMMENDERS))
def test_whether_it_takes_filters_is_known_before_it_is_fitted(name):
    assert honours_filters(new_recommender(name, NEEDED.get(name, {})))


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
        ("bm26", {}, "unknown recommender 'bm26'; did you mean 'bm25'.; choose from: bm25, rank_bm25, .* FILE.py:Name"),
        ("random", {"sede": 1}, "unknown option 'sede'; did you mean 'seed'"),
        ("random", {"seed": "0"}, "seed of recommender 'random' must be a whole number, not '0'"),
        ("bm25", {"k1": "1.2"}, "k1 of recommender 'bm25' must be a finite number, not '1.2'"),
        ("nowhere:Engine", {}, "'nowhere:Engine' cannot be loaded"),
        ("json:nothing", {}, "cannot be loaded"),
        ("json:__doc__", {}, "is an object of type str, not a recommender; name a class with rank"),
    ],
)
def test_wrong_names_and_options_list_the_right_ones(catalog, name, options, message):
    with pytest.raises(ValueError, match=message):
        make_recommender(name, options, catalog)


def test_a_catalogue_without_words_is_refused():
    empty = Catalog.from_columns({"item_id": ["a"], "title": [""]})
    with pytest.raises(ValueError, match="no item has a word"):
        make_recommender("rank_bm25", {}, empty)


# Every option of every recommender, none at its default.
OPTIONS = {
    "bm25": {"fields": ["title"], "k1": 0.9, "b": 0.4, "language": "none", "stop_words": False, "threads": 1},
    "rank_bm25": {"fields": ["title"], "k1": 0.9, "b": 0.4, "epsilon": 0.1},
    "random": {"seed": 3},
    "popularity": {},
    "dense": {
        "fields": ["title"],
        "encoder": {"name": "hashing", "dimensions": 64},
        "index": {"name": "flat"},
        "device": "cpu",
        "dtype": "bf16",
        "batch_size": 8,
        "query_prefix": "q ",
        "item_prefix": "i ",
        "kept_queries": 5,
    },
    "hybrid": {
        "parts": ["random", "bm25", "item-knn"],
        "weights": [1.0, 2.0, 3.0],
        "method": "convex",
        "depth": 30,
        "constant": 10,
        "normalise": "z",
    },
    "rerank": {
        "scorer": "rec_gym.recommenders.rerank:shared_words",
        "first": "random",
        "top": 7,
        "fields": ["title"],
        "device": "cpu",
        "dtype": "bf16",
        "batch_size": 8,
    },
    "sqlite": {"fields": ["title"], "weights": [2.0], "language": "none", "stop_words": False, "file": "shop.sqlite"},
    "item-knn": {"neighbours": 9, "shrink": 0.5, "decay": 0.9},
    # Either of record and replay is None, always.
    "recording": {"recommender": "random", "record": f"{FOLDER.name}/options.sqlite", "replay": None, "identity": "r"},
    "cached": {"recommender": "random", "ttl_s": 60.0, "max_mb": 5.0, "identity": "r"},
    "degraded": {
        "recommender": "random",
        "difficulty": 70,
        "seed": 3,
        **dict.fromkeys(("drop", "shuffle", "noise", "stale", "partial", "out_of_stock"), 0.2),
    },
}


def fit(recommender, catalog):
    """As `make_recommender` does."""
    return recommender.fit_histories(catalog, HISTORIES) if reads_histories(recommender) else recommender.fit(catalog)


@pytest.mark.parametrize("name", AT_HAND)
def test_fitting_keeps_every_option_and_those_that_a_subclass_adds(name, catalog, tmp_path, monkeypatch):
    base = RECOMMENDERS[name]
    assert set(OPTIONS[name]) == set(inspect.signature(base).parameters)

    class Sub(base):
        def __init__(self, added, **options):
            super().__init__(**options)
            self.added = added

    monkeypatch.chdir(tmp_path)
    unfitted = Sub(added="kept", **OPTIONS[name])
    if hasattr(unfitted, "push"):
        unfitted.push(catalog)
    fitted = fit(unfitted, catalog)
    assert type(fitted) is Sub
    settings = {key for key in vars(unfitted) if not key.startswith("_")} - {"fitted", "fitted_to"}
    assert "added" in settings
    assert len(settings) > (name != "popularity")
    for key in settings:
        assert getattr(fitted, key) == getattr(unfitted, key)
    assert (unfitted.fitted_to, fitted.fitted_to) == (None, catalog.content_hash)


@pytest.mark.parametrize("name", AT_HAND)
def test_one_that_is_not_fitted_or_to_another_catalogue_is_refused(name, catalog):
    history = Dataset.from_requests(
        catalog, [{"id": "a", "split": "train", "history": ["i1", "i2"], "targets": ["i3"]}]
    )
    unfitted = new_recommender(name, NEEDED.get(name, {}))
    message = "is not fitted; call fit(_histories)?\\(catalog.*\\) and use what it returns"
    for use in (
        lambda: Task(history, unfitted),
        lambda: unfitted.rank(["red"], 3),
        lambda: make_recommender("hybrid", {"parts": [unfitted, "random"]}, catalog, HISTORIES),
        lambda: make_recommender("rerank", {**NEEDED["rerank"], "first": unfitted}, catalog, HISTORIES),
    ):
        with pytest.raises(NotFittedError, match=message):
            use()
    titles = {"item_id": [f"i{n}" for n in range(60)], "title": ["red"] * 60, "popularity": [1] * 60}
    elsewhere = new_recommender(name, {**NEEDED.get(name, {}), **ELSEWHERE.get(name, {})})
    other = fit(elsewhere, Catalog.from_columns(titles))
    Task(history, fit(unfitted, catalog))
    for use in (
        lambda: Task(history, other),
        lambda: Task(history, fit(unfitted, catalog)).replace(recommender=other),
        lambda: make_recommender("hybrid", {"parts": [other, "random"]}, catalog, HISTORIES),
    ):
        with pytest.raises(ValueError, match="is fitted to another catalogue than the dataset's"):
            use()


class Eight:
    """An encoder that reads eight characters, and says so."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        return np.array([[len(text), text[:8].count("e") + 1, 1] for text in texts], np.float32)

    def clips(self, texts):
        self.asked.append(list(texts))
        return np.array([len(text.encode()) > 8 for text in texts])


LONG = "the longest query of all"
LIMITED = {"dense": {"encoder": Eight()}, "bm25": {}}
LIMITED["hybrid"] = {"parts": [{"name": "dense", **LIMITED["dense"]}, "random"]}
LIMITED["rerank"] = {**NEEDED["rerank"], "first": {"name": "dense", **LIMITED["dense"]}}
LIMITED["degraded"] = {"recommender": {"name": "dense", **LIMITED["dense"]}}
LIMITED["cached"] = {**LIMITED["degraded"], "identity": "eight"}
LIMITED["recording"] = {**LIMITED["cached"], "record": f"{FOLDER.name}/limited.sqlite"}


class WithoutRanks:
    """A recommender without its `rank_of`."""

    def __init__(self, inner):
        self.query_language, self.rank = inner.query_language, inner.rank


class WithoutWord(WithoutRanks):
    """One that says what it clips only where it is asked."""

    def __init__(self, inner):
        super().__init__(inner)
        self.rank_in = inner.rank
        self.rank = self.ranked
        self.clips = inner.clips

    def ranked(self, *arguments):
        rankings = self.rank_in(*arguments)
        return type(rankings)(rankings.items, rankings.scores)


@pytest.mark.parametrize("wrap", [lambda inner: inner, WithoutRanks, WithoutWord])
@pytest.mark.parametrize("name", sorted(LIMITED))
def test_a_query_beyond_the_limit_is_reported_on_every_path(name, wrap, catalog, monkeypatch):
    import rec_gym.recommenders.bm25.recommender as bm25

    monkeypatch.setattr(bm25, "MAX_QUERY_WEIGHT", 2)
    recommender = make_recommender(name, LIMITED[name], catalog, HISTORIES)
    assert isinstance(recommender, SaysWhatItClips)
    short, long = ("red lamp", "red lamp chair desk") if name == "bm25" else ("red", LONG + "\ud800")
    assert recommender.clips([short, long, short]).tolist() == [False, True, False]
    assert recommender.clips([]).tolist() == []
    dataset = Dataset.from_requests(catalog, [{"id": "a", "text": "x", "split": "train", "targets": ["i3"]}])
    for overrides in ({}, {"action": "lines"}):
        outcomes = Task(dataset, wrap(recommender), **overrides).score(["a"] * 4, [short, long, "", long])
        assert outcomes.clipped.tolist() == [False, True, False, True]
        assert outcomes.rankings.clipped.tolist() == [False, True, False, True]


def test_every_recommender_with_a_limit_is_looked_at(recommender):
    rankings = recommender.rank(QUERIES, 3)
    assert rankings.clipped is None or isinstance(recommender, SaysWhatItClips)


def test_remembered_queries_are_not_asked_again_whether_they_are_too_long(catalog):
    encoder = Eight()
    dense = make_recommender("dense", {"encoder": encoder, "query_prefix": "q: "}, catalog)
    dense.rank(["red", LONG], 3)
    assert dense.clips([LONG, "red"]).tolist() == [True, False]
    assert [sorted(texts) for texts in encoder.asked] == [["q: red", f"q: {LONG}"]]
    encoder.clips = lambda texts: [0.5] * len(texts)
    with pytest.raises(ValueError, match=r"clips of Eight must return bool \[1\], one for each text, not float64"):
        dense.clips(["new"])


def test_what_a_custom_recommender_says_is_looked_at(catalog):
    recommender = WithoutWord(make_recommender("bm25", {}, catalog))
    recommender.clips = lambda queries: np.zeros(len(queries))
    dataset = Dataset.from_requests(catalog, [{"id": "a", "text": "x", "split": "train", "targets": ["i3"]}])
    with pytest.raises(RecommenderError, match=r"WithoutWord.clips, asked 'red': it returned float64 \[1\], not bool"):
        Task(dataset, recommender).score(["a"], ["red"])


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
