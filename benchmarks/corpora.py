"""Corpora and query loads for the benchmarks: generated text of any size, with queries shaped like real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from rec_gym.cache import cache_home, prepared_folder
from rec_gym.catalog import Catalog
from rec_gym.recommenders.bm25.analyzer import Analyzer

VERSION = 1  # increase it when a corpus changes; stored ones are then regenerated

WORDS = 400_000
TOPICS, TOPIC_WORDS = 2000, 3000
MEAN_LENGTH, LENGTH_SIGMA = 70, 0.75
REPEATED, FROM_TOPIC = 0.15, 0.40  # shares of an item's words; the rest comes from the whole language
_ITEMS_AT_ONCE = 50_000
_SMALL_SHOP = 5000  # items whose words queries take

# Queries of each load take their lengths and repetitions from real ones: (task, policy) in the rewrites file.
LOADS = {"short": ("esci", "original"), "mid": ("amazon_beauty", "rec-r1"), "long": ("esci", "rec-r1")}


class ZipfLanguage:
    """A language of 400,000 invented words whose frequencies follow Zipf and Mandelbrot, with topics of their own words.

    Args:
        seed: decides about everything.
    """

    def __init__(self, seed: int = 7) -> None:
        draw = np.random.default_rng(seed)
        self.words = np.array(invented_words(WORDS), object)
        self.cumulative = _cumulative(1 / (np.arange(1, WORDS + 1) + 30.0) ** 1.05)
        self.topic_words = np.exp(draw.uniform(np.log(30), np.log(120_000), (TOPICS, TOPIC_WORDS))).astype(np.int32)
        self.within_topic = _cumulative(1 / (np.arange(1, TOPIC_WORDS + 1) + 5.0) ** 1.1)
        self.topics = _cumulative(1 / (np.arange(1, TOPICS + 1) + 20.0) ** 0.8)
        self.seed = seed

    def texts(self, size: int) -> Iterator[list[str]]:
        """The texts of `size` items, in batches; the first n items are the same for every size."""
        for number, start in enumerate(range(0, size, _ITEMS_AT_ONCE)):
            draw = np.random.default_rng([self.seed, number])
            tokens, offsets = self._tokens(draw, _ITEMS_AT_ONCE)
            words = self.words[tokens].tolist()
            kept = min(_ITEMS_AT_ONCE, size - start)
            cuts = offsets[: kept + 1].tolist()
            yield [" ".join(words[begin:end]) for begin, end in pairwise(cuts)]

    def _tokens(self, draw: np.random.Generator, items: int) -> tuple[np.ndarray, np.ndarray]:
        mu = np.log(MEAN_LENGTH) - LENGTH_SIGMA**2 / 2
        lengths = np.clip(draw.lognormal(mu, LENGTH_SIGMA, items), 4, 600).astype(np.int64)
        offsets = np.zeros(items + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        total = int(offsets[-1])
        topic = np.repeat(np.searchsorted(self.topics, draw.random(items)), lengths)
        kind, value = draw.random(total), draw.random(total)
        tokens = np.searchsorted(self.cumulative, value)
        topical = kind < REPEATED + FROM_TOPIC
        tokens[topical] = self.topic_words[topic[topical], np.searchsorted(self.within_topic, value[topical])]
        place = np.arange(total) - np.repeat(offsets[:-1], lengths)
        repeated = np.flatnonzero((kind < REPEATED) & (place > 0))
        tokens[repeated] = tokens[repeated - 1 - (value[repeated] * place[repeated]).astype(np.int64)]
        return tokens, offsets

    def queries(self, shapes: Sequence[Sequence[int]], count: int, seed: int = 5) -> list[str]:
        """`count` queries on one topic each that repeat their words as real ones do.

        Args:
            shapes: real queries, each word replaced by the number of its first appearance: [0, 1, 0] is "a b a".
            count: queries to draw.
            seed: decides about shapes and words.
        """
        draw = np.random.default_rng(seed)
        queries = []
        for number in range(count):
            shape = shapes[number % len(shapes)]
            words = self._distinct_words(draw, max(shape, default=-1) + 1)
            queries.append(" ".join(self.words[words[place]] for place in shape))
        return queries

    def _distinct_words(self, draw: np.random.Generator, count: int) -> list[int]:
        topic = int(np.searchsorted(self.topics, draw.random()))
        found: dict[int, None] = {}
        while len(found) < count:
            if draw.random() < 0.6:
                word = self.topic_words[topic, np.searchsorted(self.within_topic, draw.random())]
            else:  # one of the 6,000 commonest words
                word = np.searchsorted(self.cumulative, draw.random() * self.cumulative[5999])
            found[int(word)] = None
        return list(found)

    def catalog(self, size: int) -> Catalog:
        """The catalogue of `size` items; generated once, cached and memory-mapped."""
        return _stored(f"zipf-{size}", {"size": size, "seed": self.seed}, lambda: self.texts(size))


class CornerShop:
    """The generated shop: template text, with few words that occur in many items."""

    def catalog(self, size: int) -> Catalog:
        """The shop of `size` items; generated once, cached and memory-mapped."""

        def texts() -> Iterator[list[str]]:
            from rec_gym.datasets.corner_shop import load

            yield from load(items=size, train=1, val=1, test=1, ood=1).catalog.texts()

        return _stored(f"shop-{size}", {"size": size}, texts)

    def queries(self, shapes: Sequence[Sequence[int]], count: int, seed: int = 5) -> list[str]:
        """`count` queries that repeat their words as real ones do; the words are those of a few random items."""
        draw = np.random.default_rng(seed)
        items = [tokens_of(text) for batch in self.catalog(_SMALL_SHOP).texts() for text in batch]
        queries = []
        for number in range(count):
            shape = shapes[number % len(shapes)]
            words: dict[str, None] = {}
            while len(words) <= max(shape, default=-1):
                words.update(dict.fromkeys(draw.permutation(items[draw.integers(len(items))]).tolist()))
            chosen = list(words)
            queries.append(" ".join(chosen[place] for place in shape))
        return queries


CORPORA: dict[str, Callable[[], ZipfLanguage | CornerShop]] = {"zipf": ZipfLanguage, "shop": CornerShop}


def _cumulative(weights: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    return cumulative


def invented_words(count: int) -> list[str]:
    """Words of open syllables that are their own English stems, so that every engine sees the same terms."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvz" for vowel in "aiou"]
    words: list[str] = []
    term, number = Analyzer().term, len(syllables)
    while len(words) < count:
        word, rest = "", number
        while rest:
            rest, place = divmod(rest, len(syllables))
            word = syllables[place] + word
        if term(word) == word:
            words.append(word)
        number += 1
    return words


def _stored(name: str, made: Mapping[str, object], texts: Callable[[], Iterator[list[str]]]) -> Catalog:
    """A catalogue of texts that is generated once, cached and memory-mapped."""

    def build(folder: Path) -> None:
        schema = pa.schema({"item_id": pa.large_string(), "text": pa.large_string()})
        start = 0
        with pa.OSFile(str(folder / "catalog.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in texts():
                ids = [f"i{number}" for number in range(start, start + len(batch))]
                writer.write_batch(pa.record_batch([ids, batch], schema=schema))
                start += len(batch)

    made = {"corpus": name, "version": VERSION, **made}
    folder = prepared_folder(cache_home() / "benchmarks" / name, made, build, print)
    return Catalog(pa.ipc.open_file(pa.memory_map(str(folder / "catalog.arrow"))).read_all())


def query_shapes(rewrites: Path, task: str, policy: str) -> list[list[int]]:
    """Which words of each real query are equal, without stop words; see `ZipfLanguage.queries`.

    Raises:
        ValueError: the file has no such queries.
    """
    analyzer = Analyzer()
    shapes = []
    for line in rewrites.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if (row["task"], row["policy"]) == (task, policy):
            terms = [term for word in analyzer.words(row["query"]) if (term := analyzer.term(word)) is not None]
            first: dict[str, int] = {}
            shapes.append([first.setdefault(term, len(first)) for term in terms])
    if not shapes:
        raise ValueError(f"{rewrites} holds no queries of task {task!r} and policy {policy!r}")
    return [shape for shape in shapes if shape]


_rules = Analyzer()
_term_of = cache(_rules.term)


def tokens_of(text: str) -> list[str]:
    """The terms of a text, as every engine gets them."""
    return [term for word in _rules.words(text) if (term := _term_of(word)) is not None]
