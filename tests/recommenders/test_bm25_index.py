from __future__ import annotations

import json
import logging
import os
import pickle
import random
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import Stemmer
from helpers.bm25_oracle import LUCENE_STOP_WORDS, tokens
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.attacks.texts import new_words
from rec_gym.cache import DamagedError
from rec_gym.catalog import Catalog
from rec_gym.recommenders.bm25 import BM25, analyzer, build
from rec_gym.recommenders.bm25.analyzer import ENGLISH_STOP_WORDS, NO_TERM, Analyzer, TermIds, Vocabulary
from rec_gym.recommenders.bm25.build import build_index
from rec_gym.recommenders.bm25.index import LEVELS, Index

TEXTS = ["red running shoes", "a blue hat", "", "the red hat of the runner", "shoes shoes shoes"] * 3


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def shop(texts=TEXTS) -> Catalog:
    return Catalog.from_columns({"item_id": [f"i{n}" for n in range(len(texts))], "text": list(texts)})


def built(folder: Path, texts, analyzer: Analyzer | None = None, batch: int = 4) -> Index:
    folder.mkdir()
    batches = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    build_index(folder, batches, len(texts), analyzer or Analyzer(), 1.2, 0.75)
    return Index.open(folder)


def stored(home: Path) -> list[Path]:
    folder = home / "indexes"
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.exists() else []


# The analyzer


def test_stop_words_are_lucenes():
    assert len(ENGLISH_STOP_WORDS) == 33
    assert ENGLISH_STOP_WORDS == LUCENE_STOP_WORDS


@settings(deadline=None)
@given(st.text())
def test_any_text_becomes_the_terms_of_the_rules(text):
    rules = Analyzer()
    terms = [term for word in rules.words(text) if (term := rules.term(word)) is not None]
    assert terms == tokens(text)


@settings(deadline=None)
@given(st.lists(st.text() | st.text("aZ_9 .'\n\t\x1f\x85ßİ")), st.sampled_from([0, 1 << 30]))
def test_many_texts_at_once_become_the_words_of_the_rule(texts, few):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyzer, "_FEW_CHARACTERS", few)  # one way of splitting, then the other
        ids: dict[str, int] = {}
        words = TermIds(Analyzer("none"), lambda terms: [ids.setdefault(term, len(ids)) for term in terms], 100)
        found, counts = words.of(texts)
    names = list(ids)
    row_of = np.repeat(np.arange(len(texts)), counts)
    assert len(counts) == len(texts)
    for row, text in enumerate(texts):
        got = [names[term] for term in found[row_of == row] if term != NO_TERM]
        assert got == re.findall(r"\w+", text.lower())


def test_lone_surrogates_and_nuls_separate_words():
    assert Analyzer().words("Red\ud800Shoe\0Hat \udfffx_1 Été ＡＢ") == ["red", "shoe", "hat", "x_1", "été", "ａｂ"]


def test_other_languages_and_none():
    assert Analyzer("german").term("häuser") == "haus"
    assert Analyzer("german").term("the") == "the"
    assert Analyzer("none").term("the") == "the"
    assert Analyzer("none").term("shoes") == "shoes"
    assert Analyzer("english").term("the") is None
    assert Analyzer("english", stop_words=False).term("the") == "the"


def test_words_are_looked_up_once_together_and_forgotten_beyond_the_limit():
    asked: list[list[str]] = []

    def find(terms):
        asked.append(terms)
        return [ord(term[0]) for term in terms]

    words = TermIds(Analyzer("none"), find, limit=3)
    assert words.of(["a b a", "", "c a"])[0].tolist() == [97, 98, 97, 99, 97]
    assert words.of(["b c"])[0].tolist() == [98, 99]
    assert words.of(["d a"])[0].tolist() == [100, 97]
    assert asked == [["a", "b", "c"], ["d"]]
    assert words.remembered == ["d"]
    assert words.of(["e f g h i"])[0].tolist() == [101, 102, 103, 104, 105]
    assert len(words.remembered) == 3
    long = "x" * 1000
    assert words.of([f"{long} {long}"])[0].tolist() == [120, 120]
    assert long not in words.remembered


def test_words_that_are_invented_by_the_thousand_are_stemmed_together_and_not_remembered(monkeypatch):
    stemmed = []
    terms = Analyzer.terms
    monkeypatch.setattr(Analyzer, "terms", lambda self, words: stemmed.append(words) or terms(self, words))
    words = TermIds(Analyzer(), Vocabulary.from_terms([b"lamp", b"red"]).find, 100_000)
    invented = new_words(random.Random(0), 5000)
    for _ in range(3):
        ids, counts = words.of([f"the red lamps {invented}", f"{invented} of lamps"])
        assert counts.tolist() == [5003, 5002]
        assert np.flatnonzero(ids != NO_TERM).tolist() == [1, 2, 10_004]
        assert sorted(words.remembered) == ["lamps", "red"]
    assert [len(batch) for batch in stemmed] == [5002, 5000, 5000]
    for _ in range(2):  # a few unknown words are ordinary
        assert words.of(["red velvet lamps"])[0].tolist() == [1, NO_TERM, 0]
    assert stemmed[3:] == [["velvet"]]
    assert sorted(words.remembered) == ["lamps", "red", "velvet"]


def test_a_batch_of_long_texts_is_looked_up_in_parts(home, monkeypatch):
    asked = []
    of = TermIds.of
    monkeypatch.setattr(TermIds, "of", lambda self, texts: asked.append(len(texts)) or of(self, texts))
    long = "lamp " * 10_000  # 50,000 characters
    queries = ["shoes", *(f"{long} {n}" for n in range(7)), "red"]
    ranked = BM25(threads=1).fit(shop()).rank(queries, 5)
    parts, asked[:] = asked[-3:], []
    assert parts == [4, 3, 2]
    alone = [BM25(threads=1).fit(shop()).rank([query], 5).items[0].tolist() for query in queries]
    assert ranked.items.tolist() == alone


@settings(deadline=None, max_examples=300)
@given(st.lists(st.from_regex(r"\w{1,12}|\w+(ing|ies|ed|ly|y|s)\w?", fullmatch=True).map(str.lower), max_size=30))
@example(["skies", "skieś", "dying1", "y", "ÿ", "éy", "ys_", "news", "靴s", "s靴"])
def test_english_words_have_the_stems_of_the_stemmer(words):
    assert Analyzer(stop_words=False).terms(words) == Stemmer.Stemmer("english").stemWords(words)


LANGUAGES = ["english", "german", "russian", "turkish", "indonesian", "arabic", "finnish", "none"]
SURFACES = re.findall(
    r"\w+",
    """skies dying news ladies running runs lamp lamps hopping häuser Straße weiß ΣΊΣΥΦΟΣ İstanbul книги книга kitaplar
    membeli pembelian الكتاب taloissa x_1 ١٢ the of s ed ing""",
)


@settings(deadline=None, max_examples=60)
@given(
    language=st.sampled_from(LANGUAGES),
    items=st.lists(st.sampled_from(SURFACES) | st.text(max_size=12), max_size=20),
    batches=st.lists(st.lists(st.sampled_from(SURFACES) | st.text(max_size=12), max_size=20), max_size=4),
    few=st.sampled_from([0, 1 << 30]),
)
def test_ids_are_those_of_one_word_after_the_other(language, items, batches, few):
    stemmer = Stemmer.Stemmer(language) if language != "none" else None

    def plain(text):
        found = re.findall(r"\w+", text.lower())
        return [
            None if language == "english" and word in LUCENE_STOP_WORDS
            else (stemmer.stemWord(word) or word) if stemmer else word
            for word in found
        ]  # fmt: skip

    raw = sorted({term.encode() for text in items for term in plain(text) if term is not None})
    place = {term.decode(): i for i, term in enumerate(raw)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyzer, "_FEW_CHARACTERS", few)  # one way of splitting, then the other
        words = TermIds(Analyzer(language), Vocabulary.from_terms(raw).find, 5)
        for batch in [*batches, items, items]:
            ids, counts = words.of(batch)
            rows = np.split(ids, np.cumsum(counts)[:-1]) if batch else []
            for text, row in zip(batch, rows, strict=True):
                assert row[row != NO_TERM].tolist() == [place[term] for term in plain(text) if term in place]
            assert len(words.remembered) <= 5


@given(st.text(st.characters(), max_size=60), st.integers(1, 40))
@settings(deadline=None)
def test_words_of_long_texts_are_those_of_the_expression(text, times):
    text = text * times + "é " * 1000  # long, and not ASCII
    assert Analyzer().words(text) == re.findall(r"\w+", text.lower())


@settings(deadline=None)
@given(st.sets(st.text(max_size=6)), st.text(max_size=6))
def test_a_vocabulary_finds_its_terms_and_no_others(terms, other):
    raw = sorted(term.encode("utf-8", "surrogatepass") for term in terms)
    vocabulary = Vocabulary.from_terms(raw)
    assert len(vocabulary) == len(terms)
    assert {vocabulary[i] for i in range(len(vocabulary))} == terms
    assert [vocabulary[term_id] for term_id in vocabulary.find(list(terms))] == list(terms)
    assert (vocabulary.find([other]) == [NO_TERM]) == (other not in terms)


def test_a_stemmer_belongs_to_one_thread():
    from rec_gym.recommenders.bm25.analyzer import _stemmer

    found = []
    thread = threading.Thread(target=lambda: found.append(_stemmer("english")))
    thread.start()
    thread.join()
    assert found[0] is not _stemmer("english")
    assert _stemmer("english") is _stemmer("english")


# Building


def test_the_files_do_not_depend_on_how_the_texts_come(tmp_path, monkeypatch):
    texts = TEXTS * 5
    one = built(tmp_path / "one", texts, batch=100)
    monkeypatch.setattr(build, "_CHARACTERS_AT_ONCE", 30)
    other = built(tmp_path / "other", texts, batch=3)
    for name, ours, theirs in zip(one.postings._fields, one.postings, other.postings, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()}
    assert not any(name.endswith(".tmp") for name in files)


def test_the_kth_impacts(tmp_path):
    texts = [" ".join(["all"] * (n % 7 + 1) + ["some"] * (n % 5 == 0)) for n in range(120)]
    index = built(tmp_path / "index", texts)
    for term in range(len(index.vocabulary)):
        begin, end = index.postings.first_posting[term : term + 2]
        impacts = sorted(index.postings.impact[begin:end].tolist(), reverse=True)
        expected = [impacts[k - 1] if len(impacts) >= k else 0 for k in LEVELS]
        assert index.postings.kth_impact[term].tolist() == expected


def test_terms_are_stored_in_the_order_of_their_bytes(tmp_path):
    index = built(tmp_path / "index", ["zebra 靴 apple é", "apple"])
    assert [index.vocabulary[i] for i in range(4)] == ["appl", "zebra", "é", "靴"]


def test_arrays_are_mapped_read_only(tmp_path):
    index = built(tmp_path / "index", TEXTS)
    assert all(not array.flags.writeable for array in index.postings)


def test_texts_that_do_not_fit_the_catalogue_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 texts for 3 items"):
        build_index(tmp_path, [["a", "b"]], 3, Analyzer(), 1.2, 0.75)


# The index in the cache folder


def test_the_key_holds_everything_that_decides_about_scores(home):
    catalog = shop()
    for arguments in ({}, {"k1": 0.9}, {"b": 0.4}, {"fields": ["text"]}, {"language": "none"}, {"stop_words": False}):
        BM25(**arguments).fit(catalog)
    BM25().fit(shop([*TEXTS, "one more"]))
    assert len(stored(home)) == 7
    BM25(threads=3).fit(catalog)
    assert len(stored(home)) == 7


def test_a_second_fit_opens_what_is_there(home, monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        BM25().fit(shop())
    assert "building the BM25 index of 15 items" in caplog.text
    monkeypatch.setattr("rec_gym.recommenders.bm25.recommender.build_index", None)
    assert BM25().fit(shop()).index.size == 15


@pytest.mark.parametrize("name", ["impact.npy", "run_length.npy", "index.json", "offsets.npy", "manifest.json"])
@pytest.mark.parametrize("harm", ["cut", "zeroed", "removed"])
def test_a_damaged_index_is_built_anew_and_said(home, caplog, name, harm):
    expected = [array.tobytes() for array in BM25().fit(shop()).index.postings]
    path = stored(home)[0] / name
    whole = path.read_bytes()
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(whole[:-3] if harm == "cut" else bytes(len(whole)))
    with caplog.at_level(logging.WARNING):
        index = BM25().fit(shop()).index
    assert "rebuilt" in caplog.text
    assert [array.tobytes() for array in index.postings] == expected


def test_runs_that_lead_outside_of_the_arrays_are_found(home, caplog):
    """Such an index has the right sizes, and a kernel that trusted it would write where it must not."""
    BM25().fit(shop())
    path = stored(home)[0] / "run_length.npy"
    lengths = np.load(path)
    lengths[0] += 1
    np.save(path, lengths)
    with pytest.raises(DamagedError, match="runs and postings do not agree"):
        Index.open(stored(home)[0])
    with caplog.at_level(logging.WARNING):
        assert BM25().fit(shop()).index.postings.run_length[0] == lengths[0] - 1
    assert "rebuilt" in caplog.text


def test_an_index_of_another_version_is_built_anew_and_said(home, caplog):
    BM25().fit(shop())
    path = stored(home)[0] / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["made"]["snowball"] = "0.1"
    path.write_text(json.dumps(manifest))
    with caplog.at_level(logging.WARNING):
        BM25().fit(shop())
    assert "another version" in caplog.text


def test_a_pickle_whose_index_is_gone_says_what_to_do(home):
    pickled = pickle.dumps(BM25().fit(shop()))
    for path in stored(home)[0].iterdir():
        path.unlink()
    with pytest.raises(RuntimeError, match=r"manifest\.json cannot be read.*call fit\(catalog\) again"):
        pickle.loads(pickled).searched(["red"])


# Several processes

FIT = """
    import sys
    from rec_gym.catalog import Catalog
    from rec_gym.recommenders.bm25 import BM25, analyzer, build
    texts = [f"word{n % 97} thing{n % 13} red shoe" for n in range(3000)]
    catalog = Catalog.from_columns({"item_id": [str(n) for n in range(3000)], "text": texts})
"""


def start(code: str) -> subprocess.Popen:
    code = textwrap.dedent(FIT) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_that_build_the_same_index_at_once_both_succeed(home):
    code = """
        print(int(BM25().fit(catalog).index.postings.impact.sum()), "numba" in sys.modules)
    """
    processes = [start(code) for _ in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert len({out for out, _ in results}) == 1
    assert results[0][0].split()[1] == "False"  # indexing needs no compiler
    assert len(stored(home)) == 1


def test_a_killed_build_leaves_nothing_half(home):
    killed = start("""
        import os
        build._kth_impacts = lambda *arguments: os._exit(9)
        BM25().fit(catalog)
    """)
    killed.communicate(timeout=120)
    assert killed.returncode == 9
    assert stored(home) == []
    whole = start("print(BM25().fit(catalog).index.size)")
    assert whole.communicate(timeout=120)[0].strip() == "3000"
    assert len(stored(home)) == 1


@pytest.mark.slow
def test_the_compilers_settings_are_restored_and_the_kernels_kept_apart(home):
    """In a process of its own: settings are those of the process."""
    code = """
        from numba.core import config
        config.SLP_VECTORIZE, config.CACHE_DIR = 0, "elsewhere"
        from rec_gym.recommenders.bm25 import compilation
        compilation._compile = (lambda compile: lambda: (compile(), print("compiled"))[0])(compilation._compile)
        BM25().fit(catalog).rank(["red"], 3)
        assert compilation.load_kernels() is compilation.load_kernels()
        print(config.SLP_VECTORIZE, config.CACHE_DIR)
    """
    process = start(code)
    out, err = process.communicate(timeout=300)
    assert out.split() == ["compiled", "0", "elsewhere"], err
    [folder] = (path for path in (home / "kernels").iterdir() if path.is_dir())
    assert folder.name.startswith("slp1-")
    assert any(path.suffix == ".nbc" for path in folder.rglob("*"))
    assert not os.path.exists("elsewhere")
