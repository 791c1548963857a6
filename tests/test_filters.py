"""Filters: an item passes as Python compares the values, whatever the types, and however often it is asked."""

import gc
import math
import operator
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.filters import FilterTable

COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
BIG = 2**53
KINDS = {
    "text": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=3)),
    "brand": (pa.large_string(), st.sampled_from(["Ace", "ace", "Ärger", "Z", "", "日本", "\U0001f600", "\uffff"])),
    "flag": (pa.bool_(), st.booleans()),
    "whole": (pa.int64(), st.one_of(st.integers(-3, 3), st.integers(BIG - 2, BIG + 3), st.just(-(2**63)))),
    "small": (pa.int8(), st.integers(-128, 127)),
    "unsigned": (pa.uint64(), st.one_of(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1))),
    "price": (pa.float64(), st.one_of(st.floats(), st.sampled_from([0.1, float(BIG), 0.0, -0.0]))),
    "half": (pa.float32(), st.one_of(st.floats(width=32), st.sampled_from([0.5, 3.0]))),
}
NUMBERS = st.one_of(
    st.integers(-4, 4),
    st.integers(BIG - 3, BIG + 4),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.5, float(BIG), float(np.float32(0.1)), 2.5, -0.0, 1e300]),
)
TEXTS = st.one_of(KINDS["text"][1], KINDS["brand"][1], st.sampled_from(["\ud800", "a\udfff", "\ue000"]))
VALUES = dict.fromkeys(KINDS, NUMBERS) | {"text": TEXTS, "brand": TEXTS, "flag": st.booleans()}


@st.composite
def shops(draw):
    size = draw(st.integers(1, 8))
    columns = {
        name: pa.array(draw(st.lists(st.none() | values, min_size=size, max_size=size)), kind)
        for name, (kind, values) in KINDS.items()
    }
    table = pa.table({"item_id": [f"i{n}" for n in range(size)], "title": ["x"] * size, **columns})
    cut = draw(st.integers(0, size))
    return Catalog(pa.concat_tables([table.slice(0, cut), table.slice(cut)]))  # columns come in chunks, empty ones too


@st.composite
def conditions(draw):
    column = draw(st.sampled_from(sorted(KINDS)))
    return column, draw(st.sampled_from(sorted(COMPARE))), draw(VALUES[column])


def passes(there, sign, value):
    """One comparison in Python, whose numbers compare exactly and whose texts compare by code points."""
    return there is not None and there == there and COMPARE[sign](there, value)


@given(shops(), st.lists(st.none() | st.lists(conditions(), max_size=4), max_size=4), st.data())
@settings(max_examples=400, deadline=None)
def test_items_pass_as_python_compares(catalog, filters, data):
    ranges = FilterTable.of(catalog).ranges(filters)
    rows = catalog.table.to_pylist()
    expected = [[all(passes(row[c], s, v) for c, s, v in own or ()) for row in rows] for own in filters]
    assert len(ranges) == len(filters)
    assert [ranges.passes(query).tolist() for query in range(len(filters))] == expected
    asked = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)), np.int32)
    again = data.draw(st.lists(st.integers(0, len(filters) - 1), max_size=5)) if filters else []
    taken = ranges.take(np.array(again, np.int64))
    each = np.tile(asked, (len(again), 1))
    assert taken.passes_each(each).tolist() == [[expected[query][item] for item in asked] for query in again]
    for place, query in enumerate(again):
        assert taken.passes(place, asked).tolist() == [expected[query][item] for item in asked]


@given(shops(), st.lists(st.none() | st.lists(conditions(), max_size=4), max_size=4))
@settings(max_examples=200, deadline=None)
def test_bounds_are_values_of_the_columns_and_say_the_same(catalog, filters):
    table = FilterTable.of(catalog)
    bounds, ranges = table.bounds(filters), table.ranges(filters)
    rows = catalog.table.to_pylist()
    for query, own in enumerate(bounds):
        expected = ranges.passes(query).tolist()
        if own is None:
            assert not any(expected)
            continue
        assert len({bound.column for bound in own}) == len(own)
        for column, low, high in own:
            values = [row[column] for row in rows]
            assert low in values
            assert high in values
            assert isinstance(low, str) == (column in ("text", "brand"))
        compared = [
            all(row[c] is not None and row[c] == row[c] and low <= row[c] <= high for c, low, high in own)
            for row in rows
        ]
        assert compared == expected


@given(shops(), st.lists(conditions(), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_conjunction_is_at_most_one_range_of_codes_for_each_column(catalog, filtered):
    ranges = FilterTable.of(catalog).ranges([filtered])
    assert len(ranges.low) == len(set(ranges.columns.tolist())) == len({column for column, _, _ in filtered})
    assert (ranges.low >= 0).all()
    assert (ranges.codes.dtype, ranges.low.dtype, ranges.high.dtype) == (np.int32,) * 3
    for row in ranges.codes:
        present = np.unique(row[row >= 0])
        assert present.tolist() == list(range(len(present)))


SHOP = Catalog.from_columns(
    {"item_id": ["a", "b", "c"], "title": ["x"] * 3, "brand": ["Ace", None, "B"], "price": [1.5, math.nan, 3]}
)


@pytest.mark.parametrize("sign", sorted(COMPARE))
def test_what_is_missing_passes_no_condition(sign):
    empty = Catalog(
        pa.table({"item_id": ["a"], "title": ["x"], "brand": [None], "price": pa.array([None], pa.float64())},
                 schema=pa.schema({"item_id": "string", "title": "string", "brand": "string", "price": "double"}))
    )  # fmt: skip
    ranges = FilterTable.of(empty).ranges([[("brand", sign, "")], [("price", sign, 0)]])
    assert [ranges.passes(query).tolist() for query in range(2)] == [[False], [False]]


def test_no_query_and_no_filter_pass_everything_without_reading_a_column():
    table = FilterTable(SHOP.table)
    assert len(table.ranges([])) == 0
    nothing = table.ranges([None, ()])
    assert nothing.codes.shape == (0, 3)
    assert [nothing.passes(query).tolist() for query in range(2)] == [[True] * 3] * 2


def test_a_column_is_encoded_once_and_ranges_that_are_in_use_stay_valid():
    table = FilterTable(SHOP.table)
    first = table.ranges([[("brand", "==", "B")]])
    second = table.ranges([[("price", ">=", 2), ("brand", ">=", "Ace")]])
    assert (first.codes.shape, second.codes.shape) == ((1, 3), (2, 3))
    assert table.ranges([[("price", "<=", 7)]]).codes is second.codes
    assert first.passes(0).tolist() == second.passes(0).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([[("pric", "<=", 5)]], r"in the filter \('pric', '<=', 5\): unknown column 'pric'; did you mean 'price'"),
        ([[("price", "<", 5)]], "unknown operator '<'.*choose from: <=, >=, =="),
        ([[("price", ["<="], 5)]], "unknown operator"),
        ([[("price", "<=", "5")]], "the value of a filter on 'price', which holds double, must be a finite number"),
        ([[("price", "<=", math.nan)]], "must be a finite number, not nan"),
        ([[("price", "<=", True)]], "must be a finite number, not True"),
        ([[("price", "==", np.True_)]], "must be a finite number, not True"),
        ([[("price", "==", [1])]], r"must be a finite number, not \[1\]"),
        ([[("brand", "==", 3)]], "must be text, not 3"),
        ([["price<=5"]], r"a filter is \[column, operator, value\], not 'price<=5'"),
        ([("price", "<=", 5)], r"a filter is \[column, operator, value\], not 'price'"),
        (["brand"], "the filter of a query is a tuple of conditions"),
        ([5], "the filter of a query is a tuple of conditions"),
        ("brand", "filters are for 'brand', but there are 5 queries"),
        ({"price": 5}, "filters are for {'price': 5}, but there are 1 queries"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(filters, message):
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            FilterTable.of(SHOP).ranges(filters, len(filters))


def test_equal_keys_of_other_types_are_told_apart():
    table = FilterTable.of(Catalog.from_columns({"item_id": ["a"], "title": ["x"], "flag": [True], "n": [1]}))
    for number in (1, 1.0, np.int64(1), np.float32(1)):
        assert table.ranges([[("n", "==", number)]]).passes(0).tolist() == [True]
        with pytest.raises(ValueError, match="must be true or false"):
            table.ranges([[("flag", "==", number)]])
    for flag in (True, np.True_):
        assert table.ranges([[("flag", "==", flag)]]).passes(0).tolist() == [True]
        with pytest.raises(ValueError, match="must be a finite number"):
            table.ranges([[("n", "==", flag)]])


def test_more_conditions_than_are_remembered_stay_right(monkeypatch):
    import rec_gym.filters

    monkeypatch.setattr(rec_gym.filters, "_RANGES_KEPT", 3)
    table = FilterTable(SHOP.table)
    filters = [[("price", "<=", bound)] for bound in (0, 1, 2, 3, 4, 1)]
    shares = [table.ranges(filters).passes(query).sum() for query in range(len(filters))]
    assert shares == [0, 0, 1, 2, 2, 0]


def test_one_table_for_each_catalogue_which_it_does_not_keep_alive():
    catalog = Catalog(SHOP.table)
    assert FilterTable.of(catalog) is FilterTable.of(catalog)
    assert FilterTable.of(catalog) is not FilterTable.of(SHOP)
    gone = weakref.ref(catalog)
    del catalog
    gc.collect()
    assert gone() is None


def test_threads_agree():
    table = FilterTable(Catalog.from_columns({
        "item_id": [f"i{n}" for n in range(2000)], "title": ["x"] * 2000,
        **{f"c{n}": np.arange(2000) % (n + 2) for n in range(20)},
    }).table)  # fmt: skip

    def share(number):
        return int(table.ranges([[(f"c{number % 20}", "<=", 0)]]).passes(0).sum())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(share, range(200))) == [-(-2000 // (n % 20 + 2)) for n in range(200)]


def saved(catalog, folder):
    """A folder with a dataset of this catalogue."""
    folder.mkdir()
    request = {"id": "q", "text": "x", "split": "test", "targets": ["a"]}
    Dataset.from_requests(catalog, [request]).save(folder)
    return folder


class TestPickles:
    FILTERS = (("price", ">=", 2),)

    def test_without_codes_or_locks_and_with_the_columns_of_a_catalogue_in_memory(self):
        table = FilterTable.of(SHOP)
        before = len(pickle.dumps(table))
        expected = table.ranges([self.FILTERS]).passes(0).tolist()
        again = pickle.loads(pickle.dumps(table))
        assert len(pickle.dumps(table)) == before
        assert again.ranges([self.FILTERS]).passes(0).tolist() == expected == [False, False, True]

    def test_name_the_file_of_a_catalogue_that_was_opened_from_one(self, tmp_path):
        opened = Dataset.open(saved(SHOP, tmp_path / "kept"))
        table = FilterTable.of(opened.catalog)
        stored = pickle.dumps(table)
        assert len(stored) < 500
        assert pickle.loads(stored) is table is FilterTable.of(Dataset.open(tmp_path / "kept").catalog)
        del table, opened
        gc.collect()
        fresh = pickle.loads(stored)
        assert fresh.ranges([self.FILTERS]).passes(0).tolist() == [False, False, True]

    def test_say_that_the_file_was_replaced(self, tmp_path):
        stored = pickle.dumps(FilterTable.of(Dataset.open(saved(SHOP, tmp_path / "kept")).catalog))
        gc.collect()
        other = Catalog.from_columns({"item_id": ["a"], "title": ["x"], "price": [5.0]})
        (saved(other, tmp_path / "other") / "catalog.arrow").replace(tmp_path / "kept" / "catalog.arrow")
        with pytest.raises(RuntimeError, match="no longer holds the catalogue that was fitted; fit the recommender"):
            pickle.loads(stored).ranges([self.FILTERS])
