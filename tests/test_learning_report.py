"""The page of the trainings: its tables are the package's own statistics of the kept runs, and it is not stale."""

import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from benchmarks.learning import report, scores, tables
from benchmarks.learning.experiments import EXPERIMENTS, FOLD_COUNT, RAW, REFERENCES, TRAINED, source
from benchmarks.learning.folds import HEADER, fold_of, read_qrels, write_folds
from benchmarks.learning.kept import (
    KEPT,
    differences,
    flags,
    keep,
    neutral,
    processor_seconds_of,
    read_runs,
    seconds_of,
    short,
    thin,
)
from benchmarks.learning.plots import plot_curves
from benchmarks.learning.runner import Places
from rec_gym import make_task
from rec_gym.cache import write_json
from rec_gym.evaluation import Evaluation, compare, save_json, stratified_mean, stratum_weights
from rec_gym.policies.specs import POLICIES

SIZE = 24  # requests of a split


def made(name, split, measures, seed, size=SIZE, task_id="RecR1-CornerShop-BM25-v0", prefix=""):
    """An evaluation with values that nobody measured, in five digits."""
    random = np.random.default_rng([seed, len(split), len(name)])
    lift = 0.0 if name == RAW else 0.3
    return Evaluation(
        name=name,
        reference="",
        task_id=task_id,
        card_hash="c" * 64,
        version="0",
        split=split,
        samples=1,
        seed=0,
        settings={"reward": measures[0]},
        request_ids=[f"{prefix}{split}-{number:03}" for number in range(size)],
        users=np.full(size, "", object),
        measures={key: np.round(random.random(size) * 0.5 + lift, 5) for key in measures},
        rewards=np.zeros(size),
        text_stats={key: random.random(size) for key in ("length", "repetition", "copy")},
        parse_ok=np.ones(size),
        clipped=np.zeros(size),
        turns=np.ones(size),
        strata={"asked": np.arange(size) % 3 + 1.0},
    )


def write_evaluation(path, *evaluations, **extra):
    save_json(path, compare(evaluations, list(evaluations[0].measures), resamples=50), extra)


def write_run(folder, run, splits, measures, **how):
    """A run folder as `examples/runs.py` leaves it."""
    output = folder / run.name
    arguments = {"output": "/home/somebody/runs/x", "model": "/home/somebody/model"}
    for flag, values in flags(run.command).items():
        name = flag.removeprefix("--").replace("-", "_")
        if name.startswith("no_"):
            name, values = name.removeprefix("no_"), ["False"]
        known = {"set": list(values), "test_splits": list(values), "data_dir": "../data/somewhere"}
        arguments.setdefault(name, known.get(name, values[0] if values else "True"))
    arguments["seed"] = run.seed
    curve = [
        {"step": step, "reward": step / 100, "length": 8 - step / 50, "seconds_rollout": 0.5, "seconds_learn": 0.25}
        | ({"val": step / 200} if step % 20 == 0 else {})
        for step in range(1, 101)
    ]
    machine = {"processor": "x", "cores": 2, "python": "3"}
    facts = {"id": how.get("task_id", "RecR1-CornerShop-BM25-v0"), "card_sha256": "c" * 64, "version": "0"}
    for split in splits:
        raw, trained = made(RAW, split, measures, 0, **how), made(TRAINED, split, measures, run.seed + 1, **how)
        write_evaluation(output / f"evaluation-{split}.json", raw, trained)
    for name in run.transfers:
        write_transfers(output, name, run.seed)
    write_json(output / "run.json", {**facts, "machine": machine, "arguments": arguments, "curve": curve})


def write_transfers(output, name, seed):
    task_id = "RecR1-CornerShop-BM25-v0" if name == "bm25" else "RecR1-CornerShop-Dense-v0"
    base = 0 if name == "bm25" else 50
    for split in REFERENCES[f"cornershop-{name}"].splits:
        raw = made(RAW, split, ("ndcg@10",), base, task_id=task_id)
        if name == "bm25":  # the raw query scores the same whoever is evaluated beside it
            all_measures = EXPERIMENTS["words"].kept_measures
            raw = replace(raw, measures={"ndcg@10": made(RAW, split, all_measures, 0).measures["ndcg@10"]})
        trained = made(TRAINED, split, ("ndcg@10",), base + seed + 7, task_id=task_id)
        write_evaluation(output / f"transfer-{name}-{split}.json", raw, trained)


def write_everything(folder):
    """Every run of every experiment, and the references."""
    for experiment in EXPERIMENTS.values():
        for number, run in enumerate(experiment.runs):
            if run.same_as:
                owner, own = source(experiment, run)
                for name in run.transfers:
                    write_transfers(folder / owner.name / own.name, name, run.seed)
                continue
            how = {"prefix": f"{number % FOLD_COUNT}-"} if experiment.pooled else {}
            if run.name.startswith("dense"):
                how = {"task_id": "RecR1-CornerShop-Dense-v0"}
            write_run(folder / experiment.name, run, experiment.splits, experiment.kept_measures, **how)
    for references in REFERENCES.values():
        for split in references.splits:
            found = [
                made(name, split, references.measures, 3 + place, task_id=references.environment.id)
                for place, name in enumerate(references.policies)
            ]
            path = folder / "references" / references.name / f"evaluation-{split}.json"
            write_evaluation(path, *found, asked=found[0].strata["asked"].tolist())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run folders."""
    found = tmp_path_factory.mktemp("runs")
    write_everything(found)
    # The dense runs' raw query is that of the transfers to dense.
    for run in EXPERIMENTS["transfer"].runs:
        if not run.same_as:
            for split in EXPERIMENTS["transfer"].splits:
                how = {"task_id": "RecR1-CornerShop-Dense-v0"}
                raw, trained = (
                    made(RAW, split, ("ndcg@10",), 50, **how),
                    made(TRAINED, split, ("ndcg@10",), run.seed, **how),
                )
                write_evaluation(found / "transfer" / run.name / f"evaluation-{split}.json", raw, trained)
    return found


@pytest.fixture(scope="module")
def kept(folder, tmp_path_factory):
    """The kept files of these runs."""
    target = tmp_path_factory.mktemp("kept")
    keep(folder, target)
    return target


@pytest.fixture(scope="module")
def archive(kept):
    return scores.Archive(kept)


def test_a_run_that_is_kept_is_the_run_that_was_made(kept, folder):
    runs = read_runs(kept / "words.json")
    assert list(runs) == [f"seed-{seed}" for seed in range(5)]
    text = (kept / "words.json").read_text()
    assert text.count('"raw": "seed-0"') == 4 * len(EXPERIMENTS["words"].splits)
    for name, run in runs.items():
        for split, found in run["evaluations"].items():
            saved = json.loads((folder / "words" / name / f"evaluation-{split}.json").read_text())
            for policy in saved["policies"]:
                kept_policy = found["policies"][policy["policy"]]
                for measure in EXPERIMENTS["words"].kept_measures:
                    assert kept_policy["values"][measure] == policy["requests"][measure]
                assert kept_policy["text"]["words"] == short(policy["text"]["words"])


def test_keeping_again_changes_nothing_and_loses_nothing(kept, folder, tmp_path):
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    keep(folder, kept)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    keep(tmp_path, kept)  # a folder without any run
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_a_run_of_other_arguments_or_without_a_measure_is_refused(tmp_path):
    experiment, run = EXPERIMENTS["words"], EXPERIMENTS["words"].runs[1]
    write_run(tmp_path / "words", run, experiment.splits, ("ndcg@10",))
    with pytest.raises(ValueError, match=r"lacks ndcg@100, constraints@10"):
        keep(tmp_path, tmp_path / "kept")
    write_run(tmp_path / "words", replace(run, seed=3), experiment.splits, experiment.kept_measures)
    with pytest.raises(ValueError, match="--seed is 3, not 1"):
        keep(tmp_path, tmp_path / "kept")


def test_runs_that_differ_in_what_no_command_says_are_refused(tmp_path):
    experiment = EXPERIMENTS["words"]
    for run in experiment.runs[:2]:
        write_run(tmp_path / "words", run, experiment.splits, experiment.kept_measures)
    path = tmp_path / "words" / "seed-1" / "run.json"
    content = json.loads(path.read_text())
    content["arguments"]["steps"] = 60
    write_json(path, content)
    with pytest.raises(ValueError, match="seed-1 and seed-0 differ in steps"):
        keep(tmp_path, tmp_path / "kept")


def test_arguments_are_compared_as_numbers_texts_lists_and_flags():
    command = [
        "x.py",
        "--learning-rate",
        "3e-4",
        "--set",
        "action=append",
        "k=<data>/a",
        "--no-divide",
        "--output",
        "<output>",
    ]
    told = {"learning_rate": 0.0003, "set": ["action=append", "k=/a"], "divide": False, "output": "/b"}
    assert differences(command, told) == []
    assert differences(command, {**told, "divide": True}) == ["--no-divide is True, not False"]
    assert differences(command, {**told, "set": ["action=plain", "k=/a"]}) != []


def test_curves_are_thinned_to_means_and_time_is_found():
    curve = [{"step": step, "reward": float(step)} | ({"val": 9.0} if step == 3 else {}) for step in range(1, 601)]
    found = thin(curve)
    assert len(found["step"]) == 60
    assert found["step"][:2] == [10, 20]
    assert found["reward"][:2] == [5.5, 15.5]
    assert found["val"][:2] == [9, None]
    assert seconds_of({"curve": [{"seconds": 1.0}, {"seconds": 2.5}]}) == 2.5
    assert seconds_of({"curve": [{"seconds_a": 1.0, "seconds_b": 1.0}, {"seconds_a": 1.0}]}) == 3.0
    assert seconds_of({"curve": [{"seconds": 2.0}, {"seconds": 1.0}, {"seconds": 3.0}]}) == 6.0  # of each step
    assert seconds_of({"curve": [{"step": 1}]}) is None
    assert processor_seconds_of({"curve": [{"processor_seconds": 1.25}, {"processor_seconds": 2.0}]}) == 3.2
    assert processor_seconds_of({"curve": [{"step": 1}]}) is None


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("/home/me/data/office", "FOLDER/office"),
        ("../shared/data/office/", "FOLDER/office"),
        ("~/models/tiny", "FOLDER/tiny"),
        (r"C:\models\tiny", "FOLDER/tiny"),
        (
            'recommender={name="dense", encoder="/opt/minilm/model"}',
            'recommender={name="dense", encoder="FOLDER/model"}',
        ),
        ("runs/words/seed-0", "runs/words/seed-0"),
        ('prompt={user="{request}\\nSearch and/or ask"}', 'prompt={user="{request}\\nSearch and/or ask"}'),
    ],
)
def test_paths_are_made_neutral(text, there):
    assert neutral({"a": [text]}) == {"a": [there]}


@pytest.mark.parametrize("where", ["made", "repository"])
def test_no_kept_file_names_a_folder_of_somebody(where, request):
    files = sorted((request.getfixturevalue("kept") if where == "made" else KEPT).glob("*.json"))
    assert files or where == "repository"
    for path in files:
        for text in re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text()):
            assert not re.match(r"(/|~/|\.\./|[A-Za-z]:\\\\)", text), f"{path.name}: {text}"
            assert "/home/" not in text


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
def test_what_lies_halfway_is_rounded_alike(noise):
    assert tables.decimals(0.5525 + noise) == "0.552"
    assert tables.signed(-0.0125 + noise) == "-0.013"


def test_what_was_resampled_is_said():
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


def test_what_is_missing_is_said(kept, tmp_path):
    content = json.loads((kept / "cranfield.json").read_text())
    del content["runs"]["fold-2"], content["runs"]["untrained-fold-2"]
    write_json(tmp_path / "cranfield.json", content)
    text = report.section(scores.Archive(tmp_path), EXPERIMENTS["cranfield"])
    assert "Missing: fold-2, untrained-fold-2." in text
    assert "120 requests" not in text  # no pooled table of four folds
    assert report.NOT_RUN in report.section(scores.Archive(tmp_path), EXPERIMENTS["words"])


def test_the_page_is_not_stale():
    archive = scores.Archive(KEPT)
    text = report.PAGE.read_text(encoding="utf-8")
    for experiment in EXPERIMENTS.values():
        assert f"## {experiment.title}\n\n{experiment.question}\n" in text
        there = report.measured(report.PAGE, experiment.name)
        assert there == report.section(archive, experiment).strip(), "run `python -m benchmarks.learning`"


def test_what_is_kept_is_small():
    assert sum(path.stat().st_size for path in KEPT.glob("*.json")) < 1_500_000


def test_requests_that_are_kept_are_those_of_the_embedded_data():
    for path in KEPT.glob("*.json"):
        content = json.loads(path.read_text())
        for evaluation in content.get("evaluations", {}).values():
            assert "request_ids" not in evaluation or evaluation["id"].startswith("RecR1-CornerShop-")


@pytest.fixture
def collection(tmp_path):
    """A BEIR folder of 23 queries, judged in two files."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": str(n), "title": f"title {n}", "text": "words"} for n in range(30)]
    queries = [{"_id": f"q{n}", "text": f"title {n}"} for n in range(23)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, numbers in (("train", range(15)), ("test", range(15, 23))):
        lines = [f"q{n}\t{document}\t1" for n in numbers for document in (n, n + 5)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


def test_folds_partition_the_queries(collection, tmp_path):
    write_folds(collection, tmp_path / "folds", FOLD_COUNT)
    tested = []
    for k in range(FOLD_COUNT):
        tasks = {
            split: make_task("RecR1-BEIR-BM25-v0", data_dir=str(tmp_path / "folds" / f"fold-{k}"), split=split)
            for split in ("train", "val", "test")
        }
        test = set(tasks["test"].request_ids)
        assert test.isdisjoint([*tasks["train"].request_ids, *tasks["val"].request_ids])
        assert sum(len(task) for task in tasks.values()) == 23
        assert len(test) in (4, 5)
        tested += test
    assert sorted(tested) == sorted(read_qrels(collection))
    assert fold_of(["b", "a", "c", "d", "e"], 5) == fold_of(["e", "d", "c", "b", "a"], 5)


def test_a_query_of_two_files_is_refused(collection, tmp_path):
    (collection / "qrels" / "val.tsv").write_text(f"{HEADER}\nq3\t4\t1\n")
    with pytest.raises(ValueError, match="query 'q3' is judged in another file"):
        write_folds(collection, tmp_path / "folds", FOLD_COUNT)


def test_commands_are_filled_and_what_is_missing_is_said(tmp_path):
    places = Places(tmp_path / "runs", tmp_path / "data")
    office = EXPERIMENTS["office"].runs[1]
    command = [places.fill(part, places.run(EXPERIMENTS["office"], office)) for part in office.command]
    assert not [part for part in command if part.startswith("<")]
    assert str(tmp_path / "runs" / "office" / "seed-1") in command
    with pytest.raises(SystemExit, match="--data"):
        Places(tmp_path).fill("<data>/cranfield")
    metric = EXPERIMENTS["alternating"].runs[0]
    assert places.run(EXPERIMENTS["alternating"], metric) == tmp_path / "runs" / "words" / "seed-0"


def test_every_script_is_there_and_takes_the_flags_that_it_is_given():
    root = Path(__file__).parents[1]
    for experiment in EXPERIMENTS.values():
        for run in experiment.runs:
            if run.same_as:
                continue
            text = (root / run.command[0]).read_text(encoding="utf-8")
            for flag in flags(run.command):
                name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
                assert re.search(rf"^    {name}: ", text, re.MULTILINE), f"{run.command[0]} has no {flag}"


def test_references_need_what_their_data_know():
    for references in REFERENCES.values():
        assert set(references.policies) <= set(POLICIES)
        # No other data set knows a right query.
        assert "oracle" not in references.policies or references.environment.id.startswith("RecR1-CornerShop-")


def cell(text, label, place):
    """A cell of a Markdown table, by the label of its row."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return line.split(" | ")[place + 1].removesuffix(" |")
