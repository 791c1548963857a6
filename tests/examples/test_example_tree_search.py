"""Tree search over turns: it finds what is best, keeps to its budget, and its values are the task's rewards."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from rec_gym import Task, make_task
from rec_gym.evaluation import evaluate
from rec_gym.policies import make_policy
from rec_gym.policies.learner import english_nouns
from rec_gym.words import words

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.append(str(EXAMPLES))  # examples import their neighbours

import tree_search  # noqa: E402
from edits import Edits  # noqa: E402
from tree_search import Arguments, Replay, best, compared, search, turn_values  # noqa: E402

ID = "RecR1-CornerShopRefine-BM25-v0"


def from_lists(rows):
    """Three words at first; the right query is proposed only where `red` was asked before."""
    seen = {}
    proposed = []
    for row in rows:
        place = seen[row["prompt"]] = seen.get(row["prompt"], -1) + 1
        lists = ["blue rug", "red chair", "lamp"] if "Search 1: red\n" in row["prompt"] else ["rug", "red", "desk"]
        proposed.append(lists[place % 3])
    return proposed


@pytest.fixture
def toy(dataset, overlap):
    """A red chair is wanted by q1; only `red`, then `red chair` leads to the best reward."""
    return Task(dataset, overlap, reward="ndcg@10", turns=3)


@pytest.fixture(scope="module")
def task():
    return make_task(ID, items=600)


@pytest.fixture(scope="module")
def trees(task):
    return search(task, Edits(0), task.request_ids[:12], 20, 4, 0.1)


class Counted:
    """A task that counts how often it is advanced."""

    def __init__(self, task):
        self.task, self.sizes = task, []

    def __getattr__(self, name):
        return getattr(self.task, name)

    def advance(self, episodes, completions):
        self.sizes.append(len(completions))
        return self.task.advance(episodes, completions)


def nodes(roots):
    return [node for root in roots for node in root.walk()]


def test_a_search_of_everything_finds_the_best_and_stops(toy):
    counted = Counted(toy)
    [root] = search(counted, from_lists, ["q1"], 1000, 3, 0.1)
    found = best([root])
    assert found.path() == ["red", "red chair"]
    everything = ["rug", "red", "desk", "blue rug", "red chair", "lamp"]
    assert found.episode.best == toy.score(["q1"] * 6, everything).rewards.max() > 0.9
    assert root.finished
    assert root.visits == len(counted.sizes) == 3 + 9 + 27 == len(nodes([root])) - 1


def test_the_value_leads_to_the_best_with_a_small_budget(toy):
    [root] = search(toy, from_lists, ["q1"], 5, 3, 0.1)
    assert [child.completion for child in root.children] == ["rug", "red", "desk"]
    assert best([root]).path() == ["red", "red chair"]
    assert max(root.children, key=lambda child: child.visits).completion == "red"


def test_each_request_has_a_tree_of_its_own(toy):
    alone = [search(toy, from_lists, [name], 6, 3, 0.1)[0] for name in ("q1", "q2")]
    together = search(toy, from_lists, ["q1", "q2"], 6, 3, 0.1)
    for one, other in zip(alone, together, strict=True):
        assert list(turn_values(one)) == list(turn_values(other))


def test_a_stop_ends_a_branch(toy):
    [root] = search(
        toy, lambda rows: ["red" if "Search" not in row["prompt"] else "<stop>" for row in rows], ["q1"], 9, 3
    )
    assert [node.completion for node in nodes([root])] == ["", "red", "<stop>"]
    assert root.finished
    assert best([root]).path() == ["red"]


def test_it_keeps_to_its_budget(task):
    counted, asked = Counted(task), []

    def propose(rows):
        asked.append(len(rows))
        return Edits(0)(rows)

    ids = task.request_ids[:10]
    roots = search(counted, propose, ids, 15, 4, 0.1)
    assert len(counted.sizes) == 15
    assert len(asked) <= 15
    assert sum(counted.sizes) == sum(root.visits for root in roots) == 15 * len(ids)
    assert min(asked) > 0
    assert sum(asked) == sum(node.proposed for node in nodes(roots))
    assert all(len(node.children) <= 4 for node in nodes(roots))


def test_the_same_seed_finds_the_same(task, trees):
    again = search(task, Edits(0), task.request_ids[:12], 20, 4, 0.1)
    other = search(task, Edits(1), task.request_ids[:12], 20, 4, 0.1)
    lines = [[list(turn_values(root)) for root in roots] for roots in (trees, again, other)]
    assert lines[0] == lines[1] != lines[2]


def test_values_are_what_the_task_pays_when_it_is_played_again(task, trees):
    low, high = task.reward.range
    for node in nodes(trees):
        if node.parent is None:
            continue
        [episode] = task.start([node.episode.request_id])
        for completion in node.path():
            [episode], _, _ = task.advance([episode], [completion])
        assert episode == node.episode
        below = [one.episode.best for one in node.walk()]
        assert node.visits == len(below)
        assert node.value == pytest.approx(sum(below) / len(below), rel=1e-12)
        assert node.children or node.value == episode.best
        assert low <= node.value <= high


def test_advantages_in_a_state_cancel_and_follow_the_values(trees):
    states = {}
    for root in trees:
        for line in turn_values(root):
            states.setdefault((line["request_id"], line["turn"], line["prompt"]), []).append(line)
    assert any(len(lines) > 1 for lines in states.values())
    for lines in states.values():
        assert sum(line["advantage"] * line["visits"] for line in lines) == pytest.approx(0, abs=1e-12)
        ranked = sorted(lines, key=lambda line: line["value"])
        assert ranked == sorted(lines, key=lambda line: line["advantage"])


def test_the_prompt_of_a_turn_is_what_a_policy_would_read(task, trees):
    node = next(node for node in nodes(trees) if node.children and node.parent)
    assert task.rows_of([node.episode])[0]["prompt"] == node.prompt
    assert next(line for line in turn_values(node))["prompt"] == node.prompt


def test_the_comparison_is_a_replay_and_budgets_are_equal(task):
    arguments = Arguments(simulations=9, width=3, requests=8)
    trees, evaluations, counts = compared(task, Edits(0), arguments)
    named = {evaluation.name: evaluation for evaluation in evaluations}
    assert list(named) == ["raw", "first proposal", "best of 9", "best of 3 episodes", "tree search"]
    assert [bool(evaluation.reference) for evaluation in evaluations] == [False, False, True, True, True]
    assert {name: count["scored"] for name, count in counts.items()} == {
        "first proposal": 1, "best of 9": 9, "best of 3 episodes": 9, "tree search": 9,
    }  # fmt: skip
    assert named["tree search"].request_ids == [root.episode.request_id for root in trees]
    assert named["tree search"].measures["ndcg@100"].tolist() == [best([root]).episode.best for root in trees]
    assert named["tree search"].rewards == pytest.approx([best([root]).episode.best for root in trees], abs=1e-12)
    for name in ("best of 9", "best of 3 episodes", "tree search"):
        assert named[name].rewards.mean() >= named["first proposal"].rewards.mean()


def test_a_replay_writes_its_path_and_then_stops(task):
    ids = task.request_ids
    replay = Replay({name: ["a chair", "a lamp"] for name in ids}, "because")
    evaluation = evaluate(task, replay, requests=20, progress=False)
    assert evaluation.reference == "because"
    assert set(evaluation.turns.tolist()) == {3}
    row = task.rows_of(task.start(ids[:1]))[0]
    replay = Replay({ids[0]: ["a chair"]})
    assert [replay([row]) for _ in range(3)] == [["a chair"], ["<stop>"], ["<stop>"]]


def test_edits_change_one_word_and_use_what_the_row_shows(task):
    [episode] = task.start(task.request_ids[:1])
    [after], _, _ = task.advance([episode], ["warm blanket tent"])
    [row], [first] = task.rows_of([after]), task.rows_of([episode])
    assert after.shown[0]
    titles = set(words(" ".join(task.dataset.catalog.titles(after.shown[0]))))
    nouns, kinds = set(english_nouns()), set()
    edits = Edits(0)([row] * 200)
    assert edits.count("warm blanket tent") <= 4  # a word may be exchanged for itself
    for edit in edits:
        assert edit
        new = [word for word in edit.split() if word not in ("warm", "blanket", "tent")]
        assert len(new) <= 1
        assert set(new) <= titles | nouns
        kinds.add((len(edit.split()), bool(new) and new[0] in titles - nouns))
    assert {(2, False), (3, True), (4, False), (4, True)} <= kinds
    request = words(first["text"])
    for edit in Edits(0)([first] * 50):  # nothing is shown yet: the request is what is edited
        assert len(edit.split()) in (len(request) - 1, len(request) + 1)
        assert set(edit.split()) - set(request) <= nouns


def test_the_policy_of_edits_is_made_with_the_seed(task):
    [row] = task.rows_of(task.start(task.request_ids[:1]))
    made = [make_policy(spec, task, seed=3)([row] * 9) for spec in (Arguments.policy, f"{EXAMPLES}/edits.py:Edits")]
    assert made == [Edits(3)([row] * 9)] * 2
    assert made[0] != make_policy(Arguments.policy, task, seed=4)([row] * 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "x.jsonl", "--split", "val"], "training data"),
        (["--set", "items=600", "--set", "turn_reward=last"], "best turn"),
    ],
)
def test_what_it_refuses(options, message):
    with pytest.raises(SystemExit, match=message):
        tree_search.main(tyro.cli(Arguments, args=options))


def test_data_that_is_fetched_comes_from_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        tree_search.main(Arguments(id="RecR1-ESCI-BM25-v0", data_dir=tmp_path))


@pytest.mark.parametrize(("simulations", "width"), [(0, 3), (3, 0)])
def test_a_search_needs_a_budget(toy, simulations, width):
    with pytest.raises(ValueError, match="must be at least 1"):
        search(toy, from_lists, ["q1"], simulations, width)


def test_a_proposer_that_writes_too_little_is_an_error(toy):
    with pytest.raises(ValueError, match="wrote 1 completions for 3 rows"):
        search(toy, lambda rows: ["red"], ["q1"], 2, 3)


@pytest.mark.slow
def test_a_run_leaves_what_it_says(tmp_path):
    command = [sys.executable, str(EXAMPLES / "tree_search.py"), "--set", "items=600", "--requests", "8"]
    command += ["--simulations", "6", "--width", "3", "--output", "out", "--data", "turns.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    policies = {policy["policy"]: policy for policy in result["policies"]}
    assert list(policies) == ["raw", "first proposal", "best of 6", "best of 2 episodes", "tree search"]
    assert policies["tree search"]["reference"] == "chosen by the true reward"
    assert result["completions"]["tree search"]["scored"] == 6
    assert result["arguments"]["simulations"] == 6
    assert result["split"] == "train"
    assert result["n"] == 8
    assert "tree search: 6.0 completions scored" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    assert len(lines) == 8 * 6
    keys = ["request_id", "turn", "prompt", "completion", "value", "visits", "advantage"]
    assert all(list(line) == keys for line in lines)
    assert {line["request_id"] for line in lines} == set(result["request_ids"])
    assert sum(line["visits"] for line in lines if line["turn"] == 1) == 8 * 6
