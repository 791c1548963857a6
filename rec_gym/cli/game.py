"""The game behind `rec-gym play`: a person types what a policy would write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import numpy as np

from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.ranking import NOT_RANKED
from rec_gym.rendering import render_outcome, render_request

PROMPT = "query> "
_MOVES_SHOWN = 10
_HELP = "Type {what}, or :next for another request, :oracle for a hint, :quit to end."


def read_lines() -> Iterator[str]:
    """Lines that a person types, or those of a pipe; ends with the input."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):
        import readline  # noqa: F401  (line editing and history for input())
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            return


class Game:
    """Queries on one request after the other; each query is scored as a turn of its own.

    Args:
        task: what is played.
        top: items of a ranking that are shown.
        seed: of the order of the requests.
        write: receives what the person sees.
    """

    def __init__(self, task: Task, *, top: int, seed: int, write: Callable[[str], None]) -> None:
        self.task, self.top, self.write = task, top, write
        self._help = _HELP.format(what="a query" if task.candidates is None else "an order such as 3 > 1 > 2")
        self._order = RequestSampler(len(task), seed)
        self._count = 0
        self._request_id = ""
        self._before: np.ndarray | None = None

    def play(self, lines: Iterable[str], request_id: str = "") -> None:
        """Plays until the lines end or say so.

        Raises:
            KeyError: there is no request `request_id`.
            ValueError: it is not in the split.
        """
        if request_id:
            self.task.start([request_id])  # checks the id
        self.write(self._help)
        self._begin(request_id or self._next_id())
        for line in lines:
            text = line.strip()
            if text == ":quit":
                return
            if text == ":next":
                self._begin(self._next_id())
            elif text == ":oracle":
                self.write(self.task.dataset.request(self._request_id).oracle or "No oracle query is known here.")
            elif text.startswith(":"):
                self.write(self._help if text == ":help" else f"There is no command {text}. {self._help}")
            elif text:
                self._ask(text)

    def _next_id(self) -> str:
        self._count += 1
        return self.task.request_ids[self._order.at(0, self._count - 1)]

    def _begin(self, request_id: str) -> None:
        self._request_id, self._before = request_id, None
        self.write(f"\n{render_request(self.task, request_id)}")

    def _ask(self, query: str) -> None:
        text = self.task.rows_of(self.task.start([self._request_id]))[0]["text"]
        outcomes = self.task.score([self._request_id], [self.task.action.compose(query, text)])
        self.write(f"\n{render_outcome(self.task, outcomes, 0, self.top)}")
        ranks = outcomes.ranks[0]
        if self._before is not None:
            self.write("\n".join(self._moves(self._before, ranks, outcomes)))
        self._before = ranks

    def _moves(self, before: np.ndarray, after: np.ndarray, outcomes: Outcomes) -> list[str]:
        """What became of the relevant items since the last query, the best ranked first."""
        row = self.task.dataset.index.positions(outcomes.request_ids)[0]
        titles = self.task.dataset.catalog.titles(self.task.dataset.relevant[row])
        moved = np.flatnonzero(before != after)
        if not moved.size:
            return ["No relevant item moved."]
        best = np.where(after == NOT_RANKED, np.iinfo(after.dtype).max, after)
        moved = moved[np.argsort(best[moved], kind="stable")]
        shown = [f"  {_move(int(before[i]), int(after[i])):<18} {titles[i]}" for i in moved[:_MOVES_SHOWN]]
        more = [f"  and {len(moved) - _MOVES_SHOWN} more"] if len(moved) > _MOVES_SHOWN else []
        return ["Relevant items that moved:", *shown, *more]


def _move(before: int, after: int) -> str:
    if before == NOT_RANKED:
        return f"in, at {after + 1}"
    if after == NOT_RANKED:
        return f"out, was {before + 1}"
    return f"{'up' if after < before else 'down'}, {before + 1} to {after + 1}"
