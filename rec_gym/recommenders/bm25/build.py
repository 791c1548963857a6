"""Building an index from text in one streaming pass.

Memory holds the vocabulary, the table of runs and one window of items. Each window is inverted (from items with
terms to terms with items) as soon as it is read, and written to a temporary file; once document frequencies and the mean
length are known, the windows are read again and every run is written to its place.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from rec_gym.progress import Bar
from rec_gym.recommenders.bm25.analyzer import NO_TERM, Analyzer, TermIds, Vocabulary, encode, slices
from rec_gym.recommenders.bm25.index import (
    LEVELS,
    MAX_IMPACT,
    WINDOW,
    WINDOW_BITS,
    array_path,
    create_array,
    save_arrays,
    save_settings,
)

_CHARACTERS_AT_ONCE = 1 << 25  # characters whose words are sorted at once; a window of long texts is sorted in parts
_WORDS_KEPT = 1 << 22  # surface words that the analyzer remembers while it reads
_SPILL = "windows.tmp"


class _Window(NamedTuple):
    """One inverted window: terms increasing, items increasing within a term."""

    terms: np.ndarray  # of each run, int32
    lengths: np.ndarray  # postings in each run, uint16
    place: np.ndarray  # of each posting, uint16
    tf: np.ndarray  # how often the term occurs in the item, the narrowest unsigned type


def build_index(folder: Path, texts: Iterable[list[str]], size: int, analyzer: Analyzer, k1: float, b: float) -> None:
    """Builds an index in an existing folder.

    The impact of a term in an item is Lucene's BM25 without the factor (k1 + 1):
    `idf * tf / (tf + k1 * (1 - b + b * length / mean length))`, `idf = ln(1 + (n - df + 0.5) / (df + 0.5))`, with the
    exact number of words of the item that are not stop words as its length.

    Args:
        folder: where the files are written.
        texts: the items' texts in position order, in batches.
        size: how many texts there are.
        analyzer: how texts become terms.
        k1: how slowly repeated words saturate, >= 0.
        b: how much an item's length counts, from 0 to 1.
    """
    with open(folder / _SPILL, "w+b") as spill:
        with Bar("Reading texts", size) as bar:
            terms, lengths, runs = _read(texts, analyzer, spill, bar)
        if len(lengths) != size:
            raise ValueError(f"the catalogue returned {len(lengths)} texts for {size} items")
        # Ids follow the byte order of the terms, whatever the order in which they were seen.
        raw = [encode(term) for term in terms]
        order = np.array(sorted(range(len(raw)), key=raw.__getitem__), np.int64)
        new_id = np.empty(len(raw), np.int32)
        new_id[order] = np.arange(len(raw))
        save_arrays(folder, Vocabulary.from_terms([raw[i] for i in order]).arrays)
        table = _RunTable.from_windows(
            [new_id[window_terms] for window_terms, _ in runs], [n for _, n in runs], len(raw)
        )
        save_arrays(folder, table.arrays)
        idf = _idf(table.document_frequencies, size)
        step = (float(idf.max(initial=0)) or 1.0) / MAX_IMPACT  # an impact is below idf, so that all fit
        norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-300))
        spill.seek(0)
        with Bar("Writing the index", size) as bar:
            _write_postings(folder, spill, table, idf / step, norm, bar)
        save_settings(folder, size, step)
    (folder / _SPILL).unlink()
    impact = np.asarray(np.load(array_path(folder, "impact"), mmap_mode="r"))
    save_arrays(folder, {"kth_impact": _kth_impacts(impact, table.first_posting)})


def _read(
    texts: Iterable[list[str]], analyzer: Analyzer, spill: BinaryIO, bar: Bar
) -> tuple[list[str], np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Reads all texts; the windows go to `spill`.

    Returns:
        The terms in the order in which they were first seen, the length of each item (int64), and the terms and lengths of the
        runs of each window.
    """
    ids: dict[str, int] = {}
    words = TermIds(analyzer, lambda terms: [ids.setdefault(term, len(ids)) for term in terms], _WORDS_KEPT)
    lengths: list[np.ndarray] = []
    runs: list[tuple[np.ndarray, np.ndarray]] = []
    for window_texts in _regroup(texts, WINDOW):
        window, window_lengths = _inverted(window_texts, words)
        for part in window:
            np.save(spill, part)
        runs.append((window.terms, window.lengths))
        lengths.append(window_lengths)
        bar.advance(len(window_texts))
    return list(ids), np.concatenate(lengths), runs


def _regroup(batches: Iterable[list[str]], size: int) -> Iterator[list[str]]:
    """The same texts in lists of exactly `size`; the last may be shorter."""
    texts: list[str] = []
    for batch in batches:
        texts += batch
        while len(texts) >= size:
            yield texts[:size]
            texts = texts[size:]
    if texts:
        yield texts


def _inverted(texts: list[str], words: TermIds) -> tuple[_Window, np.ndarray]:
    """One window of texts as runs of postings, and the length of each text (int64)."""
    keys: list[np.ndarray] = []
    tf: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    for start, stop in slices(texts, _CHARACTERS_AT_ONCE):
        terms, counts = words.of(texts[start:stop])
        places = np.repeat(np.arange(start, stop), counts)
        known = terms != NO_TERM
        terms, places = terms[known], places[known]
        lengths.append(np.bincount(places - start, minlength=stop - start))
        for column, values in zip((keys, tf), _counted(np.sort(terms << WINDOW_BITS | places)), strict=True):
            column.append(values)
    flat_keys, flat_tf = np.concatenate(keys), np.concatenate(tf)
    if len(keys) > 1:  # no text was split, so no key is in two slices
        order = np.argsort(flat_keys, kind="stable")
        flat_keys, flat_tf = flat_keys[order], flat_tf[order]
    run_terms, run_lengths = _counted(flat_keys >> WINDOW_BITS)
    window = _Window(
        run_terms.astype(np.int32),
        run_lengths.astype(np.uint16),
        (flat_keys & (WINDOW - 1)).astype(np.uint16),
        flat_tf.astype(np.min_scalar_type(int(flat_tf.max(initial=0)))),
    )
    return window, np.concatenate(lengths)


def _counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of a sorted array, and how often each occurs (int64)."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return values[starts], np.diff(starts, append=len(values))


class _RunTable(NamedTuple):
    """All runs, sorted by term and then by window."""

    first_run: np.ndarray
    first_posting: np.ndarray
    run_window: np.ndarray
    run_length: np.ndarray
    starts: list[np.ndarray]  # for each window the posting at which each of its runs begins
    terms: list[np.ndarray]  # for each window the term of each of its runs

    @classmethod
    def from_windows(cls, terms: list[np.ndarray], lengths: list[np.ndarray], n_terms: int) -> _RunTable:
        flat_terms = np.concatenate(terms)
        flat_lengths = np.concatenate(lengths)
        windows = np.repeat(np.arange(len(terms), dtype=np.uint16), [len(window) for window in terms])
        order = np.argsort(flat_terms, kind="stable")
        ends = np.zeros(len(order) + 1, np.int64)
        np.cumsum(flat_lengths[order], out=ends[1:])
        starts = np.empty(len(order), np.int64)
        starts[order] = ends[:-1]
        first_run = np.zeros(n_terms + 1, np.int64)
        np.cumsum(np.bincount(flat_terms, minlength=n_terms), out=first_run[1:])
        cuts = np.cumsum([len(window) for window in terms])[:-1]
        return cls(first_run, ends[first_run], windows[order], flat_lengths[order], np.split(starts, cuts), list(terms))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored."""
        return {name: getattr(self, name) for name in ("first_run", "first_posting", "run_window", "run_length")}

    @property
    def document_frequencies(self) -> np.ndarray:
        """The number of items that contain each term, int64."""
        return np.diff(self.first_posting)


def _idf(df: np.ndarray, size: int) -> np.ndarray:
    """Lucene's inverse document frequency of each term, float64."""
    distinct, which = np.unique(df, return_inverse=True)
    # The C library's logarithm: NumPy's own differs between processors in the last bit.
    return np.array([math.log(1 + (size - n + 0.5) / (n + 0.5)) for n in distinct.tolist()], np.float64)[which]


def _write_postings(
    folder: Path, spill: BinaryIO, table: _RunTable, idf: np.ndarray, norm: np.ndarray, bar: Bar
) -> None:
    """Writes the runs of all windows to their places; `idf` is in steps."""
    total = int(table.first_posting[-1])
    place, impact = create_array(folder, "place", total), create_array(folder, "impact", total)
    for number, (terms, starts) in enumerate(zip(table.terms, table.starts, strict=True)):
        window = _Window(*(np.load(spill) for _ in _Window._fields))
        before = np.cumsum(window.lengths, dtype=np.int64) - window.lengths
        target = np.repeat(starts - before, window.lengths) + np.arange(len(window.place))
        window_norm = norm[number * WINDOW : (number + 1) * WINDOW]
        value = np.repeat(idf[terms], window.lengths) * (window.tf / (window.tf + window_norm[window.place]))
        place[target] = window.place
        impact[target] = np.maximum(np.floor(value + 0.5), 1)
        bar.advance(len(window_norm))


def _kth_impacts(impact: np.ndarray, first_posting: np.ndarray) -> np.ndarray:
    """The k-th highest impact of each term for k in `LEVELS`, 0 if a term has fewer postings, uint16 [terms, 6]."""
    df = np.diff(first_posting)
    table = np.zeros((len(df), len(LEVELS)), np.uint16)
    for term in np.flatnonzero(df >= LEVELS[0]):
        # NumPy's stable sort of 16-bit numbers is a radix sort, many times faster than its others.
        rising = np.sort(impact[first_posting[term] : first_posting[term + 1]], kind="stable")
        for column, k in enumerate(LEVELS[: bisect_right(LEVELS, len(rising))]):
            table[term, column] = rising[-k]
    return table
