"""Your own log: requests with what shoppers did with the results, split by time into train and test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from rec_gym.catalog import ID_COLUMN, Catalog
from rec_gym.columns import first_few, is_number, is_text
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset
from rec_gym.datasets.reading.files import need_file, read_jsonl, text_field
from rec_gym.datasets.reading.judgements import catalog_of, dataset_of

HOLDS = (
    'requests.jsonl, lines such as {"id": "r1", "time": "2025-03-01T10:00:00Z", "query": "desk lamp", "engagement": '
    '{"b07": ["impression", "click"]}}, and items.jsonl, lines such as {"item_id": "b07", "title": "LED desk lamp"}'
)
GET_DATA = f"Write the folder from your own log: {HOLDS}."

_REQUEST_KEYS = ("id", "time", "query", "engagement", "history", "user", "domain", "constraints", "filters")
_ITEMS_AT_ONCE = 1 << 16


class _Request(NamedTuple):
    id: str
    time: float
    text: str
    user: str
    domain: str
    gains: dict[int, float]
    history: list[int]
    constraints: object
    filters: object


def load(
    data_dir: str,
    impression: float = 0.0,
    click: float = 0.5,
    purchase: float = 1.0,
    cut: str | float = "",
    val_cut: str | float = "",
    test_share: float = 0.2,
    val_share: float = 0.1,
) -> Dataset:
    """Loads a log: the requests of `requests.jsonl` on the items of `items.jsonl`.

    A line of requests is a JSON object:

    * `id` (text, unique) and `time` (ISO 8601, in UTC unless a zone is named, or seconds since 1970);
    * `query` (text), or `history` (ids of the items bought before, oldest first), or both;
    * `engagement`: `{item id: event or list of events}`, an event one of `impression`, `click`, `purchase`;
    * optional `user` and `domain` (texts), and `constraints` and `filters`: lists of `[column, operator, value]`, see
      `Dataset.from_requests`.

    A line of items holds `item_id` and any columns of text or numbers (the same in every line, null where missing);
    `title` is the name that people see.

    The gain of an item is the weight of the strongest event on it. In order of time, train comes first, then val, then
    test; requests at the same time are in the same split. Requests without a gain > 0 are left out.

    Args:
        data_dir: the folder with the two files.
        impression: weight of an item that was shown.
        click: weight of an item that was clicked on.
        purchase: weight of an item that was bought.
        cut: the time at which test begins; empty to put the last `test_share` of the requests into test.
        val_cut: the time at which val begins; empty to put the last `val_share` of the requests before `cut` into val.
        test_share: part of the requests for test.
        val_share: part of the other requests for val.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is out of its range, or a file does not hold what it should; the message names the line.
    """
    weights = {"impression": impression, "click": click, "purchase": purchase}
    wrong = [name for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)]
    if wrong or not (0 < test_share < 1 and 0 < val_share < 1):
        raise ValueError("weights of events must be >= 0, and test_share and val_share must be between 0 and 1")
    folder, notes = Path(data_dir), Counter[str]()
    catalog = _read_items(need_file(folder, "items.jsonl", HOLDS), notes)
    path = need_file(folder, "requests.jsonl", HOLDS)
    requests = _read_requests(path, catalog, weights, notes)
    times = [request.time for request in requests]
    begin_test = _time(cut, "cut") if cut != "" else _after(times, test_share)
    begin_val = _time(val_cut, "val_cut") if val_cut != "" else _after([t for t in times if t < begin_test], val_share)
    if not (times and times[0] < begin_val < begin_test <= times[-1]):
        raise ValueError(
            f"{path}: the time cuts leave train, val or test without a request; {len(times)} requests have a gain > 0"
            + (f", from {_shown(times[0])} to {_shown(times[-1])}: choose cut= and val_cut= between" if times else "")
        )
    rows = (
        {name: value for name, value in request._asdict().items() if name != "time"}
        | {"split": TRAIN if request.time < begin_val else VAL if request.time < begin_test else TEST}
        for request in requests
    )
    return dataset_of(catalog, rows, str(folder), notes)


def _read_items(path: Path, notes: Counter[str]) -> Catalog:
    batches: list[pa.Table] = []
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    for number, record in read_jsonl(path, notes):
        where = f"{path}, line {number}"
        record[ID_COLUMN] = text_field(record, ID_COLUMN, where)
        names = names or list(record)
        if set(record) != set(names):
            odd = first_few(sorted(set(record) ^ set(names)))
            raise ValueError(f"{where}: every item needs the same fields as the first; it differs in {odd}")
        rows.append(record)
        if len(rows) == _ITEMS_AT_ONCE:
            batches.append(_table(rows, path))
            rows = []
    if rows or not batches:
        batches.append(_table(rows, path))
    try:
        table = pa.concat_tables(batches, promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(f"{path}: a field must hold text only or numbers only: {error}") from error
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.large_string()))
    return catalog_of(table, str(path), notes)


def _table(rows: list[dict[str, Any]], path: Path) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in rows[0] if rows else [ID_COLUMN]:
        try:
            column = pa.array([row[name] for row in rows])
        except pa.ArrowException as error:
            raise ValueError(f"{path}: field {name!r} must hold text only or numbers only: {error}") from error
        if is_text(column.type):
            column = column.cast(pa.large_string())
        elif not (is_number(column.type) or pa.types.is_null(column.type)):
            raise ValueError(
                f"{path}: field {name!r} must hold text or numbers, not {column.type}; join lists into a text"
            )
        columns[name] = column
    return pa.table(columns)


def _read_requests(path: Path, catalog: Catalog, weights: dict[str, float], notes: Counter[str]) -> list[_Request]:
    """The requests that have a gain, in order of time."""
    requests: list[_Request] = []
    latest = -math.inf
    for number, record in read_jsonl(path, notes):
        request = _request(record, f"{path}, line {number}", catalog, weights, notes)
        notes["requests out of time order, sorted"] += request.time < latest
        latest = max(latest, request.time)
        if not any(gain > 0 for gain in request.gains.values()):
            notes["requests without an item of gain > 0 in the catalogue, dropped"] += 1
        elif not request.text.strip() and not request.history:
            notes["requests without a query or a known history, dropped"] += 1
        else:
            requests.append(request)
    return sorted(requests, key=lambda request: request.time)


def _request(
    record: dict[str, Any], where: str, catalog: Catalog, weights: dict[str, float], notes: Counter[str]
) -> _Request:
    unknown = [name for name in record if name not in _REQUEST_KEYS]
    if unknown or not isinstance(record.get("engagement"), dict):
        problem = (
            f"unknown field {unknown[0]!r}" if unknown else "field 'engagement' must be an object {item id: events}"
        )
        raise ValueError(f"{where}: {problem}; the fields are {', '.join(_REQUEST_KEYS)}")
    history = record.get("history") or []
    if not isinstance(history, list) or not all(isinstance(item, str) for item in history):
        raise ValueError(f"{where}: field 'history' must be a list of item ids")
    engagement = record["engagement"]
    positions = catalog.index.find([*engagement, *history]).tolist()
    shown, before = positions[: len(engagement)], positions[len(engagement) :]
    notes["items of engagements that are not in the catalogue, dropped"] += shown.count(-1)
    notes["items of histories that are not in the catalogue, dropped"] += before.count(-1)
    gains = [_gain(events, where, weights) for events in engagement.values()]
    return _Request(
        id=text_field(record, "id", where),
        time=_time(record.get("time"), where),
        text=text_field(record, "query", where, default=""),
        user=text_field(record, "user", where, default=""),
        domain=text_field(record, "domain", where, default=""),
        gains={item: gain for item, gain in zip(shown, gains, strict=True) if item >= 0},
        history=[item for item in before if item >= 0],
        constraints=record.get("constraints"),
        filters=record.get("filters"),
    )


def _gain(events: object, where: str, weights: dict[str, float]) -> float:
    names: Sequence[object] = events if isinstance(events, list) else [events]
    wrong = [name for name in names if not isinstance(name, str) or name not in weights]
    if wrong or not names:
        raise ValueError(f"{where}: unknown event {wrong[0] if wrong else names!r}; choose from: {', '.join(weights)}")
    return max(weights[str(name)] for name in names)


def _time(value: object, where: str) -> float:
    """Seconds since 1970 of a number or of a text in ISO 8601."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    try:
        time = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: a time is ISO 8601 or seconds since 1970, not {value!r}") from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _shown(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _after(times: list[float], share: float) -> float:
    """The time at which the last `share` of the requests (at least one) begins."""
    return times[min(int(len(times) * (1 - share)), len(times) - 1)] if times else math.inf
