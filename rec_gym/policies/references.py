"""References: baselines that look at what a policy must not see. Tables mark them."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import csc_matrix

from rec_gym.catalog import Catalog
from rec_gym.columns import first_few
from rec_gym.dataset import Dataset
from rec_gym.filters import Condition
from rec_gym.loop.actions.base import ORDER, QUERIES, QUERY, TITLES
from rec_gym.loop.candidates import request_words
from rec_gym.loop.task import Task
from rec_gym.measures import LIST, Judged, Measure
from rec_gym.policies.base import Baseline
from rec_gym.words import words

_SAMPLED_ITEMS = 20_000  # items from which common words are told
_COMMON_SHARE, _COMMON_ITEMS = 0.1, 10
_WORD_LENGTHS = range(2, 21)
_BAG_OF_WORDS = "bag of words"
_BATCH = 1 << 14  # queries that are ranked at once
_CELLS = 1 << 24  # places of rankings that are held at once


class Oracle(Baseline):
    """Answers with what the dataset knows to be right, in the form that the action format makes of it.

    That is the oracle query of a request, with its constraints as filters where completions hold filters; where completions
    name titles, those of its relevant items by decreasing gain; and where they order candidates, the order by decreasing
    gain.

    Raises:
        ValueError: the task asks queries, and the dataset knows no oracle query, or not for every request of the split.
    """

    fits: ClassVar[tuple[str, ...]] = (QUERY, QUERIES, TITLES, ORDER)
    reference: ClassVar[str] = "knows the relevant items"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if not task.action.needs_oracle_query:
            return
        if not task.dataset.has_oracle:
            raise ValueError("the policy 'oracle' needs a dataset that knows an oracle query; this one knows none")
        queries = task.dataset.column("oracle", task.rows_in_split)
        without = [name for name, query in zip(task.request_ids, queries, strict=True) if not query]
        if without:
            raise ValueError(f"the dataset knows no oracle query for requests {first_few(without)}")

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The answer to each row; see `Baseline.queries`."""
        dataset, best = self.task.dataset, self.task.action.best
        return [best(_Known(dataset, row, place)) for row, place in zip(rows, places.tolist(), strict=True)]


@dataclass(frozen=True)
class _Known:
    """What a dataset knows of one request; see `rec_gym.loop.actions.Truth`."""

    dataset: Dataset
    row: Mapping[str, Any]
    place: int

    @property
    def query(self) -> str:
        return self.dataset.column("oracle", np.array([self.place]))[0]

    @property
    def titles(self) -> list[str]:
        best = self.dataset.relevant[self.place]
        best = best[np.argsort(-self.dataset.relevant_gains[self.place], kind="stable")]
        return list(dict.fromkeys(self.dataset.catalog.titles(best)))

    @property
    def constraints(self) -> Sequence[Condition]:
        return self.dataset.constraints(self.place)

    @property
    def order(self) -> list[int]:
        dataset, place = self.dataset, self.place
        known = dict(zip(dataset.relevant[place].tolist(), dataset.relevant_gains[place].tolist(), strict=True))
        candidates = dataset.catalog.positions(self.row["candidate_ids"]).tolist()
        return np.argsort(-np.array([known.get(item, 0.0) for item in candidates]), kind="stable").tolist()


class VocabularyOracle(Baseline):
    """Adds to each request the words of a vocabulary that raise its measure most: what a policy of that vocabulary could earn.

    The first word is the best one, exactly; each further word is the best one beside those chosen before it (greedy), so
    that for more than one word the figure is a lower bound of what the vocabulary allows. A request keeps its text alone
    where no word raises the measure. Of words that raise it equally the first of the vocabulary is taken.

    Args:
        task: the task; the request's text and the chosen words make one query.
        vocabulary: the words.
        words: at most this many are added.
        by: measures of ranks, the most important one first; a later one decides between words that are equal by the
            earlier ones.

    Raises:
        ValueError: the vocabulary is empty, `words` is below 1, or a measure is unknown or needs the list.
    """

    fits: ClassVar[tuple[str, ...]] = ("query", "queries")
    reference: ClassVar[str] = "knows the relevant items"

    def __init__(
        self, task: Task, vocabulary: Sequence[str], words: int = 1, by: Sequence[str] = ("ndcg@10", "ndcg@100")
    ) -> None:
        super().__init__(task)
        self.vocabulary = list(dict.fromkeys(filter(None, vocabulary)))
        if not self.vocabulary or words < 1 or not by:
            raise ValueError(
                "an oracle within a vocabulary needs at least one word to choose from, one to add, and a measure"
            )
        self.words, self._measures = words, [Measure.parse(name) for name in by]
        for measure in self._measures:
            measure.check(task.dataset)
            if measure.needs == LIST:
                raise ValueError(f"words are chosen by measures of ranks, such as ndcg@10; {measure} needs the list")

    def limited(self, words: int) -> Self:
        """The same oracle with another number of words; what was looked up is shared."""
        _ = self._finders
        other = copy.copy(self)
        other.words = words
        return other

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        distinct, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        chosen = self._best([rows[i]["text"] for i in first], distinct)
        return [chosen[i] for i in inverse]

    def _best(self, queries: list[str], places: np.ndarray) -> list[str]:
        """The queries with the chosen words behind them."""
        left = self._candidates(places)
        best = self._values(queries, places)
        live = np.ones(len(queries), bool)
        for _ in range(self.words):
            owners, tried = np.nonzero(left & live[:, None])
            pairs = zip(owners.tolist(), tried.tolist(), strict=True)
            values = self._values([f"{queries[i]} {self.vocabulary[word]}" for i, word in pairs], places[owners])
            # By request, then by falling values; the first of each request is its best.
            order = np.lexsort((*(-values.T)[::-1], owners))
            live[:] = False
            for trial in order[np.unique(owners[order], return_index=True)[1]].tolist():
                owner, word = int(owners[trial]), int(tried[trial])
                if tuple(values[trial]) > tuple(best[owner]):
                    best[owner], live[owner], left[owner, word] = values[trial], True, False
                    queries[owner] += f" {self.vocabulary[word]}"
        return queries

    def _candidates(self, places: np.ndarray) -> np.ndarray:
        """Words that may raise a request's measure, bool [n, vocabulary].

        An engine that reads a bag of words adds up what each word brings: one that finds no relevant item helps none of
        them up. Of any other engine all words are tried.
        """
        if self._finders is None:
            return np.ones((len(places), len(self.vocabulary)), bool)
        candidates = np.zeros((len(places), len(self.vocabulary)), bool)
        for row, items in zip(candidates, self.task.dataset.relevant.take(places), strict=True):
            row[self._finders[:, items].indices] = True
        return candidates

    @cached_property
    def _finders(self) -> csc_matrix | None:
        """Which word finds which item when it is asked alone, bool [vocabulary, items]; None where that decides nothing."""
        recommender, size = self.task.recommender, len(self.task.dataset.catalog)
        if recommender.query_language != _BAG_OF_WORDS:
            return None
        step = max(1, _CELLS // size)
        asked, found = [], []
        for start in range(0, len(self.vocabulary), step):
            items = recommender.rank(self.vocabulary[start : start + step], size).items
            rows, columns = np.nonzero(items >= 0)
            asked.append(rows + start)
            found.append(items[rows, columns])
        pair = np.concatenate(asked), np.concatenate(found)
        return csc_matrix((np.ones(len(pair[0]), bool), pair), shape=(len(self.vocabulary), size))

    def _values(self, queries: Sequence[str], places: np.ndarray) -> np.ndarray:
        """The measures of each query, float64 [n, measures]."""
        dataset, size = self.task.dataset, len(self.task.dataset.catalog)
        depth = min(size, max(size if m.cutoff is None else m.cutoff for m in self._measures))
        values = np.zeros((len(queries), len(self._measures)))
        for start in range(0, len(queries), _BATCH):
            part = slice(start, start + _BATCH)
            rankings = self.task.engine.rank(queries[part], places[part], depth)
            relevant, gains, ideal = (
                column.take(places[part]) for column in (dataset.relevant, dataset.relevant_gains, dataset.ideal_gains)
            )
            judged = Judged(rankings.ranks_of(relevant), gains, ideal, rankings.lengths)
            values[part] = np.stack([measure(judged) for measure in self._measures], axis=1)
        return values


class RM3(Baseline):
    """Pseudo-relevance feedback: the request's words and the words of the items that it finds.

    The relevance model RM1 is P(w|R) ~ sum over the first `fb_docs` items of score(d) * P(w|d) (Lavrenko and Croft
    2001, "Relevance-Based Language Models"); RM3 keeps its `fb_terms` likeliest words and mixes them with the request:
    P(w) = weight * P(w|request) + (1 - weight) * P(w|R) (Abdul-Jaleel et al. 2004, "UMass at TREC 2004: Novelty and
    HARD"). Parameters, the limits on a word's length and the rule that words of more than a tenth of the items are left
    out are Anserini's. Weights are written as repeated words, and words are taken as they stand: the recommender is a
    black box, so its weights and its stems are out of reach.

    Args:
        task: the task.
        fb_docs: items that are read.
        fb_terms: words that are added.
        original_weight: weight of the request's own words, above 0 and at most 1.
    """

    reference: ClassVar[str] = "reads the catalogue"

    def __init__(self, task: Task, fb_docs: int = 10, fb_terms: int = 10, original_weight: float = 0.5) -> None:
        super().__init__(task)
        if fb_docs < 1 or fb_terms < 1 or not 0 < original_weight <= 1:
            raise ValueError("RM3 needs fb_docs and fb_terms of at least 1 and an original_weight in (0, 1]")
        self.fb_docs, self.fb_terms, self.original_weight = fb_docs, fb_terms, original_weight
        # A task of one turn whose depth is what is read; it asks as the task itself would, exclusions included.
        self._search = task.replace(reward=f"ndcg@{fb_docs}", measures=(), cutoffs=None, action="plain", turns=1)
        self._fields = tuple(getattr(task.recommender, "fields", ())) or task.dataset.catalog.text_columns

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        _, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        distinct = [rows[i] for i in first]
        texts = request_words(self.task.dataset, places[first])
        rankings = self._search.score([row["request_id"] for row in distinct], texts).rankings
        found = np.unique(rankings.items[rankings.items >= 0])
        models = dict(zip(found.tolist(), self._word_models(found), strict=True))
        expanded = []
        for text, items, scores in zip(texts, rankings.items, rankings.scores, strict=True):
            ranked = items >= 0
            docs = [models[item] for item in items[ranked].tolist()]
            expanded.append(self._mix(text, self._relevance_model(docs, scores[ranked])))
        return [expanded[i] for i in inverse]

    @cached_property
    def common_words(self) -> frozenset[str]:
        """Words that stand in more than a tenth of the items (of a sample, where there are very many items)."""
        catalog = self.task.dataset.catalog
        sample = np.arange(0, len(catalog), math.ceil(len(catalog) / _SAMPLED_ITEMS))
        frequency: Counter[str] = Counter()
        for text in _item_texts(catalog, sample, self._fields):
            frequency.update(set(words(text)))
        limit = max(_COMMON_SHARE * len(sample), _COMMON_ITEMS)
        return frozenset(word for word, count in frequency.items() if count > limit)

    def _word_models(self, items: np.ndarray) -> list[dict[str, float]]:
        """P(w|d) of each item, over the words that may be added."""
        models = []
        for text in _item_texts(self.task.dataset.catalog, items, self._fields):
            found = Counter(words(text))
            kept = {w: n for w, n in found.items() if len(w) in _WORD_LENGTHS and w not in self.common_words}
            total = sum(kept.values())
            models.append({word: count / total for word, count in kept.items()})
        return models

    def _relevance_model(self, docs: Sequence[dict[str, float]], scores: np.ndarray) -> dict[str, float]:
        """The likeliest words and their probabilities; ties by the word."""
        weights = np.maximum(scores.astype(np.float64), 0.0)
        if not weights.any():  # a recommender whose scores say nothing about likelihood
            weights = np.ones(len(docs))
        likely: Counter[str] = Counter()
        for doc, weight in zip(docs, weights.tolist(), strict=True):
            for word, share in doc.items():
                likely[word] += weight * share
        top = sorted(likely.items(), key=lambda pair: (-pair[1], pair[0]))[: self.fb_terms]
        total = sum(weight for _, weight in top)
        return {word: weight / total for word, weight in top} if total > 0 else {}

    def _mix(self, text: str, model: dict[str, float]) -> str:
        """The request's text, repeated, and each further word as often as its weight says."""
        if not model:
            return text
        own = max(1, sum(word not in self.common_words for word in words(text)))
        # Enough repetitions for an added word of average weight to appear ten times, so that rounding is small.
        repeats = math.ceil(10 * self.fb_terms / own)
        added = repeats * own * (1 - self.original_weight) / self.original_weight
        counts = {word: round(share * added) for word, share in model.items()}
        return " ".join([text] * repeats + [word for word, count in counts.items() for _ in range(count)])


def _item_texts(catalog: Catalog, positions: np.ndarray, fields: Sequence[str]) -> list[str]:
    """The joined texts of some items; values are read one by one, which copies no column."""
    columns = [catalog.table[name] for name in fields]
    return [" ".join(filter(None, (column[i].as_py() for column in columns))) for i in positions.tolist()]
