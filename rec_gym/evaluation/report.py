"""Reports of a comparison: a readable table, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import math
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from rec_gym.cache import atomic_path, write_json
from rec_gym.evaluation.compare import TOO_FEW, Comparison, Difference, Interval
from rec_gym.evaluation.evaluate import REWARD, Evaluation
from rec_gym.evaluation.intervals import LEAST_OTHERS, LEAST_UNITS
from rec_gym.loop.text_stats import COPY, LENGTH, REPETITION

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_NAME_WIDTH = 24  # of a policy, if the terminal is narrow
# Names of columns, and the statistics that they average.
_TEXT_COLUMNS = {"words": LENGTH, "repeated": REPETITION, "copied": COPY}
_CSV_COLUMNS = (
    "id", "card_sha256", "version", "split", "policy", "reference", "n", "samples", "seed", "measure", "mean", "low",
    "high", "difference", "difference_low", "difference_high", "p", "p_holm", "words", "repeated", "copied", "parse_ok",
    "clipped", "turns", "spread", "no_interval", "difference_no_interval", "lower_is_better",
)  # fmt: skip


def text_summary(evaluation: Evaluation) -> dict[str, float]:
    """Means that show what a policy's text looks like: `words`, `repeated`, `copied`, `parse_ok`, `clipped`, `turns`."""
    means = {name: float(evaluation.text_stats[stat].mean()) for name, stat in _TEXT_COLUMNS.items()}
    shares = {name: float(getattr(evaluation, name).mean()) for name in ("parse_ok", "clipped", "turns")}
    return means | shares


class _Column(NamedTuple):
    header: str
    cells: list[str]
    right: bool = True

    @property
    def width(self) -> int:
        """Its width in characters, including borders."""
        from rich.cells import cell_len

        return max(cell_len(line) for text in (self.header, *self.cells) for line in text.splitlines() or [""]) + 3


def make_table(comparison: Comparison) -> Table:
    """The comparison as a rich table.

    A policy's cell holds the mean and its interval and, below, the difference to the first policy and its corrected p
    value. References are marked with `*`, and a column whose lower values are better says so.
    """
    return _table(_columns(comparison, narrow=False))


def _table(columns: Sequence[_Column]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column.header, justify="right" if column.right else "left", overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table


def _columns(comparison: Comparison, narrow: bool) -> list[_Column]:
    """The columns of the table; narrow ones hold one number per line."""
    evaluations = comparison.evaluations
    summaries = [text_summary(evaluation) for evaluation in evaluations]
    shown = [*_TEXT_COLUMNS, "parse_ok", *(["clipped"] if any(s["clipped"] for s in summaries) else [])]
    names = [e.name + ("*" if e.reference else "") for e in evaluations]
    lower = evaluations[0].lower_is_better
    if narrow:
        names = ["\n".join(textwrap.wrap(name, _NAME_WIDTH)) for name in names]
    return [
        _Column("policy", names, right=False),
        _Column("n", [f"{len(e):,}" for e in evaluations]),
        *(
            _Column(
                f"{name}\nlower is better" if name in lower else name,
                [_cell(comparison, e.name, name, "\n" if narrow else " ") for e in evaluations],
                right=False,
            )
            for name in comparison.measures
        ),
        *(
            _Column(
                name.replace("_", " "), [f"{s[name]:.1f}" if name == "words" else f"{s[name]:.2f}" for s in summaries]
            )
            for name in shown
        ),
        *_spread_columns(evaluations),
    ]


def _spread_columns(evaluations: Sequence[Evaluation]) -> list[_Column]:
    """The spread of a request's values over the shuffles of its candidates; no column if nothing was shuffled."""
    if not any(evaluation.spreads for evaluation in evaluations):
        return []
    name = evaluations[0].settings["reward"]["measure"]
    cells = [f"{e.spreads[name].mean():.4f}" if name in e.spreads else "" for e in evaluations]
    return [_Column(f"spread {name}", cells)]


def _tables(comparison: Comparison, width: int) -> Iterator[Table]:
    """The table, or if it is too wide, several that each begin with the policy."""
    columns = _columns(comparison, narrow=False)
    if sum(column.width for column in columns) < width:
        yield _table(columns)
        return
    policy, *rest = _columns(comparison, narrow=True)
    columns = [policy]
    for column in rest:
        if len(columns) > 1 and sum(c.width for c in (*columns, column)) >= width:
            yield _table(columns)
            columns = [policy]
        columns.append(column)
    yield _table(columns)


def heading(comparison: Comparison) -> str:
    """What was evaluated, in one line."""
    first = comparison.evaluations[0]
    return ", ".join(filter(None, (first.task_id, f"split {first.split}", f"{len(first):,} requests")))


def caption(comparison: Comparison) -> str:
    """What the numbers of the table are, in words."""
    resampled = f"{comparison.resamples:,} resamples over {comparison.units:,} {comparison.unit}"
    lines = [f"mean [95% interval], {resampled}"]
    if any(interval.no_interval for row in comparison.means.values() for interval in row.values()):
        lines.append(
            f"{TOO_FEW}: too few {comparison.unit} for a reliable interval: at least {LEAST_UNITS} are needed, at least "
            f"{LEAST_OTHERS} of them with a value other than the most common one"
        )
    others = len(comparison.evaluations) - 1
    if others:
        first = comparison.evaluations[0].name
        lines.append(
            f"below: paired difference to {first}, p of a sign-flip permutation test"
            + (f" with Holm's correction over {others} policies" if others > 1 else "")
        )
    reasons: dict[str, list[str]] = {}
    for evaluation in comparison.evaluations:
        if evaluation.reference:
            reasons.setdefault(evaluation.reference, []).append(evaluation.name)
    lines += [f"* {', '.join(names)}: a reference, not a policy ({reason})" for reason, names in reasons.items()]
    samples = comparison.evaluations[0].samples
    if samples > 1:
        lines.append(f"{samples} samples of each request, averaged first")
    if comparison.evaluations[0].spreads:
        shuffles = comparison.evaluations[0].settings["shuffles"]
        lines.append(
            f"{shuffles} shuffles of each request's candidates, averaged first; spread: their standard deviation, "
            "averaged over requests: the policy's position bias"
        )
    notes = comparison.evaluations[0].notes
    if notes:
        lines.append("the data's loader: " + "; ".join(f"{reason}: {count:,}" for reason, count in notes.items()))
    return "\n".join(lines)


def print_report(comparison: Comparison, file: TextIO | None = None) -> None:
    """Prints the table with its heading and caption; if the output is not a terminal, without colours and at full width."""
    from rich.console import Console

    console = Console(file=file, highlight=False)
    console.print(heading(comparison), markup=False, soft_wrap=True)
    if console.is_terminal:
        for table in _tables(comparison, console.width):
            console.print(table)
    else:
        print_table(console, make_table(comparison))
    console.print(caption(comparison), markup=False, soft_wrap=True)


def print_table(console: Console, table: Table) -> None:
    """Prints a rich table; if the output is not a terminal, cells are not wrapped for a width that nobody set."""
    if not console.is_terminal:
        console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table)


def evaluate_command(task_id: str, options: Sequence[str], split: str, policies: Sequence[str]) -> str:
    """The command line that evaluates policies on a split, as a shell takes it.

    Args:
        task_id: a registered id.
        options: further words of the command line, such as `["--set", "turns=1"]`.
        split: the requests.
        policies: their names; the others are compared to the first.
    """
    listed = ",".join(name.replace(",", r"\,") for name in policies)
    return shlex.join(["rec-gym", "evaluate", task_id, *options, "--split", split, "--policy", listed])


def as_json(comparison: Comparison, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The comparison as plain data, including every request, so that it can be compared again later.

    Args:
        comparison: the policies.
        extra: further entries of the top level, such as the settings that were overridden.
    """
    first = comparison.evaluations[0]
    return {
        **{key: value for key, value in first.origin.items() if key not in ("samples", "seed")},
        **(extra or {}),
        "statistics": {
            "resampled": comparison.unit,
            "units": comparison.units,
            "resamples": comparison.resamples,
            "seed": comparison.seed,
            "compared_to": first.name,
        },
        "policies": [_policy_json(comparison, evaluation) for evaluation in comparison.evaluations],
        "request_ids": first.request_ids,
        **({"users": first.users.tolist()} if comparison.unit == "users" else {}),
    }


def save_json(path: Path | str, comparison: Comparison, extra: Mapping[str, Any] | None = None) -> None:
    """Writes `as_json` to a file, atomically."""
    write_json(path, as_json(comparison, extra))


def save_csv(path: Path | str, comparison: Comparison) -> None:
    """Writes a CSV file, one row per policy and measure, atomically."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for evaluation in comparison.evaluations:
        policy = {"policy": evaluation.name, "reference": evaluation.reference}
        summary = {key: _number(value) for key, value in text_summary(evaluation).items()}
        for name in comparison.measures:
            interval = _interval_json(comparison.means[evaluation.name][name])
            difference = comparison.differences.get(evaluation.name, {}).get(name)
            writer.writerow(
                {**evaluation.origin, **policy, "measure": name, **interval, **_difference_csv(difference), **summary}
                | _spread_json(evaluation, name)
                | {"lower_is_better": name in evaluation.lower_is_better}
            )
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")


def _cell(comparison: Comparison, policy: str, measure: str, between: str) -> str:
    interval = comparison.means[policy][measure]
    text = f"{interval.mean:.4f}{between}{interval.bounds}"
    difference = comparison.differences.get(policy, {}).get(measure)
    if difference:
        p = "p < 0.001" if difference.p_holm < 0.001 else f"p = {difference.p_holm:.3f}"
        text += f"\n{difference.mean:+.4f}{between}{p}"
    return text


def _policy_json(comparison: Comparison, evaluation: Evaluation) -> dict[str, Any]:
    differences = comparison.differences.get(evaluation.name, {})
    measured = {
        name: {
            **_interval_json(interval),
            **_spread_json(evaluation, name),
            **({"lower_is_better": True} if name in evaluation.lower_is_better else {}),
            **({"difference": _difference_json(differences[name])} if name in differences else {}),
        }
        for name, interval in comparison.means[evaluation.name].items()
    }
    columns = {**evaluation.measures, REWARD: evaluation.rewards, **evaluation.text_stats}
    columns |= {name: getattr(evaluation, name) for name in ("parse_ok", "clipped", "turns")}
    columns |= {f"spread/{name}": values for name, values in evaluation.spreads.items()}
    return {
        "policy": evaluation.name,
        "reference": evaluation.reference,
        "samples": evaluation.samples,
        "seed": evaluation.seed,
        "measures": measured,
        "text": {key: _number(value) for key, value in text_summary(evaluation).items()},
        "requests": {name: values.tolist() for name, values in columns.items()},
    }


def _spread_json(evaluation: Evaluation, measure: str) -> dict[str, float]:
    """The mean spread over shuffles of the candidates, if there were any."""
    return {"spread": float(evaluation.spreads[measure].mean())} if measure in evaluation.spreads else {}


def _interval_json(interval: Interval) -> dict[str, float | str | None]:
    numbers = {name: _number(getattr(interval, name)) for name in ("mean", "low", "high")}
    return {**numbers, "no_interval": interval.no_interval or None}


def _difference_json(difference: Difference) -> dict[str, float | str | None]:
    numbers = {name: _number(getattr(difference, name)) for name in ("mean", "low", "high", "p", "p_holm")}
    return {**numbers, "no_interval": difference.no_interval or None}


def _difference_csv(difference: Difference | None) -> dict[str, float | str | None]:
    if difference is None:
        return {}
    values = _difference_json(difference)
    names = {key: f"difference_{key}" for key in ("low", "high", "no_interval")} | {"mean": "difference"}
    return {names.get(name, name): value for name, value in values.items()}


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
