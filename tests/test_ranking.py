"""Rankings: order, ties, padding, and ranks of given items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.ranking import NOT_RANKED, Rankings

CATALOG = Catalog.from_columns({"item_id": list("abcdef"), "title": [f"item {c}" for c in "abcdef"]})


def rankings(rows, scores=None):
    items = np.array(rows, np.int32)
    if scores is None:
        scores = np.tile(np.arange(items.shape[1], 0, -1), (len(items), 1))
    return Rankings(items, np.array(scores, np.float32))


def test_from_ids_without_scores_keeps_the_given_order():
    made = Rankings.from_ids(CATALOG, [["c", "a"], [], ["f"]])
    assert made.items.tolist() == [[2, 0], [-1, -1], [5, -1]]
    assert made.scores.tolist() == [[1.0, 0.5], [0, 0], [1.0, 0]]
    assert made.ids(CATALOG) == [["c", "a"], [], ["f"]]
    assert made.lengths.tolist() == [2, 0, 1]
    assert made.depth == 2


def test_from_ids_with_scores_sorts_by_score_and_breaks_ties_by_lower_position():
    made = Rankings.from_ids(CATALOG, [["f", "b", "d", "a"], ["e"]], [[1.0, 2.0, 1.0, 1.0], [-3.0]])
    assert made.ids(CATALOG) == [["b", "a", "d", "f"], ["e"]]
    assert made.scores[1].tolist() == [-3.0, 0, 0, 0]


def test_from_ids_compares_scores_before_they_are_rounded():
    close = 1.0 + 1e-12  # the same float32 as 1.0
    ranked = Rankings.from_ids(CATALOG, [["a", "b"]], [[1.0, close]], lower_is_better=False)
    assert ranked.ids(CATALOG) == [["b", "a"]]


def test_from_ids_takes_distances_only_where_it_is_refused():
    ids, distances = [["c", "a", "f"], ["b"], ["d", "e", "a"]], [[0.0, 0.2, 0.7], [0.3], [0.1, 0.1, 0.4]]
    with pytest.raises(ValueError, match="scores increase along every list of ids.*pass lower_is_better=True"):
        Rankings.from_ids(CATALOG, ids, distances)
    ranked = Rankings.from_ids(CATALOG, ids, distances, lower_is_better=True)
    assert ranked.ids(CATALOG) == ids
    np.testing.assert_array_equal(ranked.scores[0], np.array([0, -0.2, -0.7], np.float32))
    assert not np.signbit(ranked.scores[0, 0])  # a distance of 0 is kept as 0.0


def test_from_ids_takes_lists_in_no_order_and_equal_scores():
    mixed = Rankings.from_ids(CATALOG, [["a", "b"], ["c", "d"]], [[1.0, 2.0], [2.0, 1.0]])
    assert mixed.ids(CATALOG) == [["b", "a"], ["c", "d"]]
    assert Rankings.from_ids(CATALOG, [["b", "a"]], [[1.0, 1.0]]).ids(CATALOG) == [["a", "b"]]
    unordered = Rankings.from_ids(CATALOG, [["a", "b"]], [[1.0, 2.0]], lower_is_better=False)
    assert unordered.ids(CATALOG) == [["b", "a"]]


def test_from_ids_of_nothing():
    assert Rankings.from_ids(CATALOG, []).items.shape == (0, 0)
    assert Rankings.from_ids(CATALOG, [[], []]).items.shape == (2, 0)
    assert Rankings.from_ids(CATALOG, [[], []], [[], []]).ids(CATALOG) == [[], []]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_from_ids_refuses_scores_that_are_not_finite(bad):
    with pytest.raises(ValueError, match="finite numbers"):
        Rankings.from_ids(CATALOG, [["a", "b"]], [[1.0, bad]])


def test_from_ids_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one number for every id"):
        Rankings.from_ids(CATALOG, [["a", "b"]], [[1.0]])
    with pytest.raises(ValueError, match="lists an item twice"):
        Rankings.from_ids(CATALOG, [["a", "b", "a"]])
    with pytest.raises(KeyError, match="unknown item id: 'zz'"):
        Rankings.from_ids(CATALOG, [["a", "zz"]])


@pytest.mark.parametrize(
    ("items", "scores", "message"),
    [
        ([[6, 0]], None, r"must lie in \[-1, 6\)"),
        ([[-2, 0]], None, r"must lie in \[-1, 6\)"),
        ([[-1, 0]], None, "padding"),
        ([[1, 1]], None, "twice"),
        ([[1, 2]], [[1.0, 2.0]], "must not increase"),
        ([[1, -1]], [[np.nan, 0]], "NaN"),
    ],
)
def test_check(items, scores, message):
    with pytest.raises(ValueError, match=message):
        rankings(items, scores).check(len(CATALOG))


def test_check_accepts_padding_with_any_score():
    rankings([[1, -1, -1]], [[1.0, np.nan, 5.0]]).check(len(CATALOG))


def test_shapes_and_types_are_checked():
    with pytest.raises(ValueError, match="must both be"):
        Rankings(np.zeros((1, 2), np.int32), np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="must be positions"):
        Rankings(np.zeros((1, 2)), np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match="one bool per ranking"):
        Rankings(np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32), np.zeros(3, bool))


def test_take_keeps_the_rows_together():
    made = Rankings(
        np.array([[0], [1], [2]], np.int32), np.ones((3, 1), np.float32), clipped=np.array([True, False, True])
    )
    taken = made.take(np.array([2, 1, 2]))
    assert taken.items.ravel().tolist() == [2, 1, 2]
    assert taken.clipped.tolist() == [True, False, True]


@st.composite
def batches(draw):
    """Rankings over a small catalogue, and items that are asked for."""
    n, depth, size = draw(st.integers(0, 5)), draw(st.integers(0, 6)), draw(st.integers(1, 9))
    rows, asked = [], []
    for _ in range(n):
        ranked = draw(st.permutations(range(size)))[: draw(st.integers(0, depth))]
        rows.append([*ranked, *[NOT_RANKED] * (depth - len(ranked))])
        asked.append(draw(st.lists(st.integers(0, size + 2), max_size=6)))
    items = np.array(rows, np.int32).reshape(n, depth)
    return Rankings(items, np.zeros((n, depth), np.float32)), asked


@given(batches())
def test_ranks_of_equals_a_dictionary(batch):
    made, asked = batch
    expected = []
    for row, wanted in zip(made.items.tolist(), asked, strict=True):
        rank = {item: place for place, item in enumerate(row) if item != NOT_RANKED}
        expected.append([rank.get(item, NOT_RANKED) for item in wanted])
    ranks = made.ranks_of(Ragged.from_rows(asked, np.int32))
    assert [row.tolist() for row in ranks] == expected
    assert ranks.values.dtype == np.int32


def test_ranks_of_needs_one_row_a_ranking():
    with pytest.raises(ValueError, match="1 rows of items were given for 2 rankings"):
        rankings([[0], [1]]).ranks_of(Ragged.from_rows([[0]], np.int32))
