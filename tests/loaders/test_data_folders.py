"""Folders with data: links, pipes, odd names and long lines never give old data, a hang or a bare error."""

import gc
import os
import socket
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rec_gym.datasets.folders import check_file, fingerprint
from rec_gym.datasets.reading import files
from rec_gym.datasets.reading.files import need_file, read_csv, read_jsonl, read_lines, read_parquet
from rec_gym.datasets.store import open_dataset

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")

BEIR = "rec_gym.datasets.beir:load"


@pytest.fixture
def beir(tmp_path, monkeypatch):
    """A BEIR folder whose judgements are behind a link."""
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    data = tmp_path / "data"
    data.mkdir()
    (data / "corpus.jsonl").write_text('{"_id": "a", "text": "red lamp"}\n{"_id": "b", "text": "desk"}\n')
    (data / "queries.jsonl").write_text('{"_id": "q", "text": "light"}\n')
    (tmp_path / "elsewhere").mkdir()
    judge(tmp_path / "elsewhere" / "test.tsv", "a")
    (data / "qrels").symlink_to(tmp_path / "elsewhere")
    yield data
    gc.collect()


def judge(path, item):
    path.write_text(f"query-id\tcorpus-id\tscore\nq\t{item}\t1\n")


def gains(data):
    return dict(open_dataset(BEIR, {"data_dir": str(data)}).request("q").gains)


def test_judgements_behind_a_linked_folder_are_never_old(beir, tmp_path):
    assert gains(beir) == {"a": 1.0}
    judge(tmp_path / "elsewhere" / "test.tsv", "b")
    os.utime(tmp_path / "elsewhere" / "test.tsv", ns=(0, 0))
    assert gains(beir) == {"b": 1.0}


def test_a_link_to_another_folder_within_the_data_is_another_state(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same")
        os.utime(tmp_path / name / "file", ns=(0, 0))
    link = tmp_path / "current"
    states = []
    for target in ("a", "b", "a"):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / target)
        states.append(fingerprint(tmp_path))
    assert states[0] == states[2] != states[1]


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("x")
    before = fingerprint(tmp_path)
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "in")
    after = fingerprint(tmp_path)
    assert before["count"] == 2
    assert after["count"] == 4
    (tmp_path / "in" / "file").write_text("xy")
    assert fingerprint(tmp_path)["sha256"] != after["sha256"]


def test_what_cannot_hold_data_is_left_out_with_a_warning(beir):
    (beir / ".#corpus.jsonl").symlink_to("user@host.1")
    (beir / "loop").symlink_to("loop")
    os.mkfifo(beir / "pipe")
    (beir / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(beir / "socket"))
        message = (
            r"left out of the data folder .*: \.#corpus\.jsonl \(a broken link\); loop \(a broken link\); "
            r"pipe \(a named pipe\); socket \(a socket\); zero \(a device\)"
        )
        with pytest.warns(UserWarning, match=message):
            assert gains(beir) == {"a": 1.0}


def test_hidden_files_beside_judgements_are_not_read(beir):
    (beir / "qrels" / ".#test.tsv").symlink_to("user@host.1")
    with pytest.warns(UserWarning, match=r"qrels/\.#test\.tsv \(a broken link\)"):
        assert gains(beir) == {"a": 1.0}


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (os.mkfifo, ValueError, "is a named pipe; data is read from regular files only"),
        (os.mkdir, ValueError, "is a folder; data is read from regular files only"),
        (lambda path: path.symlink_to("/dev/zero"), ValueError, "is a device; data is read from regular files only"),
        (lambda path: path.symlink_to("nowhere"), FileNotFoundError, "is a link to nowhere, which does not exist"),
    ],
)
def test_what_a_loader_asks_for_must_be_a_file(beir, name, make, error, message):
    (beir / name).unlink()
    make(beir / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(error, match=f"{Path(name).name} {message}"):
            gains(beir)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: list(read_lines(path)),
        lambda path: list(read_jsonl(path, Counter())),
        lambda path: list(read_csv(path, ["a"])),
        lambda path: list(read_parquet(path, ["a"])),
        lambda path: need_file(path.parent, path.name, "a file"),
        check_file,
    ],
)
def test_no_reader_waits_for_a_pipe(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a named pipe"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize("read", [lambda path: list(read_lines(path)), lambda path: list(read_csv(path, ["a"]))])
def test_a_long_line_is_refused_before_it_is_read(tmp_path, monkeypatch, read):
    path = tmp_path / "file"
    path.write_text("a\n" + "1" * 20 + "\n" + "2" * 1_000_000)
    monkeypatch.setattr(files, "LONGEST_LINE", 21)
    with pytest.raises(ValueError, match=r"file, line 3: longer than 0 MiB; the file may be of another format"):
        read(path)
    path.write_text("a\n" + "1" * 20 + "\n" + "2" * 20)
    assert [number for number, _ in read_lines(path)] == [1, 2, 3]


def test_the_memory_of_a_long_line_is_bounded(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        file.truncate(1 << 30)  # sparse: a line of 1 GiB that takes no space
    code = (
        "import resource, sys; from pathlib import Path; from rec_gym.datasets.reading.files import read_lines\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: next(read_lines(Path(sys.argv[1])))\n"
        "except ValueError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "file")]
    message, mebibytes = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "line 1: longer than 64 MiB" in message
    assert int(mebibytes) < 4 * 64


ODD = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("settings", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
@pytest.mark.parametrize("name", [ODD, "café"])
def test_a_data_folder_may_have_any_name(beir, settings, name):
    place = os.fsencode(beir.parent) + b"/" + os.fsencode(name)
    os.rename(beir, place)
    code = (
        "import sys; from rec_gym.datasets.store import open_dataset, recipe_of\n"
        f"options = {{'data_dir': sys.argv[1]}}\nprint(open_dataset({BEIR!r}, options))\n"
        f"print(recipe_of({BEIR!r}, options).is_prepared)"
    )
    run = [sys.executable, "-W", "error", "-c", code, place]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | settings)
    assert (done.stdout, done.stderr) == ("Dataset(2 items; requests: test 1)\nTrue\n", "")


def test_parquet_under_any_name(tmp_path):
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "file")
    os.rename(tmp_path / "file", tmp_path / ODD)
    assert [batch.to_pydict() for batch in read_parquet(tmp_path / ODD, ["a"])] == [{"a": [1, 2]}]
