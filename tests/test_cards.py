"""Cards, registration and the keywords of an id."""

import gymnasium as gym
import pytest

import rec_gym
from rec_gym.cards import card_of, cards, register_card

SHOP = "RecR1-CornerShop-BM25-v0"

MINE = """
title = "Mine"
summary = "A folder of my own."
licence = "none"
loader = "rec_gym.datasets.beir:load"

[options]
data_dir = "data"

[recommenders.rank_bm25]
k1 = 0.9

[[env]]
id = "{name}"
recommender = "rank_bm25"
reward = "mrr@10"
turns = 2
"""


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "a", "title": "red lamp", "text": ""}\n{"_id": "b", "text": "a rug"}\n')
    (data / "queries.jsonl").write_text('{"_id": "1", "text": "light"}\n{"_id": "2", "text": "feet"}\n')
    for split, row in (("train", "1\ta\t1"), ("test", "2\tb\t1"), ("dev", "")):
        if row:
            (data / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    return tmp_path


@pytest.mark.parametrize("name", sorted(cards()))
def test_every_packaged_card_is_complete(name):
    card = card_of(name)
    assert card.content["title"]
    assert card.content["licence"]
    assert name in gym.registry
    assert len(card.hash) == 64
    for protocol in card.content.get("protocols", {}).values():
        assert "cutoffs" in protocol


def test_a_card_of_ones_own(folder):
    (folder / "mine.toml").write_text(MINE.format(name="Mine-v0"))
    assert register_card(folder / "mine.toml") == ["Mine-v0"]
    env = gym.make("Mine-v0")
    assert env.unwrapped.task.recommender.k1 == 0.9
    assert env.unwrapped.task.turns.limit == 2
    env.reset(seed=0)
    assert env.step("lamp")[1] == 1
    # The same file again is no conflict; the same id in another file is.
    register_card(folder / "mine.toml")
    (folder / "other.toml").write_text(MINE.format(name="Mine-v0") + "\n")
    with pytest.raises(ValueError, match="the id 'Mine-v0' is registered by .*mine.toml; choose another id"):
        register_card(folder / "other.toml")


def test_a_recommender_of_ones_own_by_name(folder):
    (folder / "own.toml").write_text(MINE.format(name="Own-v0").replace('"rank_bm25"', '"tests_own:Newest"'))
    register_card(folder / "own.toml")
    with pytest.raises(ValueError, match="'tests_own:Newest' cannot be loaded"):
        rec_gym.make_task("Own-v0")
    name = "rec_gym.recommenders.floors:RandomRecommender"
    assert rec_gym.make_task("Own-v0", recommender={"name": name, "seed": 3}).recommender.seed == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title", "titel"), "lacks 'title'; a card holds: baselines"),
        (('licence = "none"', 'licence = "none"\ncolour = 1'), "has an unknown key 'colour'"),
        (("turns = 2", "turns ="), "is not valid TOML"),
        (('recommender = "rank_bm25"', ""), "every .*env.* needs 'id' and 'recommender'"),
    ],
)
def test_a_wrong_card_says_what_is_wrong(folder, change, message):
    (folder / "wrong.toml").write_text(MINE.format(name="Wrong-v0").replace(*change))
    with pytest.raises(ValueError, match=message):
        register_card(folder / "wrong.toml")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            {"splitt": "test"},
            TypeError,
            "has no keyword 'splitt'; there are: split, reward, .*recommender, protocol, items",
        ),
        ({"split": "dev"}, ValueError, "no split 'dev'; there are: train, val, test, ood-"),
        ({"reward": "ndgc@10"}, ValueError, "unknown measure 'ndgc@10'; there are: ndcg"),
        ({"recommender": "bm26"}, ValueError, "unknown recommender 'bm26'; there are: bm25"),
        (
            {"recommender": {"name": "bm25", "k2": 1}},
            ValueError,
            "unexpected keyword argument 'k2'; its options are: .*k1",
        ),
        ({"recommender": {"k1": 1}}, ValueError, "a recommender is a name or a table with 'name'"),
        ({"protocol": "blog"}, ValueError, "has no protocol 'blog'; there are: paper"),
    ],
)
def test_wrong_overrides_list_the_right_ones(overrides, error, message):
    with pytest.raises(error, match=message):
        rec_gym.make_task(SHOP, **overrides)


def test_an_unknown_id_lists_the_ids():
    with pytest.raises(ValueError, match=f"unknown id 'RecR1-Nope-v0'; there are: .*{SHOP}"):
        rec_gym.make_task("RecR1-Nope-v0")


def test_data_that_is_not_packaged_says_how_to_get_it():
    with pytest.raises(ValueError, match=r"recbole:load needs data_dir=\.\.\. "):
        rec_gym.make_task("RecR1-RecBole-BM25-v0")
    with pytest.raises(ValueError, match=r"beir:load needs data_dir=\.\.\. Name a set of the BEIR benchmark"):
        rec_gym.make_task("RecR1-BEIR-BM25-v0")
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        rec_gym.make_task("RecR1-ESCI-BM25-v0", data_dir="/nowhere")


def test_the_papers_protocol():
    train = rec_gym.make_task(SHOP, protocol="paper")
    assert str(train.reward.measure) == "ndcg@1000"
    assert str(train.replace(split="test").reward.measure) == "ndcg@100"
    assert train.reward.range == (-2.0, 1.1)
    assert train.action.strict
    row = next(train.rows())
    assert row["prompt"].endswith("<|im_start|>assistant\nLet me solve this step by step.\n<think>")
    assert f"```{row['text']}```" in row["messages"][1]["content"]
    assert "Boolean operators (AND, OR)" in row["messages"][1]["content"]
    history = rec_gym.make_task("RecR1-CornerShopHistory-BM25-v0", protocol="paper", split="val")
    assert str(history.reward.measure) == "ndcg@50"
    assert "user purchase history" in next(history.rows())["prompt"]
    # What a caller names wins over the protocol.
    mine = rec_gym.make_task(SHOP, protocol="paper", action="plain", reward="mrr@10")
    assert (mine.action.name, str(mine.reward.measure)) == ("plain", "mrr@10")


def test_the_papers_rewards():
    task = rec_gym.make_task(SHOP, protocol="paper", split="val")
    row = next(task.rows())
    found = task.dataset.request(row["request_id"]).oracle
    outcomes = task.score(
        [row["request_id"]] * 3,
        ["red lamp", task.action.compose(found, ""), task.action.compose("zzzz", "")],
    )
    assert outcomes.rewards[0] == -2
    assert outcomes.rewards[1] == pytest.approx(0.1 + outcomes.measures["ndcg@100"][1])
    assert outcomes.rewards[1] > 0.1
    assert outcomes.rewards[2] == 0
