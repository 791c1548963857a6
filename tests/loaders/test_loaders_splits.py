"""Whatever the files hold: no request stands in two splits, and none that is tested on is trained on."""

import json
import tempfile
from pathlib import Path

import pytest
from helpers.beir_files import write_beir
from helpers.esci_files import PRODUCTS, example, write_esci
from helpers.published_files import (
    LOG_REQUESTS,
    WANDS_LABELS,
    write_c4,
    write_log,
    write_movielens,
    write_reviews,
    write_wands,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.datasets import amazon_c4, amazon_reviews, beir, esci, logs, movielens, wands

ITEMS = "abcd"
few = settings(max_examples=25, deadline=None)
number = st.integers(0, 12)


def judged(split):
    return st.lists(st.tuples(number, st.sampled_from(ITEMS), st.sampled_from(split)), min_size=1, max_size=40)


def check(load, *arguments, **options):
    """Loads; a source of which nothing is left is refused, which is right too."""
    try:
        dataset = load(*arguments, **options)
    except ValueError as error:
        if "no request" in str(error) or "without a request" in str(error):
            return None
        raise
    ids = {split: set(dataset.column("id", dataset.rows(split)).tolist()) for split in dataset.splits}
    assert sum(map(len, ids.values())) == len(set().union(*ids.values())) == len(dataset)
    assert all(ids.values())
    return ids


@few
@given(judged(["train", "dev", "test", "ood-x"]))
def test_beir(rows):
    parts = {split: "" for _, _, split in rows}
    for query, item, split in dict.fromkeys(rows):
        parts[split] += f"q{query}\td{ITEMS.index(item)}\t1\n"
    queries = [{"_id": f"q{k}", "text": f"query {k}"} for k in range(13)]
    with tempfile.TemporaryDirectory() as folder:
        ids = check(beir.load, write_beir(folder, queries=queries, **parts))
    tested = {f"q{query}" for query, _, split in rows if split == "test"}
    assert ids.get("test", set()) == tested


@few
@given(judged(["train", "test"]), st.sampled_from(["published", "rec-r1"]), st.sampled_from(["all", "Video_Games"]))
def test_esci(rows, splits, domain):
    examples = [example(query, item, "E", split) for query, item, split in dict.fromkeys(rows)]
    categories = dict(zip(ITEMS, ("Video_Games", "Baby_Products", "Books", "Unknown"), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "asin2category.json").write_text(json.dumps(categories))
        ids = check(esci.load, write_esci(Path(folder), examples, PRODUCTS), splits=splits, domain=domain)
    tested = {str(query) for query, _, split in rows if split == "test"}
    assert ids is None or not tested & (ids.get("train", set()) | ids.get("val", set()))


@few
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_logs(times, test_share, val_share):
    requests = [LOG_REQUESTS[0] | {"id": f"r{k}", "time": time} for k, time in enumerate(times)]
    with tempfile.TemporaryDirectory() as folder:
        ids = check(logs.load, write_log(folder, requests), test_share=test_share, val_share=val_share)
    if ids:
        of = {split: [times[int(name[1:])] for name in names] for split, names in ids.items()}
        assert max(of["train"]) < min(of["val"])
        assert max(of["val"]) < min(of["test"])


@few
@given(st.lists(st.tuples(number, st.integers(1, 8), st.integers(0, 5)), min_size=1, max_size=60))
def test_movielens(rows):
    with tempfile.TemporaryDirectory() as folder:
        ratings = [(user, movie, 4, time) for user, movie, time in rows]
        ids = check(movielens.load, write_movielens(folder, "1m", ratings=ratings), size="1m")
    if ids:  # of each user one request in each split
        assert len({frozenset(name.partition("-")[2] for name in names) for names in ids.values()}) == 1


@few
@given(
    st.lists(st.tuples(number, st.sampled_from("abcdefgh"), number), min_size=3, max_size=40),
    st.sampled_from(["timestamp", "transductive", "inductive"]),
)
def test_reviews(rows, setting):
    parts = {part: [(f"u{u}", item, time) for u, item, time in rows[k::3]] for k, part in enumerate(PARTS)}
    with tempfile.TemporaryDirectory() as folder:
        folder = write_reviews(folder, place="benchmark/0core/timestamp", **parts)
        check(amazon_reviews.load, folder, setting=setting)


PARTS = ("train", "valid", "test")


@few
@given(st.lists(st.sampled_from(["class 1", "class 2", "class 5", "class 1|class 2", ""]), min_size=1, max_size=60))
def test_wands(classes):
    queries = [[k, f"query {k}", name] for k, name in enumerate(classes)]
    labels = [row for row in WANDS_LABELS if int(row[1]) < len(queries)]
    with tempfile.TemporaryDirectory() as folder:
        check(wands.load, write_wands(folder, queries=queries, labels=labels))


@pytest.mark.parametrize("count", [3, 1000, 1001, 1100])
def test_c4(tmp_path, count):
    queries = [[k, f"text {k}", "ae"[k % 2], "U", 5, ""] for k in range(2 * count)]
    assert "train" in check(amazon_c4.load, write_c4(tmp_path, queries))
