"""The cache folder: whole writes, damaged contents, and several processes at once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash

from rec_gym import cache
from rec_gym.cache import MANIFEST, atomic_path, cache_home, prepared_folder, write_json

MADE_FROM = {"source": "x", "numbers": (1, 2)}


def test_cache_home_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "chosen"))
    assert cache_home() == tmp_path / "chosen"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REC_GYM_HOME", "relative")
    assert cache_home() == tmp_path / "relative"
    monkeypatch.setenv("REC_GYM_HOME", "~/place")
    assert cache_home() == Path.home() / "place"
    monkeypatch.delenv("REC_GYM_HOME")
    assert cache_home().name == "rec_gym"


def fail_after_writing(target):
    with atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError("stopped")


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError, match="stopped"):
        fail_after_writing(target)
    assert not target.exists()
    write_json(target, {"b": "ü", "a": 1})
    before = target.read_text(encoding="utf-8")
    with pytest.raises(RuntimeError, match="stopped"):
        fail_after_writing(target)
    assert target.read_text(encoding="utf-8") == before == '{\n  "a": 1,\n  "b": "ü"\n}\n'
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "folder"
    for content in ("old", "new"):
        with atomic_path(target) as path:
            path.mkdir()
            (path / content).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be synchronised there")
def test_what_takes_its_place_is_on_the_disk_by_then(tmp_path, monkeypatch):
    """Without this a machine that loses its power leaves a name without a content."""
    log = []
    inode = {}
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: log.append(os.fstat(handle).st_ino) or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda source, target: log.append("renamed") or replace(source, target))
    with atomic_path(tmp_path / "folder") as path:
        (path / "deeper").mkdir(parents=True)
        for name in ("one", "deeper/two"):
            (path / name).write_text(name)
        inode = {str(child.relative_to(path)): child.stat().st_ino for child in (path, *path.rglob("*"))}
    assert log[-2:] == ["renamed", tmp_path.stat().st_ino]
    assert set(log[:-2]) == set(inode.values())
    assert log.index(inode["deeper/two"]) < log.index(inode["deeper"]) < log.index(inode["."])


def test_checksums_are_compared_once_per_process_and_state_of_the_files(tmp_path, monkeypatch):
    target, read = tmp_path / "thing", []
    checksum = cache._checksum
    monkeypatch.setattr(cache, "_checksum", lambda path: read.append(path.name) or checksum(path))
    prepared_folder(target, MADE_FROM, build_content, silent)
    assert read == ["content", "more"]  # of what was just written
    prepared_folder(target, MADE_FROM, silent, silent)
    assert read == ["content", "more"]
    cache._verified.clear()  # as in another process
    for _ in range(3):
        prepared_folder(target, MADE_FROM, silent, silent)
    assert read == ["content", "more"] * 2
    os.utime(target / "content", (1, 1))
    prepared_folder(target, MADE_FROM, silent, silent)
    assert read == ["content", "more"] * 3


KILLED = """
import sys, time
from pathlib import Path
from rec_gym.cache import atomic_path, prepared_folder

def build(folder):
    (folder / "content").write_text("half")
    print("written", flush=True)
    time.sleep(60)

target = Path(sys.argv[2])
if sys.argv[1] == "file":
    with atomic_path(target) as path:
        path.write_text("half")
        print("written", flush=True)
        time.sleep(60)
else:
    prepared_folder(target, {"source": "x", "numbers": [1, 2]}, build, print)
"""


def kill_while_writing(kind, target):
    child = subprocess.Popen([sys.executable, "-c", KILLED, kind, str(target)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_a_killed_process_leaves_no_half_file(tmp_path):
    target = tmp_path / "file.txt"
    kill_while_writing("file", target)
    assert not target.exists()
    target.write_text("whole")
    kill_while_writing("file", target)
    assert target.read_text() == "whole"


def test_what_a_killed_process_was_writing_is_removed_a_day_later(tmp_path):
    target = tmp_path / "file.txt"
    kill_while_writing("file", target)
    (left,) = tmp_path.iterdir()
    atomic_text(target)
    assert left.exists()  # it may belong to a process that is at work
    os.utime(left, (0, 0))
    atomic_text(target)
    assert left.exists()  # something in it is new
    os.utime(left / "file.txt", (0, 0))
    atomic_text(tmp_path / "file.txt.other")
    atomic_text(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "file.txt.other"]


def atomic_text(target):
    with atomic_path(target) as path:
        path.write_text("whole")


def build_content(folder):
    (folder / "content").write_text("whole")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "more").write_text("of it")


def silent(message):
    raise AssertionError(message)


def test_a_killed_builder_leaves_no_folder_and_its_remains_are_removed(tmp_path):
    target = tmp_path / "thing-1"
    kill_while_writing("folder", target)
    assert not target.exists()
    other = tmp_path / ".thing-1.5.abcdefgh"
    other.mkdir()  # belongs to the folder thing-1.5
    assert any(path.is_dir() for path in tmp_path.iterdir() if path != other)
    prepared_folder(target, MADE_FROM, build_content, silent)
    assert (target / "content").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [other.name, "thing-1"]


def test_prepared_folder_is_built_once(tmp_path):
    target = tmp_path / "new" / "thing"
    assert prepared_folder(target, MADE_FROM, build_content, silent) == target
    files = json.loads((target / MANIFEST).read_text())["files"]
    assert {name: entry["size"] for name, entry in files.items()} == {"content": 5, "deeper/more": 5}
    assert files["content"]["xxh3_128"] == xxhash.xxh3_128_hexdigest(b"whole")
    prepared_folder(target, MADE_FROM, silent, silent)


def cut(target):
    (target / "content").write_text("who")


def remove_a_file(target):
    (target / "deeper" / "more").unlink()


def empty_the_manifest(target):
    (target / MANIFEST).write_text("")


def cut_the_manifest(target):
    (target / MANIFEST).write_text((target / MANIFEST).read_text()[:40])


def make_the_manifest_a_list(target):
    (target / MANIFEST).write_text("[]")


def remove_the_manifest(target):
    (target / MANIFEST).unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "its file content is damaged"),
        (remove_a_file, "more"),
        (empty_the_manifest, "cannot be read"),
        (cut_the_manifest, "cannot be read"),
        (make_the_manifest_a_list, "cannot be read"),
        (remove_the_manifest, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_built_anew_and_said_to_be(tmp_path, damage, reason):
    target, said = tmp_path / "thing", []
    prepared_folder(target, MADE_FROM, build_content, said.append)
    damage(target)
    prepared_folder(target, MADE_FROM, build_content, said.append)
    assert len(said) == 1
    assert "is rebuilt" in said[0]
    assert reason in said[0]
    assert (target / "content").read_text() == "whole"


def test_a_stale_folder_is_built_anew(tmp_path):
    target, said = tmp_path / "thing", []
    prepared_folder(target, MADE_FROM, build_content, said.append)
    prepared_folder(target, MADE_FROM | {"source": "y"}, build_content, said.append)
    assert "made from other data or by another version" in said[0]


def test_a_builder_that_raises_leaves_nothing(tmp_path):
    def build(folder):
        build_content(folder)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        prepared_folder(tmp_path / "thing", MADE_FROM, build, silent)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")  # mode bits would not stop a test that runs as root

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="REC_GYM_HOME"):
        prepared_folder(tmp_path / "new" / "thing", MADE_FROM, build_content, silent)


BUILDER = """
import sys, time
from pathlib import Path
from rec_gym.cache import prepared_folder

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (folder / "content").write_text("who")
    time.sleep(0.5)
    (folder / "content").write_text("whole")

print((prepared_folder(Path(sys.argv[1]), {"a": 1}, build, print) / "content").read_text())
"""


def test_two_processes_at_once_build_once(tmp_path):
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "thing"), str(tmp_path / "log")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [child.communicate(timeout=60)[0] for child in children] == ["whole\n", "whole\n"]
    assert [child.returncode for child in children] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
