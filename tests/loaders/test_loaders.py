"""Loaders on files of the true schemas, sound and broken, and on real data where it is at hand."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.beir_files import CORPUS, QUERIES, write_beir

from rec_gym.datasets import beir, recbole
from rec_gym.datasets.reading.files import (
    first_of_each,
    joined_field,
    one_of,
    read_csv,
    read_jsonl,
    read_lines,
    read_tsv,
)

REAL = os.environ.get("REC_GYM_TEST_DATA")
needs_real_data = pytest.mark.skipif(not REAL, reason="REC_GYM_TEST_DATA does not name the folder with the real data")


def gains(dataset, request_id):
    return dict(dataset.request(request_id).gains)


def split_of(dataset):
    return dict(zip(dataset.column("id"), dataset.column("split"), strict=True))


# Files


def test_lines_know_bom_crlf_blank_lines_and_unicode_line_ends(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes("\ufeffone\r\n\r\n  \n two\u2028still two\x0b \n\nthree".encode())
    assert list(read_lines(path)) == [(1, "one"), (4, " two\u2028still two\x0b "), (6, "three")]


def test_mixed_encodings_are_named_with_file_and_line(tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes("caf\u00e9\n".encode() + "caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"file\.txt, line 2: not utf-8 \(byte 0xe9 at column 4\)"):
        list(read_lines(path))
    path.write_bytes("caf\u00e9\n".encode("latin-1"))
    assert list(read_lines(path, "latin-1")) == [(1, "café")]
    with pytest.raises(ValueError, match="unknown encoding 'latin1000'"):
        list(read_lines(path, "latin1000"))
    with pytest.raises(ValueError, match="cannot be read line by line"):
        list(read_lines(path, "utf-16"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": ', "line 2: not JSON .* may be truncated"),
        ("[1]", "line 1: expected a JSON object, found list"),
        ("[" * 100_000, "line 1: not JSON"),
        ("\0", "line 1: not JSON"),
    ],
)
def test_json_lines_refuse(tmp_path, text, message):
    path = tmp_path / "file.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read_jsonl(path, Counter()))


def test_half_surrogate_pairs_are_repaired_and_counted(tmp_path):
    path, notes = tmp_path / "file.jsonl", Counter()
    path.write_text('{"a": "x\\ud83d y", "b": "\\ud83d\\ude00", "c": 1}')
    assert list(read_jsonl(path, notes)) == [(1, {"a": "x\ufffd y", "b": "😀", "c": 1})]
    assert notes == {"texts with half a surrogate pair, repaired": 1}


def test_tables_refuse(tmp_path):
    path = tmp_path / "file.tsv"
    path.write_text("a\tb\n1\t2\n1\n")
    header, rows = read_tsv(path)
    assert header == ["a", "b"]
    with pytest.raises(ValueError, match="line 3: 1 tab-separated cells, but the header has 2"):
        list(rows)
    path.write_text("\n")
    with pytest.raises(ValueError, match="is empty; it should begin with a header line"):
        read_tsv(path)


def test_csv_cells_may_hold_breaks_quotes_and_unicode(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes('\ufeffa,b,c\r\n1,"x\n\n""y"", z",3\r\n\r\n4,\u2028,6\r\n'.encode())
    assert list(read_csv(path, ("b", "a"))) == [(4, ['x\n\n"y", z', "1"]), (6, ["\u2028", "4"])]
    assert list(read_csv(path, ("c",), layout=("a", "b", "c"))) == [(4, ["3"]), (6, ["6"])]
    path.write_text("1\t2\n3\t4\n")
    assert list(read_csv(path, ("b",), "\t", layout=("a", "b"))) == [(1, ["2"]), (2, ["4"])]
    path.write_text('a,b\n1,"2"3\n4,5" wide\n')
    assert list(read_csv(path, ("b",))) == [(2, ["23"]), (3, ['5" wide'])]


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        ("", (), r"file\.csv is empty; it should hold the columns a, b"),
        ("a;b\n", (), "has no column 'a', 'b'; its first line is: a;b"),
        ("a,c\n", ("a", "b"), "has no column 'b'; its first line is: a, c"),
        ("1,2,3\n", ("a", "b"), "has no column 'a', 'b'"),
        ("a,b\n1\n", (), "line 2: 1 cells, but the first line has 2"),
        ('a,b\n1,"2\n3', (), "a quotation mark is not closed at the end; the file may be truncated"),
        ("a,b\n1,2\r3,4\n", (), "line 2: new-line character seen in unquoted field"),
    ],
)
def test_csv_refuses(tmp_path, text, layout, message):
    path = tmp_path / "file.csv"
    path.write_text(text, newline="")
    with pytest.raises(ValueError, match=message):
        list(read_csv(path, ("a", "b"), layout=layout))


def test_fields_of_lists_and_options():
    assert joined_field({"a": ["x", "y"], "b": "z"}, "a", "here") == "x y"
    assert [joined_field({"b": "z", "c": None}, name, "here") for name in "abc"] == ["", "z", ""]
    with pytest.raises(ValueError, match="here: field 'a' must be a list of texts; it holds dict"):
        joined_field({"a": ["x", {}]}, "a", "here")
    one_of("size", "s", ("s", "m"))
    with pytest.raises(ValueError, match="unknown size 'l'; .*choose from: s, m"):
        one_of("size", "l", ("s", "m"))


def test_the_first_row_of_each_id_is_kept():
    table = pa.table({"id": ["b", "a", "b", None, "c", "a", None], "n": range(7)})
    notes = Counter()
    assert first_of_each(table, "id", notes)["n"].to_pylist() == [
        0,
        1,
        3,
        4,
        6,
    ]  # an id that is missing is refused later
    assert notes == {"items with a repeated id, dropped": 2}
    assert first_of_each(table.slice(0, 2), "id", notes)["n"].to_pylist() == [0, 1]


# BEIR


def test_beir(tmp_path):
    folder = write_beir(tmp_path, train="q0\td0\t2\nq0\td1\t0\n", dev="q1\td1\t1\n", test="q2\td3\t1\nq2\td2\t1\n")
    dataset = beir.load(folder)
    assert dataset.catalog.table.column_names == ["item_id", "title", "text"]
    assert next(dataset.catalog.texts())[1] == "title 1 text 1"
    assert split_of(dataset) == {"q1": "val", "q2": "test", "q0": "train"}
    assert gains(dataset, "q0") == {"d0": 2.0, "d1": 0.0}
    assert gains(dataset, "q2") == {"d2": 1.0, "d3": 1.0}
    assert dataset.request("q1").text == "query 1"
    assert dataset.notes == {}


def test_beir_with_bom_crlf_and_blank_lines(tmp_path):
    folder = Path(write_beir(tmp_path))
    for path in folder.rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    dataset = beir.load(str(folder))
    assert gains(dataset, "q0") == {"d0": 1.0}
    assert dataset.request("q0").text == "query 0"


def test_beir_counts_what_it_drops(tmp_path):
    folder = write_beir(
        tmp_path,
        corpus=[*CORPUS, {"_id": 7, "text": ""}],
        queries=[*QUERIES[:3], {"_id": "blank", "text": " "}, {"_id": "unjudged", "text": "x"}],
        train="q0\td0\t1\nq1\td1\t1\n",
        test="q1\td2\t1\nq2\td0\t-1\nq0\tzz\t1\nblank\td0\t1\nnowhere\td0\t1\n",
        dev="",
        other="q1\td2\t1\nq1\td2\t1\nq4\td1\t1\nq4\td1\t1\n",
    )
    dataset = beir.load(folder)
    assert split_of(dataset) == {"q1": "test"}
    assert gains(dataset, "q1") == {"d2": 1.0}
    assert dataset.notes == {
        "items without any text": 1,
        "judgements of items that are not in the catalogue, dropped": 1,
        "judgements with a negative score, taken as 0": 1,
        "qrels files without a judgement": 1,
        "queries judged in several splits, kept in the strictest (test, val, others, train)": 2,
        "queries without a relevant item in the catalogue, dropped": 2,
        "judged queries without a text, dropped": 3,
        "repeated judgements, counted once": 1,
    }


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"corpus": [*CORPUS, CORPUS[0]]}, r"corpus\.jsonl: item ids must be unique; repeated: 'd0'"),
        ({"corpus": [{"id": "d0", "text": "x"}]}, r"corpus\.jsonl, line 1: no field '_id'; its fields: id, text"),
        ({"corpus": [{"_id": "d0", "title": "x"}]}, "line 1: no field 'text'"),
        ({"corpus": [{"_id": "d0", "text": ["x"]}]}, "line 1: field 'text' must be text, not list"),
        ({"corpus": [{"_id": None, "text": "x"}]}, "item needs a non-empty id"),
        ({"corpus": ""}, r"corpus\.jsonl: the catalogue is empty"),
        ({"corpus": '{"_id": "d0", "te'}, r"corpus\.jsonl, line 1: not JSON"),
        ({"queries": [QUERIES[0], QUERIES[0]]}, r"queries\.jsonl, line 2: the query id 'q0' appears twice"),
        ({"queries": [{"_id": "q0"}]}, r"queries\.jsonl, line 1: no field 'text'"),
        ({"queries": ""}, "no request; .*so far: .*without a text, dropped: 1"),
        ({"test": "q0\td0\tgood\n"}, r"test\.tsv, line 2: the score must be a number, not 'good'"),
        ({"test": "q0\td0\tnan\n"}, "the score must be a number, not 'nan'"),
        ({"test": "q0\td0\n"}, "line 2: 2 tab-separated cells, but the header has 3"),
        ({"test": "!q0\td0\t1\n"}, r"test\.tsv: the header line must be"),
        ({"test": "query-id\t0\tcorpus-id\tscore\n"}, r"test\.tsv: the header line must be"),
        ({"test": "!"}, r"test\.tsv is empty"),
        ({"test": ""}, "no request"),
        ({"test": "q0\td0\t0\n"}, "no request; .* without a relevant item in the catalogue, dropped: 1"),
        ({"test": "q0\td0\t1\nq0\td0\t2\n"}, r"different judgements of the same query and item: \('q0', 'd0'\)"),
        ({"all": "q0\td0\t1\n"}, r"all\.tsv: 'all' is reserved for all splits together; rename"),
    ],
)
def test_beir_refuses(tmp_path, written, message):
    with pytest.raises(ValueError, match=message):
        beir.load(write_beir(tmp_path, **written))


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_beir_says_what_the_folder_should_hold(tmp_path, missing):
    folder = write_beir(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing} is missing\. .* should hold corpus\.jsonl \(_id"):
        beir.load(folder)


# RecBole

ITEMS = "item_id:token\ttitle:token_seq\tprice:float\tvector:float_seq\n" + "".join(
    f'{c}\t"{c}" by name\t{k}.5\t0.1 0.2\n' for k, c in enumerate("abcdef")
)
PARTS = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
WHOLE = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def write_recbole(folder, items=ITEMS, **inter):
    if items is not None:
        (folder / "shop.item").write_text(items, encoding="utf-8")
    for part, text in inter.items():
        name = "shop.inter" if part == "whole" else f"shop.{part}.inter"
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def test_recbole_split_files(tmp_path):
    folder = write_recbole(
        tmp_path, train=PARTS + "u1\ta b\tc\nu2\ta\ta\n", valid=PARTS + "u1\ta b c\td\n", test=PARTS + "u1\tb b\te\n"
    )
    dataset = recbole.load(folder)
    assert split_of(dataset) == {"train-1": "train", "train-2": "train", "valid-1": "val", "test-1": "test"}
    request = dataset.request("test-1")
    assert (request.user, request.history, request.gains) == ("u1", ("b", "b"), {"e": 1.0})
    assert request.text == 'Item 1: "b" by name\nItem 2: "b" by name'
    assert dataset.catalog.table.column_names == ["item_id", "title", "price", "popularity"]
    assert dataset.catalog.values("price").tolist()[:2] == [0.5, 1.5]
    assert dataset.catalog.values("popularity").tolist() == [2, 1, 1, 0, 0, 0]
    assert dataset.notes == {
        "columns of number lists, left out": 1,
        "requests whose target is in their own history, kept": 1,
    }


def test_recbole_leaves_one_out_by_time(tmp_path):
    rows = [("u1", item, when) for item, when in zip("abcdea", (1, 2, 3, 4, 5, 5), strict=True)]
    rows += [("u2", item, when) for item, when in zip("abcd", (4, 3, 2, 1), strict=True)]
    rows += [("few", item, 1) for item in "abc"]
    folder = write_recbole(tmp_path, whole=WHOLE + "".join(f"{u}\t{i}\t5\t{t}\n" for u, i, t in reversed(rows)))
    dataset = recbole.load(folder)
    assert split_of(dataset) == {
        f"{split}-{user}": split for user in ("u2", "u1") for split in ("train", "val", "test")
    }
    seen = {name: (*r.history, *r.gains) for name in split_of(dataset) for r in [dataset.request(name)]}
    assert seen["train-u2"] == tuple("dc")
    assert seen["test-u2"] == tuple("dcba")
    assert seen["train-u1"] == tuple("abcd")
    assert seen["val-u1"] == tuple("abcda")  # of two at the same time the first in the file comes first
    assert seen["test-u1"] == tuple("abcdae")
    assert dataset.catalog.values("popularity").tolist() == [1, 1, 2, 2, 0, 0]
    assert dataset.notes["users with fewer than 4 interactions, left out"] == 1


def test_recbole_counts_popularity_after_val_was_carved(tmp_path):
    lines = "".join(f"u{k}\ta\tb\n" for k in range(200))
    dataset = recbole.load(write_recbole(tmp_path, train=PARTS + lines + lines))
    train = {dataset.request(name).user for name, split in split_of(dataset).items() if split == "train"}
    val = {dataset.request(name).user for name, split in split_of(dataset).items() if split == "val"}
    assert val
    assert not train & val
    assert dataset.catalog.values("popularity").tolist()[:3] == [len(train), len(train), 0]


def test_recbole_counts_what_it_drops(tmp_path):
    items = ITEMS.replace("price:float", "popularity:float")
    folder = write_recbole(tmp_path, items, test=PARTS + "u\ta zz\tb\nu\ta\tzz\nu\t\tb\nu\tzz\tb\n")
    dataset = recbole.load(folder)
    assert dataset.request("test-1").history == ("a",)
    assert dataset.splits == ("test",)
    assert dataset.catalog.values("popularity").tolist() == [0] * 6
    assert dataset.notes == {
        "columns of number lists, left out": 1,
        "columns 'popularity' replaced by the count in train": 1,
        "items of histories that are not in the catalogue, dropped": 2,
        "requests whose target is not in the catalogue, dropped": 1,
        "requests without a history, dropped": 2,
    }


def test_recbole_fields_by_other_names(tmp_path):
    folder = write_recbole(
        tmp_path,
        ITEMS.replace("item_id", "track_id"),
        test=PARTS.replace("item_id", "track_id").replace("user_id", "session_id") + "u\ta\tb\n",
    )
    (tmp_path / "other.item").write_text("item_id:token\ttitle:token\n")
    with pytest.raises(ValueError, match=r"several data sets; choose one with stem=.*'other', 'shop'"):
        recbole.load(folder)
    with pytest.raises(FileNotFoundError, match=r"nothing\.item is missing"):
        recbole.load(folder, stem="nothing")
    dataset = recbole.load(folder, stem="shop", user_field="session_id", item_field="track_id")
    assert gains(dataset, "test-1") == {"b": 1.0}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"items": ITEMS + "a\tx\t1\t\n"}, r"shop\.item: item ids must be unique; repeated: 'a'"),
        ({"items": ITEMS + "\tx\t1\t\n"}, r"shop\.item: every item needs a non-empty id"),
        ({"items": ITEMS + "g\tx\tcheap\t\n"}, "line 8: column 'price' must be a number, not 'cheap'"),
        ({"items": ITEMS + "g\tx"}, "line 8: 2 tab-separated cells, but the header has 4"),
        ({"items": "item_id\ttitle\na\tb\n"}, "header cell 'item_id' is not name:type"),
        ({"items": "item_id:token\ttitle:text\n"}, "header cell 'title:text' is not name:type"),
        ({"items": "id:token\ttitle:token_seq\n"}, "has no column 'item_id'; its columns: id, title"),
        ({"items": "item_id:token\tprice:float\na\t1\n"}, "at least one text column"),
        ({"items": "item_id:token\tx:token\tx:token\n"}, "names 'x' twice"),
        ({"items": ""}, r"shop\.item is empty"),
        ({"test": "user_id:token\titem_id:token\nu\ta\n"}, r"shop\.test\.inter has no column 'item_id_list'"),
        ({"test": PARTS}, "no request"),
        ({"test": PARTS + "u\ta\tzz\n"}, "no request; .* target is not in the catalogue, dropped: 1"),
        ({"all": PARTS + "u\ta\tb\n"}, "a name other than 'all'"),
        ({"whole": "user_id:token\titem_id:token\nu\ta\n", "test": None}, "has no column 'timestamp'; .* time_field="),
        ({"whole": WHOLE + "u\ta\t5\tnoon\n", "test": None}, "line 2: column 'timestamp' must be a number, not 'noon'"),
    ],
)
def test_recbole_refuses(tmp_path, written, message):
    files = {name: text for name, text in ({"test": PARTS + "u\ta\tb\n"} | written).items() if text is not None}
    with pytest.raises(ValueError, match=message):
        recbole.load(write_recbole(tmp_path, **files))


def test_recbole_says_what_the_folder_should_hold(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\.item is missing\. .* should hold <name>\.item and either"):
        recbole.load(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"shop\.inter is missing"):
        recbole.load(write_recbole(tmp_path))


# Real data


@needs_real_data
def test_cranfield():
    dataset = beir.load(os.path.join(REAL, "cranfield"))
    assert (len(dataset.catalog), len(dataset), len(dataset.judged_items.values)) == (1400, 225, 1612)
    assert len(dataset.rows("test")) == 45
    assert len(dataset.rows("train")) + len(dataset.rows("val")) == 180
    assert dataset.notes == {"items without any text": 2}


@needs_real_data
def test_office():
    dataset = recbole.load(os.path.join(REAL, "amazon_office_2018"))
    assert len(dataset.catalog) == 3459
    assert len(dataset.rows("test")) == 4866
    assert len(dataset.rows("train")) + len(dataset.rows("val")) == 4866
    assert dataset.notes == {"requests whose target is in their own history, kept": 400}
    users = [set(dataset.column("user", dataset.rows(split))) for split in ("train", "val")]
    assert not users[0] & users[1]
    assert 0 < np.sum(dataset.catalog.values("popularity")) < dataset.history.values.size
