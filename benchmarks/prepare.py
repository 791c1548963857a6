"""Preparing a large data set: time and peak memory of converting and indexing ESCI-shaped files, from nothing to a task.

    python -m benchmarks.prepare [--products 1200000] [--layout two-files | one-table] [--folder DIR]

The files are generated first (text of about 1.4 kB a product, in invented words whose frequencies follow Zipf) and kept
in the folder. Then one process converts them with an empty cache, one builds the index, and one opens both and scores a
batch; the first `gym.make` does all of it in one. Peak memory is the largest resident set of each process; the part of it
that no file backs (`anonymous`) is sampled, since pages of memory-mapped files are given back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import re
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora import ZipfLanguage

TASK = "RecR1-ESCI-BM25-v0"
TITLE_WORDS = 12
JUDGEMENTS_PER_QUERY = 20
PRODUCTS_PER_QUERY = 40  # as many queries as ESCI's small version has for its products
LABELS = np.array(["Exact", "Substitute", "Complement", "Irrelevant"], object)
LETTERS = np.array(list("ESCI"), object)
SHARES = (0.44, 0.35, 0.05, 0.16)
ROW_GROUP = 100_000
SAMPLE_SECONDS = 0.02
BATCH = 1024


def products(size: int) -> Iterator[pa.Table]:
    """The products in batches: a title, bullet points and a description about twice as long."""
    texts = ZipfLanguage().texts(3 * size)
    start = 0
    for bullets in texts:
        more, still_more = next(texts, bullets), next(texts, bullets)
        count = min(len(bullets), len(more), len(still_more), size - start)
        yield pa.table(
            {
                "product_id": [f"B{number:09d}" for number in range(start, start + count)],
                "product_title": [" ".join(text.split(" ", TITLE_WORDS)[:TITLE_WORDS]) for text in bullets[:count]],
                "product_description": [f"{a} {b}" for a, b in zip(more[:count], still_more[:count], strict=True)],
                "product_bullet_point": bullets[:count],
                "product_brand": [text.split(" ", 1)[0] for text in bullets[:count]],
                "product_color": pa.nulls(count, pa.string()),
                "product_locale": ["us"] * count,
            }
        )
        start += count
        if start == size:
            return


def examples(ids: list[str], titles: list[str], draw: np.random.Generator, first: int, one_table: bool) -> pa.Table:
    """Judgements of the given products, in queries of twenty."""
    count = len(ids)
    query = first + np.arange(count) // JUDGEMENTS_PER_QUERY
    label = draw.choice(4, count, p=SHARES)
    label[::JUDGEMENTS_PER_QUERY] = 0  # each query has an exact match
    words = [" ".join(titles[place - place % JUDGEMENTS_PER_QUERY].split(" ")[:3]) for place in range(count)]
    columns = {
        "example_id": np.arange(count) + first * JUDGEMENTS_PER_QUERY,
        "query": words,
        "query_id": query,
        "product_id": ids,
        "product_locale": ["us"] * count,
        "esci_label": (LABELS if one_table else LETTERS)[label],
        "small_version": np.ones(count, np.int64),
        "large_version": np.ones(count, np.int64),
        "split": np.where(query % 4 == 0, "test", "train").astype(object),
    }
    return pa.table(columns)


def write_files(folder: Path, size: int, layout: str) -> None:
    """Writes the files of one of the two published layouts."""
    draw, first = np.random.default_rng(3), 0
    writers: dict[str, pq.ParquetWriter] = {}

    def write(name: str, table: pa.Table) -> None:
        if name not in writers:
            writers[name] = pq.ParquetWriter(folder / name, table.schema, compression="snappy")
        writers[name].write_table(table, row_group_size=ROW_GROUP)

    for batch in products(size):
        ids, titles = batch["product_id"].to_pylist(), batch["product_title"].to_pylist()
        if layout == "two-files":
            judged = slice(0, len(ids) * JUDGEMENTS_PER_QUERY // PRODUCTS_PER_QUERY)
            rows = examples(ids[judged], titles[judged], draw, first, one_table=False)
            write("shopping_queries_dataset_products.parquet", batch)
            write("shopping_queries_dataset_examples.parquet", rows)
        else:
            rows = examples(ids, titles, draw, first, one_table=True)
            joined = rows
            for name in batch.column_names:
                if name not in joined.column_names:
                    joined = joined.append_column(name, batch[name])
            for split in ("train", "test"):
                part = joined.filter(pa.compute.equal(joined["split"], split)).drop_columns(["split"])
                write(f"{split}-00000-of-00001.parquet", part)
        first += -(-rows.num_rows // JUDGEMENTS_PER_QUERY)
    for writer in writers.values():
        writer.close()


def _anonymous() -> int:
    """Anonymous memory of this process in bytes; 0 if the system does not report it."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


class _Watch(threading.Thread):
    """Samples the anonymous memory of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._end = 0, threading.Event()

    def run(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, _anonymous())

    def close(self) -> None:
        self._end.set()
        self.join()


def convert(folder: str) -> dict[str, float]:
    """From parquet to the columns that every later call opens."""
    from rec_gym.cards import card_of
    from rec_gym.datasets.store import open_dataset

    dataset = open_dataset(card_of(TASK).content["loader"], {**card_of(TASK).options, "data_dir": folder})
    return {"products": len(dataset.catalog), "requests": len(dataset)}


def index(folder: str) -> dict[str, float]:
    """Builds the index of the converted data."""
    import rec_gym

    rec_gym.make_task(TASK, data_dir=folder)
    return {}


def again(folder: str) -> dict[str, float]:
    """Opens the converted and indexed data, and scores a batch."""
    import rec_gym

    start = time.perf_counter()
    task = rec_gym.make_task(TASK, data_dir=folder)
    figures = {"open, seconds": time.perf_counter() - start}
    rows = [row["text"] for _, row in zip(range(BATCH), task.rows(), strict=False)]
    ids = task.request_ids[: len(rows)]
    task.score(ids[:1], rows[:1])  # compiles and maps
    start = time.perf_counter()
    task.score(ids, rows)
    return figures | {f"{len(rows):,} rewards, seconds": time.perf_counter() - start}


def _measured(work: Callable[[str], dict[str, float]], folder: str, home: str) -> dict[str, float]:
    """The figures of `work`, which runs in a new process with its own cache folder."""
    os.environ["REC_GYM_HOME"] = home
    watch = _Watch()
    watch.start()
    start, cpu = time.perf_counter(), time.process_time()
    figures = work(folder)
    figures |= {"seconds": time.perf_counter() - start, "CPU seconds": time.process_time() - cpu}
    watch.close()
    figures["peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    figures["of it anonymous, GB"] = watch.peak / 1e9
    return figures


def _in_its_own_process(*arguments: object) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, arguments)


def _size(folder: Path, pattern: str) -> float:
    return _rounded(sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file()) / 1e9)


def _rounded(value: float) -> float:
    return round(value, 2) if isinstance(value, float) else value


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, default=1_200_000, help="rows to generate")
    parser.add_argument("--layout", choices=("two-files", "one-table"), default="two-files", help="of the files")
    parser.add_argument("--folder", type=Path, help="where the files are kept; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rec-gym-prepare-") as scratch:
        folder = (arguments.folder or Path(scratch)) / f"{arguments.layout}-{arguments.products}"
        home = Path(scratch) / "home"
        if not folder.is_dir():
            unfinished = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            write_files(unfinished, arguments.products, arguments.layout)
            unfinished.rename(folder)
        figures: dict[str, object] = {"layout": arguments.layout, "files, GB": _size(folder, "*.parquet")}
        for work in (convert, index, again):
            made = _in_its_own_process(work, str(folder), str(home))
            figures |= {f"{work.__name__}: {key}": _rounded(value) for key, value in made.items()}
        figures["converted, GB"] = _size(home, "datasets/*/*")
        figures["index, GB"] = _size(home, "indexes/*/*")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    figures |= {"cores": cores, "machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
