"""The tables of the page, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from statistics import stdev

from benchmarks.learning.experiments import RAW, TRAINED, UNTRAINED, Experiment
from benchmarks.learning.scores import MEAN, Archive, KeptRun, Scores, Versus, mean_of, versus
from rec_gym.evaluation import Comparison, Difference, Evaluation, Interval, compare, stratified_mean, stratum_weights
from rec_gym.evaluation.compare import TOO_FEW

LABELS = {
    RAW: "raw query",
    "rm3": "RM3 (reads the catalogue)",
    "oracle": "oracle (knows what is wanted)",
    "filter-rule": "prices and sizes as filters, by rule",
    "last-title": "the last title, by rule",
}
TEXT = (("words", "length"), ("repeated", "repetition"), ("copied", "copy"))  # on a split, and in a curve
NONE = "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores_table(columns: Mapping[str, Scores], measure: str, brief: Container[str] = ()) -> str:
    """Raw query, references, every run and the mean over runs; one column per split.

    Args:
        columns: the scores of each split; all have the same arms and runs.
        measure: which.
        brief: arms of which only the mean is shown, because their runs are in another table.
    """
    first = next(iter(columns.values()))
    every = list(columns.values())
    rows = [[LABELS[RAW], *(raw_cell(one, measure) for one in every)]]
    for place, reference in enumerate(first.references):
        cells = [
            interval_cell(compare([one.references[place]], [measure]).means[reference.name][measure]) for one in every
        ]
        rows.append([LABELS[reference.name], *cells])
    for arm, runs in first.arms.items():
        for run in runs if arm not in brief or len(runs) == 1 else ():
            cells = [interval_cell(one.seeds[arm].means[run.name][measure]) for one in every]
            rows.append([run_label(run.name, arm), *cells])
        if len(runs) > 1:
            cells = [deviation_cell(one.seeds[arm], one.arms[arm], measure) for one in every]
            rows.append([f"{arm}, mean of {len(runs)} (± deviation)", *cells])
    return table([measure, *columns], rows)


def differences_table(columns: Mapping[str, Scores], measure: str, brief: Container[str] = ()) -> str:
    """Paired differences to the raw query of every run and of the mean over runs; arguments as for `scores_table`."""
    first = next(iter(columns.values()))
    every = list(columns.values())
    rows = []
    for arm, runs in first.arms.items():
        for run in runs if arm not in brief or len(runs) == 1 else ():
            cells = [difference_cell(one.seeds[arm].differences[run.name][measure]) for one in every]
            rows.append([run_label(run.name, arm), *cells])
        if len(runs) > 1:
            cells = [difference_cell(one.means[arm].differences[MEAN][measure]) for one in every]
            rows.append([f"**{arm}, mean of {len(runs)}**", *cells])
    return table([f"{measure}, above the raw query", *columns], rows)


def untrained_table(columns: Mapping[str, Scores], measure: str) -> str:
    """The mean over trained runs above the same model before training; empty if that was not evaluated."""
    if not all(UNTRAINED in one.arms and TRAINED in one.arms for one in columns.values()):
        return ""
    cells = []
    for one in columns.values():
        before, after = mean_of(one.arms[UNTRAINED], UNTRAINED), mean_of(one.arms[TRAINED], TRAINED)
        cells.append(difference_cell(compare([before, after], [measure]).differences[TRAINED][measure]))
    return table([f"{measure}, above the untrained model", *columns], [[f"**{TRAINED}**", *cells]])


def versus_differences(
    columns: Mapping[str, Scores], arms: tuple[str, str], measures: Sequence[str]
) -> dict[str, dict[str, Versus]]:
    """For each split and measure one arm above the other; empty if they share no seed."""
    pairs = {split: paired_arms(*(one.arms.get(arm, []) for arm in arms)) for split, one in columns.items()}
    if not all(first for first, _ in pairs.values()):
        return {}
    return {split: versus(*pair, measures) for split, pair in pairs.items()}


def versus_table(found: Mapping[str, Mapping[str, Versus]], arms: tuple[str, str]) -> str:
    """One arm against the other: over requests, and seed by seed; one column per split."""
    rows = []
    for measure in next(iter(found.values())):
        rows.append([measure, *(difference_cell(one[measure].over_requests) for one in found.values())])
        rows.append([f"{measure}, seed by seed", *(seeds_cell(one[measure]) for one in found.values())])
    return table([f"{arms[1]} above {arms[0]}, means of the same seeds", *found], rows)


def paired_arms(first: list[Evaluation], second: list[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
    """The runs of those seeds that both arms have."""
    by_seed = [{one.name.rpartition("seed-")[2]: one for one in arm} for arm in (first, second)]
    shared = [seed for seed in by_seed[0] if seed in by_seed[1]]
    return [by_seed[0][seed] for seed in shared], [by_seed[1][seed] for seed in shared]


def strata_table(columns: Mapping[str, Scores], measure: str) -> str:
    """The raw query and the mean over runs by the number of asked attributes, and with the first split's mix of them."""
    splits, every = list(columns), list(columns.values())
    weights = stratum_weights(every[0].raw)
    rows = []
    for asked in sorted({value for one in every for value in stratum_weights(one.raw)}):
        picked = [one.raw.strata["asked"] == asked for one in every]
        sizes = [str(int(chosen.sum())) for chosen in picked]
        label = f"asked {asked:.0f} ({', '.join(sizes if len(set(sizes)) > 1 else sizes[:1])} requests)"
        for name, found in (("raw", _raws(every)), ("trained", _means(every))):
            cells = [
                decimals(one.values(measure)[chosen].mean()) if chosen.any() else NONE
                for one, chosen in zip(found, picked, strict=True)
            ]
            rows.append([f"{label}: {name}", *cells])
    for name, found in (("raw", _raws(every)), ("trained", _means(every))):
        cells = [covered_cell(stratified_mean(one, weights, measure)) for one in found]
        rows.append([f"in the mix of {splits[0]}: {name}", *cells])
    return table([measure, *splits], rows)


def _raws(every: Sequence[Scores]) -> list[Evaluation]:
    return [one.raw for one in every]


def _means(every: Sequence[Scores]) -> list[Evaluation]:
    return [mean_of([run for runs in one.arms.values() for run in runs], MEAN) for one in every]


def folds_table(archive: Archive, experiment: Experiment, measure: str) -> str:
    """Raw query and trained policy on each fold."""
    rows = []
    [split] = experiment.splits
    for run in archive.runs(experiment):
        raw, trained = archive.evaluation(run, split, RAW), archive.evaluation(run, split, TRAINED)
        if raw is not None and trained is not None:
            means = [float(one.values(measure).mean()) for one in (raw, trained)]
            cells = [decimals(means[0]), decimals(means[1]), signed(means[1] - means[0])]
            rows.append([run.name.replace("-", " "), str(len(raw)), *cells])
    return table(["", "requests", "raw query", "trained", "difference"], rows)


def text_table(runs: Sequence[KeptRun], split: str) -> str:
    """What the text looks like: drawn at the start and the end of training, and as evaluated on a split."""
    rows = []
    for run in runs:
        curve, cells = run.content["curve"], []
        text = run.content["evaluations"][split]["policies"][TRAINED]["text"]
        for name, column in TEXT:
            drawn = [point_cell(curve, column, place) for place in (0, -1)]
            cells += [" → ".join(drawn) if column in curve else NONE, f"{text[name]:.2f}"]
        rows.append([run_label(run.name, run.arm), *cells])
    return table(["", *(f"{name}, {when}" for name, _ in TEXT for when in ("start → end", split))], rows)


def examples_table(runs: Sequence[KeptRun]) -> str:
    """What the first run that has examples writes; empty if none has."""
    for run in runs:
        if run.content.get("examples"):
            rows = [[escaped(one["request"]), escaped(one["written"])] for one in run.content["examples"]]
            return table(["request of test", f"{run_label(run.name, run.arm)} adds"], rows)
    return ""


def filters_table(runs: Sequence[KeptRun], splits: Sequence[str]) -> str:
    """Filters that are set, and how many of them the shopper insists on; empty if no run sets any."""
    counted = [(run_label(run.name, run.arm), run.content["filters"]) for run in runs if run.content.get("filters")]
    if not counted:
        return ""
    first = counted[0][1]
    asked = [f"{first[TRAINED][split]['asked']} ({first[TRAINED][split]['numbers_asked']})" for split in splits]
    named = [(LABELS[name], counts) for name, counts in first.items() if name != TRAINED]
    named += [(label, one[TRAINED]) for label, one in counted]
    rows = [[label, *(filters_cell(counts[split]) for split in splits)] for label, counts in named]
    rows = [["insisted on (of them numbers)", *asked], *rows]
    set_by_runs = [own for _, one in counted for own in one[TRAINED].values()]
    every = sum(own["set"] for own in set_by_runs)
    of_texts = every - sum(own["numbers_set"] for own in set_by_runs)
    foot = f"Of the {every:,} filters that the runs set, {of_texts:,} are on columns of text."
    return f"{table(['filters that are right, of those set', *splits], rows)}\n\n{foot}"


def filters_cell(counts: Mapping[str, int]) -> str:
    """How many filters are right, of those set."""
    return f"{counts['right']} of {counts['set']}"


def point_cell(curve: Mapping[str, Sequence[float | None]], column: str, place: int) -> str:
    """A curve's value at its first or last point."""
    value = curve[column][place] if column in curve else None
    return NONE if value is None else f"{value:.2f}"


def raw_cell(scores: Scores, measure: str) -> str:
    """The raw query's mean and interval."""
    return interval_cell(next(iter(scores.seeds.values())).means[RAW][measure])


def decimals(value: float, sign: str = "") -> str:
    """Three decimals. Halfway values are rounded alike on every machine, whatever their last bits."""
    return f"{round(value, 9):{sign}.3f}"


def signed(value: float) -> str:
    """Three decimals and a sign."""
    return decimals(value, "+")


def interval_cell(interval: Interval) -> str:
    """A mean and its interval."""
    if interval.no_interval:
        return f"{decimals(interval.mean)} {TOO_FEW}"
    return f"{decimals(interval.mean)} [{decimals(interval.low)}, {decimals(interval.high)}]"


def covered_cell(interval: Interval) -> str:
    """A mean over strata; if some are missing, also the share that is covered."""
    share = "" if interval.covered > 0.9995 else f" ({interval.covered:.0%} of the mix)"
    return interval_cell(interval) + share


def deviation_cell(comparison: Comparison, runs: Sequence[Evaluation], measure: str) -> str:
    """The mean over runs and the sample standard deviation."""
    means = [comparison.means[run.name][measure].mean for run in runs]
    return f"**{decimals(math.fsum(means) / len(means))}** (± {decimals(stdev(means))})"


def difference_cell(difference: Difference) -> str:
    """A paired difference, its interval and its corrected p value."""
    p = "p < 0.001" if difference.p_holm < 0.001 else f"p = {decimals(difference.p_holm)}"
    bounds = TOO_FEW if difference.no_interval else f"[{signed(difference.low)}, {signed(difference.high)}]"
    return f"{signed(difference.mean)} {bounds}, {p}"


def seeds_cell(found: Versus) -> str:
    """The differences of the seeds, and the p value over them."""
    each = ", ".join(signed(value) for value in found.by_seed)
    return each if math.isnan(found.p_trainings) else f"{each}; p = {decimals(found.p_trainings)}"


def run_label(name: str, arm: str) -> str:
    """`gated-seed-3` of the arm `gated` reads `gated, seed 3`."""
    rest = name.removeprefix(f"{arm}-").replace("-", " ")
    return f"{arm}, {rest}"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|") or "(nothing)"
