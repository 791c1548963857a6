"""The page `docs/results.md`: the parts between its marks are generated here from the kept runs, the rest is handwritten."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks.learning.experiments import (
    DATA,
    EXPERIMENTS,
    FOLDS,
    MINILM,
    MODELS,
    OUTPUT,
    Experiment,
    source,
)
from benchmarks.learning.kept import differences
from benchmarks.learning.plots import plot_curves
from benchmarks.learning.scores import (
    MEAN,
    Archive,
    KeptRun,
    Scores,
    View,
    pooled_scores,
    split_scores,
)
from benchmarks.learning.tables import (
    differences_table,
    examples_table,
    filters_table,
    folds_table,
    scores_table,
    strata_table,
    text_table,
    untrained_table,
    versus_differences,
    versus_table,
)
from benchmarks.pages import DOCS, write_section
from rec_gym.evaluation import Difference

PAGE = DOCS / "results.md"
IMAGES = "images"
WITH_TORCH = {"dense", "sb3", "train"}  # extras that install torch
NOT_RUN = "**Not run yet.**"
OTHER_SETTINGS = "**Made with other settings than the command below:**"
SHOWN = {DATA: "DATA", MODELS: "runs/learning/models", FOLDS: "runs/learning/cranfield/folds", MINILM: "MINILM"}
FOOT = (
    "Brackets: 95% intervals over {units}. p: sign-flip permutation test, paired by request; of runs with Holm's "
    "correction over them. The mean over runs is taken request by request first. Both say what these trainings would show on "
    "other requests; how far other trainings may lie apart is in the deviation. "
    "`[too few]`: too few differ for an interval, see [statistics](statistics.md)."
)
SEEDS_FOOT = (
    "Seed by seed: p of a paired t test over the trainings, which says what other trainings would show; not corrected for the "
    "number of splits."
)
TEXT_FOOT = (
    "What is written: words a completion, share of repeated words, share of words copied from the request. Start and end are "
    "those of training, where words are drawn; evaluated is what is likeliest."
)


def write(kept: Path, page: Path) -> list[str]:
    """Writes the sections and plots of every experiment.

    Returns:
        One line per experiment, to print.
    """
    archive = Archive(kept)
    lines = []
    for experiment in EXPERIMENTS.values():
        runs = archive.runs(experiment)
        if runs:
            plot_curves(runs, experiment.measures[0], page.parent / image(experiment))
        write_section(page, experiment.name, section(archive, experiment))
        lines.append(f"{experiment.name}: {len(runs)} of {len(experiment.runs)} runs")
    return lines


def section(archive: Archive, experiment: Experiment) -> str:
    """The text between the marks of an experiment; it depends only on the kept runs."""
    runs = archive.runs(experiment)
    parts = found_parts(archive, experiment, runs) if runs else [f"{NOT_RUN} No numbers are kept of this experiment."]
    return "\n\n".join([*filter(None, parts), repeat(experiment)])


def found_parts(archive: Archive, experiment: Experiment, runs: Sequence[KeptRun]) -> list[str]:
    """Tables, curves and origin of an experiment with kept runs."""
    if experiment.pooled:
        parts = fold_parts(archive, experiment)
    else:
        parts = []
        for view in views(experiment):
            found = {split: split_scores(archive, experiment, split, view) for split in experiment.splits}
            columns = {split: one for split, one in found.items() if one is not None}
            if columns:
                parts += view_parts(experiment, view, columns)
    curves = f"![Learning curves of {experiment.name}]({image(experiment)})"
    own = [run for run in runs if not run.borrowed]
    shown = [run for run in own if experiment.versus and run.arm == experiment.versus[1]] or own
    if not any(run.content.get("filters") for run in own):  # what is written there is the whole query
        parts += [TEXT_FOOT, text_table(own or runs, experiment.splits[0])]
    parts += [examples_table(shown), filters_table(own, experiment.splits), curves]
    if experiment.references and not any(
        archive.references(experiment.references, split) for split in (*experiment.splits, "all")
    ):
        parts.append(f"{NOT_RUN} Missing: the references {experiment.references}.")
    return [*parts, *other_settings(experiment, own), origin(experiment, runs)]


def other_settings(experiment: Experiment, runs: Sequence[KeptRun]) -> list[str]:
    """Notes on kept runs whose command has changed since."""
    commands = {run.name: run.command for run in experiment.runs}
    found = {run.name: differences(commands[run.name], run.content["arguments"]) for run in runs}
    return [f"{OTHER_SETTINGS} {name}: {'; '.join(wrong)}." for name, wrong in found.items() if wrong]


def views(experiment: Experiment) -> list[View]:
    """One view of the splits, or one per recommender."""
    if not any(run.transfers for run in experiment.runs):
        return [View("", experiment.references, lambda arm, split: split)]

    def under(recommender: str) -> View:
        references = f"cornershop-{recommender}"
        key = lambda arm, split: split if arm == recommender else f"{recommender}/{split}"  # noqa: E731
        return View(f"Evaluated with the recommender {recommender}:", references, key)

    return [under(recommender) for recommender in experiment.arms]


def view_parts(experiment: Experiment, view: View, columns: dict[str, Scores]) -> list[str]:
    """The tables of a view. Runs from another section are not listed again."""
    arms = {run.arm for run in experiment.runs if run.same_as}
    brief = {arm for arm in arms if all(view.key(arm, split) == split for split in columns)}
    parts = [view.label]
    for measure in experiment.measures:
        parts += [scores_table(columns, measure, brief), differences_table(columns, measure, brief)]
        parts.append(untrained_table(columns, measure))
    sentences = reading(experiment, columns)
    if experiment.versus and (found := versus_differences(columns, experiment.versus, experiment.measures)):
        parts.append(versus_table(found, experiment.versus))
        firsts = {split: one[experiment.measures[0]] for split, one in found.items()}
        first, second = experiment.versus
        sentences.append(f"{second} is {sides({split: one.over_requests for split, one in firsts.items()}, first)}.")
        if not any(math.isnan(one.p_trainings) for one in firsts.values()):
            apart = [split for split, one in firsts.items() if one.p_trainings < 0.05]
            sentences.append(
                f"over the trainings, {second} and {first} lie apart on {', '.join(apart) or 'no split'} (p < 0.05)."
            )
            parts.append(SEEDS_FOOT)
    parts += [foot(columns), "\n".join(f"- In {experiment.measures[0]}, {line}" for line in sentences)]
    if experiment.stratified and all("asked" in one.raw.strata for one in columns.values()):
        parts.append("By the number of attributes that a request asks for, mean over runs:")
        parts.append(strata_table(columns, experiment.measures[0]))
    return parts


def fold_parts(archive: Archive, experiment: Experiment) -> list[str]:
    """The tables of a cross-validation; no pooled one while a fold is missing."""
    scores = pooled_scores(archive, experiment)
    measure = experiment.measures[0]
    parts = []
    if scores is not None:
        columns = {f"{len(scores.raw)} requests": scores}
        parts += [scores_table(columns, measure), differences_table(columns, measure)]
        parts += [untrained_table(columns, measure), foot(columns)]
        parts += [f"In {measure}, {line}" for line in reading(experiment, columns)]
    return [*parts, folds_table(archive, experiment, measure)]


def foot(columns: dict[str, Scores]) -> str:
    """How the numbers of the tables were made: what was resampled, and what the intervals say."""
    compared = next(iter(next(iter(columns.values())).seeds.values()))
    users = f"the {compared.units:,} users of the requests"
    return FOOT.format(units=users if compared.unit == "users" else "requests")


def reading(experiment: Experiment, columns: dict[str, Scores]) -> list[str]:
    """Where each arm's mean is above and below the raw query, in words: what the intervals say and nothing more."""
    sentences = []
    for arm, runs in next(iter(columns.values())).arms.items():
        several, found = len(runs) > 1, {}
        for split, one in columns.items():
            compared, name = (one.means[arm], MEAN) if several else (one.seeds[arm], runs[0].name)
            found[split] = compared.differences[name][experiment.measures[0]]
        what = f"the mean of {len(runs)} runs ({arm})" if several else f"the one run ({arm}, {runs[0].name})"
        sentences.append(f"{what} is {sides(found, 'the raw query')}.")
    return sentences


def sides(found: dict[str, Difference], other: str) -> str:
    """On which splits a difference's interval is above 0, below 0, or contains it."""
    where: dict[str, list[str]] = {
        f"above {other}": [],
        f"below {other}": [],
        f"not significantly different from {other}": [],
    }
    names = list(where)
    for split, one in found.items():
        where[names[0] if round(one.low, 9) > 0 else names[1] if round(one.high, 9) < 0 else names[2]].append(split)
    return "; ".join(f"{side} on {', '.join(splits)}" for side, splits in where.items() if splits)


def origin(experiment: Experiment, runs: Sequence[KeptRun]) -> str:
    """Versions, machine and time of the kept runs, and which runs are missing."""
    contents = [run.content for run in runs]
    cards = sorted({f"{one['id']} (card {one['card_sha256'][:12]})" for one in contents})
    versions = sorted({one["version"] for one in contents})
    machines = sorted({_machine(one["machine"]) for one in contents})
    libraries = sorted({f"{name} {own}" for one in contents for name, own in one.get("libraries", {}).items()})
    trained = [one for one in contents if one["steps"]]  # the others took no time
    took = span([one.get("seconds") for one in trained], "s of training a run")
    worked = span([one.get("processor_seconds") for one in trained], "s of processor time")
    parts = [", ".join(cards), ", ".join([f"rec_gym {', '.join(versions)}", *libraries]), "; ".join(machines)]
    text = f"{'; '.join(filter(None, [*parts, took or 'time not kept', worked]))}."
    there = {run.name for run in runs}
    missing = [run.name for run in experiment.runs if run.name not in there]
    return text + (f" {NOT_RUN} Missing: {', '.join(missing)}." if missing else "")


def span(seconds: Sequence[float | None], what: str) -> str:
    """The range of some times, and how many are known unless all are; empty if none is."""
    known = sorted(value for value in seconds if value is not None)
    ends = dict.fromkeys(f"{value:,.0f}" for value in known[:1] + known[-1:])
    some = f" ({len(known)} of {len(seconds)} runs)" if len(known) < len(seconds) else ""
    return f"{' to '.join(ends)} {what}{some}" if known else ""


def _machine(machine: dict[str, object]) -> str:
    """Processor, cores, GPU if named, and Python."""
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    return f"{machine['processor']}, {machine['cores']} cores{gpu}, Python {machine['python']}"


def repeat(experiment: Experiment) -> str:
    """How to repeat the experiment, and the command of one run of each kind."""
    needs_data = any(DATA in part or FOLDS in part for run in experiment.runs for part in run.command)
    line = f"python -m benchmarks.learning run {experiment.name}" + (" --data DATA" if needs_data else "")
    firsts = {run.arm: run for run in reversed(experiment.runs) if not run.same_as}
    outputs = {arm: f"runs/learning/{experiment.name}/{run.name}" for arm, run in firsts.items()}
    commands = [shown(firsts[arm].command, outputs[arm]) for arm in experiment.arms if arm in firsts]
    install = [install_line(experiment.extra)]
    install += [f"pip install {experiment.packages}"] if experiment.packages else []
    makes = [shown(command, "") for _, command in experiment.prepares]
    again = sorted({source(experiment, run)[0].name for run in experiment.runs if run.same_as})
    shared = f" (those of {', '.join(again)} are used again)" if again else ""
    text = "\n".join([*install, line, *makes, *commands])
    return f"All runs{shared}, and the first of each kind alone:\n\n```bash\n{text}\n```"


def install_line(extras: str) -> str:
    """How to install extras in a clone; the constraints keep torch small."""
    if not WITH_TORCH.intersection(extras.split(",")):
        return f"pip install -e '.[{extras}]'"
    return f"pip install -c constraints.txt -e '.[{extras}]'  # without -c, torch pulls in several gigabytes"


def shown(command: Sequence[str], output: str) -> str:
    """A command as a user types it."""
    parts = []
    for part in command:
        for word, text in {**SHOWN, OUTPUT: output}.items():
            part = part.replace(word, text)
        parts.append(shlex.quote(part))
    return f"python {' '.join(parts)}"


def image(experiment: Experiment) -> str:
    """The plot of an experiment, from the page's folder."""
    return f"{IMAGES}/results-{experiment.name}.png"


def measured(page: Path, name: str) -> str:
    """The text between the marks of an experiment in a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- measured {name}: begin -->", f"<!-- measured {name}: end -->"
    return text.partition(begin)[2].partition(end)[0].strip()
