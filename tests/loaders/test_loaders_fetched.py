"""Every id whose data are fetched, from a publisher on this machine to a reward."""

import io
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.esci_files import example, product
from helpers.published_files import (
    REVIEW_ITEMS,
    write_backtracing,
    write_c4,
    write_movielens,
    write_reviews,
    write_wands,
)

import rec_gym
from rec_gym.cards import cards
from rec_gym.datasets.backtracing import sources as backtracing_sources
from rec_gym.datasets.reading.recr1_esci import DOMAINS
from rec_gym.fetching.download import mirrored

NAMES = dict(zip("ESCI", ("Exact", "Substitute", "Complement", "Irrelevant"), strict=True))


def esci(folder):
    rows = [
        {**product(c, title=f"title {c}"), **example(k, c, "E", split), "esci_label": NAMES["E"]}
        for k, (c, split) in enumerate([*((c, "train") for c in "efghij"), *((c, "test") for c in "abcd")])
    ]
    (folder / "data").mkdir()
    for split in ("train", "test"):
        part = [row for row in rows if row["split"] == split]
        table = pa.Table.from_pylist(part).drop_columns(["split"])
        pq.write_table(table, folder / "data" / f"{split}-00000-of-00001-0abc.parquet")
    return "tasksource/esci"


def reviews(folder):
    users = [f"u{k}" for k in range(6)]
    write_reviews(
        folder,
        train=[(user, "b", 1, "a") for user in users],
        valid=[(user, "a", 2, "b") for user in users],
        test=[(user, "a", 3, "a b") for user in users],
    )
    return "McAuley-Lab/Amazon-Reviews-2023"


def c4(folder):
    write_c4(folder)
    return "McAuley-Lab/Amazon-C4"


def movielens(folder):
    write_movielens(folder, "latest-small")


def wands(folder):
    write_wands(folder)


def backtracing(folder):
    write_backtracing(folder, root="backtracing-0abc/")


ARCHIVES = {  # where an archive is served
    movielens: "/web/datasets/movielens/ml-latest-small.zip",
    backtracing: "/web" + urlsplit(backtracing_sources()[0].url).path,
}
PUBLISHED = {
    "RecR1-Backtracing": (backtracing, {}, "bell rang once"),
    "RecR1-AmazonC4": (c4, {}, "thing f"),
    "RecR1-AmazonReviews": (reviews, {}, "title b"),
    "RecR1-MovieLens": (movielens, {"size": "latest-small"}, "plain"),
    "RecR1-WANDS": (wands, {}, "bed a"),
    "RecR1-ESCIRerank": (esci, {}, "1"),
    "RecR1-ESCI": (esci, {}, "title e"),
}
FETCHED = sorted(name for name, card in cards().items() if card.is_fetched(name))
HASHING = {"name": "dense", "encoder": "hashing"}  # vectors without a model
RECOMMENDERS = {
    "Dense": {"recommender": HASHING},
    "Hybrid": {"recommender": {"name": "hybrid", "parts": ["bm25", HASHING]}},
}


@pytest.mark.parametrize("name", FETCHED)
def test_from_the_publisher_to_a_reward(name, loopback, tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    family, recommender = name.removesuffix("-v0").split("-", 1)[1].rsplit("-", 1)
    key = next(key for key in PUBLISHED if f"RecR1-{family}".startswith(key))
    publish, options, query = PUBLISHED[key]
    options = options | RECOMMENDERS.get(recommender, {})
    folder = tmp_path / "published"
    folder.mkdir()
    repository = publish(folder)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if repository:
        loopback.add_hub(repository, files)
        categories = ", ".join(f'"{c}": "{d}"' for c, d in zip("abcdefghij", [*DOMAINS, *["Books"] * 6], strict=True))
        if publish is esci:
            loopback.add_hub("McAuley-Lab/Amazon-Reviews-2023", {"asin2category.json": f"{{{categories}}}".encode()})
    elif publish in ARCHIVES:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        loopback.add(ARCHIVES[publish], packed.getvalue())
    else:
        for path, content in files.items():
            loopback.add(f"/web/wayfair/WANDS/main/dataset/{path}", content)
    of_a_domain = {f"ESCI{domain.replace('_', '')}".lower() for domain in DOMAINS}
    split = "val" if family.lower() in of_a_domain else "train"
    with mirrored(loopback.url if repository else f"{loopback.url}/web"):
        task = rec_gym.make_task(name, split=split, **options)
    assert task.score([task.request_ids[0]], [query]).rewards[0] > 0
    before = len(loopback.log)
    assert rec_gym.make_task(name, split=split, **options).dataset is task.dataset
    assert len(loopback.log) == before
    assert not list(Path(tmp_path / "home").glob("**/.*.partial"))


def test_a_category_is_one_keyword_away(loopback, tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    rows = [("u", "b", 1, "a")]
    place = "benchmark/5core/last_out_w_his"
    write_reviews(tmp_path / "hub", "Books", place, REVIEW_ITEMS, train=rows, valid=rows, test=rows)
    files = {p.relative_to(tmp_path / "hub").as_posix(): p.read_bytes() for p in (tmp_path / "hub").rglob("*.*")}
    loopback.add_hub("McAuley-Lab/Amazon-Reviews-2023", files)
    with mirrored(loopback.url):
        task = rec_gym.make_task("RecR1-AmazonReviews-BM25-v0", domain="Books", setting="last_out", core="5core")
    assert task.dataset.splits == ("train", "val", "test")
