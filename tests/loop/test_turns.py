"""Episodes of several turns: what a step may pay, and their settings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.columns import Ragged
from rec_gym.loop.episode import Episode
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.turns import TURN_REWARDS, Turns

rewards = st.floats(-1e3, 1e3)


def outcome(reward):
    """An outcome of which nothing but the reward is looked at."""
    flags = np.ones(1, bool)
    return Outcomes(
        ["q"], ["a"], ["ok"], flags, flags, flags, np.array([reward]), {}, {}, {}, Ragged.from_rows([[]], np.int32)
    )


def play(turns, one_turn, stop):
    """What each step of an episode pays; the last completion is a stop if `stop`."""
    episodes, paid = [Episode("q")], []
    for place, reward in enumerate(one_turn):
        episodes, step = turns.after(episodes, outcome(reward), [stop and place == len(one_turn) - 1 > 0])
        paid.append(step[0])
    return paid


@given(
    st.sampled_from(TURN_REWARDS),
    st.integers(1, 4),
    st.tuples(rewards, rewards).map(sorted),
    st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=4, max_size=4),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_step_pays_outside_the_range(turn_reward, limit, one_turn, shares, stop):
    turns = Turns(limit, turn_reward, feedback_k=0)
    low, high = one_turn
    paid = play(turns, [min(max(low + share * (high - low), low), high) for share in shares[:limit]], stop)
    least, greatest = turns.reward_range((low, high))
    assert all(least <= reward <= greatest for reward in paid)


@pytest.mark.parametrize(
    ("turn_reward", "expected"), [("gain", (-1.0, 1.1 - -1.0)), ("last", (-1.0, 1.1)), ("best", (-1.0, 1.1))]
)
def test_the_ends_of_a_range_are_paid(turn_reward, expected):
    turns = Turns(2, turn_reward, feedback_k=0)
    paid = [
        reward for pair in [(-1.0, -1.0), (-1.0, 1.1), (1.1, -1.0), (1.1, 1.1)] for reward in play(turns, pair, False)
    ]
    assert turns.reward_range((-1.0, 1.1)) == (min(paid), max(paid)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "turns must be at least 1"),
        ({"limit": True}, "limit of turns must be a whole number, not True"),
        ({"feedback_k": 2.5}, "feedback_k of turns must be a whole number, not 2.5"),
        ({"reward": "lst"}, "unknown turn_reward 'lst'; did you mean 'last'"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Turns(**arguments)
