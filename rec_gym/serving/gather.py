"""`Gather`: one task for many callers that score one completion at a time."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from rec_gym.loop.episode import Episode
from rec_gym.loop.task import Task
from rec_gym.serving.batcher import Batcher
from rec_gym.serving.outcome import Outcome, Turn, split_outcomes
from rec_gym.tables import checked

WAIT_MS, MAX_BATCH, THREADS, SLOW_MS = 2.0, 1024, 4, 50.0


class Gather:
    """Gathers calls with one completion each into calls of `Task.score`, and those of episodes into calls of `Task.advance`.

    Trainers score one sample at a time, from threads or coroutines. A batch costs much less per completion, so what is
    asked at the same time is scored in one call. Each caller gets the outcome of its own completion, equal to what
    `Task.score` pays for it alone.

    A completion or a request that is invalid is an error of its own caller only; if the recommender fails, everybody in
    the batch gets the error. A caller whose coroutine is cancelled drops its completion, and nobody else's. While one call
    is slow, others go on in further threads.

    Thread-safe, and serves several event loops at once. Locks and threads are made when they are first needed: a pickled
    gatherer, or one in a process that was forked, starts with its own. The threads end when it is closed or forgotten, or
    with the interpreter.

    Args:
        task: what scores.
        wait_ms: milliseconds that a completion waits for others while nothing is scored, at most. Where callers come one
            at a time, none waits.
        max_batch: completions per call, at most.
        threads: calls at a time, at most.
        slow_ms: milliseconds after which a call counts as slow; until then what arrives waits for its end, and afterwards is
            scored beside it.

    Attributes:
        task: what scores.

    Raises:
        TypeError: `task` is not a task.
        ValueError: a number is of the wrong type or out of range.
    """

    def __init__(
        self,
        task: Task,
        *,
        wait_ms: float = WAIT_MS,
        max_batch: int = MAX_BATCH,
        threads: int = THREADS,
        slow_ms: float = SLOW_MS,
    ) -> None:
        if not isinstance(task, Task):
            raise TypeError(f"a gatherer needs a task, such as rec_gym.make_task(ID), not {type(task).__name__}")
        limits: dict[str, Any] = {"wait_ms": wait_ms, "max_batch": max_batch, "threads": threads, "slow_ms": slow_ms}
        for name, value in limits.items():
            least = 1 if name in ("max_batch", "threads") else 0
            if checked(value, int if least else float, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {value!r}")
        self.task, self._limits = task, limits
        self._scores = Batcher[tuple[str, str], Outcome](self._score, **limits, name=repr(self))
        self._starts = Batcher[str, tuple[Episode, str]](self._start, **limits, name=repr(self))
        self._turns = Batcher[tuple[Episode, str], Turn](self._advance, **limits, name=repr(self))

    def __repr__(self) -> str:
        return f"Gather({self.task!r}, {', '.join(f'{name}={value:g}' for name, value in self._limits.items())})"

    def score_one(self, request_id: str, completion: str) -> Outcome:
        """Scores a completion; blocks the thread until its batch is scored.

        Raises:
            ValueError, KeyError, TypeError, RecommenderError: see `Task.score`.
            RuntimeError: the gatherer is closed.
        """
        return self._scores((request_id, completion))

    async def score_one_async(self, request_id: str, completion: str) -> Outcome:
        """Scores a completion; from any event loop.

        Raises:
            ValueError, KeyError, TypeError, RecommenderError: see `Task.score`.
            RuntimeError: the gatherer is closed.
        """
        return await self._scores.future((request_id, completion))

    def start_one(self, request_id: str) -> tuple[Episode, str]:
        """A new episode on a request, and what the policy observes first; blocks the thread.

        Raises:
            ValueError, KeyError, TypeError: see `Task.start`.
            RuntimeError: the gatherer is closed.
        """
        return self._starts(request_id)

    async def start_one_async(self, request_id: str) -> tuple[Episode, str]:
        """A new episode on a request, and what the policy observes first; from any event loop.

        Raises:
            ValueError, KeyError, TypeError: see `Task.start`.
            RuntimeError: the gatherer is closed.
        """
        return await self._starts.future(request_id)

    def advance_one(self, episode: Episode, completion: str) -> Turn:
        """One turn of an episode; blocks the thread until its batch is scored.

        Raises:
            ValueError, TypeError, RecommenderError: see `Task.advance`.
            RuntimeError: the gatherer is closed.
        """
        return self._turns((episode, completion))

    async def advance_one_async(self, episode: Episode, completion: str) -> Turn:
        """One turn of an episode; from any event loop.

        Raises:
            ValueError, TypeError, RecommenderError: see `Task.advance`.
            RuntimeError: the gatherer is closed.
        """
        return await self._turns.future((episode, completion))

    def close(self) -> None:
        """Scores what waits, then ends the threads; later calls are refused. Closing twice is fine."""
        for batcher in (self._scores, self._starts, self._turns):
            batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.close)

    def __getstate__(self) -> dict[str, Any]:
        return {"task": self.task, "limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Gather.__init__(self, state["task"], **state["limits"])

    def _score(self, asked: list[tuple[str, str]]) -> list[Outcome]:
        request_ids, completions = zip(*asked, strict=True)
        return split_outcomes(self.task.score(list(request_ids), list(completions)))

    def _start(self, request_ids: list[str]) -> list[tuple[Episode, str]]:
        episodes = self.task.start(request_ids)
        return list(zip(episodes, self.task.observe(episodes), strict=True))

    def _advance(self, asked: list[tuple[Episode, str]]) -> list[Turn]:
        episodes, completions = zip(*asked, strict=True)
        advanced, outcomes, observed = self.task.advance(list(episodes), list(completions))
        return [Turn(*row) for row in zip(advanced, split_outcomes(outcomes), observed, strict=True)]
