"""Every run of every experiment, and the kept files of them."""

import pytest
from learning_runs import made, write_evaluation, write_everything

from benchmarks.learning import scores
from benchmarks.learning.experiments import EXPERIMENTS, RAW, TRAINED
from benchmarks.learning.kept import (
    keep,
)


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
