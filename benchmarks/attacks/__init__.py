"""Attacks on the package, by name: what the tests run in small, `python -m benchmarks.attack NAME` runs at large."""


class NotTriedError(Exception):
    """What an attack needs is not here; the message says what it is."""
