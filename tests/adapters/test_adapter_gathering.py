"""What trainers ask for at the same time is scored in one call, whichever way they ask."""

import asyncio
import copy
import gc
import importlib.util
import json
import pickle
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

import rec_gym
from rec_gym.adapters import openrlhf, rows, verl
from rec_gym.adapters.rows import describe_task, gather_of, task_of
from rec_gym.loop.task import Task
from rec_gym.recommenders.base import RecommenderError
from rec_gym.recommenders.bm25 import BM25

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
SMALL = {"split": "val", "items": 600}
DESCRIBED = describe_task(SHOP, SMALL)


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SHOP, **SMALL)


@contextmanager
def batches(monkeypatch):
    """The sizes of the batches that are scored."""
    sizes, score = [], Task.score

    def noted(self, request_ids, completions):
        sizes.append(len(completions))
        return score(self, request_ids, completions)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "score", noted)
        yield sizes


def samples(task, count):
    """Requests and completions with different rewards."""
    chosen = list(task.rows())[:10]
    pairs = [(row["request_id"], " ".join(row["text"].split()[: 2 + place % 5])) for place, row in enumerate(chosen)]
    return (pairs * count)[:count]


def arguments(request_id, completion, description=DESCRIBED):
    return {
        "data_source": f"{SHOP}/val",
        "solution_str": completion,
        "ground_truth": request_id,
        "extra_info": {"index": 0, "task": description},
    }


class TestVerl:
    def test_coroutines_are_scored_together_and_get_what_a_batch_gets(self, task, monkeypatch):
        asked = samples(task, 200)
        expected = verl.compute_scores(
            **{f"{key}s": [arguments(*one)[key] for one in asked] for key in arguments("", "")}
        )

        async def play():
            return await asyncio.gather(*(verl.compute_score_async(**arguments(*one)) for one in asked))

        gather_of(DESCRIBED)
        with batches(monkeypatch) as sizes:
            scores = [asyncio.run(play()) for _ in range(3)]
        assert scores == [expected] * 3
        assert [score["score"] for score in expected] == task.score(*zip(*asked, strict=True)).rewards.tolist()
        assert sum(sizes) == 600
        assert sizes[-1] == 200

    def test_verl_sees_that_it_is_a_coroutine_function(self):
        assert asyncio.iscoroutinefunction(verl.compute_score_async)
        assert not asyncio.iscoroutinefunction(verl.compute_score)

    def test_threads_are_scored_together(self, task, monkeypatch):
        asked = samples(task, 64)
        gather_of(DESCRIBED)
        with batches(monkeypatch) as sizes, ThreadPoolExecutor(64) as pool:
            for _ in range(3):
                scores = list(pool.map(lambda one: verl.compute_score(**arguments(*one))["score"], asked))
        assert scores == task.score(*zip(*asked, strict=True)).rewards.tolist()
        assert sum(sizes) == 3 * 64
        assert max(sizes) > 8

    def test_an_error_is_that_of_its_sample(self, task):
        asked = [*samples(task, 20), ("nobody", "lamp"), *samples(task, 20)]

        async def play():
            calls = (verl.compute_score_async(**arguments(*one)) for one in asked)
            return await asyncio.gather(*calls, return_exceptions=True)

        scores = asyncio.run(play())
        assert isinstance(scores[20], KeyError)
        assert "unknown request id: 'nobody'" in str(scores[20])
        assert [type(score) for score in scores[:20] + scores[21:]] == [dict] * 40

    def test_a_recommender_that_fails_is_no_reward(self, task, monkeypatch):
        def broken(*arguments, **keywords):
            raise OSError("the engine is down")

        async def play():
            calls = (verl.compute_score_async(**arguments(*one)) for one in samples(task, 20))
            return await asyncio.gather(*calls, return_exceptions=True)

        gather_of(DESCRIBED)
        monkeypatch.setattr(BM25, "rank_of", broken)
        assert [type(error) for error in asyncio.run(play())] == [RecommenderError] * 20

    def test_several_turns_are_summed_up_as_ever(self):
        described = describe_task(REFINE, SMALL)
        row = arguments("val-00001", "whatever", described)
        row["extra_info"]["tool_rewards"] = [0.25, 0.5]
        assert asyncio.run(verl.compute_score_async(**row)) == verl.compute_score(**row)
        del row["extra_info"]["tool_rewards"]
        with pytest.raises(ValueError, match="agent loop 'tool_agent'"):
            asyncio.run(verl.compute_score_async(**row))

    def test_a_manager_that_hides_failures_is_refused_from_a_coroutine_too(self, task):
        content = {"__name__": "verl.experimental.reward_loop.reward_manager.limited"}
        exec(
            "import asyncio\n"
            "async def _compute_reward(compute_score, **sample):\n"
            "    return await compute_score(**sample)\n"
            "async def run_single(compute_score, **sample):\n"
            "    try:\n"
            "        return (await asyncio.wait_for(_compute_reward(compute_score, **sample), timeout=300))['score']\n"
            "    except Exception:\n"
            "        return 0.0\n",
            content,
        )

        async def direct():
            return await content["run_single"](verl.compute_score_async, **arguments(*samples(task, 1)[0]))

        with pytest.raises(verl.RewardManagerRefused, match="reward_manager.name=naive"):
            asyncio.run(direct())


class TestOpenRLHF:
    def test_threads_are_scored_together(self, task, monkeypatch):
        asked = samples(task, 64)
        label = {name: json.dumps({"request_id": name, "task": DESCRIBED}) for name, _ in asked}

        def call(one):
            [columns] = openrlhf.score([f"<s>Prompt {one[1]}</s>"], ["Prompt "], [label[one[0]]])
            return columns["score"]

        gather_of(DESCRIBED)
        with batches(monkeypatch) as sizes, ThreadPoolExecutor(64) as pool:
            for _ in range(3):
                scores = list(pool.map(call, asked))
        assert scores == task.score(*zip(*asked, strict=True)).rewards.tolist()
        assert max(sizes) > 8

    def test_a_batch_is_one_call_for_each_task(self, task, monkeypatch):
        others = describe_task(SHOP, {**SMALL, "reward": "recall@10"})
        asked = samples(task, 30)
        labels = [
            json.dumps({"request_id": name, "task": others if place % 3 == 0 else DESCRIBED})
            for place, (name, _) in enumerate(asked)
        ]
        gather_of(DESCRIBED), gather_of(others)
        with batches(monkeypatch) as sizes:
            columns = openrlhf.score([f"Prompt {text}" for _, text in asked], ["Prompt "] * 30, labels)
        assert sorted(sizes) == [10, 20]
        for place, (name, text) in enumerate(asked):
            paid = (task_of(others) if place % 3 == 0 else task).score([name], [text]).rewards[0]
            assert columns[place]["score"] == paid
        assert openrlhf.score([], [], []) == []


class TestTRL:
    def test_searches_from_threads_are_scored_together(self, monkeypatch):
        from rec_gym.adapters.trl import SearchEnvironment
        from rec_gym.serving import Gather

        task = rec_gym.make_task(REFINE, **SMALL)
        asked = samples(task, 64)

        def play(one, environment):
            environment.reset(request_id=one[0])
            together.wait(20)
            answer = environment.search(one[1])
            return answer, environment.search("blanket"), environment.get_reward()

        alone = [SearchEnvironment(task) for _ in asked]
        together = threading.Barrier(1)
        expected = [play(*one) for one in zip(asked, alone, strict=True)]
        gather = Gather(task)
        for _ in range(2):
            environments = [SearchEnvironment(gather) for _ in asked]
            together = threading.Barrier(64)
            with batches(monkeypatch) as sizes, ThreadPoolExecutor(64) as pool:
                assert list(pool.map(play, asked, environments)) == expected
        assert max(sizes) > 8
        assert [e.turns for e in environments] == [e.turns for e in alone]
        again = pickle.loads(pickle.dumps(SearchEnvironment(gather)))
        again.reset(request_id=asked[0][0])
        assert again.search(asked[0][1]) == expected[0][0]


class Manager:
    """verl's base class of reward managers, as far as ours needs it."""

    def __init__(self, config, tokenizer, compute_score):
        self.config, self.tokenizer, self.compute_score = config, tokenizer, compute_score


async def default_compute_score(**sample):
    raise NotImplementedError("verl's own function knows nothing of these rows")


class Tokenizer:
    """Tokens are the places of letters."""

    def decode(self, tokens, skip_special_tokens):
        assert skip_special_tokens
        return "".join(chr(token) for token in tokens if token)


class Tensor(np.ndarray):
    """A tensor as far as the manager asks it."""

    def numpy(self):
        return np.asarray(self)


class Data:
    """verl's DataProto as far as the manager reads it."""

    def __init__(self, rows):
        width = max(len(row["solution_str"]) for row in rows) + 3
        responses, mask = np.zeros((len(rows), width), int), np.zeros((len(rows), 4 + width), int)
        for place, row in enumerate(rows):
            text = [ord(letter) for letter in row["solution_str"]]
            responses[place, : len(text)] = text
            mask[place, : 4 + len(text)] = 1
        self.batch = {"responses": responses.view(Tensor), "attention_mask": mask.view(Tensor)}
        columns = {
            "data_source": [row["data_source"] for row in rows],
            "reward_model": [{"style": "rule", "ground_truth": row["ground_truth"]} for row in rows],
            "extra_info": [row["extra_info"] for row in rows],
        }
        self.non_tensor_batch = {key: np.array(values, dtype=object) for key, values in columns.items()}


@pytest.fixture
def manager_module(monkeypatch):
    """Our manager's module over a double of verl's base class; the real one is in test_adapter_verl_loop.py."""
    for name, content in {
        "verl": {},
        "verl.experimental": {},
        "verl.experimental.reward_loop": {},
        "verl.experimental.reward_loop.reward_manager": {},
        "verl.experimental.reward_loop.reward_manager.base": {"RewardManagerBase": Manager},
        "verl.utils": {},
        "verl.utils.reward_score": {"default_compute_score": default_compute_score},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "rec_gym.adapters.verl_manager", raising=False)
    yield importlib.import_module("rec_gym.adapters.verl_manager")
    sys.modules.pop("rec_gym.adapters.verl_manager", None)
    gc.unfreeze()  # what making a manager froze


class TestVerlManager:
    """The manager over doubles of verl's classes."""

    def play(self, manager, asked):
        async def all_at_once():
            return await asyncio.gather(*(manager.run_single(Data([arguments(*one)])) for one in asked))

        return asyncio.run(all_at_once())

    @pytest.mark.parametrize("function", [None, default_compute_score, verl.compute_score_async, verl.compute_score])
    def test_it_pays_what_the_task_pays(self, task, manager_module, function):
        asked = samples(task, 50)
        made = self.play(manager_module.GatherRewardManager({}, Tokenizer(), function), asked)
        assert [one["reward_score"] for one in made] == task.score(*zip(*asked, strict=True)).rewards.tolist()
        assert made[3]["reward_extra_info"] == verl.compute_score(**arguments(*asked[3]))

    def test_samples_of_a_batch_are_scored_together(self, task, manager_module, monkeypatch):
        manager = manager_module.GatherRewardManager({}, Tokenizer(), None)
        gather_of(DESCRIBED)
        with batches(monkeypatch) as sizes:
            for _ in range(3):
                self.play(manager, samples(task, 100))
        assert sizes[-1] == 100

    def test_of_several_sequences_the_last_counts_and_the_row_stays_as_it_is(self, task, manager_module):
        first, last = samples(task, 2)
        data = Data([arguments(*first), arguments(*last)])
        before = copy.deepcopy(data.non_tensor_batch["extra_info"].tolist())
        made = asyncio.run(manager_module.GatherRewardManager({}, Tokenizer(), None).run_single(data))
        assert made["reward_score"] == task.score([last[0]], [last[1]]).rewards[0]
        assert data.non_tensor_batch["extra_info"].tolist() == before

    def test_a_custom_function_gets_what_verl_gives_it(self, manager_module):
        heard = []

        def compute_score(**sample):
            heard.append(sample)
            return 0.5

        manager = manager_module.GatherRewardManager({}, Tokenizer(), compute_score, "http://model", "its tokenizer")
        data = Data([arguments("val-00001", "lamp")])
        data.non_tensor_batch |= {"tool_extra_fields": [{"tool_rewards": [1.0]}], "__num_turns__": [3]}
        made = asyncio.run(manager.run_single(data))
        assert made == {"reward_score": 0.5, "reward_extra_info": {"acc": 0.5}}
        [sample] = heard
        assert sample.pop("extra_info") == {
            "index": 0,
            "task": DESCRIBED,
            "tool_rewards": [1.0],
            "num_turns": 3,
            "rollout_reward_scores": {},
        }
        assert sample == {
            "data_source": f"{SHOP}/val",
            "solution_str": "lamp",
            "ground_truth": "val-00001",
            "reward_router_address": "http://model",
            "reward_model_tokenizer": "its tokenizer",
        }

    def test_a_failure_is_no_reward(self, manager_module):
        manager = manager_module.GatherRewardManager({}, Tokenizer(), None)
        with pytest.raises(KeyError, match="unknown request id"):
            asyncio.run(manager.run_single(Data([arguments("nobody", "lamp")])))


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="verl is installed")
def test_without_verl_the_manager_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[verl\]'"):
        importlib.import_module("rec_gym.adapters.verl_manager")


def test_a_process_has_one_gatherer_for_a_description():
    with ThreadPoolExecutor(16) as pool:
        gatherers = set(pool.map(gather_of, [DESCRIBED] * 64))
    assert len(gatherers) == 1
    assert asyncio.run(rows.gather_of_async(DESCRIBED)) in gatherers
    assert task_of(DESCRIBED) is gatherers.pop().task
