"""The task: scoring, deduplication, errors, splits and turns."""

import pickle
import threading

import numpy as np
import pytest

from rec_gym import Catalog, Dataset, Rankings, RecommenderError, Task
from rec_gym.columns import Ragged
from rec_gym.loop.episode import Episode
from rec_gym.measures import evaluate


@pytest.fixture
def task(dataset, overlap):
    return Task(dataset, overlap, measures=["mrr@10", "recall@2"])


def test_scores_agree_with_the_measures_of_the_ranking(task, dataset):
    outcomes = task.score(["q1", "q2", "q1"], ["red chair", "lamp", "soft seat"])
    ranked = outcomes.rankings.ids(dataset.catalog)
    gains = [dataset.request(name).gains for name in outcomes.request_ids]
    for name, values in evaluate(["ndcg@100", "mrr@10", "recall@2"], ranked, gains).items():
        np.testing.assert_array_equal(outcomes.measures[name], values)
    np.testing.assert_array_equal(outcomes.rewards, outcomes.measures["ndcg@100"])
    assert outcomes.queries == ["red chair", "lamp", "soft seat"]
    assert outcomes.scored.all()


def test_what_does_not_parse_is_reported_earns_nothing_and_is_never_asked(task, overlap):
    outcomes = task.score(["q1", "q1", "q3"], ["", "<think>", "desk"])
    assert overlap.calls == [("desk",)]
    assert outcomes.parse == ["empty", "unclosed_think", "ok"]
    assert outcomes.parse_ok.tolist() == outcomes.scored.tolist() == [False, False, True]
    assert outcomes.rewards.tolist() == [0, 0, 1]
    assert outcomes.rankings.lengths.tolist() == [0, 0, 1]
    assert outcomes.searched == ["", "", "desk"]


def test_a_batch_without_any_query_asks_nothing(task, overlap):
    outcomes = task.score(["q1"], [""])
    assert overlap.calls == []
    assert outcomes.rewards.tolist() == [0]


def test_an_empty_batch_is_a_batch(task):
    assert len(task.score([], [])) == 0


def test_identical_questions_are_asked_once(task, overlap):
    outcomes = task.score(["q1", "q2", "q1", "q2"], ["lamp", "lamp", "red", "lamp"])
    assert overlap.calls == [("lamp", "red")]
    assert outcomes.rewards[1] == outcomes.rewards[3] == 1


def test_order_and_company_in_a_batch_do_not_matter(task):
    ids, texts = ["q1", "q2", "q3", "q1"], ["red", "lamp", "desk", "chair"]
    together = task.score(ids, texts).rewards
    alone = [task.score([i], [t]).rewards[0] for i, t in zip(ids, texts, strict=True)]
    assert together.tolist() == alone


def test_a_request_outside_the_split_is_refused(task):
    with pytest.raises(ValueError, match="requests 'q5' are not in split 'train'"):
        task.score(["q1", "q5"], ["a", "b"])
    assert task.replace(split="test").score(["q5"], ["blue chair"]).rewards[0] == 1
    assert len(task.replace(split="all")) == 5


def test_unknown_requests_and_wrong_numbers_are_refused(task):
    with pytest.raises(KeyError, match="unknown request id: 'nope'"):
        task.score(["nope"], ["a"])
    with pytest.raises(ValueError, match="2 completions were given for 1 request ids"):
        task.score(["q1"], ["a", "b"])
    with pytest.raises(TypeError, match="completions are texts, not dict; decode and unwrap"):
        task.score(["q1"], [{"role": "assistant", "content": "a"}])


def test_a_text_in_place_of_a_list_is_an_error_that_says_so(task):
    with pytest.raises(TypeError, match=r"request ids are a list: pass \['q1'\]"):
        task.score("q1", "red chair")
    with pytest.raises(TypeError, match=r"completions are a list .*: pass \[completion\]"):
        task.score(["q1"], "red chair")
    with pytest.raises(TypeError, match=r"request ids are a list: pass \['q1'\]"):
        task.start("q1")


@pytest.mark.parametrize("request_ids", [["q1", 0], [0], [None]])
def test_request_ids_are_text(task, request_ids):
    with pytest.raises(TypeError, match="request ids are text, not (0|None)"):
        task.score(request_ids, ["red chair"] * len(request_ids))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'; choose from: train, val, test, all"),
        ({"reward": "ndgc"}, "unknown measure"),
        ({"measures": ["ndgc"]}, "unknown measure"),
        ({"action": "plane"}, "unknown action format"),
        ({"prompt": "chat"}, "unknown prompt 'chat'; choose from: search, history, profile, or a table"),
        ({"prompt": {"system": "x"}}, "needs 'user'"),
        ({"prompt": {"user": "{request}", "sytem": "x"}}, "unknown option 'sytem'; did you mean 'system'"),
        ({"prompt": {"user": 5}}, "user of a prompt must be text, not 5"),
        ({"prompt": 5}, "prompt of a task must be .*, not 5"),
        ({"reward": None}, "reward of a task must be .*, not None"),
        ({"reward": 5}, "reward of a task must be .*, not 5"),
        ({"action": None}, "action of a task must be .*, not None"),
        (
            {"measures": "ndcg@10"},
            "measures of a task must be a list, each text or Measure or a function, not 'ndcg@10'",
        ),
        ({"observation": "text"}, "unknown observation 'text'; choose from: request, prompt"),
        ({"observation": 5}, "observation of a task must be text, not 5"),
        ({"turn_reward": "sum"}, "unknown turn_reward 'sum'; choose from: gain, last, best"),
        ({"turns": 0}, "turns must be at least 1"),
        ({"turns": True}, "turns of a task must be a whole number, not True"),
        ({"feedback_k": -1}, "feedback_k at least 0, not 1 and -1"),
        ({"cutoffs": 10}, "cutoffs of a task must be a table or nothing, not 10"),
        ({"cutoffs": {"train": "10"}}, "the cut-off of split 'train' must be a whole number, not '10'"),
        ({"cutoffs": {"train": 10, "val": True}}, "the cut-off of split 'val' must be a whole number, not True"),
        ({"cutoffs": {"test": 10}}, "no cut-off for split 'train'"),
        ({"cutoffs": {"train": 0}}, "the cut-off of split 'train' must be at least 1, not 0"),
        ({"exclude_history": "False"}, "exclude_history of a task must be true or false, not 'False'"),
        ({"turns": "3"}, "turns of a task must be a whole number, not '3'"),
        ({"reward": {"measure": "ndcg@10", "unparsed": float("nan")}}, "unparsed of a reward must be a finite number"),
    ],
)
def test_wrong_settings_list_the_right_ones(task, settings, message):
    with pytest.raises(ValueError, match=message):
        task.replace(**settings)
    with pytest.raises(TypeError, match="a Task has no such setting: unknown setting 'rewards'; did you mean 'reward'"):
        task.replace(rewards="ndcg")


def test_constraints_are_measured_on_the_ranking_and_gate_a_reward(task, dataset):
    strict = task.replace(
        reward={"measure": "ndcg@10", "transforms": [{"name": "gate", "measure": "constraints@2", "at": 0.9}]}
    )
    outcomes = strict.score(["q1", "q1", "q2"], ["chair", "red desk", "lamp"])
    # Budget 50: both chairs meet it; of "red desk" the red lamp and the red chair stand first, ties by position.
    assert outcomes.measures["constraints@2"].tolist() == [1, 1, 1]
    outcomes = strict.score(["q1", "q1"], ["desk", "oak desk chair"])
    assert outcomes.measures["constraints@2"].tolist() == [0, 0.5]
    assert outcomes.rewards.tolist() == [0, 0]
    bare = Dataset.from_requests(dataset.catalog, [{"id": "a", "text": "x", "split": "train", "targets": ["rug"]}])
    with pytest.raises(ValueError, match="keep hard constraints; this one has none"):
        Task(bare, task.recommender, measures=["constraints@5"])


def test_cutoffs_belong_to_the_split_not_to_a_name(task):
    cutoffs = {"train": 1000, "default": 2}
    assert str(task.replace(cutoffs=cutoffs).reward.measure) == "ndcg@1000"
    assert str(task.replace(cutoffs=cutoffs, split="test").reward.measure) == "ndcg@2"


class Broken:
    """A recommender that does what `result` says."""

    query_language = "bag of words"

    def __init__(self, result):
        self.result = result

    def rank(self, queries, k, exclude=None):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def rankings(items):
    return Rankings(np.array(items, np.int32), np.zeros(np.shape(items), np.float32))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (ConnectionError("no route"), r"Broken.rank failed on 1 queries \('lamp'\): no route"),
        (rankings([[0], [1]]), r"Broken.rank, asked 'lamp': it returned \[2, 1\] for 1 queries"),
        (rankings([[0, 0]]), "lists an item twice"),
        (rankings([[-1, 0]]), "padding"),
        (rankings([[99]]), "item positions must lie in"),
        (rankings([list(range(6)) + [-1] * 200]), "k = 6"),
        (None, "Broken.rank, asked 'lamp': it returned"),
    ],
)
def test_a_failing_recommender_is_an_error_and_never_a_reward(dataset, result, message):
    with pytest.raises(RecommenderError, match=message):
        Task(dataset, Broken(result)).score(["q2"], ["lamp"])


def test_a_recommender_needs_rank_and_a_query_language(dataset):
    with pytest.raises(TypeError, match="a recommender needs rank"):
        Task(dataset, object())


class CountsOnly:
    """Answers with ranks; a list is made only when somebody looks at it."""

    query_language = "bag of words"

    def __init__(self, inner):
        self.inner, self.lists = inner, 0

    def rank(self, queries, k, exclude=None):
        self.lists += 1
        return self.inner.rank(queries, k, exclude)

    def rank_of(self, queries, items: Ragged, k, exclude=None):
        return self.inner.rank(queries, k, exclude).ranks_of(items)


def test_no_list_is_built_for_a_reward(task, overlap):
    counts = CountsOnly(overlap)
    quick = task.replace(recommender=counts)
    ids, texts = ["q1", "q2", "q1"], ["red", "lamp", "red"]
    outcomes, expected = quick.score(ids, texts), task.score(ids, texts)
    assert counts.lists == 0
    for name, values in expected.measures.items():
        np.testing.assert_array_equal(outcomes.measures[name], values)
    np.testing.assert_array_equal(outcomes.rankings.items, expected.rankings.items)
    assert counts.lists == 1
    quick.replace(measures=["constraints@2"]).score(ids, texts)
    assert counts.lists == 2


def test_a_dataset_holds_texts_or_histories(catalog):
    requests = [
        {"id": "a", "text": "x", "split": "train", "targets": ["rug"]},
        {"id": "b", "history": ["desk"], "split": "train", "targets": ["rug"]},
    ]
    with pytest.raises(ValueError, match="requests without a text among others that have one: 'b'"):
        Dataset.from_requests(catalog, requests)


def test_items_are_ids_or_positions(catalog):
    with pytest.raises(ValueError, match="name items either all by id .str. or all by position .int., not 1.9"):
        Dataset.from_requests(catalog, [{"id": "a", "text": "x", "split": "train", "targets": [1.9]}])
    with pytest.raises(ValueError, match="ids are texts, not int64"):
        Catalog.from_columns({"item_id": [1, 2], "title": ["x", "y"]})


@pytest.fixture
def histories(catalog):
    return Dataset.from_requests(
        catalog,
        [
            {"id": "h1", "split": "train", "history": ["lamp-r", "chair-r"], "targets": ["lamp-b"], "user": "u"},
            {"id": "h2", "split": "train", "history": ["desk"], "targets": ["desk"], "user": "u"},
            {"id": "h3", "split": "test", "history": ["rug"], "targets": ["desk"], "user": "v"},
        ],
    )


def test_history_is_left_out_of_the_ranking_unless_asked(histories, overlap):
    task = Task(histories, overlap)
    assert task.dataset.is_history
    assert task.observe(task.start(["h1"])) == ["Item 1: red lamp\nItem 2: red chair"]
    assert task.score(["h1"], ["lamp"]).rewards[0] == 1
    assert task.replace(exclude_history=False).score(["h1"], ["lamp"]).rewards[0] == pytest.approx(1 / np.log2(3))
    # A target that stands in its own history cannot be found, and earns 0.
    assert task.score(["h2"], ["desk"]).rewards[0] == 0


def test_a_recommender_that_ranks_excluded_items_is_detected(histories):
    with pytest.raises(RecommenderError, match="it ranked items that were to be excluded"):
        Task(histories, Broken(rankings([[0, 1]]))).score(["h1"], ["lamp"])


def test_rows_hold_everything_but_gains(task):
    rows = list(task.rows(batch_size=2))
    assert [row["request_id"] for row in rows] == ["q1", "q2", "q3"]
    assert set(rows[0]) == {"request_id", "text", "prompt", "messages", "domain"}
    assert rows[2]["domain"] == "office"
    assert "something red to sit on" in rows[0]["prompt"]
    assert "bag of words" in rows[0]["messages"][-1]["content"]
    assert task.replace(observation="prompt").observe(task.start(["q1"])) == [rows[0]["prompt"]]


def test_a_request_that_looks_like_a_template_stays_as_it_is(catalog, overlap):
    odd = '{user} {instruction} {0} {"query": "x"}'
    dataset = Dataset.from_requests(catalog, [{"id": "a", "text": odd, "split": "train", "targets": ["rug"]}])
    assert odd in next(Task(dataset, overlap).rows())["prompt"]


def test_turns_pay_the_gain_over_the_best_so_far(task):
    refine = task.replace(turns=3, feedback_k=1)
    episodes = refine.start(["q1", "q1"])
    first, outcomes, seen = refine.advance(episodes, ["lamp", "red chair"])
    assert outcomes.rewards[0] == 0
    assert seen[0].startswith(
        "something red to sit on\n\nSearch 1: lamp\n  1. red lamp\n\nSearch again, or reply <stop>"
    )
    second, outcomes, _ = refine.advance(first, ["red chair", "lamp"])
    assert outcomes.rewards.tolist() == [first[1].best, 0]
    third, outcomes, seen = refine.advance(second, ["", "<stop>"])
    assert outcomes.rewards.tolist() == [0, 0]
    assert outcomes.parse == ["empty", "stop"]
    assert [e.done for e in third] == [True, True]
    assert "Search 3: (query could not be parsed)\n  (no results)" in seen[0]
    with pytest.raises(ValueError, match="episodes on 'q1', 'q1' have ended"):
        refine.advance(third, ["a", "b"])
    # Nothing that was given has changed: a search may branch from it.
    assert episodes == [Episode("q1"), Episode("q1")]
    assert refine.advance(first, ["red chair", "lamp"])[0] == second


@pytest.mark.parametrize(("turn_reward", "paid"), [("gain", [0.5, 0.5, 0]), ("last", [0, 0, 0.0]), ("best", [0, 0, 1])])
def test_turn_rewards(task, turn_reward, paid):
    refine = task.replace(turns=3, turn_reward=turn_reward, reward="recall@10")
    episodes, rewards = refine.start(["q2"]), []
    for text in ("red", "lamp", "desk"):
        episodes, outcomes, _ = refine.advance(episodes, [text])
        rewards.append(outcomes.rewards[0])
    assert rewards == paid
    low, high = refine.reward_range
    assert all(low <= reward <= high for reward in rewards)


def test_stop_ends_an_episode_from_the_second_turn_and_pays_what_is_due(task):
    for turn_reward, paid in (("gain", 0), ("last", 1), ("best", 1)):
        refine = task.replace(turns=3, turn_reward=turn_reward, reward="recall@10")
        episodes, outcomes, _ = refine.advance(refine.start(["q2"]), ["<stop>"])
        assert (outcomes.parse, episodes[0].done) == (["ok"], False)
        episodes, _, _ = refine.advance(refine.start(["q2"]), ["lamp"])
        episodes, outcomes, _ = refine.advance(episodes, [" <stop>\n"])
        assert (outcomes.parse, episodes[0].done, outcomes.rewards[0]) == (["stop"], True, paid)
        assert not outcomes.scored[0]


@pytest.mark.parametrize("text", ["<stop>", "<think>enough</think><stop>", "enough</think>\n<answer><stop></answer>"])
def test_a_stop_may_follow_reasoning(task, text):
    refine = task.replace(turns=3)
    episodes, _, _ = refine.advance(refine.start(["q2"]), ["lamp"])
    episodes, outcomes, _ = refine.advance(episodes, [text])
    assert (episodes[0].done, outcomes.parse) == (True, ["stop"])


@pytest.mark.parametrize("reward", ["hit@1", "mrr", "ndcg@100"])
def test_feedback_does_not_depend_on_the_cutoff(task, reward):
    refine = task.replace(reward=reward, measures=(), turns=2, feedback_k=2)
    _, _, seen = refine.advance(refine.start(["q2"]), ["lamp"])
    assert "1. red lamp\n  2. blue lamp" in seen[0]


def test_a_reward_that_is_named_keeps_its_cutoff(task):
    deep = task.replace(cutoffs={"train": 1000})
    assert str(deep.reward.measure) == "ndcg@1000"
    assert str(deep.replace(reward="ndcg@7").reward.measure) == "ndcg@7"
    assert str(deep.replace(reward="ndcg@7", cutoffs={"train": 9}).reward.measure) == "ndcg@9"


def test_no_measure_changes_the_reward_of_fused_queries(dataset, overlap):
    fused = Task(dataset, overlap, action="lines", reward="ndcg@1")
    ids, texts = ["q1", "q2", "q1"], ["red\nchair\nblue lamp", "lamp", "soft\nblue"]
    expected = fused.score(ids, texts)
    deeper = fused.replace(measures=["recall@6", "map"]).score(ids, texts)
    assert deeper.rewards.tolist() == expected.rewards.tolist()
    # Nor does the company in the batch change a score.
    alone = fused.score(["q2"], ["lamp"])
    assert alone.rankings.scores[0].tolist() == expected.rankings.scores[1].tolist()


class BadRanks(CountsOnly):
    """Answers with what `change` makes of the ranks."""

    def __init__(self, inner, change):
        super().__init__(inner)
        self.change = change

    def rank_of(self, queries, items, k, exclude=None):
        return self.change(super().rank_of(queries, items, k, exclude))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ranks: None, "not Ragged"),
        (lambda ranks: ranks.values, "not Ragged"),
        (lambda ranks: ranks.with_values(ranks.values * np.nan), "whole numbers"),
        (lambda ranks: ranks.with_values(ranks.values + 1000), "ranks lie in"),
    ],
)
def test_ranks_that_are_none_are_an_error(task, overlap, change, message):
    with pytest.raises(RecommenderError, match=message):
        task.replace(recommender=BadRanks(overlap, change)).score(["q2"], ["lamp"])


def test_a_task_pickles_and_scores_the_same_from_threads(dataset):
    from rec_gym.recommenders import make_recommender

    task = Task(dataset, make_recommender("rank_bm25", {}, dataset.catalog))
    expected = task.score(["q1", "q2"], ["red chair", "lamp"])
    assert expected.searched == ["red chair", "lamp"]
    again = pickle.loads(pickle.dumps(task)).score(["q1", "q2"], ["red chair", "lamp"])
    np.testing.assert_array_equal(expected.rewards, again.rewards)
    assert pickle.loads(pickle.dumps(expected)).searched == expected.searched
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(task.score(["q1", "q2"], ["red chair", "lamp"]).rewards.tolist())
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected.rewards.tolist()] * 8


def test_pickled_outcomes_hold_columns_and_what_was_looked_at(dataset):
    from rec_gym.recommenders import make_recommender

    ids = [f"i{n}" for n in range(20_000)]
    large = Catalog.from_columns({"item_id": ids, "title": [f"lamp number {name}" for name in ids]})
    requests = [{"id": "a", "text": "x", "split": "train", "targets": ["i3"]}]
    task = Task(Dataset.from_requests(large, requests), make_recommender("bm25", {}, large))
    outcomes = task.score(["a", "a"], ["lamp i3", ""])
    content = pickle.dumps(outcomes)
    assert len(content) < 5_000 < len(pickle.dumps(task.dataset)) / 10
    again = pickle.loads(content)
    for key, values in outcomes.columns().items():
        np.testing.assert_array_equal(again.columns()[key], values)
    for look in (lambda: again.rankings, lambda: again.with_rewards(np.zeros(2)).top(3), lambda: again.searched):
        with pytest.raises(RuntimeError, match="pickled without their .*look at `rankings`"):
            look()
    expected, words = outcomes.rankings.items, outcomes.searched
    again = pickle.loads(pickle.dumps(outcomes.with_rewards(np.ones(2))))
    np.testing.assert_array_equal(again.rankings.items, expected)
    np.testing.assert_array_equal(again.top(3), expected[:, :3])
    assert again.searched == words == ["lamp i3", ""]
    with pytest.raises(RuntimeError, match="pickled without their rankings to depth 200"):
        again.top(200)


def test_a_catalogue_of_one_item_is_enough(overlap):
    catalog = Catalog.from_columns({"item_id": ["a"], "title": ["lamp"]})
    dataset = Dataset.from_requests(catalog, [{"id": "q", "text": "light", "split": "train", "targets": ["a"]}])
    task = Task(dataset, type(overlap)(catalog), reward="ndcg")
    assert task.score(["q"], ["lamp"]).rewards.tolist() == [1]
