"""Getting the data of a publisher into a folder of the cache: once, whole and checked.

A loader's module may define `sources(**options)` beside `load(data_dir, **options)`: the files to fetch, as a sequence
of `HubFile` and `WebFile`, for the same options as `load` takes, `data_dir` aside. An empty sequence says that these
options cannot be fetched. Where `data_dir` is empty, `load` is given the folder that holds the fetched files.
"""

from __future__ import annotations

from rec_gym.datasets.sources import FetchError, HubFile, Source, WebFile

__all__ = ["FetchError", "HubFile", "Source", "WebFile"]
