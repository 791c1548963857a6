"""Two rewards in turns: what the auxiliary one knows, and that nothing but the reward differs between the arms."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from rec_gym import make_task
from rec_gym.policies.learner import load_policy
from rec_gym.words import words

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.append(str(EXAMPLES))  # examples import their neighbours

import alternate_tasks  # noqa: E402
from alternate_tasks import SETTINGS, Arguments, Naming, main, train  # noqa: E402

TASK_ID = Arguments.id


@pytest.fixture(scope="module")
def task():
    return make_task(TASK_ID, items=600)


@pytest.fixture(scope="module")
def naming(task):
    return Naming(task)


class Recorder:
    """An environment that remembers which requests it asked."""

    def __init__(self, **settings):
        self.env = gym.make_vec(TASK_ID, items=600, **SETTINGS, **settings)
        self.unwrapped = self.env.unwrapped
        self.asked = []

    def reset(self, seed):
        observations, infos = self.env.reset(seed=seed)
        self.asked.append(infos["request_id"].tolist())
        return observations, infos

    def step(self, completions):
        *result, infos = self.env.step(completions)
        self.asked.append(infos["request_id"].tolist())
        return *result, infos


def run(every, steps=4, prompts=3, group=4):
    env = Recorder(num_envs=prompts * group, group_size=group)
    curve = []
    arguments = Arguments(
        Path("unused"), auxiliary_every=every, steps=steps, prompts=prompts, group_size=group, val_every=0
    )
    train(arguments, env, curve.append)
    return env.asked, curve


def test_the_answer_earns_everything_and_silence_nothing(task, naming):
    ids = task.request_ids
    assert naming.score(ids, [naming.answers[name] for name in ids]).tolist() == [1.0] * len(ids)
    assert naming.score(ids, [""] * len(ids)).tolist() == [0.0] * len(ids)
    twice = [f"{naming.answers[name]} {naming.answers[name].upper()}" for name in ids]
    assert naming.score(ids, twice).tolist() == [1.0] * len(ids)


def test_the_reward_is_f1(naming, task):
    name = next(name for name in task.request_ids if len(naming.stems(naming.answers[name])) == 3)
    right = words(naming.answers[name])
    values = naming.score([name] * 4, [right[0], f"{right[0]} {right[1]}", f"{right[0]} xyz", "xyz"])
    np.testing.assert_allclose(values, [2 / 4, 4 / 5, 2 / 5, 0])


def test_words_count_by_their_stems(task, naming):
    name = next(name for name in task.request_ids if words(naming.answers[name])[0].endswith("s"))
    singular = naming.answers[name].lower().replace(words(naming.answers[name])[0], words(naming.answers[name])[0][:-1])
    assert naming.score([name], [singular]).tolist() == [1.0]


def test_answers_hold_what_was_asked(task, naming):
    dataset = task.dataset
    checked = 0
    for name in task.request_ids:
        request = dataset.request(name)
        answer = set(words(naming.answers[name]))
        exact = [item for item, gain in request.gains.items() if gain == 1]
        types = dataset.catalog.values("type", dataset.catalog.positions(exact))
        assert set(words(types[0])) <= answer
        if not any(column == "price" for column, _, _ in request.constraints):  # a budget is no word of the catalogue
            assert set(words(request.oracle)) <= answer
            checked += 1
    assert checked > 50


def test_answers_are_made_for_train_only(task):
    with pytest.raises(ValueError, match="train requests only"):
        Naming(task.replace(split="test"))


def test_both_arms_see_the_same_requests_in_the_same_order():
    (alone, alone_curve), (turns, turns_curve) = run(0), run(2)
    assert alone == turns
    assert len(alone_curve) == len(turns_curve) == 4
    assert alone_curve[0]["reward"] == turns_curve[0]["reward"]
    assert "naming" not in alone_curve[0]


@pytest.mark.parametrize(
    ("every", "paid"), [(0, [False] * 4), (1, [True] * 4), (2, [False, True] * 2), (3, [False, False, True, False])]
)
def test_the_schedule_says_which_reward_trains(every, paid, monkeypatch):
    learnt = []
    plain = alternate_tasks.WordPolicy.learn

    def learn(self, texts, drawn, rewards):
        learnt.append(float(rewards.mean()))
        return plain(self, texts, drawn, rewards)

    monkeypatch.setattr(alternate_tasks.WordPolicy, "learn", learn)
    _, curve = run(every)
    assert [step["auxiliary"] for step in curve] == paid
    assert learnt == [step["naming" if step["auxiliary"] else "reward"] for step in curve]


@pytest.mark.slow
def test_the_policy_learns_to_name_what_is_asked():
    _, curve = run(1, steps=120, prompts=32, group=16)
    named = [step["naming"] for step in curve]
    assert np.mean(named[-20:]) > np.mean(named[:20]) + 0.03


def test_a_schedule_is_no_negative_number(tmp_path):
    with pytest.raises(SystemExit, match="auxiliary-every"):
        main(Arguments(tmp_path / "run", auxiliary_every=-1))
    assert not (tmp_path / "run").exists()


def test_words_are_drawn_in_one_turn(tmp_path):
    with pytest.raises(SystemExit, match="turns=1"):
        main(Arguments(tmp_path / "run", set=("turns=3", "items=600"), prompts=2, group_size=2))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("every", [0, 2])
def test_a_run_leaves_what_it_says(tmp_path, every):
    command = [sys.executable, str(EXAMPLES / "alternate_tasks.py"), "--auxiliary-every", str(every), "--steps", "3"]
    command += ["--prompts", "4", "--group-size", "4", "--seed", "5", "--output", "out"]
    command += ["--set", "items=600"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [step["auxiliary"] for step in run["curve"]] == [False, every == 2, False]
    assert (run["arguments"]["seed"], run["arguments"]["auxiliary_every"]) == (5, every)
    assert {"id", "card_sha256", "version", "machine"} <= run.keys()
    for split in Arguments.test_splits:
        saved = json.loads((tmp_path / "out" / f"evaluation-{split}.json").read_text())
        assert saved["split"] == split
        assert [policy["policy"] for policy in saved["policies"]] == ["raw", "trained"]
    kept = load_policy(str(tmp_path / "out" / "policy.npz"))
    task = make_task(TASK_ID, items=600, action="append", split="test", reward="ndcg@10")
    assert task.score(task.request_ids, kept(list(task.rows()))).rewards.tolist() == saved_values(tmp_path, "test")


def saved_values(folder, split):
    saved = json.loads((folder / "out" / f"evaluation-{split}.json").read_text())
    return saved["policies"][1]["requests"]["ndcg@10"]
