"""Slots that learn to set filters: what a value can be, the gradient, and that what pays is learned and saved."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import rec_gym
from rec_gym import Catalog, Dataset, Task
from rec_gym.policies import make_policy
from rec_gym.policies.filter_slots import NUMBERS, WORDS, FilterSlots, Slot, slots_of, spans_of
from rec_gym.policies.learner import LearnerSettings, SavedWords, WordPolicy, load_policy
from rec_gym.policies.training import Vocabulary, train_words
from rec_gym.recommenders import make_recommender

FILTERS = "RecR1-CornerShopFilters-BM25-v0"
SLOTS = (Slot("price", "<=", NUMBERS), Slot("price", ">=", NUMBERS), Slot("size", "==", WORDS))
SETTINGS = LearnerSettings(draws=2, learning_rate=0.2, seed=1)


def values(text, reads):
    return [span.value for span in spans_of(text) if span.reads == reads]


@pytest.fixture
def task():
    """Lamps of eight prices: of those that cost enough, the cheapest one is wanted."""
    prices = list(range(10, 90, 10))
    columns = {
        "item_id": [str(price) for price in prices],
        "title": ["lamp"] * len(prices),
        "price": map(float, prices),
    }
    catalog = Catalog.from_columns({**{name: list(own) for name, own in columns.items()}, "size": ["big", "mini"] * 4})
    says = ("at least {} dollars", "{} bucks or more", "not below {}")
    requests = [
        {
            "id": f"{price} {text}",
            "text": f"lamp number 7, {text.format(price)}",
            "split": "train",
            "targets": [str(price)],
        }
        for text in says
        for price in prices
    ]
    action = {"name": "structured", "columns": ["price", "size"]}
    return Task(
        Dataset.from_requests(catalog, requests), make_recommender("bm25", {}, catalog), reward="ndcg@1", action=action
    )


def trained(task, steps=20, words=("stone",), settings=SETTINGS):
    return train_words(task, Vocabulary(list(words), ""), steps, settings, Console(file=io.StringIO()))


def rewards(task, policy):
    rows = list(task.rows())
    return task.score([row["request_id"] for row in rows], policy(rows)).rewards


class TestValues:
    def test_numbers_in_digits_and_in_words(self):
        assert values("under $1,299.50, or one hundred and twenty; seventy-five bucks at most", NUMBERS) == [
            1299.5,
            120,
            75,
        ]
        assert values("a mini A3 sheet of 2 by EU 42", NUMBERS) == [2, 42]
        assert values("nothing", NUMBERS) == []

    def test_words_and_pairs_that_adjoin_without_function_words(self):
        assert values("made of Stainless steel, in A4", WORDS) == [
            "made",
            "Stainless",
            "Stainless steel",
            "steel",
            "A4",
        ]
        assert values("...", WORDS) == values("", WORDS) == []

    def test_a_long_text_is_read_at_its_beginning(self):
        spans = spans_of("lamp " * 3000 + "99")
        assert 0 < len(spans) <= 400
        assert all(span.reads == WORDS for span in spans)

    def test_slots_are_those_of_the_action_format(self, task):
        assert slots_of(task) == SLOTS
        assert len(slots_of(rec_gym.make_task(FILTERS, items=600))) == 9
        with pytest.raises(ValueError, match="'append' holds no filters on columns .*--set action=structured"):
            slots_of(task.replace(action="append"))

    def test_a_chance_beyond_its_range_is_refused(self):
        with pytest.raises(ValueError, match="tries is the chance .*not 1"):
            FilterSlots(SLOTS, tries=1)


def test_an_untrained_slot_is_filled_as_often_as_settings_say():
    texts = ["a lamp for at most 30 dollars, in A4 please, not above 50", "lamp", ""]
    chances = FilterSlots(SLOTS, tries=0.2).probabilities(texts)
    np.testing.assert_allclose(chances.sum(axis=2), 1)
    np.testing.assert_allclose(1 - chances[0, :, 0], 0.2)
    np.testing.assert_allclose(chances[1, :2, 0], 1)  # the text has no numbers
    np.testing.assert_allclose(chances[2, :, 0], 1)


def test_draws_follow_the_chances():
    texts, slots = ["a lamp in A4 for at most 30 dollars", "20 or 30 plates"], FilterSlots(SLOTS, tries=0.4, seed=5)
    slots.weights[:] = np.random.default_rng(0).normal(0, 2, slots.weights.shape)
    conditions, drawn = slots.sample(texts, 4000)
    chances = slots.probabilities(texts)
    for text in range(2):
        for slot in range(3):
            shares = np.bincount(drawn[text * 4000 : (text + 1) * 4000, slot], minlength=chances.shape[2]) / 4000
            np.testing.assert_allclose(shares, chances[text, slot], atol=0.04)
    spans = spans_of(texts[0])
    for own, places in zip(conditions[:50], drawn[:50].tolist(), strict=True):
        expected = [(*slot[:2], spans[place - 1].value) for slot, place in zip(SLOTS, places, strict=True) if place]
        assert own == expected


def test_the_gradient_is_that_of_the_log_probability():
    texts, slots = (
        ["a lamp in A4 for at most 30 dollars", "20 or 30 big plates", "lamp"],
        FilterSlots(SLOTS, buckets=64),
    )
    random = np.random.default_rng(1)
    slots.weights[:] = random.normal(0, 0.5, slots.weights.shape)
    _, drawn = slots.sample(texts, 8)
    advantages = random.normal(size=(3, 8))
    advantages = (advantages - advantages.mean(axis=1, keepdims=True)).ravel()
    owners, columns = np.repeat(np.arange(3), 8)[:, None], np.arange(3)[None, :]

    def objective():
        return float((advantages * np.log(slots.probabilities(texts)[owners, columns, drawn]).sum(axis=1)).mean())

    rows, gradient = slots.gradient(texts, drawn, advantages)
    assert np.abs(gradient).max() > 0.01
    full = np.zeros_like(slots.weights)
    full[rows] = gradient
    for place in [tuple(cell) for cell in np.argwhere(np.abs(full) > 0)] + [(0, 0), (5, 2)]:
        kept, step = slots.weights[place], 0.01
        slots.weights[place] = kept + step
        above = objective()
        slots.weights[place] = kept - step
        numeric = (above - objective()) / (2 * step)
        slots.weights[place] = kept
        assert full[place] == pytest.approx(numeric, abs=1e-4)


def test_it_learns_that_a_filter_pays_and_a_saved_policy_earns_the_same(task, tmp_path):
    training = trained(task)
    policy = SavedWords(task, training.policy)
    before, after = rewards(task, make_policy("raw", task)), rewards(task, policy)
    assert before.mean() < 0.2  # all lamps are alike to the query, and the first one is the cheapest
    assert after.mean() >= 0.9
    assert training.curve[-1]["filters"] > 0
    texts = [row["text"] for row in task.rows()]
    assert {condition[:2] for own in training.policy.filters.choose(texts) for condition in own} == {("price", ">=")}
    training.policy.save(tmp_path / "policy.npz")
    again = load_policy(tmp_path / "policy.npz")
    assert again.filters.slots == SLOTS
    np.testing.assert_array_equal(again.filters.weights, training.policy.filters.weights)
    np.testing.assert_array_equal(rewards(task, make_policy(f"words:{tmp_path / 'policy.npz'}", task)), after)


def test_equal_seeds_train_alike(task):
    first, second, other = (trained(task, 3, settings=LearnerSettings(seed=seed)).policy for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.filters.weights, second.filters.weights)
    assert not np.array_equal(first.filters.weights, other.filters.weights)


def test_words_and_filters_are_asked_together(task):
    policy = WordPolicy(["stone"], SETTINGS, slots=SLOTS)
    learner = SavedWords(task, policy)
    texts = ["lamp of 30 dollars"]
    completions, drawn = learner.sample(texts, 64)
    for completion, words, chosen in zip(completions, drawn.words, drawn.filters, strict=True):
        action = task.action.parse(completion, texts[0])
        assert action.query == texts[0] + (" stone" if 0 in words else "")
        assert len(action.filters) == (chosen > 0).sum()
        assert action.parse == "ok"


def test_a_policy_of_filters_alone_writes_no_words(task):
    policy = SavedWords(task, WordPolicy([], SETTINGS, slots=SLOTS))
    [row] = list(task.rows())[:1]
    assert json.loads(policy([row])[0].removeprefix("<think></think>").split("<answer>")[1].split("</answer>")[0]) == {
        "query": row["text"]
    }


@pytest.mark.parametrize("action", ["append", "answer", {"name": "structured", "columns": ["price"]}])
def test_filters_that_cannot_be_held_are_refused(task, tmp_path, action):
    WordPolicy(["stone"], SETTINGS, slots=SLOTS).save(tmp_path / "p.npz")
    with pytest.raises(ValueError, match="sets filters on .*size, which completions of the form .* cannot hold"):
        make_policy(f"words:{tmp_path / 'p.npz'}", task.replace(action=action))
