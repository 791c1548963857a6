"""Data sets: one loader per file, each a function `load(data_dir, **options)` that returns a `Dataset`."""
