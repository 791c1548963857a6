"""The items' vectors: encoded once, cached on disk, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from rec_gym.cache import DamagedError, atomic_path, cache_home, check_folder, prepared, reading, remove_leftovers
from rec_gym.catalog import Catalog
from rec_gym.disk import check_space, create_array, save_array
from rec_gym.progress import Bar
from rec_gym.recommenders.dense.encoder import Encoder

FORMAT = 1  # increase it when the files or their meaning change; vectors in another format are recomputed
CHUNK = 1024  # items that are encoded between two writes: at most this much is lost when a process is killed

_VECTORS, _PROBE = "vectors.npy", "probe.npy"
_PROBES = ("a red lamp", "Which waterproof jacket fits a child of seven?", "4 x AA batteries, rechargeable")

_logger = logging.getLogger(__name__)


class ItemVectors(NamedTuple):
    """Where the vectors of a catalogue are cached.

    Attributes:
        folder: in the cache folder.
        items: how many there are.
        probe: vectors of a few fixed texts, which reveal another encoder under the same name.
    """

    folder: Path
    items: int
    probe: np.ndarray

    def identity(self) -> str:
        """Changes when the vectors are rewritten; the files are verified first.

        Raises:
            RuntimeError: they are damaged or missing.
        """
        try:
            return check_folder(self.folder)
        except DamagedError as error:
            raise RuntimeError(f"{error}; call fit(catalog) again") from error

    def open(self) -> np.ndarray:
        """Unit vectors in position order, float32 [items, d], memory-mapped; zeros for a text without any known word.

        Raises:
            RuntimeError: they are damaged or missing.
        """
        try:
            return _open_vectors(self.folder, (self.items, self.probe.shape[1]))
        except DamagedError as error:
            raise RuntimeError(f"{error}; call fit(catalog) again") from error


def unit_vectors(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of length 1, float32 [n, d]; zero vectors stay as they are.

    Raises:
        ValueError: the encoder did not return one finite vector per text.
    """
    # Tokenizers refuse lone surrogates, which a policy may write.
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    vectors = np.asarray(encoder.encode(texts))
    if vectors.ndim != 2 or len(vectors) != len(texts) or vectors.shape[1] == 0 or vectors.dtype.kind != "f":
        raise ValueError(
            f"{type(encoder).__name__}.encode returned {vectors.dtype} {vectors.shape} for {len(texts)} texts; "
            "it must return float32 [texts, dimensions]"
        )
    vectors = vectors.astype(np.float64)
    if not np.isfinite(vectors).all():
        raise ValueError(f"{type(encoder).__name__}.encode returned numbers that are not finite (NaN or infinite)")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def prepare_vectors(
    catalog: Catalog, encoder: Encoder, made_from: Mapping[str, object], prefix: str, tolerance: float
) -> ItemVectors:
    """Finds the items' vectors in the cache folder, and encodes the items first if the vectors are missing or another encoder's.

    A process that is killed leaves the chunks that it finished; the next one continues from there.

    Args:
        catalog: the items.
        encoder: what encodes their texts.
        made_from: what the vectors depend on: the catalogue's hash, its `fields`, the encoder's name and settings.
        prefix: prepended to each text.
        tolerance: how much a component may differ for the encoder to count as the same.

    Raises:
        ValueError: see `unit_vectors`.
    """
    made_from = {**made_from, "format": FORMAT}
    key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:24]
    stored = ItemVectors(cache_home() / "indexes" / f"dense-{key}", len(catalog), unit_vectors(encoder, _PROBES))
    parts = stored.folder.with_name(f"{stored.folder.name}.parts")
    shape = len(catalog), stored.probe.shape[1]

    def build(target: Path) -> None:
        fields = made_from["fields"]
        assert isinstance(fields, list)
        reason = _unusable(parts, stored.probe, tolerance) if parts.is_dir() else None
        if reason:
            _logger.warning("%s is started again: %s", parts, reason)
            shutil.rmtree(parts)
        remove_leftovers(parts)
        _encode(catalog, encoder, fields, prefix, parts, stored)
        _assemble(parts, target / _VECTORS, shape)
        save_array(target / _PROBE, stored.probe)

    def check(folder: Path) -> None:
        reason = _unusable(folder, stored.probe, tolerance)
        if reason:
            raise DamagedError(folder, reason)
        _open_vectors(folder, shape)

    prepared(stored.folder, made_from, build, _logger.warning, check)
    shutil.rmtree(parts, ignore_errors=True)
    return stored


def _unusable(folder: Path, probe: np.ndarray, tolerance: float) -> str | None:
    """Why the vectors in a folder are not those of the encoder that made `probe`; None if they are."""
    try:
        with reading(folder / _PROBE):
            stored = np.load(folder / _PROBE, mmap_mode="r")
            same = stored.shape == probe.shape and bool((np.abs(stored - probe) <= tolerance).all())
    except DamagedError as error:
        return error.reason
    return None if same else "it holds vectors of another encoder under the same name"


def _open_vectors(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    with reading(folder / _VECTORS):
        vectors = np.asarray(np.load(folder / _VECTORS, mmap_mode="r"))
        if vectors.dtype != np.float32 or vectors.shape != shape:
            raise ValueError(f"it holds {vectors.dtype} {vectors.shape}, not float32 {shape}")
        return vectors


def _encode(
    catalog: Catalog, encoder: Encoder, fields: Sequence[str], prefix: str, parts: Path, target: ItemVectors
) -> None:
    """Writes each chunk of vectors to its own file, atomically; chunks that are already there are kept."""
    dimensions = target.probe.shape[1]
    chunks = list(_chunks(len(catalog)))
    stored = {start for start, size in chunks if _chunk(parts, start, (size, dimensions)) is not None}
    _logger.info("encoding %s items in %s (%d chunks are there)", f"{len(catalog):,}", target.folder, len(stored))
    # Do not start hours of encoding if the disk cannot hold the result, once in chunks and once joined.
    check_space(target.folder, (2 * len(catalog) - CHUNK * len(stored)) * dimensions * 4)
    if not parts.is_dir():
        with atomic_path(parts) as path:  # the folder comes with its probe, or not at all
            path.mkdir()
            save_array(path / _PROBE, target.probe)
    texts = chain.from_iterable(catalog.texts(fields))
    with Bar("Encoding items", len(catalog)) as bar:
        for start, size in chunks:
            chunk = list(islice(texts, size))
            if start not in stored:
                vectors = unit_vectors(encoder, [prefix + text for text in chunk])
                with atomic_path(parts / _chunk_name(start, vectors)) as path:
                    save_array(path, vectors)
            bar.advance(size)


def _chunks(items: int) -> Iterator[tuple[int, int]]:
    """The first item of each chunk, and how many items it holds."""
    for start in range(0, items, CHUNK):
        yield start, min(CHUNK, items - start)


def _chunk_name(start: int, vectors: np.ndarray) -> str:
    """The checksum is in the name: a chunk that was damaged before the vectors were complete is encoded again."""
    return f"{start:012}-{xxhash.xxh3_128_hexdigest(vectors.tobytes())}.npy"


def _chunk(parts: Path, start: int, shape: tuple[int, int]) -> np.ndarray | None:
    """The vectors of a complete, undamaged chunk; None if there is none."""
    for path in parts.glob(f"{start:012}-*.npy"):
        try:
            with reading(path):
                vectors = np.load(path)
        except DamagedError:
            path.unlink()
            continue
        if vectors.shape == shape and vectors.dtype == np.float32 and path.name == _chunk_name(start, vectors):
            return vectors
        path.unlink()
    return None


def _assemble(parts: Path, target: Path, shape: tuple[int, int]) -> None:
    vectors = create_array(target, np.float32, shape)
    for start, size in _chunks(shape[0]):
        chunk = _chunk(parts, start, (size, shape[1]))
        if chunk is None:
            raise RuntimeError(f"the chunk of item {start:,} in {parts} was damaged in the meantime; call again")
        vectors[start : start + size] = chunk
