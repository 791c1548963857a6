"""A custom recommender whose scores can be counted by hand."""

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
