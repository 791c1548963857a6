"""Attacks on the package, by name: what the tests run in small, `python -m benchmarks.attack NAME` runs at large."""
