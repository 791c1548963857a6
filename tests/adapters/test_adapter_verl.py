"""verl: the reward function as verl calls it, and the tool for several turns."""

import asyncio
import gc
import importlib.util
import json
import math
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym.adapters import rows as rows_module
from rec_gym.adapters.rows import TERMS, describe_task
from rec_gym.adapters.verl import compute_score, compute_scores
from rec_gym.loop.actions import ACTIONS
from rec_gym.policies.registry import make_policy
from rec_gym.recommenders.base import RecommenderError
from rec_gym.recommenders.bm25 import BM25

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
SMALL = {"split": "val", "items": 600}
KEYS = {
    *("score", "measure", "parse_ok", "clipped", "scored", "parse", "term/other"),
    *(f"term/{name}" for name in TERMS),
    *("text/length", "text/repetition", "text/copy"),
}
THINKING = "<think>the shopper is cold</think>"
COMPLETIONS = [
    "wool blanket",
    "",
    "<think>no end",
    f"{THINKING}wool blanket",
    "x" * 12_000,
    "zzzz qqqq",
    "\0\n\t",
    "[3]>[1]",
]


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SHOP, **SMALL)


def row(request_id, task_id=SHOP, **changes):
    """The arguments of verl's call but for the completion."""
    extra = {"index": 0, "split": "val", "task": describe_task(task_id, {**SMALL, **changes})}
    return {"data_source": f"{task_id}/val", "ground_truth": request_id, "extra_info": extra}


def loaded_by_path():
    """The function as verl loads it: the module is not in sys.modules, and its name says nothing."""
    path = Path(rows_module.__file__).with_name("verl.py")
    spec = importlib.util.spec_from_file_location("custom_module_1234", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compute_score


class TestColumns:
    @pytest.mark.parametrize("action", ACTIONS)
    def test_the_keys_are_the_same_for_every_completion_and_task(self, task, action):
        reward = {"measure": "mrr@20", "terms": {"format": 0.1, "recall@5": 0.2}, "unparsed": -1}
        others = {"candidates": {"k": 5}} if action == "order" else {}
        for completion in COMPLETIONS:
            made = compute_score(
                **row(task.request_ids[0], action=action, reward=reward, **others), solution_str=completion
            )
            assert set(made) == KEYS
            assert all(type(value) is float and math.isfinite(value) for key, value in made.items() if key != "parse")
            assert type(made["parse"]) is str
            parts = sum(value for key, value in made.items() if key.startswith("term/"))
            assert made["score"] == pytest.approx(parts, abs=1e-12)

    def test_verl_makes_arrays_of_them(self, task):
        made = [compute_score(**row(task.request_ids[1]), solution_str=text) for text in COMPLETIONS]
        arrays = {key: np.array([one[key] for one in made]) for key in made[0]}
        assert {array.dtype.kind for key, array in arrays.items() if key != "parse"} == {"f"}
        assert arrays["parse"].dtype.kind == "U"
        json.dumps({key: array.tolist() for key, array in arrays.items()}, ensure_ascii=False)

    def test_measures_that_were_asked_for_have_keys_of_their_own(self, task):
        made = compute_score(**row(task.request_ids[0], measures=["ndcg@10", "ndcg@100"]), solution_str="wool")
        assert set(made) == KEYS | {"measure/ndcg@10"}  # the other is the reward's own

    def test_reasoning_is_removed(self, task):
        plain, thought = (
            compute_score(**row(task.request_ids[0]), solution_str=text)
            for text in ("wool blanket", f"{THINKING}\nwool blanket")
        )
        assert thought["parse"] == "think_removed"
        assert thought["score"] == plain["score"]

    @settings(max_examples=60, deadline=None)
    @given(completion=st.text(max_size=200), action=st.sampled_from(["plain", "answer", "lines", "titles"]))
    def test_no_text_raises(self, completion, action):
        made = compute_score(**row("val-00001", action=action), solution_str=completion)
        assert set(made) == KEYS
        assert 0.0 <= made["score"] <= 1.0


class TestContract:
    def test_a_bare_id_is_a_task_too(self):
        request_id = rec_gym.make_task(SHOP).request_ids[0]
        for extra_info in (None, {}, {"index": 3}):
            made = compute_score(
                SHOP, "wool blanket", request_id, extra_info, reward_router_address="http://127.0.0.1:1"
            )
            assert set(made) == KEYS

    def test_batches_of_several_tasks(self, task):
        ids = task.request_ids[:4]
        rows = [row(name, reward=reward) for name in ids for reward in ("ndcg@100", "recall@10")]
        columns = {f"{key}s": [one[key] for one in rows] for key in rows[0]}
        made = compute_scores(**columns, solution_strs=["wool blanket"] * 8)
        assert made == [compute_score(**one, solution_str="wool blanket") for one in rows]

    def test_what_verl_loads_by_path_can_be_sent_to_another_process(self, task):
        function = loaded_by_path()
        again = cloudpickle.loads(cloudpickle.dumps(function))
        arguments = row(task.request_ids[2])
        assert function(**arguments, solution_str="wool") == again(**arguments, solution_str="wool")
        assert function(**arguments, solution_str="wool") == compute_score(**arguments, solution_str="wool")

    def test_threads_share_one_task_and_get_what_a_batch_gets(self, task, monkeypatch):
        made = []
        make = rows_module.make_task
        monkeypatch.setattr(rows_module, "make_task", lambda *a, **k: made.append(a) or make(*a, **k))
        changes = {"reward": "ndcg@77"}  # no other test has made this one
        ids = [task.request_ids[i % 50] for i in range(256)]
        texts = [f"{COMPLETIONS[i % 4]} {i % 7}" for i in range(256)]
        function, together = loaded_by_path(), threading.Barrier(64)

        def call(place):
            if place < 64:
                together.wait()
            return function(**row(ids[place], **changes), solution_str=texts[place])["score"]

        with ThreadPoolExecutor(64) as pool:
            scores = list(pool.map(call, range(256)))
        assert len(made) == 1
        assert scores == rec_gym.make_task(SHOP, **SMALL, **changes).score(ids, texts).rewards.tolist()

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (row("nobody"), KeyError, "unknown request id"),
            (row("train-00001"), ValueError, "not in split 'val'"),
            (row("val-00001") | {"extra_info": {"task": "no json"}}, ValueError, "does not describe a task"),
            (row("val-00001") | {"extra_info": {}}, ValueError, "unknown id"),
            (row("val-00001", task_id=REFINE), ValueError, "agent loop 'tool_agent'"),
        ],
    )
    def test_what_is_wrong_is_an_error(self, arguments, error, message):
        with pytest.raises(error, match=message):
            compute_score(**arguments, solution_str="wool")

    def test_a_recommender_that_fails_is_no_reward(self, monkeypatch):
        def broken(*arguments, **keywords):
            raise OSError("the engine is down")

        monkeypatch.setattr(BM25, "rank_of", broken)
        with pytest.raises(RecommenderError, match="engine is down"):
            compute_score(**row("val-00001"), solution_str="wool")


class TestRewardManagers:
    """What stands between the function and the training, as in verl 0.9."""

    LIMITED = """
import asyncio, functools

def call_with_kwargs(function, extra, *arguments, **keywords):  # of verl.trainer.ppo.reward
    return function(*arguments, **{**keywords, **extra})

class Manager:
    def __init__(self, compute_score):
        self.compute_score = functools.partial(call_with_kwargs, compute_score, {})

    async def _compute_reward(self, **sample):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, lambda: self.compute_score(**sample))

    async def run_single(self, **sample):
        try:
            return (await asyncio.wait_for(self._compute_reward(**sample), timeout=300))["score"]
        except Exception:
            return 0.0
"""

    def manager(self, module, function=compute_score):
        content = {"__name__": f"verl.experimental.reward_loop.reward_manager.{module}"}
        exec(self.LIMITED, content)
        return content["Manager"](function)

    @pytest.mark.parametrize("by_path", [False, True])
    @pytest.mark.parametrize("request_id", ["val-00001", "nobody"])
    def test_one_that_makes_a_reward_of_a_failure_is_refused(self, request_id, by_path):
        manager = self.manager("limited", loaded_by_path() if by_path else compute_score)
        with pytest.raises(BaseException, match=r"pays 0 if scoring fails.*reward_manager.name=naive") as refused:
            asyncio.run(manager.run_single(**row(request_id), solution_str="wool blanket"))
        assert not isinstance(refused.value, Exception)

    def test_another_is_not(self, task):
        [oracle] = make_policy("oracle", task)(list(task.rows())[:1])
        sample = row(task.request_ids[0]) | {"solution_str": oracle}
        assert asyncio.run(self.manager("naive").run_single(**sample)) == compute_score(**sample)["score"] > 0


class TestSeveralTurns:
    def score(self, rewards, **changes):
        arguments = row("val-00001", task_id=REFINE, **changes)
        arguments["extra_info"]["tool_rewards"] = rewards
        return compute_score(**arguments, solution_str="whatever the model said")

    def test_the_searches_are_summed_up(self):
        assert self.score([0.25, 0.0, 0.5]) == {"score": 0.75, "tool_calls": 3.0, "first_call": 0.25}

    def test_never_searching_is_what_does_not_parse(self):
        reward = {"measure": "ndcg@10", "unparsed": -2}
        assert self.score([], reward=reward) == {"score": -2.0, "tool_calls": 0.0, "first_call": -2.0}

    def test_a_tool_that_is_not_there_earns_nothing(self):
        # verl's agent loop catches the error and notes a reward of 0.
        found = self.score([0.0, 0.0], reward={"measure": "ndcg@10", "unparsed": -2})
        assert found == {"score": -2.0, "tool_calls": 2.0, "first_call": -2.0}

    def test_a_search_that_failed_is_no_reward(self):
        with pytest.raises(RuntimeError, match="no reward is invented"):
            self.score([0.5, math.nan])


class Schema(types.SimpleNamespace):
    """verl's tool schema as far as the tool needs it."""

    @classmethod
    def model_validate(cls, value):
        return cls(type=value["type"], function=types.SimpleNamespace(**value["function"]))


class ToolResponse:
    def __init__(self, text=None):
        self.text = text


class BaseTool:
    """verl's base class, without what it prints."""

    def __init__(self, config, tool_schema):
        self.config, self.tool_schema = config, tool_schema or self.get_openai_tool_schema()
        self.name = self.tool_schema.function.name


@pytest.fixture
def tools(monkeypatch):
    """The module of the tool; verl's own classes where it is installed."""
    if importlib.util.find_spec("verl") is None:
        for name, content in {
            "verl": {},
            "verl.tools": {},
            "verl.tools.base_tool": {"BaseTool": BaseTool},
            "verl.tools.schemas": {"OpenAIFunctionToolSchema": Schema, "ToolResponse": ToolResponse},
        }.items():
            module = types.ModuleType(name)
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "rec_gym.adapters.verl_tool", raising=False)
    module = importlib.import_module("rec_gym.adapters.verl_tool")
    yield module
    sys.modules.pop("rec_gym.adapters.verl_tool", None)


class Trajectory:
    """verl's AgentData."""


async def call(tool, trajectory, parameters, request_id="val-00001", **changes):
    """A call as verl's agent loop makes it: a new instance each time, an error is a reward of 0."""
    start = {"request_id": request_id, "task": describe_task(REFINE, {**SMALL, **changes})}
    instance_id, _ = await tool.create(create_kwargs=start)
    try:
        response, reward, _ = await tool.execute(instance_id, parameters, agent_data=trajectory)
        return response.text, reward, await tool.calc_reward(instance_id)
    finally:
        await tool.release(instance_id)


def queries(tool, texts, **changes):
    async def play():
        trajectory = Trajectory()
        return [await call(tool, trajectory, {"query": text}, **changes) for text in texts]

    return asyncio.run(play())


class TestTool:
    TEXTS = ("blanket", "warm wool blanket", "lamp")

    def test_each_call_is_a_turn_of_the_task(self, tools):
        task = rec_gym.make_task(REFINE, **SMALL)
        texts = ("blanket", *make_policy("oracle", task)(list(task.rows())[:1]), "zzzz")
        calls = queries(tools.SearchTool({"max_chars": 1000}), (*texts, "once more"))
        (episode,) = task.start(["val-00001"])
        paid = 0.0
        for text, (response, reward, so_far) in zip(texts, calls, strict=False):
            (episode,), outcomes, _ = task.advance([episode], [text])
            titles = task.dataset.catalog.titles(episode.shown[-1])
            assert response == "\n".join(f"{place}. {title}" for place, title in enumerate(titles, 1)) or (
                response == tools.NO_RESULTS and not titles
            )
            assert reward == outcomes.rewards[0]
            paid += reward
            assert so_far == paid
        assert paid > 0.5
        assert calls[3][:2] == (tools.ENDED, 0.0)

    def test_verl_need_not_cut_a_response(self, tools):
        full = queries(tools.SearchTool({"max_chars": 10_000}), self.TEXTS[:1])[0][0].splitlines()
        cut = queries(tools.SearchTool({}), self.TEXTS[:1])[0][0]
        assert len(cut) <= 256 < len("\n".join(full))
        assert cut.splitlines() == full[: cut.count("\n") + 1]
        assert queries(tools.SearchTool({"max_chars": 9}), self.TEXTS[:1])[0][0] == full[0][:9]

    def test_what_there_is_to_say_of_other_calls(self, tools):
        tool = tools.SearchTool({})
        assert queries(tool, ["zzzz"])[0][0] == tools.NO_RESULTS
        assert queries(tool, ["blanket"], feedback_k=0)[0][0] == tools.NOT_SHOWN
        assert queries(tool, ["blanket", "<stop>", "lamp"])[1:] == [(tools.ENDED, 0.0, 0.0)] * 2

    @pytest.mark.parametrize("parameters", [{}, {"query": None}, {"query": ["a"]}, ["a"], None, {"query": ""}])
    def test_a_call_without_a_query_does_not_parse(self, tools, parameters):
        reward = {"measure": "ndcg@10", "unparsed": -1}
        made = asyncio.run(call(tools.SearchTool({}), Trajectory(), parameters, reward=reward))
        assert made == (tools.NO_RESULTS, 0.0, 0.0)  # above what every episode has, which is -1

    def test_an_episode_earns_what_the_task_pays(self, tools):
        reward = {"measure": "ndcg@10", "unparsed": -1}
        task = rec_gym.make_task(REFINE, **SMALL, reward=reward)
        texts = ("blanket", *make_policy("oracle", task)(list(task.rows())[:1]))
        calls = queries(tools.SearchTool({}), texts, reward=reward)
        arguments = row("val-00001", task_id=REFINE, reward=reward)
        arguments["extra_info"]["tool_rewards"] = [paid for _, paid, _ in calls]
        (episode,), paid = task.start(["val-00001"]), 0.0
        for text in texts:
            (episode,), outcomes, _ = task.advance([episode], [text])
            paid += outcomes.rewards[0]
        assert compute_score(**arguments, solution_str="")["score"] == pytest.approx(paid)
        assert paid > 0.5

    @pytest.mark.parametrize("action", ["plain", "append", "answer", "lines", "titles"])
    def test_every_action_format_asks(self, tools, action):
        assert queries(tools.SearchTool({}), ["wool blanket"], action=action)[0][0].startswith("1. ")

    def test_trajectories_are_apart_and_forgotten(self, tools):
        tool = tools.SearchTool({})

        async def play(texts):
            trajectory = Trajectory()
            return [await call(tool, trajectory, {"query": text}) for text in texts]

        async def together():
            return await asyncio.gather(*(play(self.TEXTS) for _ in range(16)))

        played = asyncio.run(together())
        assert all(one == played[0] for one in played)
        assert played[0] == queries(tool, self.TEXTS)
        gc.collect()
        assert (len(tool._progress), len(tool._searches)) == (0, 0)

    def test_calls_at_once_are_turns_one_after_the_other(self, tools):
        tool = tools.SearchTool({})

        task = rec_gym.make_task(REFINE, **SMALL)
        texts = ("blanket", *make_policy("oracle", task)(list(task.rows())[:1]), "zzzz")

        async def play():
            trajectory = Trajectory()
            return await asyncio.gather(*(call(tool, trajectory, {"query": text}) for text in texts))

        rewards = [reward for _, reward, _ in asyncio.run(play())]
        best = max(task.score(["val-00001"] * 3, texts).rewards)
        assert sum(rewards) == pytest.approx(best)  # as turns of one episode; apart they would pay more
        assert best > 0.5

    def test_a_failure_is_reported_and_pays_nan(self, tools, caplog, monkeypatch):
        tool = tools.SearchTool({})
        response, reward, _ = asyncio.run(call(tool, Trajectory(), {"query": "wool"}, request_id="nobody"))
        assert (response, math.isnan(reward)) == (tools.FAILED, True)
        assert "unknown request id: 'nobody'" in caplog.text

        async def without_row():
            instance_id, _ = await tool.create(create_kwargs={})
            return await tool.execute(instance_id, {"query": "wool"}, agent_data=Trajectory())

        assert math.isnan(asyncio.run(without_row())[1])
        assert "tools_kwargs have no 'task'" in caplog.text

    def test_the_name_is_the_one_in_the_rows(self, tools):
        schema = tools.SearchTool({}).get_openai_tool_schema()
        assert schema.function.name == "search"
        schema.function.name = "find"
        with pytest.raises(ValueError, match="names? the tool 'search'"):
            tools.SearchTool({}, schema)


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="verl is installed")
def test_without_verl_the_tool_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[verl\]'"):
        importlib.import_module("rec_gym.adapters.verl_tool")
