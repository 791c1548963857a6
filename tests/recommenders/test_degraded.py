"""Degraded recommenders: faults that are functions of seed, query and item, and nothing else."""

import hashlib
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym import Catalog, Dataset, Task, make_task
from rec_gym.columns import Ragged
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.degraded import WORST, Degraded
from rec_gym.testing import check_recommender

SIZE = 400
CATALOG = Catalog.from_columns(
    {
        "item_id": [f"i{number}" for number in range(SIZE)],
        "title": [
            f"{['red', 'blue'][number % 2]} {['lamp', 'desk', 'rug'][number % 3]} {number}" for number in range(SIZE)
        ],
        "price": [float(number % 50) for number in range(SIZE)],
        "popularity": [number * 7 % 100 for number in range(SIZE)],
    }
)
QUERIES = ["red lamp", "blue \ud800 desk", "rug", "", "desk 7", "nothing"]
NONE = dict.fromkeys(WORST, 0.0)


def degraded(inner="random", **options):
    return make_recommender("degraded", {"recommender": inner, **options}, CATALOG)


def lists(rankings):
    return [row[row >= 0].tolist() for row in rankings.items]


def draw(item, *key):
    """SHA-256 of the key, and SplitMix64's finaliser of key and item, in Python's whole numbers."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()
    whole = 2**64
    mixed = (int.from_bytes(digest[:8], "big") + (item + 1) * 0x9E3779B97F4A7C15) % whole
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % whole
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % whole
    return ((mixed ^ (mixed >> 31)) >> 11) / 2**53


def spoilt_slowly(full, query, seed, faults, hidden=(), size=SIZE):
    """The definition of the faults, item by item, over the whole ranking."""

    def known(item):
        shard = int(20 * draw(item, seed, "shard"))
        return (
            item < round(size * (1 - faults["stale"]))
            and draw(item, seed, "stock") >= faults["out_of_stock"]
            and draw(shard, seed, "partial", query) >= faults["partial"]
        )

    def dropped(item):
        return draw(item, seed, "drop", query) < faults["drop"]

    def swapped(item):
        return draw(item, seed, "noise", query) < faults["noise"]

    def fallen(place, item):
        falls = draw(item, seed, "shuffle", query) < faults["shuffle"]
        return place + (20 * draw(item, seed, "fall", query) if falls else 0)

    shuffled = [item for _, item in sorted((fallen(place, item), item) for place, item in enumerate(full))]
    result = []
    for item in shuffled:
        if not known(item) or dropped(item):
            continue
        if swapped(item):
            tries = (int(size * draw(item * 16 + attempt, seed, "swap", query)) for attempt in range(16))
            item = next((one for one in tries if known(one) and not dropped(one) and not swapped(one)), None)
        if item is not None and item not in hidden and item not in result:
            result.append(item)
    return result


@pytest.mark.parametrize("inner", ["random", "bm25", "popularity"])
@pytest.mark.parametrize("difficulty", [5, 60, 100])
@pytest.mark.parametrize("k", [1, 10, SIZE])
def test_it_is_the_definition_written_out_slowly(inner, difficulty, k):
    full = lists(make_recommender(inner, {}, CATALOG).rank(QUERIES, SIZE))
    recommender = degraded(inner, difficulty=difficulty, seed=3)
    ranked = lists(recommender.rank(QUERIES, k))
    for query, row, items in zip(QUERIES, full, ranked, strict=True):
        assert items == spoilt_slowly(row, query, 3, recommender.faults)[:k]


def test_how_deep_it_asks_at_first_does_not_matter(monkeypatch):
    recommender = degraded("bm25", difficulty=70)
    expected = lists(recommender.rank(QUERIES, 40))
    monkeypatch.setattr(Degraded, "_first_depth", lambda self, k: 3)
    assert lists(recommender.rank(QUERIES, 40)) == expected


def test_difficulty_0_is_the_wrapped_ranking_to_the_bit():
    for inner in ("bm25", "random", "popularity"):
        for arguments in [(7,), (SIZE, [np.array([3, 5])] * len(QUERIES))]:
            expected = make_recommender(inner, {}, CATALOG).rank(QUERIES, *arguments)
            actual = degraded(inner, difficulty=0).rank(QUERIES, *arguments)
            assert actual.items.tobytes() == expected.items.tobytes()
            assert actual.scores.tobytes() == expected.scores.tobytes()


@pytest.mark.parametrize("inner", ["bm25", "random", "hybrid"])
@pytest.mark.parametrize("difficulty", [1, 100])
def test_it_keeps_the_promises_of_a_recommender(inner, difficulty):
    check_recommender(degraded(inner, difficulty=difficulty), CATALOG)


@given(st.lists(st.sampled_from(QUERIES), max_size=6), st.integers(1, 60), st.integers(0, 100), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_query_is_ranked_the_same_in_every_batch_and_depth(queries, k, difficulty, seed):
    recommender = degraded("random", difficulty=difficulty, seed=seed)
    together = recommender.rank(queries, k)
    deeper = recommender.rank(queries, k + 17)
    assert [row[:k] for row in lists(deeper)] == lists(together)
    for query, items in zip(queries, lists(together), strict=True):
        assert lists(recommender.rank([query], k)) == [items]


def test_it_is_the_same_in_every_process_and_pinned():
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); from test_degraded import *; "
        "print(lists(degraded(difficulty=80, seed=5).rank(['red lamp', 'rug'], 8)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    here = lists(degraded(difficulty=80, seed=5).rank(["red lamp", "rug"], 8))
    assert done.stdout.strip() == str(here)
    assert here == PINNED
    copied = pickle.loads(pickle.dumps(degraded(difficulty=80, seed=5)))
    assert lists(copied.rank(["red lamp", "rug"], 8)) == here


PINNED = [[200, 277, 88, 352, 321, 16, 334, 244], [95, 287, 286, 41, 24, 254, 26, 204]]


class TestFaults:
    """Each fault alone, its share measured over many queries."""

    queries = tuple(f"query {number}" for number in range(100))

    def ranked(self, **shares):
        full = lists(make_recommender("random", {}, CATALOG).rank(self.queries, SIZE))
        return full, lists(degraded(**{**NONE, **shares}).rank(self.queries, SIZE))

    def test_dropped_results_are_missing_and_the_rest_moves_up(self):
        full, left = self.ranked(drop=0.3)
        missing = [set(row) - set(items) for row, items in zip(full, left, strict=True)]
        assert abs(np.mean([len(items) for items in missing]) / SIZE - 0.3) < 0.02
        assert all([item for item in row if item not in out] == items for row, out, items in zip(full, missing, left, strict=True))  # fmt: skip
        assert len({frozenset(items) for items in missing}) == 100

    def test_sold_out_items_are_the_same_for_every_query(self):
        full, left = self.ranked(out_of_stock=0.3)
        missing = {frozenset(row) - frozenset(items) for row, items in zip(full, left, strict=True)}
        assert len(missing) == 1
        assert abs(len(missing.pop()) / SIZE - 0.3) < 0.08

    def test_a_stale_index_lacks_the_last_items(self):
        _, left = self.ranked(stale=0.1)
        assert all(sorted(items) == list(range(360)) for items in left)

    def test_a_partial_answer_lacks_whole_shards(self):
        full, left = self.ranked(partial=0.25)
        missing = [frozenset(row) - frozenset(items) for row, items in zip(full, left, strict=True)]
        assert abs(np.mean([len(items) for items in missing]) / SIZE - 0.25) < 0.05
        together = np.array([[item in items for items in missing] for item in range(SIZE)])
        assert len({tuple(row) for row in together.tolist()}) == 20  # items fail together, in 20 groups

    def test_noise_takes_the_places_of_results(self):
        _, left = self.ranked(noise=0.4)
        full = lists(make_recommender("random", {}, CATALOG).rank(self.queries, 10))
        top = [items[:10] for items in left]
        at_their_place = np.mean([[one == two for one, two in zip(*rows, strict=True)] for rows in zip(full, top, strict=True)])  # fmt: skip
        assert abs(at_their_place - 0.6) < 0.05
        strangers = [item for row, items in zip(full, top, strict=True) for item in items if item not in row]
        assert np.ptp(np.bincount(np.array(strangers) // 100, minlength=4) / len(strangers)) < 0.15  # from anywhere

    def test_shuffled_results_fall_by_at_most_20_places(self):
        full, left = self.ranked(shuffle=0.5)
        places = [[items.index(item) for item in row] for row, items in zip(full, left, strict=True)]
        moved = np.array(places) - np.arange(SIZE)
        assert moved.max() <= 20
        assert moved.min() >= -20
        assert sorted(full[0]) == sorted(left[0])
        assert 0.3 < (moved > 0).mean() < 0.6


@pytest.mark.parametrize("fault", ["drop", "out_of_stock", "partial", "stale"])
def test_what_is_missing_is_missing_at_every_higher_difficulty(fault):
    worst = {**NONE, fault: None}
    before = set(range(SIZE))
    for difficulty in (10, 40, 41, 100):
        [items] = lists(degraded(**worst, difficulty=difficulty).rank(["red lamp"], SIZE))
        assert set(items) <= before
        before = set(items)
    assert len(before) < SIZE


def test_shares_follow_the_difficulty_where_they_are_not_stated():
    assert degraded(difficulty=50).faults == {name: worst / 2 for name, worst in WORST.items()}
    assert degraded(difficulty=50, noise=0.9).faults["noise"] == 0.9
    recommender = degraded(difficulty=50, noise=0.9)
    harder = recommender.at(100)
    assert harder.faults == {**WORST, "noise": 0.9}
    assert recommender.difficulty == 50
    assert lists(harder.rank(["rug"], 9)) == lists(degraded(difficulty=100, noise=0.9).rank(["rug"], 9))
    assert repr(harder) == "Degraded('random', difficulty=100, seed=0, noise=0.9)"


def test_noise_is_neither_excluded_nor_against_the_filter():
    recommender = degraded("random", difficulty=100, noise=0.7)
    exclude = [np.arange(0, SIZE, 2)] * len(QUERIES)
    ranked = lists(recommender.rank(QUERIES, 50, exclude))
    assert all(item % 2 for items in ranked for item in items)
    assert all(ranked)
    filters = [
        (("price", "<=", 9),),
        None,
        (("price", ">=", 45), ("popularity", "<=", 50)),
        None,
        (),
        (("price", "==", 3),),
    ]
    prices, popularity = CATALOG.values("price"), CATALOG.values("popularity")
    passing = [prices <= 9, prices >= 0, (prices >= 45) & (popularity <= 50), prices >= 0, prices >= 0, prices == 3]
    ranked = recommender.rank(QUERIES, 50, filters=filters)
    for items, passes in zip(lists(ranked), passing, strict=True):
        assert passes[items].all()
    others = [np.flatnonzero(~passes) for passes in passing]
    assert lists(ranked) == lists(recommender.rank(QUERIES, 50, others))
    assert recommender.filters_items
    with pytest.raises(ValueError, match="unknown column 'prise'"):
        recommender.rank(["rug"], 5, filters=[(("prise", "<=", 9),)])


def test_histories_reach_the_wrapped_recommender():
    histories = Ragged.from_rows([[0, 1, 2], [1, 2], [2, 1, 1], [3, 4], [0, 4]], np.int32)
    recommender = make_recommender("degraded", {"recommender": "item-knn", **NONE, "drop": 0.0001}, CATALOG, histories)
    plain = make_recommender("item-knn", {}, CATALOG, histories)
    exclude = [np.array([1]), np.array([3, 0])]
    assert lists(recommender.rank(["", ""], 9, exclude)) == lists(plain.rank(["", ""], 9, exclude)) != [[], []]
    assert recommender.uses_histories
    dataset = Dataset.from_requests(CATALOG, [{"id": "a", "split": "train", "history": ["i1"], "targets": ["i5"]}])
    with pytest.raises(ValueError, match="keep exclude_history=True"):
        Task(dataset, recommender, exclude_history=False)


def test_a_task_pays_less_the_harder_it_is():
    degraded_bm25 = {"name": "degraded", "recommender": "bm25", "difficulty": 0}
    task = make_task("RecR1-CornerShop-BM25-v0", split="val", items=600, recommender=degraded_bm25)
    rows = list(task.rows())
    ids, texts = [row["request_id"] for row in rows], [row["text"] for row in rows]
    plain = make_task("RecR1-CornerShop-BM25-v0", split="val", items=600).score(ids, texts).rewards
    means = []
    for difficulty in (0, 50, 100):
        harder = task.replace(recommender=task.recommender.at(difficulty))
        means.append(harder.score(ids, texts).rewards.mean())
    assert means[0] == plain.mean()
    assert means[0] > 1.3 * means[1] > 1.5 * means[2] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"difficulty": 101}, "difficulty is a whole number from 0 to 100, not 101"),
        ({"difficulty": -1}, "difficulty is a whole number from 0 to 100, not -1"),
        ({"difficulty": 0.5}, "difficulty of recommender 'degraded' must be a whole number, not 0.5"),
        ({"noise": 1.1}, "noise is a share from 0 to 1, or None to leave it to difficulty, not 1.1"),
        ({"drop": math.nan}, "drop of recommender 'degraded' must be a finite number"),
        ({"nois": 0.1}, "unknown option 'nois'; did you mean 'noise'"),
        ({"recommender": "bm26"}, "unknown recommender 'bm26'"),
    ],
)
def test_wrong_settings_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        make_recommender("degraded", options, CATALOG)
    with pytest.raises(ValueError, match="not True"):
        Degraded(difficulty=True)
