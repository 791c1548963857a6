"""Fusion, against ranx on the same runs and against a few lines of plain Python."""

import warnings

import numpy as np
import pytest

from rec_gym import Rankings
from rec_gym.fusion import best_first, convex_combination, reciprocal_rank_fusion

QUERIES, ITEMS = 40, 200


def run(seed, depth, least=0):
    """Rankings of different lengths with scores that are never equal."""
    rng = np.random.Generator(np.random.PCG64(seed))
    items = np.full((QUERIES, depth), -1, np.int32)
    scores = np.zeros((QUERIES, depth), np.float32)
    for row in range(QUERIES):
        length = int(rng.integers(least, depth + 1))
        items[row, :length] = rng.permutation(ITEMS)[:length]
        scores[row, :length] = np.sort(rng.permutation(5000)[:length].astype(np.float32) / 16 - 100)[::-1]
    return Rankings(items, scores)


@pytest.fixture(scope="module")
def runs():
    return [run(0, 30, least=2), run(1, 50, least=2), run(2, 20, least=2)]


def by_ranx(runs, method, norm=None, **params):
    """The fused score of each item, as the library ranx has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranx = pytest.importorskip("ranx", reason="the library ranx is not installed (extra bench)")
        given = [
            ranx.Run(
                {
                    f"q{row:02}": {
                        str(item): float(score)
                        for item, score in zip(r.items[row], r.scores[row], strict=True)
                        if item >= 0
                    }
                    for row in range(QUERIES)
                }
            )
            for r in runs
        ]
        fused = ranx.fuse(runs=given, norm=norm, method=method, params=params).to_dict()
    return [{int(item): score for item, score in fused[f"q{row:02}"].items()} for row in range(QUERIES)]


def assert_equal(fused, expected):
    for items, scores, wanted in zip(fused.items, fused.scores, expected, strict=True):
        listed = items[items >= 0].tolist()
        assert sorted(listed) == sorted(wanted)
        np.testing.assert_allclose(scores[: len(listed)], [wanted[i] for i in listed], rtol=1e-6, atol=1e-6)


@pytest.mark.model
def test_reciprocal_rank_fusion_is_that_of_ranx(runs):
    assert_equal(reciprocal_rank_fusion(runs, 500), by_ranx(runs, "rrf", k=60))
    assert_equal(reciprocal_rank_fusion(runs[:2], 500, constant=5), by_ranx(runs[:2], "rrf", k=5))


@pytest.mark.model
@pytest.mark.parametrize(("normalise", "norm"), [("min-max", "min-max"), ("z", "zmuv")])
def test_convex_combinations_are_those_of_ranx(runs, normalise, norm):
    weights = [0.5, 0.2, 0.3]
    fused = convex_combination(runs, 500, weights=weights, normalise=normalise)
    assert_equal(fused, by_ranx(runs, "wsum", norm, weights=weights))


def test_the_sum_of_weighted_reciprocal_ranks_to_any_depth():
    runs = [run(3, 30), run(4, 50)]  # some are empty
    weights = [2.0, 0.5]
    full = reciprocal_rank_fusion(runs, 500, weights=weights)
    for row in range(QUERIES):
        expected: dict[int, float] = {}
        for ranking, weight in zip(runs, weights, strict=True):
            for rank, item in enumerate(ranking.items[row][ranking.items[row] >= 0].tolist(), 1):
                expected[item] = expected.get(item, 0.0) + weight / (60 + rank)
        order = sorted(expected, key=lambda item: (-np.float32(expected[item]), item))
        assert full.items[row][full.items[row] >= 0].tolist() == order
    full.check(ITEMS)
    np.testing.assert_array_equal(reciprocal_rank_fusion(runs, 7, weights=weights).items, full.items[:, :7])


def test_ties_go_to_the_lower_position():
    one = Rankings(np.array([[7, 3]], np.int32), np.array([[2.0, 1.0]], np.float32))
    two = Rankings(np.array([[3, 7]], np.int32), np.array([[9.0, 8.0]], np.float32))
    assert reciprocal_rank_fusion([one, two], 5).items.tolist() == [[3, 7, -1, -1]]
    assert convex_combination([one, two], 2).items.tolist() == [[3, 7]]
    flat = Rankings(np.array([[7, 3]], np.int32), np.ones((1, 2), np.float32))
    assert convex_combination([flat], 2, normalise="z").scores.tolist() == [[0, 0]]


def test_what_was_clipped_stays_said():
    plain = run(5, 10)
    clipped = Rankings(plain.items, plain.scores, np.arange(QUERIES) == 3)
    assert np.flatnonzero(reciprocal_rank_fusion([plain, clipped], 5).clipped).tolist() == [3]
    assert reciprocal_rank_fusion([plain, plain], 5).clipped is None


def test_best_first_orders_as_a_plain_sort_does():
    rng = np.random.Generator(np.random.PCG64(0))
    scores = rng.choice([-3.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, 3e30], (50, 30)).astype(np.float32)
    items = np.where(rng.random((50, 30)) < 0.2, -1, rng.permuted(np.tile(np.arange(30), (50, 1)), axis=1))
    ranked = best_first(items, scores, 30)
    for row in range(50):
        wanted = sorted((-float(s), int(i)) for s, i in zip(scores[row], items[row], strict=True) if i >= 0)
        assert ranked.items[row][ranked.items[row] >= 0].tolist() == [item for _, item in wanted]
        assert ranked.scores[row, : len(wanted)].tolist() == [-score for score, _ in wanted]


def test_wrong_arguments_say_what_is_wrong(runs):
    with pytest.raises(ValueError, match="2 weights were given for 3 rankings"):
        reciprocal_rank_fusion(runs, 5, weights=[1, 2])
    with pytest.raises(ValueError, match="finite numbers >= 0"):
        convex_combination(runs, 5, weights=[0, 0, 0])
    with pytest.raises(ValueError, match="unknown normalise 'max'; .*choose from: min-max, z"):
        convex_combination(runs, 5, normalise="max")
    with pytest.raises(ValueError, match="constant must be a number above -1"):
        reciprocal_rank_fusion(runs, 5, constant=-1)
    with pytest.raises(ValueError, match="at least one"):
        reciprocal_rank_fusion([], 5)
    with pytest.raises(ValueError, match="same queries"):
        reciprocal_rank_fusion([runs[0], runs[1].take(np.arange(3))], 5)
    with pytest.raises(ValueError, match="must be at least 1"):
        reciprocal_rank_fusion(runs, 0)
