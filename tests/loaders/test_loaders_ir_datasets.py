"""Collections of ir_datasets, registered here; nothing is downloaded."""

import sys

import pytest

import rec_gym
from rec_gym.datasets import ir_datasets as loader

library = pytest.importorskip("ir_datasets")

DOCUMENTS = "d1\tred lamp\nd2\tblue chair\nd3\t\n"


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Registers a collection for the time of a test."""
    monkeypatch.setattr(library.registry, "_registered", dict(library.registry._registered))

    def registered(name, documents=DOCUMENTS, queries=None, qrels=None):
        files = {}
        for kind, text in (("docs_tsv", documents), ("queries_tsv", queries), ("qrels_trec", qrels)):
            if text is not None:
                files[kind] = str(tmp_path / f"{name.replace('/', '-')}.{kind}")
                (tmp_path / files[kind]).write_text(text)
        library.registry.register(name, library.create_dataset(**files))

    return registered


def test_the_parts_of_an_id_are_the_splits(register):
    register("shop")
    register("shop/train", queries="1\tsomething red\n", qrels="1 0 d1 2\n1 0 d2 -1\n")
    register("shop/dev", queries="2\tto sit on\n", qrels="2 0 d2 1\n")
    register("shop/test", queries="3\tlight\n", qrels="3 0 d1 1\n")
    task = rec_gym.make_task("RecR1-IRDatasets-BM25-v0", dataset="shop")
    dataset = task.dataset
    assert {name: dataset.column("id", dataset.rows(name)).tolist() for name in dataset.splits} == {
        "train": ["1"],
        "val": ["2"],
        "test": ["3"],
    }
    assert dataset.request("1").gains == {"d1": 2.0, "d2": 0.0}
    assert dataset.catalog.table.column_names == ["item_id", "title", "text"]
    assert dataset.notes == {"items without any text": 1, "judgements with a negative score, taken as 0": 1}
    assert task.score(["1"], ["lamp"]).rewards[0] == 1


def test_an_id_without_parts_is_a_test_split(register):
    register("shop/whole", queries="3\tlight\n4\t\n5\tx\n", qrels="3 0 d1 1\n3 0 d9 1\n4 0 d1 1\n5 0 d1 0\n")
    dataset = loader.load("shop/whole")
    assert dataset.splits == ("test",)
    assert dataset.column("id").tolist() == ["3"]
    assert dataset.notes == {
        "items without any text": 1,
        "judgements of items that are not in the catalogue, dropped": 1,
        "judged queries without a text, dropped": 1,
        "queries without a relevant item in the catalogue, dropped": 1,
    }


def test_a_query_is_in_one_split(register):
    register("shop")
    for part in ("train", "test"):
        register(f"shop/{part}", queries="3\tlight\n", qrels="3 0 d1 1\n")
    dataset = loader.load("shop")
    assert dataset.splits == ("test",)
    assert dataset.notes["queries judged in several splits, kept in the strictest (test, val, others, train)"] == 1


def test_ir_datasets_refuses(register, monkeypatch):
    with pytest.raises(ValueError, match=r"ir_datasets does not know 'nope'; https://ir-datasets\.com lists the ids"):
        loader.load("nope")
    register("bare")
    with pytest.raises(ValueError, match="'bare' lacks 'queries', 'qrels'; name an id that has documents"):
        loader.load("bare")
    register("twice", documents=DOCUMENTS + "d1\tagain\n", queries="1\tx\n", qrels="1 0 d1 1\n")
    with pytest.raises(ValueError, match="ir_datasets twice: item ids must be unique; repeated: 'd1'"):
        loader.load("twice")
    register("unlike", queries="1\tx\n", qrels="1 0 d1 1\n1 0 d1 2\n")
    with pytest.raises(ValueError, match=r"different judgements of the same query and item: \('1', 'd1'\)"):
        loader.load("unlike")
    with pytest.raises(ValueError, match=r"needs dataset=\.\.\. https://ir-datasets\.com lists the ids"):
        rec_gym.make_task("RecR1-IRDatasets-BM25-v0")
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(ImportError, match=r"need that library: pip install 'rec-gym\[ir-datasets\]'"):
        loader.load("bare")
