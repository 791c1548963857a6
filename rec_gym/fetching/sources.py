"""Where a publisher keeps the files that a loader reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class FetchError(OSError):
    """Data could not be fetched; the message says why and what to do."""


class UnreachableError(FetchError):
    """The publisher did not answer, or the connection broke too often."""


class NotThereError(FetchError):
    """The publisher answered that there is no such file."""


@dataclass(frozen=True)
class HubFile:
    """A file of a data set repository on the Hugging Face hub, or several of them.

    Attributes:
        repo: `"owner/name"`.
        path: where it is in the repository, and where it goes under the data folder. With `*` it is a pattern for
            every matching file (`*` matches `/` too); at least one must match.
        revision: a branch, tag or commit. The commit that it names when the download begins is fetched.
        size: bytes, as published (for a pattern: of all files); 0 if unknown. Shown when the hub cannot be reached;
            otherwise the hub's own figure counts.
        sha256: of the content; if empty, the hub's own figure is used.
    """

    repo: str
    path: str
    revision: str = "main"
    size: int = 0
    sha256: str = ""

    @property
    def is_pattern(self) -> bool:
        """Whether `path` stands for several files."""
        return "*" in self.path

    @property
    def where(self) -> str:
        """The file in words, for messages."""
        return f"{self.path} of {self.repo}"


@dataclass(frozen=True)
class WebFile:
    """A file on the web.

    Attributes:
        url: where it is.
        path: where it goes under the data folder. With `unpack`: the folder into which the archive is unpacked (`"."`
            for the data folder itself); for a compressed single file (`.gz`), the file that it becomes.
        size: bytes of the download, as published; 0 if unknown (the server is asked).
        checksum: `"md5:..."` or `"sha256:..."` of the download; empty if the publisher states none.
        unpack: whether it is a zip, tar or gz archive whose content is wanted.
    """

    url: str
    path: str
    size: int = 0
    checksum: str = ""
    unpack: bool = False

    @property
    def where(self) -> str:
        """The file in words, for messages."""
        return self.url


Source = HubFile | WebFile


def identity(source: Source) -> dict[str, object]:
    """What identifies a source: all fields except its size, which is only shown."""
    fields = asdict(source)
    del fields["size"]
    return {"from": "hub" if isinstance(source, HubFile) else "web", **fields}


def inside(folder: Path, name: str) -> Path:
    """The path of `name` under `folder`.

    Raises:
        ValueError: `name` leads out of the folder, or is a name that Windows or POSIX reads as absolute.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    leads_out = posix.is_absolute() or windows.drive or windows.root or ".." in posix.parts or ".." in windows.parts
    if leads_out or "\0" in name or not name:
        raise ValueError(f"{name!r} leads out of its folder")
    return folder / posix


def as_size(count: float) -> str:
    """A number of bytes, human-readable: `1.2 GB`."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count, power = count / 1000, power + 1
    digits = 2 if power and count < 9.995 else 1 if power and count < 99.95 else 0
    return f"{count:.{digits}f} {_UNITS[power]}"


def total_size(sources: Sequence[Source]) -> str:
    """The size of `sources`, human-readable; says if it is not fully known."""
    known = sum(source.size for source in sources)
    if all(source.size for source in sources):
        return as_size(known)
    return f"more than {as_size(known)}" if known else "size unknown"
