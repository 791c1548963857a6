"""Which request comes next: a function of (seed, group, count), so that a run resumes from a counter."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class RequestSampler:
    """Deals out the rows of a split in a seeded order that is reshuffled each epoch.

    The draws of `groups` parallel groups are disjoint strides of one sequence: together they read a whole epoch before
    any row comes again.

    Args:
        size: rows in the split.
        seed: of the order; only `BitGenerator.random_raw` is drawn, so that it is the same in every NumPy version.
        groups: groups that read in parallel.
    """

    size: int
    seed: int
    groups: int = 1
    _orders: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def at(self, group: int, count: int) -> int:
        """The place in the split of the `count`-th request (from 0) of `group`."""
        epoch, place = divmod(count * self.groups + group, self.size)
        return int(self._order(epoch)[place])

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            if len(self._orders) > 1:  # groups stand in one or two neighbouring epochs
                self._orders.pop(min(self._orders))
            keys = np.random.PCG64(np.random.SeedSequence([self.seed, epoch])).random_raw(self.size)
            self._orders[epoch] = np.argsort(keys, kind="stable")
        return self._orders[epoch]
