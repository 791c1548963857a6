"""What ranks: a recommender."""

import numpy as np

import rec_gym


class SharedLetters:
    """Ranks items by the number of runs of letters that their text shares with the query."""

    query_language = "any"

    def __init__(self, letters: int = 4) -> None:
        self.letters = letters
        self._catalog, self._items = None, []

    def fit(self, catalog):
        fitted = SharedLetters(self.letters)
        fitted._catalog = catalog
        fitted._items = [self._runs(text) for batch in catalog.texts() for text in batch]
        return fitted

    def rank(self, queries, k, exclude=None):
        items, scores = np.full((len(queries), k), -1, np.int32), np.zeros((len(queries), k), np.float32)
        for row, query in enumerate(queries):
            runs = self._runs(query)
            shared = np.array([len(runs & others) for others in self._items], np.float32)
            if exclude is not None:
                shared[exclude[row]] = 0
            best = np.argsort(-shared, kind="stable")[: min(k, int((shared > 0).sum()))]
            items[row, : len(best)], scores[row, : len(best)] = best, shared[best]
        return rec_gym.Rankings(items, scores)

    def searched(self, queries):
        return [" ".join(sorted(self._runs(query))) for query in queries]

    def _runs(self, text):
        text = "".join(letter for letter in text.lower() if letter.isalnum())
        return {text[start : start + self.letters] for start in range(len(text) - self.letters + 1)}
