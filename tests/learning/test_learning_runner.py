"""Commands, folds and references of the experiments."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.learning.experiments import EXPERIMENTS, FOLD_COUNT, REFERENCES
from benchmarks.learning.folds import HEADER, fold_of, read_qrels, write_folds
from benchmarks.learning.kept import (
    flags,
)
from benchmarks.learning.runner import Places, added_by, count_filters
from rec_gym import make_task
from rec_gym.policies import make_policy
from rec_gym.policies.registry import POLICIES


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


def test_commands_are_filled_and_what_is_missing_is_reported(tmp_path):
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
    root = Path(__file__).parents[2]
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
        assert "oracle" not in references.policies or references.environment.id.startswith("RecR1-CornerShop")


def test_examples_say_what_a_policy_added():
    structured = make_task("RecR1-CornerShopFilters-BM25-v0", items=600).action
    query = structured.with_filters("a lamp in A4 oak", [("size", "==", "A4"), ("price", "<=", 50.0)])
    action = structured.parse(structured.compose(query, "a lamp in A4"), "a lamp in A4")
    assert added_by(action, "a lamp in A4") == "oak (price <= 50, size == A4)"
    append = make_task("RecR1-CornerShop-BM25-v0", items=600, action="append").action
    assert added_by(append.parse("oak tree", "a lamp "), "a lamp ") == "oak tree"
    assert added_by(append.parse("", "a lamp"), "a lamp") == ""


def test_filters_are_counted_beside_what_shoppers_insist_on():
    task = make_task("RecR1-CornerShopFilters-BM25-v0", items=600, split="test")
    asked = [condition for row in task.rows_in_split.tolist() for condition in task.dataset.constraints(row)]
    numbers = sum(column == "price" for column, _, _ in asked)
    assert 0 < numbers < len(asked)
    counts = {name: count_filters(task, make_policy(name, task)) for name in ("oracle", "raw", "filter-rule")}
    every = {"asked": len(asked), "numbers_asked": numbers}
    assert counts["oracle"] == {"set": len(asked), "right": len(asked), "numbers_set": numbers, **every}
    assert counts["raw"] == {"set": 0, "right": 0, "numbers_set": 0, **every}
    assert 0 < counts["filter-rule"]["right"] <= counts["filter-rule"]["set"] < len(asked)

    def wrong(rows):
        wish = [("price", "<=", 1.25), ("size", "==", "none such")]
        return [task.action.compose(task.action.with_filters(row["text"], wish), "") for row in rows]

    assert count_filters(task, wrong) == {"set": 2 * len(task), "right": 0, "numbers_set": len(task), **every}
