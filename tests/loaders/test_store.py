"""Datasets by the name of their loader: converted once, kept, shared; and progress bars that stay out of the way."""

import gc
import io
import os
import subprocess
import sys

import pytest

from rec_gym import progress
from rec_gym.datasets.store import open_dataset

LOADER = """
import os
from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset

GET_DATA = "Write a file with words."

def load(data_dir, upper=False, repeat=1) -> Dataset:
    with open(os.path.join(os.path.dirname(data_dir), "log"), "a") as log:
        log.write("converted\\n")
    with open(os.path.join(data_dir, "words.txt")) as file:
        words = file.read().upper().split() if upper else file.read().split()
    catalog = Catalog.from_columns({"item_id": words, "title": [" ".join([w] * repeat) for w in words]})
    return Dataset.from_requests(catalog, [{"id": "q", "split": "test", "text": "x", "targets": words[:1]}])

def wrong(data_dir="") -> Dataset:
    return "no dataset"

def embedded(size=3) -> Dataset:
    catalog = Catalog.from_columns({"item_id": [str(k) for k in range(size)], "title": ["x"] * size})
    return Dataset.from_requests(catalog, [{"id": "q", "split": "test", "text": "x", "targets": ["0"]}])
"""
NAME = "own_words:load"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache folder, an importable loader and its data."""
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "own_words", raising=False)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_words.py").write_text(LOADER)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("one two")
    yield tmp_path
    sys.modules.pop("own_words", None)


def conversions(place):
    return len((place / "log").read_text().splitlines())


def test_converted_once_and_shared(place):
    data = str(place / "data")
    first = open_dataset(NAME, {"data_dir": data})
    assert first.catalog.ids([0, 1]) == ["one", "two"]
    assert open_dataset(NAME, {"data_dir": data + "/", "upper": False}) is first
    assert conversions(place) == 1
    del first
    gc.collect()
    assert open_dataset(NAME, {"data_dir": data}).request("q").gains == {"one": 1.0}
    assert conversions(place) == 1
    assert [path.name[:10] for path in (place / "home" / "datasets").iterdir() if path.is_dir()] == ["own_words-"]


def test_other_options_files_or_code_are_converted_again(place):
    data = {"data_dir": str(place / "data")}
    kept = open_dataset(NAME, data)
    assert open_dataset(NAME, data | {"upper": True}).catalog.ids([0]) == ["ONE"]
    assert conversions(place) == 2
    (place / "data" / "words.txt").write_text("three four")
    assert open_dataset(NAME, data).catalog.ids([0]) == ["three"]
    assert conversions(place) == 3
    (place / "code" / "own_words.py").write_text(LOADER.replace('"x"', '"y"'))
    del sys.modules["own_words"]
    assert open_dataset(NAME, data).request("q").text == "y"
    assert conversions(place) == 4
    assert kept.catalog.ids([0]) == ["one"]


def test_a_loader_without_files(place):
    assert len(open_dataset("own_words:embedded", {}).catalog) == 3
    assert open_dataset("own_words:embedded", {"size": 3}) is open_dataset("own_words:embedded", {"size": 3})
    assert len(open_dataset("own_words:embedded", {"size": 4}).catalog) == 4


@pytest.mark.parametrize(
    ("loader", "options", "message"),
    [
        ("own_words", {}, "'own_words' is not of the form package.module:Name or FILE.py:Name"),
        ("no_such_words:load", {}, "'no_such_words:load' cannot be loaded"),
        ("own_words:open", {}, "'own_words:open' cannot be loaded"),
        ("own_words:GET_DATA", {}, "not a loader; name a Python function that is annotated to return a Dataset"),
        (NAME, {"data_dir": "x", "uper": 1, "a": 2}, "has no option 'a', 'uper'; choose from: data_dir, upper, repeat"),
        (NAME, {}, r"own_words:load needs data_dir=\.\.\. Write a file with words\."),
        (NAME, {"data_dir": ""}, "needs data_dir="),
        (NAME, {"data_dir": 3}, "data_dir is the path of a folder, not 3"),
        ("own_words:embedded", {"size": object()}, "must be strings, numbers and booleans"),
    ],
)
def test_what_is_wrong_is_reported(place, loader, options, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(loader, options)


def test_a_folder_that_is_missing(place):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; own_words:load reads it\. Write a file"):
        open_dataset(NAME, {"data_dir": str(place / "nowhere")})
    with pytest.raises(FileNotFoundError, match=r"words\.txt is not a folder"):
        open_dataset(NAME, {"data_dir": str(place / "data" / "words.txt")})


def test_what_a_loader_returns_is_checked(place):
    with pytest.raises(TypeError, match="must return a Dataset, not str"):
        open_dataset("own_words:wrong", {"data_dir": str(place / "data")})


def test_a_failed_conversion_leaves_nothing(place):
    (place / "data" / "words.txt").write_text("")
    for _ in range(2):
        with pytest.raises(ValueError, match="the catalogue is empty"):
            open_dataset(NAME, {"data_dir": str(place / "data")})
    assert not any(path.is_dir() for path in (place / "home" / "datasets").iterdir())


def test_a_damaged_conversion_is_rebuilt_with_a_warning(place):
    data = {"data_dir": str(place / "data")}
    open_dataset(NAME, data)
    gc.collect()
    (path,) = (place / "home" / "datasets").glob("own_words-*/catalog.arrow")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match=r"rebuilt: its file catalog\.arrow is damaged"):
        assert open_dataset(NAME, data).catalog.ids([1]) == ["two"]


def test_two_processes_at_once_convert_once(place):
    code = f"from rec_gym.datasets.store import open_dataset; print(open_dataset({NAME!r}, {{'data_dir': 'data'}}))"
    paths = os.pathsep.join([str(place / "code"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))}
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=place, env=environment)
        for _ in range(2)
    ]
    assert [child.communicate(timeout=60)[0] for child in children] == ["Dataset(2 items; requests: test 1)\n"] * 2
    assert conversions(place) == 1


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_short_work_and_pipes_stay_silent(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    if stream is io.StringIO:
        monkeypatch.setattr(progress, "_PATIENCE", 0)
    assert list(progress.track(range(5), "counting")) == [0, 1, 2, 3, 4]
    assert sys.stderr.getvalue() == ""


def test_long_work_shows_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_PATIENCE", 0)
    assert list(progress.track(iter(range(3)), "counting", total=3)) == [0, 1, 2]
    assert "counting" in sys.stderr.getvalue()
    assert capsys.readouterr().out == ""
