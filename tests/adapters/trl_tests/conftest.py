"""Fixtures of the tests of the adapter for TRL."""

import pytest
from trl_script import REWARD

import rec_gym


@pytest.fixture
def refine(dataset, overlap):
    return rec_gym.Task(dataset, overlap, reward=REWARD, measures=["recall@3"], turns=3, feedback_k=2)


@pytest.fixture
def known_trl(monkeypatch):
    monkeypatch.setattr("rec_gym.adapters.trl_tools.version", lambda name: "1.16.0")
