"""What the learning policies share: the advantages of groups, a softmax, and the optimiser."""

from __future__ import annotations

import numpy as np


def advantages_of(rewards: np.ndarray, groups: int, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """How far each completion's reward is above its group's mean, in deviations of the group, as GRPO takes it.

    Args:
        rewards: float64 [groups * group_size], group after group.
        groups: how many there are.
        damping: added to a group's deviation before it divides.

    Returns:
        The advantages float64 [groups * group_size], which add up to 0 in each group, and the deviations [groups].
    """
    table = rewards.reshape(groups, -1)
    deviation = table.std(axis=1)
    advantages = (table - table.mean(axis=1, keepdims=True)) / (deviation[:, np.newaxis] + damping)
    return advantages.ravel(), deviation


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis; a logit of minus infinity has none."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class Adam:
    """Adam (Kingma and Ba 2015) that moves the touched rows only; the others keep their moments.

    Args:
        weights: float32 [rows, columns], which are changed in place.
        rate: the learning rate.
    """

    def __init__(self, weights: np.ndarray, rate: float) -> None:
        self.weights, self.rate = weights, rate
        self.first, self.second = np.zeros_like(weights), np.zeros_like(weights)
        self.steps = np.zeros(len(weights), np.float32)

    def ascend(self, rows: np.ndarray, gradient: np.ndarray) -> None:
        """Moves the named rows up the gradient, which is used up."""
        self.steps[rows] += 1
        age = self.steps[rows, None]
        first, second = self.first[rows], self.second[rows]
        first += 0.1 * (gradient - first)
        np.square(gradient, out=gradient)
        second += 0.001 * (gradient - second)
        self.first[rows], self.second[rows] = first, second
        # In place from here on: the step costs as much as the scoring, and most of it is memory.
        second /= 1 - 0.999**age
        np.sqrt(second, out=second)
        second += 1e-8
        first *= self.rate / (1 - 0.9**age)
        first /= second
        self.weights[rows] += first
