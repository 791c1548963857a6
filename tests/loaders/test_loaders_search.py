"""Amazon-C4 and WANDS on files of their true schemas, sound and broken."""

import pytest
from helpers.published_files import (
    C4_HEADER,
    C4_ITEMS,
    C4_QUERIES,
    WANDS_LABELS,
    WANDS_PRODUCTS,
    WANDS_QUERIES,
    as_csv,
    write_c4,
    write_wands,
)

from rec_gym.datasets import amazon_c4, wands


def split_of(dataset):
    return dict(zip(dataset.column("id"), dataset.column("split"), strict=True))


# Amazon-C4


def test_c4_splits_by_the_category_of_the_product(tmp_path):
    dataset = amazon_c4.load(write_c4(tmp_path))
    assert {name: split for name, split in split_of(dataset).items() if name in "0123"} == dict.fromkeys("0123", "test")
    assert set(split_of(dataset)) - set("0123") == {"4", "5"}
    request = dataset.request("1")
    assert (request.text, request.domain, dict(request.gains)) == ("I need b, please", "Baby", {"b": 1.0})
    assert dataset.catalog.titles([1]) == ["A thing b."]
    assert dataset.notes == {}


def test_c4_keeps_the_last_thousand_of_the_others_for_validation(tmp_path):
    queries = [[k, "text", "ae"[k % 2], "U", 5, ""] for k in range(2100)]
    dataset = amazon_c4.load(write_c4(tmp_path, queries))
    assert {split: len(dataset.rows(split)) for split in dataset.splits} == {"train": 50, "val": 1000, "test": 1050}
    others = [int(name) for split in ("train", "val") for name in dataset.column("id", dataset.rows(split))]
    assert others == list(range(1, 2100, 2))


def test_c4_tests_on_one_domain(tmp_path):
    dataset = amazon_c4.load(write_c4(tmp_path), domain="Baby")
    assert [name for name, split in split_of(dataset).items() if split == "test"] == ["1"]
    assert dataset.notes == {"test requests of other domains than Baby, left out": 3}
    with pytest.raises(ValueError, match="unknown domain 'Books'; .*choose from: all, Games, Baby, Office, Sports"):
        amazon_c4.load(str(tmp_path), domain="Books")


def test_c4_counts_what_it_drops(tmp_path):
    queries = [*C4_QUERIES, [6, "text", "zz", "U", 5, ""], [7, " ", "a", "U", 5, ""]]
    items = [*C4_ITEMS, C4_ITEMS[0] | {"metadata": "again"}, {"item_id": "g", "category": "Home", "metadata": ""}]
    dataset = amazon_c4.load(write_c4(tmp_path, queries, items))
    assert dataset.catalog.titles(dataset.catalog.positions(["a"])) == ["A thing a."]
    assert dataset.notes == {
        "requests whose target is not in the catalogue, dropped": 1,
        "queries without a text, dropped": 1,
        "items with a repeated id, dropped": 1,
        "items without metadata": 1,
    }


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"queries": [C4_QUERIES[0], C4_QUERIES[0]]}, "the qid '0' is empty or appears twice"),
        ({"queries": [["", "x", "a", "U", 5, ""]]}, "the qid '' is empty"),
        ({"queries": "qid,query\n1,x\n"}, r"test\.csv has no column 'item_id'; its first line is: qid, query"),
        (
            {"queries": as_csv(C4_HEADER, C4_QUERIES)[:-8]},
            "a quotation mark is not closed at the end; the file may be truncated",
        ),
        ({"queries": []}, "no request"),
        ({"queries": ""}, r"test\.csv is empty"),
        ({"items": [{"item_id": "a", "metadata": "x"}]}, "line 1: no field 'category'; its fields: item_id, metadata"),
        ({"items": [{"item_id": None, "category": "x", "metadata": "x"}]}, "item needs a non-empty id"),
        ({"items": '{"item_id": "a", "cat'}, r"1M\.jsonl, line 1: not JSON .* truncated"),
        ({"items": ""}, "the catalogue is empty"),
    ],
)
def test_c4_refuses(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        amazon_c4.load(write_c4(tmp_path, **written))


def test_c4_names_mixed_encodings_and_missing_files(tmp_path):
    folder = write_c4(tmp_path)
    (tmp_path / "test.csv").write_bytes((tmp_path / "test.csv").read_bytes() + b"9,caf\xe9,a,U,5,x\n")
    with pytest.raises(ValueError, match=r"test\.csv, line 20: not utf-8 \(byte 0xe9 at column 6\)"):
        amazon_c4.load(folder)
    for name in ("test.csv", "sampled_item_metadata_1M.jsonl"):
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"{name} is missing\. .* should hold test\.csv \(qid"):
            amazon_c4.load(folder)
        write_c4(tmp_path)
    assert [file.path for file in amazon_c4.sources(domain="all")] == ["test.csv", "sampled_item_metadata_1M.jsonl"]


# WANDS


def test_wands(tmp_path):
    dataset = wands.load(write_wands(tmp_path))
    assert dataset.request("0").gains == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert wands.load(str(tmp_path), partial=0.1).request("0").gains == {"a": 1.0, "b": 0.1, "c": 0.0}
    columns = ["item_id", "title", "product_class", "category", "description", "features"]
    assert dataset.catalog.table.column_names == [*columns, "rating_count", "average_rating", "review_count"]
    assert dataset.catalog.values("category")[0] == "Furniture / Bedroom / Beds"
    assert dataset.catalog.values("description")[0] == 'a 12" bed a'
    assert dataset.catalog.values("features")[0] == "color:red size:12"
    assert dataset.notes == {}


def test_wands_keeps_classes_apart(tmp_path):
    queries = [*WANDS_QUERIES, [60, "both", "class 1|class 2"], [61, "none", ""]]
    labels = [*WANDS_LABELS, [200, 60, "a", "Exact"], [201, 61, "a", "Exact"]]
    dataset = wands.load(write_wands(tmp_path, queries=queries, labels=labels))
    assert dataset.splits == ("train", "val", "test", "ood-class")
    classes = {
        split: {name for domain in dataset.column("domain", dataset.rows(split)) for name in domain.split("|") if name}
        for split in dataset.splits
    }
    for split in ("train", "val", "test"):
        assert not classes[split] & classes["ood-class"]
    assert len(classes["ood-class"]) >= 2
    assert dataset.request("61").domain == ""
    assert dataset.notes == {"queries with classes both inside and outside ood-class, left out": 1}


def test_wands_counts_what_it_drops(tmp_path):
    labels = [*WANDS_LABELS, [200, 99, "a", "Exact"], [201, 1, "zz", "Exact"], [202, 0, "a", "Exact"]]
    queries = [*WANDS_QUERIES, [60, "no label", "x"], [61, " ", "x"], [62, "irrelevant", "x"]]
    labels += [[203, 61, "a", "Exact"], [204, 62, "a", "Irrelevant"]]
    products = [*WANDS_PRODUCTS, ["e", "", "", "", "", "", "", "", ""]]
    assert wands.load(write_wands(tmp_path, products, queries, labels)).notes == {
        "items without a title": 1,
        "items without any text": 1,
        "judgements of queries that are not in query.csv, dropped": 1,
        "judgements of items that are not in the catalogue, dropped": 1,
        "repeated judgements, counted once": 1,
        "queries without a judgement, left out": 1,
        "judged queries without a text, dropped": 1,
        "queries without a relevant item in the catalogue, dropped": 1,
    }


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"products": [*WANDS_PRODUCTS, WANDS_PRODUCTS[0]]}, r"product\.csv: item ids must be unique; repeated: 'a'"),
        ({"products": [["", *WANDS_PRODUCTS[0][1:]]]}, "item needs a non-empty id"),
        ({"products": [[*WANDS_PRODUCTS[0][:-1], "many"]]}, "column 'review_count' must be a number, not 'many'"),
        ({"products": "product_id\tcategory_hierarchy\n"}, "has no column 'product_name', .*'category hierarchy'"),
        ({"products": []}, "the catalogue is empty"),
        ({"queries": [*WANDS_QUERIES, WANDS_QUERIES[0]]}, "line 62: the query id '0' is empty or appears twice"),
        ({"queries": "query_id,query,query_class\n"}, r"query\.csv has no column 'query_id'"),
        ({"labels": [[0, 0, "a", "Perfect"]]}, "unknown label 'Perfect'; choose from: Exact, Partial, Irrelevant"),
        ({"labels": [[0, 0, "a", "Exact"], [1, 0, "a", "Partial"]]}, r"different judgements .* \('0', 'a'\)"),
        ({"labels": "id\tquery_id\tproduct_id\tlabel\n0\t0\ta\n"}, "line 2: 3 cells, but the first line has 4"),
        ({"labels": []}, "no request"),
    ],
)
def test_wands_refuses(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        wands.load(write_wands(tmp_path, **written))


def test_wands_options_and_files_are_checked(tmp_path):
    with pytest.raises(ValueError, match="partial, the gain of the label Partial, must be between 0 and 1, not 2"):
        wands.load(write_wands(tmp_path), partial=2)
    (tmp_path / "label.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"label\.csv is missing\. .*category hierarchy"):
        wands.load(str(tmp_path))
    write_wands(tmp_path)
    (tmp_path / "query.csv").write_bytes(b"query_id\tquery\tquery_class\n0\tcaf\xe9\tx\n")
    with pytest.raises(ValueError, match=r"query\.csv, line 2: not utf-8"):
        wands.load(str(tmp_path))
    assert [file.path for file in wands.sources(partial=0.5)] == ["product.csv", "query.csv", "label.csv"]
