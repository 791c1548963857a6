"""The ground floor: catalogue, requests, splits, and what is refused."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.columns import IdIndex, Ragged, first_few
from rec_gym.dataset import Dataset, carve_val


def shop(n=6):
    return Catalog.from_columns({"item_id": [f"i{k}" for k in range(n)], "title": [f"title {k}" for k in range(n)]})


def ask(name="q1", split="train", text="a query", **further):
    return {"id": name, "split": split, "text": text, **({"gains": {"i0": 1.0}} | further)}


# Catalogue


def test_positions_and_ids_are_inverse():
    catalog = shop(300)
    assert catalog.positions(["i7", "i299", "i7"]).tolist() == [7, 299, 7]
    assert catalog.positions([]).dtype == np.int32
    assert catalog.ids([299, 0]) == ["i299", "i0"]
    assert catalog.ids(catalog.positions(catalog.ids(range(300)))) == [f"i{k}" for k in range(300)]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_unicode_is_an_id(names):
    names = list(dict.fromkeys(names))
    index = IdIndex(pa.array(names), "item")
    assert index.positions(names).tolist() == list(range(len(names)))
    assert index.find([name + "\0" for name in names]).tolist() == [-1] * len(names)
    assert index.find([name + "\ud800" for name in names]).tolist() == [-1] * len(names)


@given(st.lists(st.text(), max_size=8))
def test_looking_up_any_text_never_fails(texts):
    known = {"i1": 0, "": -1, "ü": 1}
    index = IdIndex(pa.array(["i1", "ü"]), "item")
    assert index.find(texts).tolist() == [known.get(text, -1) for text in texts]


def test_an_unknown_id_is_named():
    with pytest.raises(KeyError, match="unknown item id: 'zz', 'i0 '"):
        shop().positions(["i1", "zz", "i0 "])
    with pytest.raises(KeyError, match="7 in all"):
        shop().positions([f"x{k}" for k in range(7)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": ["a", "a", "b"], "title": ["x"] * 3}, "item ids must be unique; repeated: 'a'"),
        ({"item_id": ["a", None], "title": ["x"] * 2}, "missing or empty"),
        ({"item_id": ["a", ""], "title": ["x"] * 2}, "missing or empty"),
        ({"item_id": ["a\0"], "title": ["x"]}, "NUL"),
        ({"item_id": [], "title": []}, "the catalogue is empty"),
        ({"id": ["a"], "title": ["x"]}, "needs a column 'item_id'; its columns: id, title"),
        ({"item_id": ["a"], "price": [1.0]}, "at least one text column"),
        ({"item_id": ["a"], "title": [["x"]]}, "'title' must hold text or numbers"),
        ({"item_id": ["a", "b"], "title": ["x", 1]}, "'title' must hold text only or numbers only"),
        ({"item_id": ["a"], "title": ["\ud800"]}, "'title' must hold text only"),
    ],
)
def test_a_catalogue_refuses(columns, message):
    with pytest.raises(ValueError, match=message):
        Catalog.from_columns(columns)


def test_a_table_with_lists_is_refused():
    with pytest.raises(ValueError, match="'tags' must hold text or numbers, not list"):
        Catalog(pa.table({"item_id": ["a"], "title": ["x"], "tags": [["y"]]}))


def test_no_items_are_refused():
    with pytest.raises(ValueError, match="the catalogue is empty"):
        Catalog.from_items([])


def test_from_items_fills_what_is_missing():
    catalog = Catalog.from_items([{"item_id": "a", "title": "x"}, {"item_id": "b", "brand": "y"}])
    assert list(catalog.texts()) == [["x", "y"]]
    assert catalog.titles([0, 1]) == ["x", ""]


def test_texts_come_in_batches_and_skip_what_is_empty():
    catalog = Catalog.from_columns(
        {"item_id": list("abc"), "title": ["x", None, ""], "brand": ["m", "n", None], "price": [1.0, 2.0, None]}
    )
    assert catalog.text_columns == ("title", "brand")
    assert list(catalog.texts(batch_size=2)) == [["x m", "n"], [""]]
    assert list(catalog.texts(["brand", "title"])) == [["m x", "n", ""]]
    assert catalog.values("price").tolist()[:2] == [1.0, 2.0]
    assert catalog.values("brand").tolist() == ["m", "n", None]
    with pytest.raises(KeyError, match="no text column 'price'; choose from: title, brand"):
        next(catalog.texts(["price"]))
    with pytest.raises(KeyError, match="no column 'colour'; choose from: item_id, title, brand, price"):
        catalog.values("colour")


def test_titles_stand_on_one_line():
    assert Catalog.from_columns({"item_id": ["a"], "name": ["two\n lines\u2028"]}).titles([0]) == ["two lines"]


def in_chunks(table, size):
    return pa.concat_tables([table.slice(start, size) for start in range(0, len(table), size)])


MIXED = pa.table(
    {
        "item_id": [f"i{k}" for k in range(7)],
        "title": ["a", None, "", "ü", "bc", "d\0", "e"],
        "price": [1.5, None, 2.0, -1.0, 0.0, float("nan"), 7.0],
        "stock": [1, 2, None, 4, 5, 6, 7],
        "new": [True, None, False, True, True, False, None],
    }
)


@given(st.integers(1, 7), st.lists(st.integers(0, 6)))
def test_chunks_do_not_matter(size, positions):
    whole, cut = Catalog(MIXED), Catalog(in_chunks(MIXED, size))
    assert cut.content_hash == whole.content_hash
    assert cut.ids(positions) == [f"i{k}" for k in positions]
    assert cut.titles(positions) == whole.titles(positions)
    assert [t for batch in cut.texts() for t in batch] == [t for batch in whole.texts() for t in batch]


def test_an_empty_chunk_does_not_matter():
    table = pa.concat_tables([MIXED.slice(0, 0), MIXED.slice(0, 3), MIXED.slice(3, 0), MIXED.slice(3)])
    assert Catalog(table).content_hash == Catalog(MIXED).content_hash
    assert Catalog(table).ids([3, 2]) == ["i3", "i2"]


def test_the_hash_tells_contents_apart():
    def of(**columns):
        return Catalog.from_columns({"item_id": ["a", "b"], **columns}).content_hash

    hashes = [
        of(title=["x", "y"]),
        of(title=["xy", ""]),
        of(title=["", "xy"]),
        of(title=["xy", None]),
        of(name=["x", "y"]),
        of(title=["x", "y"], price=[1, 2]),
        of(title=["x", "y"], price=[1.0, 2.0]),
        of(title=["x", "y"], price=[1, None]),
    ]
    assert len(set(hashes)) == len(hashes)
    assert Catalog(MIXED.cast(MIXED.schema)).content_hash == Catalog(MIXED).content_hash


@pytest.mark.parametrize("position", [-1, 7])
def test_positions_outside_the_catalogue_are_refused(position):
    with pytest.raises(IndexError, match=r"must lie in \[0, 7\)"):
        Catalog(MIXED).ids([position])


def test_a_stored_hash_is_not_believed_of_another_table():
    stored = Catalog(MIXED).stored_table()
    assert Catalog.from_stored(stored).content_hash == Catalog(MIXED).content_hash
    assert Catalog(stored.slice(0, 3)).content_hash == Catalog(MIXED.slice(0, 3)).content_hash


# Ragged rows


@given(st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=6), st.data())
def test_ragged_rows(rows, data):
    ragged = Ragged.from_rows(rows, np.int64)
    assert [row.tolist() for row in ragged] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.row_of.tolist() == [i for i, row in enumerate(rows) for _ in row]
    kept = ragged.where(ragged.values > 0)
    assert [row.tolist() for row in kept] == [[v for v in row if v > 0] for row in rows]
    if rows:
        wanted = data.draw(st.lists(st.integers(0, len(rows) - 1)))
        assert [row.tolist() for row in ragged.take(np.array(wanted, int))] == [rows[i] for i in wanted]


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 1], [0, 3, 2]])
def test_ragged_offsets_are_checked(offsets):
    with pytest.raises(ValueError, match="offsets must"):
        Ragged(np.array(offsets, np.int64), np.zeros(2))


def test_first_few():
    assert first_few(["a", 1]) == "'a', 1"
    assert first_few(range(6)) == "0, 1, 2, 3, 4, ... (6 in all)"


# Datasets


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "the dataset has no request"),
        ([ask(gains={"i0": -1.0})], "gains must be finite and >= 0, .* see requests 'q1'"),
        ([ask(gains={"i0": float("nan")})], "gains must be finite"),
        ([ask(gains={"i0": float("inf")})], "gains must be finite"),
        ([ask(gains={"i0": 0.0})], r"without a relevant item \(gain > 0\): 'q1'; drop them"),
        ([ask(gains={})], "without a relevant item"),
        ([ask(gains={"zz": 1.0})], "request 'q1': unknown item id: 'zz'; drop it or add the item"),
        ([ask(gains={99: 1.0})], "request 'q1': items outside the catalogue of 6 items: 99"),
        ([ask(history=["zz"])], "request 'q1': unknown item id: 'zz'"),
        ([ask(), ask()], "request ids must be unique; repeated: 'q1'"),
        ([ask(), ask(split="test")], "request ids must be unique; repeated: 'q1'"),
        ([ask(name="")], "every request needs a non-empty id"),
        ([ask(text="")], "request 'q1' has neither a text nor a history"),
        ([ask(split="all")], "a name other than 'all'"),
        ([ask(split="")], "every request needs a split with a name"),
        ([ask(gains=None)], "needs either 'gains'"),
        ([ask(targets=["i0"])], "needs either 'gains'"),
        ([ask(lang="en")], "other columns hold numbers, but 'lang' is 'en'"),
    ],
)
def test_a_dataset_refuses(requests, message):
    with pytest.raises(ValueError, match=message):
        Dataset.from_requests(shop(), requests)


def test_columns_that_do_not_fit_are_refused():
    made = Dataset.from_requests(shop(), [ask("q1", gains={"i0": 1, "i1": 1}), ask("q2")])
    two_and_one, one_and_two = made.judged_items, Ragged.from_rows([[1], [1, 1]], np.float64)
    with pytest.raises(ValueError, match="differ in length"):
        Dataset(made.catalog, made.table, two_and_one, one_and_two, made.history)
    with pytest.raises(ValueError, match="one row per request"):
        Dataset(made.catalog, made.table, two_and_one.take([0]), made.judged_gains.take([0]), made.history)
    twice = Ragged.from_rows([[0, 0], [1]], np.int32)
    with pytest.raises(ValueError, match="judged twice in requests 'q1'"):
        Dataset(made.catalog, made.table, twice, made.judged_gains, made.history)


def test_a_request_as_a_value():
    gains = {"i3": 0.1, "i1": 1.0, "i2": 0.0}
    dataset = Dataset.from_requests(
        shop(),
        [
            ask(0, gains=gains, domain="d", user="u", constraints=[("title", "==", "x")], oracle="word", asked=2),
            ask("q2", "ood-type", gains={1: 1.0}),
        ],
        notes={"dropped": 3},
    )
    request = dataset.request("0")
    assert request.gains == gains
    assert (request.split, request.domain, request.user, request.oracle) == ("train", "d", "u", "word")
    assert request.constraints == (("title", "==", "x"),)
    assert request.text == "a query"
    assert dataset.relevant[0].tolist() == [1, 3]
    assert dataset.relevant_gains[0].tolist() == [1.0, 0.1] == dataset.ideal_gains[0].tolist()
    assert dataset.has_constraints
    assert dataset.has_oracle
    assert dataset.column("asked").tolist()[0] == 2
    assert np.isnan(dataset.column("asked")[1])
    assert dataset.notes == {"dropped": 3}
    assert dataset.splits == ("train", "ood-type")
    assert dataset.rows("ood-type").tolist() == [1]
    assert dataset.rows("all").tolist() == [0, 1]
    with pytest.raises(ValueError, match="unknown split 'test'; choose from: train, ood-type, all"):
        dataset.rows("test")
    with pytest.raises(KeyError, match="unknown request id: 'zz'"):
        dataset.request("zz")


def test_histories_are_shown_as_their_last_titles():
    request = {"id": "h", "split": "test", "history": [f"i{k}" for k in range(12)], "targets": ["i0"]}
    dataset = Dataset.from_requests(shop(12), [request])
    assert dataset.is_history
    lines = dataset.texts(np.array([0]))[0].splitlines()
    assert lines[0] == "Item 1: title 2"
    assert lines[-1] == "Item 10: title 11"
    assert dataset.request("h").history == tuple(f"i{k}" for k in range(12))


def test_duplicate_targets():
    requests = [ask(gains=None, targets=["i2", "i1", "i2"])]
    once = Dataset.from_requests(shop(), requests)
    again = Dataset.from_requests(shop(), requests, duplicate_targets="count")
    assert once.judged_items[0].tolist() == again.judged_items[0].tolist() == [1, 2]
    assert once.ideal_gains[0].tolist() == [1, 1]
    assert again.ideal_gains[0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="'remove' or 'count', not 'keep'"):
        Dataset.from_requests(shop(), requests, duplicate_targets="keep")


@pytest.mark.parametrize("duplicates", ["remove", "count"])
@pytest.mark.parametrize("history", [(), ("i3", "i3", "i1")])
def test_save_and_open(tmp_path, duplicates, history):
    requests = [
        ask(f"q{k}", "test", gains=None, targets=["i1", "i1", "i2"], history=history, user=f"ü{k}", asked=k)
        for k in range(5)
    ]
    made = Dataset.from_requests(Catalog(MIXED), requests, duplicate_targets=duplicates, notes={"a": 1})
    made.save(tmp_path)
    opened = Dataset.open(tmp_path)
    assert opened.catalog.content_hash == made.catalog.content_hash
    assert opened.table.equals(made.table)
    assert Catalog(opened.catalog.table).content_hash == made.catalog.content_hash  # computed again
    for name in ("judged_items", "judged_gains", "history", "ideal_gains"):
        before, after = getattr(made, name), getattr(opened, name)
        assert type(after.values) is np.ndarray
        assert after.values.dtype == before.values.dtype
        assert [row.tolist() for row in after] == [row.tolist() for row in before]
    assert opened.notes == {"a": 1}
    assert opened.request("q3") == made.request("q3")


def test_pickling_an_opened_dataset_carries_its_folder_only(tmp_path):
    made = Dataset.from_requests(shop(2000), [ask()])
    assert pickle.loads(pickle.dumps(made)).request("q1") == made.request("q1")
    made.save(tmp_path)
    stored = pickle.dumps(Dataset.open(tmp_path))
    assert len(stored) < 1000
    assert pickle.loads(stored).request("q1") == made.request("q1")


# Splits


@given(st.lists(st.tuples(st.sampled_from(["train", "test", "ood-x"]), st.sampled_from(["", "u1", "u2", "u3", "u4"]))))
def test_carving_moves_train_only_and_never_splits_a_user(rows):
    ids = [f"q{k}" for k in range(len(rows))]
    before, users = [split for split, _ in rows], [user for _, user in rows]
    after = carve_val(ids, users, before)
    assert all(new == old or (old, new) == ("train", "val") for old, new in zip(before, after, strict=True))
    train = {user for user, split in zip(users, after, strict=True) if split == "train" and user}
    val = {user for user, split in zip(users, after, strict=True) if split == "val" and user}
    assert not train & val
    assert ("train" in after) == ("train" in before)
    assert carve_val(ids[::-1], users[::-1], before[::-1]) == after[::-1]  # the order does not matter


def test_a_tenth_is_carved():
    ids = [f"q{k}" for k in range(5000)]
    assert 400 < carve_val(ids, [""] * 5000, ["train"] * 5000).count("val") < 600
    assert carve_val(ids[:2], [""] * 2, ["train", "val"]) == ["train", "val"]


def test_train_is_never_emptied():
    moved = next(f"q{k}" for k in range(100) if "val" in carve_val([f"q{k}", *"abcdef"], [""] * 7, ["train"] * 7)[:1])
    assert carve_val([moved], [""], ["train"]) == ["train"]


@given(st.lists(st.sampled_from(["train", "test"]), min_size=1, max_size=30))
def test_splits_never_share_a_request(splits):
    dataset = Dataset.from_requests(shop(), [ask(f"q{k}", split) for k, split in enumerate(splits)])
    rows = [dataset.rows(split).tolist() for split in dataset.splits]
    assert sorted(row for part in rows for row in part) == list(range(len(splits)))
