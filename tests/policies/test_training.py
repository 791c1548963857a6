"""Training the word policy: its vocabularies, what it refuses, what it warns of, and what a saved policy asks."""

import io

import numpy as np
import pytest
from rich.console import Console

import rec_gym
from rec_gym import Catalog, Dataset, Task
from rec_gym.policies import make_policy
from rec_gym.policies.learner import LearnerSettings, WordPolicy, english_nouns, load_policy
from rec_gym.policies.training import (
    Training,
    Vocabulary,
    check_trainable,
    print_curve,
    read_vocabulary,
    sparkline,
    train_words,
)
from rec_gym.recommenders import make_recommender

NEEDS = {"lamp": "light to read by", "chair": "somewhere to sit", "rug": "warm feet", "desk": "a place to write"}
SETTINGS = LearnerSettings(draws=2, learning_rate=0.2, seed=1)


@pytest.fixture
def task():
    """Four things that are asked for in words that the catalogue does not use."""
    catalog = Catalog.from_columns({"item_id": list(NEEDS), "title": [f"oak {name}" for name in NEEDS]})
    requests = [{"id": item, "text": text, "split": "train", "targets": [item]} for item, text in NEEDS.items()]
    dataset = Dataset.from_requests(catalog, requests)
    return Task(dataset, make_recommender("bm25", {}, catalog), reward="ndcg@1", action="append")


def trained(task, steps=25, words=(*NEEDS, "stone", "wheel")):
    out = io.StringIO()
    console = Console(file=out, width=200)
    training = train_words(task, Vocabulary(list(words), "words of a test"), steps, SETTINGS, console)
    return training, out.getvalue()


def rewards(task, policy):
    rows = list(task.rows())
    return task.score([row["request_id"] for row in rows], policy(rows)).rewards


@pytest.mark.parametrize("action", ["append", "plain"])
def test_it_learns_and_a_saved_policy_earns_the_same_in_every_format(task, tmp_path, action):
    task = task.replace(action=action)
    training, _ = trained(task)
    assert len(training.curve) == 25
    learned = rewards(task, training.policy)
    assert learned.mean() >= 0.75
    training.policy.save(tmp_path / "policy.npz")
    for written_as in ("append", "answer", "lines"):
        if (action, written_as) == ("plain", "append"):
            continue  # a request that is asked too cannot be taken back
        other = task.replace(action=written_as)
        np.testing.assert_array_equal(rewards(other, make_policy(f"words:{tmp_path / 'policy.npz'}", other)), learned)


def test_it_learns_from_the_text_that_it_is_evaluated_on(task):
    policies = [trained(task.replace(observation=observation), 5)[0].policy for observation in ("request", "prompt")]
    first, second = (policy.probabilities(list(NEEDS.values())) for policy in policies)
    np.testing.assert_array_equal(first, second)


def test_a_saved_policy_keeps_what_it_is(task, tmp_path):
    policy = WordPolicy(["a"], SETTINGS, appends=False, reference="its words are the catalogue's")
    policy.save(tmp_path / "p.npz")
    saved = load_policy(tmp_path / "p.npz")
    assert (saved.appends, saved.reference, saved.settings) == (False, policy.reference, SETTINGS)
    assert make_policy(f"words:{tmp_path / 'p.npz'}", task).reference == policy.reference
    WordPolicy(["a"]).save(tmp_path / "q.npz")
    assert make_policy(f"words:{tmp_path / 'q.npz'}", task).reference == ""


def test_other_files_are_no_policies(task, tmp_path):
    (tmp_path / "text.npz").write_text("not a policy")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:40])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("text.npz", "other.npz", "array.npy", "cut.npz", "empty.npz"):
        with pytest.raises(ValueError, match="holds no saved word policy"):
            make_policy(f"words:{tmp_path / name}", task)
    with pytest.raises(FileNotFoundError, match="rec-gym train"):
        make_policy(f"words:{tmp_path / 'none.npz'}", task)
    with pytest.raises(ValueError, match=r"write words:FILE\.npz"):
        make_policy("words", task)


class TestVocabularies:
    def test_english(self):
        shop = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600)
        assert read_vocabulary("english", shop).words == english_nouns()

    def test_words_of_the_catalogue(self):
        titles = [f"red lamp {i}" for i in range(12)] + ["blue desk of oak", "blue rug of oak", "blue x 42"]
        catalog = Catalog.from_columns({"item_id": list(map(str, range(15))), "title": titles})
        dataset = Dataset.from_requests(catalog, [{"id": "1", "text": "t", "split": "train", "targets": ["0"]}])
        task = Task(dataset, make_recommender("bm25", {}, catalog))
        vocabulary = read_vocabulary("catalog", task)
        # "red" and "lamp" stand in too many items; short words and numbers say little.
        assert vocabulary.words == ["blue", "oak", "desk", "rug"]
        assert vocabulary.reference == "its words are the catalogue's"

    def test_a_file(self, task, tmp_path):
        (tmp_path / "words.txt").write_text("# mine\nlamp\n\n Rug \nlamp\n", encoding="utf-8")
        assert read_vocabulary(str(tmp_path / "words.txt"), task).words == ["lamp", "Rug"]
        (tmp_path / "none.txt").write_text("# mine\n")
        with pytest.raises(ValueError, match="has 0; choose another"):
            read_vocabulary(str(tmp_path / "none.txt"), task)
        (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfd")
        with pytest.raises(ValueError, match="UTF-8"):
            read_vocabulary(str(tmp_path / "bytes.txt"), task)
        with pytest.raises(FileNotFoundError, match="english, catalog or a text file"):
            read_vocabulary(str(tmp_path / "missing.txt"), task)

    def test_words_that_find_nothing(self, task, tmp_path):
        (tmp_path / "words.txt").write_text("zebra\n")
        with pytest.raises(ValueError, match="finds nothing for any word.*--vocabulary catalog"):
            read_vocabulary(str(tmp_path / "words.txt"), task)


@pytest.mark.parametrize(
    ("task_id", "settings", "message"),
    [
        ("RecR1-CornerShopRefine-BM25-v0", {}, "3 turns.*--set turns=1"),
        ("RecR1-CornerShopRerank-BM25-v0", {}, "into order.*rec-gym list"),
        ("RecR1-CornerShopGenerate-BM25-v0", {}, "'titles'.*--set action=append"),
        ("RecR1-CornerShop-BM25-v0", {"action": "answer"}, "'answer'.*--set action=append"),
    ],
)
def test_what_words_cannot_answer_is_refused(task_id, settings, message):
    task = rec_gym.make_task(task_id, items=600, **settings)
    with pytest.raises(ValueError, match=message):
        check_trainable(task)
    with pytest.raises(ValueError, match=message):
        train_words(task, Vocabulary(["lamp"], ""), 1, SETTINGS, Console(file=io.StringIO()))


def test_flat_groups_are_warned_of(task):
    training, text = trained(task, 3, words=["stone", "wheel"])
    assert training.flat_groups == (1.0, 1.0)
    assert "Warning: in the first 3 steps 100% of the groups" in text
    assert "--vocabulary catalog" in text
    assert "Warning" not in trained(task, 3)[1]


def test_flat_groups_are_said_at_both_ends():
    training = Training(WordPolicy(["a"]), [{"reward": i / 99, "flat_groups": float(i < 50)} for i in range(100)])
    assert training.flat_groups == (1.0, 0.0)
    out = io.StringIO()
    print_curve(training, Console(file=out, width=80))
    assert "100% at the start, 0% at the end" in " ".join(out.getvalue().split())
    assert out.getvalue().startswith("Reward 0.020 ▁")
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_a_curve_in_one_line():
    assert sparkline([0.0, 1.0, 0.5], 10) == "▁█▅"
    assert sparkline(range(16), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(range(8), 8, ascii_only=True).isascii()
    assert sparkline([2.0, 2.0], 10) == "▁▁"
    assert sparkline([], 10) == sparkline([1.0], 0) == ""
