"""From text to terms: lower case, Unicode word tokens, stop words, Snowball stems.

Every distinct surface word is analysed once and then found in a dictionary, so an ordinary text costs one split and one
look-up per word. Texts that invent words by the thousand are the exception: to remember words that will not come again
would cost more than to stem them, and push out those that do.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import Stemmer
from numpy.typing import ArrayLike

from rec_gym.recommenders.bm25.compilation import load_kernels
from rec_gym.tables import unknown
from rec_gym.words import blanked, words

NO_TERM = -1
_NOT_LOOKED_UP = -2
NO_LANGUAGE = "none"

# Lucene's default English stop words (org.apache.lucene.analysis.en.EnglishAnalyzer).
ENGLISH_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be but by for if in into is it no not of on or such
        that the their then there these they this to was will with""",
    )
)

# A longer word is analysed each time that it occurs: it will hardly come again, and a dictionary of words of a
# megabyte each has no bound.
_LONGEST_KEPT_WORD = 64

# Beyond so many new words at once, those without a term are not remembered: ordinary texts do not have them.
_MANY_NEW_WORDS = 1 << 12

_FEW_CHARACTERS = 1 << 12  # below it, a Python loop over the words is quicker than setting up PyArrow's functions

# For ASCII bytes, what lower case and `\w` do; other bytes stay as they are.
_BLANK_OUT = bytes(ord(chr(i).lower()) if chr(i).isalnum() or chr(i) == "_" else ord(" ") for i in range(128)) + bytes(
    range(128, 256)
)
_EMPTY = frozenset([""])
_stemmers = threading.local()  # a Snowball stemmer must not be used by two threads at once


@dataclass(frozen=True)
class Analyzer:
    """The rules by which a word becomes a term.

    Attributes:
        language: a Snowball language (`"english"`, `"german"`, ...), or `"none"` to leave words as they are.
        stop_words: whether Lucene's 33 English stop words are dropped; it has no effect for other languages.

    Raises:
        ValueError: there is no such language.
    """

    language: str = "english"
    stop_words: bool = True

    def __post_init__(self) -> None:
        known = (*Stemmer.algorithms(), NO_LANGUAGE)
        if self.language not in known:
            raise ValueError(unknown("language", self.language, known))

    @property
    def version(self) -> dict[str, str]:
        """Versions of what is outside of this file and decides about terms."""
        return {"unicode": unicodedata.unidata_version, "snowball": Stemmer.version()}

    def words(self, text: str) -> list[str]:
        """The words of `text`, see `rec_gym.words`."""
        return words(text)

    def split(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The words of many texts at once, as `rec_gym.words` gives them.

        Returns:
            The distinct words; for each word of all texts in order its place among them, an integer; how many words
            each text has, int64. Some of the words may be empty.
        """
        if sum(map(len, texts)) >= _FEW_CHARACTERS:
            return self._split_many(texts)
        rows = [self.words(text) for text in texts]
        places: dict[str, int] = {}
        codes = [places.setdefault(word, len(places)) for word in chain.from_iterable(rows)]
        return list(places), np.array(codes, np.int64), np.array([len(row) for row in rows], np.int64)

    def _split_many(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """`split` without a Python object for each word that is repeated."""
        # Text becomes words with spaces between them: by its bytes where it is ASCII, by the rule where it is not.
        raw = [text.encode() if text.isascii() else blanked(text).encode() for text in texts]
        offsets = np.zeros(len(raw) + 1, np.int64)
        np.cumsum([len(text) for text in raw], out=offsets[1:])
        characters = pa.py_buffer(b"".join(raw).translate(_BLANK_OUT))
        column = pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets), characters)
        words = pc.ascii_split_whitespace(column)
        coded = words.flatten().dictionary_encode()
        return (
            coded.dictionary.to_pylist(),
            coded.indices.to_numpy(),
            np.diff(words.offsets.to_numpy()).astype(np.int64),
        )

    @property
    def without_term(self) -> frozenset[str]:
        """The words that are never searched: stop words and the empty word."""
        return _EMPTY | ENGLISH_STOP_WORDS if self.stop_words and self.language == "english" else _EMPTY

    def term(self, word: str) -> str | None:
        """The term of a lower-case word; None for a stop word or an empty one."""
        return None if word in self.without_term else self.terms([word])[0]

    def terms(self, words: list[str]) -> list[str]:
        """The term of each lower-case word, none of which may be in `without_term`."""
        if self.language == NO_LANGUAGE:
            return words
        if self.language == "english":
            # All that Snowball's English changes are endings of the letters a to z, so that other words need no stemmer.
            changing = [word for word in words if "a" <= word[-1] <= "z"]
            if len(changing) < len(words):
                stems = dict(zip(changing, self._stems(changing), strict=True))
                return [stems.get(word, word) for word in words]
        return self._stems(words)

    def _stems(self, words: list[str]) -> list[str]:
        stems = _stemmer(self.language).stemWords(words)
        if "" in stems:  # a word of nothing but endings
            stems = [stem or word for stem, word in zip(stems, words, strict=True)]
        return stems


def _stemmer(language: str) -> Stemmer.Stemmer:
    """This thread's stemmer, without the library's own cache: words are kept by `TermIds`."""
    made = _stemmers.__dict__
    if language not in made:
        made[language] = Stemmer.Stemmer(language, 0)
    return made[language]


class TermIds:
    """From surface words to term ids; `NO_TERM` for stop words and for words whose term is unknown.

    Args:
        analyzer: the rules.
        find: gives the id of each of several terms, or `NO_TERM`.
        limit: how many words are remembered; beyond it the dictionary starts again, so that a policy which
            invents words without end does not fill the memory.
    """

    def __init__(self, analyzer: Analyzer, find: Callable[[list[str]], ArrayLike], limit: int) -> None:
        self._analyzer, self._find, self._limit = analyzer, find, limit
        self._without_term = dict.fromkeys(analyzer.without_term, NO_TERM)
        self._ids: dict[str, int] = dict(self._without_term)

    @property
    def remembered(self) -> list[str]:
        """The words that need not be looked up again, but for those that never have a term."""
        return [word for word in self._ids if word not in self._without_term]

    def of(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The term id of every word of all texts in order, int64, and how many words each text has, int64."""
        words, codes, counts = self._analyzer.split(texts)
        # One pass: what other threads look up or forget meanwhile does not matter.
        ids = np.fromiter(map(self._ids.get, words, repeat(_NOT_LOOKED_UP)), np.int64, len(words))
        new = np.flatnonzero(ids == _NOT_LOOKED_UP)
        if new.size:
            ids[new] = self._look_up(words if new.size == len(words) else [words[i] for i in new.tolist()])
        return ids[codes], counts

    def _look_up(self, words: list[str]) -> np.ndarray:
        """The term id of each of several distinct words, all at once."""
        ids = np.asarray(self._find(self._analyzer.terms(words)), np.int64)
        places = np.flatnonzero(ids != NO_TERM).tolist() if len(words) > _MANY_NEW_WORDS else range(len(words))
        pairs = zip(map(words.__getitem__, places), ids[places].tolist(), strict=True)
        self._remember({word: term_id for word, term_id in pairs if len(word) <= _LONGEST_KEPT_WORD})
        return ids

    def _remember(self, fresh: dict[str, int]) -> None:
        if len(self._ids) - len(self._without_term) + len(fresh) > self._limit:
            self._ids = dict(self._without_term)  # a new one: other threads must never see it without stop words
        self._ids.update(fresh if len(fresh) <= self._limit else islice(fresh.items(), self._limit))


def slices(texts: Sequence[str], characters: int) -> Iterator[tuple[int, int]]:
    """Cuts a list of texts so that each slice has about `characters` characters, or ends with a longer text; at least one."""
    start = held = 0
    for place, text in enumerate(texts):
        held += len(text)
        if held >= characters:
            yield start, place + 1
            start, held = place + 1, 0
    if start < len(texts) or not texts:
        yield start, len(texts)


class Vocabulary:
    """The terms of an index in the order of their UTF-8 bytes; a term's id is its place.

    The terms lie in two flat arrays (which may be memory-mapped) and are found by bisection: a process that opens the
    index pays for the words that it meets, not for the vocabulary.

    Args:
        characters: the UTF-8 bytes of all terms, uint8.
        offsets: where each term begins and, last, where the last one ends, int64 [terms + 1].
    """

    def __init__(self, characters: np.ndarray, offsets: np.ndarray) -> None:
        self._characters, self._offsets = characters, offsets

    @classmethod
    def from_terms(cls, terms: Iterable[bytes]) -> Vocabulary:
        """A vocabulary of the given UTF-8 terms, which must be sorted and unique."""
        terms = list(terms)
        offsets = np.zeros(len(terms) + 1, np.int64)
        np.cumsum([len(term) for term in terms], out=offsets[1:])
        return cls(np.frombuffer(b"".join(terms), np.uint8), offsets)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The two arrays, by the names of the constructor's arguments."""
        return {"characters": self._characters, "offsets": self._offsets}

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, term_id: int) -> str:
        raw = self._characters[self._offsets[term_id] : self._offsets[term_id + 1]].tobytes()
        return raw.decode("utf-8", "surrogatepass")

    def find(self, terms: Sequence[str]) -> np.ndarray:
        """The id of each of `terms`, or `NO_TERM`; int64.

        All are found in one compiled call.
        """
        joined = encode("".join(terms))
        offsets = np.zeros(len(terms) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, terms), np.int64, len(terms)), out=offsets[1:])
        asked = np.frombuffer(joined, np.uint8)
        if len(joined) > offsets[-1]:  # some characters take several bytes; each has one that continues no other
            offsets = np.append(np.flatnonzero(asked & 0xC0 != 0x80), len(joined))[offsets]
        ids = np.empty(len(terms), np.int64)
        load_kernels().find_terms(self._characters, self._offsets, asked, offsets, ids)
        return ids


def encode(term: str) -> bytes:
    """The bytes by which terms are ordered and stored."""
    return term.encode("utf-8", "surrogatepass")
