"""Relevance judgements in flat arrays, and the requests made from them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_gym.catalog import Catalog
from rec_gym.columns import first_few
from rec_gym.dataset import TEST, TRAIN, VAL, Dataset

_FURTHER = 2  # strictness of a named split such as `ood-type`: train < the others < val < test
_STRICTNESS = {TRAIN: 1, VAL: 3, TEST: 4}


def split_name(name: str) -> str:
    """The package's name for a source's split: `dev`, `valid` and `validation` become `val`."""
    return VAL if name in ("dev", "valid", "validation") else name


class Judgements:
    """Collects `(query, item, gain, split)` rows and resolves conflicts between them.

    Args:
        catalog: where item ids are looked up.
        source: where the rows come from, for messages.
        notes: counts everything that is dropped.
    """

    def __init__(self, catalog: Catalog, source: str, notes: Counter[str]) -> None:
        self.catalog, self.source, self.notes = catalog, source, notes
        self.queries: dict[str, int] = {}
        self._splits: dict[str, int] = {}
        self._codes, self._items, self._gains, self._in_split = array("i"), array("i"), array("d"), array("i")

    def add(self, queries: Sequence[str], items: Sequence[str], gains: Sequence[float], splits: Sequence[str]) -> None:
        """Adds a batch of judgements; those of items that are not in the catalogue are dropped and counted."""
        positions = self.catalog.index.find(items)
        self.notes["judgements of items that are not in the catalogue, dropped"] += int((positions < 0).sum())
        self._codes.extend([self.queries.setdefault(name, len(self.queries)) for name in queries])
        self._items.frombytes(positions.tobytes())
        self._gains.extend(gains)
        self._in_split.extend([self._splits.setdefault(name, len(self._splits)) for name in splits])

    def requests(self, text_of: Callable[[str], str | None]) -> Iterator[dict[str, object]]:
        """Yields one request per query, in the order in which the queries were first judged.

        Args:
            text_of: the text of a query; None or an empty text drops the query, which is counted.

        Raises:
            ValueError: two judgements of one query and item differ.
        """
        codes, items, gains, splits = self._resolved()
        bounds = np.searchsorted(codes, np.arange(len(self.queries) + 1))
        names = list(self._splits)
        for query, code in self.queries.items():
            rows = slice(bounds[code], bounds[code + 1])
            text = text_of(query)
            if not (gains[rows] > 0).any():
                self.notes["queries without a relevant item in the catalogue, dropped"] += 1
            elif not text or not text.strip():
                self.notes["judged queries without a text, dropped"] += 1
            else:
                judged = dict(zip(items[rows].tolist(), gains[rows].tolist(), strict=True))
                yield {"id": query, "text": text, "split": names[splits[bounds[code]]], "gains": judged}

    def _resolved(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The judgements sorted by query and item: each query in one split, each item once, none absent."""
        columns = (np.array(self._codes), np.array(self._items), np.array(self._gains), np.array(self._in_split))
        codes, items, gains, splits = self._one_split_per_query(*columns)
        known = items >= 0
        codes, items, gains, splits = codes[known], items[known], gains[known], splits[known]
        order = np.lexsort((items, codes))
        codes, items, gains, splits = codes[order], items[order], gains[order], splits[order]
        again = np.zeros(len(codes), bool)
        again[1:] = (codes[1:] == codes[:-1]) & (items[1:] == items[:-1])
        differ = np.flatnonzero(again)[gains[again] != gains[np.flatnonzero(again) - 1]]
        if differ.size:
            queries = list(self.queries)
            pairs = zip((queries[code] for code in codes[differ]), self.catalog.ids(items[differ]), strict=True)
            raise ValueError(
                f"{self.source}: different judgements of the same query and item: {first_few(pairs)}; keep one of them"
            )
        self.notes["repeated judgements, counted once"] += int(again.sum())
        return codes[~again], items[~again], gains[~again], splits[~again]

    def _one_split_per_query(
        self, codes: np.ndarray, items: np.ndarray, gains: np.ndarray, splits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Keeps a query that several splits judge in the strictest of them (test, val, others, train), with its gains.

        So nothing that is tested on is trained on; splits of equal strictness are ordered by name.
        """
        names = sorted(self._splits, key=lambda name: (_STRICTNESS.get(name, _FURTHER), name))
        strictness = np.zeros(len(self._splits), np.int64)
        strictness[[self._splits[name] for name in names]] = np.arange(len(names))
        strictest = np.full(len(self.queries), -1, np.int64)
        np.maximum.at(strictest, codes, strictness[splits])
        keep = strictness[splits] == strictest[codes]
        moved = len(np.unique(codes[~keep]))
        self.notes["queries judged in several splits, kept in the strictest (test, val, others, train)"] += moved
        return codes[keep], items[keep], gains[keep], splits[keep]


def dataset_of(
    catalog: Catalog,
    requests: Iterable[Mapping[str, object]],
    source: str,
    notes: Counter[str],
    duplicate_targets: str = "remove",
) -> Dataset:
    """Builds the dataset; it carries what `notes` counted while `requests` was read, without zeros.

    Raises:
        ValueError: no request is left, or one is not valid.
    """
    try:
        dataset = Dataset.from_requests(catalog, requests, duplicate_targets=duplicate_targets)
    except ValueError as error:
        dropped = ", ".join(f"{reason}: {count}" for reason, count in (+notes).items())
        raise ValueError(f"{source}: {error}" + (f" (so far: {dropped})" if dropped else "")) from error
    dataset.notes = dict(+notes)
    return dataset


def catalog_of(table: pa.Table, source: str, notes: Counter[str]) -> Catalog:
    """Builds the catalogue; errors name its source, and items without text are counted.

    Raises:
        ValueError: see `Catalog`.
    """
    try:
        catalog = Catalog(table)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    for batch in catalog.table.select(list(catalog.text_columns)).to_batches():
        sizes = [pc.fill_null(pc.binary_length(column), 0).to_numpy() for column in batch.columns]
        notes["items without any text"] += int((np.sum(sizes, axis=0) == 0).sum())
    return catalog
