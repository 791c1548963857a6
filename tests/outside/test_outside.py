"""A package outside of this one brings everything that a card names; it is used in fresh processes, found by PYTHONPATH."""

from pathlib import Path

CARD = Path(__file__).parent / "rec_gym_outside" / "card.toml"

TEN_STEPS = """
import gymnasium as gym
import rec_gym

ids = rec_gym.register_card({card!r})
envs = gym.make_vec("Outside-v0", num_envs=4)
observations, _ = envs.reset(seed=0)
total = tags = 0
for step in range(10):
    words = ["#chair", "#lamp #red", "nothing", "#rug #desk"]
    observations, rewards, done, _, infos = envs.step(words)
    total += rewards.sum()
    tags += infos["final_info"]["text/tags"].sum()
    assert rewards[2] == 0 and done.all()
task = envs.unwrapped.task
assert rec_gym.make_task("OutsideSwapped-v0").action.swap
print(ids, round(float(total), 6), int(tags), task.action.name, type(task.recommender).__name__, task.recommender.letters)
"""

CHECKS = """
import rec_gym
from rec_gym.testing import *

task = rec_gym.make_task("Outside-v0", card={card!r})
check_card({card!r})
check_loader("rec_gym_outside.data:load", requests=40)
check_recommender(task.recommender, task.dataset.catalog)
for measure in task.measures:
    check_measure(measure)
for swap in (False, True):
    check_action_format({{"name": "rec_gym_outside.agents:Hashtags", "swap": swap}})
for policy in ("tag_all", "TagWord", "TagWord:red"):
    check_policy("rec_gym_outside.agents:" + policy, task)
print("all right")
"""


def test_ten_steps_of_a_vector_environment(run):
    first, second = (run("-c", TEN_STEPS.format(card=str(CARD))) for _ in range(2))
    assert first == second  # requests are drawn from the seed
    ids, rest = first.strip().rsplit("]", 1)
    assert ids == "['Outside-v0', 'OutsideSwapped-v0'"
    total, tags, *names = rest.split()
    assert float(total) > 0
    assert int(tags) == 10 * 5
    assert names == ["Hashtags", "SharedLetters", "3"]


def test_all_of_it_keeps_the_promises_of_its_kind(run):
    assert run("-c", CHECKS.format(card=str(CARD))) == "all right\n"
