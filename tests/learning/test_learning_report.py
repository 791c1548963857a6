"""The page of the trainings: its tables are the package's own statistics of the kept runs, and it is not stale."""

import json
from dataclasses import replace
from statistics import mean, stdev

import numpy as np
import pytest
from learning_runs import SIZE, cell, made

from benchmarks.learning import report, scores, tables
from benchmarks.learning.experiments import EXPERIMENTS, FOLD_COUNT, RAW, TRAINED
from benchmarks.learning.kept import (
    KEPT,
)
from benchmarks.learning.plots import plot_curves
from rec_gym.cache import write_json
from rec_gym.evaluation import compare, stratified_mean, stratum_weights


def test_tables_hold_the_statistics_of_the_package(archive):
    experiment = EXPERIMENTS["words"]
    measures, name = experiment.kept_measures, "ndcg@10"
    columns = {
        split: scores.split_scores(archive, experiment, split, report.views(experiment)[0])
        for split in experiment.splits
    }
    text, apart = tables.scores_table(columns, name), tables.differences_table(columns, name)
    for place, split in enumerate(experiment.splits):
        raw = made(RAW, split, measures, 0)
        runs = [replace(made(TRAINED, split, measures, seed + 1), name=f"seed-{seed}") for seed in range(5)]
        told = compare([raw, *runs], [name])
        interval = told.means[RAW][name]
        assert cell(text, "raw query", place) == f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
        for run in runs:
            assert cell(text, f"trained, {run.name.replace('-', ' ')}", place) == tables.interval_cell(
                told.means[run.name][name]
            )
            assert cell(apart, f"trained, {run.name.replace('-', ' ')}", place) == tables.difference_cell(
                told.differences[run.name][name]
            )
        means = [told.means[run.name][name].mean for run in runs]
        assert cell(text, "trained, mean of 5 (± deviation)", place) == f"**{mean(means):.3f}** (± {stdev(means):.3f})"
        averaged = replace(runs[0], measures={name: np.mean([run.measures[name] for run in runs], axis=0)})
        difference = compare([raw, averaged], [name]).differences[averaged.name][name]
        assert cell(apart, "**trained, mean of 5**", place) == tables.difference_cell(difference)
        rm3 = made("rm3", split, measures, 4)
        assert cell(text, tables.LABELS["rm3"], place) == tables.interval_cell(
            compare([rm3], [name]).means["rm3"][name]
        )


def test_strata_are_those_of_the_package(archive):
    experiment = EXPERIMENTS["words"]
    view = report.views(experiment)[0]
    columns = {split: scores.split_scores(archive, experiment, split, view) for split in experiment.splits}
    text = tables.strata_table(columns, "ndcg@10")
    raw = {split: made(RAW, split, experiment.kept_measures, 0) for split in experiment.splits}
    weights = stratum_weights(raw["test"])
    for place, split in enumerate(experiment.splits):
        told = stratified_mean(raw[split], weights, "ndcg@10")
        assert cell(text, "in the mix of test: raw", place) == tables.interval_cell(told)
        values = raw[split].measures["ndcg@10"][raw[split].strata["asked"] == 2]
        assert cell(text, "asked 2 (8 requests): raw", place) == f"{values.mean():.3f}"


def test_filters_are_shown_beside_what_is_insisted_on():
    def counts(right, number):
        return {"test": {"set": number, "right": right, "asked": 12, "numbers_set": 6, "numbers_asked": 7}}

    def run(name, **content):
        return scores.KeptRun(name, "both", 0, content)

    runs = [run("words-seed-0"), run("both-seed-0", filters={"filter-rule": counts(5, 6), TRAINED: counts(2, 9)})]
    text = tables.filters_table(runs, ["test"])
    assert cell(text, "insisted on (of them numbers)", 0) == "12 (7)"
    assert cell(text, tables.LABELS["filter-rule"], 0) == "5 of 6"
    assert cell(text, "both, seed 0", 0) == "2 of 9"
    assert text.endswith("\n\nOf the 9 filters that the runs set, 3 are on columns of text.")
    assert "words" not in text
    assert tables.filters_table(runs[:1], ["test"]) == ""


def test_folds_are_pooled_into_one_paired_comparison(archive):
    experiment = EXPERIMENTS["cranfield"]
    found = scores.pooled_scores(archive, experiment)
    measures = experiment.measures
    folds = [
        (made(RAW, "test", measures, 0, prefix=f"{k}-"), made(TRAINED, "test", measures, k + 1, prefix=f"{k}-"))
        for k in range(FOLD_COUNT)
    ]
    raw, trained = (
        replace(
            pair[0],
            name=name,
            request_ids=[request for one in pair for request in one.request_ids],
            users=np.full(SIZE * FOLD_COUNT, "", object),
            measures={key: np.concatenate([one.measures[key] for one in pair]) for key in measures},
        )
        for name, pair in zip((RAW, TRAINED), zip(*folds, strict=True), strict=True)
    )
    told = compare([raw, trained], measures).differences[TRAINED]
    assert list(found.arms) == list(experiment.arms)
    assert found.seeds[TRAINED].differences[scores.POOLED] == told
    assert found.seeds[TRAINED].units == SIZE * FOLD_COUNT


def test_the_untrained_model_is_compared_to_the_trained_one(archive):
    found = scores.pooled_scores(archive, EXPERIMENTS["cranfield"])
    [measure] = EXPERIMENTS["cranfield"].measures
    before, after = (replace(found.arms[arm][0], name=arm) for arm in ("untrained", TRAINED))
    told = compare([before, after], [measure]).differences[TRAINED][measure]
    assert tables.difference_cell(told) in tables.untrained_table({"all": found}, measure)
    assert (
        tables.untrained_table(
            {"test": scores.split_scores(archive, EXPERIMENTS["words"], "test", words_view())}, "ndcg@10"
        )
        == ""
    )


def words_view():
    return scores.View("", "cornershop-bm25", lambda arm, split: split)


def test_arms_are_compared_seed_by_seed(archive):
    experiment = EXPERIMENTS["alternating"]
    columns = {
        split: scores.split_scores(archive, experiment, split, report.views(experiment)[0])
        for split in experiment.splits
    }
    text = tables.versus_table(
        tables.versus_differences(columns, experiment.versus, experiment.measures), experiment.versus
    )
    words = [
        made(TRAINED, "test", EXPERIMENTS["words"].kept_measures, seed + 1).measures["ndcg@10"] for seed in range(3)
    ]
    other = [made(TRAINED, "test", experiment.kept_measures, seed + 1).measures["ndcg@10"] for seed in range(3)]
    expected = np.mean(other, axis=0).mean() - np.mean(words, axis=0).mean()
    assert cell(text, "ndcg@10", 0).startswith(f"{expected:+.3f} [")
    by_seed = [b.mean() - a.mean() for a, b in zip(words, other, strict=True)]
    assert cell(text, "ndcg@10, seed by seed", 0).startswith(", ".join(f"{value:+.3f}" for value in by_seed))
    second = columns["test"].arms["alternating"][1:]
    first, kept_second = tables.paired_arms(columns["test"].arms["metric"], second)
    assert [one.name for one in first] == ["metric-seed-1", "metric-seed-2"]
    assert kept_second == second


def test_trainings_are_compared_by_a_paired_t_test():
    """By hand, for differences of 0.1, 0.2 and 0.3: t = 2 sqrt(3), and with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2)."""
    base = made(TRAINED, "test", ("ndcg@10",), 0)
    first = [replace(base, measures={"ndcg@10": np.zeros(SIZE)}) for _ in range(3)]
    second = [replace(base, measures={"ndcg@10": np.full(SIZE, value)}) for value in (0.1, 0.2, 0.3)]
    found = scores.versus(first, second, ["ndcg@10"])["ndcg@10"]
    assert found.by_seed == pytest.approx((0.1, 0.2, 0.3))
    assert found.p_trainings == pytest.approx(1 - np.sqrt(12 / 14))
    assert tables.seeds_cell(found) == "+0.100, +0.200, +0.300; p = 0.074"
    alone = scores.versus(first[:1], second[:1], ["ndcg@10"])["ndcg@10"]
    assert tables.seeds_cell(alone) == "+0.100"


def test_a_run_of_an_older_command_is_marked(kept, tmp_path):
    content = json.loads((kept / "words.json").read_text())
    content["runs"]["seed-2"]["arguments"]["auxiliary_every"] = 3
    write_json(tmp_path / "words.json", content)
    text = report.section(scores.Archive(tmp_path), EXPERIMENTS["words"])
    assert f"{report.OTHER_SETTINGS} seed-2: --auxiliary-every is 3, not 0." in text
    assert "Missing: the references cornershop-bm25." in text


@pytest.mark.parametrize("noise", [-1e-15, 0.0, 1e-15])
def test_halfway_values_are_rounded_alike(noise):
    assert tables.decimals(0.5525 + noise) == "0.552"
    assert tables.signed(-0.0125 + noise) == "-0.013"


def test_times_say_how_many_runs_they_are_of():
    assert report.span([90.4, None, 1200.0], "s") == "90 to 1,200 s (2 of 3 runs)"
    assert report.span([90.4, 90.3], "s") == "90 s"
    assert report.span([None], "s") == ""


def test_what_was_resampled_is_reported():
    raw, runs = made(RAW, "test", ("ndcg@10",), 0), [made(TRAINED, "test", ("ndcg@10",), 1)]
    found = scores.scores_of([raw], {TRAINED: runs}, [], ["ndcg@10"])
    assert "intervals over requests." in report.foot({"test": found})
    users = np.array([f"user {number // 2}" for number in range(SIZE)], object)
    runs = [replace(run, users=users) for run in runs]
    found = scores.scores_of([replace(raw, users=users)], {TRAINED: runs}, [], ["ndcg@10"])
    assert "intervals over the 12 users of the requests." in report.foot({"test": found})


def test_the_raw_query_of_two_runs_must_be_the_same(archive):
    experiment = EXPERIMENTS["words"]
    raw = made(RAW, "test", experiment.measures, 0)
    other = made(RAW, "test", experiment.measures, 1)
    with pytest.raises(ValueError, match="scores differently in two runs"):
        scores.scores_of([raw, other], {TRAINED: [replace(raw, name="a")]}, [], experiment.measures)


def test_a_page_of_all_experiments_is_made(archive, kept, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "results.md"
    page.write_text(report.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    report.write(kept, page)
    text = page.read_text(encoding="utf-8")
    assert report.NOT_RUN not in text
    assert report.OTHER_SETTINGS not in text
    assert report.measured(page, "words") == report.section(archive, EXPERIMENTS["words"])
    assert "Evaluated with the recommender dense:" in report.measured(page, "transfer")
    for experiment in EXPERIMENTS.values():
        assert (tmp_path / report.image(experiment)).read_bytes().startswith(b"\x89PNG")


def test_plots_are_a_function_of_the_runs(archive, tmp_path):
    pytest.importorskip("matplotlib")
    runs = archive.runs(EXPERIMENTS["alternating"])
    for name in ("a.png", "b.png"):
        plot_curves(runs, "ndcg@10", tmp_path / name)
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in content
    assert b"tIME" not in content


def test_what_is_missing_is_reported(kept, tmp_path):
    content = json.loads((kept / "cranfield.json").read_text())
    del content["runs"]["fold-2"], content["runs"]["untrained-fold-2"]
    write_json(tmp_path / "cranfield.json", content)
    text = report.section(scores.Archive(tmp_path), EXPERIMENTS["cranfield"])
    assert "Missing: fold-2, untrained-fold-2." in text
    assert "120 requests" not in text  # no pooled table of four folds
    assert report.NOT_RUN in report.section(scores.Archive(tmp_path), EXPERIMENTS["words"])


@pytest.mark.slow
@pytest.mark.release
def test_the_page_is_not_stale():
    archive = scores.Archive(KEPT)
    text = report.PAGE.read_text(encoding="utf-8")
    for experiment in EXPERIMENTS.values():
        assert f"## {experiment.title}\n\n{experiment.question}\n" in text
        there = report.measured(report.PAGE, experiment.name)
        assert there == report.section(archive, experiment).strip(), "run `python -m benchmarks.learning`"
