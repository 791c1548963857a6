"""What makes converted data stale: the modules that a loader imports, and nothing else; and what is a loader at all."""

import importlib
import subprocess
import sys

import pytest

from rec_gym.datasets import source_code
from rec_gym.datasets.source_code import source_hash
from rec_gym.datasets.store import recipe_of

TREE = {
    "__init__.py": "",
    "loading.py": "from shelf.parts import screws\nimport shelf.tools as t\nfrom .near import x\n"
    "from rec_gym import Dataset\ndef load() -> Dataset:\n    from shelf import late\n",
    "parts/__init__.py": "from .nails import N\n",
    "parts/nails.py": "N = 1\n",
    "parts/screws.py": "import shelf.loading\n",  # a circle
    "tools.py": "def broken(:\n",
    "near.py": "x = 1\n",
    "late.py": "raise RuntimeError('run')\n",
    "other.py": "",
    "parts/unused.py": "",
}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A package whose modules are only looked at: importing some of them would fail."""
    for name, text in TREE.items():
        path = tmp_path / "shelf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module("shelf")

    def load():
        """Stands for `shelf.loading.load`, which cannot be imported."""

    load.__module__ = "shelf.loading"
    yield tmp_path / "shelf", load
    assert {name for name in sys.modules if name.startswith("shelf")} == {package.__name__}
    del sys.modules["shelf"]


@pytest.mark.parametrize("name", TREE)
def test_an_edit_counts_where_the_loader_imports_it(shelf, name):
    folder, load = shelf
    before = source_hash(load)
    (folder / name).write_text(TREE[name] + "\n# edited\n")
    assert (source_hash(load) != before) == (name not in ("other.py", "parts/unused.py"))


def hashed_files(loader, monkeypatch):
    """The files that were read for the hash of a loader of the package."""
    seen = {}
    real = source_code._imported
    monkeypatch.setattr(
        source_code, "_imported", lambda path, module: seen.update({module: path}) or real(path, module)
    )
    module, _, name = loader.partition(":")
    source_hash(getattr(importlib.import_module(module), name))
    return {module.removeprefix("rec_gym.datasets.") for module in seen}


def test_the_shop_is_rebuilt_when_a_department_is_edited(monkeypatch):
    seen = hashed_files("rec_gym.datasets.corner_shop:load", monkeypatch)
    assert {"corner_shop", "corner_shop.departments", "corner_shop.departments.toys", "corner_shop.words"} <= seen
    assert "beir" not in seen


@pytest.mark.parametrize(
    "name", ["amazon_c4", "amazon_reviews", "beir", "esci", "logs", "movielens", "recbole", "wands"]
)
def test_an_edit_of_the_downloading_makes_nothing_stale(monkeypatch, name):
    seen = hashed_files(f"rec_gym.datasets.{name}:load", monkeypatch)
    assert name in seen
    assert not seen & {"web", "hub", "fetch", "archives", "store", "corner_shop"}


NOT_LOADERS = [
    "os:system",
    "subprocess:getoutput",
    "builtins:exec",
    "os:sep",
    "rec_gym.dataset:Dataset",
    "rec_gym.catalog:Catalog.from_columns",
    "rec_gym.datasets.beir:sources",
]


@pytest.mark.parametrize("loader", NOT_LOADERS)
def test_what_is_no_loader_is_not_called(tmp_path, loader):
    if loader.endswith("Catalog.from_columns"):
        message = "cannot be loaded"
    else:
        message = "not a loader; name a Python function that is annotated to return a Dataset"
    with pytest.raises(ValueError, match=message):
        recipe_of(loader, {"command": f"touch {tmp_path}/ran", "cmd": f"touch {tmp_path}/ran"})
    assert not (tmp_path / "ran").exists()


ANNOTATED = {
    "from rec_gym import Dataset\ndef load() -> Dataset: ...": True,
    "import rec_gym\ndef load() -> rec_gym.Dataset: ...": True,
    "from __future__ import annotations\nimport rec_gym\ndef load() -> rec_gym.Dataset: ...": True,
    "from rec_gym import Dataset\ndef load() -> 'Dataset': ...": True,
    "import functools\nfrom rec_gym import Dataset\n@functools.cache\ndef load() -> Dataset: ...": True,
    "from rec_gym import Dataset\nclass Mine(Dataset): ...\ndef load() -> Mine: ...": True,
    "def load(): ...": False,
    "def load() -> 'Dataset': ...": False,
    "class Dataset: ...\ndef load() -> Dataset: ...": False,
    "def load() -> \"print('evaluated')\": ...": False,
    "from rec_gym import Dataset\nclass load:\n    def __call__(self) -> Dataset: ...": False,
}


@pytest.mark.parametrize(("code", "is_loader"), ANNOTATED.items())
def test_a_loader_is_annotated_to_return_a_dataset(tmp_path, monkeypatch, capsys, code, is_loader):
    (tmp_path / "annotated.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "annotated", raising=False)
    importlib.invalidate_caches()
    if is_loader:
        recipe_of("annotated:load", {})
    else:
        with pytest.raises(ValueError, match="not a loader"):
            recipe_of("annotated:load", {})
    sys.modules.pop("annotated")
    assert capsys.readouterr().out == ""


def test_every_card_names_a_loader():
    code = "from rec_gym.cards import cards\nfrom rec_gym.datasets.store import get_data\n"
    code += "for card in cards().values(): get_data(card.content['loader'])"
    subprocess.run([sys.executable, "-c", code], check=True)
