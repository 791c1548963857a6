"""Data sets: one loader a file, each a function `load(data_dir, **options)` that returns a `Dataset`."""
