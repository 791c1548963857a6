"""Where the cache may be: full disks, read-only ones, those of another user, and folders of any name."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attacks import disks
from benchmarks.attacks.shop import LOADER, ranked, shop
from rec_gym import disk
from rec_gym.cache import cache_home, prepared_folder, write_json
from rec_gym.datasets.store import open_dataset
from rec_gym.disk import DiskFullError, check_space, create_array, explained, save_array
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.dense import Dense
from rec_gym.recommenders.dense import vectors as vectors_module

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534
SCRIPT = """
import ctypes, logging, os, sys
os.umask(0o022)
user = int(sys.argv[2])
if user:  # may read what it likes, so that it finds an interpreter below another user's home; it may write nothing
    libc = ctypes.CDLL(None)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([]); os.setgid(user); os.setuid(user)
    read_search = 1 << 2
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(read_search, read_search)
    assert libc.capset(header, rights) == 0
logging.basicConfig(format="%(message)s")
sys.path.insert(0, sys.argv[1])
from benchmarks.attacks.shop import LOADER, ranked, shop
from rec_gym.datasets.store import open_dataset
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.dense import Dense
print(open_dataset(LOADER, {}))
print(ranked(BM25(threads=1).fit(shop())), ranked(Dense().fit(shop())))
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(home: Path, user: int = 0, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), str(user)],
        capture_output=True, text=True, timeout=300, env=os.environ | {"REC_GYM_HOME": str(home)} | environment,
    )  # fmt: skip


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Path:
    """The kernels as a process keeps them; to compile them for each test would take minutes."""
    home = tmp_path_factory.mktemp("compiled")
    assert run(home).returncode == 0
    return home / "kernels"


def silent(message):
    raise AssertionError(message)


# Full disks


@pytest.fixture
def small_disk(tmp_path):
    """Makes a file system of a few megabytes that holds the cache folder."""
    with ExitStack() as mounted:

        def mount(kilobytes: int) -> Path:
            try:
                return mounted.enter_context(disks.small_disk(Path(tempfile.mkdtemp(dir=tmp_path)), kilobytes))
            except disks.NoSmallDiskError as error:
                pytest.skip(str(error))

        yield mount


FILL = """
import sys
from rec_gym.catalog import Catalog
from rec_gym.recommenders.bm25 import BM25
from rec_gym.recommenders.dense import Dense
catalog = Catalog.from_columns({"item_id": [str(n) for n in range(4000)],
    "title": [" ".join(f"w{(n * k) % 997}" for k in range(1, 40)) for n in range(4000)]})
try:
    recommender = {"bm25": BM25, "dense": Dense}[sys.argv[1]]().fit(catalog)
except OSError as error:
    print(type(error).__name__, error)
else:
    print("fitted")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bm25", "dense"])
def test_a_full_disk_is_an_error_and_stays_as_it_was(small_disk, kind):
    ends = set()
    for kilobytes in (64, 300, 600, 900, 1200, 1500, 6000, 12000, 18000, 40000):
        place = small_disk(kilobytes)
        done = subprocess.run(
            [sys.executable, "-c", FILL, kind],
            capture_output=True, text=True, timeout=300, env=os.environ | {"REC_GYM_HOME": str(place)},
        )  # fmt: skip
        assert done.returncode == 0, (kilobytes, done)  # SIGBUS would be -7
        ends.add(done.stdout.split()[0])
        if done.stdout != "fitted\n":
            assert done.stdout.startswith("DiskFullError the disk of ")
            for part in (str(place), "needs ", " bytes are free", "REC_GYM_HOME"):
                assert part in done.stdout
            assert not [path for path in place.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert ends == {"DiskFullError", "fitted"}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot allocate files")
def test_space_is_allocated_before_a_file_is_mapped(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fallocate", lambda handle, start, size: asked.append((start, size)) or full())
    for make in (lambda path: create_array(path, "<u2", (1000,)), lambda path: save_array(path, np.ones(1000, "<u2"))):
        with pytest.raises(
            DiskFullError, match=rf"disk of {tmp_path} is full: x.npy needs 2,128 bytes, and [\d,]+ bytes"
        ):
            make(tmp_path / "x.npy")
    assert asked == [(0, 2128)] * 2


@pytest.mark.parametrize("refusal", ["absent", errno.EOPNOTSUPP])
def test_where_files_cannot_be_allocated_zeros_are_written(tmp_path, monkeypatch, refusal):
    def refuse(*_):
        raise OSError(refusal, "not supported")

    if refusal == "absent":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(disk, "_BLOCK", 1000)
    array = create_array(tmp_path / "x.npy", "<u2", (1700,))
    assert not array.any()
    array[:] = np.arange(1700)
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.arange(1700))
    if hasattr(os.stat_result, "st_blocks"):
        assert (tmp_path / "x.npy").stat().st_blocks * 512 >= 3400

    monkeypatch.setattr(disk, "bytes", full, raising=False)  # the next block of zeros does not fit
    with pytest.raises(DiskFullError, match="needs 3,528 bytes"):
        create_array(tmp_path / "y.npy", "<u2", (1700,))


@pytest.mark.parametrize("dtype", ["<u2", "<i8", "<f4", "<f8", "|u1"])
@pytest.mark.parametrize("shape", [(0,), (7,), (3, 5), (0, 4)])
def test_arrays_are_written_as_numpy_writes_them(tmp_path, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    save_array(tmp_path / "ours.npy", array)
    np.save(tmp_path / "theirs.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    if array.size:
        create_array(tmp_path / "mapped.npy", dtype, shape)[:] = array
        assert (tmp_path / "mapped.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("524288 requested and 126992 written"),  # NumPy
    ],
    ids=str,
)
def test_a_disk_that_fills_in_the_middle_is_reported_and_leaves_nothing(home, error):
    def build(folder):
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(
        DiskFullError, match=rf"disk of {home}/indexes is full: thing needs .* bytes are free.*REC_GYM_HOME"
    ):
        prepared_folder(home / "indexes" / "thing", {}, build, silent)
    assert not [path for path in home.rglob("*") if path.is_dir() and path.name != "indexes"]


def test_vectors_are_not_encoded_for_a_disk_that_cannot_hold_them(home, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda path: 100_000)
    with pytest.raises(DiskFullError, match="needs 163,840 bytes, and 100,000 bytes are free"):
        Dense().fit(shop())
    assert not list(home.rglob("0*.npy"))
    monkeypatch.undo()
    check_space(home, 1)


# Other errors


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), PermissionError, "folder that can be written"),
        (OSError(errno.EROFS, "Read-only file system"), OSError, "read-only: set REC_GYM_HOME"),
        (OSError(errno.ENOLCK, "No locks available"), OSError, "has no locks: set REC_GYM_HOME"),
        (NotImplementedError("no flock"), OSError, "cannot be locked .no flock.; .*REC_GYM_HOME"),
    ],
    ids=repr,
)
def test_errors_of_the_lock_say_what_to_do(home, monkeypatch, error, kind, remedy):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("rec_gym.cache.FileLock", refuse)
    with pytest.raises(kind, match=remedy):
        prepared_folder(home / "thing", {}, silent, silent)


def test_a_home_that_is_a_file_is_reported(home):
    home.write_text("")
    with pytest.raises(OSError, match="a file is where a folder is needed: set REC_GYM_HOME to a folder"):
        BM25().fit(shop())


def test_errors_of_a_builder_about_other_files_stay_as_they_are(home, tmp_path):
    def build(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "data" / "corpus.jsonl"))

    with pytest.raises(PermissionError) as raised:
        prepared_folder(home / "indexes" / "thing", {}, build, silent)
    assert "REC_GYM_HOME" not in str(raised.value)
    with pytest.raises(FileNotFoundError), explained(home / "thing"):
        (home / "nothing").read_bytes()


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch):
    monkeypatch.delenv("REC_GYM_HOME")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    with pytest.raises(OSError, match="set REC_GYM_HOME"):
        cache_home()


# Names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take UTF-8 only")
@pytest.mark.parametrize("name", [b"caf\xc3\xa9 \xe9\x9d\xb4", b"caf\xe9"], ids=["utf-8", "latin-1"])
def test_a_home_of_any_name(tmp_path, monkeypatch, name):
    home = tmp_path / os.fsdecode(name)
    monkeypatch.setenv("REC_GYM_HOME", str(home))
    first = ranked(BM25().fit(shop())), ranked(Dense(index="flat").fit(shop())), len(open_dataset(LOADER, {}))
    again = ranked(BM25().fit(shop())), ranked(Dense(index="flat").fit(shop())), len(open_dataset(LOADER, {}))
    assert first == again
    pytest.importorskip("faiss", reason="faiss is not installed (extra dense)")
    assert ranked(Dense(index="hnsw").fit(shop())) == ranked(Dense(index="hnsw").fit(shop()))


def test_json_keeps_names_that_are_no_utf_8(tmp_path):
    import json

    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "x.json", {"data_dir": name, "é": 1})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"data_dir": name, "é": 1}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems take UTF-8 only")
def test_a_locale_without_utf_8(tmp_path, compiled):
    shutil.copytree(compiled, tmp_path / "café" / "kernels")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run(tmp_path / "café", **plain)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    again = run(tmp_path / "café", **plain)
    assert (again.stdout, again.stderr) == (done.stdout, "")


# Other users, and read-only folders


@pytest.fixture
def shared():
    """A cache that root has prepared, in a place that others can reach."""
    if not IS_ROOT or sys.platform != "linux":
        pytest.skip("only root can become another user")
    place = Path(tempfile.mkdtemp(prefix="rec-gym-shared-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.slow
def test_another_user_scores_with_a_cache_that_is_not_his(shared, compiled):
    home = shared / "home"
    shutil.copytree(compiled, home / "kernels")
    own = run(home)
    assert own.returncode == 0, own.stderr
    before = sorted(path for path in home.rglob("*"))
    other = run(home, NOBODY, HOME="/nonexistent")
    assert other.returncode == 0, other.stderr
    assert other.stdout == own.stdout
    assert len(other.stderr.splitlines()) == 1
    assert "kernels are compiled in memory" in other.stderr
    assert sorted(path for path in home.rglob("*")) == before  # no lock, no temporary file
    # With a home of his own, his kernels are kept there.
    (shared / "nobody").mkdir()
    os.chown(shared / "nobody", NOBODY, NOBODY)
    with_home = {"HOME": str(shared / "nobody"), "XDG_CACHE_HOME": ""}
    for _ in range(2):
        other = run(home, NOBODY, **with_home)
        assert (other.returncode, other.stdout, other.stderr) == (0, own.stdout, "")
    (kept,) = (shared / "nobody").glob(".cache/rec_gym/kernels/slp1-*")
    assert kept.stat().st_uid == NOBODY


@pytest.mark.slow
def test_a_read_only_mount(small_disk, compiled):
    home = small_disk(20_000)
    shutil.copytree(compiled, home / "kernels")
    own = run(home)
    assert own.returncode == 0, own.stderr
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    again = run(home)
    assert (again.returncode, again.stdout, again.stderr) == (0, own.stdout, "")
    (damaged,) = (home / "indexes").glob("bm25-*/impact.npy")
    subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
    damaged.write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    failed = run(home)
    assert failed.returncode == 1
    assert "set REC_GYM_HOME to a folder that can be written" in failed.stderr.splitlines()[-1]


# What the names of folders hold


def test_two_versions_of_unicode_or_of_the_stemmer_keep_an_index_each(home, monkeypatch, caplog):
    def fit() -> None:
        BM25().fit(shop())
        Dense().fit(shop())

    fit()
    before = {path.name for path in (home / "indexes").iterdir() if path.is_dir()}
    with monkeypatch.context() as patch:
        patch.setattr("unicodedata.unidata_version", "99.0")
        fit()
    with monkeypatch.context() as patch:
        patch.setattr("Stemmer.version", lambda: "99.0")
        fit()
    assert len({path.name for path in (home / "indexes").iterdir() if path.is_dir()}) == 3 * len(before) == 6
    with caplog.at_level(logging.INFO):
        fit()
    assert not caplog.records  # nothing is built in turns


def test_vectors_begun_by_a_killed_process_are_not_anothers(home, monkeypatch, caplog):
    """Killed between the folder of the chunks and the probe in it: there is no such moment any more."""

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vectors_module, "save_array", kill)
        with pytest.raises(KeyboardInterrupt):
            Dense().fit(shop())
    with caplog.at_level(logging.WARNING):
        Dense().fit(shop())
    assert not caplog.records
    assert not list(home.rglob("*.parts"))


def test_a_folder_of_chunks_that_was_being_made_is_removed(home):
    """Killed in the middle of making it."""
    Dense().fit(shop())
    (folder,) = home.glob("indexes/dense-*")
    shutil.rmtree(folder)
    (home / "indexes" / f".{folder.name}.parts.abcdefgh" / f"{folder.name}.parts").mkdir(parents=True)
    Dense().fit(shop())
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_a_folder_of_chunks_without_its_probe_is_begun_anew(home, caplog):
    """As an earlier version left it when it was killed."""
    Dense().fit(shop())
    (folder,) = home.glob("indexes/dense-*")
    shutil.rmtree(folder)
    folder.with_name(f"{folder.name}.parts").mkdir()
    with caplog.at_level(logging.WARNING):
        Dense().fit(shop())
    assert "another encoder" not in caplog.text
    assert "probe.npy cannot be read" in caplog.text
