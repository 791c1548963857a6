"""What is paid: a measure, a transform and a term."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import rec_gym


@dataclass(frozen=True)
class HalfLife(rec_gym.RankMeasure):
    """A relevant item counts half as much for every `places` places that it is further down; the best one counts."""

    places: float

    def __call__(self, judged, cutoff):
        hits = judged.hits(cutoff)
        best = np.zeros(len(judged.ranks))
        values = 0.5 ** (judged.ranks.values[hits] / self.places)
        np.maximum.at(best, judged.ranks.row_of[hits], values)
        return best


@dataclass(frozen=True)
class Curve(rec_gym.Transform):
    """The reward to a power, which makes the top places dearer."""

    power: float = 2.0

    def __call__(self, reward, values):
        return reward**self.power

    def bounds(self, low, high):
        return low**self.power, high**self.power


def new_words(written: Sequence[str], requests: Sequence[str], at_most: int = 3) -> np.ndarray:
    """The share of `at_most` words that the request does not hold."""
    counts = [len(set(w.split()) - set(r.split())) for w, r in zip(written, requests, strict=True)]
    return np.minimum(np.array(counts, np.float64) / at_most, 1.0)
