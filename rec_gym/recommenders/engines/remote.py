"""The base of engines in another process or on another machine: time-outs, retries, and secrets that stay secret."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from rec_gym.recommenders.base import RecommenderError
from rec_gym.recommenders.engines.base import Hits, Question, SearchEngine

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0  # seconds; the wait doubles from try to try
_HIDDEN = "***"

T = TypeVar("T")


class UnavailableError(Exception):
    """A request failed in a way that may pass: a lost connection, a time-out, an engine that is busy or starting.

    Args:
        message: the engine's own words.
        retry_after: seconds after which the engine wants to be asked again, if it says.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RemoteEngine(SearchEngine):
    """A search engine that is asked over a connection; a subclass implements `request`.

    A request that raises `UnavailableError` is sent again after a wait that doubles and is jittered, or as long as the
    engine says, until `retries` or the `deadline` of the batch are used up. Any other error is final at once. Either way
    the batch fails as a whole with a `RecommenderError` that holds the engine's own words: nothing is scored without an answer.

    The address, with its credentials, is read from an environment variable when a connection is needed. It is in no
    setting, pickle or message.

    Args:
        url_env: the name of the environment variable that holds the URL.
        stop_words: whether Lucene's 33 English stop words are dropped from queries.
        timeout: seconds that one request may take.
        deadline: seconds that one batch may take, with all retries.
        retries: how often a request is sent again, at most.
        in_flight: requests of this process that are under way at once, at most.
        per_request: questions in one request, at most.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        url_env: str,
        stop_words: bool = True,
        timeout: float = 10.0,
        deadline: float = 60.0,
        retries: int = 4,
        in_flight: int = 4,
        per_request: int = 256,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", url_env):
            raise ValueError("url_env is the name of an environment variable that holds the URL, not the URL itself")
        if not (0 < timeout <= 86400 and 0 < deadline <= 86400):
            raise ValueError(f"timeout and deadline are seconds above 0, at most 86,400; got {timeout!r}, {deadline!r}")
        if retries < 0 or in_flight < 1 or per_request < 1:
            raise ValueError(
                f"retries must be at least 0, in_flight and per_request at least 1; got {retries}, {in_flight}, {per_request}"
            )
        self.url_env, self.timeout, self.deadline = url_env, float(timeout), float(deadline)
        self.retries, self.in_flight, self.per_request = retries, in_flight, per_request
        super().__init__(stop_words)

    def _forget(self) -> None:
        super()._forget()
        self._live_slots = threading.BoundedSemaphore(self.in_flight)

    @abstractmethod
    def request(self, questions: Sequence[Question], k: int, timeout: float) -> Sequence[Hits]:
        """Asks the engine once, in one request; may be called by several threads at once.

        Args:
            questions: at most `per_request`.
            k: as for `SearchEngine.search`.
            timeout: seconds after which the request must have ended.

        Raises:
            UnavailableError: it failed, and may succeed if it is sent again. Any other exception is final.
        """

    @property
    def url(self) -> str:
        """The address of the engine, with its credentials.

        Raises:
            RecommenderError: the environment variable is not set.
        """
        url = os.environ.get(self.url_env, "")
        if not url:
            raise RecommenderError(
                f"{type(self).__name__} needs the environment variable {self.url_env} with the URL of the engine; set it "
                "where this process is started"
            )
        return url

    def without_secrets(self, text: str) -> str:
        """A text in which the URL and the password in it are not to be read."""
        url = os.environ.get(self.url_env, "")
        secrets = {url}
        try:
            password = urlsplit(url).password or ""
        except ValueError:
            password = ""
        secrets |= {password, unquote(password)}
        for pair in re.findall(r"password\s*=\s*('[^']*'|\S+)", url):  # `host=... password=...`, as libpq takes too
            secrets |= {pair, pair.strip("'")}
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def search(self, questions: Sequence[Question], k: int) -> list[Hits]:
        """Asks the engine in requests of at most `per_request` questions; see `SearchEngine.search`.

        Raises:
            RecommenderError: a request failed for good, or the deadline has passed.
        """
        end = time.monotonic() + self.deadline
        parts = [questions[start : start + self.per_request] for start in range(0, len(questions), self.per_request)]

        def answers(part: Sequence[Question]) -> Sequence[Hits]:
            hits = self.patiently(
                lambda timeout: self.request(part, k, timeout), lambda problem: self._error(part, problem), end
            )
            if len(hits) != len(part):
                raise self._error(part, f"{len(hits)} answers came for {len(part)} questions")
            return hits

        if len(parts) <= 1:
            return list(chain.from_iterable(map(answers, parts)))
        with ThreadPoolExecutor(min(self.in_flight, len(parts))) as pool:
            return list(chain.from_iterable(pool.map(answers, parts)))

    def patiently(
        self, ask: Callable[[float], T], error: Callable[[str], RecommenderError], end: float | None = None
    ) -> T:
        """What one request returns, which is sent again as long as that may help.

        Args:
            ask: sends the request; called with the seconds that it may take.
            error: makes the error out of what is wrong.
            end: the deadline on the monotonic clock; None for `deadline` seconds from now.

        Raises:
            RecommenderError: the request failed for good, or the deadline has passed.
        """
        end = time.monotonic() + self.deadline if end is None else end
        wait, problem = _FIRST_WAIT, "all places in flight are taken"
        for attempt in range(self.retries + 1):
            if not self._live_slots.acquire(timeout=max(0.0, end - time.monotonic())):
                raise error(f"the deadline of {self.deadline:g} s has passed; {problem}")
            failure: Any = None
            try:
                return ask(max(0.001, min(self.timeout, end - time.monotonic())))
            except Exception as caught:
                failure = caught
            finally:
                self._live_slots.release()
            # Raised outside of the handler: an error of a client library may hold the URL, and would be its context.
            problem = self.without_secrets(str(failure))
            if isinstance(failure, RecommenderError):
                raise error(problem)
            if not isinstance(failure, UnavailableError):
                raise error(f"{type(failure).__name__}: {problem}")
            pause = failure.retry_after if failure.retry_after is not None else wait * random.uniform(0.5, 1.5)
            wait = min(2 * wait, _LONGEST_WAIT)
            if attempt < self.retries:
                if time.monotonic() + pause >= end:
                    raise error(
                        f"it failed, and the deadline of {self.deadline:g} s leaves no time to retry: {problem}"
                    )
                time.sleep(pause)
        attempts = f"{self.retries + 1} times" if self.retries else "once, and retries is 0"
        raise error(f"it failed {attempts}; its last words: {problem}")
