"""Draws are pinned: splits, orders and random baselines must not move between machines and versions."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.draws import generator, seeded_order, share


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
