"""Recordings and caches: the answers are those of the wrapped recommender, whatever happens to the file."""

import json
import multiprocessing
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_gym import Catalog, Dataset, Rankings, RecommenderError, Task, make_task
from rec_gym.cache import DamagedError
from rec_gym.cli.cache_entries import entries, remove
from rec_gym.columns import Ragged
from rec_gym.recommenders import answers as answer_files
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.cached import Cached
from rec_gym.recommenders.questions import Once, question_keys
from rec_gym.recommenders.recording import Recording, ReplayMissError
from rec_gym.recommenders.trivial import RandomRecommender
from rec_gym.testing import check_recommender

SIZE = 40
QUERIES = ["red lamp", "", "blue \ud800 desk", "red lamp", "oak \0 chair", "x" * 5000]
HISTORIES = Ragged.from_rows([[0, 1, 2], [1, 2], [2, 1, 1], [3, 4], [0, 4]], np.int32)


@pytest.fixture
def catalog():
    return Catalog.from_columns(
        {
            "item_id": [f"i{number}" for number in range(SIZE)],
            "title": [f"{['red', 'blue', 'oak'][number % 3]} thing {number}" for number in range(SIZE)],
            "price": [float(number) for number in range(SIZE)],
        }
    )


class Live(RandomRecommender):
    """An engine whose answers change with every call, and which counts."""

    def __init__(self):
        super().__init__()
        self.calls, self.asked = 0, []

    def rank(self, queries, k, exclude=None, filters=None):
        self.calls += 1
        self.asked += queries
        self.seed = f"{os.getpid()} {self.calls}"
        return super().rank(queries, k, exclude, filters)


class Off:
    """An engine that is off: neither made nor called."""

    query_language = "any"

    def __init__(self, **options):
        raise AssertionError("a replay makes no engine")

    def rank(self, queries, k, exclude=None):
        raise AssertionError("a replay asks no engine")


def live(catalog):
    engine = Live().fit(catalog)
    engine.asked = []
    return engine


def same(one, two):
    np.testing.assert_array_equal(one.lengths, two.lengths)
    first, second = one.items >= 0, two.items >= 0  # one may have more padding
    np.testing.assert_array_equal(one.items[first], two.items[second])
    assert one.scores[first].tobytes() == two.scores[second].tobytes()


class TestRecording:
    @pytest.mark.parametrize("name", ["bm25", "random", "dense"])
    def test_what_is_recorded_and_what_is_replayed_is_the_ranking_to_the_bit(self, catalog, tmp_path, name):
        plain = make_recommender(name, {}, catalog)
        exclude = [np.array([row, 3, 3]) for row in range(len(QUERIES))]
        recording = make_recommender("recording", {"recommender": name, "record": tmp_path / "a"}, catalog)
        for again in range(2):
            for arguments in [(7,), (3, exclude), (SIZE + 5,)]:
                same(recording.rank(QUERIES, *arguments), plain.rank(QUERIES, *arguments))
            assert recording.stats.misses == 16
            assert recording.stats.hits == 2 + 18 * again
        assert recording.stats.recorded == 16
        replay = make_recommender("recording", {"recommender": name, "replay": tmp_path / "a"}, catalog)
        for arguments in [(7,), (3, exclude), (SIZE + 5,)]:
            same(replay.rank(QUERIES[::-1], *arguments[:1], *[part[::-1] for part in arguments[1:]]),
                 plain.rank(QUERIES[::-1], *arguments[:1], *[part[::-1] for part in arguments[1:]]))  # fmt: skip
        assert (replay.stats.hits, replay.stats.misses) == (18, 0)
        assert "hits=18, misses=0, recorded=0" in repr(replay)

    def test_a_live_engine_answers_a_question_once_for_ever(self, catalog, tmp_path):
        engine = live(catalog)
        recording = Recording(engine, record=tmp_path / "a", identity="live").fit(catalog)
        first = recording.rank(QUERIES, 5)
        assert sorted(engine.asked) == sorted(set(QUERIES))  # also within a batch
        assert engine.calls == 1
        same(recording.rank(QUERIES, 5), first)
        recording.rank(["red lamp", "new"], 5)
        assert engine.asked[-1:] == ["new"]
        again = Recording(live(catalog), record=tmp_path / "a", identity="live").fit(catalog)
        same(again.rank(QUERIES, 5), first)
        assert again.stats.misses == 0

    def test_a_replay_neither_makes_nor_asks_the_recommender(self, catalog, tmp_path):
        make_recommender("recording", {"record": tmp_path / "a", "identity": "engine 3"}, catalog).rank(["red"], 5)
        off = {"recommender": f"{__name__}:Off", "replay": tmp_path / "a", "identity": "engine 3"}
        replay = Recording(**off).fit(catalog)
        assert replay.rank(["red"], 5).lengths.tolist() == [5]
        assert replay.query_language == "bag of words"
        assert (replay.uses_histories, replay.filters_items) == (False, replay.filters_items)
        with pytest.raises(ReplayMissError):
            replay.rank(["new"], 5)

    def test_a_miss_says_what_was_asked_and_what_to_do(self, catalog, tmp_path):
        make_recommender("recording", {"record": tmp_path / "a"}, catalog).rank(["red", "oak"], 5)
        replay = make_recommender("recording", {"replay": tmp_path / "a"}, catalog)
        with pytest.raises(
            ReplayMissError,
            match="does not answer 2 of the questions; the first: the query 'red', k=4, 0 items excluded, no filter .that "
            "query was recorded with k=5.*running once with record='.*/a' instead of replay=",
        ):
            replay.rank(["red", "oak"], 4)
        with pytest.raises(ReplayMissError, match="recorded with k=5 too, with other excluded items or another filter"):
            replay.rank(["red"], 5, [np.array([1, 2])])
        with pytest.raises(ReplayMissError, match="that query was never recorded"):
            replay.rank(["red", "new"], 5)
        assert replay.stats.misses == 4
        with pytest.raises(ReplayMissError, match="what was searched for 'new'"):
            replay.searched(["red", "new"])

    def test_what_was_searched_and_clipped_is_replayed(self, catalog, tmp_path, monkeypatch):
        import rec_gym.recommenders.bm25.recommender as bm25

        monkeypatch.setattr(bm25, "MAX_QUERY_WEIGHT", 2)
        plain = make_recommender("bm25", {}, catalog)
        queries = ["Red things 5", "red", "thing"]
        words = plain.searched(queries)
        assert words[1:] == ["red", "thing"]
        recording = make_recommender("recording", {"record": tmp_path / "a"}, catalog)
        recording.rank(queries, 5)
        replay = make_recommender("recording", {"replay": tmp_path / "a"}, catalog)
        monkeypatch.undo()
        monkeypatch.setattr(bm25.BM25, "searched", None)
        for one in (recording, replay):
            assert one.searched(queries) == words
            assert one.clips(queries).tolist() == [True, False, False]
            assert one.rank(queries, 5).clipped.tolist() == [True, False, False]
        assert plain.clips(["red"]).tolist() == [False]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"recommender": {"name": "random", "seed": 2}}, r"seed was 1, and is 2"),
            ({"recommender": "bm25"}, "name was 'random', and is 'bm25'; seed was 1, and is not set"),
            ({"recommender": "random"}, "seed was 1, and is 0"),
            ({"recommender": "random", "identity": "x"}, "identity was not set, and is 'x'"),
        ],
    )
    @pytest.mark.parametrize("mode", ["record", "replay"])
    def test_other_settings_are_refused(self, catalog, tmp_path, settings, message, mode):
        first = {"recommender": {"name": "random", "seed": 1}, "record": tmp_path / "a"}
        make_recommender("recording", first, catalog).rank(["red"], 5)
        if mode == "replay" and settings["recommender"] == "bm25":
            message = "name was 'random', and is 'bm25'"  # its defaults would have to be imported
        with pytest.raises(ValueError, match=f"was recorded from something else: .*{message}.*record to another file"):
            make_recommender("recording", {**settings, mode: tmp_path / "a"}, catalog)

    def test_defaults_need_not_be_stated(self, catalog, tmp_path):
        first = make_recommender("recording", {"recommender": "random", "record": tmp_path / "a"}, catalog)
        first.rank(["red"], 5)
        stated = {"recommender": {"name": "random", "seed": 0}}
        for mode in ("record", "replay"):
            again = make_recommender("recording", {**stated, mode: tmp_path / "a"}, catalog)
            same(again.rank(["red"], 5), first.rank(["red"], 5))
            assert again.stats.misses == 0

    @pytest.mark.parametrize("mode", ["record", "replay"])
    def test_another_catalogue_or_other_histories_are_refused(self, catalog, tmp_path, mode):
        other = Catalog.from_columns({"item_id": ["a"], "title": ["red"]})
        make_recommender("recording", {"record": tmp_path / "a"}, catalog)
        with pytest.raises(ValueError, match=r"its catalogue has 40 items, this one 1 \(hash"):
            make_recommender("recording", {mode: tmp_path / "a"}, other)
        knn = {"recommender": "item-knn"}
        make_recommender("recording", {**knn, "record": tmp_path / "b"}, catalog, HISTORIES)
        with pytest.raises(ValueError, match="it learned from other train histories"):
            make_recommender("recording", {**knn, mode: tmp_path / "b"}, catalog, HISTORIES.take(np.array([0])))

    def test_histories_reach_the_recommender_and_their_order_counts(self, catalog, tmp_path):
        settings = {"recommender": {"name": "item-knn", "decay": 0.5}}
        plain = make_recommender("item-knn", {"decay": 0.5}, catalog, HISTORIES)
        recording = make_recommender("recording", {**settings, "record": tmp_path / "a"}, catalog, HISTORIES)
        exclude = [np.array([1, 3]), np.array([3, 1]), np.array([1, 3])]
        same(recording.rank(["x"] * 3, 5, exclude), plain.rank(["x"] * 3, 5, exclude))
        assert recording.stats.recorded == 2
        replay = make_recommender("recording", {**settings, "replay": tmp_path / "a"}, catalog, HISTORIES)
        same(replay.rank(["x"] * 3, 5, exclude), plain.rank(["x"] * 3, 5, exclude))
        assert recording.uses_histories
        assert replay.uses_histories
        dataset = Dataset.from_requests(catalog, [{"id": "a", "split": "train", "history": ["i1"], "targets": ["i5"]}])
        with pytest.raises(ValueError, match="keep exclude_history=True"):
            Task(dataset, replay, exclude_history=False)

    def test_filters_are_passed_on_and_a_part_of_the_question(self, catalog, tmp_path):
        plain = make_recommender("random", {}, catalog)
        recording = make_recommender("recording", {"recommender": "random", "record": tmp_path / "a"}, catalog)
        cheap, exact = (("price", "<=", 9),), (("price", "<=", 9.0), ("price", ">=", np.float64(2)))
        filters = [cheap, None, exact, ()]
        same(recording.rank(["a"] * 4, 20, filters=filters), plain.rank(["a"] * 4, 20, filters=filters))
        assert recording.stats.recorded == 3
        replay = make_recommender("recording", {"recommender": "random", "replay": tmp_path / "a"}, catalog)
        swapped = [(("price", ">=", 2), ("price", "<=", 9))]
        same(replay.rank(["a"], 20, filters=swapped), plain.rank(["a"], 20, filters=swapped))
        assert replay.filters_items
        with pytest.raises(ValueError, match="unknown column 'prise'; did you mean 'price'"):
            recording.rank(["a"], 20, filters=[(("prise", "<=", 9),)])
        with pytest.raises(ReplayMissError, match=r"\('price', '<=', 8\)"):
            replay.rank(["a"], 20, filters=[(("price", "<=", 8),)])

    def test_what_no_ranking_is_recorded(self, catalog, tmp_path):
        class Twice:
            query_language = "any"

            def rank(self, queries, k, exclude=None):
                return Rankings(np.zeros((len(queries), 2), np.int32), np.zeros((len(queries), 2), np.float32))

        recording = Recording(Twice(), record=tmp_path / "a", identity="twice").fit(catalog)
        with pytest.raises(RecommenderError, match="lists an item twice .*; nothing was stored"):
            recording.rank(["red"], 5)
        assert recording._file.count() == 0

    def test_wrong_use_says_what_to_do(self, catalog, tmp_path):
        for options in ({}, {"record": "a", "replay": "a"}):
            with pytest.raises(ValueError, match="needs either record=FILE, to add to a file, or replay=FILE"):
                make_recommender("recording", options, catalog)
        with pytest.raises(FileNotFoundError, match="there is no recording .*none; make one with record="):
            make_recommender("recording", {"replay": tmp_path / "none"}, catalog)
        with pytest.raises(ValueError, match="is the object .*which a file cannot describe; .*identity="):
            make_recommender("recording", {"record": tmp_path / "a", "recommender": live(catalog)}, catalog)
        scorer = {"name": "rerank", "scorer": len}
        with pytest.raises(ValueError, match="scorer of the recommender 'rerank' is .*identity="):
            make_recommender("recording", {"record": tmp_path / "a", "recommender": scorer}, catalog)
        with pytest.raises(ValueError, match="unknown recommender 'bm26'; did you mean 'bm25'"):
            make_recommender("recording", {"record": tmp_path / "a", "recommender": "bm26"}, catalog)

    def test_it_keeps_the_promises_of_a_recommender_and_so_does_its_replay(self, catalog, tmp_path):
        check_recommender(make_recommender("recording", {"record": tmp_path / "a"}, catalog), catalog)
        check_recommender(make_recommender("recording", {"replay": tmp_path / "a"}, catalog), catalog)

    def test_a_card_and_settings_of_a_task_take_it(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        recording = {"name": "recording", "recommender": "bm25", "record": "a"}
        task = make_task("RecR1-CornerShop-BM25-v0", split="val", items=600, recommender=recording)
        assert task.recommender.inner.fields == ("title", "brand", "description")  # the card's
        ids, texts = task.request_ids[:5], [row["text"] for row in list(task.rows())[:5]]
        rewards = task.score(ids, texts).rewards.tolist()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        rebuilt = make_task(task.settings)
        assert rebuilt.score(ids, texts).rewards.tolist() == rewards
        assert rebuilt.recommender is task.recommender
        assert not list(tmp_path.glob("elsewhere/*"))


def trained(task):
    """Rewards of a small training: a policy that learns how many of a request's words to keep."""
    texts = {row["request_id"]: row["text"].split() for row in task.rows()}
    value, rewards = dict.fromkeys(range(1, 8), 1.0), []
    for step in range(25):
        ids = [task.request_ids[(step * 8 + place) % len(task)] for place in range(8)]
        count = max(value, key=value.get)
        outcomes = task.score(ids, [" ".join(texts[name][:count]) for name in ids])
        for reward in outcomes.rewards.tolist():
            value[count] += 0.3 * (reward - value[count])
        rewards += outcomes.rewards.tolist()
    assert len(set(rewards)) > 10
    return rewards


def test_a_training_is_replayed_to_the_digit_with_the_engine_off(tmp_path, monkeypatch):
    from rec_gym.recommenders.bm25 import BM25

    def task_with(mode):
        recommender = {"name": "recording", "recommender": "bm25", mode: str(tmp_path / "run.sqlite")}
        return make_task("RecR1-CornerShop-BM25-v0", split="train", items=600, recommender=recommender)

    recorded = task_with("record")
    rewards = trained(recorded)
    plain = make_task("RecR1-CornerShop-BM25-v0", split="train", items=600)
    assert rewards == trained(plain)

    def off(*arguments, **options):
        raise AssertionError("the engine is off")

    for method in ("__init__", "fit", "rank", "rank_of", "searched", "clips"):
        monkeypatch.setattr(BM25, method, off)
    replay = task_with("replay")
    assert trained(replay) == rewards
    assert replay.recommender.stats.misses == 0
    asked = recorded.recommender.stats
    assert replay.recommender.stats.hits == asked.hits + asked.misses
    with pytest.raises(
        RecommenderError, match="does not answer 1 of the questions; the first: the query 'never asked'"
    ):
        replay.score(replay.request_ids[:1], ["never asked"])


CONDITIONS = st.tuples(st.sampled_from(["price", "size"]), st.sampled_from(["<=", "=="]), st.sampled_from([1, 1.0, 2, "1", True]))  # fmt: skip
QUESTIONS = st.tuples(
    st.text("ab\ud800", max_size=2),
    st.integers(1, 3),
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(CONDITIONS, max_size=2),
)


@given(st.lists(QUESTIONS, min_size=2, max_size=8), st.booleans())
@settings(max_examples=200, deadline=None)
def test_keys_are_equal_for_equal_questions_only_in_any_batch(questions, in_order):
    def meant(question):
        query, k, exclude, filters = question
        conditions = sorted((column, sign, "number" if type(value) in (int, float) else type(value).__name__, str(float(value)) if type(value) in (int, float) else str(value))
                            for column, sign, value in filters)  # fmt: skip
        return query, k, tuple(exclude) if in_order else tuple(sorted(set(exclude))), tuple(conditions)

    def key(question):
        query, k, exclude, filters = question
        return question_keys([query], k, [np.array(exclude, np.int64)], [tuple(filters)], in_order)[0]

    for one in questions:
        for two in questions:
            assert (key(one) == key(two)) == (meant(one) == meant(two))
    k = questions[0][1]
    together = question_keys(
        [query for query, *_ in questions],
        k,
        [np.array(exclude, np.int64) for *_, exclude, _ in questions],
        [tuple(filters) for *_, filters in questions],
        in_order,
    )
    assert together == [key((query, k, exclude, filters)) for query, _, exclude, filters in questions]


class TestThreads:
    def test_the_same_question_is_asked_once_at_a_time(self, catalog, tmp_path):
        engine, rank = live(catalog), Live.rank
        together = threading.Barrier(8)

        def slow(queries, *arguments, **options):
            time.sleep(0.2)
            return rank(engine, queries, *arguments, **options)

        engine.rank = slow
        recording = Recording(engine, record=tmp_path / "a", identity="live").fit(catalog)
        results = [None] * 8

        def work(number):
            together.wait()
            results[number] = recording.rank(["red", f"own {number}", "blue"], 5)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(engine.asked) == sorted(["red", "blue", *(f"own {number}" for number in range(8))])
        for result in results[1:]:
            same(result.take(np.array([0, 2])), results[0].take(np.array([0, 2])))

    def test_who_waits_for_a_stored_answer_does_not_wait_for_a_new_one(self):
        once, asking, go_on = Once(), threading.Event(), threading.Event()

        def slow(keys):
            asking.set()
            go_on.wait(10)
            return dict.fromkeys(keys, "new")

        both = []
        leader = threading.Thread(
            target=lambda: both.append(once.answers([b"a", b"b"], lambda keys: {b"a": "stored"}, slow))
        )
        leader.start()
        asking.wait(10)
        assert once.answers([b"a"], lambda keys: {b"a": "stored"}, slow) == {b"a": "stored"}
        go_on.set()
        leader.join(10)
        assert both == [{b"a": "stored", b"b": "new"}]
        with pytest.raises(OSError, match="no disk"):
            once.answers([b"a"], lambda keys: (_ for _ in ()).throw(OSError("no disk")), slow)
        assert not once._flights

    def test_who_waited_in_vain_asks_again(self):
        once, started, fail = Once(), threading.Event(), threading.Event()
        errors = []

        def failing(keys):
            started.set()
            fail.wait(10)
            raise OSError("out of order")

        def leads():
            try:
                once.answers([b"a", b"b"], lambda keys: {}, failing)
            except OSError as error:
                errors.append(error)

        leader = threading.Thread(target=leads)
        leader.start()
        started.wait(10)
        answered = []
        follower = threading.Thread(target=lambda: answered.append(once.answers([b"b"], lambda keys: {}, lambda keys: dict.fromkeys(keys, "yes"))))  # fmt: skip
        follower.start()
        time.sleep(0.05)
        assert not answered
        fail.set()
        leader.join(10)
        follower.join(10)
        assert answered == [{b"b": "yes"}]
        assert [str(error) for error in errors] == ["out of order"]
        assert not once._flights


WORKER = """
import json, sys, time
import numpy as np
sys.path.insert(0, {folder!r})
from test_recording import Live, SIZE
from rec_gym import Catalog
from rec_gym.recommenders.recording import Recording
catalog = Catalog.from_columns({{"item_id": [f"i{{n}}" for n in range(SIZE)], "title": ["red"] * SIZE}})
class Slow(Live):
    def rank(self, *arguments):
        time.sleep(0.005)
        return super().rank(*arguments)
recording = Recording(Slow().fit(catalog), record=sys.argv[1], identity="live").fit(catalog)
print(json.dumps([[], [], []]), flush=True)
sys.stdin.readline()
for step in range(int(sys.argv[3])):
    queries = [f"{{sys.argv[2] * (place % 2)}} {{step}} {{place}}" for place in range(16)]
    ranked = recording.rank(queries, 5)
    print(json.dumps([queries, ranked.items.tolist(), ranked.scores.tolist()]), flush=True)
"""


def workers(path, names, steps):
    """Processes that begin at the same time."""
    code = WORKER.format(folder=os.path.dirname(__file__))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), name, str(steps)], **pipes) for name in names]
    for process in started:
        assert process.stdout.readline()
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    return started


def check_answered(path, lines):
    """Every answer that a process gave is in the file as it was given."""
    shop = Catalog.from_columns({"item_id": [f"i{n}" for n in range(SIZE)], "title": ["red"] * SIZE})
    replay = Recording("random", replay=path, identity="live").fit(shop)
    for line in lines:
        queries, items, scores = json.loads(line)
        ranked = replay.rank(queries, 5)
        assert ranked.items.tolist() == items
        assert ranked.scores.tolist() == scores
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


class TestProcesses:
    def test_two_processes_record_at_once_and_agree(self, tmp_path):
        both = workers(tmp_path / "a", ["one", "two"], 40)
        lines = [line for process in both for line in process.communicate(timeout=120)[0].splitlines()]
        assert [process.returncode for process in both] == [0, 0]
        assert len(lines) == 80
        check_answered(tmp_path / "a", lines)  # half of the questions were common, and the engines did not agree

    @pytest.mark.slow
    def test_a_kill_loses_nothing_that_was_answered(self, tmp_path):
        draw = random.Random(0)
        lines = []
        for attempt in range(6):
            [process] = workers(tmp_path / "a", [f"{attempt}"], 100_000)
            time.sleep(draw.random() / 4)
            process.send_signal(signal.SIGKILL)
            rest = process.communicate(timeout=60)[0]
            lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        assert len(lines) > 12
        check_answered(tmp_path / "a", lines)

    def test_a_kill_while_the_file_is_made_leaves_one_that_can_be_used(self, catalog, tmp_path):
        plain = make_recommender("random", {}, catalog).rank(["a", "b"], 5)
        context, draw = multiprocessing.get_context("fork"), random.Random(0)

        def record(path):
            recording = Recording(RandomRecommender().fit(catalog), record=path, identity="r").fit(catalog)
            while True:
                recording.rank([f"{draw.random()}"], 5)

        answered = 0
        for attempt in range(40):
            path = tmp_path / f"{attempt}"
            child = context.Process(target=record, args=(path,))
            child.start()
            while attempt % 2 and not path.exists():
                time.sleep(0)
            time.sleep(draw.random() / (20 if attempt % 2 else 200))
            child.kill()
            child.join(30)
            recording = Recording(RandomRecommender().fit(catalog), record=path, identity="r").fit(catalog)
            answered += recording._file.count()
            same(recording.rank(["a", "b"], 5), plain)
            recording.close()
            replay = Recording("random", replay=path, identity="r").fit(catalog)
            same(replay.rank(["a", "b"], 5), plain)
        assert answered > 0

    def test_a_forked_child_records_too(self, catalog, tmp_path):
        recording = make_recommender("recording", {"recommender": "random", "record": tmp_path / "a"}, catalog)
        before = recording.rank(["a"], 5)
        child = multiprocessing.get_context("fork").Process(target=recording.rank, args=(["a", "b"], 5))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        same(recording.rank(["a"], 5), before)
        recording.rank(["b"], 5)
        assert (recording.stats.misses, recording._file.count()) == (1, 2)

    def test_pickles_hold_the_path_and_count_anew(self, catalog, tmp_path):
        recording = make_recommender("recording", {"recommender": "random", "record": tmp_path / "a"}, catalog)
        recording.rank(["a"], 5)
        again = pickle.loads(pickle.dumps(recording))
        again.rank(["a", "b"], 5)
        assert (again.stats.hits, again.stats.misses) == (1, 1)
        assert recording.stats.misses == 1


def recorded(path, catalog, count=60):
    """A file with answers, closed."""
    recording = Recording(RandomRecommender().fit(catalog), record=path, identity="r").fit(catalog)
    for start in range(0, count, 10):
        recording.rank([f"q{number}" for number in range(start, start + 10)], 20)
    recording.close()
    return [f"q{number}" for number in range(count)]


class TestDamage:
    @given(st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_damaged_file_never_gives_a_wrong_answer(self, catalog, tmp_path, data):
        sound, path = tmp_path / "sound", tmp_path / "damaged"
        if not sound.exists():
            recorded(sound, catalog)
        raw = bytearray(sound.read_bytes())
        for _ in range(data.draw(st.integers(1, 20))):
            place = data.draw(st.integers(0, len(raw) - 1))
            raw[place] ^= 1 << data.draw(st.integers(0, 7))
        cut = data.draw(st.sampled_from([None, None, len(raw) // 2, len(raw) - 4096, 100]))
        path.write_bytes(raw[:cut])
        expected = RandomRecommender().fit(catalog)
        wrong = 0
        try:
            replay = Recording("random", replay=path, identity="r").fit(catalog)
        except (DamagedError, OSError, ValueError):
            return
        for number in range(60):
            try:
                ranked = replay.rank([f"q{number}"], 20)
            except (DamagedError, ReplayMissError, OSError):
                wrong += 1
                continue
            same(ranked, expected.rank([f"q{number}"], 20))

    def test_damage_is_an_error_that_says_what_to_do(self, catalog, tmp_path):
        recorded(tmp_path / "a", catalog)
        with sqlite3.connect(tmp_path / "a") as connection:
            connection.execute("UPDATE answers SET places = zeroblob(length(places)) WHERE id = 3")
        connection.close()
        replay = Recording("random", replay=tmp_path / "a", identity="r").fit(catalog)
        with pytest.raises(
            DamagedError, match="a recorded answer is damaged .*; use a copy of it, or remove it and record"
        ):
            replay.rank(["q2"], 20)
        replay.rank(["q3"], 20)

    def test_other_files_are_refused_and_stay_as_they_are(self, catalog, tmp_path):
        (tmp_path / "text").write_text("not a database, but long enough to look like a header of one\n" * 100)
        sqlite3.connect(tmp_path / "other").execute("CREATE TABLE mine (a)").connection.close()
        for name in ("text", "other"):
            before = (tmp_path / name).read_bytes()
            for mode in ("record", "replay"):
                with pytest.raises(
                    DamagedError, match="cannot be used: (file is not a database|it does not hold recorded)"
                ):
                    Recording("random", **{mode: tmp_path / name}).fit(catalog)
            assert (tmp_path / name).read_bytes() == before

    def test_an_empty_file_and_one_whose_making_was_killed_are_filled(self, catalog, tmp_path):
        (tmp_path / "empty").touch()
        killed = sqlite3.connect(tmp_path / "killed")
        killed.execute("PRAGMA journal_mode=WAL")
        killed.close()
        for name in ("empty", "killed"):
            assert recorded(tmp_path / name, catalog, 10)
            assert Recording("random", replay=tmp_path / name, identity="r").fit(catalog).rank(["q1"], 20).lengths == 20

    def test_a_full_disk_is_an_error_with_the_path_and_what_to_do(self, catalog, tmp_path):
        recording = Recording(RandomRecommender().fit(catalog), record=tmp_path / "a", identity="r").fit(catalog)
        first = recording.rank(["a"], 20)
        with recording._file._connection() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(
            OSError, match="the disk of .*/a is full .* bytes are free.; make room, or use a file on another"
        ):
            recording.rank([f"{number}" for number in range(500)], 20)
        assert recording.stats.recorded == 1
        same(recording.rank(["a"], 20), first)
        with recording._file._connection() as connection:
            connection.execute("PRAGMA max_page_count=100000")
        recording.rank([f"{number}" for number in range(500)], 20)
        assert recording.stats.recorded == 501

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
    def test_a_read_only_file_can_be_replayed_and_says_so(self, catalog, tmp_path):
        queries = recorded(tmp_path / "a", catalog)
        os.chmod(tmp_path / "a", 0o444)
        os.chmod(tmp_path, 0o555)
        parents = [
            folder for folder in tmp_path.parents if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder)
        ]
        modes = {folder: folder.stat().st_mode for folder in parents}

        def attempt(pipe):
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                replay = Recording("random", replay=tmp_path / "a", identity="r").fit(catalog)
                items = replay.rank(queries, 20).items
                Recording(RandomRecommender().fit(catalog), record=tmp_path / "a", identity="r").fit(catalog)
            except Exception as error:
                pipe.send((items, type(error).__name__, str(error)))

        for folder in parents:
            os.chmod(folder, 0o755)
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=attempt, args=(theirs,))
        child.start()
        try:
            assert ours.poll(60)
            items, kind, message = ours.recv()
        finally:
            child.join(60)
            os.chmod(tmp_path, 0o755)
            for folder, mode in modes.items():
                os.chmod(folder, mode)
        np.testing.assert_array_equal(items, RandomRecommender().fit(catalog).rank(queries, 20).items)
        assert (kind, "make it writable, or replay it" in message) == ("PermissionError", True), message


class TestCached:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path, monkeypatch):
        """A cache folder that no earlier run has filled."""
        monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))

    def test_it_asks_once_and_a_second_process_not_at_all(self, catalog):
        engine = live(catalog)
        cached = Cached(engine, identity="live, asked once").fit(catalog)
        first = cached.rank(QUERIES, 5)
        same(cached.rank(QUERIES, 5), first)
        assert engine.calls == 1
        again = Cached(live(catalog), identity="live, asked once").fit(catalog)
        same(again.rank(QUERIES, 5), first)
        assert (again.stats.hits, again.stats.misses) == (6, 0)
        assert again.path == cached.path
        other = Cached(live(catalog), identity="another").fit(catalog)
        other.rank(QUERIES, 5)
        assert other.stats.misses == 5
        assert "hits=1, misses=5" in repr(other)

    def test_answers_grow_old(self, catalog, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(answer_files.time, "time", lambda: now[0])
        engine = live(catalog)
        cached = Cached(engine, ttl_s=100, identity="grows old").fit(catalog)
        first = cached.rank(["a"], 5)
        for seconds, calls in ((0, 1), (89, 1), (101, 2), (150, 2), (202, 3), (150, 4), (151, 4)):
            now[0] = 1000 + seconds  # at last the clock is set back
            answer = cached.rank(["a"], 5)
            assert engine.calls == calls
        assert answer.items.tolist() != first.items.tolist()
        assert cached._file.count() == 1

    def test_its_size_is_bounded_and_the_oldest_go_first(self, catalog):
        cached = Cached("random", max_mb=0.2, identity="bounded").fit(catalog)
        for start in range(0, 3000, 100):
            cached.rank([f"{number}" for number in range(start, start + 100)], 40)
            cached.close() if hasattr(cached, "close") else cached._file.close()
            assert os.path.getsize(cached.path) < 0.3e6
        assert 200 < cached._file.count() < 600
        before = cached.stats.misses
        cached.rank([f"{number}" for number in range(2900, 3000)], 40)
        assert cached.stats.misses == before
        cached.rank(["0"], 40)
        assert cached.stats.misses == before + 1
        tiny = Cached("random", max_mb=0.0001, identity="tiny").fit(catalog)
        same(tiny.rank(["a", "b"], 40), make_recommender("random", {}, catalog).rank(["a", "b"], 40))

    @pytest.mark.parametrize("damage", ["header", "answers", "text", "empty", "cut"])
    def test_damage_is_found_and_the_cache_is_made_again(self, catalog, caplog, damage):
        cached = Cached("random", identity=f"damaged {damage}").fit(catalog)
        first = cached.rank(QUERIES, 40)
        cached._file.close()
        raw = bytearray(cached.path.read_bytes())
        if damage == "answers":
            with sqlite3.connect(cached.path) as connection:
                connection.execute("UPDATE answers SET places = zeroblob(length(places))")
            connection.close()
        else:
            raw = {"header": b"x" * 100 + raw[100:], "text": b"hello\n" * 1000, "empty": b"", "cut": raw[:5000]}[damage]
            cached.path.write_bytes(raw)
        for _ in range(2):
            same(cached.rank(QUERIES, 40), first)
        assert cached.stats.misses == 10
        assert len([record for record in caplog.records if "is made again" in record.message]) == (damage != "empty")

    def test_one_that_cannot_be_written_warns_once_and_answers(self, catalog, caplog, monkeypatch):
        cached = Cached("random", identity="full").fit(catalog)
        cached.rank(["a"], 5)
        with cached._file._connection() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")
        queries = [f"{number}" for number in range(300)]
        for _ in range(2):
            same(cached.rank(queries, 40), make_recommender("random", {}, catalog).rank(queries, 40))
        assert [record.message[:21] for record in caplog.records] == ["answers are not kept:"]

    def test_the_cache_lists_it_and_removing_it_harms_nobody(self, catalog):
        cached = Cached({"name": "random", "seed": 99}).fit(catalog)
        first = cached.rank(QUERIES, 5)
        [entry] = [entry for entry in entries() if entry.path == cached.path.parent]
        assert (entry.kind, entry.name[:7], entry.useless) == ("answers", "random-", "")
        assert remove(entry)
        same(cached.rank(["new", *QUERIES], 5).take(np.arange(1, 7)), first)
        again = pickle.loads(pickle.dumps(cached))
        same(again.rank(QUERIES, 5), first)
        assert again.stats.misses == 5

    def test_wrong_settings_say_what_is_wrong(self, catalog):
        for options, message in (({"ttl_s": 0}, "ttl_s, the seconds"), ({"max_mb": -1}, "max_mb, the size")):
            with pytest.raises(ValueError, match=message):
                make_recommender("cached", options, catalog)
        with pytest.raises(RuntimeError, match="has no file yet; call fit"):
            _ = Cached().path

    def test_a_cross_encoder_is_asked_once_for_a_task(self, catalog):
        calls = []

        def scorer(query, texts):
            calls.append(query)
            return [len(text) for text in texts]

        rerank = {"name": "rerank", "scorer": scorer, "first": "random"}
        cached = make_recommender("cached", {"recommender": rerank, "identity": "lengths"}, catalog)
        assert cached.rank(["a", "b", "a"], 5).lengths.tolist() == [5, 5, 5]
        cached.rank(["b", "a"], 5)
        assert sorted(calls) == ["a", "b"]
