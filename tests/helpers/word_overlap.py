"""A custom recommender whose scores can be counted by hand."""

import operator

import numpy as np

import rec_gym


class WordOverlap:
    """A custom recommender in a few lines: items by the number of words that they share with the query."""

    query_language = "bag of words"

    def __init__(self, catalog: rec_gym.Catalog) -> None:
        self.catalog = catalog
        self.words = [set(text.split()) for batch in catalog.texts() for text in batch]
        self.calls: list[tuple[str, ...]] = []

    def rank(self, queries, k, exclude=None):
        self.calls.append(tuple(queries))
        ids, scores = [], []
        for i, query in enumerate(queries):
            left_out = set() if exclude is None else set(exclude[i].tolist())
            found = [(len(set(query.split()) & words), p) for p, words in enumerate(self.words) if p not in left_out]
            best = sorted((f for f in found if f[0]), key=lambda f: (-f[0], f[1]))[:k]
            ids.append(self.catalog.ids([p for _, p in best]))
            scores.append([float(s) for s, _ in best])
        return rec_gym.Rankings.from_ids(self.catalog, ids, scores)


class FilteringOverlap(WordOverlap):
    """One that filters, item by item; it notes the filters that it was called with."""

    filters_items = True

    def __init__(self, catalog: rec_gym.Catalog) -> None:
        super().__init__(catalog)
        self.items = catalog.table.to_pylist()
        self.filters: list[object] = []

    def rank(self, queries, k, exclude=None, filters=None):
        self.filters.append(filters)
        if filters is None:
            return super().rank(queries, k, exclude)
        exclude = [[]] * len(queries) if exclude is None else exclude
        hidden = [[p for p, item in enumerate(self.items) if not passes(item, f)] for f in filters]
        both = [np.array([*one, *other], np.int32) for one, other in zip(exclude, hidden, strict=True)]
        return super().rank(queries, k, both)


def passes(item: dict, conditions) -> bool:
    """Whether an item meets all conditions; a missing value meets none."""
    compare = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
    return all(item[name] is not None and compare[sign](item[name], value) for name, sign, value in conditions)
