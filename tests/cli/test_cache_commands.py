"""`rec-gym cache`: what is listed, removed, and found to be of no more use."""

import gc
import json
import os
import time

import pytest
from filelock import FileLock
from typer.testing import CliRunner

import rec_gym
from rec_gym.cli import app
from rec_gym.cli.cache_entries import entries

SHOP = "RecR1-CornerShop-BM25-v0"
runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    gc.collect()


def run(*arguments, input=None):
    return runner.invoke(app, [str(argument) for argument in arguments], input=input)


def good(*arguments, input=None):
    result = run(*arguments, input=input)
    assert result.exit_code == 0, result.output
    return result.output


def fails(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    return next(line for line in result.stderr.splitlines() if line.startswith("Error: "))


class TestCache:
    @pytest.fixture
    def filled(self, home):
        """Three folders, of which one is old, and what a killed download left."""
        for name, size in (("datasets/new-1", 1000), ("datasets/old-2", 2000), ("indexes/bm25-3", 3000)):
            (home / name).mkdir(parents=True)
            (home / name / "file").write_bytes(bytes(size))
        (home / "downloads" / ".esci-4.partial").mkdir(parents=True)
        options = {"made": {"options": {"domain": "All_Beauty", "data_dir": ""}}, "files": {}}
        (home / "datasets/new-1/manifest.json").write_text(json.dumps(options))
        sources = {"sources": [{"repo": "a/b", "path": "x"}, {"repo": "a/b", "path": "y"}, {"url": "http://c/d"}]}
        (home / "downloads/.esci-4.partial/rec-gym-download.json").write_text(json.dumps(sources))
        os.utime(home / "datasets/old-2", (time.time() - 10 * 86400,) * 2)
        return home

    def names(self):
        return [entry.name for entry in entries()]

    def test_listed(self, filled):
        lines = good("cache").splitlines()
        rows = {line.split("│")[2].strip(): line for line in lines if line.count("│") > 3}
        assert list(rows) == ["esci-4", "new-1", "old-2", "bm25-3"]
        assert "download, unfinished" in rows["esci-4"]
        assert "a/b, http://c/d" in rows["esci-4"]
        assert "domain=All_Beauty " in rows["new-1"]
        assert "10 days" in rows["old-2"]
        assert "3.00 kB" in rows["bm25-3"]
        assert lines[-2].endswith(f" in {filled}")
        assert lines[-1] == "`rec-gym cache prune` removes 1 folder of no more use, 96 bytes"

    def test_nothing_to_list_or_to_remove(self, home):
        assert good("cache") == f"{home} holds nothing yet\n"
        assert good("cache", "remove", "--all") == "nothing to remove\n"

    def test_removed_by_name_after_a_question(self, filled):
        refused = run("cache", "remove", "old-2", "bm25-3", input="n\n")
        assert "data set: old-2 (2.00 kB)\nindex: bm25-3 (3.00 kB)\nRemove 2 folders, 5.00 kB? [y/N]" in refused.output
        assert refused.exit_code == 1
        assert run("cache", "remove", "old-2").exit_code == 1  # nobody answers
        assert self.names() == ["esci-4", "new-1", "old-2", "bm25-3"]
        assert "removed 2 folders" in good("cache", "remove", "old-2", "bm25-3", input="y\n")
        assert self.names() == ["esci-4", "new-1"]

    def test_removed_by_age_or_all(self, filled):
        assert "removed 1 folder, 2.00 kB\n" in good("cache", "remove", "--older-than", "5", "--yes")
        assert self.names() == ["esci-4", "new-1", "bm25-3"]
        assert "removed 3 folders" in good("cache", "remove", "--all", "--yes")
        assert not [path for path in filled.rglob("*") if path.is_file() and path.suffix != ".lock"]

    def test_what_is_wrong(self, filled):
        assert (
            "the cache does not hold it: unknown name 'x'; choose from: bm25-3, esci-4, new-1, old-2, or `rec-gym cache`"
            in fails("cache", "remove", "x")
        )
        for arguments in ((), ("new-1", "--all"), ("--all", "--older-than", "1")):
            assert "say what to remove: names" in fails("cache", "remove", *arguments)

    def test_what_is_being_prepared_stays(self, filled):
        with FileLock(filled / "downloads" / ".esci-4.lock"):
            assert "esci-4 is being prepared by another process" in fails("cache", "remove", "esci-4", "--yes")
        assert "esci-4" in self.names()

    def test_what_is_removed_is_made_again(self):
        rec_gym.make_task(SHOP)
        gc.collect()
        kinds = {entry.kind for entry in entries()}
        assert {"data set", "index"} <= kinds
        good("cache", "remove", "--all", "--yes")
        assert len(rec_gym.make_task(SHOP).dataset.catalog) == 5000
