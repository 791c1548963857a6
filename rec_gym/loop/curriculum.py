"""Curricula: how hard the next request is to be. Small values without state of their own, for a training loop.

Both decide about one number, such as the `difficulty` of a `degraded` recommender.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rec_gym.draws import share

ZEROSEARCH_BASE = 4.0


@dataclass(frozen=True)
class Clock:
    """Difficulty by the step alone, as in ZeroSearch: it rises slowly at first and fast at the end.

    At step t of T it is `start + (base^(t/T) - 1) / (base - 1) * (end - start)`, with base 4: the probability of noisy
    results in ZeroSearch (Sun et al. 2025, https://arxiv.org/abs/2505.04588), which goes from 0 to 0.5.

    Args:
        steps: T, the length of the training.
        start: value at step 0.
        end: value at step T and later.
        base: of the exponential, > 0; 1 for a straight line.

    Raises:
        ValueError: `steps` is below 1, or `base` not above 0.
    """

    steps: int
    start: float = 0.0
    end: float = 0.5
    base: float = ZEROSEARCH_BASE

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps, the length of the training, must be at least 1, not {self.steps}")
        if not self.base > 0:
            raise ValueError(f"base must be above 0, not {self.base}")

    def value(self, step: int) -> float:
        """The value at a step, from `start` to `end`."""
        passed = min(max(step, 0) / self.steps, 1.0)
        risen = passed if self.base == 1 else (self.base**passed - 1) / (self.base - 1)
        return self.start + risen * (self.end - self.start)

    def difficulty(self, step: int) -> int:
        """The value as a whole percentage, for `degraded`."""
        return round(100 * self.value(step))


@dataclass(frozen=True)
class Window:
    """Difficulties from `low` to `high`, moved up when the hardest of them is mastered.

    Requests are drawn evenly from the window. Once at least `share` of the last `rollouts` rollouts at `high` passed, the
    window moves up by `step`, and rollouts are counted from there. At most `width` is between `low` and `high`.
    The rule is that of EcomRLVE (90% of 32 rollouts, width 5).

    Args:
        high: the hardest difficulty.
        width: the window goes from `high - width`, at least `least`, to `high`.
        step: by how much it moves.
        least: the easiest difficulty of all.
        most: the hardest difficulty of all.
        rollouts: how many at `high` decide.
        share: the share of them that must pass.
        recent: whether the last rollouts at `high` passed.

    Raises:
        ValueError: the numbers do not fit together; the message says which.
    """

    high: int = 0
    width: int = 5
    step: int = 1
    least: int = 0
    most: int = 100
    rollouts: int = 32
    share: float = 0.9
    recent: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.least <= self.high <= self.most:
            raise ValueError(f"high must lie between least and most, {self.least} and {self.most}, not {self.high}")
        if self.width < 0 or self.step < 1 or self.rollouts < 1:
            raise ValueError("width must be at least 0, and step and rollouts at least 1")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")

    @property
    def low(self) -> int:
        """The easiest difficulty in the window."""
        return max(self.least, self.high - self.width)

    def difficulty(self, *key: object) -> int:
        """A difficulty from the window, each as often, as a function of the key: such as seed, step and request."""
        return self.low + int(share(*key) * (self.high - self.low + 1))

    def after(self, difficulty: int, passed: Iterable[bool]) -> Window:
        """The window after rollouts.

        Args:
            difficulty: at which they were; only those at `high` count.
            passed: whether each reached what counts as success.
        """
        window = self
        for one in passed if difficulty == self.high else ():
            recent = (*window.recent, bool(one))[-window.rollouts :]
            window = replace(window, recent=recent)
            if len(recent) == window.rollouts and sum(recent) >= window.share * window.rollouts:
                return replace(window, high=min(window.high + window.step, window.most), recent=())
        return window
