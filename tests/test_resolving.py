"""Names of code: what is found, what is suggested, and that nothing is called before it is checked."""

import functools
import os
import pickle
import subprocess
import sys
import types

import pytest

import rec_gym
from rec_gym.policies import make_policy
from rec_gym.recommenders import RecommenderError, make_recommender
from rec_gym.recommenders.dense.encoder import ENCODER, open_encoder
from rec_gym.recommenders.registry import RECOMMENDER
from rec_gym.resolving import absolute, is_path, resolve, split_path

CODE = '''
from __future__ import annotations
from typing import TYPE_CHECKING, Any

import numpy as np
from rec_gym import Rankings

if TYPE_CHECKING:
    from somewhere import Encoder, Recommender

class First:
    """Ranks the first item."""
    query_language = "any"

    def __init__(self, place: int = 0):
        self.place = place

    def rank(self, queries, k, exclude=None):
        items = np.full((len(queries), 1), self.place, np.int32)
        return Rankings(items, np.ones(items.shape, np.float32))

def declared(place: int = 0) -> Recommender:
    return First(place)

def concrete() -> First:
    return First()

def liar() -> Recommender:
    return 7

def unsaid():
    raise SystemExit("was called")

def encoder() -> Encoder:
    class Zeros:
        def encode(self, texts):
            return np.ones((len(texts), 2), np.float32)
    return Zeros()

class Nothing:
    def __init__(self):
        raise SystemExit("was called")
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "engines.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize("name", ["First", "declared", "concrete"])
def test_a_recommender_from_a_file(file, catalog, name):
    for source in ("engines.py", str(file)):
        recommender = make_recommender(f"{source}:{name}", {"place": 2} if name != "concrete" else {}, catalog)
        assert recommender.rank(["x"], 1).items.tolist() == [[2 if name != "concrete" else 0]]


def test_a_recommender_from_a_module_of_the_current_folder(file, catalog):
    file.rename(file.with_name("engines_here.py"))
    before = list(sys.path)
    assert make_recommender("engines_here:First", {}, catalog).place == 0
    assert sys.path == before
    del sys.modules["engines_here"]


def test_a_folder_that_is_on_the_path_keeps_its_place(file, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(file.parent), *sys.path])
    before = list(sys.path)
    resolve("engines.py:First")
    assert sys.path == before


def test_a_file_is_one_module_until_it_changes(file, catalog):
    first = make_recommender("engines.py:First", {}, catalog)
    assert make_recommender("engines.py:First", {}, catalog) is first
    assert resolve("engines.py:First") is resolve(f"{file}:First")
    assert pickle.loads(pickle.dumps(first)).place == 0
    file.write_text(CODE.replace("place: int = 0", "place: int = 1"))
    assert make_recommender("engines.py:First", {}, catalog).place == 1


def test_a_file_that_fails_leaves_what_was_there(file):
    first = resolve("engines.py:First")
    file.write_text("raise RuntimeError('broken')")
    with pytest.raises(RuntimeError, match="broken"):
        resolve("engines.py:First")
    assert getattr(sys.modules[first.__module__], "First") is first  # noqa: B009


def test_an_encoder_from_a_file(file):
    assert open_encoder("engines.py:encoder").encode(["a"]).shape == (1, 2)


@pytest.mark.parametrize("name", ["subprocess:getoutput", "os:system", "subprocess:Popen", "engines.py:Nothing"])
@pytest.mark.parametrize("door", ["recommender", "encoder", "policy"])
def test_what_is_something_else_is_refused_and_not_called(file, catalog, dataset, overlap, monkeypatch, name, door):
    called = []
    for module, function in ((subprocess, "getoutput"), (os, "system")):
        monkeypatch.setattr(
            module, function, functools.wraps(getattr(module, function))(lambda *a, **k: called.append(a))
        )
    settings = {"cmd": "true"} if name == "subprocess:getoutput" else {"command": "true"} if "os" in name else {}
    use = {
        "recommender": lambda: make_recommender(name, settings, catalog),
        "encoder": lambda: open_encoder({"name": name, **settings}),
        "policy": lambda: make_policy(f"{name}:true" if settings else name, rec_gym.Task(dataset, overlap)),
    }
    with pytest.raises(ValueError, match=f"'{name}' is the (function|class) .*, not an? {door}; name a"):
        use[door]()
    assert called == []


def test_a_function_says_what_it_makes(file, catalog):
    with pytest.raises(ValueError, match=r"is the function unsaid\(\), not a recommender; name .* `-> Recommender`"):
        make_recommender("engines.py:unsaid", {}, catalog)
    with pytest.raises(ValueError, match=r"returned a int without rank\(\)"):
        make_recommender("engines.py:liar", {}, catalog)
    assert not ENCODER.accepts(resolve("engines.py:declared"))
    assert RECOMMENDER.accepts(functools.partial(resolve("engines.py:First"), 3))
    assert not RECOMMENDER.accepts(functools.partial(os.system, "true"))


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("engines.py:Frist", ValueError, "unknown name 'Frist'; did you mean 'First'.; choose from: First, declared"),
        ("engine.py:First", FileNotFoundError, "no file 'engine.py', which .* names; did you mean 'engines.py'"),
        ("engines:Nope", ValueError, "unknown name 'Nope'; choose from: First, declared"),
        (
            "jsn:loads",
            ValueError,
            "no module 'jsn', neither installed nor in the current folder; did you mean .*'json'",
        ),
        ("json.decodr:x", ValueError, "no module 'json.decodr', .*; did you mean 'json.decoder'"),
        ("json:load_", ValueError, "unknown name 'load_'; did you mean 'load'"),
        ("folder/engines:First", FileNotFoundError, "no file 'folder/engines'"),
        ("engines", ValueError, "'engines' is not of the form package.module:Name or FILE.py:Name"),
        ("engines.py:", ValueError, "is not of the form"),
        (".engines:First", ValueError, "is not of the form"),
        ("engines.py:First:argument", ValueError, "is not of the form"),
    ],
)
def test_errors_suggest_what_was_meant(file, path, error, message):
    before = list(sys.path)
    with pytest.raises(error, match=message):
        resolve(path)
    assert sys.path == before
    sys.modules.pop("engines", None)


def test_a_module_that_lacks_something_itself_says_so(file):
    file.write_text("import surely_not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        resolve("engines.py:First")


def test_paths_are_told_from_names_and_models():
    for text in ("json:loads", "a.b:c", "folder/file.py:Name", "./my file.py:Name", "C:\\code\\mine.py:Name"):
        assert is_path(text)
    for text in ("bm25", "intfloat/e5-small", "./folder", "a:b:c", "http://x.org:80", "C:\\models\\mine"):
        assert not is_path(text)
    assert split_path("C:\\code\\mine.py:Name:a:b") == ("C:\\code\\mine.py", "Name", "a:b")


def test_a_file_becomes_absolute(file):
    assert absolute("engines.py:First") == f"{file.resolve()}:First"
    assert absolute("json:loads") == "json:loads"


def test_modules_with_lazy_names_are_read(monkeypatch):
    lazy = types.ModuleType("lazy_for_tests")
    lazy.__getattr__ = lambda name: RecommenderError
    monkeypatch.setitem(sys.modules, "lazy_for_tests", lazy)
    assert resolve("lazy_for_tests:Anything") is RecommenderError
