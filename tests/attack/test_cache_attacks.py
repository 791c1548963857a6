"""Damaged files, kills and small disks, in small: `python -m benchmarks.attack damage kills disk` goes on for as long as wanted."""

import os
import random
import signal
from collections import Counter

import pytest

from benchmarks.attacks import damage, disks, kills
from benchmarks.attacks.worker import Worker
from rec_gym.cache import cache_home
from rec_gym.recommenders.bm25.compilation import load_kernels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a job is a forked process"),
]


@pytest.fixture(scope="module")
def worker():
    load_kernels()  # so that they are kept: the worker loads them
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def files():
    with kills.downloads() as arguments:
        yield arguments


@pytest.mark.parametrize("job", damage.CACHED)
def test_damaged_files_score_as_before(worker, tmp_path, job):
    draw, target = random.Random(job), damage.Target(worker, tmp_path / job, job)
    for _ in range(6):
        counts = target.check(damage.random_harms(target, draw), draw)
        assert counts["caches rebuilt, same score"] == 1


def test_damaged_kernels_are_not_run(tmp_path):
    load_kernels()
    draw = random.Random(0)
    with Worker(with_kernels=False) as worker:
        target = damage.kernels(worker, tmp_path, cache_home())
        for _ in range(4):
            assert target.check(damage.random_harms(target, draw), draw)["kernels refused"] == 1


@pytest.mark.parametrize("job", [*kills.ARGUMENTS, "fetch"])
def test_a_kill_leaves_nothing_half(worker, tmp_path, files, job):
    arguments = (kills.ARGUMENTS | {"fetch": files})[job]
    draw, victim = random.Random(job), kills.Victim(worker, tmp_path / job, job, arguments)
    for count in (1, 1, 3):
        assert victim.check(draw, count)["whole afterwards, same score"] == 1


@pytest.mark.parametrize("job", [*disks.ARGUMENTS, "fetch"])
def test_a_small_disk_is_a_plain_error(worker, tmp_path, files, job):
    arguments = (disks.ARGUMENTS | {"fetch": files})[job]
    counts = Counter()
    for kilobytes in (16, 200, 2000):
        try:
            counts += disks.check(worker, tmp_path / "disk", kilobytes, job, arguments)
        except disks.NoSmallDiskError as error:
            pytest.skip(str(error))
    assert counts["full disks, a plain error"]


# What the attacks would say


def test_another_score_is_noticed(worker, tmp_path):
    target = damage.Target(worker, tmp_path / "index", "index")
    target.expected.value[1][0][0] += 0.1
    with pytest.raises(AssertionError, match=r"another score: index after .*impact.npy.*flipped"):
        target.check([(next(target.home.rglob("impact.npy")), "flipped")], random.Random(0))


def test_a_signal_is_distinguished_from_an_error(worker, tmp_path):
    assert worker.run("index", tmp_path, kill_after=0, items=40).signal == signal.SIGKILL
    failed = worker.run("index", tmp_path, items="many")
    assert (failed.signal, failed.error[0]) == (0, "TypeError")
    assert not worker.run("index", tmp_path, items=40).error


def test_what_a_kill_left_is_noticed(worker, tmp_path, monkeypatch):
    victim = kills.Victim(worker, tmp_path / "index", "index", {"items": 40})
    monkeypatch.setattr(victim, "_begin", lambda draw: (victim.home / ".other.abc").mkdir(exist_ok=True))
    with pytest.raises(AssertionError, match=r"leaves .*\.other\.abc"):
        victim.check(random.Random(0))
