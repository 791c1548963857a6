"""Baselines, and policies by name or from a user's own code."""

import itertools
import pickle
import sys
from collections import Counter

import numpy as np
import pytest

from rec_gym import Catalog, Dataset, Rankings, Task
from rec_gym.policies import POLICIES, make_policy
from rec_gym.policies.references import RM3
from rec_gym.policies.request import RandomWords
from rec_gym.words import words

ACTIONS = ("plain", "append", "answer", {"name": "answer", "strict": True, "think_opened": True})


@pytest.fixture
def task(dataset, overlap) -> Task:
    return Task(dataset, overlap, reward="ndcg@10")


@pytest.fixture
def history_task(catalog, overlap) -> Task:
    dataset = Dataset.from_requests(
        catalog,
        [
            {"id": "h1", "split": "train", "history": ["desk", "lamp-r"], "targets": ["chair-r"]},
            {"id": "h2", "split": "train", "history": ["rug"], "targets": ["desk"]},
            {"id": "h3", "split": "test", "history": ["chair-b", "chair-r"], "targets": ["rug"]},
        ],
    )
    return Task(dataset, overlap, reward="ndcg@10")


def queries(policy, task: Task) -> list[str]:
    """What the policy's completions ask, as the task understands them."""
    rows = list(task.rows())
    actions = [task.action.parse(text, row["text"]) for text, row in zip(policy(rows), rows, strict=True)]
    assert all(action.ok for action in actions)
    return [action.query for action in actions]


class TestSimple:
    @pytest.mark.parametrize("action", ACTIONS, ids=str)
    def test_raw_asks_the_request_in_every_format(self, task, action):
        task = task.replace(action=action)
        assert queries(make_policy("raw", task), task) == [row["text"] for row in task.rows()]

    @pytest.mark.parametrize("action", ACTIONS, ids=str)
    def test_append_asks_request_and_text_in_every_format(self, task, action):
        task = task.replace(action=action)
        expected = [row["text"] + " best: gift" for row in task.rows()]
        assert queries(make_policy("append:best: gift", task), task) == expected

    def test_titles_of_histories(self, history_task):
        assert queries(make_policy("last-title", history_task), history_task) == ["red lamp", "wool rug"]
        assert queries(make_policy("all-titles", history_task), history_task) == ["oak desk red lamp", "wool rug"]

    @pytest.mark.parametrize("name", ["last-title", "all-titles"])
    def test_titles_need_histories(self, task, name):
        with pytest.raises(ValueError, match="purchase histories"):
            make_policy(name, task)

    def test_policies_see_what_a_policy_may_see(self, task):
        assert getattr(make_policy("raw", task), "reference", None) == ""
        assert make_policy("rm3", task).reference == "reads the catalogue"


class TestRandomWords:
    def test_words_are_those_of_the_train_requests(self, task):
        known = {word for row in task.rows() for word in words(row["text"])}
        test = task.replace(split="test")
        policy = make_policy("random-words:4", test)
        asked = queries(policy, test)[0].split()
        assert len(set(asked)) == 4
        assert set(asked) <= known
        assert "blue" not in policy.vocabulary  # a word of the catalogue and of the test request only

    def test_draw_is_a_function_of_id_and_seed(self, task):
        rows = list(task.rows())
        policy = RandomWords(task, seed=3)
        assert policy(rows) == RandomWords(task, seed=3)(rows[::-1])[::-1]
        assert policy(rows) != RandomWords(task, seed=4)(rows)
        assert make_policy("random-words", task, seed=3)(rows) == policy(rows)

    def test_histories_give_words_of_titles(self, history_task):
        assert make_policy("random-words:2", history_task).vocabulary == ["desk", "lamp", "oak", "red", "rug", "wool"]

    def test_errors(self, catalog, overlap, task):
        with pytest.raises(ValueError, match="from 1 to"):
            make_policy("random-words:1000", task)
        with pytest.raises(ValueError, match="a number of words, not 'x'"):
            make_policy("random-words:x", task)
        only_test = Dataset.from_requests(catalog, [{"id": "q", "text": "t", "split": "test", "targets": ["rug"]}])
        with pytest.raises(ValueError, match="train split"):
            make_policy("random-words", Task(only_test, overlap, split="test"))


class TestOracle:
    def test_asks_what_the_dataset_knows(self, catalog, overlap):
        request = {"id": "q", "text": "a seat", "split": "train", "targets": ["chair-r"], "oracle": "red chair"}
        task = Task(Dataset.from_requests(catalog, [request]), overlap)
        policy = make_policy("oracle", task)
        assert queries(policy, task) == ["red chair"]
        assert policy.reference

    def test_errors(self, task, history_task):
        with pytest.raises(ValueError, match="no oracle query for requests 'q2', 'q3'"):
            make_policy("oracle", task)
        with pytest.raises(ValueError, match="this one knows none"):
            make_policy("oracle", history_task)


class TestRM3:
    @pytest.fixture
    def found(self, task):
        """The items that q1's own words find, with their texts and scores."""
        outcomes = task.replace(reward="ndcg@2").score(["q1"], ["something red to sit on"])
        ranking = outcomes.rankings
        texts = [t for batch in task.dataset.catalog.texts() for t in batch]
        return [(texts[i], s) for i, s in zip(ranking.items[0], ranking.scores[0], strict=True) if i >= 0]

    def test_weights_are_those_of_the_formula(self, task, found):
        likely = Counter()
        for text, score in found:
            tokens = [word for word in text.split() if len(word) > 1]
            for word in tokens:
                likely[word] += score / len(tokens)
        top = sorted(likely.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        total = sum(weight for _, weight in top)
        policy = RM3(task, fb_docs=2, fb_terms=3, original_weight=0.25)
        asked = policy(list(task.rows()))[0].split()
        own = ["something", "red", "to", "sit", "on"]
        repeats = asked.count("sit")
        counts = Counter(asked[repeats * len(own) :])
        assert asked[: repeats * len(own)] == own * repeats
        added = repeats * len(own) * 3  # the request's words weigh a quarter
        assert counts == {word: round(weight / total * added) for word, weight in top}

    def test_a_request_that_finds_nothing_stays_as_it_is(self, task):
        assert make_policy("rm3", task.replace(split="val"))([*task.replace(split="val").rows()]) == ["warm feet"]

    def test_repeated_rows_and_every_format(self, task):
        rows = list(task.rows())
        policy = make_policy("rm3", task)
        assert policy([rows[0], rows[1], rows[0]])[2] == policy(rows)[0]
        for action in ACTIONS:
            other = task.replace(action=action)
            asked = queries(make_policy("rm3", other), other)
            assert [Counter(text.split()) for text in asked] == [Counter(text.split()) for text in policy(rows)]

    def test_histories_are_left_out_as_the_task_does(self, history_task):
        asked = make_policy("rm3", history_task)(list(history_task.rows()))[0]
        assert "item" not in words(asked)
        assert "bright" not in words(asked)  # of the lamp that was bought; the other lamp is calm
        assert "calm" in words(asked)

    def test_common_words_are_left_out(self, overlap):
        catalog = Catalog.from_columns(
            {"item_id": [str(i) for i in range(30)], "title": [f"cup w{i}" for i in range(30)]}
        )
        dataset = Dataset.from_requests(catalog, [{"id": "q", "text": "cup", "split": "train", "targets": ["3"]}])
        policy = RM3(Task(dataset, type(overlap)(catalog)))
        assert policy.common_words == {"cup"}
        assert set(policy(list(policy.task.rows()))[0].split()) == {"cup", *(f"w{i}" for i in range(10))}

    def test_scores_that_are_not_positive_weigh_alike(self, dataset):
        class Negative:
            query_language = "any"

            def rank(self, queries, k, exclude=None):
                items = np.tile(np.arange(2, dtype=np.int32), (len(queries), 1))
                return Rankings(items, np.full(items.shape, -1, np.float32))

        task = Task(dataset, Negative(), reward="ndcg@10")
        assert "bright" in make_policy("rm3", task)(list(task.rows()))[0]

    def test_parameters_are_checked(self, task):
        with pytest.raises(ValueError, match="original_weight"):
            RM3(task, original_weight=0)


@pytest.mark.parametrize("name", ["raw", "random-words", "rm3"])
def test_baselines_pickle(task, name, monkeypatch):
    rows = list(task.rows())
    policy = make_policy(name, task)
    assert pickle.loads(pickle.dumps(policy))(rows) == policy(rows)


CODE = """
from dataclasses import dataclass
from rec_gym.policies import Policy

def upper(rows):
    return [row["text"].upper() for row in rows]

def with_task(rows, *, task):
    return [f"{row['text']} {len(task)}" for row in rows]

def constant(text, task=None) -> Policy:
    return lambda rows: [f"{text} {task.split}"] * len(rows)

def factory() -> "Suffix":
    return upper

def needs_task(task) -> Policy:
    return lambda rows: [task.split] * len(rows)

@dataclass
class Suffix:
    suffix: str = "!"
    def __call__(self, rows):
        return [row["text"] + self.suffix for row in rows]

made = Suffix("?")
not_callable = 3

def wrong() -> Policy:
    return 7

def unsaid(text="x"):
    raise SystemExit("was called")
"""


class TestOwnCode:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "mine.py"
        path.write_text(CODE)
        return path

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("upper", "SOMETHING RED TO SIT ON"),
            ("with_task", "something red to sit on 3"),
            ("constant:a:b", "a:b train"),
            ("factory", "SOMETHING RED TO SIT ON"),
            ("needs_task", "train"),
            ("Suffix", "something red to sit on!"),
            ("Suffix: now", "something red to sit on now"),
            ("made", "something red to sit on?"),
        ],
    )
    def test_from_a_file(self, file, task, spec, expected):
        assert make_policy(f"{file}:{spec}", task)(list(task.rows()))[0] == expected

    def test_from_a_module_of_the_current_folder(self, file, task, monkeypatch):
        module = file.rename(file.with_name("a_policy_of_mine.py")).stem
        monkeypatch.chdir(file.parent)
        before = list(sys.path)
        assert make_policy(f"{module}:upper", task)(list(task.rows()))[0].isupper()
        assert sys.path == before
        del sys.modules[module]

    def test_a_file_may_import_its_neighbour(self, file, task):
        (file.parent / "user.py").write_text("from mine import upper as policy\n")
        assert make_policy(f"{file.parent}/user.py:policy", task)(list(task.rows()))[0].isupper()
        del sys.modules["mine"]

    @pytest.mark.parametrize(
        ("spec", "error", "message"),
        [
            ("uper", ValueError, "unknown name 'uper'; did you mean 'upper'.; choose from: upper, with_task"),
            ("not_callable", ValueError, "is an object of type int, not a policy; name a function whose first"),
            ("unsaid", ValueError, r"is the function unsaid\(\), not a policy; name .* annotated `-> Policy`"),
            ("wrong", ValueError, "returned a int, which is not a callable"),
            ("made:x", ValueError, "a policy itself, which takes no argument; write it without 'x'"),
            ("upper:x", ValueError, "a policy itself, which takes no argument"),
            ("factory:x", ValueError, "cannot be called with its argument"),
        ],
    )
    def test_errors(self, file, task, spec, error, message):
        with pytest.raises(error, match=message):
            make_policy(f"{file}:{spec}", task)

    def test_missing_file_and_module(self, task):
        with pytest.raises(FileNotFoundError, match="no file 'nowhere.py'"):
            make_policy("nowhere.py:policy", task)
        with pytest.raises(ValueError, match="no module 'nowhere'"):
            make_policy("nowhere.inside:policy", task)

    def test_a_module_that_lacks_something_itself_says_so(self, file, task):
        file.write_text("import surely_not_installed\n")
        before = set(sys.modules)
        with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
            make_policy(f"{file}:policy", task)
        assert set(sys.modules) == before


class TestNames:
    def test_unknown_name_lists_the_known_ones(self, task):
        with pytest.raises(ValueError, match="unknown policy 'best'") as caught:
            make_policy("best", task)
        assert all(name in str(caught.value) for name in POLICIES)

    def test_arguments_are_checked(self, task):
        with pytest.raises(ValueError, match="'raw' takes no argument"):
            make_policy("raw:x", task)
        with pytest.raises(ValueError, match="write append:TEXT"):
            make_policy("append", task)

    def test_summaries_are_distinct(self):
        summaries = [known.summary for known in POLICIES.values()]
        assert all(a != b for a, b in itertools.combinations(summaries, 2))


def test_a_word_policy_that_was_saved_writes_the_same(task, tmp_path):
    from rec_gym.policies.learner import LearnerSettings, WordPolicy, load_policy

    policy = WordPolicy(["lamp", "chair", "naïve ☃"], LearnerSettings(draws=2, learning_rate=0.5, seed=3))
    rows = list(task.rows())
    texts = [row["text"] for row in rows]
    drawn = np.tile([[0, 0], [1, 1]], (len(texts), 1))
    policy.learn(texts, drawn, np.arange(len(drawn), dtype=float))
    policy.save(tmp_path / "policy.npz")
    kept = load_policy(str(tmp_path / "policy.npz"))
    assert np.array_equal(kept.probabilities(texts), policy.probabilities(texts))
    assert not np.array_equal(kept.probabilities(texts)[0], WordPolicy(policy.vocabulary[:-1]).probabilities(texts)[0])
    spec = f"rec_gym.policies.learner:load_policy:{tmp_path / 'policy.npz'}"
    assert make_policy(spec, task)(rows) == policy(rows)
    assert kept.settings == policy.settings


def test_a_custom_policy_receives_the_seed(task, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class Draws:\n    def __init__(self, path, *, seed=0):\n        self.path, self.seed = path, seed\n"
        "    def __call__(self, rows):\n        return [f'{self.path}{self.seed}'] * len(rows)\n"
        "class First:\n    def __init__(self, seed='none'):\n        self.seed = seed\n"
        "    def __call__(self, rows):\n        return [repr(self.seed)] * len(rows)\n"
        "def plain(rows, seed=0):\n    return [str(seed)] * len(rows)\n"
    )
    [row, *_] = task.rows()
    specs = {f"{file}:Draws:p": "p7", f"{file}:First": "7", f"{file}:First:x": "'x'", f"{file}:plain": "7"}
    assert {spec: make_policy(spec, task, seed=7)([row])[0] for spec in specs} == specs
