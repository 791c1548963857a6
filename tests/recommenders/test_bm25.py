from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest
import rank_bm25
from helpers.bm25_oracle import K1, B, Oracle, tokens
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders.base import Fits, RanksItems, Recommender, SaysWhatItSearched
from rec_gym.recommenders.bm25 import BM25

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def shop(texts) -> Catalog:
    return Catalog.from_columns({"item_id": [f"i{n}" for n in range(len(texts))], "text": list(texts)})


def fitted(texts, **arguments) -> BM25:
    return BM25(**arguments).fit(shop(texts))


def zipf_texts(count: int, seed: int = 1, words: int = 400, length: int = 12) -> list[str]:
    draw = random.Random(seed)
    weights = [1 / (rank + 2) for rank in range(words)]
    lengths = [draw.randint(0, 2 * length) for _ in range(count)]
    return [" ".join(f"w{w}" for w in draw.choices(range(words), weights, k=n)) for n in lengths]


def rows(rankings) -> list[list[int]]:
    return [[int(item) for item in row if item >= 0] for row in rankings.items]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[str], BM25, Oracle]:
    """Several windows would need more items; see `test_many_windows`."""
    texts = zipf_texts(700)
    queries = [text for text in zipf_texts(60, seed=2, length=8) if text]
    return texts, queries, fitted(texts, threads=1), Oracle(texts)


def test_it_is_a_recommender_with_all_capabilities(corpus):
    recommender = corpus[2]
    assert isinstance(recommender, Recommender)
    assert isinstance(recommender, Fits)
    assert isinstance(recommender, RanksItems)
    assert isinstance(recommender, SaysWhatItSearched)
    assert recommender.query_language == "bag of words"


@pytest.mark.parametrize("k", [1, 7, 100, 700, 2000])
def test_lists_and_scores_are_those_of_the_quantised_formula(corpus, k):
    _, queries, recommender, oracle = corpus
    rankings = recommender.rank(queries, k)
    assert rankings.items.shape == rankings.scores.shape == (len(queries), k)
    assert rankings.items.dtype == np.int32
    assert rankings.scores.dtype == np.float32
    assert rows(rankings) == [oracle.ranking(query, k) for query in queries]
    for query, items, scores in zip(queries, rows(rankings), rankings.scores, strict=True):
        np.testing.assert_array_equal(
            scores[: len(items)], (oracle.sums(query)[items] * oracle.step).astype(np.float32)
        )
    rankings.check(oracle.size)


def test_the_list_is_that_of_float64_but_for_scores_closer_than_the_bound(corpus):
    _, queries, recommender, oracle = corpus
    assert oracle.step == recommender.index.step
    for query, items in zip(queries, rows(recommender.rank(queries, 50)), strict=True):
        exact, bound = oracle.scores(query), oracle.bound(query)
        assert (np.abs(oracle.sums(query) * oracle.step - exact) <= bound * (1 + 1e-9)).all()
        low, high = exact - bound * (1 + 1e-9), exact + bound * (1 + 1e-9)
        assert all(high[better] >= low[worse] for better, worse in itertools.pairwise(items))
        rest = np.setdiff1d(np.flatnonzero(exact > 0), items)
        assert len(items) == 50 or rest.size == 0
        assert not items or not rest.size or (low[rest] <= high[items[-1]]).all()


def test_scores_agree_with_bm25s(corpus):
    texts, queries, recommender, oracle = corpus
    other = bm25s.BM25(method="lucene", k1=K1, b=B)
    other.index([tokens(text) for text in texts], show_progress=False)
    for query, items, scores in zip(queries, *ranked(recommender, queries), strict=True):
        theirs = other.get_scores([token for token in tokens(query) if token in oracle.terms])
        bound = oracle.bound(query).max() + 1e-5
        np.testing.assert_allclose(scores, theirs[items], rtol=0, atol=bound)
        assert set(items) == set(np.flatnonzero(theirs > 0).tolist())


def test_scores_agree_with_rank_bm25_under_lucenes_idf(corpus):
    texts, queries, recommender, oracle = corpus
    other = rank_bm25.BM25Okapi([tokens(text) for text in texts], k1=K1, b=B)
    other.idf = {term: oracle.idf[i] for term, i in oracle.terms.items()}
    for query, items, scores in zip(queries, *ranked(recommender, queries), strict=True):
        theirs = other.get_scores(tokens(query)) / (K1 + 1)
        np.testing.assert_allclose(scores, theirs[items], rtol=0, atol=oracle.bound(query).max() + 1e-5)
        assert set(items) == set(np.flatnonzero(theirs > 0).tolist())


def ranked(recommender, queries):
    """All matching items of each query and their scores."""
    rankings = recommender.rank(queries, recommender.index.size)
    lengths = rankings.lengths
    return (
        [row[:n] for row, n in zip(rankings.items, lengths, strict=True)],
        [row[:n] for row, n in zip(rankings.scores, lengths, strict=True)],
    )


@pytest.mark.parametrize(("k1", "b"), [(0.0, 0.75), (1.2, 0.0), (2.0, 1.0), (0.9, 0.4)])
def test_other_parameters(k1, b):
    texts = zipf_texts(60, seed=5)
    queries = ["w1 w2 w9", "w0 w0 w30"]
    oracle = Oracle(texts, k1, b)
    assert rows(fitted(texts, k1=k1, b=b).rank(queries, 60)) == [oracle.ranking(query, 60) for query in queries]


# Words that meet each other, words that do not, and text of any kind.
SHOP_WORDS = ["red", "blue", "the", "Shoes", "SHOE", "running", "jacket", "of", "é", "ß", "靴", "١٢", "x_y"]
any_text = st.text(max_size=30)
shop_text = st.lists(st.sampled_from(SHOP_WORDS), max_size=8)
texts_of_a_shop = st.lists(
    st.one_of(shop_text.map(" ".join), st.text(st.characters(codec="utf-8"), max_size=30)), min_size=1, max_size=12
)
queries_of_a_policy = st.lists(st.one_of(shop_text.map(" ".join), any_text), min_size=1, max_size=6)


@relaxed
@example(texts=[""], queries=["\ud800\0", "", "the"], k=1)
@given(texts=texts_of_a_shop, queries=queries_of_a_policy, k=st.integers(1, 20))
def test_any_text(texts, queries, k):
    recommender, oracle = fitted(texts, threads=1), Oracle(texts)
    rankings = recommender.rank(queries, k)
    assert rows(rankings) == [oracle.ranking(query, k) for query in queries]
    known = [" ".join(token for token in tokens(query) if token in oracle.terms) for query in queries]
    assert recommender.searched(queries) == known
    assert not rankings.clipped.any()


@relaxed
@given(data=st.data())
def test_rank_of_is_the_rank_in_the_full_list(corpus, data):
    _, queries, recommender, oracle = corpus
    item = st.integers(0, oracle.size - 1)
    count = data.draw(st.integers(1, 8))
    # Few queries, so that they repeat; few items, so that wanted items are excluded and repeated.
    asked = data.draw(
        st.lists(st.sampled_from([*queries[:4], "w0", "w1 w1 w1 w0", "nothing"]), min_size=count, max_size=count)
    )
    near = item | st.sampled_from(oracle.ranking(asked[0], 20) or [0])
    wanted = data.draw(st.lists(st.lists(near, max_size=6), min_size=count, max_size=count))
    exclude = data.draw(st.none() | st.lists(st.lists(near, max_size=6), min_size=count, max_size=count))
    k = data.draw(st.sampled_from([1, 2, 9, 10, 50, 100, 700, 5000]))
    ranks = recommender.rank_of(asked, Ragged.from_rows(wanted, np.int32), k, exclude)
    assert ranks.values.dtype == np.int32
    for i, query in enumerate(asked):
        full = oracle.ranking(query, k, exclude[i] if exclude is not None else ())
        assert ranks[i].tolist() == [full.index(w) if w in full else -1 for w in wanted[i]]
    rankings = recommender.rank(asked, k, exclude)
    assert rows(rankings) == [oracle.ranking(q, k, e) for q, e in zip(asked, exclude or [()] * count, strict=True)]
    assert rankings.ranks_of(Ragged.from_rows(wanted, np.int32)).values.tolist() == ranks.values.tolist()


def test_ties_go_to_the_lower_position():
    recommender = fitted(["red shoe", "blue shoe", "red shoe", "green hat"] * 50)
    rankings = recommender.rank(["red", "shoe red"], 150)
    expected = [n for n in range(200) if n % 2 == 0 and n % 4 != 3]
    assert rows(rankings)[0] == expected
    assert rows(rankings)[1] == expected + [n for n in range(200) if n % 4 == 1]
    items = Ragged.from_rows([[4, 2, 0, 3], [1]], np.int32)
    assert recommender.rank_of(["red", "shoe red"], items, 150).values.tolist() == [2, 1, 0, -1, 100]
    assert recommender.rank_of(["red", "shoe red"], items, 2).values.tolist() == [-1, 1, 0, -1, -1]


@pytest.fixture(scope="module")
def many_windows() -> tuple[BM25, list[str]]:
    """70,000 items (three windows) with dense words, sparse words, and words that skip a window."""
    draw = random.Random(3)
    size = 70_000
    postings = {"common": [n for n in range(size) if draw.random() < 0.5], "even": list(range(0, size, 2))}
    postings |= {f"rare{i}": sorted(draw.sample(range(size), draw.randint(1, 60))) for i in range(8)}
    postings |= {"ends": [0, 32767, 65536, size - 1], "borders": [32767, 32768, 65535, 65536]}
    words: list[list[str]] = [["filler"] * draw.randint(0, 3) for _ in range(size)]
    for word, items in postings.items():
        for item in items:
            words[item] += [word] * draw.choice([1, 1, 1, 2, 300])
    texts = [" ".join(row) for row in words]
    draws = np.random.default_rng(4)
    columns = {"place": np.arange(size), "draw": draws.random(size), "week": np.arange(size) % 7}
    catalog = Catalog.from_columns({"item_id": [f"i{n}" for n in range(size)], "text": texts, **columns})
    return BM25(fields="text").fit(catalog), texts


MANY = [
    [("draw", "<=", 0.1)],
    [("draw", "<=", 0.01), ("week", "==", 3)],
    [("draw", ">=", 0.5), ("week", "<=", 4), ("place", ">=", 1000)],
    [("place", "<=", 33_000)],  # the first window promises three times as many
    [("place", ">=", 65_000)],  # the first windows hold nothing
    [("place", "<=", 40_000), ("place", ">=", 30_000)],
    [("place", "<=", 5), ("place", ">=", 7)],
    [],
]


WORDS = ["common even", "rare0 rare1 rare2", "ends borders", "even rare3 rare3 rare4", "common"]


@pytest.fixture(scope="module")
def whole_rankings(many_windows) -> dict[str, list[int]]:
    """All that the oracle ranks for each of `WORDS`."""
    oracle = Oracle(many_windows[1])
    return {query: oracle.ranking(query, oracle.size) for query in WORDS}


@pytest.mark.parametrize("k", [1, 100, 1000, 70_000])
def test_filters_over_many_windows(many_windows, whole_rankings, k):
    recommender, _ = many_windows
    columns = {name: recommender._columns.table[name].to_numpy() for name in ("draw", "place", "week")}
    compare = {"<=": np.less_equal, ">=": np.greater_equal, "==": np.equal}
    passing = [
        np.logical_and.reduce([compare[s](columns[c], v) for c, s, v in own] or [columns["place"] >= 0]) for own in MANY
    ]
    queries, filters = [query for query in WORDS for _ in MANY], MANY * len(WORDS)
    expected = [[item for item in whole_rankings[query] if own[item]][:k] for query in WORDS for own in passing]
    for threads in (1, 3):
        recommender.threads = threads
        assert rows(recommender.rank(queries, k, filters=filters)) == expected
    draw = random.Random(k)
    wanted = [[*draw.sample(row, min(9, len(row))), *row[-1:], 5, 65536, 69_999] for row in expected]
    places = [{item: rank for rank, item in enumerate(row)} for row in expected]
    ranks = recommender.rank_of(queries, Ragged.from_rows(wanted, np.int32), k, filters=filters)
    assert [row.tolist() for row in ranks] == [
        [place.get(item, -1) for item in row] for place, row in zip(places, wanted, strict=True)
    ]


@pytest.mark.parametrize("k", [1, 10, 100, 1000, 70_000])
def test_many_windows(many_windows, k):
    recommender, texts = many_windows
    queries = ["common even", "rare0 rare1 rare2", "ends borders", "even rare3 rare3 rare4", "common borders", "rare5"]
    oracle = Oracle(texts)
    expected = [oracle.ranking(query, k) for query in queries]
    for threads in (1, 2, 4):
        recommender.threads = threads
        assert rows(recommender.rank(queries, k)) == expected
    exclude = [row[: 2 * i] for i, row in enumerate(expected)]
    expected = [oracle.ranking(query, k, out) for query, out in zip(queries, exclude, strict=True)]
    assert rows(recommender.rank(queries, k, exclude)) == expected
    draw = random.Random(k)
    wanted = [
        [*draw.sample(row, min(9, len(row))), 5, 65536, *out[:1]] for row, out in zip(expected, exclude, strict=True)
    ]
    places = [{item: rank for rank, item in enumerate(row)} for row in expected]
    ranks = recommender.rank_of(queries, Ragged.from_rows(wanted, np.int32), k, exclude)
    assert [row.tolist() for row in ranks] == [
        [place.get(item, -1) for item in row] for place, row in zip(places, wanted, strict=True)
    ]


@pytest.mark.parametrize("count", [1, 40, 400])
def test_many_words_and_many_items_are_ranked_as_in_the_full_list(many_windows, count):
    """Scores of many items under many words are added up in another way: over all items, window by window."""
    recommender, _ = many_windows
    draw = random.Random(count)
    rare = [f"rare{i}" for i in range(8)]
    queries = [
        " ".join(["ends", *rare]),
        " ".join([*rare[:5], "common"]),
        "borders even " * 3 + " ".join(rare),
        "rare1 borders",
    ]
    rankings = recommender.rank(queries, 70_000)
    wanted = [[*sorted(draw.choices([*row[row >= 0], 0, 65_536], k=count)), 69_999] for row in rankings.items]
    items = Ragged.from_rows(wanted, np.int32)
    exclude = [row[::3] for row in wanted]
    for excluded in (None, exclude):
        full = recommender.rank(queries, 70_000, excluded).ranks_of(items).values
        for k in (1, 50, 70_000):
            ranks = recommender.rank_of(queries, items, k, excluded).values
            assert ranks.tolist() == np.where(full < k, full, -1).tolist()


def test_every_thread_count_gives_the_same(corpus):
    texts, queries, _, _ = corpus
    batch = [query for query in queries for _ in range(3)]
    exclude = [[i % 7, i % 5] for i in range(len(batch))]
    wanted = Ragged.from_rows([[i, 2 * i, 0] for i in range(len(batch))], np.int32)
    results = []
    for threads in (1, 2, 4, None):
        recommender = fitted(texts, threads=threads)
        rankings = recommender.rank(batch, 30, exclude)
        results.append((rankings.items, rankings.scores, recommender.rank_of(batch, wanted, 30, exclude).values))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_term_frequencies_and_lengths_beyond_eight_and_sixteen_bits():
    texts = ["often " * 300, "often " * 70_000 + "once", "often once", "", "other words only", "once " * 255]
    recommender, oracle = fitted(texts), Oracle(texts)
    queries = ["often", "once", "often once", "words often"]
    assert rows(recommender.rank(queries, 6)) == [oracle.ranking(query, 6) for query in queries]
    exact = oracle.scores("often")
    scores = recommender.rank(["often"], 3)
    np.testing.assert_allclose(scores.scores[0], exact[scores.items[0]], atol=oracle.step)


@pytest.mark.parametrize("texts", [["shoe"], ["shoe shoe"], ["", "shoe"], ["shoe", "shoe", "shoe"]])
def test_catalogues_of_one_item_and_vocabularies_of_one_word(texts):
    recommender = fitted(texts)
    matching = [n for n, text in enumerate(texts) if text]
    assert rows(recommender.rank(["shoes", "hat", "the"], 3)) == [matching, [], []]
    ranks = recommender.rank_of(["shoes", "hat"], Ragged.from_rows([[0], [0]], np.int32), 3)
    assert ranks.values.tolist() == [matching.index(0) if 0 in matching else -1, -1]


@pytest.mark.parametrize("texts", [[""], ["the of", "and"], ["!!", "", "..."]])
def test_a_catalogue_without_words_ranks_nothing(texts):
    recommender = fitted(texts)
    rankings = recommender.rank(["shoe the", ""], 2)
    assert rows(rankings) == [[], []]
    assert (rankings.scores == 0).all()
    assert recommender.searched(["shoe the"]) == [""]
    assert recommender.rank_of(["shoe"], Ragged.from_rows([[0]], np.int32), 2).values.tolist() == [-1]


def test_an_empty_batch():
    recommender = fitted(["red shoe"])
    assert recommender.rank([], 5).items.shape == (0, 5)
    assert len(recommender.rank_of([], Ragged.from_rows([], np.int32), 5)) == 0
    assert recommender.searched([]) == []


def test_a_long_query_is_cut_and_said():
    recommender = fitted(["red shoe", "red", "blue hat", "hat"])
    fits, cut = "hat " * 32_766 + "red", "hat " * 32_767 + "red"
    queries = [fits, cut, "unknown the " * 40_000 + "red", "red"]
    rankings = recommender.rank(queries, 4)
    assert rankings.clipped.tolist() == recommender.clips(queries).tolist() == [False, True, False, False]
    assert rows(rankings) == [[3, 2, 1, 0], [3, 2], [1, 0], [1, 0]]
    assert recommender.searched([cut])[0].split() == ["hat"] * 32_767
    items = Ragged.from_rows([[0]] * 2, np.int32)
    assert recommender.rank_of([fits, cut], items, 4).values.tolist() == [3, -1]
    # The highest sum that there can be: every impact is at its maximum when k1 is 0.
    highest = fitted(["hat", "shoe"], k1=0.0).rank([cut], 2)
    assert rows(highest) == [[0]]
    assert highest.scores[0, 0] == np.float32(32_767 * np.log(2))


def test_equal_queries_are_ranked_once_and_excludes_keep_them_apart(monkeypatch):
    recommender = fitted(["red shoe", "red hat", "blue shoe"], threads=1)
    seen = []
    prepare = BM25._prepare
    monkeypatch.setattr(
        BM25, "_prepare", lambda self, queries, *rest: seen.append(list(queries)) or prepare(self, queries, *rest)
    )
    rankings = recommender.rank(["red", "shoe", "red", "red", "shoe"], 3, [[], [], [0], [], []])
    assert rows(rankings) == [[0, 1], [0, 2], [1], [0, 1], [0, 2]]
    assert seen == [["red", "shoe", "red"]]


def test_excluded_items_may_repeat_and_come_in_any_order(corpus):
    _, queries, recommender, oracle = corpus
    top = oracle.ranking(queries[0], 12)
    out = np.array([top[5], top[0], top[5], top[2]], np.int32)
    assert rows(recommender.rank(queries[:1], 10, [out])) == [oracle.ranking(queries[0], 10, out)]
    everything = [np.arange(oracle.size)]
    assert rows(recommender.rank(queries[:1], 10, everything)) == [[]]


def test_fields_decide_what_is_searched():
    catalog = Catalog.from_columns({"item_id": ["a", "b"], "title": ["red shoe", "hat"], "brand": ["Hat & Co", "Acme"]})
    assert rows(BM25().fit(catalog).rank(["hat"], 2)) == [[1, 0]]
    assert rows(BM25(["title"]).fit(catalog).rank(["hat"], 2)) == [[1]]
    assert rows(BM25("brand").fit(catalog).rank(["hat"], 2)) == [[0]]
    with pytest.raises(KeyError, match="no text column 'colour'; choose from: title, brand"):
        BM25(["colour"]).fit(catalog)


def test_missing_text_is_empty_text():
    catalog = Catalog.from_columns(
        {"item_id": ["a", "b", "c"], "title": ["red shoe", None, None], "brand": [None, "red", None]}
    )
    assert rows(BM25().fit(catalog).rank(["red"], 3)) == [[1, 0]]


def test_fit_returns_a_new_recommender_with_the_same_settings():
    settings_only = BM25(k1=0.9, b=0.4, threads=2)
    first, second = settings_only.fit(shop(["red shoe"])), settings_only.fit(shop(["hat", "red hat"]))
    assert rows(first.rank(["red"], 2)) == [[0]]
    assert rows(second.rank(["red"], 2)) == [[1]]
    assert repr(first) == repr(settings_only)
    with pytest.raises(RuntimeError, match=r"call fit\(catalog\)"):
        settings_only.rank(["red"], 1)


def test_one_index_a_process():
    catalog = shop(["red shoe", "hat"])
    assert BM25().fit(catalog).index is BM25(threads=1).fit(catalog).index


def test_pickles_hold_the_path_and_not_the_index(corpus):
    _, queries, recommender, _ = corpus
    recommender.rank(queries, 5)
    stored = pickle.dumps(recommender)
    assert len(stored) < 2000 + len(pickle.dumps(recommender._columns))  # the columns of a catalogue in memory
    for other in (pickle.loads(stored), copy.deepcopy(recommender)):
        np.testing.assert_array_equal(other.rank(queries, 5).items, recommender.rank(queries, 5).items)
        assert repr(other) == repr(recommender)
    with pytest.raises(RuntimeError, match="call fit"):
        pickle.loads(pickle.dumps(BM25())).rank(["a"], 1)


def test_many_threads_may_ask_at_once(corpus):
    _, queries, recommender, _ = corpus
    expected = recommender.rank(queries, 20).items
    fresh = pickle.loads(pickle.dumps(recommender))
    fresh.threads = 2
    with ThreadPoolExecutor(8) as pool:
        for rankings in pool.map(lambda _: fresh.rank(queries, 20), range(16)):
            np.testing.assert_array_equal(rankings.items, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_can_rank(corpus):
    texts, queries, _, _ = corpus
    recommender = fitted(texts, threads=2)
    expected = recommender.rank(queries, 5).items
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if np.array_equal(recommender.rank(queries, 5).items, expected) else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k1": -1}, "k1 must be a number >= 0"),
        ({"k1": float("nan")}, "k1 must be a number >= 0"),
        ({"b": 1.5}, "b lie between 0 and 1"),
        ({"language": "klingon"}, "unknown language 'klingon'; choose from: .*english.*none"),
        ({"threads": 0}, "threads must be a whole number >= 1"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BM25(**arguments)


def test_wrong_calls_are_refused():
    recommender = fitted(["red shoe", "hat"])
    none = Ragged.from_rows([[]], np.int32)
    with pytest.raises(TypeError, match="not one text"):
        recommender.rank("red", 3)
    with pytest.raises(TypeError, match="queries at positions 1"):
        recommender.rank(["red", None], 3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        recommender.rank(["red"], 0)
    with pytest.raises(ValueError, match="exclude names items for 2 queries, but there are 1 queries"):
        recommender.rank(["red"], 1, [[0], [1]])
    with pytest.raises(ValueError, match="excluded items must be positions in the catalogue of 2 items; wrong: 2, -1"):
        recommender.rank(["red"], 1, [[2, -1]])
    with pytest.raises(ValueError, match="items must be positions in the catalogue of 2 items; wrong: 7"):
        recommender.rank_of(["red"], Ragged.from_rows([[7]], np.int32), 1)
    with pytest.raises(ValueError, match="1 rows of items were given for 2 queries"):
        recommender.rank_of(["red", "hat"], none, 1)


def test_the_published_baseline_on_cranfield(real_data):
    source = real_data / "cranfield"

    def lines(name: str) -> list[dict]:
        return [json.loads(line) for line in (source / name).read_text(encoding="utf-8").splitlines()]

    corpus = lines("corpus.jsonl")
    catalog = Catalog.from_columns(
        {
            "item_id": [d["_id"] for d in corpus],
            "title": [d["title"] for d in corpus],
            "text": [d["text"] for d in corpus],
        }
    )
    relevant: dict[str, list[str]] = {}
    for split in ("train", "test"):
        for line in (source / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
            query, item, gain = line.split("\t")
            if float(gain) > 0:
                relevant.setdefault(query, []).append(item)
    queries = {query["_id"]: query["text"] for query in lines("queries.jsonl")}
    items = Ragged.from_rows([catalog.positions(found) for found in relevant.values()], np.int32)
    ranks = BM25().fit(catalog).rank_of([queries[name] for name in relevant], items, 100)

    def ndcg(row: np.ndarray, k: int) -> float:
        discounts = 1 / np.log2(np.arange(k) + 2)
        return discounts[row[(row >= 0) & (row < k)]].sum() / discounts[: len(row)].sum()

    assert np.mean([ndcg(row, 10) for row in ranks]) == pytest.approx(0.3845, abs=5e-5)
    assert np.mean([ndcg(row, 100) for row in ranks]) == pytest.approx(0.4984, abs=5e-5)
