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
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora import LOADS, ZipfLanguage, query_shapes, tokens_of, zipf_catalog
from rec_gym.catalog import Catalog
from rec_gym.recommenders.bm25 import BM25

K1, B = 1.2, 0.75
DEPTH = {"short": 100, "mid": 1000, "long": 1000}
QUERIES = {"ours": 256, "bm25s-numba": 256, "bm25s": 16, "tantivy": 64, "rank_bm25": 2}
PACKAGES = ("numpy", "numba", "pyarrow", "bm25s", "tantivy", "rank_bm25")

Search = Callable[[Sequence[str], int], list[np.ndarray]]


@functools.cache
def words_of(query: str) -> list[str]:
    """The words of a query; split in the first round, which is not measured."""
    return tokens_of(query)


def ours(catalog: Catalog) -> Search:
    """This package's engine, from texts."""
    recommender = BM25(k1=K1, b=B, threads=1).fit(catalog)
    return lambda queries, k: list(recommender.rank(queries, k).items)


def bm25s_numba(catalog: Catalog) -> Search:
    """bm25s with its numba back end, from words."""
    return _bm25s(catalog, "numba")


def bm25s_default(catalog: Catalog) -> Search:
    """bm25s with its default back end, from words."""
    return _bm25s(catalog, "numpy")


def _bm25s(catalog: Catalog, backend: str) -> Search:
    import bm25s

    ids: dict[str, int] = {}
    corpus = [[ids.setdefault(w, len(ids)) for w in tokens_of(text)] for batch in catalog.texts() for text in batch]
    engine = bm25s.BM25(method="lucene", k1=K1, b=B, backend=backend)
    engine.index((corpus, ids), show_progress=False, create_empty_token=False)

    def search(queries: Sequence[str], k: int) -> list[np.ndarray]:
        words = [words_of(query) for query in queries]
        found = engine.retrieve(words, k=min(k, len(catalog)), show_progress=False, n_threads=1)
        return [items[scores > 0] for items, scores in zip(found.documents, found.scores, strict=True)]

    return search


def tantivy(catalog: Catalog) -> Search:
    """tantivy, one segment; a repeated word is a boost."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", index_option="freq")
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(heap_size=1_000_000_000, num_threads=1)
    for batch in catalog.texts():
        for text in batch:
            writer.add_document(tantivy.Document(text=text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    if searcher.num_segments > 1:
        raise RuntimeError("tantivy kept several segments, so that addresses are no items; raise the writer's heap")

    def query_of(text: str) -> Any:
        clauses = []
        for word, count in Counter(words_of(text)).items():
            query = tantivy.Query.term_query(schema, "text", word, index_option="freq")
            clauses.append((tantivy.Occur.Should, tantivy.Query.boost_query(query, count) if count > 1 else query))
        return tantivy.Query.boolean_query(clauses)

    def search(queries: Sequence[str], k: int) -> list[np.ndarray]:
        hits = [searcher.search(query_of(query), k, count=False).hits for query in queries]
        # One thread added the items in order, so that an item is an address; segments are told apart by their place.
        return [np.array([address.doc for _, address in found], np.int64) for found in hits]

    return search


def rank_bm25(catalog: Catalog) -> Search:
    """rank_bm25 and a partial sort."""
    from rank_bm25 import BM25Okapi

    engine = BM25Okapi([tokens_of(text) for batch in catalog.texts() for text in batch], k1=K1, b=B)

    def search(queries: Sequence[str], k: int) -> list[np.ndarray]:
        found = []
        for query in queries:
            scores = engine.get_scores(words_of(query))
            best = np.argpartition(-scores, min(k, len(scores) - 1))[:k]
            found.append(best[np.argsort(-scores[best])])
        return found

    return search


ENGINES: dict[str, Callable[[Catalog], Search]] = {
    "ours": ours,
    "bm25s-numba": bm25s_numba,
    "bm25s": bm25s_default,
    "tantivy": tantivy,
    "rank_bm25": rank_bm25,
}


def _build_cost(engine: str, size: int, results: Any) -> None:
    """In a process of its own: CPU seconds to build from text, and the peak of its resident memory."""
    catalog = zipf_catalog(size, ZipfLanguage())
    if engine == "ours":
        os.environ["REC_GYM_HOME"] = str(Path(os.environ.get("TMPDIR", "/tmp")) / f"rec-gym-build-{os.getpid()}")
    start = time.process_time()
    ENGINES[engine](catalog)
    results.put((time.process_time() - start, _peak_mb()))


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build_costs(engines: Sequence[str], size: int) -> dict[str, dict[str, float]]:
    """Build cost of each engine, one process after the other."""
    context, costs = multiprocessing.get_context("spawn"), {}
    for engine in engines:
        results = context.Queue()
        process = context.Process(target=_build_cost, args=(engine, size, results))
        process.start()
        seconds, peak = results.get()
        process.join()
        costs[engine] = {"build CPU s": seconds, "peak MB": peak}
    return costs


def measure(searches: dict[str, Search], queries: Sequence[str], k: int, rounds: int) -> list[dict[str, Any]]:
    """CPU and wall milliseconds a query of each engine, medians over rounds; and the overlap of its lists with ours."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in searches}
    found: dict[str, list[np.ndarray]] = {}
    for number in range(rounds + 1):
        for name, search in searches.items():
            own = queries[: QUERIES[name]]
            cpu, wall = time.process_time(), time.perf_counter()
            found[name] = search(own, k)
            spent = (time.process_time() - cpu) / len(own), (time.perf_counter() - wall) / len(own)
            if number:  # the first round compiles and warms up
                times[name].append(spent)
    rows = []
    for name, values in times.items():
        cpu, wall = (1000 * statistics.median(column) for column in zip(*values, strict=True))
        rows.append({"engine": name, "k": k, "CPU ms": cpu, "wall ms": wall, "overlap": _overlap(found[name], found["ours"])})
    for row in rows:
        row["ratio"] = row["CPU ms"] / rows[0]["CPU ms"]
    return rows


def _overlap(theirs: list[np.ndarray], ours: list[np.ndarray]) -> float:
    """Mean share of our items that stand in the other engine's lists too."""
    shares = []
    for a, b in zip(theirs, ours, strict=False):
        kept = b[b >= 0]
        shares.append(len(np.intersect1d(a, kept)) / max(len(kept), 1))
    return float(np.mean(shares))


def run(size: int, engines: Sequence[str], rewrites: Path, rounds: int) -> dict[str, Any]:
    """All measurements on a corpus of `size` items."""
    language = ZipfLanguage()
    catalog = zipf_catalog(size, language)
    searches = {name: ENGINES[name](catalog) for name in engines}
    rows = []
    for load, (task, policy) in LOADS.items():
        queries = language.queries(query_shapes(rewrites, task, policy), max(QUERIES.values()))
        for row in measure(searches, queries, DEPTH[load], rounds):
            rows.append({"items": size, "load": load, **row})
            print(_line(rows[-1]), flush=True)
    return {"items": size, "search": rows}


def _line(row: dict[str, Any]) -> str:
    return "| " + " | ".join(f"{v:,.3f}" if isinstance(v, float) else f"{v}" for v in row.values()) + " |"


def machine() -> dict[str, Any]:
    """What the figures hold for."""
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
    parser.add_argument("--rewrites", type=Path, default=known, required=known is None, help="JSONL of real queries: task, policy, query (or REC_GYM_REWRITES)")
    parser.add_argument("--quick", action="store_true", help="100,000 items, few rounds, without the slowest engines")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_200_000], help="sizes of the corpora")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="engines; ours always takes part")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median is taken")
    parser.add_argument("--no-build", action="store_true", help="leave out the cost of building")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for engine.json and engine.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.items, options.rounds, options.no_build = [100_000], 3, True
        options.engines = [name for name in options.engines if name not in ("rank_bm25", "bm25s")]
    engines = ["ours", *(name for name in options.engines if name != "ours")]
    report: dict[str, Any] = {"machine": machine(), "corpora": []}
    for size in options.items:
        able = [name for name in engines if name != "rank_bm25" or size <= 100_000]
        corpus = run(size, able, options.rewrites, options.rounds)
        if not options.no_build:
            corpus["build"] = [{"items": size, "engine": n, **cost} for n, cost in build_costs(able, size).items()]
        report["corpora"].append(corpus)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "engine.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "engine.md").write_text(table(report), encoding="utf-8")
    print(table(report))


if __name__ == "__main__":
    main()
