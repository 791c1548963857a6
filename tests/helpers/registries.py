"""Registries for the time of a test."""

import pytest

from rec_gym.registry import Registry


def keep(monkeypatch: pytest.MonkeyPatch, *registries: Registry) -> None:
    """Forgets after the test what it registers."""
    for registry in registries:
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_places", dict(registry._places))
