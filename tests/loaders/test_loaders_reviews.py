"""Amazon Reviews 2023 on files of the publisher's layouts and of Rec-R1's, sound and broken, and on the real requests."""

import pytest
from helpers.published_files import REVIEW_ITEMS, as_csv, as_jsonl, write, write_reviews

import rec_gym
from rec_gym.datasets import amazon_reviews
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy

HISTORIES = {
    "train": [("u1", "a", 1, ""), ("u1", "b", 2, "a"), ("u2", "c", 3, "a b")],
    "valid": [("u1", "c", 4, "a b"), ("u3", "e", 4, "f")],
    "test": [("u2", "a", 5, "a b c"), ("u3", "g", 5, "f h"), ("u4", "g", 6, "a")],
}
LAST_OUT = {"train": [("u1", "b", 2), ("u1", "a", 1)], "valid": [("u1", "c", 3)], "test": [("u1", "d", 4)]}


def seen(dataset):
    requests = {name: dataset.request(name) for name in dataset.column("id")}
    return {name: (r.split, "".join(r.history), "".join(r.gains)) for name, r in requests.items()}


def load(folder, **options):
    return amazon_reviews.load(write_reviews(folder, **HISTORIES), **options)


def test_timestamp_split_with_histories(tmp_path):
    dataset = load(tmp_path, setting="timestamp")
    assert seen(dataset) == {
        "train-2": ("train", "a", "b"),
        "train-3": ("train", "ab", "c"),
        "valid-1": ("val", "ab", "c"),
        "valid-2": ("val", "f", "e"),
        "test-1": ("test", "abc", "a"),
        "test-2": ("test", "fh", "g"),
        "test-3": ("test", "a", "g"),
    }
    assert dataset.request("test-1").user == "u2"
    assert dataset.request("test-2").text == "Item 1: title f\nItem 2: title h"
    assert dataset.notes == {
        "requests without a history, dropped": 1,
        "requests whose target is in their own history, kept": 1,
        "values of 'price' that are not numbers, left out": 1,
    }


def test_the_catalogue_takes_lists_and_prices_in_any_form(tmp_path):
    catalog = load(tmp_path, setting="timestamp").catalog
    assert catalog.values("features")[0] == "soft mild"
    assert catalog.values("categories")[0] == ""
    prices = catalog.values("price").tolist()
    assert [price for price in prices if price == price] == [12.99, 5.0, 1000.5, 3.5]
    assert catalog.values("popularity").tolist() == [2, 2, 1, 0, 0, 0, 0, 0]


def test_rec_r1s_settings_are_chosen_from_the_timestamp_split(tmp_path):
    dataset = load(tmp_path)
    assert [name for name in seen(dataset) if not name.startswith("train")] == ["valid-1", "test-1"]
    assert dataset.notes["requests that are not transductive, left out"] == 3
    dataset = load(tmp_path, setting="inductive")
    assert [name for name in seen(dataset) if not name.startswith("train")] == ["valid-2", "test-2"]
    assert len(dataset.rows("train")) == 2
    rows = HISTORIES | {"test": HISTORIES["test"][:1] * 3}
    dataset = amazon_reviews.load(write_reviews(tmp_path, **rows), limit=2)
    assert dataset.rows("test").size == 2
    assert dataset.notes["transductive requests after the first 2 of a split, left out"] == 1


@pytest.mark.parametrize("header", [True, False])
def test_histories_are_put_together_where_files_have_none(tmp_path, header):
    folder = write_reviews(tmp_path, place="benchmark/5core/last_out", header=header, **LAST_OUT)
    dataset = amazon_reviews.load(folder, setting="last_out", core="5core")
    assert seen(dataset) == {
        "train-1": ("train", "a", "b"),
        "valid-1": ("val", "ab", "c"),
        "test-1": ("test", "abc", "d"),
    }
    assert dataset.notes["requests without a history, dropped"] == 1


def test_files_without_a_header_line(tmp_path):
    with_header = seen(load(tmp_path / "a", setting="timestamp"))
    folder = write_reviews(tmp_path / "b", header=False, **HISTORIES)
    assert seen(amazon_reviews.load(folder, setting="timestamp")) == with_header


def test_rec_r1s_layout_need_not_have_all_parts(tmp_path):
    folder = write_reviews(tmp_path, place="inductive", test=HISTORIES["test"], valid=HISTORIES["valid"])
    (tmp_path / "raw" / "meta_categories" / "meta_All_Beauty.jsonl").rename(tmp_path / "meta_All_Beauty.jsonl")
    dataset = amazon_reviews.load(folder, setting="inductive")
    assert dataset.splits == ("val", "test")
    assert len(dataset) == 5


def test_what_the_catalogue_lacks_is_dropped_and_counted(tmp_path):
    parts = HISTORIES | {"test": [("u", "zz", 1, "a"), ("u", "a", 1, "zz yy b"), ("u", "a", 1, "zz")]}
    meta = [*REVIEW_ITEMS, REVIEW_ITEMS[0], REVIEW_ITEMS[0] | {"parent_asin": "i", "title": None}]
    dataset = amazon_reviews.load(write_reviews(tmp_path, meta=meta, **parts), setting="timestamp")
    assert seen(dataset)["test-2"] == ("test", "b", "a")
    assert dataset.notes == {
        "requests without a history, dropped": 2,
        "requests whose target is not in the catalogue, dropped": 1,
        "items of histories that are not in the catalogue, dropped": 3,
        "values of 'price' that are not numbers, left out": 1,
        "items with a repeated id, dropped": 1,
        "items without a title": 1,
    }


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"meta": [{"title": "x"}]}, "line 1: no field 'parent_asin'"),
        ({"meta": [{"parent_asin": "a"}]}, "line 1: no field 'title'; its fields: parent_asin"),
        ({"meta": [REVIEW_ITEMS[0] | {"parent_asin": None}]}, "item needs a non-empty id"),
        ({"meta": [REVIEW_ITEMS[0] | {"features": [1]}]}, "field 'features' must be a list of texts; it holds int"),
        ({"meta": [REVIEW_ITEMS[0] | {"title": ["x"]}]}, "field 'title' must be text, not list"),
        ({"meta": '{"parent_asin": "a", "ti'}, "line 1: not JSON .* truncated"),
        ({"meta": ""}, "the catalogue is empty"),
        ({"test": "user,parent_asin,history\nu,a,b\n"}, r"test\.csv has no column 'user_id'; its first line is: user"),
        ({"test": as_csv(["user_id", "parent_asin", "rating"], [])}, "has no column 'history'"),
        ({"test": "user_id,parent_asin,history\nu,a\n"}, "line 2: 2 cells, but the first line has 3; .* truncated"),
        (
            {"test": 'user_id,parent_asin,history\nu,a,"b c\n'},
            "a quotation mark is not closed at the end; .* truncated",
        ),
        ({"test": ""}, r"test\.csv is empty; it should hold the columns user_id, parent_asin, history"),
    ],
)
def test_reviews_refuse(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        amazon_reviews.load(write_reviews(tmp_path, **(HISTORIES | written)), setting="timestamp")


def test_mixed_encodings_are_named_with_their_line(tmp_path):
    folder = write_reviews(tmp_path, **HISTORIES)
    path = tmp_path / "benchmark" / "0core" / "timestamp_w_his" / "All_Beauty.test.csv"
    path.write_bytes(path.read_bytes() + "Zoë,a,5,1,b\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"All_Beauty\.test\.csv, line 5: not utf-8 \(byte 0xeb at column 3\)"):
        amazon_reviews.load(folder, setting="timestamp")


def test_no_request_is_left(tmp_path):
    nothing = {part: [] for part in HISTORIES}
    with pytest.raises(ValueError, match="no request"):
        amazon_reviews.load(write_reviews(tmp_path, **nothing), setting="timestamp")
    parts = {part: [("u", "a", "noon")] for part in nothing}
    folder = write_reviews(tmp_path, place="benchmark/0core/last_out", **parts)
    with pytest.raises(ValueError, match="the timestamp must be a number, not 'noon'"):
        amazon_reviews.load(folder, setting="last_out")


def test_options_and_files_are_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"meta_All_Beauty\.jsonl is missing\. .* should hold meta_<domain>"):
        amazon_reviews.load(str(tmp_path))
    write(tmp_path, {"meta_All_Beauty.jsonl": as_jsonl(REVIEW_ITEMS)})
    with pytest.raises(FileNotFoundError, match=r"benchmark/0core/timestamp_w_his/All_Beauty\.train\.csv is missing"):
        amazon_reviews.load(str(tmp_path))
    with pytest.raises(
        ValueError, match="unknown setting 'last'; .*choose from: transductive, inductive, last_out, timestamp"
    ):
        amazon_reviews.load(str(tmp_path), setting="last")
    with pytest.raises(ValueError, match="unknown core 0; .*choose from: 0core, 5core"):
        amazon_reviews.load(str(tmp_path), core=0)
    with pytest.raises(ValueError, match="unknown domain 'Beauty'; did you mean 'All_Beauty'"):
        amazon_reviews.sources(domain="Beauty")
    paths = [file.path for file in amazon_reviews.sources(domain="Books", setting="last_out", core="5core")]
    assert paths[0] == "raw/meta_categories/meta_Books.jsonl"
    assert paths[-1] == "benchmark/5core/last_out_w_his/Books.test.csv"


# What the description of the real requests states, and what was measured beside it.
BASELINES = [
    ("inductive", True, "last-title", 619, 0.0597, 0.0698),
    ("inductive", False, "all-titles", 619, 0.0327, 0.0467),
    ("inductive", False, "last-title", 619, 0.0399, 0.0512),
    ("inductive", True, "all-titles", 619, 0.0499, 0.0635),
    ("transductive", True, "last-title", 210, 0.0307, 0.0394),
    ("transductive", False, "last-title", 210, 0.0197, 0.0309),
]


@pytest.mark.parametrize(("setting", "exclude", "policy", "count", "at_10", "at_100"), BASELINES)
def test_baselines_on_the_real_requests(real_data, setting, exclude, policy, count, at_10, at_100):
    folder = str(real_data / "amazon_beauty_recr1")
    task = rec_gym.make_task(
        "RecR1-AmazonReviews-BM25-v0", data_dir=folder, setting=setting, split="test", exclude_history=exclude
    )
    assert len(task.dataset.catalog) == 3680
    assert len(task) == count
    dropped = {"inductive": 1073, "transductive": 1005}[setting]  # in valid and test
    assert task.dataset.notes == {"requests whose target is not in the catalogue, dropped": dropped}
    measured = evaluate(task, make_policy(policy, task), measures=["ndcg@10", "ndcg@100"])
    assert measured.values("ndcg@10").mean() == pytest.approx(at_10, abs=5e-5)
    assert measured.values("ndcg@100").mean() == pytest.approx(at_100, abs=5e-5)
