"""Requests as mappings, parsed, checked and collected into the columns of a dataset."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged, first_few
from rec_gym.filters import Filter

CONDITION_COLUMNS = ("constraints", "filters")
TEXT_COLUMNS = ("id", "text", "split", "domain", "user", "oracle", *CONDITION_COLUMNS)

LEAST_GAIN, MOST_GAIN = 1e-12, 1e12
"""Bounds of a gain above 0. Sums over 2 ** 31 items then stay well within the range and precision of 64-bit floats, so that
a DCG is finite and an NDCG exact to rounding; both bounds fit 32-bit floats too."""

GAIN_RULE = (
    f"gains must be finite and >= 0, and those above 0 between {LEAST_GAIN:g} and {MOST_GAIN:g} (NDCG stays the same when "
    "all gains of a request are multiplied by one number)"
)


def are_gains(values: np.ndarray) -> np.ndarray:
    """Which numbers may be gains: 0, or between `LEAST_GAIN` and `MOST_GAIN`; bool, the shape of `values`."""
    return (values == 0) | ((values >= LEAST_GAIN) & (values <= MOST_GAIN))


def is_gain(value: object) -> bool:
    """Whether `value` is a number that may be a gain; see `are_gains`."""
    return isinstance(value, int | float | np.number) and bool(value == 0 or LEAST_GAIN <= value <= MOST_GAIN)


def check_list(value: object, what: str, instead: str) -> list:
    """The members of a list.

    Args:
        value: a list, a tuple, an array or another collection.
        what: its name in messages.
        instead: an example of a right value.

    Raises:
        ValueError: it is a text, a mapping or not a collection.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{what} must be a list such as {instead}, not {value!r:.200}")
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


@dataclass(frozen=True)
class ParsedRequest:
    """A request whose parts all have the right type.

    Attributes:
        texts: one for each of `TEXT_COLUMNS`.
        items: judged items, by id or by position; a target may be repeated.
        gains: their gains, float64.
        has_targets: whether `items` were given as a list of targets.
        history: the items bought before, by id or by position.
        numbers: values under other names.
    """

    texts: Mapping[str, str]
    items: list
    gains: np.ndarray
    has_targets: bool
    history: list
    numbers: Mapping[str, float]

    @classmethod
    def parse(cls, request: Mapping[str, object]) -> ParsedRequest:
        """Reads a request; see `Dataset.from_requests`.

        Raises:
            ValueError: a part is missing or of the wrong type; the message names the request.
        """
        name = f"request {request.get('id')!r}"
        gains, targets = request.get("gains"), request.get("targets")
        if (gains is None) == (targets is None):
            raise ValueError(f"{name} needs either 'gains' ({{item: gain}}) or 'targets' ([item])")
        if gains is not None and not isinstance(gains, Mapping):
            raise ValueError(f"{name}: gains must be a mapping such as {{'a1': 1.0}}, not {gains!r:.200}")
        items = check_list(targets, f"{name}: targets", "['a1']") if gains is None else list(gains)
        history = request.get("history")
        history = [] if history is None else check_list(history, f"{name}: history", "['a1', 'a2']")
        texts = {column: _text(request, column, name) for column in TEXT_COLUMNS if column not in CONDITION_COLUMNS}
        texts |= {column: _conditions_text(request.get(column), column, name) for column in CONDITION_COLUMNS}
        if not texts["text"] and not history:
            raise ValueError(f"{name} has neither a text nor a history")
        others = request.keys() - {*TEXT_COLUMNS, "gains", "targets", "history"}
        numbers = {column: _number(request[column], column, name) for column in request if column in others}
        values = np.ones(len(items)) if gains is None else _gains(gains, name)
        return cls(texts, items, values, gains is None, history, numbers)


def _text(request: Mapping[str, object], column: str, name: str) -> str:
    value = request.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}: {column} must be text, not {value!r:.200}")
    return str(value)


def _number(value: object, column: str, name: str) -> float:
    if not isinstance(value, int | float | np.number):
        raise ValueError(f"{name}: other columns hold numbers, but {column!r} is {value!r:.200}")
    try:
        return float(value)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"{name}: {column!r} cannot be stored as a 64-bit number ({error})") from error


def _gains(gains: Mapping[object, object], name: str) -> np.ndarray:
    values = np.array(list(gains.values()))
    if values.dtype.kind not in "biuf" or values.ndim != 1:
        wrong = first_few(gain for gain in gains.values() if not isinstance(gain, int | float | np.number))
        raise ValueError(f"{name}: {GAIN_RULE}; these are not: {wrong or first_few(gains.values())}")
    return values.astype(np.float64)


def _conditions_text(conditions: object, column: str, name: str) -> str:
    """The constraints or filters of a request as JSON; the dataset checks what they say."""
    if conditions is None:
        return ""
    triples = check_list(conditions, f"{name}: {column}", "[['price', '<=', 50]]")
    try:
        return json.dumps(triples, default=_plain) if triples else ""
    except TypeError as error:
        raise ValueError(f"{name}: each of the {column} may hold only texts, numbers and booleans ({error})") from error


@lru_cache(1 << 14)
def read_conditions(text: str) -> Filter:
    """The conditions that a column of a dataset holds as JSON; empty for an empty text."""
    return tuple((column, operator, value) for column, operator, value in json.loads(text)) if text else ()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"not {value!r:.200}")


class _RaggedBuilder:
    """A `Ragged` to append to, without an object per row."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self.values = array(np.dtype(dtype).char)
        self.offsets = array("q", [0])

    def append(self, row: np.ndarray) -> None:
        self.values.frombytes(row.astype(self.values.typecode).tobytes())
        self.offsets.append(len(self.values))

    def ragged(self) -> Ragged:
        return Ragged(np.array(self.offsets, np.int64), np.array(self.values, self.values.typecode))


class RequestColumns:
    """Columns that grow by one request at a time.

    Args:
        catalog: where item ids are looked up.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.texts: dict[str, list[str]] = {name: [] for name in TEXT_COLUMNS}
        self.numbers: dict[str, list[float]] = {}
        self.items = _RaggedBuilder(np.int32)
        self.gains = _RaggedBuilder(np.float64)
        self.history = _RaggedBuilder(np.int32)
        self.ideal = _RaggedBuilder(np.float64)

    def add(self, request: Mapping[str, object]) -> None:
        """Adds one request; see `Dataset.from_requests`.

        Raises:
            ValueError: see `ParsedRequest.parse`; or an item is unknown, or judged twice.
        """
        row = ParsedRequest.parse(request)
        name = f"request {request.get('id')!r}"
        items = self._positions(row.items, name)
        unique, first = np.unique(items, return_index=True)
        if not row.has_targets and len(unique) < len(items):
            raise ValueError(f"{name} judges an item twice; keep one judgement per item")
        self.items.append(unique)
        self.gains.append(row.gains[first])
        self.ideal.append(row.gains[row.gains > 0])
        self.history.append(self._positions(row.history, name))
        before = len(self.texts["id"])
        for column, text in row.texts.items():
            self.texts[column].append(text)
        for column in dict.fromkeys((*self.numbers, *row.numbers)):  # NaN where a request lacks a column
            self.numbers.setdefault(column, [math.nan] * before).append(row.numbers.get(column, math.nan))

    def table(self) -> pa.Table:
        """The text and number columns of the requests so far."""
        columns = {name: pa.array(values, pa.large_string()) for name, values in self.texts.items()}
        return pa.table(columns | {name: pa.array(values, pa.float64()) for name, values in self.numbers.items()})

    def _positions(self, items: list, name: str) -> np.ndarray:
        if items and all(isinstance(item, str) for item in items):
            try:
                return self.catalog.positions(items)
            except KeyError as error:
                raise ValueError(f"{name}: {error.args[0]}; drop it or add the item") from error
        wrong = [item for item in items if isinstance(item, bool) or not isinstance(item, int | np.integer)]
        if wrong:
            raise ValueError(
                f"{name}: name items either all by id (str) or all by position (int), not {first_few(wrong)}"
            )
        outside = [item for item in items if not 0 <= item < len(self.catalog)]
        if outside:
            raise ValueError(f"{name}: items outside the catalogue of {len(self.catalog)} items: {first_few(outside)}")
        return np.array(items, np.int32)
