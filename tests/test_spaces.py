"""The text space: any Unicode, seeded samples, and no silent use where numbers are needed."""

import pickle

import gymnasium as gym
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Box, Text, flatdim, flatten, flatten_space, unflatten
from gymnasium.vector.utils import batch_space, create_shared_memory

from rec_gym.spaces import UnicodeText


def test_any_text_up_to_the_length_is_contained():
    space = UnicodeText(5)
    assert isinstance(space, Text)
    for text in ("", "a b", "\ud800", "\0\n", "🙂" * 5):
        assert text in space
    for other in ("123456", None, 3, ["a"], b"a"):
        assert other not in space


def test_samples_are_seeded_contained_and_more_than_letters():
    first, second = UnicodeText(seed=1), UnicodeText(seed=1)
    texts = [first.sample() for _ in range(200)]
    assert texts == [second.sample() for _ in range(200)]
    assert all(text in first for text in texts)
    assert any(not text.isascii() for text in texts)
    assert UnicodeText(0).sample() == ""
    with pytest.raises(ValueError, match="without mask"):
        first.sample(mask=(3, None))


@pytest.mark.parametrize("max_length", ["5", 5.0, -1, None])
def test_its_length_is_a_whole_number(max_length):
    with pytest.raises(ValueError, match="max_length of UnicodeText must be"):
        UnicodeText(max_length)


def test_it_is_a_small_value():
    assert UnicodeText(5) == UnicodeText(5) != UnicodeText(6)
    assert UnicodeText(5) != Text(5)
    assert hash(UnicodeText(5)) == hash(UnicodeText(5))
    assert repr(UnicodeText(5)) == "UnicodeText(5)"
    assert pickle.loads(pickle.dumps(UnicodeText(5))) == UnicodeText(5)
    assert len(pickle.dumps(UnicodeText())) < 2000
    assert len(batch_space(UnicodeText(), 3)) == 3


def test_it_does_not_pretend_to_be_numbers():
    space = UnicodeText()
    calls = (
        lambda: flatten(space, "a"),
        lambda: unflatten(space, Box(0, 1).sample()),
        lambda: flatdim(space),
        lambda: flatten_space(space),
    )
    for call in calls:
        with pytest.raises(NotImplementedError, match="encode it"):
            call()
    with pytest.raises(CustomSpaceError, match="shared_memory=False"):
        create_shared_memory(space)


@pytest.mark.slow
def test_gymnasiums_own_process_vector_environment_sees_real_observations():
    make = lambda: gym.make("rec_gym:RecR1-CornerShop-BM25-v0", items=600, recommender="random")  # noqa: E731
    envs = gym.vector.AsyncVectorEnv([make] * 2, shared_memory=False, context="spawn")
    try:
        observations, _ = envs.reset(seed=1)
        assert all(observations)
        assert envs.step(("lamp", "rug"))[1].shape == (2,)
    finally:
        envs.close()
