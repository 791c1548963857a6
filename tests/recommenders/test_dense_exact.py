"""Exact search against a plain oracle where it is hardest: masses of ties, copies, excluded items, short lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.columns import Ragged
from rec_gym.ranking import NOT_RANKED
from rec_gym.recommenders.dense import HashingEncoder
from rec_gym.recommenders.dense import exact as exact_module
from rec_gym.recommenders.dense.exact import ExactSearch

WORDS = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool", "rug", "shelf"]


def unit(vectors):
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def catalogue(kind, rng, size):
    """Unit vectors of items, and of a few queries."""
    if kind == "hashed":
        encoder = HashingEncoder(64)
        texts = [" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(size)]
        queries = ["zzqx", "red lamp", "zz yy xx", "", "soft oak shelf in the room", "lamp"]
        return unit(encoder.encode(texts)), unit(encoder.encode(queries))
    vectors = rng.standard_normal((size, 24)).astype(np.float32)
    if kind == "copies":
        vectors = vectors[rng.integers(0, min(3, size), size)]
    if kind == "nearly copies":
        vectors = vectors[:1] + rng.standard_normal((size, 24)).astype(np.float32) * np.float32(1e-7)
    return unit(vectors), unit(rng.standard_normal((6, 24)).astype(np.float32))


def oracle(vectors, query, hidden):
    """Scores of all items, and the items that may be ranked in their order."""
    scores = np.array([np.einsum("d,d->", v.astype(np.float64), query.astype(np.float64)) for v in vectors], np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores)) if query.any() else np.empty(0, np.int64)
    return scores, order[~np.isin(order, hidden)]


@given(
    kind=st.sampled_from(["hashed", "copies", "nearly copies", "noise"]),
    seed=st.integers(0, 1000),
    size=st.integers(1, 80),
    k=st.integers(1, 90),
    hides=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_lists_and_ranks_are_those_of_the_oracle(kind, seed, size, k, hides):
    rng = np.random.Generator(np.random.PCG64(seed))
    vectors, queries = catalogue(kind, rng, size)
    exclude = [rng.integers(0, size, rng.integers(0, 1 + size // 2)) for _ in queries] if hides else None
    wanted = Ragged.from_rows([rng.integers(0, size, rng.integers(0, 30)) for _ in queries], np.int32)
    search = ExactSearch(vectors)
    lists, ranks = search.rank(queries, k, exclude), search.ranks(queries, wanted, k, exclude)
    for row, query in enumerate(queries):
        scores, order = oracle(vectors, query, exclude[row] if exclude else [])
        best = order[:k]
        assert lists.items[row][lists.items[row] != NOT_RANKED].tolist() == best.tolist()
        np.testing.assert_array_equal(lists.scores[row, : len(best)], scores[best])
        places = {item: place for place, item in enumerate(best.tolist())}
        assert ranks[row].tolist() == [places.get(item, NOT_RANKED) for item in wanted[row].tolist()]


@pytest.fixture
def summed(monkeypatch):
    """How many scores were summed, in each call."""
    counts = []
    inner = exact_module._summed

    def counting(vectors, positions, query):
        counts.append(len(positions))
        return inner(vectors, positions, query)

    monkeypatch.setattr(exact_module, "_summed", counting)
    return counts


def test_a_word_that_no_item_holds_needs_hardly_a_sum(summed):
    rng = np.random.Generator(np.random.PCG64(0))
    encoder = HashingEncoder(512)
    vectors = unit(encoder.encode([" ".join(rng.choice(WORDS, 3)) for _ in range(2000)]))
    search, query = ExactSearch(vectors), unit(encoder.encode(["zzqx"]))
    assert not (vectors[:, np.flatnonzero(query[0])] != 0).any()  # no component is shared with an item
    wanted = Ragged.from_rows([np.arange(0, 2000, 20)], np.int32)
    assert search.ranks(query, wanted, 2000, None).values.tolist() == list(range(0, 2000, 20))
    assert search.rank(query, 10, None).items[0].tolist() == list(range(10))
    assert sum(summed) == 0


@pytest.mark.parametrize("relevant", [1, 5, 200])
def test_tied_items_are_summed_once_for_all_that_are_wanted(summed, relevant):
    rng = np.random.Generator(np.random.PCG64(0))
    vectors = np.repeat(unit(rng.standard_normal((1, 64)).astype(np.float32)), 1000, axis=0)
    query = unit(rng.standard_normal((1, 64)).astype(np.float32))
    wanted = Ragged.from_rows([np.arange(relevant)], np.int32)
    assert ExactSearch(vectors).ranks(query, wanted, 1000, None).values.tolist() == list(range(relevant))
    assert sum(summed) <= 1000 + relevant
