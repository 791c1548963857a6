"""What went wrong in the code that the idea comes from, one test each: it must not go wrong here."""

import json

import numpy as np
import pytest

import rec_gym
from rec_gym import Dataset, RecommenderError, Task
from rec_gym.cards import cards
from rec_gym.measures import evaluate

SHOP = "RecR1-CornerShop-BM25-v0"


def test_splits_share_no_request_and_evaluation_on_test_is_explicit(embedded_id):
    """Its validation set contained every test row."""
    task = rec_gym.make_task(embedded_id)
    assert task.split == "train"
    dataset = task.dataset
    ids = [set(dataset.column("id", dataset.rows(split))) for split in dataset.splits]
    assert sum(map(len, ids)) == len(set().union(*ids)) == len(dataset)
    assert {"train", "val", "test"} <= set(dataset.splits)
    other = next(iter(dataset.column("id", dataset.rows("test"))))
    with pytest.raises(ValueError, match="not in split 'train'"):
        task.score([other], ["lamp"])


def test_the_prompt_states_the_engines_language_and_the_outcome_what_was_searched():
    """Its prompt asked for AND and OR, which the engine took for words."""
    task = rec_gym.make_task(SHOP)
    row = next(task.rows())
    assert task.recommender.query_language == "bag of words"
    assert "bag of words" in row["prompt"]
    assert "AND" not in row["prompt"]
    outcome = task.score([row["request_id"]], ['title:("desk lamps" AND steel) OR qqqq'])
    assert "AND" not in outcome.searched[0].split()
    assert {"desk", "steel"} <= set(outcome.searched[0].split())
    # What operators and quotation marks do to a bag of words: nothing.
    plain = task.score([row["request_id"]], ["title desk lamps steel"])
    np.testing.assert_array_equal(outcome.rankings.items, plain.rankings.items)


def test_the_query_is_sent_as_it_is():
    """Every query was sent as `contents:QUERY`, whose prefix stuck to the first word."""
    task = rec_gym.make_task(SHOP, split="all")
    title = task.dataset.catalog.titles([0])[0]
    word = max(title.split(), key=len)
    outcome = task.score([task.request_ids[0]], [word])
    assert outcome.queries == [word]
    assert outcome.rankings.lengths[0] > 0


@pytest.mark.parametrize("error", [ConnectionError("refused"), TimeoutError("late"), ValueError("bad"), KeyError("x")])
def test_a_failed_search_is_an_error(dataset, error):
    """It became a reward of 0 or -2."""

    class Failing:
        query_language = "bag of words"

        def rank(self, queries, k, exclude=None):
            raise error

    with pytest.raises(RecommenderError, match="failed on 1 queries \\('blue lamp'\\)"):
        Task(dataset, Failing(), reward={"measure": "ndcg@10", "unparsed": -2}).score(["q2"], ["blue lamp"])


def test_duplicate_targets_count_once_unless_the_published_figure_is_wanted(catalog, overlap):
    """They counted in the ideal DCG, so that 18 of 103 queries could not reach 1."""
    requests = [{"id": "q", "text": "light", "split": "train", "targets": ["lamp-r", "lamp-b", "lamp-b"]}]
    score = {
        mode: Task(Dataset.from_requests(catalog, requests, duplicate_targets=mode), overlap).score(["q"], ["lamp"])
        for mode in ("remove", "count")
    }
    assert score["remove"].rewards[0] == 1
    discounts = 1 / np.log2(np.arange(3) + 2)
    assert score["count"].rewards[0] == pytest.approx(discounts[:2].sum() / discounts.sum())


def test_the_published_files_hold_such_duplicates(real_data):
    requests = json.loads((real_data / "recr1_esci_queries_notext" / "Video_Games.json").read_text())
    targets = [request["item_id"] for request in requests]
    perfect = [list(dict.fromkeys(row)) for row in targets]
    assert (evaluate(["ndcg@100"], perfect, targets)["ndcg@100"] == 1).all()
    published = evaluate(["ndcg@100"], perfect, targets, duplicate_targets="count")["ndcg@100"]
    assert (published < 1).sum() == 18
    assert len(published) == 103


def test_cutoffs_are_a_part_of_the_task(dataset, overlap):
    """The cut-off depended on whether the data source's name contained 'test'."""
    task = Task(dataset, overlap, reward="ndcg@7", name="my-test-data")
    assert {str(task.replace(split=split).reward.measure) for split in ("train", "val", "test", "all")} == {"ndcg@7"}
    for card in {card.path: card for card in cards().values()}.values():
        for protocol in card.content.get("protocols", {}).values():
            assert {"train", "default"} <= set(protocol["cutoffs"])


def test_gains_are_a_part_of_the_task(real_data):
    """Graded labels were thrown away."""
    folder = str(real_data / "esci_mini")
    graded = rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir=folder)
    assert {1.0, 0.1} <= set(graded.dataset.judged_gains.values.tolist())
    exact = rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir=folder, protocol="paper", splits="published")
    assert set(exact.dataset.relevant_gains.values.tolist()) == {1.0}


def test_a_batch_is_one_call_and_a_group_is_asked_once(dataset, overlap):
    """One query a call, no cache, though a group holds twelve completions of one prompt."""
    Task(dataset, overlap).score(["q1"] * 12 + ["q2"] * 12, ["red chair"] * 24)
    assert overlap.calls == [("red chair",)]
