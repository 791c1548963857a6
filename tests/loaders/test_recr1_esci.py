"""Rec-R1's protocol on ESCI: domains, splits and lists, on small files and on the lists that were published."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.esci_files import example, product, split_of, write_esci

import rec_gym
from rec_gym.datasets import esci
from rec_gym.datasets.reading import asin_categories
from rec_gym.datasets.reading.recr1_esci import DOMAINS, read_lists

CATEGORIES = {
    "a": "Video_Games",
    "b": "Baby Products",
    "c": "Electronics",
    "d": "Unknown",
    "e": "Books",
    'q"\\': "caf\u00e9",
}
PRODUCTS = [product(c, title=f"title {c}") for c in "abcde"]
EXAMPLES = [
    example(1, "a", "E", "test"),
    example(2, "b", "E", "test"),
    example(3, "c", "E", "test"),
    example(4, "a", "E"),
    example(5, "d", "E"),
    example(5, "c", "E"),
    example(5, "a", "E"),
    example(6, "d", "E"),
    example(6, "c", "S"),
    example(7, "e", "E"),
    example(7, "c", "S"),
]


def write_with_categories(folder, examples=EXAMPLES, categories=CATEGORIES, **arguments):
    (folder / asin_categories.FILE).write_text(json.dumps(categories, **arguments))
    return write_esci(folder, examples, PRODUCTS)


def test_the_papers_splits(tmp_path):
    folder = write_with_categories(tmp_path)
    dataset = esci.load(folder, splits="rec-r1", gains="exact")
    assert split_of(dataset) == {"1": "test", "2": "test", "5": "val", "7": "val"}
    assert dataset.column("domain").tolist() == ["Video_Games", "Baby_Products", "Electronics", "Books"]
    assert dataset.request("7").gains == {"e": 1.0, "c": 0.0}
    assert dataset.notes == {
        "queries none of whose exact matches has a known category, left out": 1,
        "train queries of the domains that are tested on, left out": 1,
        "test queries of domains that are not tested on, left out": 1,
    }
    dataset = esci.load(folder, domain="Baby_Products", splits="rec-r1")
    assert split_of(dataset) == {"2": "test", "5": "val", "7": "val"}
    assert dataset.request("7").gains == {"e": 1.0, "c": 0.1}


def test_a_hundred_queries_are_for_validation_and_none_of_them_is_tested_on(tmp_path):
    examples = [example(k, "ace"[k % 3], "E", ("train", "test")[k % 2]) for k in range(900)]
    dataset = esci.load(write_with_categories(tmp_path, examples), splits="rec-r1")
    assert {split: len(dataset.rows(split)) for split in dataset.splits} == {"train": 200, "val": 100, "test": 150}
    ids = [set(dataset.column("id", dataset.rows(split))) for split in dataset.splits]
    assert len(set.union(*ids)) == sum(map(len, ids))
    # The first in the file, as the paper took them.
    assert max(map(int, ids[1])) < min(map(int, ids[0]))


def test_one_domain_of_the_published_splits(tmp_path):
    dataset = esci.load(write_with_categories(tmp_path), domain="Video_Games")
    assert split_of(dataset) == {"1": "test", "4": "train"}
    assert dataset.notes == {"queries of other domains than Video_Games, left out": 5}


def test_the_ids_of_the_four_domains(tmp_path):
    folder = write_with_categories(tmp_path)
    for name, domain in (("VideoGames", "Video_Games"), ("BabyProducts", "Baby_Products")):
        task = rec_gym.make_task(f"RecR1-ESCI{name}-BM25-v0", data_dir=folder, split="test")
        assert [row["domain"] for row in task.rows()] == [domain]
    exact = rec_gym.make_task("RecR1-ESCIVideoGames-BM25-v0", data_dir=folder, split="val", protocol="paper")
    assert set(exact.dataset.relevant_gains.values.tolist()) == {1.0}
    assert str(exact.reward.measure) == "ndcg@100"


def test_spanish_has_its_own_stems_and_japanese_is_left_out(tmp_path):
    products = [product("a", "es", title="lámparas rojas"), product("b", "es", title="silla")]
    folder = write_esci(tmp_path, [example(1, "a", "E", locale="es")], products)
    task = rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir=folder, locale="es")
    assert task.recommender.analyzer.language == "spanish"
    assert task.score(["1"], ["lámpara roja"]).rewards[0] == 1
    english = {"name": "bm25", "language": "english"}
    task = rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir=folder, locale="es", recommender=english)
    assert task.recommender.analyzer.language == "english"
    with pytest.raises(ValueError, match="locale 'jp' is left out: Japanese is written without blanks"):
        esci.load(folder, locale="jp")
    with pytest.raises(ValueError, match="unknown locale 'fr'; .*choose from: us, es, jp"):
        esci.sources(locale="fr")


def test_options_and_files_are_checked(tmp_path):
    folder = write_esci(tmp_path, EXAMPLES, PRODUCTS)
    with pytest.raises(FileNotFoundError, match=r"asin2category\.json is missing\. .*/Amazon-Reviews-2023, beside"):
        esci.load(folder, domain="Video_Games")
    with pytest.raises(ValueError, match="unknown domain 'Games'; .*choose from: all, Video_Games, .*"):
        esci.load(folder, domain="Games")
    with pytest.raises(ValueError, match="unknown splits 'paper'; .*choose from: published, rec-r1, rec-r1-lists"):
        esci.load(folder, splits="paper")
    with pytest.raises(ValueError, match="no request"):
        esci.load(write_with_categories(tmp_path, categories={}), splits="rec-r1")
    assert len(esci.sources()) == 1
    assert len(esci.sources(domain="Video_Games")) == len(esci.sources(splits="rec-r1")) == 2
    assert esci.sources(splits="rec-r1-lists") == []


# The file of categories


@pytest.mark.parametrize("piece", [7, 64, 1 << 22])
@pytest.mark.parametrize("arguments", [{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_categories_are_read_in_pieces(tmp_path, monkeypatch, piece, arguments):
    monkeypatch.setattr(asin_categories, "_PIECE", max(piece, 40))
    path = tmp_path / "file.json"
    path.write_text(json.dumps(CATEGORIES, **arguments), encoding="utf-8")
    wanted = ["e", "zz", "a", "b", "d", 'q"\\']
    found = asin_categories.categories_of(path, wanted)
    assert found == {"e": "Books", "a": "Video_Games", "b": "Baby_Products", 'q"\\': "café"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a"]', "expected a JSON object {product: category}"),
        (json.dumps(CATEGORIES)[:-20], "ends in the middle, near .* truncated"),
        ('{"a": "b", "c": 5}', "truncated, or not an object of texts"),
        ('{"a": "b"} x', "truncated, or not an object of texts"),
        ('{"a": ' + "5" * 9_000_000 + "}", 'no entry of two texts near b\'{"a": 555'),
    ],
)
def test_categories_refuse(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        asin_categories.categories_of(path, ["a"])


# The paper's lists

LISTS = {
    "train": [{"query": "t1", "item_id": ["a", "b"]}, {"query": "g1", "item_id": ["a"]}],
    "val": [{"query": "v1", "item_id": ["c", "zz", "c"]}],
    "Video_Games": [{"query": "g1", "item_id": ["a", "a", "b"]}, {"query": "g2", "item_id": ["zz"]}],
    **{name: [{"query": name, "item_id": ["e"]}] for name in DOMAINS[1:]},
}


def write_lists(folder, products=PRODUCTS, **changes):
    for name, rows in (LISTS | changes).items():
        (folder / f"{name}.json").write_text(rows if isinstance(rows, str) else json.dumps(rows, indent=0))
    pq.write_table(pa.Table.from_pylist(products), folder / esci.PRODUCTS)
    return str(folder)


def test_lists(tmp_path):
    folder = write_lists(tmp_path)
    dataset = esci.load(folder, splits="rec-r1-lists", domain="Video_Games")
    assert split_of(dataset) == {"Video_Games-1": "test", "train-1": "train", "val-1": "val"}
    assert dataset.request("Video_Games-1").gains == {"a": 1.0, "b": 1.0}
    assert dataset.request("Video_Games-1").domain == "Video_Games"
    assert dataset.ideal_gains.lengths.tolist() == [2, 2, 1]
    assert dataset.notes == {
        "train and val queries that are also in a test list, left out": 1,
        "targets that are not in the catalogue, dropped": 2,
        "repeated targets in a list": 2,
        "queries without a target in the catalogue, dropped": 1,
    }
    counted = esci.load(folder, splits="rec-r1-lists", domain="Video_Games", duplicate_targets="count")
    assert counted.ideal_gains.lengths.tolist() == [3, 2, 2]
    assert len(esci.load(folder, splits="rec-r1-lists").rows("test")) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": '[{"query": "x"'}, r"train\.json: not JSON .* truncated"),
        ({"train": "{}"}, r"train\.json: expected a list of \{query, item_id: \[\.\.\.\]\}, found dict"),
        ({"val": [{"query": "x"}]}, r"val\.json, entry 1: expected a query and a list item_id"),
        ({"val": [{"query": " ", "item_id": ["a"]}]}, r"val\.json, entry 1"),
        ({"val": [{"query": "x", "item_id": []}]}, r"val\.json, entry 1"),
        ({"val": [{"query": "x", "item_id": [1]}]}, r"val\.json, entry 1"),
        ({"val": ["x"]}, r"val\.json, entry 1"),
    ],
)
def test_lists_refuse(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        esci.load(write_lists(tmp_path, **changes), splits="rec-r1-lists")


def test_lists_that_are_missing(tmp_path):
    folder = write_lists(tmp_path)
    (tmp_path / "val.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"val\.json is missing\. .* should hold Rec-R1's lists"):
        esci.load(folder, splits="rec-r1-lists")


def test_the_published_lists_have_the_papers_sizes(real_data, tmp_path):
    folder = real_data / "recr1_esci_queries_notext"
    notes = Counter()
    requests = read_lists(folder, "all", notes)
    sizes = Counter(request["domain"] or request["split"] for request in requests)
    assert sizes == dict(zip(("train", "val", *DOMAINS), (4510, 100, 103, 103, 184, 408), strict=True))
    assert not notes
    for split, targets in (("train", 1.59), ("test", 3.93)):  # of each query, duplicates counted
        lengths = [len(request["targets"]) for request in requests if request["split"] == split]
        assert sum(lengths) / len(lengths) == pytest.approx(targets, abs=0.005)
    # They hold no product text, so the catalogue is made of their ids.
    products = dict.fromkeys(name for request in requests for name in request["targets"])
    for path in folder.glob("*.json"):
        (tmp_path / path.name).symlink_to(path)
    table = [product(name, title=f"product {name}") for name in products]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / esci.PRODUCTS)
    task = rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir=str(tmp_path), splits="rec-r1-lists")
    assert {split: len(task.dataset.rows(split)) for split in task.dataset.splits} == {
        "train": 4510,
        "val": 100,
        "test": 798,
    }
    assert list(task.dataset.notes) == ["repeated targets in a list"]
