"""Calls with one item each, from threads and event loops, gathered into calls with many; knows nothing of tasks."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Errors that speak of an item: the others of its batch are tried again without it.
OF_AN_ITEM = (ValueError, LookupError, TypeError)


class _ThreadCall:
    """A caller that blocks its thread: its item, and what it gets."""

    __slots__ = ("_answered", "error", "is_wanted", "item", "since", "value")

    def __init__(self, item: Any) -> None:
        self.item, self.since = item, 0.0
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_wanted = True
        self._answered = threading.Lock()
        self._answered.acquire()

    def wait(self) -> Any:
        """The result, or the error of the work."""
        try:
            self._answered.acquire()
        except BaseException:  # the thread was interrupted
            self.is_wanted = False
            raise
        if self.error is not None:
            # All callers of a batch get one error: without this each would lengthen its traceback.
            raise self.error.with_traceback(self.error.__traceback__)
        return self.value

    def answer(self) -> None:
        """Lets the thread go on."""
        self._answered.release()


class _LoopCall(asyncio.Future):
    """A caller that awaits in an event loop: its item, and what it gets.

    A future itself, because every further object of a call that waits costs the garbage collector time.
    """

    __slots__ = ("error", "item", "since", "value")

    def __init__(self, item: Any) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.item, self.since = item, 0.0
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def is_wanted(self) -> bool:
        return not self.cancelled()


class Batcher(Generic[Item, Result]):
    """Gathers calls with one item into calls of `work`, on a few threads that are started when needed.

    While one batch is worked on, what arrives waits for its end, and makes the next one. Callers that have just got their
    results tend to come again: so the next batch also waits until as many have arrived as were answered, but for `wait_ms`
    at most. A caller that is alone never waits. A call of `work` that takes longer than `slow_ms` is not waited for: the next
    batch is worked on beside it.

    Args:
        work: from n items to n results, in order; called from several threads.
        wait_ms: milliseconds that items wait for others, at most, when no batch is worked on.
        max_batch: items of one call, at most.
        threads: calls of `work` at a time, at most.
        slow_ms: milliseconds that items wait for the end of a batch before they are worked on beside it.
        name: of what is gathered, for error messages.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        wait_ms: float,
        max_batch: int,
        threads: int,
        slow_ms: float,
        name: str = "the gatherer",
    ) -> None:
        self._work, self._max_batch, self._threads, self._name = work, max_batch, threads, name
        self._wait, self._slow = wait_ms / 1000, slow_ms / 1000
        self._is_closed = False
        self._start_over()
        _living.add(self)

    def _start_over(self) -> None:
        """Locks, threads and queue as at first; what waited is somebody else's, such as the parent process's."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[_ThreadCall | _LoopCall] = deque()
        self._staged: dict[asyncio.AbstractEventLoop, list[_LoopCall]] = {}  # of the current round of each loop
        self._pool: ThreadPoolExecutor | None = None
        self._running = 0  # threads
        self._is_collecting = False  # one of them: it waits until there is a batch
        self._started: dict[int, float] = {}  # when each batch that is worked on was started, by thread
        self._ended = -math.inf  # when the last batch was done
        self._expected = 1  # items of the next batch, if all who were answered come again
        self._awaited = 0  # items at which the collecting thread is to be woken

    def __call__(self, item: Item) -> Result:
        """The result of one item; blocks the thread.

        Raises:
            RuntimeError: the batcher is closed.
            Exception: what `work` raised.
        """
        call = _ThreadCall(item)
        self._put([call])
        return call.wait()

    def future(self, item: Item) -> asyncio.Future[Result]:
        """The result of one item, as a future of the running event loop; if it is cancelled, its item alone is dropped.

        Raises:
            RuntimeError: the batcher is closed, or no event loop runs.
        """
        call = _LoopCall(item)
        loop = call.get_loop()
        staged = self._staged.get(loop)
        if staged is not None:
            staged.append(call)
            return call
        if self._is_closed:
            raise self._closed()
        # All coroutines that are about to run in this round of the loop come along: were the first item worked on at once,
        # the others would have to share the interpreter with that work.
        self._staged[loop] = [call]
        loop.call_soon(self._put_staged, loop)
        return call

    def close(self) -> None:
        """Works off what waits, then ends the threads; later calls are refused."""
        with self._lock:
            self._is_closed = True
            self._changed.notify()
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    def _put_staged(self, loop: asyncio.AbstractEventLoop) -> None:
        calls = [call for call in self._staged.pop(loop, ()) if not call.done()]
        try:
            if calls:
                self._put(calls)
        except RuntimeError as error:
            for call in calls:
                call.set_exception(error)

    def _put(self, calls: Sequence[_ThreadCall | _LoopCall]) -> None:
        now = time.monotonic()
        with self._lock:
            if self._is_closed:
                raise self._closed()
            for call in calls:
                call.since = now
            self._queue.extend(calls)
            if self._is_collecting:
                if len(self._queue) >= self._awaited:
                    self._changed.notify()
                return
            try:
                self._start_collecting()
            except RuntimeError:  # the interpreter is shutting down
                for call in calls:
                    self._queue.remove(call)
                raise

    def _closed(self) -> RuntimeError:
        return RuntimeError(f"{self._name} is closed; make another one")

    def _start_collecting(self) -> None:
        """Starts a thread that collects, unless all are busy: the first that is done goes on then. Needs the lock."""
        if self._running == self._threads or self._is_closed:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="rec-gym-gather")
        self._pool.submit(self._drain)
        self._is_collecting = True
        self._running += 1

    def _drain(self) -> None:
        """Works as long as something waits and no other thread collects."""
        thread = threading.get_ident()
        while True:
            calls = self._collect(thread)
            self._serve([call for call in calls if call.is_wanted])
            with self._lock:
                del self._started[thread]
                # Before the answers: whoever comes again at once would be counted twice.
                self._ended, self._expected = time.monotonic(), len(calls) + len(self._queue)
                self._changed.notify()
            _answer(calls)
            with self._lock:
                if self._is_collecting or not self._queue:
                    self._running -= 1
                    return
                self._is_collecting = True

    def _collect(self, thread: int) -> list[_ThreadCall | _LoopCall]:
        """The next batch, when it is time for it."""
        with self._lock:
            while (left := self._seconds_left()) > 0:
                self._changed.wait(left)
            calls = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]
            self._started[thread] = time.monotonic()
            self._is_collecting = False
            if self._queue:
                # Where no thread can be started, since the interpreter is shutting down, this one goes on by itself.
                with suppress(RuntimeError):
                    self._start_collecting()
        return calls

    def _seconds_left(self) -> float:
        """Seconds until the next batch is worked on, unless more items come before; not above 0 if it is time."""
        self._awaited = self._max_batch
        if self._is_closed or len(self._queue) >= self._max_batch:
            return 0.0
        now = time.monotonic()
        busy = max(self._started.values(), default=-math.inf) + self._slow - now
        if busy > 0:
            return busy
        self._awaited = min(self._expected, self._max_batch)
        if len(self._queue) >= self._awaited:
            return 0.0
        return max(self._queue[0].since, self._ended) + self._wait - now

    def _serve(self, calls: list[_ThreadCall | _LoopCall]) -> None:
        """Works on a batch, and notes what its callers are to be told."""
        if not calls:
            return
        try:
            results = self._work([call.item for call in calls])
            if len(results) != len(calls):
                raise RuntimeError(f"{self._name} got {len(results)} results for {len(calls)} items")
        except BaseException as error:
            if isinstance(error, OF_AN_ITEM) and len(calls) > 1:
                half = len(calls) // 2
                self._serve(calls[:half])
                self._serve(calls[half:])
                return
            for call in calls:
                call.error = error if not isinstance(error, StopIteration) else _stopped(error)
        else:
            for call, result in zip(calls, results, strict=True):
                call.value = result


def _stopped(error: StopIteration) -> RuntimeError:
    """An error in its place that a future can hold."""
    stopped = RuntimeError("the work raised StopIteration")
    stopped.__cause__ = error
    return stopped


def _answer(calls: list[_ThreadCall | _LoopCall]) -> None:
    """Answers all callers; those of one event loop together."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_LoopCall]] = {}
    for call in calls:
        if isinstance(call, _LoopCall):
            by_loop.setdefault(call.get_loop(), []).append(call)
        else:
            call.answer()
    for loop, awaiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer_in_loop, awaiting)
        except RuntimeError:  # the loop was closed: nobody awaits any more
            continue


def _answer_in_loop(calls: list[_LoopCall]) -> None:
    """Ends the waits of one event loop; in its own thread."""
    for call in calls:
        if call.done():  # cancelled
            continue
        if call.error is None:
            call.set_result(call.value)
        else:
            call.set_exception(call.error)


_living: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _after_fork() -> None:
    """A child process has none of its parent's threads, and a lock that one of them held would stay held."""
    for batcher in list(_living):
        batcher._start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
