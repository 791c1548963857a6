"""How often the intervals of the tables contain the true mean, in simulations with a known true mean.

    python -m benchmarks.statistics [--quick] [--page]

Values are like NDCG@100 with one relevant item: 0 with a given probability, else 1 / log2(rank + 1) of a rank from 1 to
100, drawn with probabilities proportional to 1 / rank. A difference is 0 with the given probability, else such a value, of
which three in ten are negative. Requests of one user are correlated through a Gaussian copula. Every simulation is a
series of one call of the package's own function, so the simulations of a cell share the draws of the bootstrap, but no
data.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from scipy import stats
from scipy.special import ndtr

from benchmarks.pages import DOCS, write_section
from rec_gym._version import __version__
from rec_gym.evaluation.intervals import CONFIDENCE, LEAST_OTHERS, LEAST_UNITS, other_values, student_bounds
from rec_gym.evaluation.resampling import Units, batches, units_of

PAGE = DOCS / "statistics.md"
REQUESTS, USERS, ZEROS = (10, 20, 50, 100, 300, 1000), (6, 12, 30, 100), (0.0, 0.5, 0.85, 0.95)
MEAN, DIFFERENCE = "mean", "paired difference"
CORRELATION = 0.3  # of the normal variables behind two requests of one user
NEGATIVE = 0.3  # share of the differences other than 0
AT_ONCE = 1000  # series per call, to limit the memory
_RANKS = np.arange(1, 101)
_CHANCES = (1 / _RANKS) / (1 / _RANKS).sum()
_VALUES = 1 / np.log2(_RANKS + 1)
_ASCENDING, _CUMULATED = _VALUES[::-1], np.cumsum(_CHANCES[::-1])


class Cell(NamedTuple):
    """What is simulated.

    Attributes:
        kind: of the values, `MEAN` or `DIFFERENCE`.
        units: requests, or users.
        zeros: share of the values that are 0.
        users: `""` for single requests; `"several"` requests for each user, 5 on average and at most 20; or an `"uneven"`
            number of them, lognormal with deviation 1.2.
    """

    kind: str
    units: int
    zeros: float
    users: str = ""

    @property
    def truth(self) -> float:
        """The true mean."""
        mean = (1 - self.zeros) * float(_CHANCES @ _VALUES)
        return mean if self.kind == MEAN else mean * (1 - 2 * NEGATIVE)


class Result(NamedTuple):
    """The result of a cell.

    Attributes:
        percentile: coverage of the percentile bootstrap.
        percentile_width: median width of its intervals.
        student: coverage of the package's bounds, whether they are printed or not.
        student_width: median width.
        printed: share of the simulations in which the package prints an interval.
        of_printed: coverage of those; NaN if there are none.
    """

    percentile: float
    percentile_width: float
    student: float
    student_width: float
    printed: float
    of_printed: float

    @property
    def misses(self) -> float:
        """Share of all simulations in which an interval is printed that misses the true mean."""
        return self.printed * (1 - self.of_printed) if self.printed else 0.0


def requests_of(cell: Cell) -> np.ndarray:
    """How many requests each user has; the same in every simulation of a cell."""
    if cell.users == "several":
        return np.minimum(np.random.default_rng(cell.units).geometric(0.2, cell.units), 20)
    if cell.users == "uneven":
        places = (np.arange(cell.units) + 0.5) / cell.units
        return np.ceil(3 * np.exp(1.2 * stats.norm.ppf(places))).astype(np.int64)
    return np.ones(cell.units, np.int64)


def simulate(cell: Cell, simulations: int, generator: np.random.Generator) -> Units:
    """Data of a cell; a series is a simulation."""
    counts = requests_of(cell)
    user = np.repeat(np.arange(cell.units), counts)
    normal = generator.standard_normal((len(user), simulations))
    if cell.users:
        shared = generator.standard_normal((cell.units, simulations))[user]
        normal = np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * normal
    uniform = ndtr(normal)
    if cell.kind == MEAN:
        values = _at_quantile((uniform - cell.zeros) / (1 - cell.zeros))
    else:
        below = NEGATIVE * (1 - cell.zeros)
        above = _at_quantile((uniform - below - cell.zeros) / (1 - below - cell.zeros))
        values = above - _at_quantile(1 - uniform / below)
    return units_of(values, [str(one) for one in user] if cell.users else ())


def _at_quantile(share: np.ndarray) -> np.ndarray:
    """The value below which a share of the values lies; 0 for a share that is not a positive number."""
    place = np.minimum(np.searchsorted(_CUMULATED, share, side="right"), len(_VALUES) - 1)
    return np.where(share > 0, _ASCENDING[place], 0.0)


def percentile_bounds(units: Units, *, seed: int = 0, resamples: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """The percentile bootstrap of SciPy, units resampled: lower and upper bounds, float64 [series]."""
    size = len(units.counts)

    def means(drawn: np.ndarray, axis: int) -> np.ndarray:
        rows = drawn.astype(np.int64).reshape(-1, size)
        cells = (rows + np.arange(len(rows))[:, None] * size).ravel()
        times = np.bincount(cells, minlength=rows.size).reshape(rows.shape).astype(np.float64)
        return (times @ units.sums / (times @ units.counts)[:, None]).T

    found = stats.bootstrap(
        (np.arange(size),),
        means,
        n_resamples=resamples,
        batch=next(batches(size, resamples)),
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return found.low, found.high


def measure(cell: Cell, simulations: int, resamples: int, seed: int = 0) -> Result:
    """Coverage and widths of a cell."""
    generator = np.random.default_rng([seed, cell.units, int(1000 * cell.zeros), len(cell.kind), len(cell.users)])
    parts = []
    for start in range(0, simulations, AT_ONCE):
        units = simulate(cell, min(AT_ONCE, simulations - start), generator)
        bounds = [method(units, seed=start, resamples=resamples) for method in (percentile_bounds, student_bounds)]
        held = [(low <= cell.truth + 1e-12) & (high >= cell.truth - 1e-12) for low, high in bounds]
        widths = [high - low for low, high in bounds]
        enough = other_values(units.sums / units.counts[:, None]) >= LEAST_OTHERS
        parts.append(np.array([*held, *widths, enough & (len(units.counts) >= LEAST_UNITS)], np.float64))
    old, new, old_width, new_width, printed = np.concatenate(parts, axis=1)
    of_printed = float(new[printed > 0].mean()) if printed.any() else float("nan")
    medians = float(np.median(old_width)), float(np.median(new_width))
    return Result(float(old.mean()), medians[0], float(new.mean()), medians[1], float(printed.mean()), of_printed)


def grid(quick: bool) -> list[Cell]:
    """The cells."""
    requests, users = ((20, 100), (12, 30)) if quick else (REQUESTS, USERS)
    cells = []
    for kind in (MEAN, DIFFERENCE):
        cells += [Cell(kind, units, zeros) for units in requests for zeros in ZEROS]
        cells += [Cell(kind, units, zeros, "several") for units in users for zeros in ZEROS]
        cells += [Cell(kind, units, zeros, "uneven") for units in users[1:3] for zeros in (0.0, 0.85)]
    return cells


def table(results: dict[Cell, Result], users: str, kind: str) -> str:
    """The cells of one kind, as Markdown."""
    unit = f"users, {users} requests of each" if users else "requests"
    lines = [
        f"| {unit} | zeros | percentile | width | ours | width | interval printed | coverage of those | printed and wrong |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell, one in results.items():
        if (cell.users, cell.kind) == (users, kind):
            of_printed = f"{one.of_printed:.3f}" if one.printed else "–"
            width = f"{one.student_width:.3f}" if one.student_width < 100 else "no bound"
            lines.append(
                f"| {cell.units:,} | {cell.zeros:.0%} | {one.percentile:.3f} | {one.percentile_width:.3f} | {one.student:.3f} "
                f"| {width} | {one.printed:.0%} | {of_printed} | {one.misses:.3f} |"
            )
    return "\n".join(lines)


def summary(results: dict[Cell, Result]) -> str:
    """The extremes of both methods, in words."""
    # Where an interval is rare, those that are printed are of samples that show more than there is.
    usual = {cell: one for cell, one in results.items() if one.printed >= 0.3}
    old = min(usual, key=lambda cell: results[cell].percentile)
    new = min(usual, key=lambda cell: results[cell].of_printed)
    wrong = max(results, key=lambda cell: results[cell].misses)
    wider = np.median([one.student_width / one.percentile_width for one in usual.values()])
    return (
        f"Where at least three in ten simulations have an interval, the lowest coverage of the percentile bootstrap is "
        f"{results[old].percentile:.3f} ({_words(old)}), that of our printed intervals {results[new].of_printed:.3f} "
        f"({_words(new)}); ours are {wider:.2f} times as wide (median over cells). In no cell is more than "
        f"{results[wrong].misses:.1%} of all simulations printed and wrong."
    )


def _words(cell: Cell) -> str:
    unit = f"{cell.units} users with {cell.users} requests" if cell.users else f"{cell.units} requests"
    return f"{cell.kind}, {unit}, {cell.zeros:.0%} zeros"


def speed() -> str:
    """CPU time of both methods for a table of usual size."""
    values = np.random.default_rng(0).random((5000, 12))
    spent = []
    for method in (percentile_bounds, student_bounds):
        start = time.process_time()
        method(units_of(values))
        spent.append(time.process_time() - start)
    return (
        f"5,000 requests, 12 series and 10,000 resamples take {spent[1]:.1f} s of CPU time (the percentile bootstrap: "
        f"{spent[0]:.1f} s)."
    )


def report(results: dict[Cell, Result], simulations: int, resamples: int, seconds: float) -> str:
    """The measured part of the page."""
    error = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / simulations)
    parts = [
        f"{simulations:,} simulations of each cell, {resamples:,} resamples in each; a coverage of .95 has a Monte Carlo error "
        f"of ± {error:.4f} (one standard error).",
        summary(results),
    ]
    for users, title in (("", "requests"), ("several", "users"), ("uneven", "users with uneven numbers of requests")):
        for kind in (MEAN, DIFFERENCE):
            parts += [f"### {kind.capitalize()}, {title}", table(results, users, kind)]
    parts.append(
        f"{speed()} rec_gym {__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}, Python "
        f"{platform.python_version()}, {platform.machine()}, {seconds:,.0f} s of CPU time in all, {time.strftime('%Y-%m-%d')}."
    )
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.statistics")
    parser.add_argument("--quick", action="store_true", help="few cells, 500 simulations of each")
    parser.add_argument("--simulations", type=int, default=4000, help="simulations of each cell")
    parser.add_argument("--resamples", type=int, default=2000, help="resamples in each simulation")
    parser.add_argument("--page", action="store_true", help=f"write the tables into docs/{PAGE.name} too")
    options = parser.parse_args(arguments)
    simulations = 500 if options.quick else options.simulations
    start, results = time.process_time(), {}
    for cell in grid(options.quick):
        results[cell] = measure(cell, simulations, options.resamples)
        print(_words(cell), *(f"{value:.3f}" for value in (*results[cell], results[cell].misses)), flush=True)
    text = report(results, simulations, options.resamples, time.process_time() - start)
    if options.page:
        write_section(PAGE, "statistics", text)
    print(text)


if __name__ == "__main__":
    main()
