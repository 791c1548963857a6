"""Getting the data of a publisher into a folder of the cache; this room knows no dataset.

`sources` says what there is to fetch, `download` fetches it, `plan` remembers what is whole, `hub` and `web` are the clients,
and `archives` unpacks.
"""

from rec_gym.fetching.sources import FetchError, HubFile, WebFile

__all__ = ["FetchError", "HubFile", "WebFile"]
