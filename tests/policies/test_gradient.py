"""Advantages and the softmax are those of their definitions."""

import numpy as np
import scipy.special

from rec_gym.policies.gradient import advantages_of, softmax


def test_advantages_are_deviations_from_the_mean_of_the_group():
    rewards = np.random.default_rng(0).random(12)
    rewards[4:8] = 0.5  # a group whose rewards are all equal
    advantages, deviations = advantages_of(rewards, 3, damping=0.1)
    for group in range(3):
        own = rewards[group * 4 : group * 4 + 4].tolist()
        mean = sum(own) / 4
        deviation = (sum((reward - mean) ** 2 for reward in own) / 4) ** 0.5
        np.testing.assert_allclose(advantages[group * 4 : group * 4 + 4], [(r - mean) / (deviation + 0.1) for r in own])
        np.testing.assert_allclose(deviations[group], deviation, atol=1e-15)
    assert not advantages[4:8].any()


def test_softmax_is_that_of_scipy_and_an_impossible_choice_has_no_chance():
    logits = np.random.default_rng(1).normal(0, 400, (3, 4, 5))
    logits[:, :, 2] = -np.inf
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits, axis=-1))
    assert not softmax(logits)[:, :, 2].any()
