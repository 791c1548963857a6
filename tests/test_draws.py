"""Draws are pinned: splits, orders and random baselines must not move between machines and versions."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.draws import generator, hashed, seeded_order, share, shares


def test_shares_are_the_first_bits_of_the_hash():
    whole = int(hashlib.sha256(b"shopper-1").hexdigest(), 16)
    assert share("shopper-1") == (whole >> 208) / 2**48
    assert share("a", 1) == share("a\x001") != share("a1")


def test_draws_are_pinned():
    assert share("shopper-1") == 0.5685741850021735
    assert seeded_order(8, "judged", "r-17").tolist() == [1, 2, 6, 7, 4, 3, 5, 0]
    assert generator(0, "red lamp").random_raw() == 9266683382469588133


@given(st.text(st.characters(), max_size=5), st.integers(0, 50))
def test_any_text_is_a_key(key, size):
    assert 0 <= share(key) < 1
    order = seeded_order(size, key)
    assert sorted(order.tolist()) == list(range(size))
    assert np.array_equal(order, seeded_order(size, key))


def test_lone_surrogates_are_a_key():
    assert share("\ud800") != share("\udfff")


def test_shares_are_spread_evenly():
    counts = np.bincount([int(10 * share("request", number)) for number in range(10_000)], minlength=10)
    assert abs(counts - 1000).max() < 150  # five standard deviations


def splitmix(key, number):
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), in Python's whole numbers."""
    whole = 2**64
    mixed = (key + (number + 1) * 0x9E3779B97F4A7C15) % whole
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % whole
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % whole
    return ((mixed ^ (mixed >> 31)) >> 11) / 2**53


@given(st.text(st.characters(), max_size=5), st.lists(st.integers(0, 2**31 - 1), max_size=5))
def test_shares_of_numbers_are_splitmix(key, numbers):
    drawn = shares(hashed(key), np.array(numbers, np.int32))
    assert drawn.tolist() == [splitmix(hashed(key), number) for number in numbers]
    assert all(0 <= one < 1 for one in drawn.tolist())


def test_shares_of_numbers_are_pinned_and_spread_evenly_for_keys_and_numbers():
    assert hashed("drop", 1) == 1478524117771261268
    keys = np.array([hashed("drop", number) for number in range(100)], np.uint64).reshape(100, 1)
    drawn = shares(keys, np.arange(100))
    assert drawn.shape == (100, 100)
    counts = np.bincount((10 * drawn.ravel()).astype(int), minlength=10)
    assert abs(counts - 1000).max() < 150  # five standard deviations
    assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.05
