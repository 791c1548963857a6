"""A task on Ray: outcomes of the task, whoever dies, and Ray left as it was."""

import asyncio
import os
import pickle
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.trainer, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets to the collector

import rec_gym  # noqa: E402
from rec_gym.recommenders.base import RecommenderError  # noqa: E402
from rec_gym.serving import Gather  # noqa: E402
from rec_gym.serving.ray import RayTask  # noqa: E402

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # replicas cannot import tests

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
SMALL = {"split": "val", "items": 600}
LIGHT = {"num_cpus": 0.5}
WAIT = 60


@pytest.fixture(scope="module")
def running():
    """Ray, as in a driver that uses it for something else."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SHOP, **SMALL, measures=["recall@10"])


@pytest.fixture(scope="module")
def on_ray(running, task):
    with RayTask(task, 2, chunk=16, **LIGHT) as on_ray:
        yield on_ray


def asked(task, count):
    rows = list(task.rows())
    chosen = [rows[place * 7 % len(rows)] for place in range(count)]
    texts = [" ".join(row["text"].split()[: place % 9]) for place, row in enumerate(chosen)]
    return [row["request_id"] for row in chosen], texts


def assert_equal(made, expected):
    assert made.request_ids == expected.request_ids
    columns = expected.columns()
    assert list(made.columns()) == list(columns)
    for name, values in made.columns().items():
        np.testing.assert_array_equal(values, columns[name])
        assert values.dtype == columns[name].dtype
    np.testing.assert_array_equal(made.rewards, expected.rewards)
    np.testing.assert_array_equal(made.ranks.offsets, expected.ranks.offsets)
    np.testing.assert_array_equal(made.ranks.values, expected.ranks.values)


class Mortal(rec_gym.Task):
    """A task whose process ends at a certain completion: the first time only, or always."""

    def __init__(self, dataset, recommender, *, grave="", **settings):
        super().__init__(dataset, recommender, **settings)
        self.grave = grave

    def score(self, request_ids, completions):
        if "die" in completions and not Path(self.grave).exists():
            Path(self.grave).touch()
            os._exit(1)
        if "always die" in completions:
            os._exit(1)
        if "sleep" in completions:
            time.sleep(0.2)
        if "fail" in completions:
            raise RecommenderError("the engine is down")
        return super().score(request_ids, completions)


@pytest.fixture
def mortal(running, task, tmp_path):
    local = Mortal(task.dataset, task.recommender, split="val", grave=str(tmp_path / "grave"))
    with RayTask(local, 2, chunk=8, **LIGHT) as mortal:
        yield mortal


@pytest.mark.parametrize("count", [1, 16, 17, 200])
def test_outcomes_are_those_of_the_task(on_ray, task, count):
    ids, texts = asked(task, count)
    expected = task.score(ids, texts)
    assert_equal(on_ray.score(ids, texts), expected)
    assert count < 100 or len(set(expected.rewards.tolist())) > 3


def test_it_is_a_task_like_any_other(on_ray, task):
    assert isinstance(on_ray, rec_gym.Task)
    assert (len(on_ray), on_ray.request_ids, on_ray.settings) == (len(task), task.request_ids, task.settings)
    assert next(on_ray.rows()) == next(task.rows())
    assert len(on_ray.score([], [])) == 0
    with on_ray.replace(reward="recall@10") as other:
        ids, texts = asked(task, 20)
        assert_equal(other.score(ids, texts), task.replace(reward="recall@10").score(ids, texts))


def test_turns_see_their_rankings(running):
    task = rec_gym.make_task(REFINE, **SMALL)
    ids, texts = asked(task, 40)
    with RayTask(task, 2, chunk=16, **LIGHT) as on_ray:
        here = there = task.start(ids)
        for words in (texts, ["blanket", "<stop>"] * 20):
            here, outcomes, observed = task.advance(here, words)
            there, made, seen = on_ray.advance(there, words)
            assert (there, seen) == (here, observed)
            assert_equal(made, outcomes)
            np.testing.assert_array_equal(made.rankings.items, outcomes.rankings.items)
            np.testing.assert_array_equal(made.top(3), outcomes.top(3))


def test_without_rankings_the_outcomes_say_so(on_ray, task):
    made = on_ray.score(*asked(task, 40))
    with pytest.raises(RuntimeError, match="pickled without their rankings"):
        _ = made.rankings


def test_callers_one_by_one_are_gathered(on_ray, task):
    ids, texts = asked(task, 200)

    async def play():
        async with Gather(on_ray) as gather:
            return await asyncio.gather(*map(gather.score_one_async, ids, texts))

    assert [one.reward for one in asyncio.run(play())] == task.score(ids, texts).rewards.tolist()


@pytest.mark.parametrize(
    ("ids", "texts", "error", "message"),
    [
        (["nobody"], ["lamp"], KeyError, "unknown request id: 'nobody'"),
        (["train-00001"], ["lamp"], ValueError, "not in split 'val'"),
        (["val-00001"], [7], TypeError, "completions are texts"),
        (["val-00001"], ["a", "b"], ValueError, "2 completions were given for 1 request ids"),
        ("val-00001", "lamp", TypeError, "request ids are a list"),
    ],
)
def test_errors_are_those_of_the_task(on_ray, ids, texts, error, message):
    with pytest.raises(error, match=message) as caught:
        on_ray.score(ids, texts)
    assert type(caught.value) is error
    assert on_ray._pool._loads in ([], [0, 0])


def test_a_recommender_that_fails_is_an_error_and_not_asked_again(mortal):
    with pytest.raises(RecommenderError, match="the engine is down"):
        mortal.score(["val-00001"], ["fail"])


class TestDeaths:
    def test_a_replica_that_dies_is_replaced_and_its_chunk_scored_again(self, mortal, task):
        ids, texts = asked(task, 100)
        texts[50] = "die"
        mortal.score(ids[:1], ["lamp"])
        before = list(mortal._pool._replicas)
        made = mortal.score(ids, texts)
        assert Path(mortal.local.grave).exists()
        assert made.rewards.tolist() == task.score(ids, texts).rewards.tolist()
        assert sum(old is new for old, new in zip(before, mortal._pool._replicas, strict=True)) == 1
        assert mortal._pool._loads == [0, 0]

    def test_one_that_is_killed_from_outside_too(self, mortal, task):
        ids, texts = asked(task, 80)
        texts[::8] = ["sleep"] * 10
        mortal.score(ids[:1], ["lamp"])
        victim = mortal._pool._replicas[0]
        timer = threading.Timer(0.3, ray.kill, [victim])
        timer.start()
        made = mortal.score(ids, texts)
        timer.join()
        assert made.rewards.tolist() == task.score(ids, texts).rewards.tolist()
        assert victim not in mortal._pool._replicas

    def test_a_chunk_that_kills_every_replica_is_an_error(self, mortal, task):
        with pytest.raises(RuntimeError, match="3 replicas died over the same 1 completions"):
            mortal.score(["val-00001"], ["always die"])
        ids, texts = asked(task, 20)
        assert mortal.score(ids, texts).rewards.tolist() == task.score(ids, texts).rewards.tolist()

    def test_several_threads_share_the_replicas(self, mortal, task):
        ids, texts = asked(task, 60)
        texts[3] = "die"
        expected, made = task.score(ids, texts).rewards.tolist(), []
        threads = [
            threading.Thread(target=lambda: made.append(mortal.score(ids, texts).rewards.tolist())) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert made == [expected] * 4
        assert mortal._pool._loads == [0, 0]


class TestRayItself:
    def test_a_driver_that_runs_in_ray_keeps_it(self, on_ray, task):
        on_ray.score(*asked(task, 3))
        on_ray.close()
        assert ray.is_initialized()
        ids, texts = asked(task, 3)
        assert_equal(on_ray.score(ids, texts), task.score(ids, texts))  # on new replicas

    def test_inside_a_task_of_ray_too(self, running, task):
        ids, texts = asked(task, 30)

        @ray.remote(num_cpus=0.1)
        def inside(on_ray):
            with on_ray:
                return on_ray.score(ids, texts).rewards.tolist()

        made = ray.get(inside.remote(RayTask(task, 1, chunk=16, **LIGHT)), timeout=WAIT)
        assert made == task.score(ids, texts).rewards.tolist()

    def test_a_pickle_starts_its_own_replicas(self, on_ray, task):
        ids, texts = asked(task, 5)
        on_ray.score(ids, texts)
        with pickle.loads(pickle.dumps(on_ray)) as again:
            assert again._pool._replicas == []
            assert_equal(again.score(ids, texts), task.score(ids, texts))


def test_a_task_of_settings_is_not_sent_as_a_pickle(task):
    assert isinstance(RayTask(task)._pool._source, str)
    assert isinstance(RayTask(task.replace(dataset=task.dataset))._pool._source, bytes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 0}, "replicas must be at least 1, not 0"),
        ({"replicas": 1.5}, "replicas must be"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"attempts": 0}, "attempts must be at least 1"),
        ({"num_cpus": 0.0}, "num_cpus must be above 0"),
    ],
)
def test_options_are_checked(task, options, message):
    with pytest.raises(ValueError, match=message):
        RayTask(task, **options)


def test_only_a_task_that_is_not_on_ray_goes_there(task):
    with pytest.raises(TypeError, match="replicas need a task"):
        RayTask(SHOP)
    with pytest.raises(ValueError, match="on Ray already"):
        RayTask(RayTask(task))
