"""How far the ranked items are from the relevant ones, in places of a document."""

from __future__ import annotations

from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.catalog import Catalog
from rec_gym.dataset import Dataset
from rec_gym.measures.base import Listed, ListMeasure
from rec_gym.ranking import NOT_RANKED

_LONGEST = 2**31 - 1  # places of a document, at most


class Distance(ListMeasure):
    """The least |place - place of a relevant item| over the top k items, in the document of the relevant item.

    Items are parts of documents, such as sentences: two columns of the catalogue say in which document an item is, and at
    which place. Lower is better, and 0 means that a relevant item is in the top k. A ranking without an item of a relevant
    item's document, such as an empty one, is as far off as no item can be: the length of the longest such document (its
    greatest place minus its least, plus 1).

    A subclass may name other columns.

    Attributes:
        document: the column that says in which document an item is; text or numbers.
        place: the column of its place there; whole numbers.
    """

    document: ClassVar[str] = "document"
    place: ClassVar[str] = "place"
    without_cutoff = None
    range = (0.0, float(_LONGEST))
    lower_is_better = True

    def check(self, dataset: Dataset) -> None:
        """Refuses a catalogue that does not say in which document, and at which place, every item is."""
        table = dataset.catalog.table
        for name in (self.document, self.place):
            if name not in table.column_names:
                raise ValueError(
                    f"distance@k needs the columns {self.document!r} and {self.place!r}, which say where an item is; the "
                    f"catalogue has: {', '.join(table.column_names)}"
                )
            if table[name].null_count:
                raise ValueError(f"distance@k needs a {name} for each item, but {table[name].null_count} have none")
        kind = table.schema.field(self.place).type
        if not pa.types.is_integer(kind):
            raise ValueError(f"distance@k needs whole numbers in the column {self.place!r}, not {kind}")
        least, most = pc.min_max(table[self.place]).as_py().values()
        if least < 0 or most >= _LONGEST:
            raise ValueError(
                f"distance@k takes places from 0 to {_LONGEST - 1}; the column {self.place!r} holds {least} to {most}"
            )

    def __call__(self, listed: Listed, cutoff: int | None) -> np.ndarray:
        """The measure of each request, float64 [n]."""
        where = _positions(listed.catalog, self.document, self.place)
        items = listed.top(cutoff).items
        relevant = listed.dataset.relevant.take(listed.rows)
        least = where.lengths[where.documents[relevant.values]].astype(np.float64)
        ranked = items[relevant.row_of]  # [relevant items, places of the ranking]
        ranked_places = where.places[np.maximum(ranked, 0)]
        gaps = np.abs(ranked_places - where.places[relevant.values, None])
        same = where.documents[np.maximum(ranked, 0)] == where.documents[relevant.values, None]
        counted = (ranked != NOT_RANKED) & same
        near = np.min(gaps, axis=1, where=counted, initial=_LONGEST)
        return _least_or_longest(relevant.row_of, near, counted.any(axis=1), least, len(relevant))


def _least_or_longest(
    rows: np.ndarray, near: np.ndarray, reached: np.ndarray, lengths: np.ndarray, size: int
) -> np.ndarray:
    """For each request the least distance that is reached; if none is, the greatest length; float64 [size]."""
    least, longest = np.full(size, np.inf), np.zeros(size)
    np.minimum.at(least, rows[reached], near[reached])
    np.maximum.at(longest, rows, lengths)
    return np.where(np.isinf(least), longest, least)


class _Positions:
    """Where the items of a catalogue are.

    Attributes:
        documents: a number for the document of each item, int32 [items].
        places: int64 [items].
        lengths: of each document, int64 [documents].
    """

    def __init__(self, catalog: Catalog, document: str, place: str) -> None:
        codes = pc.dictionary_encode(catalog.table[document].combine_chunks())
        self.documents = codes.indices.to_numpy()
        self.places = catalog.values(place).astype(np.int64)
        size = len(codes.dictionary)
        first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
        np.minimum.at(first, self.documents, self.places)
        np.maximum.at(last, self.documents, self.places)
        self.lengths = last - first + 1


_known: WeakKeyDictionary[Catalog, dict[tuple[str, str], _Positions]] = WeakKeyDictionary()


def _positions(catalog: Catalog, document: str, place: str) -> _Positions:
    """Where the items are; computed once per catalogue, as every batch asks for it."""
    known = _known.setdefault(catalog, {})
    if (document, place) not in known:
        known[document, place] = _Positions(catalog, document, place)
    return known[document, place]
