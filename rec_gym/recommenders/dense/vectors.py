"""The items' vectors: encoded once, kept in the cache folder, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rec_gym.cache import atomic_path, cache_home, prepared_folder
from rec_gym.catalog import Catalog
from rec_gym.progress import Bar
from rec_gym.recommenders.dense.encoder import Encoder

FORMAT = 1  # raise it when the files or what they mean change; stored vectors of another format are made anew
CHUNK = 1024  # items that are encoded between two writes: what a killed process loses at the most

_VECTORS, _PROBE = "vectors.npy", "probe.npy"
_PROBES = ("a red lamp", "Which waterproof jacket fits a child of seven?", "4 x AA batteries, rechargeable")

_logger = logging.getLogger(__name__)


class ItemVectors(NamedTuple):
    """Where the vectors of a catalogue are kept.

    Attributes:
        folder: in the cache folder.
        probe: vectors of a few fixed texts, by which another encoder under the same name is found out.
    """

    folder: Path
    probe: np.ndarray

    def open(self) -> np.ndarray:
        """Unit vectors in position order, float32 [items, d], memory-mapped; zeros for a text of which nothing is known.

        Raises:
            RuntimeError: they are no longer there.
        """
        try:
            return np.asarray(np.load(self.folder / _VECTORS, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{self.folder} cannot be read ({error}); call fit(catalog) again") from error


def unit_vectors(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of length 1, float32 [n, d]; zero vectors stay as they are.

    Raises:
        ValueError: the encoder did not return one finite vector a text.
    """
    # Tokenizers refuse lone surrogates, which a policy may write.
    given = [text.encode("utf-8", "replace").decode() for text in texts]
    vectors = np.asarray(encoder.encode(given))
    if vectors.ndim != 2 or len(vectors) != len(given) or vectors.shape[1] == 0 or vectors.dtype.kind != "f":
        raise ValueError(
            f"{type(encoder).__name__}.encode returned {vectors.dtype} {vectors.shape} for {len(given)} texts; "
            "it has to return float32 [texts, dimensions]"
        )
    vectors = vectors.astype(np.float64)
    if not np.isfinite(vectors).all():
        raise ValueError(f"{type(encoder).__name__}.encode returned numbers that are not finite (NaN or infinite)")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def prepare_vectors(
    catalog: Catalog, encoder: Encoder, made: Mapping[str, object], prefix: str, tolerance: float
) -> ItemVectors:
    """Finds the items' vectors in the cache folder, and encodes them first if they are missing or another encoder's.

    A process that is killed in the middle leaves the chunks that it finished; the next one goes on from there.

    Args:
        catalog: the items.
        encoder: what encodes their texts.
        made: what the vectors depend on: the catalogue's hash, its `fields`, the encoder's name and settings.
        prefix: is put before each text.
        tolerance: by how much a component may differ for the encoder to count as the same.

    Raises:
        ValueError: see `unit_vectors`.
    """
    key = hashlib.sha256(json.dumps(dict(made), sort_keys=True).encode()).hexdigest()[:24]
    kept = ItemVectors(cache_home() / "indexes" / f"dense-{key}", unit_vectors(encoder, _PROBES))
    parts = kept.folder.with_name(f"{kept.folder.name}.parts")
    for folder in (kept.folder, parts):
        if folder.is_dir() and not _is_of(folder, kept.probe, tolerance):
            _logger.warning("%s holds vectors of another encoder under the same name; they are encoded anew", folder)
            shutil.rmtree(folder, ignore_errors=True)

    def build(target: Path) -> None:
        fields = made["fields"]
        assert isinstance(fields, list)
        _encode(catalog, encoder, fields, prefix, parts, kept)
        _assemble(parts, target / _VECTORS, len(catalog), kept.probe.shape[1])
        np.save(target / _PROBE, kept.probe)

    prepared_folder(kept.folder, {**made, "format": FORMAT}, build, _logger.warning)
    shutil.rmtree(parts, ignore_errors=True)
    return kept


def _is_of(folder: Path, probe: np.ndarray, tolerance: float) -> bool:
    try:
        stored = np.load(folder / _PROBE)
    except (OSError, ValueError):
        return False
    return stored.shape == probe.shape and bool((np.abs(stored - probe) <= tolerance).all())


def _encode(
    catalog: Catalog, encoder: Encoder, fields: Sequence[str], prefix: str, parts: Path, kept: ItemVectors
) -> None:
    """Writes each chunk of vectors to a file of its own, whole or not at all; those that are there are kept."""
    parts.mkdir(parents=True, exist_ok=True)
    with atomic_path(parts / _PROBE) as path, open(path, "wb") as file:
        np.save(file, kept.probe)
    found = sum(path.name != _PROBE for path in parts.glob("*.npy"))
    _logger.info("encoding %s items in %s (%d chunks are there)", f"{len(catalog):,}", kept.folder, found)
    texts = chain.from_iterable(catalog.texts(fields))
    with Bar("Encoding items", len(catalog)) as bar:
        for part, size in _chunks(parts, len(catalog)):
            chunk = list(islice(texts, size))
            if not _is_chunk(part, (size, kept.probe.shape[1])):
                vectors = unit_vectors(encoder, [prefix + text for text in chunk])
                with atomic_path(part) as path, open(path, "wb") as file:
                    np.save(file, vectors)
                    file.flush()
                    os.fsync(file.fileno())
            bar.advance(size)


def _chunks(parts: Path, items: int) -> Iterator[tuple[Path, int]]:
    """The file of each chunk, and how many items it holds."""
    for start in range(0, items, CHUNK):
        yield parts / f"{start:012}.npy", min(CHUNK, items - start)


def _is_chunk(part: Path, shape: tuple[int, int]) -> bool:
    try:
        return np.load(part, mmap_mode="r").shape == shape
    except (OSError, ValueError):
        return False


def _assemble(parts: Path, target: Path, items: int, dimensions: int) -> None:
    vectors = np.lib.format.open_memmap(target, "w+", np.float32, (items, dimensions))
    start = 0
    for part, size in _chunks(parts, items):
        vectors[start : start + size] = np.load(part)
        start += size
    vectors.flush()
