"""The files that `rec-gym new-card` writes, by name; `$name`, `$module`, `$title` and `$task_id` are filled in."""

_CARD = """\
title = "$title"
task = "search"
summary = "What shoppers of $name ask for."
licence = "none"
loader = "loader.py:load"

[options]
most = 1000

[recommenders."recommender.py:SharedWords"]
at_least = 2

[[env]]
id = "$task_id"
recommender = "recommender.py:SharedWords"
reward = "ndcg@10"
"""

_LOADER = '''\
"""The data: replace the items and the requests by yours, or read them from files."""

import rec_gym

ITEMS = {
    "a1": "red oak chair",
    "a2": "blue folding chair",
    "b1": "brass desk lamp",
    "b2": "white floor lamp",
    "c1": "grey wool rug",
    "c2": "small door mat",
    "d1": "oak writing desk",
    "d2": "steel standing desk",
}
# What shoppers say, what they mean in the words of the catalogue, and the items that fit.
REQUESTS = [
    ("somewhere to sit", "chair", ["a1", "a2"]),
    ("a seat to put away", "folding chair", ["a2"]),
    ("light to read by", "lamp", ["b1", "b2"]),
    ("it is dark where I work", "desk lamp", ["b1"]),
    ("warm feet", "rug", ["c1"]),
    ("mud stays outside", "door mat", ["c2"]),
    ("a place to write", "desk", ["d1", "d2"]),
    ("my back hurts at work", "standing desk", ["d2"]),
    ("extra seats for guests", "folding chair", ["a2"]),
    ("brighten the hall", "floor lamp", ["b2"]),
    ("cold floor", "wool rug", ["c1"]),
    ("a surface for letters", "writing desk", ["d1"]),
]
SPLITS = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def load(most: int = 1000) -> rec_gym.Dataset:
    """The first requests of the list.

    Args:
        most: number of requests, at most.
    """
    catalog = rec_gym.Catalog.from_columns({"item_id": list(ITEMS), "title": list(ITEMS.values())})
    requests = [
        {"id": str(number), "text": text, "split": split, "targets": items, "oracle": query}
        for number, ((text, query, items), split) in enumerate(zip(REQUESTS, SPLITS, strict=True))
    ]
    return rec_gym.Dataset.from_requests(catalog, requests[:most])
'''

_RECOMMENDER = '''\
"""The recommender: replace it by yours, or name a built-in one such as bm25 in card.toml."""

import numpy as np

import rec_gym


class SharedWords:
    """Ranks items by the number of words that they share with the query; ties by lower position.

    Args:
        at_least: letters of a word that counts.
    """

    query_language = "bag of words"

    def __init__(self, at_least: int = 1) -> None:
        self.at_least = at_least

    def fit(self, catalog):
        """The recommender for a catalogue; called once."""
        fitted = SharedWords(self.at_least)
        fitted.items = [self._words(text) for batch in catalog.texts() for text in batch]
        return fitted

    def rank(self, queries, k, exclude=None):
        """The best k items for each query; what shares no word is not ranked."""
        items = np.full((len(queries), k), -1, np.int32)
        scores = np.zeros((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            shared = np.array([len(self._words(query) & words) for words in self.items])
            if exclude is not None:
                shared[exclude[row]] = 0
            best = np.argsort(-shared, kind="stable")[: min(k, (shared > 0).sum())]
            items[row, : len(best)], scores[row, : len(best)] = best, shared[best]
        return rec_gym.Rankings(items, scores)

    def _words(self, text):
        return {word for word in text.lower().split() if len(word) >= self.at_least}
'''

_TEST = '''\
"""The card keeps the promises that rec_gym makes to policies and trainers."""

from pathlib import Path

import pytest

import rec_gym
from rec_gym.testing import check_card, check_loader, check_policy, check_recommender


HERE = Path(__file__).parent


@pytest.fixture
def task():
    return rec_gym.make_task("$task_id", card=str(HERE / "card.toml"))


def test_the_card():
    check_card(HERE / "card.toml")


def test_the_loader():
    check_loader(f"{HERE / 'loader.py'}:load")
    check_loader(f"{HERE / 'loader.py'}:load", most=10)


def test_the_recommender(task):
    check_recommender(task.recommender, task.dataset.catalog)


def test_the_right_query_is_worth_more_than_the_request(task):
    means = {}
    for name in ("raw", "oracle"):
        check_policy(name, task)
        policy = rec_gym.policies.make_policy(name, task)
        means[name] = rec_gym.evaluation.evaluate(task, policy, progress=False).rewards.mean()
    assert means["oracle"] > means["raw"]
'''

_README = """\
# $title

| file | what it is |
|---|---|
| `card.toml` | declares the id `$task_id`: data, recommender, reward |
| `loader.py` | the data |
| `recommender.py` | what ranks |
| `test_$module.py` | checks all of it with `rec_gym.testing` |

Check it:

    pytest
    rec-gym check card.toml

In Python:

    import gymnasium as gym
    import rec_gym

    rec_gym.register_card("card.toml")
    env = gym.make("$task_id")
"""

FILES = {
    "card.toml": _CARD,
    "loader.py": _LOADER,
    "recommender.py": _RECOMMENDER,
    "test_$module.py": _TEST,
    "README.md": _README,
}
