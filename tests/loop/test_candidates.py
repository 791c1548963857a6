"""Tasks beyond one query: several queries, titles, and candidates to be put into order."""

import itertools
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rec_gym
from rec_gym import Dataset, Rankings, RecommenderError, Task
from rec_gym.evaluation import as_json, compare, evaluate, print_report, save_csv
from rec_gym.fusion import reciprocal_rank_fusion
from rec_gym.loop.actions.order import order_text
from rec_gym.measures import evaluate as measure
from rec_gym.policies import make_policy

RERANK = "RecR1-CornerShopRerank-BM25-v0"
THREE = {"k": 3, "shuffle": False}


@pytest.fixture
def task(dataset, overlap):
    return Task(dataset, overlap, action="order", candidates=THREE, reward="ndcg@2", measures=["mrr@10", "recall@1"])


@pytest.fixture
def seats(catalog, overlap):
    """Requests whose words find something: four candidates for the first, none for the last."""
    dataset = Dataset.from_requests(
        catalog,
        [
            {"id": "a", "text": "a seat", "split": "train", "gains": {"chair-r": 0.5, "chair-b": 1.0, "rug": 0.0}},
            {"id": "b", "text": "wool rug", "split": "train", "targets": ["desk"]},
            {"id": "c", "text": "nothing here", "split": "train", "targets": ["desk"]},
        ],
    )
    return Task(dataset, overlap, action="order", candidates={"k": 4, "shuffle": False}, reward="ndcg@10")


class TestOrders:
    def test_every_order_agrees_with_the_measures_of_its_list(self, seats):
        row = next(seats.rows())
        names, gains = row["candidate_ids"], seats.dataset.request("a").gains
        offered = {name: gain for name, gain in gains.items() if name in names}
        for places in itertools.permutations(range(len(names))):
            outcomes = seats.score(["a"], [order_text(places)])
            ranked = [names[place] for place in places]
            assert outcomes.rankings.ids(seats.dataset.catalog) == [ranked]
            expected = measure(["ndcg@10"], [ranked], [offered])["ndcg@10"]
            np.testing.assert_array_equal(outcomes.rewards, expected)

    def test_the_recommender_is_asked_for_candidates_only(self, seats, overlap):
        seats.observe(seats.start(["a", "b"]))
        assert overlap.calls == [("a seat", "wool rug")]
        outcomes = seats.score(["a", "b", "a"], ["[2] > [1]", "1", "[4]"])
        assert outcomes.searched == outcomes.queries == ["[2] > [1]", "[1]", "[4]"]
        assert len(overlap.calls) == 1

    def test_the_best_order_scores_one_where_candidates_are_relevant(self, task):
        ideal_all = task.replace(candidates={"k": 1, "source": "judged", "ideal": "all"}, split="train")
        best = make_policy("oracle", ideal_all)(list(ideal_all.rows()))
        assert ideal_all.score(ideal_all.request_ids, best).measures["recall@1"].tolist() == [0.5, 0.5, 1]
        among = ideal_all.replace(candidates={"k": 1, "source": "judged"})
        assert among.score(among.request_ids, best).rewards.tolist() == [1, 1, 1]

    def test_a_request_without_candidates_is_reported_and_earns_nothing(self, seats):
        assert seats.observe(seats.start(["c"])) == ["nothing here\n\n(no candidates)"]
        punished = seats.replace(reward={"measure": "ndcg@10", "unparsed": -1, "terms": {"format": 0.1}})
        outcomes = punished.score(["c"], ["[1]"])
        assert (outcomes.parse, outcomes.scored.tolist(), outcomes.rewards.tolist()) == (
            ["no_candidates"],
            [False],
            [0],
        )
        assert punished.score(["a"], ["no idea"]).rewards.tolist() == [-1]

    def test_counts_are_in_the_outcome(self, seats):
        outcomes = seats.score(["a", "a"], ["[2] > [9] > [2]", "hm"])
        assert outcomes.text_stats["unknown"].tolist() == [1, 1]
        assert outcomes.text_stats["duplicates"].tolist() == [1, 0]
        assert "text/missing" in outcomes.columns()

    def test_rows_and_prompts_hold_the_candidates(self, seats):
        row = next(seats.rows())
        assert row["text"] == "a seat"
        assert row["candidates"] == seats.dataset.catalog.titles(seats.dataset.catalog.positions(row["candidate_ids"]))
        listed = "\n".join(f"[{i}] {title}" for i, title in enumerate(row["candidates"], 1))
        assert listed in row["prompt"]
        assert seats.observe(seats.start(["a"])) == [f"a seat\n\n{listed}"]

    def test_a_term_is_gated_on_improvement(self, seats):
        terms = {"format": {"weight": 0.1, "only_if_improved": True}}
        gated = seats.replace(reward={"measure": "ndcg@10", "terms": terms})
        given = make_policy("given-order", gated)(list(gated.rows())[:1])[0]
        best = make_policy("oracle", gated)(list(gated.rows())[:1])[0]
        terms = gated.score(["a"] * 3, [given, best, "hm"]).terms["format"]
        assert terms.tolist() == [0, 0.1, 0]
        assert gated.reward_range == (0, 1.1)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"candidates": None}, "'order' needs candidates"),
            ({"action": "plain"}, "put into order with action='order', not 'plain'"),
            ({"turns": 2}, "has one turn"),
            ({"candidates": {"size": 3}}, "unknown option 'size'; choose from: k, source, query, seed, shuffle, ideal"),
            ({"candidates": {"source": "shop"}}, "candidates: unknown source 'shop'; choose from: recommender, judged"),
            ({"candidates": {"ideal": "al"}}, "candidates: unknown ideal 'al'; did you mean 'all'"),
            ({"candidates": {"k": 20.5}}, "k of candidates must be a whole number, not 20.5"),
            ({"candidates": {"k": "20"}}, "k of candidates must be a whole number, not '20'"),
            ({"candidates": {"shuffle": "no"}}, "shuffle of candidates must be true or false, not 'no'"),
            ({"candidates": {"k": 0}}, "k must be at least 1"),
            ({"candidates": 3}, "candidates of a task must be a table"),
        ],
    )
    def test_wrong_settings(self, task, settings, message):
        with pytest.raises(ValueError, match=message):
            task.replace(**settings)

    def test_only_candidates_can_be_improved(self, dataset, overlap):
        terms = {"format": {"weight": 0.1, "only_if_improved": True}}
        with pytest.raises(ValueError, match="only_if_improved compares"):
            Task(dataset, overlap, reward={"measure": "ndcg@10", "terms": terms})

    def test_an_oracle_query_needs_a_dataset_that_knows_one(self, seats, task):
        with pytest.raises(ValueError, match="query 'oracle' needs"):
            seats.replace(candidates={"query": "oracle"})
        asked = task.replace(candidates={"k": 2, "query": "oracle", "shuffle": False})
        assert next(asked.rows())["candidates"] == ["red chair", "red lamp"]

    def test_a_failing_recommender_is_an_error(self, dataset, overlap):
        overlap.rank = lambda *arguments: 1 / 0
        with pytest.raises(RecommenderError, match="rank failed on 3 queries"):
            list(Task(dataset, overlap, action="order", candidates={}).rows())


class TestLists:
    def test_a_list_is_a_function_of_request_and_seed(self):
        code = f"""
import rec_gym
task = rec_gym.make_task({RERANK!r}, candidates={{"seed": 3}})
print([row["candidate_ids"] for row in task.rows_of(task.start(task.request_ids[5:8][::-1]))])
"""
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)
        ]
        task = rec_gym.make_task(RERANK, candidates={"seed": 3})
        here = [row["candidate_ids"] for row in task.rows_of(task.start(task.request_ids[:9]))][5:8][::-1]
        assert runs[0].stdout == runs[1].stdout == f"{here}\n"

    def test_seeds_shuffle_and_nothing_else(self):
        lists = [
            next(rec_gym.make_task(RERANK, candidates={"seed": seed}).rows())["candidate_ids"] for seed in range(3)
        ]
        assert len({tuple(names) for names in lists}) == 3
        assert len({frozenset(names) for names in lists}) == 1
        assert len(lists[0]) == 20

    def test_judged_ones_come_first_and_a_best_one_is_among_them(self, dataset, overlap):
        task = Task(dataset, overlap, action="order", candidates={"k": 6, "source": "judged", "shuffle": False})
        names = next(task.rows())["candidate_ids"]
        assert names[0] == "chair-r"
        assert set(names[:3]) == {"chair-r", "chair-b", "rug"}
        assert names[3:] == ["lamp-r", "desk"]  # share words with "something red to sit on"
        few = task.replace(candidates={"k": 1, "source": "judged"})
        assert next(few.rows())["candidate_ids"] == ["chair-r"]

    def test_history_is_left_out(self, catalog, overlap):
        request = {"id": "h", "split": "train", "history": ["lamp-r"], "gains": {"lamp-r": 1, "lamp-b": 1}}
        task = Task(Dataset.from_requests(catalog, [request]), overlap, action="order", candidates={"source": "judged"})
        assert "lamp-r" not in next(task.rows())["candidate_ids"]
        assert overlap.calls == [("red lamp",)]

    def test_tasks_share_what_they_have_made(self, task, overlap):
        list(task.rows())
        list(task.replace(candidates=THREE | {"seed": 1}, reward="mrr@10").rows())
        assert len(overlap.calls) == 1
        list(task.replace(candidates={"k": 2}).rows())
        assert len(overlap.calls) == 2

    def test_memory_is_bounded(self, task, monkeypatch):
        monkeypatch.setattr("rec_gym.loop.candidates._KEPT", 2)
        rows = list(task.rows())
        assert len(task.candidates._sets._kept) == 2
        assert list(task.rows()) == rows

    def test_pickles_and_threads(self):
        task = rec_gym.make_task(RERANK)
        ids = task.request_ids[:64]
        again = pickle.loads(pickle.dumps(task))
        expected = task.score(ids, ["[2] > [1]"] * 64).rewards
        np.testing.assert_array_equal(again.score(ids, ["[2] > [1]"] * 64).rewards, expected)
        fresh, results = task.replace(candidates={"k": 19, "source": "judged"}), []
        threads = [threading.Thread(target=lambda: results.append(fresh.observe(fresh.start(ids)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(result == results[0] for result in results)

    def test_the_cards_settings_lie_under_those_that_are_given(self):
        settings = rec_gym.make_task(RERANK, candidates={"seed": 4}).candidates.settings
        assert (settings.source, settings.k, settings.seed) == ("judged", 20, 4)

    def test_the_papers_protocol(self):
        task = rec_gym.make_task(RERANK, protocol="paper")
        assert (str(task.reward.measure), task.reward_range) == ("ndcg@16", (-2.0, 1.1))
        assert str(task.replace(split="val").reward.measure) == "ndcg@10"
        row = next(task.rows())
        assert f"Item_16: , {row['candidates'][15]}```" in row["prompt"]
        assert row["prompt"].endswith("Let me solve this step by step.\n<think>")
        given = make_policy("given-order", task)([row])
        outcomes = task.score([row["request_id"]] * 2, [given[0], "[1] > [2]"])
        assert outcomes.parse == ["ok", "bad_tags"]
        assert outcomes.rewards[1] == -2

    def test_histories_have_candidates_too(self):
        history = rec_gym.make_task(
            "RecR1-CornerShopHistory-BM25-v0", action="order", candidates={"source": "judged"}, reward="ndcg@10"
        )
        rows = history.rows_of(history.start(history.request_ids[:20]))
        assert "A shopper bought these products, oldest first:" in rows[0]["prompt"]
        assert (
            history.score([row["request_id"] for row in rows], make_policy("oracle", history)(rows)).rewards.min() == 1
        )
        with pytest.raises(ValueError, match="re-ranks for search requests only"):
            rec_gym.make_task("RecR1-CornerShopHistory-BM25-v0", action="order", candidates={}, protocol="paper")


class TestShells:
    def test_evaluate_and_play_from_a_shell(self):
        from typer.testing import CliRunner

        from rec_gym.cli import app

        small = ["--set", "items=600", "--measures", "ndcg@10", "--policy"]
        result = CliRunner().invoke(app, ["evaluate", RERANK, *small, "given-order,oracle", "--shuffles", "2"])
        assert result.exit_code == 0, result.output
        assert "2 shuffles of each request's candidates" in result.output
        refused = CliRunner().invoke(app, ["evaluate", RERANK, *small, "raw"])
        assert (refused.exit_code, "those that do: given-order" in refused.output) == (2, True)
        played = CliRunner().invoke(app, ["play", RERANK, "--set", "items=600"], input="3 > 1\n:quit\n")
        assert "Type an order such as" in played.output
        assert "Order: '[3] > [1]' (parse: incomplete)" in played.output


class TestSeveralQueries:
    @pytest.fixture
    def lines(self, dataset, overlap):
        return Task(dataset, overlap, action="lines", reward="ndcg@10", measures=["precision"])

    def test_rankings_are_fused_and_questions_asked_once(self, lines, overlap):
        outcomes = lines.score(["q1", "q2", "q1"], ["red lamp\nblue chair", "blue chair\n- desk\nrug", "red lamp"])
        assert overlap.calls == [("red lamp", "blue chair", "desk", "rug")]
        alone = [overlap.rank([query], lines.depth) for query in ("red lamp", "blue chair", "desk", "rug")]
        for place, parts in enumerate([(0, 1), (1, 2, 3), (0,)]):
            fused = reciprocal_rank_fusion([alone[part] for part in parts], lines.depth)
            ranked = outcomes.rankings.items[place]
            assert ranked[ranked >= 0].tolist() == fused.items[0][fused.items[0] >= 0].tolist()
        assert outcomes.queries[1] == outcomes.searched[1] == "blue chair\ndesk\nrug"
        assert outcomes.text_stats["queries"].tolist() == [2, 3, 1]

    words = st.lists(st.sampled_from(["red", "blue chair", "lamp", "oak desk", "zzz", "", "<think>"]), max_size=6)

    @given(texts=st.lists(words.map("\n".join), min_size=1, max_size=6), name=st.sampled_from(["lines", "titles"]))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_batch_is_what_its_members_are(self, lines, texts, name):
        task = lines.replace(action={"name": name, "max_queries": 4})
        ids = [f"q{1 + i % 3}" for i in range(len(texts))]
        together = task.score(ids, texts)
        alone = [task.score([i], [text]) for i, text in zip(ids, texts, strict=True)]
        assert together.rewards.tolist() == [one.rewards[0] for one in alone]
        for items, one in zip(together.rankings.items, alone, strict=True):
            assert items[items >= 0].tolist() == one.rankings.items[one.rankings.items >= 0].tolist()

    def test_one_query_is_what_it_is_in_the_plain_format(self):
        plain = rec_gym.make_task("RecR1-CornerShop-BM25-v0")
        ids, texts = plain.request_ids[:8], [row["text"] for row in itertools.islice(plain.rows(), 8)]
        lines = plain.replace(action="lines")
        np.testing.assert_array_equal(plain.score(ids, texts).rewards, lines.score(ids, texts).rewards)
        # A second query in one completion of the batch makes lists of all, and changes no other.
        mixed = lines.score(ids, ["wool blanket\n" + texts[0], *texts[1:]])
        np.testing.assert_array_equal(plain.score(ids, texts).rewards[1:], mixed.rewards[1:])

    def test_what_the_engine_clipped_is_reported(self, lines, overlap):
        def rank(queries, k, exclude=None):
            found = ranks(queries, k, exclude)
            return Rankings(found.items, found.scores, np.array([query == "oak desk" for query in queries]))

        ranks, overlap.rank = overlap.rank, rank
        assert lines.score(["q1"] * 3, ["red\noak desk", "red\nblue", "oak desk"]).clipped.tolist() == [
            True,
            False,
            True,
        ]

    def test_titles_are_resolved_in_their_order(self, lines):
        task = lines.replace(action="titles")
        outcomes = task.score(["q1"] * 2, ["oak desk\nred lamp\nblue chair", "1. wool rug\n2. wool rugs"])
        assert outcomes.rankings.ids(task.dataset.catalog) == [["desk", "lamp-r", "chair-b"], ["rug"]]
        two = lines.replace(action={"name": "titles", "per_title": 2})
        assert two.score(["q1"], ["red lamp\nblue chair"]).rankings.ids(task.dataset.catalog) == [
            ["lamp-r", "chair-b", "lamp-b"]
        ]

    def test_prompts_say_how_many(self, lines):
        assert "one query per line, at most 5" in next(lines.rows())["prompt"]
        titles = lines.replace(action={"name": "titles", "max_queries": 7})
        assert "one title per line, at most 7" in next(titles.rows())["prompt"]


class TestPolicies:
    def test_those_that_do_not_fit_name_those_that_do(self, task, dataset, overlap):
        with pytest.raises(
            ValueError, match="'raw' does not fit the action format 'order'; those that do: given-order, first"
        ):
            make_policy("raw", task)
        with pytest.raises(
            ValueError, match="'given-order' does not fit the action format 'plain'; those that do: raw"
        ):
            make_policy("given-order", Task(dataset, overlap))

    def test_orders(self, seats):
        rows = list(seats.rows())
        assert make_policy("given-order", seats)(rows)[0] == "[1] > [2] > [3] > [4]"
        shuffled = seats.replace(candidates={"k": 4, "seed": 5})
        again = list(shuffled.rows())
        ranked = shuffled.score([r["request_id"] for r in again], make_policy("first-stage", shuffled)(again)).rankings
        assert ranked.ids(seats.dataset.catalog)[0] == rows[0]["candidate_ids"]
        best = shuffled.score(["a"], make_policy("oracle", shuffled)(again)[:1])
        assert best.rewards.tolist() == [1]

    def test_the_oracle_of_titles_names_the_relevant_items(self, dataset, overlap):
        task = Task(dataset, overlap, action="titles", reward="ndcg@10")
        assert make_policy("oracle", task)(list(task.rows()))[0] == "red chair\nblue chair"


class TestPositionBias:
    def stays(self, rows):
        """Prefers the first place, whatever is there."""
        return ["[1]"] * len(rows)

    def reads(self, rows):
        """Prefers titles by the alphabet, wherever they stand."""
        return ["\n".join(sorted(row["candidates"])) for row in rows]

    def test_the_spread_tells_who_looks_at_the_place(self, tmp_path, capsys):
        task = rec_gym.make_task(RERANK, split="val")
        place, title = evaluate(task, self.stays, name="place"), evaluate(task, self.reads, name="title")
        assert place.settings["shuffles"] == 5
        assert place.spreads["ndcg@10"].mean() > 0.1
        # Items of the same title are all that is left to chance.
        assert title.spreads["ndcg@10"].mean() < 0.001
        by_hand = [
            evaluate(task.replace(candidates={"k": 20, "source": "judged", "seed": s}), self.stays, shuffles=1)
            for s in range(5)
        ]
        values = np.stack([one.measures["ndcg@10"] for one in by_hand])
        np.testing.assert_allclose(place.measures["ndcg@10"], values.mean(axis=0))
        np.testing.assert_allclose(place.spreads["ndcg@10"], values.std(axis=0))
        comparison = compare([place, title])
        assert as_json(comparison)["policies"][0]["measures"]["ndcg@10"]["spread"] == place.spreads["ndcg@10"].mean()
        save_csv(tmp_path / "out.csv", comparison)
        assert "spread" in (tmp_path / "out.csv").read_text().splitlines()[0].split(",")
        print_report(comparison)
        printed = capsys.readouterr().out
        assert "spread ndcg@10" in printed
        assert "5 shuffles of each request's candidates" in printed

    def test_shuffles_need_something_to_shuffle(self, task, dataset, overlap):
        for other in (task, Task(dataset, overlap)):
            with pytest.raises(ValueError, match="shuffles=3 needs a task that shuffles candidates"):
                evaluate(other, self.stays, shuffles=3)
        with pytest.raises(ValueError, match="shuffles must be at least 1"):
            evaluate(task.replace(candidates={"k": 3}), self.stays, shuffles=0)
        assert evaluate(task, self.stays).spreads == {}
