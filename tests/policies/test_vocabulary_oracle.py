"""The oracle within a vocabulary finds the best words, and only those of its vocabulary."""

import numpy as np
import pytest

import rec_gym
from rec_gym.policies.references import VocabularyOracle
from rec_gym.recommenders import make_recommender

WORDS = ["lamps", "bottle", "oak", "pan", "nothing", "journal", "boots", "cooler", "steel", "towel", "zzz"]


@pytest.fixture(scope="module")
def task():
    return rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600, action="append", reward="ndcg@10", split="val")


def tried(task, asked):
    """The task's own rewards of each request with each further word behind what is added to it, [words, requests]."""
    ids = task.request_ids
    texts = [[text if word in text.split() else f"{text} {word}" for text in asked] for word in WORDS]
    return np.stack([task.score(ids, each).rewards for each in texts])


def written(task, oracle):
    rows = list(task.rows())
    return oracle(rows), task.score(task.request_ids, oracle(rows)).rewards


def test_one_word_is_the_best_one(task):
    completions, rewards = written(task, VocabularyOracle(task, WORDS, by=["ndcg@10"]))
    plain = task.score(task.request_ids, [""] * len(task)).rewards
    best = np.maximum(tried(task, [""] * len(task)).max(axis=0), plain)
    np.testing.assert_array_equal(rewards, best)
    assert (best > plain).any()
    assert all(bool(text) == (reward > raw) for text, reward, raw in zip(completions, rewards, plain, strict=True))
    assert set(completions) <= {*WORDS, ""}


def test_a_further_word_is_the_best_beside_the_first(task):
    oracle = VocabularyOracle(task, WORDS, words=2, by=["ndcg@10"])
    first, one = written(task, oracle.limited(1))
    completions, rewards = written(task, oracle)
    np.testing.assert_array_equal(rewards, np.maximum(tried(task, first).max(axis=0), one))
    assert (rewards > one).any()
    assert all(text.split()[:1] == old.split() for text, old in zip(completions, first, strict=True))
    assert max(len(text.split()) for text in completions) == 2


def test_every_word_is_tried_where_an_engine_reads_more_than_words(task):
    # The same engine under another query language: nothing may be left out, and nothing else is found.
    class Reads(type(task.recommender)):
        query_language = "natural language"

    engine = Reads(fields=task.recommender.fields).fit(task.dataset.catalog)
    other = rec_gym.Task(task.dataset, engine, split="val", action="append", reward="ndcg@10")
    assert VocabularyOracle(other, WORDS)._finders is None
    assert written(other, VocabularyOracle(other, WORDS))[0] == written(task, VocabularyOracle(task, WORDS))[0]


def test_it_asks_the_same_in_every_format_and_says_what_it_is(task):
    plain = task.replace(action="plain")
    oracle = VocabularyOracle(plain, WORDS)
    np.testing.assert_array_equal(written(plain, oracle)[1], written(task, VocabularyOracle(task, WORDS))[1])
    assert oracle.reference == "knows the relevant items"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": []}, "at least one word"),
        ({"vocabulary": ["a"], "words": 0}, "at least one word"),
        ({"vocabulary": ["a"], "by": ["ndgc@10"]}, "did you mean"),
        ({"vocabulary": ["a"], "by": ["constraints@10"]}, "needs the list"),
    ],
)
def test_wrong_arguments(task, arguments, message):
    with pytest.raises(ValueError, match=message):
        VocabularyOracle(task, **arguments)


def test_a_task_without_items_of_that_name_keeps_the_requests(task):
    catalog = rec_gym.Catalog.from_columns({"item_id": ["a"], "title": ["lamp"]})
    dataset = rec_gym.Dataset.from_requests(catalog, [{"id": "1", "text": "light", "split": "train", "targets": ["a"]}])
    bm25 = make_recommender("bm25", {}, catalog)
    small = rec_gym.Task(dataset, bm25, action="append")
    [row] = small.rows()
    assert VocabularyOracle(small, ["stone", "wheel"], 3)([row]) == [""]
    assert VocabularyOracle(small, ["stone", "lamp"], 3)([row, row]) == ["lamp", "lamp"]
