"""Query edits as actions, and the environment that takes them."""

import subprocess
import sys

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env

import rec_gym
from rec_gym.adapters.query_edits import QueryEditEnv, QueryEdits, check_fits, reads

ID, REFINE, RERANK = (f"RecR1-CornerShop{kind}-BM25-v0" for kind in ("", "Refine", "Rerank"))
WORDS = ["lamp", "wool", "steel", "blanket", "coffee table"]


class TestQueryEdits:
    """They need no training framework."""

    def test_a_text_is_the_same_vector_in_every_process(self):
        edits = QueryEdits(WORDS, buckets=1000)
        [vector] = edits.vectors(["Warm wool, warm WOOL"])
        # CRC-32 of "warm", "wool", "warm wool" and "wool warm", modulo 1000.
        assert np.flatnonzero(vector).tolist() == [22, 207, 495, 503]
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0)
        code = (
            "from rec_gym.adapters.query_edits import QueryEdits\n"
            "print(QueryEdits(['a'], buckets=1000).vectors(['Warm wool, warm WOOL'])[0].nonzero()[0].tolist())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[22, 207, 495, 503]"

    def test_a_text_without_words_is_zero_and_all_lie_in_the_space(self):
        edits = QueryEdits(WORDS, buckets=32)
        vectors = edits.vectors(["", "?!", "one", "ein Wort für Ünïcode 日本"])
        assert vectors.shape == (4, 32)
        assert not vectors[:2].any()
        assert all(edits.observation_space.contains(vector) for vector in vectors)

    def test_actions_become_the_words_they_stand_for(self):
        edits = QueryEdits(WORDS, slots=3)
        assert edits.action_space.nvec.tolist() == [6, 6, 6]
        actions = np.array([[1, 0, 2], [0, 0, 0], [5, 5, 3], [4, 1, 4]])
        assert edits.texts(actions) == ["lamp wool", "", "coffee table steel", "blanket lamp"]

    def test_every_word_comes_back_from_its_action(self):
        edits = QueryEdits()
        actions = np.zeros((len(edits.vocabulary), edits.slots), int)
        actions[:, 1] = np.arange(1, len(edits.vocabulary) + 1)
        assert edits.texts(actions) == edits.vocabulary

    def test_masks_close_words_that_the_request_holds(self):
        edits = QueryEdits(WORDS, slots=2)
        masks = edits.masks(["A LAMP, and coffee", "a table for my coffee", "lamp wool steel blanket coffee table", ""])
        assert masks.shape == (4, 12)
        open_words = [[WORDS[i - 1] for i in np.flatnonzero(mask[:6]) if i] for mask in masks]
        assert open_words == [["wool", "steel", "blanket", "coffee table"], WORDS[:4], [], WORDS]
        assert (masks[:, :6] == masks[:, 6:]).all()
        assert masks[:, [0, 6]].all(), "no word at all is always open, so that no row is closed everywhere"

    def test_discrete_actions_are_single_numbers(self):
        edits = QueryEdits(WORDS, slots=1, discrete=True)
        assert edits.action_space == Discrete(6)
        assert edits.texts(np.array([1, 0, 5])) == ["lamp", "", "coffee table"]
        assert edits.masks(["a lamp"]).shape == (1, 6)
        with pytest.raises(ValueError, match=r"of shape \[n\], not \[2, 1\]"):
            edits.texts(np.zeros((2, 1), int))

    @pytest.mark.parametrize("changes", [{"slots": 3}, {"slots": 1, "discrete": True}])
    def test_settings_make_the_same_edits_again(self, changes):
        edits = QueryEdits(WORDS, buckets=16, **changes)
        again = QueryEdits(**edits.settings)
        assert again.settings == edits.settings
        assert again.action_space == edits.action_space
        assert again.observation_space == edits.observation_space

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"vocabulary": []}, "is empty"),
            ({"vocabulary": ["a", "!"]}, "'!' has none"),
            ({"vocabulary": ["a", "b", "a"]}, "'a' twice"),
            ({"slots": 0}, "at least 1"),
            ({"buckets": 0}, "at least 1"),
            ({"discrete": True, "slots": 2}, "set slots=1, not 2"),
        ],
    )
    def test_bad_settings_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            QueryEdits(**arguments)

    @pytest.mark.parametrize("actions", [np.zeros(2), np.zeros((1, 3)), np.full((1, 2), 6), np.full((1, 2), -1)])
    def test_bad_actions_are_refused(self, actions):
        with pytest.raises(ValueError, match="actions"):
            QueryEdits(WORDS, slots=2).texts(actions)

    def test_what_a_policy_reads(self):
        task = rec_gym.make_task(ID, items=600)
        assert reads(task) == "text"
        assert reads(task.replace(observation="prompt")) == "prompt"
        assert reads(task.replace(turns=3)) == "prompt"

    def test_an_order_of_candidates_is_no_words(self):
        with pytest.raises(ValueError, match="order"):
            check_fits(rec_gym.make_task(RERANK, items=600))


@pytest.mark.parametrize("id", [ID, REFINE])
class TestQueryEditEnv:
    """A single environment, without a training framework."""

    def make(self, id):
        return QueryEditEnv(rec_gym.make_task(id, items=600, action="append"), QueryEdits(WORDS, slots=2, buckets=64))

    def test_check_env_finds_nothing(self, id):
        task = rec_gym.make_task(id, items=600)
        check_env(
            QueryEditEnv(task, QueryEdits(WORDS, slots=2, buckets=64), render_mode="ansi"), skip_render_check=True
        )

    def test_it_does_what_the_task_does(self, id):
        env = self.make(id)
        seen, info = env.reset(seed=1)
        episodes = env.task.start([info["request_id"]])
        ended = False
        while not ended:
            assert (seen == env.edits.vectors([row[reads(env.task)] for row in env.task.rows_of(episodes)])[0]).all()
            assert (env.action_masks() == env.edits.masks([env.task.rows_of(episodes)[0]["text"]])[0]).all()
            seen, reward, ended, truncated, info = env.step(np.array([1, 2]))
            episodes, outcomes, _ = env.task.advance(episodes, ["lamp wool"])
            assert (reward, ended, truncated) == (outcomes.rewards[0], episodes[0].done, False)
        assert info["turn"] == env.task.turns.limit
