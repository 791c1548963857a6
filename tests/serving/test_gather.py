"""Gathered scoring: everybody gets their own outcome, whatever the others, the engine or the event loops do."""

import asyncio
import gc
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym import RecommenderError, Task
from rec_gym.loop.episode import Episode
from rec_gym.serving import Gather, Outcome
from rec_gym.serving.batcher import Batcher, _ThreadCall

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
SMALL = {"split": "val", "items": 600}
WAIT = 20  # seconds that a test waits for what must happen


@pytest.fixture(scope="module")
def shop():
    return rec_gym.make_task(SHOP, **SMALL, measures=["recall@10"])


@pytest.fixture(scope="module")
def refine():
    return rec_gym.make_task(REFINE, **SMALL)


class Watched(Task):
    """A task that notes its batches, and can be told to wait, to fail, or to fail at one completion."""

    def __init__(self, dataset, recommender, **settings):
        super().__init__(dataset, recommender, **settings)
        self.batches = []
        self.gates = {}  # completion -> event that its batch waits for
        self.started = threading.Semaphore(0)
        self.failure = None

    def score(self, request_ids, completions):
        self.batches.append(list(completions))
        self.started.release()
        for completion in completions:
            if completion in self.gates:
                assert self.gates[completion].wait(WAIT)
            if completion == "not for me":
                raise ValueError("this completion is at fault")
        if self.failure is not None:
            raise self.failure
        return super().score(request_ids, completions)


@pytest.fixture
def watched(dataset, overlap):
    return Watched(dataset, overlap, measures=["mrr@10"])


def asked(task, count, seed=0):
    """Requests and completions of which some do not parse, some are asked twice, and most earn something."""
    draw = random.Random(seed)
    rows = list(task.rows())
    chosen = [draw.choice(rows) for _ in range(count)]
    words = [" ".join(row["text"].split()[: draw.randint(1, 9)]) for row in chosen]
    return [row["request_id"] for row in chosen], [
        draw.choice([text, text, text, "", "<think>no end"]) for text in words
    ]


def assert_equal_to_the_batch(task, ids, texts, outcomes):
    batch = task.score(ids, texts)
    columns = batch.columns()
    assert [outcome.reward for outcome in outcomes] == batch.rewards.tolist()
    assert [outcome.request_id for outcome in outcomes] == ids
    for place, outcome in enumerate(outcomes):
        assert outcome.columns() == {key: values[place] for key, values in columns.items()}
        assert outcome.measures == {name: values[place] for name, values in batch.measures.items()}
    assert len(set(batch.rewards.tolist())) > 2


class TestEverybodyGetsTheirOwn:
    def test_a_thousand_threads(self, shop):
        ids, texts = asked(shop, 1024)
        outcomes = [None] * 1024

        with Gather(shop) as gather:

            def call(place):
                outcomes[place] = gather.score_one(ids[place], texts[place])

            threads = [threading.Thread(target=call, args=(place,)) for place in range(1024)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert_equal_to_the_batch(shop, ids, texts, outcomes)

    def test_a_thousand_coroutines(self, shop):
        ids, texts = asked(shop, 1024, seed=1)

        async def play():
            async with Gather(shop, max_batch=300) as gather:
                return await asyncio.gather(*map(gather.score_one_async, ids, texts))

        assert_equal_to_the_batch(shop, ids, texts, asyncio.run(play()))

    def test_several_event_loops_and_threads_at_once(self, shop):
        ids, texts = asked(shop, 600, seed=2)

        with Gather(shop) as gather:

            async def loop(part):
                return await asyncio.gather(*(gather.score_one_async(ids[i], texts[i]) for i in part))

            def threads(part):
                return [gather.score_one(ids[i], texts[i]) for i in part]

            parts = [range(start, start + 100) for start in range(0, 600, 100)]
            with ThreadPoolExecutor(6) as pool:
                loops = [pool.submit(lambda part=part: asyncio.run(loop(part))) for part in parts[:3]]
                others = [pool.submit(threads, part) for part in parts[3:]]
                outcomes = [outcome for future in loops + others for outcome in future.result(WAIT)]
        assert_equal_to_the_batch(shop, ids, texts, outcomes)

    @settings(max_examples=40, deadline=None)
    @given(
        items=st.lists(st.integers(0, 9), min_size=1, max_size=60),
        max_batch=st.integers(1, 20),
        threads=st.integers(1, 4),
        wait_ms=st.sampled_from([0.0, 0.5]),
        slow_ms=st.sampled_from([0.0, 1.0, 50.0]),
        pauses=st.lists(st.booleans(), min_size=60, max_size=60),
    )
    def test_in_whatever_order_they_come(self, items, max_batch, threads, wait_ms, slow_ms, pauses):
        sizes = []

        def work(batch):
            sizes.append(len(batch))
            if batch[0] % 3 == 0:
                time.sleep(0.0005)
            if 7 in batch:
                raise KeyError(7)
            return [(item, item * item) for item in batch]

        batcher = Batcher(work, wait_ms, max_batch, threads, slow_ms)

        async def call(item, pause):
            if pause:
                await asyncio.sleep(0)
            try:
                return await batcher.future(item)
            except KeyError:
                return "fault"

        async def play():
            return await asyncio.gather(*map(call, items, pauses))

        answers = asyncio.run(play())
        batcher.close()
        assert answers == ["fault" if item == 7 else (item, item * item) for item in items]
        assert max(sizes) <= max_batch

    def test_turns_of_episodes_too(self, refine):
        ids, texts = asked(refine, 120, seed=3)
        episodes = refine.start(ids)

        async def play(gather, turns):
            return await asyncio.gather(*map(gather.advance_one_async, *turns))

        with Gather(refine) as gather:
            before = episodes
            for words in (texts, ["blanket", "<stop>"] * 60):
                turns = asyncio.run(play(gather, (before, words)))
                after, outcomes, observed = refine.advance(before, words)
                assert [turn.episode for turn in turns] == after
                assert [turn.observation for turn in turns] == observed
                assert [turn.outcome.reward for turn in turns] == outcomes.rewards.tolist()
                before = [episode for episode in after if not episode.done]
                before += refine.start(ids[len(before) :])
            [alone] = refine.start(ids[:1])
            turn = gather.advance_one(alone, "wool blanket")
            [after], outcomes, [text] = refine.advance([alone], ["wool blanket"])
            assert (turn.episode, turn.observation, turn.outcome.parse) == (after, text, outcomes.parse[0])


class TestBatches:
    def test_callers_that_come_together_are_scored_together(self, watched):
        async def play():
            async with Gather(watched) as gather:
                for _ in range(5):
                    await asyncio.gather(*(gather.score_one_async("q1", "chair") for _ in range(100)))

        asyncio.run(play())
        sizes = [len(batch) for batch in watched.batches]
        assert sum(sizes) == 500
        assert sizes[-4:] == [100] * 4

    def test_a_caller_alone_does_not_wait(self, watched):
        with Gather(watched, wait_ms=1e6) as gather:  # a wait would outlast the test
            for _ in range(20):
                gather.score_one("q1", "chair")
        assert [len(batch) for batch in watched.batches] == [1] * 20

    def test_who_comes_alone_after_many_waits_for_the_others_once_and_not_for_long(self, watched):
        async def together(gather):
            await asyncio.gather(*(gather.score_one_async("q1", "chair") for _ in range(50)))

        with Gather(watched, wait_ms=100) as gather:
            asyncio.run(together(gather))
            waits = []
            for _ in range(3):
                start = time.perf_counter()
                gather.score_one("q1", "chair")
                waits.append(time.perf_counter() - start)
        assert 0.09 < waits[0] < WAIT
        assert max(waits[1:]) < 0.09

    def test_what_arrives_during_a_call_makes_the_next_batch(self, watched):
        watched.gates["first"] = threading.Event()

        async def play():
            async with Gather(watched, slow_ms=1e6) as gather:
                first = asyncio.ensure_future(gather.score_one_async("q1", "first"))
                await asyncio.to_thread(watched.started.acquire, timeout=WAIT)
                others = [asyncio.ensure_future(gather.score_one_async("q1", f"chair {i}")) for i in range(30)]
                await asyncio.sleep(0.05)
                assert len(watched.batches) == 1
                watched.gates["first"].set()
                await asyncio.gather(first, *others)

        asyncio.run(play())
        assert [len(batch) for batch in watched.batches] == [1, 30]

    def test_a_slow_call_does_not_block_the_next(self, watched):
        watched.gates["slow"] = threading.Event()

        async def play():
            async with Gather(watched, slow_ms=10) as gather:
                slow = asyncio.ensure_future(gather.score_one_async("q1", "slow"))
                await asyncio.to_thread(watched.started.acquire, timeout=WAIT)
                quick = [await asyncio.wait_for(gather.score_one_async("q3", "desk"), WAIT) for _ in range(5)]
                assert not slow.done()
                watched.gates["slow"].set()
                return await slow, quick

        slow, quick = asyncio.run(play())
        assert (slow.query, [one.reward for one in quick]) == ("slow", [1.0] * 5)

    def test_there_are_at_most_as_many_calls_at_a_time_as_said(self, watched):
        texts = [f"slow {i}" for i in range(3)]
        watched.gates = {text: threading.Event() for text in texts}
        with Gather(watched, threads=2, max_batch=1, slow_ms=0) as gather, ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(gather.score_one, "q1", text) for text in texts]
            for _ in range(2):
                assert watched.started.acquire(timeout=WAIT)
            assert not watched.started.acquire(timeout=0.1)
            for gate in watched.gates.values():
                gate.set()
            assert sorted(future.result(WAIT).query for future in futures) == texts


class TestErrors:
    def test_who_asks_wrongly_gets_the_error_and_nobody_else(self, watched):
        calls = [("q1", "chair"), ("nobody", "chair"), ("q1", "not for me"), ("q3", "desk"), ("q1", 7), ("q5", "x")]
        calls = calls * 5

        async def play():
            async with Gather(watched) as gather:
                waiting = (gather.score_one_async(*call) for call in calls)
                return await asyncio.gather(*waiting, return_exceptions=True)

        for call, answer in zip(calls, asyncio.run(play()), strict=True):
            if isinstance(answer, Exception):
                with pytest.raises(type(answer)) as caught:
                    watched.score([call[0]], [call[1]])
                assert str(answer) == str(caught.value)
            else:
                assert answer.reward == watched.score([call[0]], [call[1]]).rewards[0]
                assert answer.query == call[1]

    def test_an_ended_episode_is_an_error_of_its_caller(self, refine):
        [running] = refine.start(refine.request_ids[:1])
        ended = Episode(running.request_id, turn=1, done=True)

        async def play():
            async with Gather(refine) as gather:
                turns = (gather.advance_one_async(episode, "lamp") for episode in [running, ended, running])
                return await asyncio.gather(*turns, return_exceptions=True)

        first, error, last = asyncio.run(play())
        assert first == last
        assert isinstance(error, ValueError)
        assert "have ended" in str(error)

    def test_a_recommender_that_fails_fails_for_all_of_its_batch_and_is_asked_once(self, watched):
        watched.failure = RecommenderError("the engine is down")

        async def play():
            async with Gather(watched) as gather:
                waiting = (gather.score_one_async("q1", "chair") for _ in range(20))
                failed = await asyncio.gather(*waiting, return_exceptions=True)
                watched.failure = None
                return failed, await gather.score_one_async("q3", "desk")

        failed, after = asyncio.run(play())
        assert [str(error) for error in failed] == ["the engine is down"] * 20
        assert after.reward == 1.0
        assert len(watched.batches) <= 1 + 2  # a batch of 20, or the first alone, and the one after

    def test_a_thread_gets_the_error_with_the_place_where_it_was_raised(self, watched):
        watched.failure = RecommenderError("the engine is down")
        with Gather(watched) as gather, pytest.raises(RecommenderError, match="engine is down") as caught:
            gather.score_one("q1", "chair")
        assert "score" in [entry.name for entry in caught.traceback]

    @pytest.mark.parametrize("failure", [StopIteration(3), SystemExit(3), KeyboardInterrupt()])
    def test_odd_exceptions_reach_the_caller_and_end_no_thread(self, watched, failure):
        watched.failure = failure
        with Gather(watched) as gather:
            with pytest.raises(RuntimeError if isinstance(failure, StopIteration) else type(failure)):
                gather.score_one("q1", "chair")
            watched.failure = None
            assert gather.score_one("q3", "desk").reward == 1.0

    def test_work_that_loses_a_result_is_an_error(self):
        batcher = Batcher(lambda items: items[1:], 1.0, 10, 1, 50.0, name="the test")
        with pytest.raises(RuntimeError, match="the test got 0 results for 1 items"):
            batcher(3)
        batcher.close()

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"wait_ms": -1}, "wait_ms must be at least 0, not -1"),
            ({"wait_ms": float("inf")}, "wait_ms must be a finite number"),
            ({"max_batch": 0}, "max_batch must be at least 1, not 0"),
            ({"max_batch": 1.5}, "max_batch must be a whole number, not 1.5"),
            ({"threads": True}, "threads must be a whole number, not True"),
            ({"slow_ms": "5"}, "slow_ms must be a finite number, not '5'"),
        ],
    )
    def test_limits_are_checked(self, watched, limits, message):
        with pytest.raises(ValueError, match=message):
            Gather(watched, **limits)

    def test_only_a_task_scores(self):
        with pytest.raises(TypeError, match="needs a task, such as .*, not str"):
            Gather(SHOP)


class TestCancelled:
    def test_only_the_items_of_cancelled_callers_are_dropped(self, watched):
        watched.gates["first"] = threading.Event()

        async def play():
            async with Gather(watched, slow_ms=1e6) as gather:
                first = asyncio.ensure_future(gather.score_one_async("q1", "first"))
                await asyncio.to_thread(watched.started.acquire, timeout=WAIT)
                others = [asyncio.ensure_future(gather.score_one_async("q1", f"chair {i}")) for i in range(10)]
                await asyncio.sleep(0)
                for other in others[::2]:
                    other.cancel()
                first.cancel()  # while it is scored
                await asyncio.sleep(0)
                watched.gates["first"].set()
                answers = await asyncio.gather(first, *others, return_exceptions=True)
                return answers[0], answers[1::2], answers[2::2]

        first, cancelled, kept = asyncio.run(play())
        assert isinstance(first, asyncio.CancelledError)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in cancelled)
        assert [answer.query for answer in kept] == [f"chair {i}" for i in range(1, 10, 2)]
        assert watched.batches[1:] == [[f"chair {i}" for i in range(1, 10, 2)]]

    def test_a_time_out_cancels_too(self, watched):
        watched.gates["slow"] = threading.Event()

        async def play():
            async with Gather(watched) as gather:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(gather.score_one_async("q1", "slow"), 0.05)
                watched.gates["slow"].set()
                return await gather.score_one_async("q3", "desk")

        assert asyncio.run(play()).reward == 1.0

    def test_a_loop_that_has_gone_harms_nobody(self, watched):
        watched.gates["slow"] = threading.Event()
        with Gather(watched) as gather:
            loop = asyncio.new_event_loop()
            task = loop.create_task(gather.score_one_async("q1", "slow"))
            loop.run_until_complete(asyncio.sleep(0))
            assert watched.started.acquire(timeout=WAIT)
            task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            watched.gates["slow"].set()
            assert gather.score_one("q3", "desk").reward == 1.0


class TestLife:
    def test_closing_scores_what_waits_and_refuses_what_comes_later(self, watched):
        watched.gates["slow"] = threading.Event()
        gather = Gather(watched, threads=1)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(gather.score_one, "q1", "slow")]
            assert watched.started.acquire(timeout=WAIT)
            futures += [pool.submit(gather.score_one, "q3", "desk") for _ in range(2)]
            while len(gather._scores._queue) < 2:
                time.sleep(0.001)
            closing = pool.submit(gather.close)
            while not gather._scores._is_closed:
                time.sleep(0.001)
            with pytest.raises(RuntimeError, match="is closed; make another one"):
                gather.score_one("q1", "chair")
            watched.gates["slow"].set()
            closing.result(WAIT)
            assert [future.result(WAIT).query for future in futures] == ["slow", "desk", "desk"]
        gather.close()  # again

    def test_no_thread_is_left_after_closing(self, shop):
        before = threading.active_count()
        with Gather(shop) as gather:
            gather.score_one(shop.request_ids[0], "lamp")
            assert threading.active_count() > before
        assert threading.active_count() == before

    def test_no_thread_is_left_of_one_that_was_forgotten(self, shop):
        before = threading.active_count()
        gather = Gather(shop)
        gather.score_one(shop.request_ids[0], "lamp")
        gone = weakref.ref(gather)
        del gather
        gc.collect()
        assert gone() is None
        for _ in range(int(WAIT / 0.01)):
            if threading.active_count() == before:
                return
            time.sleep(0.01)
        raise AssertionError("its thread goes on")

    def test_the_interpreter_ends_with_one_in_use(self):
        code = (
            "import rec_gym, threading; from rec_gym.serving import Gather; "
            f"task = rec_gym.make_task({SHOP!r}, items=600); gather = Gather(task); "
            "print(gather.score_one(task.request_ids[0], 'lamp').parse)"
        )
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")

    def test_who_waits_is_answered_even_if_no_further_thread_can_be_started(self, watched):
        watched.gates["slow"] = threading.Event()
        gather = Gather(watched, threads=4, max_batch=2, slow_ms=1e6)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(gather.score_one, "q1", "slow")]
            assert watched.started.acquire(timeout=WAIT)

            def refuse(*arguments):
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")

            batcher = gather._scores
            futures.append(pool.submit(gather.score_one, "q3", "desk"))  # its thread waits for the first
            while not batcher._is_collecting:
                time.sleep(0.001)
            batcher._pool.submit = refuse
            calls = [_ThreadCall(("q3", "desk")) for _ in range(3)]
            batcher._put(calls)
            assert [pool.submit(call.wait).result(WAIT).query for call in calls] == ["desk"] * 3
            watched.gates["slow"].set()
            assert [future.result(WAIT).query for future in futures] == ["slow", "desk"]
        gather.close()

    def test_a_pickle_scores_alike(self, shop):
        ids, texts = asked(shop, 20)
        with Gather(shop, wait_ms=5, max_batch=7, threads=1) as gather:
            outcomes = [gather.score_one(*one) for one in zip(ids, texts, strict=True)]  # threads and locks are in use
            with pickle.loads(pickle.dumps(gather)) as again:
                assert [again.score_one(*one) for one in zip(ids, texts, strict=True)] == outcomes
                assert repr(again) == repr(gather)
                assert "wait_ms=5, max_batch=7, threads=1" in repr(again)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_process_starts_with_its_own_threads(self, watched):
        watched.gates["slow"] = threading.Event()
        context = multiprocessing.get_context("fork")
        receive, send = context.Pipe(duplex=False)
        with Gather(watched) as gather, ThreadPoolExecutor(1) as pool:
            slow = pool.submit(gather.score_one, "q1", "slow")
            assert watched.started.acquire(timeout=WAIT)

            def child():
                send.send([gather.score_one("q3", "desk").reward for _ in range(3)])
                gather.close()
                send.send(len(gather.task.batches))

            with gather._scores._lock:  # as if a thread of the parent held it at that moment
                process = context.Process(target=child)
                process.start()
            assert receive.poll(WAIT), "the child hangs"
            assert receive.recv() == [1.0] * 3
            assert receive.recv() == 1 + 3  # the parent's batch was noted before the fork
            process.join(WAIT)
            assert process.exitcode == 0
            watched.gates["slow"].set()
            assert slow.result(WAIT).query == "slow"


class TestOutcome:
    def test_it_cannot_be_changed_and_says_what_it_holds(self, shop):
        with Gather(shop) as gather:
            outcome = gather.score_one(shop.request_ids[0], "wool blanket")
        with pytest.raises(AttributeError):
            outcome.reward = 1.0
        assert repr(outcome).startswith(f"Outcome(request_id={shop.request_ids[0]!r}, query='wool blanket', parse='ok'")

    def test_a_pickle_holds_only_its_own_values(self, shop):
        ids, texts = asked(shop, 500)

        async def play():
            async with Gather(shop) as gather:
                return await asyncio.gather(*map(gather.score_one_async, ids, texts))

        outcomes = asyncio.run(play())
        data = pickle.dumps(outcomes[499])
        assert len(data) < 1000
        again = pickle.loads(data)
        assert isinstance(again, Outcome)
        assert (again, again.columns()) == (outcomes[499], outcomes[499].columns())
        assert again != outcomes[498]
