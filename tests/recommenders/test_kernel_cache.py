"""Compiled code is kept, and loaded only where nobody else can have written it."""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
from pathlib import Path

import pytest
from test_cache_damage import said_once

from benchmarks.attacks.shop import HARMS, harm
from rec_gym.recommenders.bm25 import compilation

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def fake_kernels(monkeypatch):
    """In the place of the compiler: writes a file where the compiler would, and says whence it was loaded."""
    log = []

    def load(folder):
        if folder is None:
            log.append("in memory")
        elif (folder / "code.nbc").exists():
            log.append("loaded")
            if (folder / "code.nbc").read_text() == "poison":
                raise RuntimeError("unpickled")
        else:
            log.append("compiled")
            (folder / "code.nbc").write_text("code")
        return sys

    monkeypatch.setattr(compilation, "_import", load)
    return log


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def kernels_of(home: Path) -> Path:
    (folder,) = (home / "kernels").glob("slp1-*")
    return folder


def test_kernels_are_kept_and_loaded(home, fake_kernels):
    for _ in range(3):
        compilation._compile()
    assert fake_kernels == ["compiled", "loaded", "loaded"]


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", ["code.nbc", "manifest.json"])
def test_damaged_code_is_not_loaded(home, fake_kernels, caplog, name, how):
    compilation._compile()
    harm(kernels_of(home) / name, how)
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    said_once(caplog, kernels_of(home), name)
    assert fake_kernels == ["compiled", "compiled"]


@pytest.mark.skipif(os.name == "nt", reason="this system has no modes")
@pytest.mark.parametrize("name", [".", "code.nbc"])
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_code_that_others_may_write_is_not_loaded(home, fake_kernels, caplog, name, mode):
    compilation._compile()
    (kernels_of(home) / name).chmod(mode)
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    assert fake_kernels == ["compiled", "compiled"]
    assert "is rebuilt: other users may write" in caplog.text
    compilation._compile()
    assert fake_kernels == ["compiled", "compiled", "loaded"]


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
@pytest.mark.parametrize("name", [".", "code.nbc"])
def test_code_of_another_user_is_not_loaded(home, fake_kernels, caplog, name):
    compilation._compile()
    os.chown(kernels_of(home) / name, NOBODY, NOBODY)
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    assert fake_kernels == ["compiled", "compiled"]
    assert "belongs to another user, whose code is not run" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="this system has no modes")
def test_nothing_is_kept_below_a_folder_that_all_may_write(home, tmp_path, fake_kernels, caplog, monkeypatch):
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setattr(compilation, "default_home", lambda: tmp_path / "own")
    compilation._compile()
    compilation._compile()
    assert fake_kernels == ["compiled", "loaded"]
    assert list((tmp_path / "own" / "kernels").glob("slp1-*"))
    assert not (home / "kernels").exists()
    (tmp_path / "own").chmod(0o777)
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    assert fake_kernels == ["compiled", "loaded", "in memory"]
    assert "every user may write" in caplog.text


def test_code_that_the_compiler_refuses_is_compiled_anew(home, fake_kernels, caplog, monkeypatch):
    monkeypatch.setattr("rec_gym.cache.check_folder", lambda folder, may_trust: "")
    compilation._compile()
    (kernels_of(home) / "code.nbc").write_text("poison")
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    assert fake_kernels == ["compiled", "loaded", "loaded", "compiled"]  # once more under the lock
    assert "the compiler cannot load it (RuntimeError: unpickled)" in caplog.text


def test_no_temporary_folder_means_in_memory(fake_kernels, caplog, monkeypatch):
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with caplog.at_level(logging.WARNING):
        compilation._compile()
    assert fake_kernels == ["in memory"]
    assert "cannot be cached" in caplog.text
