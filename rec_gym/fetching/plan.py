"""The plan of a download and which of its files are complete: the manifest next to the files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rec_gym.cache import write_json
from rec_gym.fetching.sources import (
    HubFile,
    Source,
    WebFile,
    identity,
)
from rec_gym.progress import Bar

_CHUNK = 1 << 20

MANIFEST = "rec-gym-download.json"
"""In the folder of a download: where each file came from, its size and its SHA-256."""


@dataclass
class Download:
    """One file to fetch and the resulting files, `{path: {size, sha256}}`; None until it is complete."""

    source: Source
    files: dict[str, dict[str, object]] | None = None

    def is_whole(self, folder: Path) -> bool:
        """Whether all of its files are in the folder, with their sizes."""
        return self.files is not None and all(_has(folder / name, file["size"]) for name, file in self.files.items())


def read_plan(folder: Path, sources: Sequence[Source]) -> list[Download] | None:
    """The plan that an earlier call began; None if there is none for these sources."""
    try:
        stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if stored["sources"] != [identity(source) for source in sources]:
            return None
        return [Download(_decode(entry["source"]), entry["files"]) for entry in stored["downloads"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_plan(folder: Path, sources: Sequence[Source], plan: Sequence[Download]) -> None:
    """Writes the plan next to the files, atomically."""
    downloads = [{"source": _encode(download.source), "files": download.files} for download in plan]
    write_json(folder / MANIFEST, {"sources": [identity(source) for source in sources], "downloads": downloads})


def damage_of(folder: Path) -> str | None:
    """Why a download cannot be used as it is; None if it can."""
    if not folder.is_dir():
        return "it does not exist"
    try:
        stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for entry in stored["downloads"]:
            for name, file in entry["files"].items():
                if not _has(folder / name, file["size"]):
                    return f"its file {name} is missing or damaged"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def _encode(source: Source) -> dict[str, object]:
    return {**identity(source), "size": source.size}


def _decode(entry: dict) -> Source:
    fields = {key: value for key, value in entry.items() if key != "from"}
    return HubFile(**fields) if entry["from"] == "hub" else WebFile(**fields)


def _has(path: Path, size: object) -> bool:
    return path.is_file() and path.stat().st_size == size


def sha256(path: Path) -> str:
    """SHA-256 of a file, with a progress bar."""
    digest = hashlib.sha256()
    with open(path, "rb") as file, Bar(f"checking {path.name}", path.stat().st_size, unit="bytes") as bar:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.advance(len(chunk))
    return digest.hexdigest()
