"""Fixtures that every test file may use."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
from helpers.loopback import Loopback
from hypothesis import settings

# One cache for the whole run, workers included, that no earlier run has filled. Set before rec_gym is imported.
MADE_HERE = "" if "REC_GYM_HOME" in os.environ else tempfile.mkdtemp(prefix="rec-gym-tests-")
os.environ.setdefault("REC_GYM_HOME", MADE_HERE)
os.environ.setdefault("MPLBACKEND", "Agg")
# The hub's client reads these when it is imported. No test leaves this machine, or shows anybody a token.
os.environ["HF_HOME"] = f"{os.environ['REC_GYM_HOME']}/hub"
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["NO_PROXY"] = "127.0.0.1,localhost"
os.environ["no_proxy"] = "127.0.0.1,localhost"

# A run repeats the last one's examples; `pytest --hypothesis-profile=default` looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

from helpers.word_overlap import WordOverlap  # noqa: E402

import rec_gym  # noqa: E402
from rec_gym.cards import _registered, cards  # noqa: E402

EMBEDDED = sorted(name for name, card in cards().items() if card.embedded)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the run's cache; workers inherit it from the process that made it, and leave it alone."""
    if MADE_HERE:
        shutil.rmtree(MADE_HERE, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `embedded_id` runs over every registered id whose data is in the package."""
    if "embedded_id" in metafunc.fixturenames:
        metafunc.parametrize("embedded_id", EMBEDDED)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[None]:
    """Lone surrogates in a failure's text are escaped: a worker could not send them, and the whole run would end."""
    return _sendable((yield))


def _sendable(data: object) -> object:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {_sendable(key): _sendable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(map(_sendable, data))
    return data


@pytest.fixture(autouse=True)
def registered_ids() -> Iterator[None]:
    """Ids that a test registers end with it, and so do the tasks that adapters keep for their process."""
    before = set(cards())
    yield
    if "rec_gym.adapters.rows" in sys.modules:
        sys.modules["rec_gym.adapters.rows"]._gatherers.clear()
    for name in cards().keys() - before:
        del _registered[name], gymnasium.registry[name]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real data sets; tests that need it are skipped where it is not given."""
    folder = os.environ.get("REC_GYM_TEST_DATA")
    if not folder:
        pytest.skip("set REC_GYM_TEST_DATA to the folder with the real data sets")
    return Path(folder)


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A server that stands in for the Hugging Face hub and the web."""
    with Loopback() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture(scope="session")
def catalog() -> rec_gym.Catalog:
    """Six items, one of them without a description."""
    return rec_gym.Catalog.from_columns(
        {
            "item_id": ["lamp-r", "lamp-b", "chair-r", "chair-b", "desk", "rug"],
            "title": ["red lamp", "blue lamp", "red chair", "blue chair", "oak desk", "wool rug"],
            "description": ["a bright lamp", "a calm lamp", "a soft seat", "a hard seat", "room to work", None],
            "price": [10.0, 12.0, 40.0, 35.0, 120.0, 60.0],
        }
    )


@pytest.fixture(scope="session")
def dataset(catalog: rec_gym.Catalog) -> rec_gym.Dataset:
    """Three searches in train, one in val, one in test."""
    return rec_gym.Dataset.from_requests(
        catalog,
        [
            {
                "id": "q1",
                "text": "something red to sit on",
                "split": "train",
                "gains": {"chair-r": 1.0, "chair-b": 0.1, "rug": 0.0},
                "constraints": [["price", "<=", 50.0]],
                "oracle": "red chair",
            },
            {"id": "q2", "text": "light for the evening", "split": "train", "targets": ["lamp-r", "lamp-b"]},
            {"id": "q3", "text": "a place to write", "split": "train", "targets": ["desk"], "domain": "office"},
            {"id": "q4", "text": "warm feet", "split": "val", "targets": ["rug"]},
            {"id": "q5", "text": "blue seat", "split": "test", "targets": ["chair-b"]},
        ],
    )


@pytest.fixture
def overlap(catalog: rec_gym.Catalog) -> WordOverlap:
    return WordOverlap(catalog)
