"""Hard constraints: refused when a dataset is built, or measured as Python compares the values."""

import math
import operator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.dataset import Dataset
from rec_gym.measures import Listed, Measure
from rec_gym.ranking import NOT_RANKED, Rankings

COMPARE = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
BIG = 2**53
COLUMNS = {
    "brand": pa.array(["Ace", "bolt", None, "", "Ace"]),
    "flag": pa.array([True, False, None, True, None]),
    "whole": pa.array([1, None, BIG + 1, -3, 2], pa.int64()),
    "small": pa.array([1, 100, None, -3, 2], pa.int8()),
    "unsigned": pa.array([2**64 - 1, None, 0, 3, 2], pa.uint64()),
    "price": pa.array([1.5, None, float("nan"), 0.1, 1e300]),
    "half": pa.array([0.1, None, float("nan"), 3.0, 1.5], pa.float32()),
}
SIZE = 5
SHOP = Catalog(pa.table({"item_id": list("abcde"), "title": ["x"] * SIZE, **COLUMNS}))
VALUES = st.one_of(
    st.sampled_from(["Ace", "", "bolt", True, False, 1, 2, 1.5, 0.1, BIG, float(BIG), BIG + 1, 1e300, -1e300, 10**400]),
    st.sampled_from([float("nan"), float("inf"), None, [1, 2], ["Ace"], {"a": 1}, b"Ace", object()]),
    st.text(max_size=2), st.integers(), st.floats(), st.sampled_from([np.int64(2), np.float32(0.1), np.bool_(True)]),
)  # fmt: skip
TRIPLES = st.tuples(st.sampled_from([*COLUMNS, "title", "item_id"]), st.sampled_from(list(COMPARE)), VALUES)


def build(*constraints):
    request = {"id": "q", "text": "x", "split": "test", "targets": ["a"], "constraints": list(constraints)}
    return Dataset.from_requests(SHOP, [request])


def share_that_meets(dataset, items, k):
    empty = Ragged.from_rows([[]], np.float64)
    rankings = Rankings(items, np.zeros(items.shape, np.float32))
    listed = Listed(empty, empty, empty, rankings=rankings, dataset=dataset, rows=np.array([0]))
    return Measure("constraints", k)(listed)


def fits(column, value):
    kind = SHOP.table.schema.field(column).type
    value = value.item() if isinstance(value, np.generic) else value
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return isinstance(value, str)
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def is_met(item, constraint):
    column, sign, value = constraint
    there = SHOP.table[column][item].as_py()
    value = value.item() if isinstance(value, np.generic) else value
    return there is not None and COMPARE[sign](there, value)


@given(st.lists(TRIPLES, min_size=1, max_size=3), st.permutations(range(SIZE)), st.integers(1, 7))
@settings(max_examples=500, deadline=None)
def test_a_constraint_is_refused_or_measured_as_python_compares(constraints, order, k):
    if not all(fits(column, value) for column, _, value in constraints):
        with pytest.raises(ValueError, match="constraint"):
            build(*constraints)
        return
    dataset = build(*constraints)
    items = np.array([[*order, NOT_RANKED, NOT_RANKED]], np.int32)
    share = share_that_meets(dataset, items, k)
    assert share[0] == sum(all(is_met(item, c) for c in constraints) for item in order[:k]) / k


@pytest.mark.parametrize(
    "constraint",
    [("brand", "==", "Ace"), ("flag", "<=", True), ("small", "<=", 1000), ("whole", ">=", float(BIG)),
     ("whole", "==", 1.5), ("unsigned", ">=", -1), ("price", ">=", 0), ("half", "<=", 0.1), ("item_id", ">=", "c")],
)  # fmt: skip
def test_what_fits_its_column_is_taken(constraint):
    dataset = build(constraint)
    items = np.arange(SIZE, dtype=np.int32)[None]
    share = share_that_meets(dataset, items, SIZE)
    assert share[0] * SIZE == sum(is_met(item, constraint) for item in range(SIZE))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (["price", "<=", "1"], "the value of a constraint on 'price', which holds double, must be a finite number"),
        (["price", "<=", float("nan")], "must be a finite number, not nan; see requests 'q'"),
        (["price", "<=", True], "must be a finite number, not True"),
        (["price", "==", [1, 2]], r"must be a finite number, not \[1, 2\]"),
        (["price", "<=", 10**400], "must be a finite number"),
        (["brand", "<=", 3], "'brand', which holds (large_)?string, must be text, not 3"),
        (["flag", "<=", 1], "'flag', which holds bool, must be true or false, not 1"),
        (["price", "<", 5], "unknown operator '<'.*choose from: <=, >=, =="),
        (["pric", "<=", 5], "unknown column 'pric'; did you mean 'price'"),
        ([["price"], "<=", 5], "unknown column"),
        (["price", ["<="], 5], "unknown operator"),
        (["price", "<="], r"a constraint is \[column, operator, value\], not \['price', '<='\]"),
        ("price<=5", r"a constraint is \[column, operator, value\]"),
        (["price", "<=", object()], "request 'q': each of the constraints may hold only texts, numbers and booleans"),
    ],
)
def test_a_constraint_of_the_wrong_kind_is_refused(constraint, message):
    with pytest.raises(ValueError, match=message):
        build(constraint)


def test_constraints_are_a_list():
    request = {"id": "q", "text": "x", "split": "test", "targets": ["a"], "constraints": "price<=5"}
    with pytest.raises(ValueError, match="request 'q': constraints must be a list such as"):
        Dataset.from_requests(SHOP, [request])


def test_a_custom_table_is_checked_too():
    made = build(["price", "<=", 5])
    texts = pa.array(['[["price", "<=", "5"]]'], pa.large_string())
    table = made.table.set_column(made.table.column_names.index("constraints"), "constraints", texts)
    rows = (made.judged_items, made.judged_gains, made.history)
    with pytest.raises(ValueError, match="must be a finite number"):
        Dataset(SHOP, table, *rows)
    with pytest.raises(ValueError, match="the ideal gains need one row per request"):
        Dataset(SHOP, made.table, *rows, ideal=Ragged.from_rows([], np.float64))
    with pytest.raises(ValueError, match="gains must be finite"):
        Dataset(SHOP, made.table, *rows, ideal=Ragged.from_rows([[float("nan")]], np.float64))
