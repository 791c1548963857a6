"""TRL over several turns: the environment and the policy for evaluation, without a trainer."""

import importlib.metadata
import inspect

import pytest
from trl_script import (
    KEYS,
    Failing,
    Log,
    call,
    message,
)

import rec_gym
from rec_gym.adapters.trl import SearchEnvironment, ToolPolicy, environment_factory, log_episodes
from rec_gym.evaluation import evaluate
from rec_gym.loop.actions.tags import THINK
from rec_gym.loop.turns import STOP
from rec_gym.recommenders.base import RecommenderError

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
    assert "not run" in started.search("red chair")
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


def test_what_the_model_gets_wrong_is_reported_to_it(started):
    with pytest.raises(TypeError, match="query is a text, not int"):
        started.search(5)
    assert started.episode.turn == 0
    assert started.search("") == "The query could not be parsed."
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
    assert "not run" in environment.search("chair")
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
    monkeypatch.setattr("rec_gym.adapters.trl_tools.version", lambda name: "1.2.0")
    with pytest.raises(ImportError, match="newer TRL than 1.2.0: pip install"):
        environment_factory(refine)

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("rec_gym.adapters.trl_tools.version", missing)
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


def turns_of(task, messages, name="q1", **options):
    """What an evaluation gets of a model that writes these messages, and the conversation."""
    talks = []

    def write(asked, tools):
        talks[:] = asked
        return [messages[sum(part["role"] == "assistant" for part in talk)] for talk in asked]

    policy, [episode], completions = ToolPolicy(task, write, **options), task.start([name]), []
    while not episode.done:
        completions += policy(task.rows_of([episode]))
        [episode], _, _ = task.advance([episode], completions[-1:])
    return completions, talks[0][2:]


def calls(*functions):
    made = [{"type": "function", "function": dict(zip(("name", "arguments"), each, strict=True))} for each in functions]
    return {"role": "assistant", "content": "", "tool_calls": made}


DONE = {"role": "assistant", "content": "done"}


def test_the_calls_of_a_message_are_turns_one_after_another(refine, known_trl):
    both = calls(("search", {"query": "blue lamp"}), ("search", {"query": "red chair"}))
    completions, talk = turns_of(refine, [both, DONE])
    assert completions == ["blue lamp", "red chair", STOP]
    assert [part["content"] for part in talk[1:3]] == ["1. blue lamp\n2. red lamp", "1. red chair\n2. red lamp"]
    four = calls(*[("search", {"query": word}) for word in ("lamp", "chair", "rug", "desk")])
    assert turns_of(refine, [four])[0] == ["lamp", "chair", "rug"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("get_reward", {}), "Tool get_reward not found."),
        (("search", {"text": "lamp"}), "unexpected keyword argument 'text'"),
        (("search", {}), "missing 1 required positional argument"),
        (("search", {"query": 5}), "query is a text, not int"),
        (("search", "lamp"), "must be a mapping, not str"),
    ],
)
def test_a_call_that_fails_is_answered_and_costs_no_turn(refine, known_trl, wrong, says):
    completions, talk = turns_of(refine, [calls(wrong), calls(("search", {"query": "rug"}), wrong), DONE])
    assert completions == ["rug", STOP]
    assert [part["role"] for part in talk] == ["assistant", "tool", "assistant", "tool", "tool", "assistant"]
    for answer in (talk[1], talk[4]):
        assert answer["content"].startswith("{'error': ")
        assert says in answer["content"]


def test_a_call_of_another_type_is_answered(refine, known_trl):
    odd = {"role": "assistant", "content": "", "tool_calls": [{"type": "code", "name": "python"}]}
    completions, talk = turns_of(refine, [odd, DONE])
    assert completions == [THINK, STOP]
    assert talk[1] == {"role": "tool", "name": "python", "content": "{'error': 'Unsupported tool call type: code'}"}


def test_calls_that_fail_for_ever_come_to_an_end(refine, known_trl):
    fails = calls(("lookup", {}))
    assert turns_of(refine, [fails] * 11) == ([THINK, STOP], turns_of(refine, [fails] * 11)[1])
    with pytest.raises(IndexError):
        turns_of(refine, [fails] * 10)
    search = calls(("search", {"query": "rug"}))
    assert turns_of(refine, [fails, search], iterations=2)[0] == ["rug", STOP]
    assert turns_of(refine, [search] * 3, iterations=4)[0] == ["rug"] * 3
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ToolPolicy(refine, lambda talks, tools: [], iterations=0)


def test_requests_that_wait_are_not_asked_again(refine, known_trl):
    asked = []

    def write(talks, tools):
        asked.append(len(talks))
        both = calls(("search", {"query": "lamp"}), ("search", {"query": "rug"}))
        return [both if "write" in talk[1]["content"].partition("\n\n")[0] else call("desk") for talk in talks]

    policy = ToolPolicy(refine, write)
    assert evaluate(refine, policy, progress=False).turns.tolist() == [3, 3, 3]
    assert asked == [3, 2, 3]


@pytest.mark.parametrize(
    "script",
    [
        [DONE],
        [calls(("search", {"query": ""})), DONE],
        [calls(("search", {"query": "lamp"})), DONE],
        [calls(("search", {"query": "lamp"}), ("search", {"query": ""}), ("search", {"query": "rug"}))],
    ],
    ids=["never", "empty", "once", "thrice"],
)
def test_shares_mean_the_same_in_training_and_evaluation(refine, known_trl, script):
    def write(talks, tools):
        return [script[sum(part["role"] == "assistant" for part in talk)] for talk in talks]

    evaluation = evaluate(refine, ToolPolicy(refine, write), requests=1, progress=False)
    environment, log = environment_factory(refine)(), Log()
    environment.reset(request_id=evaluation.request_ids[0])
    for asked in script[0].get("tool_calls", ()):
        environment.search(**asked["function"]["arguments"])
    log_episodes([environment], log_metric=log.metric)
    assert log.metrics["parse_ok"] == evaluation.parse_ok[0]
    assert log.metrics["clipped"] == evaluation.clipped[0]
    assert len(environment.turns) == len(environment.completions) == evaluation.turns[0]


def test_a_search_for_the_word_that_stops_is_a_search(refine, known_trl):
    environment, log = environment_factory(refine)(), Log()
    environment.reset(request_id="q1")
    environment.search("<stop>")  # nothing to stop yet, so that the task takes it for a query
    log_episodes([environment], log_metric=log.metric)
    assert (log.metrics["searches"], log.metrics["scored"], log.metrics["parse_ok"]) == (1.0, 1.0, 1.0)


def test_a_recommender_that_fails_stops_the_evaluation(dataset, overlap, known_trl):
    task = rec_gym.Task(dataset, Failing(overlap), reward="ndcg@10", turns=3)
    with pytest.raises(RecommenderError, match="the server is down"):
        turns_of(task, [call("crash"), DONE])


def test_one_policy_fits_all_splits(refine, known_trl):
    policy = ToolPolicy(refine.replace(split="all"), lambda talks, tools: [call("rug") for _ in talks])
    turns = {split: evaluate(refine.replace(split=split), policy, progress=False).turns for split in ("train", "val")}
    assert {split: found.tolist() for split, found in turns.items()} == {"train": [3, 3, 3], "val": [3]}


def test_a_request_is_played_once(refine, known_trl):
    policy = ToolPolicy(refine, lambda talks, tools: [call("desk") for _ in talks])
    with pytest.raises(ValueError, match="samples=1"):
        evaluate(refine, policy, samples=2, progress=False)
    once = refine.replace(turns=1)
    silent = ToolPolicy(once, lambda talks, tools: [message("no")[0] for _ in talks])
    for _ in range(2):
        assert silent(list(once.rows())) == [THINK] * 3
