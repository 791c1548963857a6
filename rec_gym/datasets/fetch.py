"""Data of a publisher: which files a loader reads, and getting them into a folder once, whole and checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubFile:
    """A file of a data set repository on the Hugging Face hub.

    Attributes:
        repo: `"owner/name"`.
        path: where it is in the repository, and where it lies under the data folder.
        revision: a branch, tag or commit.
        size: bytes, as the publisher states them; 0 where that is not known.
        sha256: of its content; empty where that is not known.
    """

    repo: str
    path: str
    revision: str = "main"
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class WebFile:
    """A file on the web.

    Attributes:
        url: where it is.
        path: where it lies under the data folder; for an archive, the folder that it is unpacked into (`"."` for the
            data folder itself), for a `.gz` file, the unpacked file.
        size: bytes, as the publisher states them; 0 where that is not known.
        checksum: `"md5:..."` or `"sha256:..."` of what is downloaded; empty where the publisher states none.
        unpack: whether it is a zip, tar or gz archive whose content is wanted.
    """

    url: str
    path: str
    size: int = 0
    checksum: str = ""
    unpack: bool = False
