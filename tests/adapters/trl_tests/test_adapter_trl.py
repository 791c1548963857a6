"""TRL in one turn: the reward function and the data set, alone and in a real GRPOTrainer."""

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.word_overlap import FilteringOverlap
from trl_script import KEYS, REWARD, Failing, Log, call, message, settings, the_example, trainer_test

import rec_gym
from rec_gym.adapters.trl import TaskReward, completion_text, environment_factory, log_episodes, make_dataset
from rec_gym.recommenders.base import RecommenderError


@pytest.fixture
def task(dataset, overlap):
    return rec_gym.Task(dataset, overlap, reward=REWARD, measures=["recall@3"])


# The reward function


def test_rewards_are_those_of_the_task(task):
    ids, texts = ["q1", "q1", "q2", "q3"], ["red chair", "", "blue lamp", "oak desk desk"]
    rewards = TaskReward(task)(prompts=texts, completions=texts, completion_ids=[[0]] * 4, request_id=ids)
    assert rewards == task.score(ids, texts).rewards.tolist()
    assert all(type(reward) is float for reward in rewards)


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("red chair", "red chair"),
        (message("red chair"), "red chair"),
        (message(None), ""),
        (message([{"type": "text", "text": "red "}, {"type": "text", "text": "chair"}]), "red chair"),
        (
            [call("lamp"), {"role": "tool", "name": "search", "content": "1. red lamp"}, *message("red chair")],
            "red chair",
        ),
        ([call("lamp"), {"role": "tool", "name": "search", "content": "1. red lamp"}], ""),
    ],
)
def test_completions_are_texts_or_messages(completion, text):
    assert completion_text(completion) == text


def test_messages_earn_what_their_text_earns(task):
    texts = ["<think>hm</think>red chair", "desk", "<think>never closed"]
    ids = ["q1", "q3", "q2"]
    reward, log = TaskReward(task), Log()
    assert reward([message(text) for text in texts], request_id=ids, log_extra=log.column) == reward(
        texts, request_id=ids
    )
    assert log.extra == {
        "request_id": ids,
        "query": ["red chair", "desk", ""],
        "parse": ["think_removed", "ok", "unclosed_think"],
    }


def test_a_completion_without_the_assistant_is_an_error(task):
    with pytest.raises(ValueError, match="no message by the assistant"):
        TaskReward(task)([[{"role": "user", "content": "red chair"}]], request_id=["q1"])


def test_components_are_logged_under_the_same_keys_in_every_call(task):
    reward = TaskReward(task)
    for texts in (["red chair", "red chair"], ["", ""], ["zzz", "desk desk"]):
        log = Log()
        rewards = reward(texts, request_id=["q1", "q1"], log_metric=log.metric, log_extra=log.column)
        assert log.metrics.keys() == KEYS
        terms = [value for key, value in log.metrics.items() if key.startswith("term/")]
        assert sum(terms) == pytest.approx(sum(rewards) / 2)
        assert log.extra.keys() == {"request_id", "query", "parse"}
        assert {len(column) for column in log.extra.values()} == {2}


def test_groups_without_variance_are_those_of_one_request(task):
    log = Log()
    ids = ["q1", "q1", "q2", "q2"]
    TaskReward(task)(["red chair", "zzz", "lamp", "lamp"], request_id=ids, log_metric=log.metric)
    assert log.metrics["groups_without_variance"] == 0.5


def test_a_batch_is_one_call_of_the_recommender(task, overlap):
    TaskReward(task)([message(t) for t in ("red", "blue", "red", "oak")], request_id=["q1", "q1", "q2", "q3"])
    assert [sorted(batch) for batch in overlap.calls] == [["blue", "oak", "red"]]


def test_threads_get_their_own_rewards(task):
    reward = TaskReward(task)
    batches = [(["q1", "q2", "q3"], [f"{word} chair", f"{word} lamp", word]) for word in ("red", "blue", "oak")] * 20
    expected = [reward(texts, request_id=ids) for ids, texts in batches]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda batch: reward(batch[1], request_id=batch[0]), batches)) == expected


def test_the_reward_function_has_a_name(task):
    assert TaskReward(task).__name__ == "ndcg@10"
    assert TaskReward(task, name="shop").__name__ == "shop"
    assert TaskReward(task.replace(name="RecR1-Lamps-v0")).__name__ == "RecR1-Lamps-v0"


def test_a_failing_recommender_raises(dataset, overlap):
    reward = TaskReward(rec_gym.Task(dataset, Failing(overlap), reward="ndcg@10"))
    with pytest.raises(RecommenderError, match="the server is down"):
        reward(["red chair", "crash"], request_id=["q1", "q2"])


def test_another_splits_request_raises(task):
    with pytest.raises(ValueError, match="not in split 'train'"):
        TaskReward(task)(["rug"], request_id=["q4"])


def test_a_dataset_without_request_ids_is_named(task):
    with pytest.raises(ValueError, match="column request_id"):
        TaskReward(task)(["rug"], prompts=["warm feet"])


def test_several_turns_want_the_environment(refine):
    with pytest.raises(ValueError, match="environment_factory"):
        TaskReward(refine)
    assert TaskReward(refine.replace(turns=1))(["desk"], request_id=["q3"]) == [1.1]


def test_reward_and_factory_are_picklable(task, refine, known_trl):
    reward = TaskReward(task, name="shop")
    copy = pickle.loads(pickle.dumps(reward))
    assert copy.__name__ == "shop"
    assert copy(["red chair"], request_id=["q1"]) == reward(["red chair"], request_id=["q1"])
    environment = pickle.loads(pickle.dumps(environment_factory(refine)))()
    environment.reset(request_id="q1")
    environment.search("red chair")
    assert pickle.loads(pickle.dumps(environment)).get_reward() == environment.get_reward() > 1
    assert pickle.loads(pickle.dumps(log_episodes)) is log_episodes


# The data set


@pytest.mark.trainer
@pytest.mark.parametrize("prompt", ["messages", "text", "tools"])
def test_rows_hold_prompt_and_request_and_no_gains(task, prompt):
    pytest.importorskip("datasets")
    made = make_dataset(task, prompt=prompt)
    assert made.column_names == ["prompt", "request_id", "text", "domain"]
    assert made["request_id"] == task.request_ids
    row = next(task.rows())
    expected = {"messages": row["messages"], "text": row["prompt"]}
    if prompt in expected:
        assert made[0]["prompt"] == expected[prompt]
    written = json.dumps(list(made))
    for secret in ("chair-r", "lamp-r", "red chair", "gain", "oak desk"):  # ids, titles, the oracle's query
        assert secret not in written


@pytest.mark.trainer
def test_the_prompt_with_a_tool_replaces_the_instruction(refine):
    pytest.importorskip("datasets")
    plain, tools = (make_dataset(refine, prompt)[0]["prompt"][-1]["content"] for prompt in ("messages", "tools"))
    assert "nothing else" in plain
    assert "nothing else" not in tools
    assert "search tool" in tools
    assert "up to 3 times" in tools
    own = refine.replace(prompt={"user": "Find: {request}"})
    assert "search tool" in make_dataset(own, "tools")[0]["prompt"][-1]["content"]


def test_an_unknown_prompt_lists_the_known_ones(task):
    with pytest.raises(ValueError, match="messages, text, tools"):
        make_dataset(task, prompt="chat")


def test_a_missing_library_names_the_command(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[train\]'"):
        make_dataset(task)


# A real trainer, with random weights


class Recorded(TaskReward):
    """Keeps what TRL calls it with, and what it answers."""

    def __init__(self, task):
        super().__init__(task)
        self.calls = []

    def __call__(self, completions, **columns):
        rewards = super().__call__(completions, **columns)
        self.calls.append((columns["request_id"], [completion_text(c) for c in completions], rewards, columns))
        return rewards


@pytest.fixture(scope="module")
def shop():
    return rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600, reward=REWARD, measures=["recall@3"])


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    """Two steps under a seed, once more under it, and under another: what the reward function saw, and the log."""

    def run(seed, prompt="messages"):
        from trl import GRPOTrainer

        model, tokenizer = the_example().tiny(shop)
        folder = tmp_path_factory.mktemp("trl")
        reward = Recorded(shop)
        trainer = GRPOTrainer(
            model, reward, settings(folder, seed=seed), make_dataset(shop, prompt), processing_class=tokenizer
        )
        trainer.train()
        return reward.calls, trainer.state.log_history

    return [run(0), run(0), run(1, "text")]


@trainer_test
def test_the_trainer_logs_the_components(runs):
    for calls, log in runs:
        assert len(calls) == 2
        for (_, _, rewards, _), line in zip(calls, log, strict=False):
            assert line.keys() >= KEYS
            assert line["reward"] == pytest.approx(sum(rewards) / 8, abs=1e-6)
            assert line["rewards/RecR1-CornerShop-BM25-v0/mean"] == line["reward"]
            assert sum(value for key, value in line.items() if key.startswith("term/")) == pytest.approx(line["reward"])
            assert line["groups_without_variance"] == line["frac_reward_zero_std"]


@trainer_test
def test_a_batch_is_one_call_and_a_group_one_request(runs, shop):
    for calls, _ in runs:
        for ids, texts, rewards, columns in calls:
            assert [len(set(ids[start : start + 4])) for start in (0, 4)] == [1, 1]
            assert len(set(ids)) == 2
            assert rewards == shop.score(ids, texts).rewards.tolist()
            assert not [name for name in columns if "gain" in name or "target" in name]
            assert columns["text"] == [shop.dataset.texts(shop.dataset.index.positions([i]))[0] for i in ids]


@trainer_test
def test_conversational_prompts_bring_messages_and_text_prompts_texts(runs):
    (_, _, _, messages), (_, _, _, texts) = runs[0][0][0], runs[2][0][0]
    assert messages["prompts"][0][-1]["role"] == "user"
    assert isinstance(texts["prompts"][0], str)


@trainer_test
def test_the_same_seed_earns_the_same_rewards(runs):
    first, again, other = ([(ids, texts, rewards) for ids, texts, rewards, _ in calls] for calls, _ in runs)
    assert first == again
    assert first != other


@trainer_test
def test_completions_are_saved_with_query_and_parse_word(tmp_path, shop):
    from trl import GRPOTrainer

    parquet = pytest.importorskip("pyarrow.parquet")
    model, tokenizer = the_example().tiny(shop)
    arguments = settings(tmp_path, max_steps=1, log_completions=True)
    trainer = GRPOTrainer(model, TaskReward(shop), arguments, make_dataset(shop), processing_class=tokenizer)
    trainer.train()
    [file] = tmp_path.glob("completions/*.parquet")
    saved = parquet.read_table(file).to_pydict()
    assert saved["query"] == [completion_text(completion).strip() for completion in saved["completion"]]
    assert set(saved["parse"]) <= {"ok", "empty", "unclosed_think"}
    assert set(saved["request_id"]) <= set(shop.request_ids)


def test_filters_are_logged_as_text(dataset, catalog):
    task = rec_gym.Task(dataset, FilteringOverlap(catalog), action={"name": "structured", "columns": ["price"]})
    texts = ['<answer>{"query": "lamp", "filters": {"price": {"<=": 11}}}</answer>', "lamp"]
    log = Log()
    TaskReward(task)(texts, request_id=["q1", "q1"], log_metric=log.metric, log_extra=log.column)
    assert log.extra["filters"] == ['[["price", "<=", 11.0]]', ""]
    assert log.metrics["text/filters"] == 0.5
    assert "filters" not in log.metrics
