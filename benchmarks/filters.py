"""What a filter costs: rankings of the items that pass against rankings of all, in one run, interleaved.

    python -m benchmarks.filters --rewrites FILE [--quick]

A column of random numbers is added to the corpus, and a filter `("draw", "<=", share)` passes that share of the items.
Every query of a batch has the same filter; what is measured does not depend on that. BM25 is given texts, exact dense
search random unit vectors. All run on one thread. Times are CPU times, medians over rounds in which the shares take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.corpora import CORPORA, LOADS, query_shapes
from benchmarks.engine import machine
from benchmarks.pages import DOCS, write_section
from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.filters import Filter, FilterTable
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.dense.exact import ExactSearch

SHARES = (0.01, 0.1, 0.5)
DEPTHS = (100, 1000)
QUERIES, DENSE_QUERIES = 256, 8
DIMENSIONS, DENSE_ITEMS = 128, 300_000
VERSIONS = ("processor", "python", "date", "numpy", "numba", "pyarrow")

Call = Callable[[str, list[Filter] | None], object]


def filters_of(share: float, count: int) -> list[Filter]:
    """For each of `count` queries, the filter that passes a share of the items."""
    return [(("draw", "<=", share),)] * count


def choices_of(count: int) -> dict[str, list[Filter] | None]:
    """What is compared: no filter, and each share."""
    return {"no filter": None} | {f"{share:.0%}": filters_of(share, count) for share in SHARES}


def measure(call: Call, count: int, rounds: int) -> dict[str, Any]:
    """Milliseconds per query without a filter, and with each share as a multiple; medians over rounds.

    Args:
        call: ranks `count` queries; gets the name of the choice, and its filters.
        count: how many queries.
        rounds: how many rounds, after one that warms up.
    """
    choices = choices_of(count)
    times: dict[str, list[float]] = {name: [] for name in choices}
    for number in range(rounds + 1):
        for name, filters in choices.items():
            start = time.process_time()
            call(name, filters)
            if number:
                times[name].append(1000 * (time.process_time() - start) / count)
    row: dict[str, Any] = {"no filter, ms": statistics.median(times["no filter"])}
    for name in list(choices)[1:]:
        ratios = [own / base for own, base in zip(times[name], times["no filter"], strict=True)]
        row[f"{name} pass"] = f"{statistics.median(times[name]):.3f} ({statistics.median(ratios):.2f})"
    return row


def bm25_rows(size: int, rewrites: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """BM25 on the Zipf corpus: lists, and ranks of three items per query without a list."""
    source = CORPORA["zipf"]()
    table = source.catalog(size).table
    catalog = Catalog(table.append_column("draw", pa.array(np.random.default_rng(3).random(size))))
    recommender = BM25(fields="text", threads=1).fit(catalog)
    for load in ("short", "mid"):
        queries = source.queries(query_shapes(rewrites, *LOADS[load]), QUERIES)
        # Three items of each query's first 50, of those that pass.
        wanted = {}
        for name, filters in choices_of(len(queries)).items():
            best = recommender.rank(queries, 50, filters=filters).items
            wanted[name] = Ragged.from_rows([row[row >= 0][4::20] for row in best], np.int32)
        for k in DEPTHS:

            def lists(name: str, filters: list[Filter] | None, k: int = k, queries: list[str] = queries) -> object:
                return recommender.rank(queries, k, filters=filters)

            def ranks(
                name: str,
                filters: list[Filter] | None,
                k: int = k,
                queries: list[str] = queries,
                wanted: dict[str, Ragged] = wanted,
            ) -> object:
                return recommender.rank_of(queries, wanted[name], k, filters=filters)

            for what, call in (("rank", lists), ("rank_of", ranks)):
                yield {"engine": f"bm25, {what}", "items": f"{size:,}", "load": load, "k": k} | measure(
                    call, len(queries), rounds
                )


def dense_rows(size: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Exact search over random unit vectors."""
    size = min(size, DENSE_ITEMS)
    draw = np.random.default_rng(5)
    table = FilterTable(pa.table({"draw": draw.random(size)}))
    vectors = draw.standard_normal((size + DENSE_QUERIES, DIMENSIONS), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    search, queries = ExactSearch(vectors[DENSE_QUERIES:]), vectors[:DENSE_QUERIES]
    for k in DEPTHS:

        def call(name: str, filters: list[Filter] | None, k: int = k) -> object:
            return search.rank(queries, k, None, None if filters is None else table.ranges(filters))

        yield {"engine": f"dense, flat, {DIMENSIONS}-d", "items": f"{size:,}", "load": "random", "k": k} | measure(
            call, DENSE_QUERIES, rounds
        )


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    return "| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else f"{v}" for v in row.values()) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.filters")
    known = os.environ.get("REC_GYM_REWRITES")
    parser.add_argument(
        "--rewrites",
        type=Path,
        default=known,
        required=known is None,
        help="JSONL of real queries: task, policy, query (or REC_GYM_REWRITES)",
    )
    parser.add_argument("--quick", action="store_true", help="100,000 items, few rounds")
    parser.add_argument("--items", type=int, default=1_200_000, help="size of the corpus")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median is taken")
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md too")
    options = parser.parse_args(arguments)
    if options.quick:
        options.items, options.rounds = 100_000, 3
    stamp = ", ".join(f"{name} {value}" for name, value in machine().items() if name in VERSIONS)
    lines = [stamp, ""]
    for row in [
        *bm25_rows(options.items, options.rewrites, options.rounds),
        *dense_rows(options.items, options.rounds),
    ]:
        if len(lines) == 2:
            lines += ["| " + " | ".join(row) + " |", "|" + "---|" * len(row)]
        lines.append(line(row))
        print(lines[-1], flush=True)
    if options.page:
        write_section(DOCS / "performance.md", "filters", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
