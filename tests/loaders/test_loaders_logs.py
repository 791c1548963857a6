"""Custom logs, valid and broken."""

import pytest
from helpers.published_files import LOG_ITEMS, LOG_REQUESTS, as_jsonl, write_log

from rec_gym.datasets import logs


def split_of(dataset):
    return dict(zip(dataset.column("id"), dataset.column("split"), strict=True))


def test_splits_follow_each_other_in_time(tmp_path):
    dataset = logs.load(write_log(tmp_path, LOG_REQUESTS[::-1]))
    assert list(split_of(dataset).values()) == ["train"] * 14 + ["val"] * 2 + ["test"] * 4
    assert list(split_of(dataset)) == [f"r{k}" for k in range(20)]
    assert dataset.notes == {"requests out of time order, sorted": 19}
    assert dataset.catalog.values("price").tolist() == [0.5, 1.5, 2.5, 3.5]


def test_cuts_in_time_may_be_named(tmp_path):
    dataset = logs.load(write_log(tmp_path), cut="2023-11-14T22:13:30Z", val_cut=1_700_000_005)
    assert [len(dataset.rows(split)) for split in ("train", "val", "test")] == [5, 5, 10]
    assert split_of(logs.load(str(tmp_path), cut="2023-11-14T22:13:30", val_cut="2023-11-14T23:13:25+01:00")) == (
        split_of(dataset)
    )


def test_requests_of_one_moment_stay_together(tmp_path):
    times = [1, 2, 3, 4, 5, 6, 6, 6, 6, 7]
    requests = [LOG_REQUESTS[k] | {"time": time} for k, time in enumerate(times)]
    dataset = logs.load(write_log(tmp_path, requests))
    assert [name for name, split in split_of(dataset).items() if split == "test"] == ["r5", "r6", "r7", "r8", "r9"]


def test_gains_are_the_weights_of_the_strongest_events(tmp_path):
    engagement = {"a": "impression", "b": ["impression", "click"], "c": ["click", "purchase"], "zz": "purchase"}
    requests = [*LOG_REQUESTS[:-1], LOG_REQUESTS[-1] | {"engagement": engagement, "domain": "lamps", "history": ["d"]}]
    request = logs.load(write_log(tmp_path, requests), click=0.25).request("r19")
    assert request.gains == {"a": 0.0, "b": 0.25, "c": 1.0}
    assert (request.user, request.domain, request.history) == ("u", "lamps", ("d",))


def test_histories_alone_are_requests_too(tmp_path):
    requests = [row | {"history": ["b", "yy"]} for row in LOG_REQUESTS]
    for row in requests:
        del row["query"]
    dataset = logs.load(write_log(tmp_path, requests))
    assert dataset.is_history
    assert dataset.request("r0").text == "Item 1: lamp b"
    assert dataset.notes == {"items of histories that are not in the catalogue, dropped": 20}


def test_what_cannot_be_used_is_dropped_and_counted(tmp_path):
    odd = [{"engagement": {"a": "impression"}}, {"engagement": {"zz": "click"}}, {"engagement": {}}, {"query": " "}]
    requests = [*LOG_REQUESTS, *(LOG_REQUESTS[-1] | {"id": f"odd{k}"} | row for k, row in enumerate(odd))]
    items = [*LOG_ITEMS, {"item_id": "e", "title": None, "price": None}]
    assert logs.load(write_log(tmp_path, requests, items)).notes == {
        "items without any text": 1,
        "items of engagements that are not in the catalogue, dropped": 1,
        "requests without an item of gain > 0 in the catalogue, dropped": 3,
        "requests without a query or a known history, dropped": 1,
    }


def with_last(**fields):
    return [*LOG_REQUESTS[:-1], LOG_REQUESTS[-1] | fields]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"requests": [*LOG_REQUESTS, LOG_REQUESTS[0]]}, "request ids must be unique; repeated: 'r0'"),
        ({"requests": with_last(id="")}, "request needs a non-empty id"),
        ({"requests": with_last(clicks=1)}, "line 20: unknown field 'clicks'; the fields are id, time, query"),
        ({"requests": with_last(engagement=["a"])}, r"'engagement' must be an object \{item id: events\}"),
        (
            {"requests": with_last(engagement={"a": "bought"})},
            "line 20: unknown event 'bought'; choose from: impression",
        ),
        ({"requests": with_last(engagement={"a": []})}, r"unknown event \[\]"),
        ({"requests": with_last(time="yesterday")}, "line 20: a time is ISO 8601 or seconds since 1970, not 'yest"),
        ({"requests": with_last(time=None)}, "a time is ISO 8601 or seconds since 1970, not None"),
        ({"requests": with_last(history="a")}, "field 'history' must be a list of item ids"),
        ({"requests": with_last(query=5.5)}, "field 'query' must be text, not float"),
        ({"requests": as_jsonl(LOG_REQUESTS)[:-9]}, "line 20: not JSON .* truncated"),
        ({"requests": ""}, "leave train, val or test without a request; 0 requests have a gain > 0"),
        ({"requests": LOG_REQUESTS[:2]}, "2 requests have a gain > 0, from 2023-11-14T22:13:20"),
        ({"items": [*LOG_ITEMS, LOG_ITEMS[0]]}, r"items\.jsonl: item ids must be unique; repeated: 'a'"),
        ({"items": [*LOG_ITEMS, {"item_id": "x"}]}, "line 5: every item needs the same fields .* 'price', 'title'"),
        ({"items": [{"title": "x"}]}, "line 1: no field 'item_id'; its fields: title"),
        ({"items": [{"item_id": "a", "title": ["x"]}]}, "'title' must hold text or numbers, not list"),
        ({"items": [{"item_id": "a", "title": "x"}, {"item_id": "b", "title": 1}]}, "'title' must hold text only or"),
        ({"items": ""}, "the catalogue is empty"),
    ],
)
def test_logs_refuse(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        logs.load(write_log(tmp_path, **written))


def test_options_and_files_are_checked(tmp_path):
    folder = write_log(tmp_path)
    for wrong in ({"click": -1}, {"purchase": float("nan")}, {"test_share": 1}, {"val_share": 0}):
        with pytest.raises(
            ValueError, match="weights of events must be >= 0, and test_share and val_share must be between"
        ):
            logs.load(folder, **wrong)
    with pytest.raises(ValueError, match="choose cut= and val_cut= between"):
        logs.load(folder, cut="2020-01-01")
    with pytest.raises(ValueError, match="cut: a time is ISO 8601"):
        logs.load(folder, cut="soon")
    (tmp_path / "items.jsonl").write_bytes(b'{"item_id": "a", "title": "caf\xe9"}\n')
    with pytest.raises(ValueError, match=r"items\.jsonl, line 1: not utf-8"):
        logs.load(folder)
    (tmp_path / "items.jsonl").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"items\.jsonl is missing\. .* should hold requests\.jsonl, lines such"
    ):
        logs.load(folder)


def test_columns_of_many_lines_fit_together(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_ITEMS_AT_ONCE", 2)
    prices = [None, None, 1, 2.5]
    items = [{"item_id": c, "title": f"lamp {c}", "price": price} for c, price in zip("abcd", prices, strict=True)]
    catalog = logs.load(write_log(tmp_path, items=[row | {"note": None} for row in items])).catalog
    assert catalog.values("price").tolist()[2:] == [1, 2.5]
    assert catalog.text_columns == ("title", "note")
    folder = write_log(tmp_path, items=[*items, {"item_id": "e", "title": "x", "price": "dear"}])
    with pytest.raises(ValueError, match="a field must hold text only or numbers only"):
        logs.load(folder)


def test_constraints_and_filters_of_a_log_are_kept_and_checked(tmp_path):
    told = {"constraints": [["price", "<=", 2]], "filters": [["title", "==", "lamp a"]]}
    request = logs.load(write_log(tmp_path, [*LOG_REQUESTS[:-1], LOG_REQUESTS[-1] | told])).request("r19")
    assert request.constraints == (("price", "<=", 2),)
    assert request.filters == (("title", "==", "lamp a"),)
    for wrong in ({"filters": [["prise", "<=", 2]]}, {"filters": "price"}, {"constraints": [["price", "<=", "low"]]}):
        with pytest.raises(ValueError, match="filter|constraint"):
            logs.load(write_log(tmp_path, [*LOG_REQUESTS[:-1], LOG_REQUESTS[-1] | wrong]))
