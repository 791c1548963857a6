"""An index of ids: whatever their lengths, every id is found, and the memory stays small."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gym.columns import IdIndex

# Around the width at which ids are kept as digests, with equal beginnings and ends.
LENGTHS = st.sampled_from([1, 2, 61, 62, 63, 64, 65, 66, 127, 128, 1000])
NAMES = st.builds(lambda length, first, last: first + "x" * (length - 1) + last, LENGTHS, *[st.sampled_from("aäb")] * 2)


@given(st.lists(NAMES, unique=True, min_size=1), st.lists(NAMES))
def test_ids_of_any_length_are_found(names, others):
    index = IdIndex(pa.array(names), "item")
    known = {name: place for place, name in enumerate(names)}
    for wanted in (names, others, [name + "\0" for name in names], [name[:-1] for name in names]):
        assert index.find(wanted).tolist() == [known.get(name, -1) for name in wanted]


def test_one_long_id_does_not_widen_the_others():
    names = [f"i{k}" for k in range(5_000)] + ["x" * 1_000_000]
    index = IdIndex(pa.array(names), "item")
    assert index.positions([names[-1], "i7"]).tolist() == [5_000, 7]
    assert index.find([names[-1][1:]]).tolist() == [-1]
    assert index._sorted.nbytes <= 64 * len(names)


def test_a_digest_is_no_id():
    long = "x" * 100
    stored = IdIndex(pa.array([long]), "item")._sorted[0].decode("latin-1")
    assert IdIndex(pa.array([long]), "item").find([stored, stored[1:]]).tolist() == [-1, -1]


def test_a_long_id_that_appears_twice_is_named():
    with pytest.raises(ValueError, match="item ids must be unique; repeated: 'xxx"):
        IdIndex(pa.array(["x" * 100, "b", "x" * 100]), "item")
