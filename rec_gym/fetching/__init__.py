"""Downloading a publisher's data into the cache folder; nothing here knows about datasets.

`sources` describes what to fetch, `download` fetches it, `plan` records which files are complete, `hub` and `web` are the
clients, and `archives` unpacks.
"""

from rec_gym.fetching.sources import FetchError, HubFile, WebFile

__all__ = ["FetchError", "HubFile", "WebFile"]
