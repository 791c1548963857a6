"""OpenRLHF: the reward function as OpenRLHF calls it, and the agent for several turns."""

import asyncio
import copy
import importlib
import importlib.util
import json
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rec_gym
from rec_gym.adapters import openrlhf as adapter
from rec_gym.adapters.openrlhf import as_completion, completion_in, read_label, score
from rec_gym.adapters.rows import describe_task
from rec_gym.policies.registry import make_policy

SHOP, REFINE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShopRefine-BM25-v0"
SMALL = {"split": "val", "items": 600}
PROMPT = "<|im_start|>user\nA shopper says: something warm<|im_end|>\n<|im_start|>assistant\n"
ENDS = ["", "<|im_end|>", "</s>", "<|eot_id|>", "<|im_end|>\n", "<|endoftext|><|endoftext|>", "<eos>", "<end_of_turn>"]


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task(SHOP, **SMALL)


def label(request_id, task_id=SHOP, **changes):
    return json.dumps({"request_id": request_id, "task": describe_task(task_id, {**SMALL, **changes})})


class TestCompletion:
    @pytest.mark.parametrize("end", [*ENDS, "<｜end▁of▁sentence｜>"])
    def test_prompt_and_special_tokens_are_cut_off(self, end):
        assert completion_in(f"{PROMPT}wool blanket{end}", PROMPT) == "wool blanket"

    def test_a_prompt_that_lost_its_beginning(self):
        long = "word " * 100 + PROMPT
        assert completion_in(f"{long[200:]}wool<|im_end|>", long) == "wool"

    @pytest.mark.parametrize("begin", ["", "<s> "])
    def test_a_prompt_that_holds_its_end_twice(self, begin):
        twice = f"An example. {PROMPT}wool blanket\nNow yours. {PROMPT}"
        query = f"{begin}{twice if begin else twice[5:]}cup"
        assert completion_in(f"{query} {PROMPT}now</s>", twice) == f"cup {PROMPT}now"

    def test_a_prompt_that_the_tokenizer_wrote_otherwise(self):
        assert completion_in(f"<s> {PROMPT}wool</s>", PROMPT) == "wool"

    def test_a_completion_that_repeats_its_prompt_keeps_what_it_wrote(self):
        assert completion_in(f"{PROMPT}wool {PROMPT}", PROMPT) == f"wool {PROMPT}"
        assert completion_in(f"<s>{PROMPT}wool {PROMPT}", PROMPT) == f"wool {PROMPT}"

    def test_without_the_prompt_it_is_an_error(self):
        with pytest.raises(ValueError, match="does not contain its prompt"):
            completion_in("wool blanket<|im_end|>", PROMPT)

    def test_tags_of_the_action_formats_stay(self):
        text = '<think>warm</think><answer>{"query": "wool"}</answer>'
        assert completion_in(f"{PROMPT}{text}<|im_end|>", PROMPT) == text
        assert as_completion("<stop></s>", PROMPT) == "<stop>"
        assert as_completion("a <|im_end|> b", PROMPT) == "a <|im_end|> b"  # the model went on: its text is judged

    def test_reasoning_that_the_prompt_opened_is_closed_by_the_completion(self, task):
        opened = PROMPT + "<think>\n"
        assert completion_in(f"{opened}cold</think>wool<|im_end|>", opened) == "<think>cold</think>wool"
        (made,) = score([f"{opened}cold</think>wool<|im_end|>"], [opened], [label(task.request_ids[0])])
        assert made["parse"] == "think_removed"

    @given(text=st.text(max_size=80), end=st.sampled_from(ENDS[1:]))
    def test_any_text_comes_back_but_for_special_tokens(self, text, end):
        bare = as_completion(text, PROMPT)
        assert text.startswith(bare)
        assert completion_in(PROMPT + text + end, PROMPT).rstrip() == bare.rstrip()


class TestScore:
    def test_the_same_as_a_batch_also_from_threads(self, task):
        ids = [task.request_ids[i % 20] for i in range(128)]
        texts = [["wool blanket", "", "<think>no end", "<think>x</think>red lamp"][i % 4] for i in range(128)]

        def one(place):
            return score([f"{PROMPT}{texts[place]}<|im_end|>"], [PROMPT], [label(ids[place])])[0]

        with ThreadPoolExecutor(64) as pool:
            made = list(pool.map(one, range(128)))
        expected = task.score(ids, texts)
        assert [one["score"] for one in made] == expected.rewards.tolist()
        assert [one["parse"] for one in made] == expected.parse
        assert len({frozenset(one) for one in made}) == 1

    @pytest.mark.parametrize("text", ["", "wool", "{}", "[1]", '{"request_id": "val-00001"}', None])
    def test_a_label_that_names_no_request(self, text):
        with pytest.raises(ValueError, match="does not name a request"):
            read_label(text)

    @pytest.mark.parametrize(
        ("wrong", "error", "message"),
        [
            (label("nobody"), KeyError, "unknown request id"),
            (label("train-00001"), ValueError, "not in split 'val'"),
            (label("val-00001", task_id=REFINE), ValueError, "--train.agent_func_path"),
        ],
    )
    def test_what_is_wrong_is_an_error(self, wrong, error, message):
        with pytest.raises(error, match=message):
            score([f"{PROMPT}wool"], [PROMPT], [wrong])


class TestRewardFunction:
    @pytest.fixture
    def reward_func(self):
        """As OpenRLHF loads it, by its path."""
        pytest.importorskip("torch")
        spec = importlib.util.spec_from_file_location("reward_func", adapter.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.reward_func

    def test_tensors_of_one_number_each(self, task, reward_func):
        import torch

        changes = {"reward": {"measure": "ndcg@100", "terms": {"format": 0.5}}}
        queries, prompts, labels = [f"{PROMPT}blanket<|im_end|>"], [PROMPT], [label(task.request_ids[0], **changes)]
        made = reward_func(queries, prompts, labels)
        assert set(made) == {"rewards", "scores", "extra_logs"}
        assert made["rewards"].tolist() == pytest.approx(
            task.replace(**changes).score(task.request_ids[:1], ["blanket"]).rewards.tolist()
        )
        assert 0.0 <= made["scores"].item() <= 1.0
        for tensor in (made["rewards"], made["scores"], *made["extra_logs"].values()):
            assert (tensor.dtype, tensor.shape) == (torch.float32, (1,))
            assert torch.tensor([tensor]).shape == (1,)  # what OpenRLHF does with it

    def test_a_failure_is_raised_and_printed(self, reward_func, capsys):
        with pytest.raises(KeyError, match="unknown request id"):
            reward_func([f"{PROMPT}wool"], [PROMPT], [label("nobody")])
        said = capsys.readouterr().err
        assert said.startswith("rec_gym could not score labels")
        assert "unknown request id: 'nobody'" in said


class Template:
    """A tokenizer's chat template, ChatML or another one, and nothing else."""

    chat_template = "a template"

    def __init__(self, opens="<|im_start|>{role}\n", closes="<|im_end|>\n", generation="<|im_start|>assistant\n"):
        self.opens, self.closes, self.generation = opens, closes, generation

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert not tokenize
        text = "".join(self.opens.format(**m) + m["content"] + self.closes for m in messages)
        return text + self.generation * add_generation_prompt


class Base:
    """OpenRLHF's AgentInstanceBase."""


class Executor:
    """OpenRLHF's MultiTurnAgentExecutor as far as the order of its calls goes; the engine answers with texts."""

    def __init__(self, agent_instance_cls):
        assert issubclass(agent_instance_cls, Base)
        self.agent_instance_cls = agent_instance_cls

    async def execute(self, prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images=None):
        agent = self.agent_instance_cls()
        observed = (await agent.reset({"observation": prompt, "label": label}))["observation"]
        total = 0
        for text in llm_engine:
            sampling_params.max_tokens = max_length - len(observed)
            step = await agent.step(
                {"observation_text": observed, "action_text": text, "label": label, "sampling_params": sampling_params}
            )
            total += step["rewards"].item()
            observed += text + step["environment_feedback"]
            if step["done"]:
                break
        return {"reward": total, "scores": step["scores"], "extra_logs": step["extra_logs"], "text": observed}


@pytest.fixture
def agent(monkeypatch):
    """The agent's file as OpenRLHF loads it, with its classes in OpenRLHF's place."""
    pytest.importorskip("torch")
    for name in ("openrlhf", "openrlhf.utils", "openrlhf.utils.agent"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["openrlhf.utils.agent"].AgentInstanceBase = Base
    sys.modules["openrlhf.utils.agent"].MultiTurnAgentExecutor = Executor
    spec = importlib.util.spec_from_file_location("agent_module", Path(adapter.__file__).with_name("openrlhf_agent.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(agent, texts, prompt=PROMPT, tokenizer=None, request_id="val-00001", **changes):
    params = types.SimpleNamespace(max_tokens=64)
    made = asyncio.run(
        agent.AgentExecutor().execute(
            prompt, label(request_id, REFINE, **changes), params, 4000, tokenizer or Template(), iter(texts)
        )
    )
    assert params.max_tokens == 64  # other samples of the prompt use the same object
    return made


class TestAgent:
    @pytest.mark.parametrize("turn_reward", ["gain", "last", "best"])
    def test_an_episode_is_that_of_the_task(self, agent, turn_reward):
        task = rec_gym.make_task(REFINE, **SMALL, turn_reward=turn_reward)
        texts = ["blanket", *make_policy("oracle", task)(list(task.rows())[:1]), "zzzz", "never asked"]
        made = play(agent, [f"{text}<|im_end|>" for text in texts], turn_reward=turn_reward)
        (episode,), total, best = task.start(["val-00001"]), 0.0, 0.0
        for text in texts[:3]:
            (episode,), outcomes, _ = task.advance([episode], [text])
            total += float(outcomes.rewards[0])
            best = max(best, float(outcomes.measures["ndcg@100"][0]))
        assert (made["reward"], made["scores"]) == (total, best)
        assert best > 0.5
        assert made["extra_logs"] == {
            "turns": 3.0,
            "first_measure": float(task.score(["val-00001"], texts[:1]).rewards[0]),
            "best_measure": best,
            "parse_ok": 1.0,
        }

    def test_the_model_sees_what_its_query_found(self, agent):
        made = play(agent, ["blanket<|im_end|>", "wool\n\nblanket<|im_end|>", "<stop><|im_end|>", "never asked"])
        said = made["text"].removeprefix(PROMPT).split("<|im_start|>assistant\n")
        assert said[0].startswith("blanket<|im_end|>\n<|im_start|>user\nSearch 1: blanket\n  1. ")
        assert said[0].endswith("Search again, or reply <stop> if you cannot find anything better.<|im_end|>\n")
        assert said[1].startswith("wool\n\nblanket<|im_end|>\n<|im_start|>user\nSearch 2: wool\n\nblanket\n")
        assert "Search 1" not in said[1]
        assert said[2:] == ["<stop><|im_end|>"]
        assert made["extra_logs"]["turns"] == 3.0

    def test_a_prompt_without_chat_template_goes_on_as_text(self, agent):
        made = play(agent, ["blanket", "<stop>"], prompt="Query:")
        assert made["text"].startswith("Query:blanket\n\nSearch 1: blanket\n")
        assert "<|im_" not in made["text"]
        without = types.SimpleNamespace(chat_template=None)
        assert play(agent, ["blanket", "<stop>"], tokenizer=without)["text"].count("<|im_start|>") == 2  # the prompt's

    @pytest.mark.parametrize("closes", ["</s>\n", "<|eot_id|>", "<end_of_turn>\n", "<｜end｜>"])
    def test_the_token_that_ends_a_completion_is_not_written_twice(self, agent, closes):
        template = Template("[{role}]", closes, "[assistant]")
        said = agent.next_message(template, "Search 1")
        assert said == f"{closes.removeprefix(closes.strip())}[user]Search 1{closes}[assistant]"

    def test_completions_that_do_not_parse(self, agent):
        made = play(agent, ["", "<think>no end", "blanket"], reward={"measure": "ndcg@10", "unparsed": -1})
        assert made["extra_logs"]["parse_ok"] == pytest.approx(1 / 3)
        assert made["extra_logs"]["first_measure"] == 0.0

    def test_a_failure_is_raised(self, agent):
        with pytest.raises(KeyError, match="unknown request id"):
            play(agent, ["wool"], request_id="nobody")

    def test_samples_of_a_prompt_are_apart(self, agent):
        async def together():
            executor, params = agent.AgentExecutor(), types.SimpleNamespace(max_tokens=64)
            texts = ["blanket", "lamp", "wool"]
            calls = (
                executor.execute(PROMPT, label("val-00001", REFINE), params, 4000, Template(), iter(copy.copy(texts)))
                for _ in range(16)
            )
            return await asyncio.gather(*calls)

        made = asyncio.run(together())
        assert all(one == made[0] for one in made)


@pytest.mark.skipif(importlib.util.find_spec("openrlhf") is not None, reason="openrlhf is installed")
def test_without_openrlhf_the_agent_says_how_to_get_it():
    pytest.importorskip("torch")
    code = "import rec_gym.adapters.openrlhf_agent"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'rec-gym[openrlhf]'" in done.stderr
