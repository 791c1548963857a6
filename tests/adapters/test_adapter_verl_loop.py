"""verl's own reward loop, with the reward function and the reward manager of this package."""

import asyncio

import pytest

pytest.importorskip("verl")
pytestmark = [pytest.mark.trainer, pytest.mark.filterwarnings("ignore")]  # verl's imports warn

from benchmarks.gather_verl import MANAGER, SPLIT, TASK_ID, WAYS, make_batch, make_tokenizer, make_worker  # noqa: E402
from rec_gym.adapters.rows import gather_of  # noqa: E402
from rec_gym.adapters.verl import RewardManagerRefused, compute_score  # noqa: E402
from rec_gym.loop.task import Task  # noqa: E402
from rec_gym.making import make_task  # noqa: E402
from rec_gym.recommenders.base import RecommenderError  # noqa: E402
from rec_gym.recommenders.bm25 import BM25  # noqa: E402

COUNT = 96


@pytest.fixture(scope="module")
def task():
    return make_task(TASK_ID, split=SPLIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, task):
    path = str(tmp_path_factory.mktemp("tokenizer"))
    make_tokenizer(task, path)
    return path


@pytest.fixture(scope="module")
def samples(task, folder, tmp_path_factory):
    return make_batch(task, make_tokenizer(task, str(tmp_path_factory.mktemp("again"))), COUNT)


@pytest.fixture
def runner():
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())  # verl's workers take the loop of the thread
        yield runner


@pytest.mark.parametrize("way", WAYS)
def test_every_way_pays_what_the_task_pays(task, folder, samples, runner, way):
    batch, ids, texts = samples
    made = runner.run(make_worker(folder, *WAYS[way]).compute_score_batch(batch))
    rewards = task.score(ids, texts).rewards.tolist()
    assert [one["reward_score"] for one in made] == rewards
    assert len(set(rewards)) > 10
    for place in (0, 17):
        extra = batch.non_tensor_batch["extra_info"][place]
        assert made[place]["reward_extra_info"] == compute_score("", texts[place], ids[place], extra)


def test_the_manager_scores_a_batch_in_one_call(folder, samples, runner, monkeypatch):
    sizes, score = [], Task.score

    def noted(self, request_ids, completions):
        sizes.append(len(completions))
        return score(self, request_ids, completions)

    worker = make_worker(folder, MANAGER, None)
    gather_of(samples[0].non_tensor_batch["extra_info"][0]["task"])
    monkeypatch.setattr(Task, "score", noted)
    for _ in range(2):
        runner.run(worker.compute_score_batch(samples[0]))
    assert sizes[-1] == COUNT


def test_a_function_of_ones_own_is_called_by_the_manager(folder, samples, runner):
    worker = make_worker(folder, MANAGER, "compute_score")  # for threads
    expected = runner.run(make_worker(folder, MANAGER, None).compute_score_batch(samples[0]))
    assert runner.run(worker.compute_score_batch(samples[0])) == expected


@pytest.mark.parametrize("way", WAYS)
def test_a_recommender_that_fails_stops_the_loop(folder, samples, runner, monkeypatch, way):
    def broken(*arguments, **keywords):
        raise OSError("the engine is down")

    monkeypatch.setattr(BM25, "rank_of", broken)
    with pytest.raises(RecommenderError, match="the engine is down"):
        runner.run(make_worker(folder, *WAYS[way]).compute_score_batch(samples[0]))


@pytest.mark.parametrize("function", ["compute_score", "compute_score_async"])
def test_the_manager_that_hides_failures_is_refused(folder, samples, runner, function):
    worker = make_worker(folder, "rate_limited", function)
    with pytest.raises(RewardManagerRefused, match=r"reward_manager\.name=naive"):
        runner.run(worker.compute_score_batch(samples[0][:2]))
