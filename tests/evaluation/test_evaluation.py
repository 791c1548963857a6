"""Evaluation, its statistics and its reports."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import rec_gym
from rec_gym import Dataset, Task
from rec_gym.evaluation import (
    as_json,
    compare,
    evaluate,
    make_table,
    print_report,
    save_csv,
    save_json,
    stratified_difference,
    stratified_mean,
    stratum_weights,
)
from rec_gym.evaluation.evaluate import Evaluation
from rec_gym.evaluation.resampling import holm, sign_flip_p, units_of
from rec_gym.policies import make_policy


@pytest.fixture
def task(dataset, overlap) -> Task:
    return Task(dataset, overlap, reward="ndcg@10")


def always(text):
    return lambda rows: [text] * len(rows)


def made(values, name="p", *, users=None, asked=None, split="test", ids=None, reference="") -> Evaluation:
    """An evaluation with the given values."""
    values = np.asarray(values, float)
    n = len(values)
    nothing = np.zeros(n)
    return Evaluation(
        name=name,
        reference=reference,
        task_id="Shop-v0",
        card_hash="c0ffee",
        version="1",
        split=split,
        samples=1,
        seed=0,
        settings={},
        request_ids=ids or [str(i) for i in range(n)],
        users=np.array(users if users is not None else [""] * n, object),
        measures={"ndcg@10": values},
        rewards=values,
        text_stats={"length": nothing + 4, "repetition": nothing + 0.25, "copy": nothing},
        parse_ok=nothing + 1,
        clipped=nothing,
        turns=nothing + 1,
        strata={} if asked is None else {"asked": np.asarray(asked, float)},
    )


class TestEvaluate:
    def test_values_are_those_of_the_task(self, task):
        policy = make_policy("raw", task)
        result = evaluate(task, policy, name="raw", measures=["ndcg@2", "recall@2"], batch_size=2)
        outcomes = task.replace(measures=["ndcg@2", "recall@2"]).score(task.request_ids, policy(list(task.rows())))
        assert list(result.measures) == ["ndcg@2", "recall@2", "ndcg@10"]
        for name, values in result.measures.items():
            np.testing.assert_array_equal(values, outcomes.measures[name])
        np.testing.assert_array_equal(result.rewards, outcomes.rewards)
        np.testing.assert_array_equal(result.text_stats["length"], outcomes.text_stats["length"])
        assert result.request_ids == ["q1", "q2", "q3"]
        assert result.origin == {
            "id": "",
            "card_sha256": "",
            "version": rec_gym.__version__,
            "split": "train",
            "n": 3,
            "samples": 1,
            "seed": 0,
            "settings": result.settings,
            "notes": {},
        }

    def test_samples_of_a_request_are_averaged(self, task):
        turn = iter(range(1000))

        def policy(rows):
            return ["red chair" if next(turn) % 2 else "" for _ in rows]

        result = evaluate(task, policy, samples=2, batch_size=4)
        once = evaluate(task, always("red chair"))
        np.testing.assert_allclose(result.rewards, once.rewards / 2)
        assert result.parse_ok.tolist() == [0.5] * 3
        assert result.samples == 2

    @pytest.mark.parametrize("turn_reward", ["gain", "last", "best"])
    def test_several_turns_keep_the_best_one(self, task, turn_reward):
        asked = [["oak desk"] * 3, ["red chair", "", "<stop>"], ["oak desk", "chair"]]
        turns = iter(asked)
        task = task.replace(turns=3, turn_reward=turn_reward)
        result = evaluate(task, lambda rows: next(turns), measures=["ndcg@10", "recall@1"])
        first = task.replace(turns=1).score(["q1", "q2", "q3"], ["red chair", "oak desk", "oak desk"])
        np.testing.assert_array_equal(result.measures["ndcg@10"], first.measures["ndcg@10"])
        assert result.turns.tolist() == [3, 3, 2]
        assert result.parse_ok.tolist() == [1, pytest.approx(2 / 3), 1]
        assert result.text_stats["length"].tolist() == [2, 2, 2]
        if turn_reward != "last":
            np.testing.assert_allclose(result.rewards, first.rewards)

    def test_what_the_policy_reads_grows_with_the_turns(self, task):
        seen = []

        def policy(rows):
            seen.append([row["prompt"] for row in rows])
            return ["blue lamp"] * len(rows)

        evaluate(task.replace(turns=2), policy)
        assert "Search 1: blue lamp" in seen[1][0]
        assert "Search" not in seen[0][0]

    def test_users_numbers_and_references_are_kept(self, catalog, overlap):
        requests = [
            {
                "id": f"q{i}",
                "text": "red",
                "split": "train",
                "targets": ["rug"],
                "user": "u",
                "asked": i,
                "oracle": "rug",
            }
            for i in range(3)
        ]
        task = Task(Dataset.from_requests(catalog, requests), overlap)
        result = evaluate(task, make_policy("oracle", task))
        assert result.users.tolist() == ["u"] * 3
        assert result.strata["asked"].tolist() == [0, 1, 2]
        assert result.name == "Oracle"
        assert result.reference == "knows the relevant items"
        assert result.measures["ndcg@10"].tolist() == [1, 1, 1]

    def test_registered_ids_record_their_card(self, tmp_path):
        folder = beir_folder(tmp_path)
        task = rec_gym.make_task("RecR1-BEIR-BM25-v0", data_dir=str(folder), split="test")
        result = evaluate(task, make_policy("raw", task))
        assert result.task_id == "RecR1-BEIR-BM25-v0"
        assert result.card_hash == rec_gym.cards.card_of("RecR1-BEIR-BM25-v0").hash

    def test_errors(self, task):
        with pytest.raises(ValueError, match="policy 'short' wrote 1 completions for 3 rows"):
            evaluate(task, lambda rows: ["x"], name="short")
        with pytest.raises(TypeError, match="must return a list of texts, not str"):
            evaluate(task, lambda rows: "x", name="one")
        with pytest.raises(TypeError, match="completions are texts"):
            evaluate(task, lambda rows: [None] * len(rows))
        with pytest.raises(ValueError, match="unknown measure"):
            evaluate(task, always("x"), measures=["ndgc@10"])
        with pytest.raises(ValueError, match="at least 1"):
            evaluate(task, always("x"), samples=0)
        with pytest.raises(ValueError, match=r"'map' was not evaluated: unknown measure 'map'; .*choose from: ndcg@10"):
            evaluate(task, always("x")).values("map")


def beir_folder(folder):
    """A tiny folder in BEIR's layout."""
    items = {"d1": "red chair of oak", "d2": "blue lamp", "d3": "oak desk", "d4": "wool rug, red and warm"}
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": key, "title": text, "text": ""}) for key, text in items.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = {f"q{i}": text for i, text in enumerate(["a red seat", "light blue", "oak", "warm red feet"] * 3)}
    lines = [json.dumps({"_id": key, "text": text}) for key, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    for split, numbers in {"train": range(8), "test": range(8, 12)}.items():
        rows = [f"q{i}\td{i % 4 + 1}\t1" for i in numbers]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return folder


class TestUnits:
    def test_mean_is_over_requests_not_over_users(self):
        assert units_of(np.array([[1.0], [1.0], [1.0], [0.0]]), ["a", "a", "a", "b"]).means[0] == 0.75

    def test_requests_without_a_user_stand_alone(self):
        assert units_of(np.ones((3, 1)), ["", "", ""]).kind == "requests"
        units = units_of(np.ones((4, 1)), ["", "a", "a", ""])
        assert sorted(units.counts.tolist()) == [1, 1, 2]
        with pytest.raises(ValueError, match="2 users were given for 3 requests"):
            units_of(np.ones((3, 1)), ["a", "b"])


class TestSignFlips:
    def test_exact_equals_scipy(self):
        rng = np.random.default_rng(0)
        differences = np.round(rng.normal(0.3, 1, (9, 4)), 1)  # rounded, so that sums tie
        differences[:, 3] = 0
        ours = sign_flip_p(units_of(differences))
        for column, p in zip(differences.T, ours, strict=True):
            exact = stats.permutation_test((column,), np.sum, permutation_type="samples", n_resamples=np.inf)
            assert p == pytest.approx(exact.pvalue, abs=1e-12)

    def test_hand_computed(self):
        # Of the 8 patterns only +++ and --- reach the observed sum; equal signs have probability 2 / 8.
        assert sign_flip_p(units_of(np.array([[0.1], [0.2], [0.3]]))).tolist() == [0.25]

    def test_drawn_is_near_the_exact(self):
        differences = np.random.default_rng(6).normal(0.4, 1, (12, 3))
        exact = sign_flip_p(units_of(differences))
        drawn = sign_flip_p(units_of(differences), resamples=4000)  # fewer than the 4096 patterns
        np.testing.assert_allclose(drawn, exact, atol=0.03)
        assert not np.array_equal(drawn, exact)

    def test_p_is_never_zero_and_no_difference_gives_one(self):
        values = np.stack([np.ones(200), np.zeros(200)], axis=1)
        p = sign_flip_p(units_of(values), resamples=999)
        assert p.tolist() == [1 / 1000, 1]
        assert sign_flip_p(units_of(np.zeros((5, 1)))).tolist() == [1]

    def test_signs_are_flipped_by_user(self):
        values = np.array([[1.0], [1.0], [1.0], [1.0]])
        assert sign_flip_p(units_of(values)).tolist() == [2 / 16]
        assert sign_flip_p(units_of(values, ["a", "a", "b", "b"])).tolist() == [2 / 4]

    def test_level_is_held_under_the_null_hypothesis(self):
        rng = np.random.default_rng(8)
        p = sign_flip_p(units_of(rng.normal(size=(60, 400))), resamples=500)
        assert 0.02 < (p < 0.05).mean() < 0.08


class TestHolm:
    def test_known_answer(self):
        np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])

    def test_bounds(self):
        assert holm([0.9, 0.8]).tolist() == [1, 1]
        assert holm([]).tolist() == []


class TestCompare:
    def test_means_differences_and_p_values(self):
        rng = np.random.default_rng(0)
        base = rng.random(80)
        others = [np.clip(base + shift, 0, 1) for shift in (0.0, 0.02, 0.3)]
        evaluations = [made(base, "raw"), *(made(o, f"p{i}") for i, o in enumerate(others))]
        result = compare(evaluations, resamples=2000)
        assert result.means["raw"]["ndcg@10"].mean == pytest.approx(base.mean())
        assert result.unit == "requests"
        assert "raw" not in result.differences
        assert result.differences["p0"]["ndcg@10"].p == 1
        best = result.differences["p2"]["ndcg@10"]
        assert best.mean == pytest.approx((others[2] - base).mean())
        assert best.low < best.mean < best.high
        assert best.p == pytest.approx(1 / 2001)
        assert best.p_holm == pytest.approx(3 / 2001)
        # The interval of a paired difference is much narrower than that of the means.
        assert best.high - best.low < 0.5 * (result.means["raw"]["ndcg@10"].high - result.means["raw"]["ndcg@10"].low)

    def test_same_seed_same_numbers(self):
        evaluations = [made(np.arange(12) / 12, "a"), made(np.arange(12) % 5 / 5, "b")]
        assert compare(evaluations, seed=1).means == compare(evaluations, seed=1).means

    def test_users_with_several_requests(self):
        result = compare([made(np.arange(6.0), "a", users=list("aabbcc"))])
        assert (result.unit, result.units) == ("users", 3)

    def test_reward_is_shown_where_it_is_no_measure(self):
        plain, shaped = made([0.1, 0.5]), made([0.1, 0.5], "s")
        shaped.rewards[:] = [1.0, 2.0]
        object.__setattr__(shaped, "measures", {"ndcg@10": np.array([0.1, 0.5])})
        assert compare([plain]).measures == ("ndcg@10",)
        assert compare([plain, shaped]).measures == ("ndcg@10", "reward")

    def test_errors(self):
        with pytest.raises(ValueError, match="no evaluation"):
            compare([])
        with pytest.raises(ValueError, match="repeated: 'a'"):
            compare([made([1.0], "a"), made([1.0], "a")])
        with pytest.raises(ValueError, match="not evaluated on the same requests"):
            compare([made([1.0], "a"), made([1.0], "b", split="ood")])
        with pytest.raises(ValueError, match="'map' was not evaluated"):
            compare([made([1.0], "a")], ["map"])


class TestStrata:
    # Two asked attributes are harder than one, and the other split holds more of them.
    reference = made([0.8, 0.6, 0.2, 0.4], "p", asked=[1, 1, 2, 2])
    shifted = made([0.7, 0.3, 0.3, 0.3, 0.1], "p", asked=[1, 2, 2, 2, 9], split="ood")

    def test_weights_are_shares(self):
        assert stratum_weights(self.reference) == {1.0: 0.5, 2.0: 0.5}

    def test_mean_takes_the_weights_of_the_reference(self):
        weights = stratum_weights(self.reference)
        assert stratified_mean(self.reference, weights, "ndcg@10").mean == pytest.approx(0.5)
        interval = stratified_mean(self.shifted, weights, "ndcg@10")
        assert interval.mean == pytest.approx(0.5 * 0.7 + 0.5 * 0.3)
        assert interval.covered == 1
        assert math.isnan(interval.low)
        assert interval.no_interval == "too few requests: 4, at least 8 are needed"

    def test_strata_that_a_split_lacks_are_reported(self):
        interval = stratified_mean(self.shifted, {1.0: 0.25, 3.0: 0.75}, "reward")
        assert interval.mean == pytest.approx(0.7)
        assert interval.covered == 0.25

    def test_difference_is_stratum_by_stratum(self):
        interval = stratified_difference(self.shifted, self.reference, "ndcg@10")
        assert interval.mean == pytest.approx(0.5 * (0.7 - 0.7) + 0.5 * (0.3 - 0.3))
        assert "1 of 4 strata have only one" in interval.no_interval
        repeated = (np.tile([0.7, 0.3, 0.4], 8), np.tile([1, 2, 2], 8))
        shifted = made(repeated[0], "p", asked=repeated[1], split="ood")
        reference = made(repeated[0] + 0.1, "p", asked=repeated[1])
        interval = stratified_difference(shifted, reference, "ndcg@10")
        assert interval.mean == pytest.approx(-0.1)
        assert interval.low < interval.mean < interval.high
        assert not interval.no_interval

    def test_interval_is_that_of_independent_samples(self):
        rng = np.random.default_rng(0)
        a, b = made(rng.normal(1, 1, 900), asked=[1] * 900), made(rng.normal(0, 1, 900), asked=[1] * 900, split="ood")
        interval = stratified_difference(a, b, "reward")
        half = 1.96 * math.sqrt(2 / 900)
        assert interval.mean == pytest.approx(1, abs=0.1)
        assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)

    def test_errors(self):
        with pytest.raises(ValueError, match="unknown numeric column 'size'; choose from: asked"):
            stratum_weights(self.reference, "size")
        with pytest.raises(ValueError, match="shares no value"):
            stratified_mean(self.shifted, {5.0: 1.0}, "ndcg@10")
        several = made([1.0, 0.0], asked=[1, 1], users=["a", "a"])
        with pytest.raises(ValueError, match="not independent"):
            stratified_mean(several, {1.0: 1.0}, "ndcg@10")


class TestReport:
    @pytest.fixture
    def comparison(self):
        rng = np.random.default_rng(0)
        base = rng.random(50)
        return compare(
            [
                made(base, "raw"),
                made(base + 0.2, "append:[b]x[/b]"),
                made(base + 0.3, "rm3", reference="reads the catalogue"),
            ]
        )

    def test_piped_table_is_plain_and_whole(self, comparison):
        out = io.StringIO()
        print_report(comparison, out)
        text = out.getvalue()
        assert "\x1b" not in text
        interval = comparison.means["raw"]["ndcg@10"]
        assert f"{interval.mean:.4f} [{interval.low:.3f}, {interval.high:.3f}]" in text
        assert "+0.2000 p < 0.001" in text
        assert "append:[b]x[/b]" in text
        assert "rm3*" in text
        assert "* rm3: a reference, not a policy (reads the catalogue)" in text
        assert "Shop-v0, split test, 50 requests" in text
        assert "Holm's correction over 2 policies" in text
        assert all(line == line.rstrip() for line in text.splitlines())

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_terminals_of_any_width_show_whole_numbers(self, comparison, width, monkeypatch):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        comparison = compare([*comparison.evaluations, made(np.arange(50) / 50, "folder/" * 6 + "file.py:policy")])
        out = io.StringIO()
        print_report(comparison, out)
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in out.getvalue().splitlines()]
        assert all(len(line) <= width for line in lines if line.startswith(("│", "┃")))
        interval = comparison.means["rm3"]["ndcg@10"]
        assert any(f"[{interval.low:.3f}, {interval.high:.3f}]" in line for line in lines)
        assert any("parse ok" in line for line in lines)
        assert "…" not in out.getvalue()

    def test_one_request_has_no_interval(self):
        out = io.StringIO()
        print_report(compare([made([0.5], "raw")]), out)
        assert "0.5000 [too few]" in out.getvalue()
        assert "[too few]: too few requests for a reliable interval: at least 8 are needed" in out.getvalue()
        assert "nan" not in out.getvalue()

    def test_too_few_users_are_reported_everywhere(self, comparison, tmp_path):
        users = [f"u{i % 6}" for i in range(60)]
        few = compare([made(np.arange(60) / 60, "raw", users=users), made(np.arange(60) / 59, "other", users=users)])
        out = io.StringIO()
        print_report(few, out)
        assert "[too few]: too few users for a reliable interval" in out.getvalue()
        assert "p = 0.031" in out.getvalue()  # 2 of 64 patterns of signs: the test stays exact
        save_json(tmp_path / "r.json", few)
        save_csv(tmp_path / "r.csv", few)
        _, other = json.loads((tmp_path / "r.json").read_text())["policies"]
        reason = "too few users: 6, at least 8 are needed"
        for part in (other["measures"]["ndcg@10"], other["measures"]["ndcg@10"]["difference"]):
            assert (part["low"], part["high"], part["no_interval"]) == (None, None, reason)
        with open(tmp_path / "r.csv", newline="") as file:
            row = list(csv.DictReader(file))[1]
        assert (row["low"], row["no_interval"], row["difference_no_interval"]) == ("", reason, reason)
        enough = json.loads(json.dumps(as_json(comparison)))["policies"][0]["measures"]["ndcg@10"]
        assert enough["no_interval"] is None
        out = io.StringIO()
        print_report(comparison, out)
        assert "too few" not in out.getvalue()

    def test_policies_that_do_not_differ_have_no_interval_of_their_difference(self):
        values = np.arange(50) / 50
        same = compare([made(values, "raw"), made(values, "same")])
        assert same.means["same"]["ndcg@10"].no_interval == ""
        assert "0 of 50" in same.differences["same"]["ndcg@10"].no_interval
        assert same.differences["same"]["ndcg@10"].p == 1

    def test_table_has_a_column_for_clipped_queries_when_there_are_some(self):
        evaluation = made([0.5, 0.1])
        evaluation.clipped[0] = 1
        headers = [column.header for column in make_table(compare([evaluation])).columns]
        assert headers == ["policy", "n", "ndcg@10", "words", "repeated", "copied", "parse ok", "clipped"]

    def test_json(self, comparison, tmp_path):
        save_json(tmp_path / "deep" / "result.json", comparison, {"overrides": {"turns": 1}})
        saved = json.loads((tmp_path / "deep" / "result.json").read_text())
        assert {saved["id"], saved["card_sha256"], saved["version"], saved["split"]} == {
            "Shop-v0",
            "c0ffee",
            "1",
            "test",
        }
        assert saved["overrides"] == {"turns": 1}
        assert saved["statistics"]["compared_to"] == "raw"
        raw, _, rm3 = saved["policies"]
        assert raw["measures"]["ndcg@10"]["mean"] == comparison.means["raw"]["ndcg@10"].mean
        assert "difference" not in raw["measures"]["ndcg@10"]
        assert rm3["measures"]["ndcg@10"]["difference"]["mean"] == pytest.approx(0.3)
        assert rm3["text"]["words"] == 4
        assert len(rm3["requests"]["ndcg@10"]) == len(saved["request_ids"]) == 50

    def test_json_knows_no_nan(self, tmp_path):
        save_json(tmp_path / "r.json", compare([made([0.5])]))
        assert "NaN" not in (tmp_path / "r.json").read_text()

    def test_csv(self, comparison, tmp_path):
        save_csv(tmp_path / "r.csv", comparison)
        with open(tmp_path / "r.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["policy"], row["measure"]) for row in rows] == [
            ("raw", "ndcg@10"),
            ("append:[b]x[/b]", "ndcg@10"),
            ("rm3", "ndcg@10"),
        ]
        assert rows[0]["p"] == ""
        assert float(rows[2]["difference"]) == pytest.approx(0.3)
        assert float(rows[0]["low"]) == comparison.means["raw"]["ndcg@10"].low
        assert rows[0]["id"] == "Shop-v0"

    def test_a_failed_write_leaves_the_old_file(self, comparison, tmp_path, monkeypatch):
        path = tmp_path / "r.json"
        path.write_text("old")
        with pytest.raises(TypeError):
            save_json(path, comparison, {"overrides": {"x": object()}})
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


def test_the_policies_of_the_docs_work(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("my_policies.py").write_text(re.findall(r"```python skip\n(.*?)```", page, flags=re.DOTALL)[0])
    task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", split="val")
    row = next(task.rows())
    assert make_policy("my_policies.py:lower", task)([row]) == [row["text"].lower()]
    assert make_policy("my_policies.py:Suffix:cotton", task)([row]) == [row["text"] + " cotton"]


def test_a_drawn_part_of_a_split_is_the_same_for_every_policy():
    task = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=600, split="val", reward="ndcg@10")
    whole = evaluate(task, make_policy("raw", task), progress=False)
    part = evaluate(task, make_policy("raw", task), requests=30, progress=False)
    other = evaluate(task, always("lamp"), requests=30, progress=False)
    assert part.request_ids == other.request_ids
    assert len(set(part.request_ids)) == 30
    assert sorted(part.request_ids, key=task.request_ids.index) == part.request_ids != task.request_ids[:30]
    places = [task.request_ids.index(name) for name in part.request_ids]
    for name in ("ndcg@10", "reward"):
        assert np.array_equal(part.values(name), whole.values(name)[places])
    assert np.array_equal(part.strata["asked"], whole.strata["asked"][places])
    assert compare([part, other]).units == 30
    assert len(evaluate(task, always("lamp"), requests=10_000, progress=False)) == len(task)
    with pytest.raises(ValueError, match="at least 1"):
        evaluate(task, always("lamp"), requests=0)
