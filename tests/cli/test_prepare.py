"""`rec-gym prepare`, and first use of an id whose data are fetched."""

import gc
import hashlib
import io
import json
import shutil
import sys
import zipfile

import gymnasium as gym
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.command_line import fails, good

import rec_gym
from rec_gym.datasets import beir
from rec_gym.datasets.store import open_dataset, recipe_of
from rec_gym.fetching.download import FetchError, mirrored

ESCI, BEIR, SHOP = "RecR1-ESCI-BM25-v0", "RecR1-BEIR-BM25-v0", "RecR1-CornerShop-BM25-v0"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    gc.collect()


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@pytest.fixture
def esci_hub(loopback):
    """The data set as the hub has it: parquet shards whose names tell their split, beside other files."""
    titles = ["red lamp", "blue lamp", "oak chair", "wool rug"]
    shards = {"train-00000-of-00002-1a": [], "train-00001-of-00002-2b": [], "test-00000-of-00001-3c": []}
    for query in range(12):
        shard = sorted(shards)[query % 3]
        for item, title in enumerate(titles):
            shards[shard].append(
                {
                    "example_id": query * 4 + item,
                    "query": titles[query % 4],
                    "query_id": query,
                    "product_id": f"B{item}",
                    "product_locale": "us",
                    "esci_label": "Exact" if item == query % 4 else "Irrelevant",
                    "small_version": 1,
                    "large_version": 1,
                    **{f"product_{name}": None for name in ("description", "bullet_point", "brand", "color", "text")},
                    "product_title": title,
                }
            )
    files = {f"data/{name}.parquet": parquet(rows) for name, rows in shards.items()}
    loopback.add_hub("tasksource/esci", {**files, "README.md": b"# ESCI", ".gitattributes": b""})
    return loopback


def beir_zip(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(
            f"{name}/corpus.jsonl", '{"_id": "a", "title": "red lamp", "text": ""}\n{"_id": "b", "text": "a rug"}\n'
        )
        file.writestr(f"{name}/queries.jsonl", '{"_id": "1", "text": "light"}\n{"_id": "2", "text": "feet"}\n')
        file.writestr(f"{name}/qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\ta\t1\n2\tb\t1\n")
    return buffer.getvalue()


@pytest.fixture
def beir_web(loopback, monkeypatch):
    """BEIR's server with one plain archive and the one that holds several sets."""
    for path, archive in (("nfcorpus", "nfcorpus"), ("cqadupstack/gis", "cqadupstack")):
        content = beir_zip(path)
        loopback.add(f"/thakur/BEIR/datasets/{archive}.zip", content)
        monkeypatch.setitem(beir.MD5, archive, hashlib.md5(content).hexdigest())
    return loopback


class TestPrepare:
    def test_from_the_hub_and_then_without_it(self, esci_hub, home):
        assert "not here yet; fetched on first use, or by `rec-gym prepare RecR1-ESCI-BM25-v0` (2.52 GB)" in good(
            "info", ESCI
        )
        output = good("prepare", ESCI)
        assert "rec-gym: fetching esci: 3 files, " in output
        assert f"{ESCI} is ready: Dataset(4 items; requests: " in output
        assert f"fetched:   {home / 'downloads' / 'esci-'}" in output
        assert f"converted: {home / 'datasets' / 'esci-'}" in output
        assert not esci_hub.fetched("README.md")
        esci_hub.close()
        assert "fetching" not in good("prepare", ESCI)
        assert ", test 4\n" in good("info", ESCI)
        env = gym.make(ESCI, split="test")
        env.reset(seed=0)
        assert env.step("lamp")[1] >= 0
        assert good("evaluate", ESCI, "--policy", "raw", "--split", "test")

    def test_first_use_fetches(self, esci_hub, capfd):
        env = gym.make(ESCI, gains="exact")
        observation, _ = env.reset(seed=0)
        assert env.step(observation)[1] == 1
        assert "rec-gym: fetching esci: 3 files" in capfd.readouterr().err
        rec_gym.make_task(ESCI)  # other options of the same files
        assert capfd.readouterr().err == ""

    def test_from_a_mirror_of_the_web(self, beir_web, home):
        output = good("prepare", BEIR, "--set", "name=nfcorpus", "--mirror", beir_web.url)
        assert "is ready: Dataset(2 items; requests: test 2)" in output
        assert (next(home.glob("downloads/beir-*")) / "nfcorpus" / "corpus.jsonl").is_file()
        assert gym.make(BEIR, name="nfcorpus", split="test").unwrapped.task.name == BEIR
        assert "requests: test 2" in good("prepare", BEIR, "--set", "name=cqadupstack/gis", "--mirror", beir_web.url)

    def test_from_a_folder(self, tmp_path):
        with zipfile.ZipFile(io.BytesIO(beir_zip("nfcorpus"))) as file:
            file.extractall(tmp_path / "data")
        for folder, settings in ((tmp_path / "data/nfcorpus", ()), (tmp_path / "data", ("--set", "name=nfcorpus"))):
            output = good("prepare", BEIR, "--data-dir", folder, *settings)
            assert "Dataset(2 items; requests: test 2)" in output
            assert "fetched:" not in output

    def test_embedded_data(self):
        assert f"{SHOP} is ready: Dataset(" in good("prepare", SHOP, "--set", "items=600")

    def test_what_is_wrong(self, tmp_path):
        assert "unknown BEIR archive 'nope'; choose from: arguana, " in fails("prepare", BEIR, "--set", "name=nope")
        assert "'cqadupstack'; did you mean 'cqadupstack/" in fails("prepare", BEIR, "--set", "name=cqadupstack")
        assert "needs data_dir=... Name a set of the BEIR benchmark" in fails("prepare", BEIR)
        both = fails("prepare", BEIR, "--data-dir", tmp_path, "--mirror", "http://x.org")
        assert "with --data-dir nothing is fetched; leave one of them out" in both
        assert "a mirror is a web address" in fails("prepare", ESCI, "--mirror", "x.org")

    def test_offline(self, loopback):
        loopback.close()
        message = fails("prepare", ESCI)
        assert "the data of esci is not here and cannot be fetched: the Hugging Face hub does not answer" in message
        assert "Missing: 'data/*.parquet of tasksource/esci'; 2.52 GB" in message
        assert "data_dir=... (--data-dir). By hand: clone" in message


class TestStore:
    def test_converted_data_outlive_their_download(self, esci_hub, home):
        rec_gym.make_task(ESCI)
        gc.collect()
        shutil.rmtree(home / "downloads")
        esci_hub.close()
        assert len(rec_gym.make_task(ESCI).dataset.catalog) == 4
        folder = next(home.glob("datasets/esci-*"))
        assert json.loads((folder / "rec-gym-download.json").read_text())["downloads"][0]["source"]["sha256"]

    @pytest.mark.parametrize("kept", [("downloads",), ("downloads", "datasets")])
    def test_a_cache_that_was_copied(self, esci_hub, home, tmp_path, monkeypatch, kept):
        rec_gym.make_task(ESCI)
        esci_hub.close()
        for name in kept:
            shutil.copytree(home / name, tmp_path / "elsewhere" / name)
        monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "elsewhere"))
        before = {path for path in tmp_path.glob("elsewhere/datasets/*") if path.is_dir()}
        assert len(rec_gym.make_task(ESCI).dataset.catalog) == 4
        after = {path for path in tmp_path.glob("elsewhere/datasets/*") if path.is_dir()}
        assert (len(before), len(after)) == (len(kept) - 1, 1)

    def test_a_custom_loader(self, loopback, tmp_path, monkeypatch):
        (tmp_path / "own_words.py").write_text(
            "from pathlib import Path\n"
            "from rec_gym import Catalog, Dataset\n"
            "from rec_gym.fetching.download import WebFile\n"
            "GET_DATA = 'Ask me.'\n"
            "def sources(part='', upper=False):\n"
            "    return [WebFile(f'http://own.invalid/{part}', 'words.txt')] if part else []\n"
            "def load(data_dir, part='', upper=False) -> Dataset:\n"
            "    words = Path(data_dir, 'words.txt').read_text().split()\n"
            "    catalog = Catalog.from_columns({'item_id': words, 'title': [w.upper() if upper else w for w in words]})\n"
            "    return Dataset.from_requests(catalog, [{'id': 'q', 'split': 'test', 'text': 'x', 'targets': words[:1]}])\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        loopback.add("/one", b"a b c")
        with mirrored(loopback.url):
            assert len(open_dataset("own_words:load", {"data_dir": "", "part": "one"}).catalog) == 3
            assert open_dataset("own_words:load", {"part": "one", "upper": True}).catalog.titles([0]) == ["A"]
            assert loopback.fetched("one") == [""]  # other options, but the same files
            with pytest.raises(FetchError, match=r"/two does not exist \(status 404\)"):
                open_dataset("own_words:load", {"part": "two"})
        with pytest.raises(ValueError, match=r"own_words:load needs data_dir=\.\.\. Ask me\."):
            open_dataset("own_words:load", {})
        assert recipe_of("own_words:load", {"part": "one"}).is_prepared
        sys.modules.pop("own_words")
