"""Filters that a small policy learns to set from the reward alone, with values that it copies from the request.

A slot is a column and an operator, such as `price <=`. For each request it stays empty or takes one of the values that the
request's own text holds: a number, in digits or in English words, for a column of numbers, and one or two neighbouring
words, function words left out, for a column of text. Which value is likely is learned from its words and from those
around it. The policy knows the names and kinds of the columns; it sees neither the catalogue nor the gains. A value that the
catalogue lacks is a filter that no item passes, which earns nothing: this is how it learns what can be a value.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from rec_gym.columns import is_text
from rec_gym.filters import Condition
from rec_gym.loop.task import Task
from rec_gym.policies.gradient import Adam, advantages_of, softmax
from rec_gym.policies.numbers import DIGITS, IN_WORDS, number_of
from rec_gym.recommenders.bm25.analyzer import ENGLISH_STOP_WORDS

NUMBERS, WORDS = "numbers", "words"

_NUMBER = re.compile(rf"(?<![\w.,]){DIGITS}(?![\w])|\b{IN_WORDS}\b", re.IGNORECASE)
_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_MOST_TOKENS = 200  # of a text; values and their surroundings are looked for among these
_LONGEST = 2  # words of a value
_BEFORE, _AFTER = 4, 3  # tokens around a value that are looked at
_REMEMBERED = 1 << 12  # texts whose values are remembered; some 25 kB each


class Slot(NamedTuple):
    """A condition that a request may set.

    Attributes:
        column: of the catalogue.
        operator: `<=` or `>=` for numbers, `==` for texts.
        reads: what of a text can be its value, `NUMBERS` or `WORDS`.
    """

    column: str
    operator: str
    reads: str


class Span(NamedTuple):
    """A part of a text that can be a value.

    Attributes:
        value: what a filter says.
        reads: `NUMBERS` or `WORDS`.
        features: hashes of its words and of those around it.
    """

    value: float | str
    reads: str
    features: tuple[int, ...]


def slots_of(task: Task) -> tuple[Slot, ...]:
    """A slot for each text column that a task's completions may filter by, and two for each column of numbers.

    Columns of truth values have none, since a text holds no such value.

    Raises:
        ValueError: the action format holds no filters, or none on such a column.
    """
    action, schema = task.action, task.dataset.catalog.table.schema
    slots = []
    for name in action.filter_columns if action.writes_filters else ():
        kind = schema.field(name).type
        if is_text(kind):
            slots.append(Slot(name, "==", WORDS))
        elif not pa.types.is_boolean(kind):
            slots += [Slot(name, sign, NUMBERS) for sign in ("<=", ">=")]
    if not slots:
        raise ValueError(
            f"the action format {task.action.name!r} holds no filters on columns of texts or numbers; choose one that does, "
            "such as --set action=structured"
        )
    return tuple(slots)


@lru_cache(_REMEMBERED)
def spans_of(text: str) -> tuple[Span, ...]:
    """What of a text can be a value: its numbers, its words, and pairs of neighbouring words."""
    tokens = list(_TOKEN.finditer(text))[:_MOST_TOKENS]
    starts, ends = ([edge(token) for token in tokens] for edge in (re.Match.start, re.Match.end))
    lower = [token[0].lower() for token in tokens]
    spans = []
    for match in _NUMBER.finditer(text, 0, ends[-1] if ends else 0):
        first = int(np.searchsorted(starts, match.start(), side="right")) - 1
        behind = int(np.searchsorted(starts, match.end()))
        spans.append(Span(number_of(match[0]), NUMBERS, _features(lower, max(first, 0), behind, NUMBERS)))
    for first in range(len(tokens)):
        for behind in range(first + 1, min(first + _LONGEST, len(tokens)) + 1):
            if not _holds_meaning(lower[behind - 1]):
                break  # longer ones hold it too
            value = " ".join(token[0] for token in tokens[first:behind])
            spans.append(Span(value, WORDS, _features(lower, first, behind, WORDS)))
    return tuple(spans)


def _holds_meaning(token: str) -> bool:
    """Whether a token can be a part of a value: function words and punctuation cannot."""
    return token[0].isalnum() and token not in ENGLISH_STOP_WORDS


def _features(lower: Sequence[str], first: int, behind: int, reads: str) -> tuple[int, ...]:
    """Hashes of what a span says and of what is around it: the words by their distance, and the phrases that adjoin."""
    before, after = lower[max(first - _BEFORE, 0) : first], lower[behind : behind + _AFTER]
    names = [f"{reads} is {' '.join(lower[first:behind])}"] if reads == WORDS else [NUMBERS]
    names += [f"{reads} before {' '.join(before[place:])}" for place in range(len(before))]
    names += [f"{reads} after {' '.join(after[:place])}" for place in range(1, len(after) + 1)]
    names += [f"{reads} near {word}" for word in before]
    return tuple(zlib.crc32(name.encode()) for name in dict.fromkeys(names))


class _Batch(NamedTuple):
    """The spans of some texts.

    Attributes:
        spans: of each text.
        row: the text that each span is of, int [m].
        place: of each span in its text, int [m].
        features: float32 [m, buckets], rows of length 1.
        fits: whether a slot can take a value, bool [n, slots, spans of the longest text].
    """

    spans: list[tuple[Span, ...]]
    row: np.ndarray
    place: np.ndarray
    features: csr_matrix
    fits: np.ndarray


class FilterSlots:
    """Request text in, a few filters out.

    Args:
        slots: what may be set; see `slots_of`.
        buckets: features are hashed into this many.
        learning_rate: of Adam.
        damping: see `advantages_of`.
        tries: the chance that a slot is filled before anything is learned, above 0 and below 1.
        seed: of the draws.

    Raises:
        ValueError: `tries` is not between 0 and 1.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        buckets: int = 1 << 13,
        learning_rate: float = 0.04,
        damping: float = 0.1,
        tries: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not 0 < tries < 1:
            raise ValueError(f"tries is the chance that a slot is filled at first, above 0 and below 1, not {tries}")
        self.slots, self.tries, self.damping = tuple(Slot(*slot) for slot in slots), tries, damping
        self.weights = np.zeros((buckets, len(self.slots)), np.float32)
        self._optimiser = Adam(self.weights, learning_rate)
        self._random = np.random.Generator(np.random.PCG64([seed, len(self.slots)]))

    def choose(self, texts: Sequence[str]) -> list[list[Condition]]:
        """The likeliest filters of each text: each slot takes its likeliest value, or stays empty if that is likelier."""
        batch = self._batch(texts)
        return self._conditions(batch, self._probabilities(batch).argmax(axis=2))

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The chance of each value, float64 [n, slots, 1 + spans of the longest text].

        The first one is that the slot stays empty; then come those of `spans_of`.
        """
        return self._probabilities(self._batch(texts))

    def sample(self, texts: Sequence[str], group_size: int) -> tuple[list[list[Condition]], np.ndarray]:
        """Draws the filters of `group_size` completions for each text, each slot for itself.

        Returns:
            The conditions, group after group, and what was drawn, int [n * group_size, slots]: 0 for an empty slot, else
            the number of the span from 1.
        """
        batch = self._batch(texts)
        cumulative = np.cumsum(self._probabilities(batch), axis=2)
        points = self._random.random((len(texts), len(self.slots), group_size)) * cumulative[:, :, -1:]
        drawn = np.empty(points.shape, np.int64)
        for text, slot in np.ndindex(*points.shape[:2]):
            drawn[text, slot] = np.searchsorted(cumulative[text, slot], points[text, slot], side="right")
        drawn = np.minimum(drawn, cumulative.shape[2] - 1).transpose(0, 2, 1).reshape(-1, len(self.slots))
        return self._conditions(batch, drawn), drawn

    def learn(self, texts: Sequence[str], drawn: np.ndarray, rewards: np.ndarray) -> None:
        """One step up the policy gradient.

        Args:
            texts: the n requests of the groups.
            drawn: what `sample` drew, int [n * group_size, slots].
            rewards: float64 [n * group_size].
        """
        advantages, _ = advantages_of(rewards, len(texts), self.damping)
        rows, gradient = self.gradient(texts, drawn, advantages)
        self._optimiser.ascend(rows, gradient)

    def gradient(
        self, texts: Sequence[str], drawn: np.ndarray, advantages: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of the mean of advantage * log p(drawn), of weights that these texts touch.

        Args:
            texts: the n requests of the groups.
            drawn: int [n * group_size, slots].
            advantages: float64 [n * group_size], which add up to 0 in each group: the softmax's own part cancels.

        Returns:
            The touched rows of the weights int [r], and the gradient float32 [r, slots].
        """
        batch = self._batch(texts)
        shape = len(texts), len(self.slots), batch.fits.shape[2] + 1
        owners = np.repeat(np.arange(shape[0]), len(drawn) // max(shape[0], 1))
        cells = np.ravel_multi_index((owners[:, None], np.arange(shape[1])[None, :], drawn), shape)
        weights = np.repeat(advantages / len(drawn), shape[1])
        pull = np.bincount(cells.ravel(), weights=weights, minlength=np.prod(shape)).reshape(shape)
        of_spans = pull[batch.row, :, batch.place + 1].astype(np.float32)
        touched = np.unique(batch.features.indices)
        return touched, batch.features[:, touched].T @ of_spans

    def _batch(self, texts: Sequence[str]) -> _Batch:
        spans = [spans_of(text) for text in texts]
        counts = np.array([len(row) for row in spans], np.int64)
        row = np.repeat(np.arange(len(texts)), counts)
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        features = [span.features for span in chain.from_iterable(spans)]
        lengths = np.array([len(one) for one in features], np.int64)
        columns = np.fromiter(chain.from_iterable(features), np.int64) % len(self.weights)
        values = np.repeat(1 / np.sqrt(lengths), lengths).astype(np.float32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        matrix = csr_matrix((values, columns, offsets), shape=(len(row), len(self.weights)))
        reads = np.array([span.reads == NUMBERS for span in chain.from_iterable(spans)], bool)
        fits = np.zeros((len(texts), len(self.slots), int(counts.max(initial=0))), bool)
        fits[row, :, place] = reads[:, None] == np.array([slot.reads == NUMBERS for slot in self.slots])[None, :]
        return _Batch(spans, row, place, matrix, fits)

    def _probabilities(self, batch: _Batch) -> np.ndarray:
        logits = np.full((*batch.fits.shape[:2], batch.fits.shape[2] + 1), -np.inf)
        logits[batch.row, :, batch.place + 1] = batch.features @ self.weights
        logits[:, :, 1:][~batch.fits] = -np.inf
        # However many values a text offers, an untrained slot is filled as often.
        logits[:, :, 0] = np.log(np.maximum(batch.fits.sum(axis=2), 1) * (1 - self.tries) / self.tries)
        return softmax(logits)

    def _conditions(self, batch: _Batch, chosen: np.ndarray) -> list[list[Condition]]:
        """What was chosen of each slot, int [k * n, slots] with k rows for each text, as conditions."""
        per_text = len(chosen) // max(len(batch.spans), 1)
        owners: Iterator[tuple[Span, ...]] = chain.from_iterable([spans] * per_text for spans in batch.spans)
        return [
            [
                (slot.column, slot.operator, spans[place - 1].value)
                for slot, place in zip(self.slots, places, strict=True)
                if place
            ]
            for spans, places in zip(owners, chosen.tolist(), strict=True)
        ]
