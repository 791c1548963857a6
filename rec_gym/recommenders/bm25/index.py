"""The index on disk: flat arrays, memory-mapped, so that every process shares one copy.

The catalogue is cut into windows of 2**15 items. A posting (a term occurs in an item) is an item's place in its window
and an impact, two bytes each. The postings of a term are stored together in item order; those of one window are a run.

    term ── first_run ──▶ runs: window and length ── lengths add up from first_posting ──▶ postings: place and impact

An impact is what the term adds to the item's score, in steps: BM25's float value divided by `step` and rounded, at
least 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rec_gym import disk
from rec_gym.cache import DamagedError, reading
from rec_gym.recommenders.bm25.analyzer import Vocabulary

FORMAT = 1  # increase it when the files or their meaning change; a stored index of another format is rebuilt

WINDOW_BITS = 15
WINDOW = 1 << WINDOW_BITS
MAX_IMPACT = (1 << 16) - 1

# Ranks k for which the k-th highest impact of each term is stored: at least k items score that much.
LEVELS = (10, 50, 100, 500, 1000, 5000)

_SETTINGS = "index.json"
_VOCABULARY_DTYPES = {"characters": "|u1", "offsets": "<i8"}


class Postings(NamedTuple):
    """What the kernels read. All arrays are read-only and contiguous; V terms, R runs, P postings.

    Attributes:
        place: item's place in its window, uint16 [P].
        impact: score in steps, uint16 [P], from 1.
        first_posting: where a term's postings begin, int64 [V + 1].
        first_run: where a term's runs begin, int64 [V + 1].
        run_window: window of each run, uint16 [R], increasing within a term.
        run_length: postings in each run, uint16 [R], from 1.
        kth_impact: the term's k-th highest impact for k in `LEVELS`, 0 if it has fewer postings, uint16 [V, 6].
    """

    place: np.ndarray
    impact: np.ndarray
    first_posting: np.ndarray
    first_run: np.ndarray
    run_window: np.ndarray
    run_length: np.ndarray
    kth_impact: np.ndarray


class Ranges(NamedTuple):
    """The filters of some queries as the kernels read them; see `rec_gym.filters.FilterRanges`. C columns, m ranges.

    Attributes:
        codes: code of each item's value in each column, int32 [C, items], [0, 0] without filters.
        offsets: the ranges of query i are those from offsets[i] to offsets[i + 1], int64 [queries + 1].
        column: int32 [m].
        low: int32 [m].
        high: int32 [m].
    """

    codes: np.ndarray
    offsets: np.ndarray
    column: np.ndarray
    low: np.ndarray
    high: np.ndarray


DTYPES = dict(zip(Postings._fields, ("<u2", "<u2", "<i8", "<i8", "<u2", "<u2", "<u2"), strict=True))


@dataclass(frozen=True, eq=False)
class Index:
    """An opened index.

    Attributes:
        size: items in the catalogue.
        step: what one unit of impact is worth in BM25's own unit. A score differs from float64 BM25 by at most half a
            step for each word of the query (counted as often as it is repeated), or by less than one step for a word
            whose impact was below half a step and was raised to 1.
        postings: the arrays.
        vocabulary: the terms.
    """

    size: int
    step: float
    postings: Postings
    vocabulary: Vocabulary

    @classmethod
    def open(cls, folder: Path) -> Index:
        """Opens the index in `folder`, and checks every number by which the kernels address memory.

        These checks do not depend on the checksums, which a user may switch off.

        Raises:
            DamagedError: a file is missing or unreadable, or the arrays are inconsistent.
        """
        with reading(folder / _SETTINGS):
            settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
            size, step = int(settings["size"]), float(settings["step"])
        postings = Postings(*(_open_array(folder, name) for name in Postings._fields))
        characters, offsets = (_open_array(folder, name) for name in _VOCABULARY_DTYPES)
        problem = (
            _wrong_form(postings, characters, offsets, size, step)
            or _contradiction(postings, offsets, len(characters))
            or _place_outside(size, postings)
        )
        if problem:
            raise DamagedError(folder, f"its files are inconsistent: {problem}")
        return cls(size, step, postings, Vocabulary(characters, offsets))


def save_settings(folder: Path, size: int, step: float) -> None:
    """Writes the numbers of an index; JSON keeps every digit of a float."""
    (folder / _SETTINGS).write_text(json.dumps({"size": size, "step": step}), encoding="utf-8")


def save_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays that fit into memory."""
    for name, array in arrays.items():
        disk.save_array(array_path(folder, name), array.astype(DTYPES.get(name, array.dtype)))


def create_array(folder: Path, name: str, length: int) -> np.ndarray:
    """A new array on disk that is filled through memory-mapping."""
    return disk.create_array(array_path(folder, name), DTYPES[name], (length,))


def array_path(folder: Path, name: str) -> Path:
    """Where an array is stored."""
    return folder / f"{name}.npy"


def _open_array(folder: Path, name: str) -> np.ndarray:
    # A plain view of the mapping: numba looks at the exact type, and a memmap costs more at each slice.
    with reading(array_path(folder, name)):
        return np.asarray(np.load(array_path(folder, name), mmap_mode="r"))


def _wrong_form(postings: Postings, characters: np.ndarray, offsets: np.ndarray, size: int, step: float) -> str | None:
    """Which array has a different type or shape than the kernels were compiled for, or which number is impossible."""
    arrays = {**postings._asdict(), "characters": characters, "offsets": offsets}
    for name, array in arrays.items():
        dimensions = 2 if name == "kth_impact" else 1
        if array.dtype != np.dtype({**DTYPES, **_VOCABULARY_DTYPES}[name]):
            return f"{name}.npy holds numbers of another type"
        if array.ndim != dimensions or not array.flags.c_contiguous:
            return f"{name}.npy has another shape"
    if not 0 < size < 1 << 31 or not (math.isfinite(step) and step > 0):
        return f"{_SETTINGS} holds impossible numbers"
    return None


def _contradiction(postings: Postings, offsets: np.ndarray, characters: int) -> str | None:
    """Why the kernels would leave the arrays on their way through terms, runs and postings; None if they would not."""
    terms = len(offsets) - 1
    if terms < 0 or offsets[0] != 0 or offsets[-1] != characters or (np.diff(offsets) < 0).any():
        return "the vocabulary's offsets.npy and characters.npy do not agree"
    if not len(postings.first_posting) == len(postings.first_run) == terms + 1:
        return "the numbers of terms differ"
    if postings.kth_impact.shape != (terms, len(LEVELS)):
        return "the table of impacts has another shape"
    if not len(postings.run_window) == len(postings.run_length) == postings.first_run[-1]:
        return "the numbers of runs differ"
    if not len(postings.place) == len(postings.impact) == postings.first_posting[-1]:
        return "the numbers of postings differ"
    ends = _run_ends(postings)
    if postings.first_run[0] != 0 or (np.diff(postings.first_run) < 0).any():
        return "first_run.npy does not increase from 0"
    if not np.array_equal(ends[postings.first_run], postings.first_posting):
        return "runs and postings do not agree"
    return None


def _place_outside(size: int, postings: Postings) -> str | None:
    """Which file names an item that the catalogue does not have; None if none does."""
    last = (size - 1) >> WINDOW_BITS
    if len(postings.run_window) and int(postings.run_window.max()) > last:
        return "a run of run_window.npy is outside the catalogue"
    if len(postings.place) and int(postings.place.max()) >= WINDOW:
        return "place.npy names a place outside its window"
    in_last = postings.run_window == last
    lengths = postings.run_length[in_last].astype(np.int64)
    before = np.cumsum(lengths) - lengths
    positions = np.repeat(_run_ends(postings)[:-1][in_last] - before, lengths) + np.arange(int(lengths.sum()))
    if len(positions) and int(postings.place[positions].max()) >= size - (last << WINDOW_BITS):
        return "place.npy names an item after the last one"
    return None


def _run_ends(postings: Postings) -> np.ndarray:
    """Where each run ends, int64 [R + 1], after a leading 0, where the first one begins."""
    ends = np.zeros(len(postings.run_length) + 1, np.int64)
    np.cumsum(postings.run_length, out=ends[1:])
    return ends
