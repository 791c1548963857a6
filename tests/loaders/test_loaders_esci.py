"""The loader of ESCI on files of both published layouts, sound and broken, and on a piece of the real data."""

import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.esci_files import EXAMPLES, FIELDS, PRODUCTS, example, gains, product, split_of, write_esci

from rec_gym.datasets import esci

REAL = os.environ.get("REC_GYM_TEST_DATA")


def test_esci_original_layout(tmp_path):
    dataset = esci.load(write_esci(tmp_path))
    assert dataset.catalog.table.column_names == ["item_id", *FIELDS]
    assert dataset.catalog.ids(range(4)) == list("abcd")
    assert dataset.catalog.titles([0]) == ["title a"]
    assert split_of(dataset) == {"1": "train", "2": "test"}
    assert gains(dataset, "1") == {"a": 1.0, "b": 0.1, "c": 0.01, "d": 0.0}
    assert gains(esci.load(str(tmp_path), gains="exact"), "1") == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}
    assert split_of(esci.load(str(tmp_path), version="large")) == {"1": "train", "2": "test", "3": "test"}


def test_esci_one_table_layout_gives_the_same(tmp_path):
    names = dict(zip("ESCI", ("Exact", "Substitute", "Complement", "Irrelevant"), strict=True))
    texts = {(row["product_locale"], row["product_id"]): row for row in PRODUCTS}
    parts = {"train": [], "test": []}
    for row in EXAMPLES:
        row = {**texts[row["product_locale"], row["product_id"]], **row, "product_text": "all of it"}
        row["esci_label"] = names[row["esci_label"]]
        parts[row.pop("split")].append(row)
    (tmp_path / "data").mkdir()
    for split, rows in parts.items():
        table = pa.Table.from_pylist(rows)
        table = table.set_column(0, "product_id", table["product_id"].dictionary_encode())
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001-abc.parquet")
    (tmp_path / "original").mkdir()
    original = esci.load(write_esci(tmp_path / "original"))
    (tmp_path / "original" / esci.EXAMPLES).unlink()
    (tmp_path / "original" / esci.PRODUCTS).unlink()
    one_table = esci.load(str(tmp_path))
    order = one_table.catalog.positions(list("abcd"))
    assert one_table.catalog.table.take(pa.array(order)).equals(original.catalog.table)
    assert [one_table.request(name) for name in "12"] == [original.request(name) for name in "12"]


def test_esci_counts_what_it_drops(tmp_path):
    examples = [
        *EXAMPLES,
        example(5, "gone", "E"),
        example(6, "a", "I"),
        example(7, "a", "E", text=""),
        example(8, "a", "E"),
        example(8, "b", "E", "test"),
    ]
    dataset = esci.load(write_esci(tmp_path, examples, [*PRODUCTS, product("empty")]))
    assert split_of(dataset) == {"1": "train", "2": "test", "8": "test"}
    assert gains(dataset, "8") == {"b": 1.0}
    assert dataset.notes == {
        "items without any text": 1,
        "judgements of items that are not in the catalogue, dropped": 1,
        "queries without a relevant item in the catalogue, dropped": 2,
        "judged queries without a text, dropped": 1,
        "queries judged in several splits, kept in the strictest (test, val, others, train)": 1,
    }


def without(rows, name):
    return [{key: value for key, value in row.items() if key != name} for row in rows]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"examples": [example(1, "a", "X")]}, "unknown esci_label 'X'; choose from: E, S, C, I, Exact"),
        ({"examples": [example(1, "a", None), *EXAMPLES]}, "unknown esci_label None"),
        ({"examples": [example(1, "a", "E", "later")]}, "unknown split 'later'; choose from: train, test"),
        ({"examples": [example(None, "a", "E"), *EXAMPLES]}, "a row has no query_id"),
        ({"examples": [*EXAMPLES, example(1, "a", "S")]}, r"different judgements .* \('1', 'a'\)"),
        ({"examples": without(EXAMPLES, "esci_label")}, "has no column 'esci_label'; its columns: example_id"),
        ({"examples": [example(1, "a", "I")]}, "no request"),
        ({"products": without(PRODUCTS, "product_brand")}, "has no column 'product_brand'"),
        ({"products": [*PRODUCTS, PRODUCTS[0]]}, "item ids must be unique; repeated: 'a'"),
        ({"products": [product("a", "es")]}, "holds no product of locale 'us'; its locales: 'es'"),
    ],
)
def test_esci_refuses(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        esci.load(write_esci(tmp_path, **written))


def test_esci_names_a_truncated_file(tmp_path):
    folder = write_esci(tmp_path)
    content = (tmp_path / esci.PRODUCTS).read_bytes()
    for broken in (content[: len(content) // 2], b""):
        (tmp_path / esci.PRODUCTS).write_bytes(broken)
        with pytest.raises(
            ValueError, match=r"products\.parquet cannot be read as parquet .* truncated: fetch it again"
        ):
            esci.load(folder)


def test_esci_options_and_files_are_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"should hold either shopping_queries_dataset_examples\.parquet"):
        esci.load(str(tmp_path))
    folder = write_esci(tmp_path)
    with pytest.raises(ValueError, match="unknown gains 'binary'; .*choose from: graded, exact"):
        esci.load(folder, gains="binary")
    with pytest.raises(ValueError, match="unknown version 'tiny'; .*choose from: small, large"):
        esci.load(folder, version="tiny")
    (tmp_path / esci.EXAMPLES).rename(tmp_path / "judged.parquet")
    with pytest.raises(FileNotFoundError, match=r"examples\.parquet is missing"):
        esci.load(folder)
    (tmp_path / esci.PRODUCTS).unlink()
    with pytest.raises(ValueError, match=r"judged\.parquet: its name does not state a split"):
        esci.load(folder)


@pytest.mark.skipif(not REAL, reason="REC_GYM_TEST_DATA does not name the folder with the real data")
def test_esci_mini():
    dataset = esci.load(os.path.join(REAL, "esci_mini"))
    assert len(dataset.catalog) == 115
    assert split_of(dataset) == {"0": "train", "1": "test"}
    counts = Counter(np.round(dataset.judged_gains.values, 2).tolist())
    assert counts == {1.0: 79, 0.0: 24, 0.1: 11, 0.01: 1}
    assert dataset.notes == {}
