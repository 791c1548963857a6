"""The engine against others: CPU time a query for the same work, in one run, interleaved.

    python -m benchmarks.engine --rewrites FILE [--quick]

Every engine ranks the same items for the same queries with its own BM25. `ours` is given texts and returns rankings (so
that its time holds analysis, equal queries, scoring and output); the others are given the words, already split, which is
in their favour. All run on one thread. Times are CPU times, medians over rounds in which the engines take turns; peak
memory and the cost of building are taken in a process of their own for each engine.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.corpora import CORPORA, LOADS, query_shapes, tokens_of
from benchmarks.pages import DOCS, write_section
from rec_gym.catalog import Catalog
from rec_gym.recommenders.bm25 import BM25

K1, B = 1.2, 0.75
DEPTH = {"short": 100, "mid": 1000, "long": 1000}
QUERIES = {"ours": 256, "bm25s-numba": 256, "bm25s": 16, "tantivy": 64, "rank_bm25": 2}
SMALL_ONLY = ("bm25s", "rank_bm25")  # they need tenths of a second to minutes per query on a million items
PACKAGES = ("numpy", "numba", "pyarrow", "bm25s", "tantivy", "rank_bm25")


class Engine(NamedTuple):
    """A fitted engine.

    Attributes:
        search: from queries and k to the engine's results; this is timed.
        items: from these to one array of item positions per query, best first; this is not timed.
    """

    search: Callable[[Sequence[str], int], Any]
    items: Callable[[Any], list[np.ndarray]]


@functools.cache
def words_of(query: str) -> list[str]:
    """The words of a query; split in the first round, which is not measured."""
    return tokens_of(query)


def ours(catalog: Catalog) -> Engine:
    """This package's engine, from texts."""
    recommender = BM25(k1=K1, b=B, threads=1).fit(catalog)
    return Engine(recommender.rank, lambda found: [row[row >= 0] for row in found.items])


def bm25s_numba(catalog: Catalog) -> Engine:
    """bm25s with its numba back end, from words."""
    return _bm25s(catalog, "numba")


def bm25s_default(catalog: Catalog) -> Engine:
    """bm25s with its default back end, from words."""
    return _bm25s(catalog, "numpy")


def _bm25s(catalog: Catalog, backend: str) -> Engine:
    import bm25s

    ids: dict[str, int] = {}
    corpus = [[ids.setdefault(w, len(ids)) for w in tokens_of(text)] for batch in catalog.texts() for text in batch]
    engine = bm25s.BM25(method="lucene", k1=K1, b=B, backend=backend)
    engine.index((corpus, ids), show_progress=False, create_empty_token=False)

    def search(queries: Sequence[str], k: int) -> Any:
        words = [words_of(query) for query in queries]
        return engine.retrieve(words, k=min(k, len(catalog)), show_progress=False, n_threads=1)

    return Engine(search, lambda found: [row[s > 0] for row, s in zip(found.documents, found.scores, strict=True)])


def tantivy(catalog: Catalog) -> Engine:
    """tantivy, one segment; a repeated word is a boost."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", index_option="freq")
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(heap_size=1_000_000_000, num_threads=1)
    for batch in catalog.texts():
        for text in batch:
            writer.add_document(tantivy.Document(text=" ".join(tokens_of(text))))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    if searcher.num_segments > 1:
        raise RuntimeError("tantivy kept several segments, so addresses are not items; raise the writer's heap")

    def query_of(text: str) -> Any:
        clauses = []
        for word, count in Counter(words_of(text)).items():
            query = tantivy.Query.term_query(schema, "text", word, index_option="freq")
            clauses.append(
                (tantivy.Occur.Should, tantivy.Query.boost_query(query, float(count)) if count > 1 else query)
            )
        return tantivy.Query.boolean_query(clauses)

    def search(queries: Sequence[str], k: int) -> Any:
        return [searcher.search(query_of(query), k, count=False).hits for query in queries]

    # One thread added the items in order to one segment, so an address is an item.
    return Engine(search, lambda found: [np.array([a.doc for _, a in hits], np.int64) for hits in found])


def rank_bm25(catalog: Catalog) -> Engine:
    """rank_bm25 and a partial sort."""
    from rank_bm25 import BM25Okapi

    engine = BM25Okapi([tokens_of(text) for batch in catalog.texts() for text in batch], k1=K1, b=B)

    def search(queries: Sequence[str], k: int) -> Any:
        found = []
        for query in queries:
            scores = engine.get_scores(words_of(query))
            best = np.argpartition(-scores, min(k, len(scores) - 1))[:k]
            found.append(best[np.argsort(-scores[best])])
        return found

    return Engine(search, list)


ENGINES: dict[str, Callable[[Catalog], Engine]] = {
    "ours": ours,
    "bm25s-numba": bm25s_numba,
    "bm25s": bm25s_default,
    "tantivy": tantivy,
    "rank_bm25": rank_bm25,
}


def _build_cost(engine: str, corpus: str, size: int, results: Any) -> None:
    """In a separate process: CPU seconds to build from text, and its peak resident memory."""
    catalog = CORPORA[corpus]().catalog(size)
    with tempfile.TemporaryDirectory() as home:  # without an index
        os.environ["REC_GYM_HOME"] = home
        start = time.process_time()
        ENGINES[engine](catalog)
        results.put((time.process_time() - start, _peak_mb()))


def _peak_mb() -> float:
    """Peak of this process's resident memory, including mapped files; NaN if the system does not report it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def build_costs(engines: Sequence[str], corpus: str, size: int) -> dict[str, dict[str, float]]:
    """Build cost of each engine, one process after the other."""
    context, costs = multiprocessing.get_context("spawn"), {}
    for engine in engines:
        results = context.Queue()
        process = context.Process(target=_build_cost, args=(engine, corpus, size, results))
        process.start()
        seconds, peak = results.get()
        process.join()
        costs[engine] = {"build CPU s": seconds, "peak MB": peak}
    return costs


def measure(engines: dict[str, Engine], queries: Sequence[str], k: int, rounds: int) -> list[dict[str, Any]]:
    """CPU and wall milliseconds per query of each engine, medians over rounds; and the overlap of its lists with ours."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    found: dict[str, list[np.ndarray]] = {}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            own = queries[: QUERIES[name]]
            cpu, wall = time.process_time(), time.perf_counter()
            result = engine.search(own, k)
            spent = (time.process_time() - cpu) / len(own), (time.perf_counter() - wall) / len(own)
            if number:  # the first round compiles and warms up
                times[name].append(spent)
            else:
                found[name] = engine.items(result)
    rows = []
    for name, values in times.items():
        cpu, wall = (1000 * statistics.median(column) for column in zip(*values, strict=True))
        rows.append(
            {"engine": name, "k": k, "CPU ms": cpu, "wall ms": wall, "overlap": _overlap(found[name], found["ours"])}
        )
    for row in rows:
        row["ratio"] = row["CPU ms"] / rows[0]["CPU ms"]
    return rows


def _overlap(theirs: list[np.ndarray], ours: list[np.ndarray]) -> float:
    """Mean share of our items that are also in the other engine's lists."""
    shares = []
    for a, b in zip(theirs, ours, strict=False):
        shares.append(len(np.intersect1d(a, b)) / max(len(b), 1))
    return float(np.mean(shares))


def run(corpus: str, size: int, engines: Sequence[str], rewrites: Path, rounds: int) -> dict[str, Any]:
    """The search measurements on a corpus of `size` items."""
    source = CORPORA[corpus]()
    catalog = source.catalog(size)
    fitted = {name: ENGINES[name](catalog) for name in engines}
    rows = []
    for load, (task, policy) in LOADS.items():
        queries = source.queries(query_shapes(rewrites, task, policy), max(QUERIES.values()))
        for row in measure(fitted, queries, DEPTH[load], rounds):
            rows.append({"corpus": corpus, "items": size, "load": load, **row})
            print(_line(rows[-1]), flush=True)
    return {"search": rows}


def _line(row: dict[str, Any]) -> str:
    return "| " + " | ".join(f"{v:,.3f}" if isinstance(v, float) else f"{v}" for v in row.values()) + " |"


def machine() -> dict[str, Any]:
    """Machine, versions and date of the figures."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {"processor": model, "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"), **versions}


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in report["machine"].items()), ""]
    for corpus in report["corpora"]:
        for part in ("search", "build"):
            rows = corpus.get(part, [])
            if rows:
                lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
                lines += [*map(_line, rows), ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.engine")
    known = os.environ.get("REC_GYM_REWRITES")
    parser.add_argument(
        "--rewrites",
        type=Path,
        default=known,
        required=known is None,
        help="JSONL of real queries: task, policy, query (or REC_GYM_REWRITES)",
    )
    parser.add_argument("--quick", action="store_true", help="100,000 items, few rounds, without the slowest engines")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), help="which texts")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_200_000], help="sizes of the corpora")
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="engines; ours always takes part"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken")
    parser.add_argument("--no-build", action="store_true", help="leave out the cost of building")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for engine.json and engine.md")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/performance.md too")
    options = parser.parse_args(arguments)
    if options.quick:
        options.items, options.rounds, options.no_build = [100_000], 3, True
        options.engines = [name for name in options.engines if name not in ("rank_bm25", "bm25s")]
    engines = ["ours", *(name for name in options.engines if name != "ours")]
    report: dict[str, Any] = {"machine": machine(), "corpora": []}
    for corpus, size in itertools.product(options.corpora, options.items):
        able = [name for name in engines if name not in SMALL_ONLY or size <= 100_000]
        part = run(corpus, size, able, options.rewrites, options.rounds)
        if not options.no_build:
            costs = build_costs(able, corpus, size)
            part["build"] = [{"corpus": corpus, "items": size, "engine": n, **cost} for n, cost in costs.items()]
        report["corpora"].append(part)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "engine.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "engine.md").write_text(table(report), encoding="utf-8")
    if options.page:
        write_section(DOCS / "performance.md", "engine", table(report))
    print(table(report))


if __name__ == "__main__":
    main()
