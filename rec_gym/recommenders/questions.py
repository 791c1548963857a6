"""Questions as keys, answers as bytes, and each question asked once at a time.

A question is what a ranking depends on: query, depth, excluded items and filter. Its key is the same in every batch,
process and version, so a stored answer is found again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rec_gym.filters import Filter
from rec_gym.ranking import NOT_RANKED, Rankings

QUERY_BYTES = 8
"""Bytes at the beginning of a key that depend on the query only."""

_ITEM, _SCORE = np.dtype("<i4"), np.dtype("<f4")
_PLACE_BYTES = _ITEM.itemsize + _SCORE.itemsize


class Answer(NamedTuple):
    """What a recommender answered to one question.

    Attributes:
        places: item positions (int32) of the ranked places, then their scores (float32), little-endian.
        clipped: whether the recommender used only a part of the query.
        searched: the words that it used, UTF-8 with lone surrogates; None where they are the query or are not known.
    """

    places: bytes
    clipped: bool
    searched: bytes | None


def query_key(query: str) -> bytes:
    """The beginning of the keys of all questions with this query."""
    return hashlib.blake2b(encoded(query), digest_size=QUERY_BYTES).digest()


def question_keys(
    queries: Sequence[str],
    depth: int,
    exclude: Sequence[np.ndarray] | None,
    filters: Sequence[Filter] | None,
    in_order: bool,
) -> list[bytes]:
    """The key of each question, 24 bytes.

    Args:
        queries: n texts.
        depth: places of the ranking.
        exclude: for each query the item positions (int64) that are left out.
        filters: for each query its conditions; their order does not matter, nor whether 50 is written 50.0.
        in_order: whether order and repetition of the excluded items count, as for a recommender that reads histories.
    """
    keys = []
    for place, query in enumerate(queries):
        text = encoded(query)
        whole = hashlib.blake2b(len(text).to_bytes(8, "little") + text + depth.to_bytes(8, "little"), digest_size=16)
        hidden = exclude[place] if exclude is not None else ()
        if len(hidden):
            items = np.asarray(hidden) if in_order else np.unique(hidden)
            whole.update(b"exclude" + items.astype("<i8").tobytes())
        if filters is not None and filters[place]:
            whole.update(b"filter" + repr(sorted(map(_plain, filters[place]))).encode())
        keys.append(hashlib.blake2b(text, digest_size=QUERY_BYTES).digest() + whole.digest())
    return keys


def packed(rankings: Rankings, searched: Sequence[str], queries: Sequence[str]) -> list[Answer]:
    """The answers of a batch.

    Args:
        rankings: of the queries.
        searched: the words that were searched for, one text for each query.
        queries: n texts.
    """
    items, scores = rankings.items.astype(_ITEM), rankings.scores.astype(_SCORE)
    clipped = np.zeros(len(queries), bool) if rankings.clipped is None else rankings.clipped
    answers = []
    for row, length in enumerate(rankings.lengths.tolist()):
        words = None if searched[row] == queries[row] else encoded(searched[row])
        places = items[row, :length].tobytes() + scores[row, :length].tobytes()
        answers.append(Answer(places, bool(clipped[row]), words))
    return answers


def unpacked(answers: Sequence[Answer], depth: int) -> Rankings:
    """The rankings of a batch, [n, depth].

    Raises:
        ValueError: an answer has more places than `depth`, or is not a whole number of places.
    """
    items = np.full((len(answers), depth), NOT_RANKED, np.int32)
    scores = np.zeros((len(answers), depth), np.float32)
    for row, answer in enumerate(answers):
        length, rest = divmod(len(answer.places), _PLACE_BYTES)
        if rest or length > depth:
            raise ValueError(f"an answer of {len(answer.places)} bytes does not hold at most {depth} places")
        items[row, :length] = np.frombuffer(answer.places, _ITEM, length)
        scores[row, :length] = np.frombuffer(answer.places, _SCORE, length, _ITEM.itemsize * length)
    return Rankings(items, scores, np.array([answer.clipped for answer in answers], bool))


def encoded(text: str) -> bytes:
    """A text as UTF-8; lone surrogates are allowed."""
    return text.encode("utf-8", "surrogatepass")


def decoded(raw: bytes) -> str:
    """The inverse of `encoded`."""
    return raw.decode("utf-8", "surrogatepass")


def _plain(condition: Sequence) -> tuple[str, str, str]:
    """A condition in one form for equal values: numbers by value, texts and truth values by type."""
    column, sign, value = condition
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(column), str(sign), repr(value)


_Look = Callable[[list[bytes]], Mapping[bytes, Answer]]


class Once:
    """Asks each question once at a time: a thread that asks what another one is asking waits for that answer.

    Pickles and forked processes get new locks.
    """

    def __init__(self) -> None:
        self._forget()

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight] = {}

    def answers(
        self,
        keys: Sequence[bytes],
        known: _Look,
        ask: _Look,
    ) -> dict[bytes, Answer]:
        """The answers to distinct questions.

        Args:
            keys: the questions, each once.
            known: finds stored answers; those that it has.
            ask: answers all questions that it gets, and stores the answers.

        Raises:
            Exception: whatever `known` and `ask` raise. Other threads that wait for these questions then ask themselves.
        """
        if self._process != os.getpid():  # whoever was asking is not in this process
            self._forget()
        answers: dict[bytes, Answer] = {}
        waiting = list(keys)
        while waiting:
            flight = _Flight()
            with self._lock:
                flights = {key: self._flights.setdefault(key, flight) for key in waiting}
            mine = [key for key, owner in flights.items() if owner is flight]
            answers |= self._own(flight, mine, known, ask)
            waiting = []
            for key, owner in flights.items():
                if owner is not flight:
                    owner.done.wait()
                    if key in owner.answers:
                        answers[key] = owner.answers[key]
                    else:
                        waiting.append(key)
        return answers

    def _own(self, flight: _Flight, mine: list[bytes], known: _Look, ask: _Look) -> dict[bytes, Answer]:
        """Looks up or asks the questions that this thread is to answer for all."""
        try:
            stored = known(mine)
        except BaseException:
            self._land(flight, mine)
            raise
        missing = [key for key in mine if key not in stored]
        asking = _Flight()
        with self._lock:
            self._flights |= dict.fromkeys(missing, asking)
        flight.answers = stored
        self._land(flight, [key for key in mine if key in stored])  # they need not wait for the others
        try:
            asking.answers = ask(missing) if missing else {}
        finally:
            self._land(asking, missing)
        return {**stored, **asking.answers}

    def _land(self, flight: _Flight, keys: list[bytes]) -> None:
        with self._lock:
            for key in keys:
                del self._flights[key]
        flight.done.set()


class _Flight:
    """The questions that one thread is asking."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answers: Mapping[bytes, Answer] = {}
