"""TRL: the reward function, the data set and the environment, alone and in a real GRPOTrainer."""

import importlib.metadata
import importlib.util
import inspect
import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rec_gym
from rec_gym.adapters.trl import (
    SearchEnvironment,
    TaskReward,
    ToolPolicy,
    completion_text,
    environment_factory,
    log_episodes,
    make_dataset,
)
from rec_gym.evaluation import evaluate
from rec_gym.loop.action_base import THINK
from rec_gym.recommenders.base import RecommenderError

REWARD = {"measure": "ndcg@10", "terms": {"format": 0.1, "repetition": -0.2}, "unparsed": -1}
KEYS = {
    *("measure/ndcg@10", "measure/recall@3", "term/measure", "term/format", "term/repetition", "term/unparsed"),
    *("text/length", "text/repetition", "text/copy", "parse_ok", "clipped", "scored", "groups_without_variance"),
}
EXAMPLE = Path(__file__).parents[1] / "examples" / "train_trl.py"


class Log:
    """TRL's log_metric and log_extra; a metric that is logged twice in a call would be averaged with itself."""

    def __init__(self):
        self.metrics, self.extra = {}, {}

    def metric(self, name, value):
        assert name not in self.metrics
        assert type(value) is float
        self.metrics[name] = value

    def column(self, name, values):
        assert name not in self.extra
        assert type(values) is list
        self.extra[name] = values


class Failing:
    """A recommender whose server goes down on one query."""

    query_language = "bag of words"

    def __init__(self, inner):
        self.inner = inner

    def rank(self, queries, k, exclude=None):
        if "crash" in queries:
            raise ConnectionError("the server is down")
        return self.inner.rank(queries, k, exclude)


@pytest.fixture
def task(dataset, overlap):
    return rec_gym.Task(dataset, overlap, reward=REWARD, measures=["recall@3"])


@pytest.fixture
def refine(dataset, overlap):
    return rec_gym.Task(dataset, overlap, reward=REWARD, measures=["recall@3"], turns=3, feedback_k=2)


@pytest.fixture
def known_trl(monkeypatch):
    monkeypatch.setattr("rec_gym.adapters.trl.version", lambda name: "1.16.0")


def message(text):
    return [{"role": "assistant", "content": text}]


def call(query, name="search"):
    calls = [{"type": "function", "function": {"name": name, "arguments": {"query": query}}}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


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
    assert "tool search" in tools
    assert "up to 3 times" in tools
    own = refine.replace(prompt={"user": "Find: {request}"})
    assert "tool search" in make_dataset(own, "tools")[0]["prompt"][-1]["content"]


def test_an_unknown_prompt_names_those_there_are(task):
    with pytest.raises(ValueError, match="messages, text, tools"):
        make_dataset(task, prompt="chat")


def test_a_missing_library_names_the_command(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[train\]'"):
        make_dataset(task)


# The environment


@pytest.fixture
def started(refine):
    environment = SearchEnvironment(refine)
    environment.reset(request_id="q1", prompt=[], text="something red to sit on", domain="")
    return environment


def public(kind):
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]


def test_search_is_the_only_tool():
    assert public(SearchEnvironment) == ["get_reward", "reset", "search"]


def test_an_episode_pays_its_best_turn(refine, started):
    assert started.search("blue lamp") == "1. blue lamp\n2. red lamp"
    assert started.search("red chair") == "1. red chair\n2. red lamp"
    assert started.search("rug") == "1. wool rug\nThat was the last search."
    best = refine.replace(turns=1).score(["q1"], ["red chair"]).rewards[0]
    assert started.get_reward() == pytest.approx(best)
    assert started.best["query"] == "red chair"


def test_searches_after_the_end_cost_nothing(started, overlap):
    for query in ("lamp", "lamp", "lamp"):
        started.search(query)
    reward, calls, episode = started.get_reward(), len(overlap.calls), started.episode
    assert "not searched" in started.search("red chair")
    assert (started.get_reward(), len(overlap.calls), started.episode) == (reward, calls, episode)


def test_the_reward_may_be_asked_for_again(started):
    started.search("red chair")
    assert started.get_reward() == started.get_reward() > 1
    assert started.episode.done


@pytest.mark.parametrize("turn_reward", ["gain", "last", "best"])
def test_a_reply_without_a_call_ends_the_episode_as_stop_does(refine, turn_reward):
    task = refine.replace(turn_reward=turn_reward)
    environment = SearchEnvironment(task)
    environment.reset(request_id="q1")
    environment.search("red chair")
    assert environment.get_reward() == pytest.approx(task.replace(turns=1).score(["q1"], ["red chair"]).rewards[0])


def test_a_rollout_without_a_search_did_not_parse(started):
    assert started.get_reward() == -1
    assert started.best["parse"] == "unclosed_think"
    assert not started.best["scored"]


def test_environments_do_not_share_an_episode(refine):
    one, two = SearchEnvironment(refine), SearchEnvironment(refine)
    one.reset(request_id="q1")
    two.reset(request_id="q3")
    one.search("red chair")
    assert two.episode.turn == 0
    one.reset(request_id="q2")
    assert (one.episode.request_id, one.turns, one.best) == ("q2", [], {})
    assert one.get_reward() == -1


def test_what_the_model_gets_wrong_is_told_to_it(started):
    with pytest.raises(TypeError, match="query is a text, not int"):
        started.search(5)
    assert started.episode.turn == 0
    assert started.search("") == "The query was not understood."
    assert started.search("zzz") == "No results."


def test_titles_are_not_shown_where_the_task_shows_none(refine):
    environment = SearchEnvironment(refine.replace(feedback_k=0))
    environment.reset(request_id="q1")
    assert environment.search("red chair") == ""
    once = SearchEnvironment(refine.replace(turns=1))
    once.reset(request_id="q1")
    assert once.search("red chair") == "That was the last search."


@pytest.mark.parametrize("action", ["answer", {"name": "answer", "strict": True}, "append", "lines"])
def test_a_call_is_a_query_in_any_action_format(refine, action):
    environment = SearchEnvironment(refine.replace(action=action))
    environment.reset(request_id="q3")
    environment.search("oak desk")
    assert environment.best["parse_ok"]
    assert environment.get_reward() > 1


def test_a_failure_that_trl_swallows_is_raised_with_the_reward(dataset, overlap):
    environment = SearchEnvironment(rec_gym.Task(dataset, Failing(overlap), reward="ndcg@10", turns=3))
    environment.reset(request_id="q1")
    environment.search("red chair")
    with pytest.raises(RecommenderError):  # TRL makes a tool message of it
        environment.search("crash")
    assert "not searched" in environment.search("chair")
    with pytest.raises(RecommenderError, match="the server is down"):
        environment.get_reward()
    environment.reset(request_id="q1")
    assert environment.get_reward() == 0


def test_an_environment_says_what_it_lacks(refine):
    environment = SearchEnvironment(refine)
    for step in (lambda: environment.search("desk"), environment.get_reward):
        with pytest.raises(RuntimeError, match="reset"):
            step()
    with pytest.raises(ValueError, match="column request_id"):
        environment.reset(prompt=[])
    with pytest.raises(ValueError, match="not in split 'train'"):
        environment.reset(request_id="q4")


def test_a_factory_needs_a_trl_that_knows_the_reward(refine, monkeypatch):
    monkeypatch.setattr("rec_gym.adapters.trl.version", lambda name: "1.2.0")
    with pytest.raises(ImportError, match="newer TRL than 1.2.0: pip install"):
        environment_factory(refine)

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("rec_gym.adapters.trl.version", missing)
    with pytest.raises(ImportError, match=r"pip install 'rec-gym\[train\]'"):
        environment_factory(refine)


def test_candidates_are_not_searched(dataset, overlap):
    with pytest.raises(ValueError, match="candidates"):
        environment_factory(rec_gym.Task(dataset, overlap, action="order", candidates={"k": 3, "source": "judged"}))


def test_episodes_are_logged_under_the_same_keys(refine):
    for queries in (["blue lamp", "red chair"], [], [""]):
        environments, log = [SearchEnvironment(refine) for _ in range(2)], Log()
        for environment in environments:
            environment.reset(request_id="q1")
        for query in queries:
            environments[0].search(query)
        paid = log_episodes(environments=environments, log_metric=log.metric, log_extra=log.column, completions=[])
        assert paid == [0.0, 0.0]
        assert log.metrics.keys() == KEYS | {"searches"}
        assert log.metrics["searches"] == len([query for query in queries if query]) / 2
        assert log.extra["query"] == [queries[-1] if queries else "", ""]
        assert log.metrics["groups_without_variance"] == (0.0 if len(queries) == 2 else 1.0)


# A policy for evaluation


def test_evaluation_plays_as_the_environment_does(refine, known_trl):
    script = {"q1": ["blue lamp", "red chair"], "q2": [], "q3": ["oak desk", "rug", "rug", "rug"]}
    seen = []

    def write(talks, tools):
        assert [tool.__name__ for tool in tools] == ["search"]
        seen.append([len(talk) for talk in talks])
        by_text = {refine.dataset.texts(refine.dataset.index.positions([name]))[0]: name for name in script}
        messages = []
        for talk in talks:
            name = next(name for text, name in by_text.items() if text in talk[1]["content"])
            asked = sum(part["role"] == "tool" for part in talk)
            messages.append(call(script[name][asked]) if asked < len(script[name]) else message("done")[0])
        return messages

    policy = ToolPolicy(refine, write)
    for _ in range(2):  # every evaluation starts afresh
        scored = evaluate(refine, policy, measures=["ndcg@10"], progress=False)
        paid = []
        for name in refine.request_ids:
            environment = SearchEnvironment(refine)
            environment.reset(request_id=name)
            for query in script[name]:
                environment.search(query)
            paid.append(environment.get_reward())
        assert scored.rewards == pytest.approx(paid)
    assert seen == [[2, 2, 2], [4, 4], [6, 6]] * 2


def test_a_request_is_played_once(refine, known_trl):
    policy = ToolPolicy(refine, lambda talks, tools: [call("desk") for _ in talks])
    with pytest.raises(ValueError, match="samples=1"):
        evaluate(refine, policy, samples=2, progress=False)
    once = refine.replace(turns=1)
    silent = ToolPolicy(once, lambda talks, tools: [message("no")[0] for _ in talks])
    for _ in range(2):
        assert silent(list(once.rows())) == [THINK] * 3


# A real trainer, with random weights

FRAMEWORK_WARNINGS = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:You are using 'environment_factory':UserWarning"),
]


def trainer_test(function):
    for mark in (pytest.mark.trainer, pytest.mark.slow, *FRAMEWORK_WARNINGS):
        function = mark(function)
    return function


@pytest.fixture(scope="module")
def example():
    for module in ("trl", "peft"):
        pytest.importorskip(module)
    spec = importlib.util.spec_from_file_location("train_trl", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_trl"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["train_trl"]


def settings(folder, steps=2, seed=0, **more):
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(folder),
        max_steps=steps,
        num_generations=4,
        per_device_train_batch_size=8,
        max_completion_length=more.pop("max_completion_length", 8),
        seed=seed,
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )


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
def runs(example, shop, tmp_path_factory):
    """Two steps under a seed, once more under it, and under another: what the reward function saw, and the log."""

    def run(seed, prompt="messages"):
        from trl import GRPOTrainer

        model, tokenizer = example.tiny(shop)
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


def scripted(example, tmp_path, task, script, **config):
    """A trainer whose model writes `script` in place of its own words: one list of messages a rollout."""
    from trl import GRPOTrainer

    model, tokenizer = example.tiny(task)

    class Scripted(GRPOTrainer):
        turn = 0

        def _generate_single_turn(self, prompt_ids, *args, **kwargs):
            texts = [messages[self.turn] for messages in script if len(messages) > self.turn]
            assert len(texts) == len(prompt_ids)
            self.turn += 1
            return [tokenizer(text + "<|im_end|>")["input_ids"] for text in texts], None

    made = []

    def factory():
        made.append(environment_factory(task)())
        return made[-1]

    trainer = Scripted(
        model,
        reward_funcs=log_episodes,
        args=settings(tmp_path, steps=1, max_completion_length=1200, **config),
        train_dataset=make_dataset(task, prompt="tools"),
        processing_class=tokenizer,
        environment_factory=factory,
    )
    return trainer, made


def tool_call(query, name="search"):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': {'query': query}})}\n</tool_call>"


@trainer_test
def test_calls_of_the_tool_are_turns_of_the_episode(example, tmp_path):
    refine = rec_gym.make_task("RecR1-CornerShopRefine-BM25-v0", items=600, reward="ndcg@10")
    script = [
        [tool_call("blanket"), tool_call("castle blocks"), tool_call("lamp"), tool_call("too late"), "done"],
        [tool_call("castle blocks"), "done"],
        ["no search at all"],
        [tool_call("blanket", name="get_reward"), tool_call("blanket"), "done"],
    ] * 2
    trainer, environments = scripted(example, tmp_path, refine, script)
    trainer.train()
    assert len(environments) == 8
    queries = [environment.episode.queries for environment in environments[:4]]
    assert queries[0] == ("blanket", "castle blocks", "lamp")
    assert queries[1] == ("castle blocks",)
    assert queries[3] == ("blanket",)
    line = trainer.state.log_history[0]
    assert line["searches"] == pytest.approx((3 + 1 + 0 + 1) / 4)
    assert line["tools/failure_frequency"] == pytest.approx(2 / 14)  # get_reward is no tool
    paid = [environment.get_reward() for environment in environments]
    assert line["rewards/SearchEnvironment/mean"] == line["reward"] == pytest.approx(sum(paid) / 8, abs=1e-6)
    assert line["measure/ndcg@10"] == pytest.approx(line["reward"], abs=1e-6)
    once = refine.replace(turns=1)
    for environment in environments:
        asked = [query for query in environment.episode.queries if query]
        best = max((once.score([environment.episode.request_id], [query]).rewards[0] for query in asked), default=0.0)
        assert environment.get_reward() == pytest.approx(best)


@trainer_test
def test_a_failing_recommender_stops_the_trainer(example, tmp_path, dataset, overlap):
    task = rec_gym.Task(dataset, Failing(overlap), reward="ndcg@10", turns=3)
    script = [[tool_call("crash"), "done"], *[["nothing"]] * 7]
    trainer, _ = scripted(example, tmp_path, task, script)
    with pytest.raises(RecommenderError, match="the server is down"):
        trainer.train()


@trainer_test
def test_completions_are_saved_with_query_and_parse_word(example, tmp_path, shop):
    from trl import GRPOTrainer

    parquet = pytest.importorskip("pyarrow.parquet")
    model, tokenizer = example.tiny(shop)
    arguments = settings(tmp_path, steps=1, log_completions=True)
    trainer = GRPOTrainer(model, TaskReward(shop), arguments, make_dataset(shop), processing_class=tokenizer)
    trainer.train()
    [file] = tmp_path.glob("completions/*.parquet")
    saved = parquet.read_table(file).to_pydict()
    assert saved["query"] == [completion_text(completion).strip() for completion in saved["completion"]]
    assert set(saved["parse"]) <= {"ok", "empty", "unclosed_think"}
    assert set(saved["request_id"]) <= set(shop.request_ids)
