"""What is kept of runs: what was made and nothing else, small, and without data of others."""

import json
import re
from dataclasses import replace

import pytest
from learning_runs import write_run

from benchmarks.learning.experiments import EXPERIMENTS
from benchmarks.learning.kept import (
    KEPT,
    differences,
    keep,
    neutral,
    processor_seconds_of,
    read_runs,
    seconds_of,
    short,
    thin,
)
from rec_gym.cache import write_json


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
        "--set",
        "k=<data>/a",
        "--no-divide",
        "--output",
        "<output>",
    ]
    told = {"learning_rate": 0.0003, "set": ["action=append", "k=/a"], "divide": False, "output": "/b"}
    assert differences(command, told) == []
    assert differences(command, {**told, "divide": True}) == ["--no-divide is True, not False"]
    assert differences(command, {**told, "set": ["action=plain", "k=/a"]}) != []
    command = ["x.py", "--model", "<models>/tiny-1"]
    assert differences(command, {"model": "FOLDER/tiny-1"}) == []
    assert differences(command, {"model": "models/tiny"}) == ["--model is 'tiny', not tiny-1"]


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
        ("../data/office/", "FOLDER/office"),
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


def test_what_is_kept_is_small():
    assert sum(path.stat().st_size for path in KEPT.glob("*.json")) < 1_500_000


def test_requests_that_are_kept_are_those_of_the_embedded_data():
    for path in KEPT.glob("*.json"):
        content = json.loads(path.read_text())
        for evaluation in content.get("evaluations", {}).values():
            assert "request_ids" not in evaluation or evaluation["id"].startswith("RecR1-CornerShop")
