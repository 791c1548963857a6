"""Scores of kept runs: kept values become evaluations again, compared by the package's own statistics."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from benchmarks.learning.experiments import EXPERIMENTS, RAW, TRAINED, Experiment, source
from benchmarks.learning.kept import read_runs
from rec_gym.evaluation import Comparison, Difference, Evaluation, compare

MEAN, POOLED = "mean", "all folds"


@dataclass(frozen=True, eq=False)
class KeptRun:
    """A kept run.

    Attributes:
        name: of the run, in the experiment that looks at it.
        arm: what it is a repetition of.
        seed: of the training.
        content: its entry in the kept file of its own experiment.
        borrowed: whether it belongs to another experiment.
    """

    name: str
    arm: str
    seed: int
    content: Mapping[str, Any]
    borrowed: bool = False


class Archive:
    """The kept files of a folder.

    Args:
        folder: with one file per experiment, and one per set of references.
    """

    def __init__(self, folder: Path) -> None:
        self._runs = {name: read_runs(folder / f"{name}.json") for name in EXPERIMENTS}
        paths = sorted(folder.glob("references-*.json"))
        kept = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        self._references = {one["references"]: one["evaluations"] for one in kept}
        evaluations = [one for content in self._references.values() for one in content.values()]
        self._asked = {one["requests"]: one["asked"] for one in evaluations if "asked" in one}

    def runs(self, experiment: Experiment) -> list[KeptRun]:
        """The kept runs of an experiment, in its order."""
        runs = []
        for run in experiment.runs:
            owner, own = source(experiment, run)
            content = self._runs[owner.name].get(own.name)
            if content is None:
                continue
            if run.same_as:
                further = self._runs[experiment.name].get(run.name, {}).get("evaluations", {})
                content = {**content, "evaluations": {**content["evaluations"], **further}}
            runs.append(KeptRun(run.name, run.arm, run.seed, content, bool(run.same_as)))
        return runs

    def evaluation(self, run: KeptRun, key: str, policy: str) -> Evaluation | None:
        """A run's evaluation; None if there is none."""
        kept = run.content["evaluations"].get(key)
        return None if kept is None else self._evaluation(kept, policy, RAW if policy == RAW else run.name)

    def references(self, name: str, key: str) -> list[Evaluation]:
        """The references on a split, without the raw query; none if they are not kept."""
        kept = self._references.get(name, {}).get(key)
        return [self._evaluation(kept, one, one) for one in kept["policies"] if one != RAW] if kept else []

    def _evaluation(self, kept: Mapping[str, Any], policy: str, name: str) -> Evaluation:
        """Kept values as an evaluation; request ids are made from the hash, so that only equal requests are paired."""
        size, scored = kept["n"], kept["policies"][policy]
        asked = self._asked.get(kept["requests"])
        return Evaluation(
            name=name,
            reference="",
            task_id=kept["id"],
            card_hash=kept["card_sha256"],
            version=kept["version"],
            split=kept["split"],
            samples=1,
            seed=0,
            settings={},
            request_ids=[f"{kept['requests']}/{place}" for place in range(size)],
            users=np.array([str(code) for code in kept.get("users", [""] * size)], object),
            measures={key: np.array(values, np.float64) for key, values in scored["values"].items()},
            rewards=np.full(size, np.nan),  # not kept
            text_stats={},
            parse_ok=np.full(size, np.nan),
            clipped=np.full(size, np.nan),
            turns=np.full(size, np.nan),
            strata={} if asked is None else {"asked": np.array(asked, np.float64)},
        )


@dataclass(frozen=True)
class View:
    """The contents of one table.

    Attributes:
        label: of the table; empty if there is only one.
        references: key of the references.
        key: from arm and split to the name of a kept evaluation.
    """

    label: str
    references: str
    key: Callable[[str, str], str]


@dataclass(frozen=True, eq=False)
class Scores:
    """The runs of an experiment on a split.

    Attributes:
        raw: the raw query.
        arms: evaluations of each arm's runs.
        references: other policies.
        seeds: for each arm its runs, compared to the raw query.
        means: for each arm of several runs their mean, request by request, compared to the raw query.
    """

    raw: Evaluation
    arms: Mapping[str, list[Evaluation]]
    references: Sequence[Evaluation]
    seeds: Mapping[str, Comparison]
    means: Mapping[str, Comparison]


def scores_of(
    raws: Sequence[Evaluation],
    arms: Mapping[str, list[Evaluation]],
    references: Sequence[Evaluation],
    measures: Sequence[str],
) -> Scores:
    """Compares the runs to the raw query.

    Args:
        raws: the raw query as each run evaluated it.
        arms: evaluations of each arm's runs.
        references: other policies.
        measures: what is compared.

    Raises:
        ValueError: the raw query has different values in another run, or requests differ.
    """
    raw = raws[0]
    for other in raws[1:]:
        if any(not np.array_equal(raw.values(name), other.values(name)) for name in measures):
            raise ValueError(
                f"the raw query scores differently in two runs on {raw.task_id} {raw.split}; they were made with different "
                "versions or settings; repeat the older one"
            )
    seeds = {arm: compare([raw, *found], measures) for arm, found in arms.items()}
    several = {arm: found for arm, found in arms.items() if len(found) > 1}
    means = {arm: compare([raw, mean_of(found, MEAN)], measures) for arm, found in several.items()}
    return Scores(raw, arms, references, seeds, means)


def split_scores(archive: Archive, experiment: Experiment, split: str, view: View) -> Scores | None:
    """The scores of an experiment's runs on a split; None if no run was evaluated there."""
    arms: dict[str, list[Evaluation]] = {}
    raws = []
    for run in archive.runs(experiment):
        key = view.key(run.arm, split)
        raw, trained = archive.evaluation(run, key, RAW), archive.evaluation(run, key, TRAINED)
        if raw is not None and trained is not None:
            raws.append(raw)
            arms.setdefault(run.arm, []).append(trained)
    references = archive.references(view.references, split)
    if raws and references and references[0].request_ids != raws[0].request_ids:
        raise ValueError(f"the references {view.references} have other requests than {experiment.name} on {split}")
    return scores_of(raws, arms, references, experiment.measures) if raws else None


def pooled_scores(archive: Archive, experiment: Experiment) -> Scores | None:
    """The requests of all folds taken together; None if a fold is missing."""
    runs = archive.runs(experiment)
    [split] = experiment.splits
    if len(runs) < len(experiment.runs):
        return None
    raws: list[Evaluation] = []
    by_arm: dict[str, list[Evaluation]] = {}
    for run in runs:
        raw, trained = archive.evaluation(run, split, RAW), archive.evaluation(run, split, TRAINED)
        assert raw is not None
        assert trained is not None
        if run.arm == experiment.arms[0]:
            raws.append(raw)
        by_arm.setdefault(run.arm, []).append(trained)
    arms = {arm: [pool(evaluations, POOLED)] for arm, evaluations in by_arm.items()}
    return scores_of([pool(raws, RAW)], arms, archive.references(experiment.references, "all"), experiment.measures)


def mean_of(evaluations: Sequence[Evaluation], name: str) -> Evaluation:
    """Request by request the mean of evaluations of the same requests."""
    measures = {key: np.mean([one.values(key) for one in evaluations], axis=0) for key in evaluations[0].measures}
    return replace(evaluations[0], name=name, measures=measures)


def pool(evaluations: Sequence[Evaluation], name: str) -> Evaluation:
    """Evaluations of different requests, one after another.

    Raises:
        ValueError: a request is in two of them.
    """
    ids = [request for one in evaluations for request in one.request_ids]
    if len(set(ids)) < len(ids):
        raise ValueError("two folds hold the same requests")
    first = evaluations[0]

    def joined(values: Callable[[Evaluation], np.ndarray]) -> np.ndarray:
        return np.concatenate([values(one) for one in evaluations])

    return replace(
        first,
        name=name,
        request_ids=ids,
        users=joined(lambda one: one.users),
        measures={key: joined(lambda one, key=key: one.values(key)) for key in first.measures},  # type: ignore[misc]
        rewards=joined(lambda one: one.rewards),
        parse_ok=joined(lambda one: one.parse_ok),
        clipped=joined(lambda one: one.clipped),
        turns=joined(lambda one: one.turns),
        strata={},
    )


@dataclass(frozen=True)
class Versus:
    """One arm above another, both over the same seeds.

    Attributes:
        over_requests: of the means over seeds, request by request: what these trainings would show on other requests.
        by_seed: of each seed, the mean over requests.
        p_trainings: of Student's paired t test over the seeds: what other trainings would show; NaN with one seed.
    """

    over_requests: Difference
    by_seed: tuple[float, ...]
    p_trainings: float


def versus(first: Sequence[Evaluation], second: Sequence[Evaluation], measures: Sequence[str]) -> dict[str, Versus]:
    """The second arm above the first, for each measure; the runs are in the order of the same seeds."""
    over_requests = compare([mean_of(first, "first"), mean_of(second, "second")], measures).differences["second"]
    found = {}
    for measure in measures:
        means = [np.array([run.values(measure).mean() for run in arm]) for arm in (first, second)]
        p = float(ttest_rel(means[1], means[0]).pvalue) if len(first) > 1 else math.nan
        found[measure] = Versus(over_requests[measure], tuple((means[1] - means[0]).tolist()), p)
    return found
