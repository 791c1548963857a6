"""Every registered id with embedded data keeps the promises of an environment; a new id is checked without a new line."""

import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym.env import RecommenderEnv
from rec_gym.evaluation import evaluate
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.policies import make_policy
from rec_gym.vector_env import RecommenderVectorEnv

FILTERED = '<answer>{"query": "lamp", "filters": {"price": {"<=": 50}, "size": "A3", "x": NaN}}</answer>'
WORDS = [
    FILTERED,
    "a lamp for the desk",
    "warm blue wool",
    "<stop>",
    "",
    "<think>x</think>bag",
    "steel " * 30,
    "[3] > [1]\n[99]",
]


def run(env, texts, request_ids=None):
    """All observations, rewards and infos of some steps; a single environment starts over when an episode ends."""
    seen = [env.reset(seed=7, options=None if request_ids is None else {"request_id": request_ids[0]})]
    for text in texts:
        step = env.step(text)
        seen.append(step)
        if step[2]:
            seen.append(env.reset())
    return seen


def test_check_env_finds_nothing(embedded_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(embedded_id, render_mode="ansi").unwrapped)


def test_the_same_seed_gives_the_same_run(embedded_id):
    first, second = (run(gym.make(embedded_id), WORDS) for _ in range(2))
    assert first == second
    env = gym.make(embedded_id)
    assert env.reset(seed=1)[1] != env.reset(seed=2)[1]


def test_vector_equals_single(embedded_id):
    task = rec_gym.make_task(embedded_id)
    ids = task.request_ids[: len(WORDS)]
    vector = gym.make_vec(embedded_id, num_envs=len(WORDS), autoreset_mode="disabled")
    observations, _ = vector.reset(seed=1, options={"request_ids": ids})
    singles = [gym.make(embedded_id) for _ in ids]
    for env, name, observation in zip(singles, ids, observations, strict=True):
        assert env.reset(seed=1, options={"request_id": name})[0] == observation
    for _ in range(task.turns.limit):
        running = [i for i, episode in enumerate(vector.unwrapped._episodes) if not episode.done]
        if len(running) < len(ids):
            break  # a stop: members have ended at different times
        observations, rewards, done, _, infos = vector.step(WORDS)
        for i, env in enumerate(singles):
            observation, reward, terminated, _, info = env.step(WORDS[i])
            assert (observation, reward, terminated) == (observations[i], rewards[i], done[i])
            assert info == {key: infos[key][i] for key in info}
            assert all(infos[f"_{key}"][i] for key in info)


def test_infos_have_constant_keys_and_plain_values(embedded_id):
    env = gym.make(embedded_id)
    steps = [entry[-1] for entry in run(env, WORDS) if len(entry) == 5]
    assert len({tuple(info) for info in steps}) == 1
    numbers, flags = {"turn"}, {"parse_ok", "clipped", "scored"}
    for info in steps:
        for key, value in info.items():
            expected = int if key in numbers else bool if key in flags else float if "/" in key else str
            assert type(value) is expected, key
            assert not isinstance(value, float) or np.isfinite(value)


def test_rewards_stay_in_the_range_that_is_promised(embedded_id):
    env = gym.make_vec(embedded_id, num_envs=4)
    low, high = env.unwrapped.task.reward_range
    env.reset(seed=0)
    for text in WORDS * 2:
        rewards = env.step([text] * 4)[1]
        assert ((low <= rewards) & (rewards <= high)).all()


def test_environments_pickle_and_go_on_where_they_were(embedded_id):
    for env in (gym.make(embedded_id).unwrapped, gym.make_vec(embedded_id, num_envs=2).unwrapped):
        env.reset(seed=3)
        again = pickle.loads(pickle.dumps(env))
        action = "a warm lamp" if isinstance(env, RecommenderEnv) else ["a warm lamp", "wool"]
        first, second = env.step(action), again.step(action)
        assert first[0] == second[0]
        np.testing.assert_array_equal(first[1], second[1])


def test_specs_survive_json(embedded_id):
    for env in (gym.make(embedded_id, split="val"), gym.make_vec(embedded_id, num_envs=2, split="val", group_size=2)):
        spec = EnvSpec.from_json(env.spec.to_json())
        json.loads(env.spec.to_json())
        made = gym.make(spec) if "num_envs" not in spec.kwargs else gym.make_vec(spec)
        assert made.unwrapped.task.split == "val"


def test_importing_by_the_id_works(embedded_id):
    assert isinstance(gym.make(f"rec_gym:{embedded_id}").unwrapped, RecommenderEnv)


def test_oracle_beats_raw_where_there_is_one(embedded_id):
    task = rec_gym.make_task(embedded_id, split="val", turns=1)
    if not task.dataset.has_oracle:
        pytest.skip("this data set knows no oracle query")
    name = str(task.reward.measure)
    floor = "raw" if task.candidates is None else "given-order"
    means = {p: evaluate(task, make_policy(p, task), measures=[name]).values(name).mean() for p in (floor, "oracle")}
    assert means["oracle"] > means[floor] + 0.3


def test_one_index_a_process(embedded_id):
    first, second = (gym.make(embedded_id).unwrapped.task for _ in range(2))
    assert first.recommender is second.recommender
    assert first.dataset is second.dataset


def test_groups_share_their_request_and_read_an_epoch_before_any_comes_again(embedded_id):
    env = gym.make_vec(embedded_id, num_envs=8, group_size=4, turns=1)
    _, infos = env.reset(seed=5)
    seen = []
    for _ in range(3):
        groups = infos["request_id"].reshape(2, 4)
        assert (groups == groups[:, :1]).all()
        seen += groups[:, 0].tolist()
        infos = env.step(["lamp"] * 8)[-1]
    assert len(set(seen)) == len(seen)


def test_same_step_reset_describes_the_ended_episode_in_final_info(embedded_id):
    env = gym.make_vec(embedded_id, num_envs=3, turns=1)
    _, before = env.reset(seed=5)
    orders, compose = env.unwrapped.task.candidates is not None, env.unwrapped.task.action.compose
    written = ["[2] > [1]", "2, 1"] if orders else [compose("lamp", ""), compose("wool", "")]
    observations, rewards, done, _, infos = env.step([*written, ""])
    assert done.all()
    assert infos["final_info"]["request_id"].tolist() == before["request_id"].tolist()
    assert infos["request_id"].tolist() != before["request_id"].tolist()
    assert infos["turn"].tolist() == [0, 0, 0]
    assert infos["_final_info"].all()
    assert observations == tuple(env.unwrapped.task.observe(env.unwrapped.task.start(infos["request_id"].tolist())))
    understood = "incomplete" if orders else "ok"
    assert infos["final_info"]["parse"].tolist()[:2] == [understood] * 2
    assert infos["final_info"]["parse_ok"].tolist() == [True, True, False]
    assert rewards.dtype == np.float64


# From here on the shells alone: a small task suffices.


@pytest.fixture
def task(dataset, overlap):
    return Task(dataset, overlap, turns=2, measures=["mrr@10"])


def test_next_step_reset_ignores_the_action_after_an_end(task):
    env = RecommenderVectorEnv(task, 2, autoreset_mode="next_step")
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0, options={"request_ids": ["q2", "q1"]})
    env.step(["lamp", "desk"])
    _, _, done, _, _ = env.step(["<stop>", "red chair"])
    assert done.tolist() == [True, True]
    _, rewards, done, _, infos = env.step(["lamp", "red chair"])
    assert rewards.tolist() == [0, 0]
    assert infos["turn"].tolist() == [0, 0]
    assert not infos["_query"].any()
    assert not done.any()


def test_a_failed_step_may_be_tried_again(task):
    env = RecommenderVectorEnv(task.replace(turns=3), 2, autoreset_mode="next_step")
    env.reset(seed=0, options={"request_ids": ["q2", "q1"]})
    env.step(["lamp", "desk"])
    env.step(["<stop>", "rug"])
    working = task.recommender.rank
    task.recommender.rank = lambda *_: 1 / 0
    with pytest.raises(rec_gym.RecommenderError):
        env.step(["ignored", "lamp"])
    task.recommender.rank = working
    _, _, _, _, infos = env.step(["ignored", "lamp"])
    assert infos["_query"].tolist() == [False, True]
    assert infos["turn"].tolist()[0] == 0


def test_members_that_stop_early_start_over_alone(task):
    env = RecommenderVectorEnv(task.replace(turns=3), 2, group_size=2)
    env.reset(seed=0, options={"request_ids": ["q2"]})
    env.step(["lamp", "lamp"])
    _, _, done, _, infos = env.step(["<stop>", "desk"])
    assert done.tolist() == [True, False]
    assert infos["turn"].tolist() == [0, 2]
    assert infos["_query"].tolist() == [False, True]
    assert infos["query"].tolist() == ["", "desk"]
    assert infos["final_info"]["query"].tolist() == ["", ""]
    assert infos["final_info"]["parse"].tolist() == ["stop", ""]
    first = infos["request_id"][0]
    _, _, done, _, infos = env.step(["lamp", "desk"])
    # The member that lagged behind comes to the same next request as its neighbour.
    assert infos["request_id"].tolist() == [first, first]


def test_episodes_make_the_rows_of_the_members(task):
    env = RecommenderVectorEnv(task.replace(observation="prompt"), 2)
    assert env.episodes == ()
    observations, _ = env.reset(options={"request_ids": ["q2", "q1"]})
    for _ in range(2):
        rows = env.task.rows_of(env.episodes)
        assert tuple(row["prompt"] for row in rows) == observations
        assert [row["request_id"] for row in rows] == [episode.request_id for episode in env.episodes]
        observations, *_ = env.step(["red lamp", "red chair"])


def test_disabled_reset_wants_a_mask(task):
    env = RecommenderVectorEnv(task.replace(turns=1), 2, autoreset_mode="disabled")
    env.reset(seed=0)
    env.step(["lamp", "desk"])
    with pytest.raises(RuntimeError, match=r"members \[0, 1\] have ended; reset them"):
        env.step(["lamp", "desk"])
    _, infos = env.reset(options={"reset_mask": np.array([True, False])})
    assert infos["_request_id"].tolist() == [True, False]
    with pytest.raises(ValueError, match="reset_mask must be bool"):
        env.reset(options={"reset_mask": np.array([1, 0])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 3, "group_size": 2}, r"num_envs \(3\) must be a multiple of group_size \(2\)"),
        ({"autoreset_mode": "never"}, "unknown autoreset_mode 'never'; choose from: next_step, same_step, disabled"),
        ({"render_mode": "human"}, "render_mode is 'ansi' or None"),
        ({"num_envs": "4"}, "num_envs must be a whole number, not '4'"),
        ({"num_envs": 4, "group_size": 2.0}, "group_size must be a whole number, not 2.0"),
    ],
)
def test_wrong_arguments_say_the_right_ones(task, arguments, message):
    with pytest.raises(ValueError, match=message):
        RecommenderVectorEnv(task, **arguments)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasiums_autoreset_modes_and_their_values_are_taken(task, mode):
    for spelling in (mode, mode.value, mode.name.lower()):
        env = RecommenderVectorEnv(task, 2, autoreset_mode=spelling)
        assert env.autoreset_mode is env.metadata["autoreset_mode"] is mode


def test_wrong_use_is_an_error(task):
    env = RecommenderEnv(task)
    with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
        env.step("lamp")
    with pytest.raises(ValueError, match="unknown reset option 'request'; did you mean 'request_id'"):
        env.reset(options={"request": "q1"})
    with pytest.raises(
        ValueError, match="reset_mask is for the members of a vector environment; a single one takes request_id"
    ):
        env.reset(options={"reset_mask": np.array([True])})
    with pytest.raises(KeyError, match="unknown request id: 'nope'"):
        env.reset(options={"request_id": "nope"})
    with pytest.raises(ValueError, match="not in split 'train'"):
        env.reset(options={"request_id": "q5"})
    vector = RecommenderVectorEnv(task, 4, group_size=2)
    with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
        vector.step(["lamp"] * 4)
    with pytest.raises(ValueError, match=r"one id per member \(4\) or per group, not 3"):
        vector.reset(options={"request_ids": ["q1", "q2", "q3"]})
    for wrong in ("q1q2", 5):
        with pytest.raises(ValueError, match=f"request_ids is a list of ids, not {wrong!r}"):
            vector.reset(options={"request_ids": wrong})
    with pytest.raises(TypeError, match="request ids are text, not 0"):
        vector.reset(options={"request_ids": ["q1", 0]})
    with pytest.raises(TypeError, match="request ids are text, not 5"):
        env.reset(options={"request_id": 5})
    vector.reset(options={"request_ids": ["q1", "q2"]})
    for wrong in (["lamp"] * 3, "lamp"):
        with pytest.raises(ValueError, match="one text for each of the 4 members"):
            vector.step(wrong)


def test_rendering_marks_the_relevant_items(task):
    env = RecommenderEnv(task.replace(turns=1), render_mode="ansi")
    assert env.render() is None
    env.reset(options={"request_id": "q1"})
    assert "something red to sit on" in env.render()
    assert "must have price <= 50.0" in env.render()
    env.step("red chair")
    text = env.render()
    assert "*   1. red chair  [gain 1]" in text
    assert "ndcg@100: " in text
    assert "reward: " in text
    assert RecommenderEnv(task).render() is None
    vector = RecommenderVectorEnv(task, 2, render_mode="ansi")
    vector.reset(seed=0)
    vector.step(["lamp", ""])
    assert "nothing was ranked" in vector.render()[1]


nasty = st.text(st.characters(exclude_categories=()), max_size=80) | st.sampled_from(
    [
        "\ud800",
        "\0" * 9,
        "{" * 5000,
        '{"query":' * 2000,
        "a" * 1_000_000,
        "lamp " * 200_000,
        "\U0010ffff" * 99,
        "<answer>",
    ]
)


@pytest.mark.parametrize("strict", [False, True])
@given(texts=st.lists(nasty, min_size=2, max_size=2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_an_order(strict, texts):
    env = gym.make_vec("RecR1-CornerShopRerank-BM25-v0", num_envs=2, action={"name": "order", "strict": strict})
    env.reset(seed=0)
    _, rewards, _, _, infos = env.step(texts)
    assert np.isfinite(rewards).all()
    assert all(np.isfinite(v).all() for v in infos["final_info"].values() if v.dtype.kind == "f")


@pytest.mark.parametrize(
    "action", ["plain", "append", "answer", {"name": "answer", "strict": True}, "lines", "titles"], ids=str
)
@given(texts=st.lists(nasty, min_size=2, max_size=2))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_a_step(action, texts):
    env = gym.make_vec("RecR1-CornerShop-BM25-v0", num_envs=2, action=action, measures=["constraints@10"], turns=2)
    env.reset(seed=0)
    for _ in range(2):
        _, rewards, _, _, infos = env.step(texts)
        assert np.isfinite(rewards).all()
        for values in infos["final_info"].values():
            assert values.dtype.kind != "f" or np.isfinite(values).all()
    assert all(isinstance(text, str) for text in env.unwrapped.last_outcome.searched)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_groups_deal_every_request_once_an_epoch(size, groups, seed):
    sampler = RequestSampler(size, seed, groups)
    dealt = [sampler.at(group, count) for count in range(2 * size) for group in range(groups)]
    for epoch in range(len(dealt) // size):
        assert sorted(dealt[epoch * size : (epoch + 1) * size]) == list(range(size))
    # Resuming needs the counter only.
    assert RequestSampler(size, seed, groups).at(groups - 1, size) == sampler.at(groups - 1, size)


def test_orders_differ_between_epochs_and_seeds_and_never_change():
    first, second = ([RequestSampler(10, 0).at(0, n) for n in range(start, start + 10)] for start in (0, 10))
    assert first != second
    assert first != [RequestSampler(10, 1).at(0, n) for n in range(10)]
    # Written down: a resumed run must read the same order in every version of NumPy.
    assert first == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    assert second == [7, 4, 5, 1, 9, 8, 6, 2, 0, 3]
