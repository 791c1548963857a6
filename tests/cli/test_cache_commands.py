"""`rec-gym cache`: what is listed, removed, and found to be of no more use."""

import gc
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from helpers.command_line import fails, good, run

import rec_gym
from rec_gym.cli.cache_entries import entries
from rec_gym.datasets.store import open_dataset

SHOP, BEIR = "RecR1-CornerShop-BM25-v0", "RecR1-BEIR-BM25-v0"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    gc.collect()


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


class TestPrune:
    @pytest.fixture
    def data(self, tmp_path):
        """A folder in BEIR's layout that grows."""
        folder = tmp_path / "data"
        (folder / "qrels").mkdir(parents=True)
        (folder / "queries.jsonl").write_text('{"_id": "1", "text": "light"}\n')
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n")
        self.grow(folder, "red lamp")
        return folder

    def grow(self, folder, *titles):
        lines = [json.dumps({"_id": chr(97 + i), "title": title, "text": ""}) for i, title in enumerate(titles)]
        (folder / "corpus.jsonl").write_text("\n".join(lines))

    def use(self, folder):
        """Converts and indexes what is in the folder now; the conversion."""
        path = rec_gym.make_task(BEIR, data_dir=str(folder), split="all").dataset._folder
        gc.collect()
        return path

    def useless(self):
        return {entry.path.name: entry.label for entry in entries() if entry.useless}

    def indexes(self, home):
        return {path.name for path in (home / "indexes").iterdir() if path.is_dir()}

    def test_what_a_growing_folder_leaves(self, data, home):
        first = self.use(data)
        of_first = self.indexes(home)
        self.grow(data, "red lamp", "blue rug")
        second = self.use(data)
        [old], new = of_first, self.indexes(home) - of_first
        expected = {first.name: "data set, superseded", old: "index, superseded"}
        assert self.useless() == expected
        listed = good("cache")
        assert "│ data set, superseded │" in listed
        assert "`rec-gym cache prune` removes 2 folders of no more use, " in listed
        before = {path: path.stat().st_mtime_ns for path in second.iterdir()}
        shown = good("cache", "prune", "--dry-run")
        assert shown.splitlines()[-1].startswith("would remove 2 folders, ")
        assert self.useless() == expected
        assert run("cache", "prune", input="n\n").exit_code == 1
        assert self.useless() == expected
        removed = good("cache", "prune", "--yes")
        assert removed.splitlines()[:2] == shown.splitlines()[:2]
        assert removed.splitlines()[-1] == shown.splitlines()[-1].replace("would remove", "removed")
        assert self.useless() == {}
        assert self.indexes(home) == new
        assert self.use(data) == second
        assert {path: path.stat().st_mtime_ns for path in second.iterdir()} == before
        assert good("cache", "prune") == "nothing to remove\n"

    def test_other_options_and_a_catalogue_that_is_shared_stay(self, data, home):
        first = self.use(data)
        open_dataset("rec_gym.datasets.beir:load", {"data_dir": str(data), "encoding": "latin-1"})
        assert self.useless() == {}
        (data / "queries.jsonl").write_text('{"_id": "1", "text": "lights"}\n')
        self.use(data)
        assert self.useless() == {first.name: "data set, superseded"}  # its index is that of the same catalogue

    def test_an_earlier_state_of_the_data_that_is_back(self, data):
        times = (data / "corpus.jsonl").stat()
        first = self.use(data)
        self.grow(data, "red lamp", "blue rug")
        second = self.use(data)
        self.grow(data, "red lamp")
        os.utime(data / "corpus.jsonl", ns=(times.st_atime_ns, times.st_mtime_ns))
        assert self.use(data) == first
        assert second.name in self.useless()
        assert first.name not in self.useless()
        shutil.rmtree(data)  # then the later one counts
        assert first.name in self.useless()

    def test_indexes_of_an_older_format_and_of_superseded_vectors(self, home):
        made = {"recommender": "dense", "catalog": "c", "fields": ["title"]}
        for name, manifest in {
            "dense-1": {**made, "format": 1},
            "dense-2": {**made, "format": 2},
            "dense-3": {**made, "fields": ["text"], "format": 1},
            "dense-1-hnsw-4": {"vectors": "dense-1", "index": "hnsw"},
            "dense-2-hnsw-5": {"vectors": "dense-2", "index": "hnsw"},
            "unknown-6": ["x"],
        }.items():
            (home / "indexes" / name).mkdir(parents=True)
            (home / "indexes" / name / "manifest.json").write_text(json.dumps({"made": manifest, "files": {}}))
        assert set(self.useless()) == {"dense-1", "dense-1-hnsw-4"}

    def test_what_was_left_unfinished(self, home):
        def folder(name, size=0, file="file"):
            (home / name / file).parent.mkdir(parents=True)
            (home / name / file).write_bytes(bytes(size))

        folder("downloads/.empty-1.partial", 99, "rec-gym-download.json")
        folder("downloads/.notes-2.partial", 99, ".cache/huggingface/.gitignore")
        folder("downloads/.begun-3.partial", 1, ".cache/huggingface/download/x.incomplete")
        folder("downloads/.begun-4.partial", 1, ".rec-gym/ab/file.part")
        folder("downloads/whole-5", 1)
        folder("datasets/.killed-6.abc_123", 9)
        folder("indexes/dense-7.parts", 9)
        folder("indexes/dense-8.parts", 9)
        folder("indexes/dense-8", 9)
        folder("indexes/.dense-9.parts.abc_123", 9)
        assert self.useless() == {
            ".empty-1.partial": "download, unfinished, empty",
            ".notes-2.partial": "download, unfinished, empty",
            ".killed-6.abc_123": "data set, unfinished, left behind",
            "dense-8.parts": "index, unfinished, left behind",
            ".dense-9.parts.abc_123": "index, unfinished, left behind",
        }
        with FileLock(home / "datasets" / ".killed-6.lock"), FileLock(home / "indexes" / ".dense-8.lock"):
            output = good("cache", "prune", "--yes")
        assert "kept: killed-6 is being prepared by another process" in output
        assert "kept: dense-8.parts is being prepared by another process" in output
        assert "removed 3 folders, 207 bytes" in output
        assert set(self.useless()) == {".killed-6.abc_123", "dense-8.parts"}
        assert "removed 2 folders, 18 bytes" in good("cache", "prune", "--yes")
        names = {path.name for kind in home.iterdir() for path in kind.iterdir() if path.is_dir()}
        assert names == {".begun-3.partial", ".begun-4.partial", "whole-5", "dense-7.parts", "dense-8"}

    def test_a_download_that_begins_while_one_is_asked_stays(self, home, monkeypatch):
        partial = home / "downloads" / ".esci-1.partial"
        partial.mkdir(parents=True)

        def answer(*arguments, **keywords):
            (partial / "file").write_bytes(b"x")

        monkeypatch.setattr("typer.confirm", answer)
        assert "removed 0 folders" in good("cache", "prune")
        assert (partial / "file").is_file()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process maps")
    def test_what_another_process_reads_stays(self, data):
        first = self.use(data)
        code = (
            "import sys; from rec_gym import Dataset; from pathlib import Path\n"
            "dataset = Dataset.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "open\n"
            self.grow(data, "red lamp", "blue rug")
            self.use(data)
            output = good("cache", "prune", "--yes")
            assert f"kept: {first.name} is in use by process {process.pid}\n" in output
            assert "removed 1 folder, " in output  # its index
        finally:
            process.communicate("")
        assert "removed 1 folder, " in good("cache", "prune", "--yes")
        assert not first.exists()
