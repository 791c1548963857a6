"""The categories of Amazon's products, from the file asin2category.json of Amazon Reviews 2023.

The file is one JSON object of tens of millions of entries, more than a gigabyte, so it is read in pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rec_gym.datasets.folders import check_file
from rec_gym.progress import Bar

FILE = "asin2category.json"
UNKNOWN = "Unknown"

_PIECE = 1 << 22
_TEXT = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
_ENTRY = re.compile(rb"[\s,{]*" + _TEXT + rb"\s*:\s*" + _TEXT)


def categories_of(path: Path, wanted: Iterable[str]) -> dict[str, str]:
    """The category of each wanted product that has one, with underscores for spaces.

    Raises:
        ValueError: the file is not an object of texts, or ends in the middle.
    """
    categories = dict.fromkeys((name.encode() for name in wanted), b"")
    for product, category in _entries(path):
        if product in categories:
            categories[product] = category
    known = {product.decode(): category.decode().replace(" ", "_") for product, category in categories.items()}
    return {product: category for product, category in known.items() if category and UNKNOWN not in category}


def _entries(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the object in UTF-8, in the file's order."""
    rest, begun = b"", False
    check_file(path)
    with open(path, "rb") as file, Bar(f"reading {path.name}", path.stat().st_size) as bar:
        while piece := file.read(_PIECE):
            bar.advance(len(piece))
            rest += piece
            if not begun and not rest.lstrip().startswith(b"{"):
                raise ValueError(f"{path}: expected a JSON object {{product: category}}; fetch the file again")
            begun, end = True, 0
            while match := _ENTRY.match(rest, end):
                end = match.end()
                product, category = match.groups()
                yield (product, category) if b"\\" not in match[0] else (_unescaped(product), _unescaped(category))
            rest = rest[end:]
            if len(rest) > _PIECE:
                raise ValueError(f"{path}: no entry of two texts near {rest[:60]!r}; fetch the file again")
    if rest.strip(b" \t\r\n{,") != b"}":
        raise ValueError(f"{path} ends in the middle, near {rest[-60:]!r}: it is truncated, or not an object of texts")


def _unescaped(raw: bytes) -> bytes:
    return json.loads(b'"' + raw + b'"').encode("utf-8", "replace")
