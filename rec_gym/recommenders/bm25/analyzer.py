"""From text to terms: lower case, Unicode word tokens, stop words, Snowball stems.

Every distinct surface word is analysed once and then found in a dictionary, which makes the cost of a text that of a
regular expression and one look-up a word.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import Stemmer

from rec_gym.recommenders.bm25.compilation import load_kernels
from rec_gym.words import words

NO_TERM = -1
NO_LANGUAGE = "none"

# Lucene's default English stop words (org.apache.lucene.analysis.en.EnglishAnalyzer).
ENGLISH_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be but by for if in into is it no not of on or such
        that the their then there these they this to was will with""",
    )
)

# A word that is longer than this is analysed each time that it is met: it will hardly be met again, and a dictionary
# of megabyte-long words has no bound.
_LONGEST_KEPT_WORD = 64

_FEW_CHARACTERS = 1 << 12  # below it, a look-up a word is quicker than setting up `Analyzer.split`

# For ASCII bytes, what lower case and `\w` do; other bytes stay as they are.
_BLANK_OUT = bytes(ord(chr(i).lower()) if chr(i).isalnum() or chr(i) == "_" else ord(" ") for i in range(128)) + bytes(
    range(128, 256)
)
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
            raise ValueError(f"no language {self.language!r}; there are: {', '.join(known)}")

    @property
    def version(self) -> dict[str, str]:
        """Versions of what is outside of this file and decides about terms."""
        return {"unicode": unicodedata.unidata_version, "snowball": Stemmer.version()}

    def words(self, text: str) -> list[str]:
        """The words of `text`, see `rec_gym.words`."""
        return words(text)

    def split(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The words of many texts at once, as `rec_gym.words` gives them, without a Python object for each.

        Returns:
            The distinct words; for each word of all texts in order the place of its like among them, int32; how many
            words each text has, int64. There may be empty words between the others.
        """
        # Text becomes words with blanks between them: by its bytes where it is ASCII, by the rule where it is not.
        raw = [text.encode() if text.isascii() else " ".join(self.words(text)).encode() for text in texts]
        offsets = np.zeros(len(raw) + 1, np.int64)
        np.cumsum([len(text) for text in raw], out=offsets[1:])
        blanked = pa.py_buffer(b"".join(raw).translate(_BLANK_OUT))
        column = pa.LargeStringArray.from_buffers(len(raw), pa.py_buffer(offsets), blanked)
        words = pc.ascii_split_whitespace(column)
        coded = words.flatten().dictionary_encode()
        return (
            coded.dictionary.to_pylist(),
            coded.indices.to_numpy(),
            np.diff(words.offsets.to_numpy()).astype(np.int64),
        )

    def term(self, word: str) -> str | None:
        """The term of a lower-case word; None for a stop word or an empty one."""
        _, terms = self.terms([word])
        return terms[0] if terms else None

    def terms(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Those of lower-case words that are neither stop words nor empty, and the term of each."""
        stop_words = ENGLISH_STOP_WORDS if self.stop_words and self.language == "english" else frozenset()
        searched = [word for word in words if word and word not in stop_words]
        if self.language == NO_LANGUAGE:
            return searched, searched
        stems = _stemmer(self.language).stemWords(searched)
        if "" in stems:  # a word of nothing but endings
            stems = [stem or word for stem, word in zip(stems, searched, strict=True)]
        return searched, stems


def _stemmer(language: str) -> Stemmer.Stemmer:
    """This thread's stemmer, without the library's own cache: words are kept by `TermIds`."""
    made = _stemmers.__dict__
    if language not in made:
        made[language] = Stemmer.Stemmer(language, 0)
    return made[language]


class TermIds(dict[str, int]):
    """From surface words to term ids, filled as words are met; `NO_TERM` for stop words and unknown terms.

    Args:
        analyzer: the rules.
        find: gives the id of each of several terms, or `NO_TERM`.
        limit: words that are kept; beyond it the dictionary starts anew, so that a policy which invents words without
            end does not fill the memory.
    """

    def __init__(self, analyzer: Analyzer, find: Callable[[list[str]], Iterable[int]], limit: int) -> None:
        super().__init__()
        self._analyzer, self._find, self._limit = analyzer, find, limit

    def of(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The term id of every word of all texts in order, int64, and how many words each text has, int64."""
        if sum(map(len, texts)) < _FEW_CHARACTERS:
            rows = [self._analyzer.words(text) for text in texts]
            counts = np.array([len(row) for row in rows], np.int64)
            return np.array(self._ids([word for row in rows for word in row]), np.int64), counts
        words, codes, counts = self._analyzer.split(texts)
        return np.array(self._ids(words), np.int64)[codes], counts

    def _ids(self, words: list[str]) -> list[int]:
        """The term id of each word; those that are not known are looked up together."""
        known = list(map(self.get, words))
        if None not in known:
            return known  # type: ignore[return-value]
        unknown = list(dict.fromkeys(compress(words, [term_id is None for term_id in known])))
        searched, terms = self._analyzer.terms(unknown)
        fresh = dict.fromkeys(unknown, NO_TERM)
        fresh.update(zip(searched, self._find(terms), strict=True))
        self._keep(fresh)
        return [fresh[word] if term_id is None else term_id for word, term_id in zip(words, known, strict=True)]

    def _keep(self, fresh: dict[str, int]) -> None:
        if max(map(len, fresh)) > _LONGEST_KEPT_WORD:
            fresh = {word: term_id for word, term_id in fresh.items() if len(word) <= _LONGEST_KEPT_WORD}
        if len(self) + len(fresh) > self._limit:
            self.clear()
        self.update(fresh if len(fresh) <= self._limit else islice(fresh.items(), self._limit))


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

    def find(self, terms: Sequence[str]) -> list[int]:
        """The id of each of `terms`, or `NO_TERM`.

        All are found in one compiled call: a text of nothing but new words costs no more than a look-up a word.
        """
        joined = encode("".join(terms))
        offsets = np.zeros(len(terms) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, terms), np.int64, len(terms)), out=offsets[1:])
        asked = np.frombuffer(joined, np.uint8)
        if len(joined) > offsets[-1]:  # some characters take several bytes; each has one that continues no other
            offsets = np.append(np.flatnonzero(asked & 0xC0 != 0x80), len(joined))[offsets]
        ids = np.empty(len(terms), np.int64)
        load_kernels().find_terms(self._characters, self._offsets, asked, offsets, ids)
        return ids.tolist()


def encode(term: str) -> bytes:
    """The bytes by which terms are ordered and stored."""
    return term.encode("utf-8", "surrogatepass")
