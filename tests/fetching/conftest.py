"""A cache folder of its own for each test, and no waiting between attempts."""

import time
from types import SimpleNamespace

import pytest

from rec_gym.fetching import web


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(web, "_WAIT", 0.01)
    hasty = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.file_download.time", hasty)
    return tmp_path / "home"
