"""Damage to what the cache folder holds: it is detected before it is read, reported in one line, and repaired."""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attacks.shop import HARMS, ITEMS, LOADER, QUERIES, contents, harm, ranked, shop
from rec_gym.cache import MANIFEST, DamagedError
from rec_gym.datasets.store import open_dataset
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.bm25.index import WINDOW, Index
from rec_gym.recommenders.dense import Dense

BM25_FILES = [f"{name}.npy" for name in ("place", "impact", "first_posting", "first_run", "run_window", "run_length")]
BM25_FILES += ["kth_impact.npy", "characters.npy", "offsets.npy", "index.json", MANIFEST]
DATASET_FILES = [f"{name}.{part}.npy" for name in ("items", "gains", "history") for part in ("offsets", "values")]
DATASET_FILES += ["catalog.arrow", "requests.arrow", "notes.json", MANIFEST]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "rec_gym.cache.sync", lambda path: None
    )  # no power cut is tested here, and a disk takes its time
    return tmp_path / "home"


def folder_of(home: Path, pattern: str) -> Path:
    (folder,) = (path for path in home.glob(pattern) if path.is_dir())
    return folder


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def said_once(caplog, folder: Path, name: str) -> None:
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert str(folder) in lines[0]
    assert "is rebuilt" in lines[0]
    assert name in lines[0]
    assert "\n" not in lines[0]


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", BM25_FILES)
def test_a_damaged_bm25_index_scores_as_before(home, caplog, name, how):
    before = ranked(BM25().fit(shop()))
    gc.collect()
    folder = folder_of(home, "indexes/bm25-*")
    assert listed(folder) == set(BM25_FILES)
    harm(folder / name, how)
    with caplog.at_level(logging.WARNING):
        assert ranked(BM25().fit(shop())) == before
    said_once(caplog, folder, name)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", ["vectors.npy", "probe.npy", MANIFEST])
def test_damaged_vectors_score_as_before(home, caplog, name, how):
    before = ranked(Dense().fit(shop()))
    gc.collect()
    folder = folder_of(home, "indexes/dense-*")
    assert listed(folder) == {"vectors.npy", "probe.npy", MANIFEST}
    harm(folder / name, how)
    with caplog.at_level(logging.WARNING):
        assert ranked(Dense().fit(shop())) == before
    said_once(caplog, folder, name)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("trusted", ["0", "1"])
def test_a_damaged_faiss_index_scores_as_before(home, caplog, monkeypatch, how, trusted):
    """What faiss reads is never trusted: it follows the numbers in its file without a check."""
    pytest.importorskip("faiss", reason="faiss is not installed (extra dense)")
    before = ranked(Dense(index="hnsw").fit(shop()))
    gc.collect()
    monkeypatch.setenv("REC_GYM_TRUST_CACHE", trusted)
    folder = folder_of(home, "indexes/dense-*-hnsw-*")
    harm(folder / "index.faiss", how)
    with caplog.at_level(logging.WARNING):
        assert ranked(Dense(index="hnsw").fit(shop())) == before
    said_once(caplog, folder, "index.faiss")


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", DATASET_FILES)
def test_a_damaged_dataset_is_converted_again(home, name, how):
    before = contents(open_dataset(LOADER, {}))
    gc.collect()
    folder = folder_of(home, "datasets/shop-*")
    assert listed(folder) == set(DATASET_FILES)
    harm(folder / name, how)
    with pytest.warns(UserWarning, match=rf"{folder} is rebuilt: .*{name}") as caught:
        assert contents(open_dataset(LOADER, {})) == before
    assert len(caught) == 1
    gc.collect()
    assert contents(open_dataset(LOADER, {})) == before


KERNELS = """
import logging
from benchmarks.attacks.shop import ranked, shop
from rec_gym.recommenders.bm25 import BM25
logging.basicConfig(format="%(message)s")
print(ranked(BM25(threads=1).fit(shop())))
"""


def score_elsewhere(**environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-c", KERNELS],
        capture_output=True, text=True, env=os.environ | environment, timeout=300, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_damaged_kernels_are_compiled_anew(home):
    whole = score_elsewhere()
    assert whole.stderr == ""
    folder = folder_of(home, "kernels/slp1-*")
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert [name.rpartition(".")[2] for name in kept] == ["nbc", "nbi"] * 3 + ["json"]
    assert folder.stat().st_mode & 0o077 == 0
    harm(folder / kept[0], "flipped")  # machine code
    harm(folder / kept[3], "emptied")
    again = score_elsewhere(REC_GYM_TRUST_CACHE="1")  # compiled code is never trusted
    assert again.stdout == whole.stdout
    assert len(again.stderr.splitlines()) == 1
    assert f"{folder} is rebuilt: its file {kept[3]} is damaged" in again.stderr
    last = score_elsewhere()
    assert (last.stdout, last.stderr) == (whole.stdout, "")


# With the checksums trusted away


def trusted(monkeypatch) -> None:
    monkeypatch.setenv("REC_GYM_TRUST_CACHE", "1")


def change_array(path: Path, change) -> None:
    """Changes numbers of a stored array, with the file's size as it was."""
    array = np.load(path)
    change(array)
    np.save(path, array)


def put(place, value):
    return lambda array: array.__setitem__(place, value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("place.npy", put(0, WINDOW)),
        ("place.npy", put(-1, 65535)),
        ("place.npy", put(3, ITEMS)),
        ("run_window.npy", put(0, 1)),
        ("run_length.npy", put(0, 9)),
        ("first_posting.npy", put(0, -1)),
        ("first_posting.npy", put(1, 1 << 40)),
        ("first_run.npy", put(0, -13)),
        ("first_run.npy", put(2, 1 << 40)),
        ("offsets.npy", put(0, -1)),
        ("offsets.npy", put(1, 1 << 40)),
        ("offsets.npy", put(-1, 1)),
    ],
)
def test_no_number_in_an_index_leads_a_kernel_out_of_its_memory(home, caplog, monkeypatch, name, change):
    before = ranked(BM25().fit(shop()))
    gc.collect()
    trusted(monkeypatch)
    folder = folder_of(home, "indexes/bm25-*")
    change_array(folder / name, change)
    with pytest.raises(DamagedError, match="are inconsistent"):
        Index.open(folder)
    with caplog.at_level(logging.WARNING):
        assert ranked(BM25().fit(shop())) == before
    said_once(caplog, folder, "are inconsistent")


@pytest.mark.parametrize("seed", range(60))
def test_bytes_at_random_never_crash_a_trusted_index(home, monkeypatch, seed, tmp_path):
    """A wrong score is what trust may cost; a crash is not. A kernel that leaves its memory would end this process."""
    BM25().fit(shop())
    gc.collect()
    trusted(monkeypatch)
    folder = folder_of(home, "indexes/bm25-*")
    draw = np.random.default_rng(seed)
    path = folder / BM25_FILES[seed % (len(BM25_FILES) - 1)]
    raw = bytearray(path.read_bytes())
    for place in draw.integers(0, len(raw), 3):
        raw[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(raw)
    rankings = BM25(threads=1).fit(shop()).rank(QUERIES, 10)
    assert rankings.items.max() < ITEMS


@pytest.mark.parametrize("seed", range(40))
def test_bytes_at_random_never_crash_a_trusted_dataset(home, monkeypatch, seed):
    open_dataset(LOADER, {})
    gc.collect()
    trusted(monkeypatch)
    folder = folder_of(home, "datasets/shop-*")
    draw = np.random.default_rng(seed)
    path = folder / ("catalog.arrow", "requests.arrow")[seed % 2]
    raw = bytearray(path.read_bytes())
    for place in draw.integers(0, len(raw), 4):
        raw[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = open_dataset(LOADER, {})
    assert len(dataset.texts(dataset.rows("all"))) == 2
    assert sum(map(len, dataset.catalog.texts())) == 40


def test_trust_leaves_the_checksums_out_and_nothing_else(home, caplog, monkeypatch):
    BM25().fit(shop())
    gc.collect()
    folder = folder_of(home, "indexes/bm25-*")
    change_array(folder / "impact.npy", put(0, 1))
    trusted(monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert BM25().fit(shop()).index.postings.impact[0] == 1
    assert not caplog.records
    harm(folder / "impact.npy", "cut")
    with caplog.at_level(logging.WARNING):
        BM25().fit(shop())
    said_once(caplog, folder, "impact.npy")
    monkeypatch.setenv("REC_GYM_TRUST_CACHE", "yes")
    with pytest.raises(ValueError, match="REC_GYM_TRUST_CACHE is 1 .* or 0, not 'yes'"):
        BM25().fit(shop())


# Pickles


def test_a_pickle_is_not_opened_on_damaged_files(home):
    """In another process `fit` is not called again: the files are verified where they are opened."""
    for make, name, error in (
        (lambda: BM25().fit(shop()), "impact.npy", RuntimeError),
        (lambda: Dense().fit(shop()), "vectors.npy", RuntimeError),
        (lambda: open_dataset(LOADER, {}), "gains.values.npy", DamagedError),
    ):
        pickled = pickle.dumps(make())
        gc.collect()
        (path,) = home.rglob(name)
        harm(path, "flipped")
        with pytest.raises(error, match=rf"{path.parent} cannot be used: its file {name} is damaged"):
            ranked(pickle.loads(pickled))


def test_an_index_that_is_open_keeps_its_files_when_they_are_built_anew(home, caplog):
    """A file that was replaced stays mapped by whoever has it open; `fit` opens the new one."""
    old = BM25().fit(shop())
    path = folder_of(home, "indexes/bm25-*") / "impact.npy"
    with open(path, "r+b") as file:  # in place, so that the mapping sees it
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 4]))
    with caplog.at_level(logging.WARNING):
        new = BM25().fit(shop())
    said_once(caplog, path.parent, "impact.npy")
    assert new.index is not old.index
    assert new.index.postings.impact[-1] == int(old.index.postings.impact[-1]) ^ (4 << 8)


def test_a_damaged_chunk_of_vectors_is_encoded_again(home, monkeypatch):
    from rec_gym.recommenders.dense import vectors

    before = ranked(Dense().fit(shop()))
    folder = folder_of(home, "indexes/dense-*")
    monkeypatch.setattr(vectors, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    harm(folder / "vectors.npy", "emptied")
    with pytest.raises(KeyboardInterrupt):
        Dense().fit(shop())
    monkeypatch.undo()
    monkeypatch.setenv("REC_GYM_HOME", str(home))
    (chunk,) = home.glob("indexes/dense-*.parts/0000*.npy")
    harm(chunk, "flipped")
    gc.collect()
    assert ranked(Dense().fit(shop())) == before


def test_a_manifest_of_an_earlier_format_is_replaced(home, caplog):
    BM25().fit(shop())
    gc.collect()
    folder = folder_of(home, "indexes/bm25-*")
    stored = json.loads((folder / MANIFEST).read_text())
    stored["files"] = {name: entry["size"] for name, entry in stored["files"].items()}
    (folder / MANIFEST).write_text(json.dumps(stored))
    with caplog.at_level(logging.WARNING):
        BM25().fit(shop())
    said_once(caplog, folder, MANIFEST)
