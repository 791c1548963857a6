"""CornerShop: the same bytes everywhere, honest gains, real shifts, and English that can be shown to people."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
import Stemmer

from rec_gym.dataset import Dataset
from rec_gym.datasets.corner_shop import load, load_histories
from rec_gym.datasets.corner_shop.brands import brand_name
from rec_gym.datasets.corner_shop.draws import Draws
from rec_gym.datasets.corner_shop.frames import SEEN, UNSEEN
from rec_gym.datasets.corner_shop.histories import LONGEST, SHORTEST
from rec_gym.datasets.corner_shop.requests import COMBINATION, PHRASING, SPLITS, TYPE, Drawn, draw_requests
from rec_gym.datasets.corner_shop.shop import draw_shop
from rec_gym.datasets.corner_shop.taxonomy import ATTRIBUTES, HELD_OUT_KINDS, KINDS, SEEN_KINDS, held_out_pairs
from rec_gym.datasets.corner_shop.wording import misspell, number_words
from rec_gym.measures import evaluate
from rec_gym.recommenders.bm25 import BM25

CATALOGUE = "b0ebe138072f715e1c1b839c941dcc04ee8528a85041b5c1619805d7016f4039"
PINNED = [681, 376, 417, 951, 444, 916]

DIGEST = """
import hashlib
from rec_gym.datasets.corner_shop import load, load_histories
for data in (load(), load_histories()):
    digest = hashlib.sha256(data.catalog.content_hash.encode())
    for name in ("id", "text", "split", "domain", "oracle", "constraints"):
        digest.update("\\n".join(data.column(name)).encode())
    for ragged in (data.judged_items, data.judged_gains, data.history):
        digest.update(ragged.offsets.astype("<i8").tobytes() + ragged.values.astype("<f8").tobytes())
    print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return load()


@pytest.fixture(scope="module")
def histories() -> Dataset:
    return load_histories()


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return list(draw_requests(draw_shop(5000, 0), dict.fromkeys(SPLITS, 400) | {"train": 2000}))


@pytest.fixture(scope="module")
def bm25(shop: Dataset) -> BM25:
    return BM25(fields=("title", "brand", "description")).fit(shop.catalog)


def score(bm25: BM25, data: Dataset, rows: np.ndarray, queries: list[str], measure: str = "ndcg@10") -> float:
    """The mean of a measure, each shopper's history left out."""
    exclude = [data.history[row] for row in rows]
    ranked = [data.catalog.ids([i for i in row if i >= 0]) for row in bm25.rank(queries, 100, exclude).items.tolist()]
    gains = [data.request(name).gains for name in data.column("id", rows)]
    return float(evaluate([measure], ranked, gains)[measure].mean())


# The same bytes everywhere.


def test_catalogue_is_the_pinned_one(shop: Dataset, histories: Dataset) -> None:
    assert shop.catalog.content_hash == CATALOGUE
    assert histories.catalog.content_hash == CATALOGUE


def test_draws_are_the_pinned_ones() -> None:
    draws = Draws(0, "pinned")
    assert [draws.below(1000) for _ in range(6)] == PINNED
    assert Draws(0, "pinned").array(1000, 6).tolist() == PINNED
    assert Draws(1, "pinned").array(1000, 6).tolist() != PINNED
    assert Draws(0, "other").array(1000, 6).tolist() != PINNED


def test_draws_are_fair() -> None:
    draws = Draws(3, "fair")
    counts = Counter(draws.weighted((1, 2, 1)) for _ in range(4000))
    assert counts[1] == pytest.approx(2000, abs=150)
    assert sorted(draws.sample(range(9), 9)) == list(range(9))
    with pytest.raises(ValueError, match="seed must be >= 0"):
        Draws(-1, "fair")


def test_hash_seed_of_the_process_changes_nothing() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_seed_and_size_are_keywords() -> None:
    sizes = {"train": 40, "val": 20, "test": 20, "ood": 20}
    small, other = load(items=700, **sizes), load(items=700, seed=1, **sizes)
    assert len(small.catalog) == 700
    assert {name: len(small.rows(name)) for name in small.splits} == dict.fromkeys(SPLITS, 20) | {"train": 40}
    assert small.catalog.content_hash != other.catalog.content_hash
    assert small.texts(small.rows("test")) != other.texts(other.rows("test"))
    with pytest.raises(ValueError, match="items must be at least 600"):
        load(items=599)


def test_judged_pool_does_not_grow_with_the_shop(shop: Dataset) -> None:
    sizes = {"train": 20, "val": 10, "test": 10, "ood": 10}
    for items in (10_000, 12_000, 60_000):
        big = load(items=items, **sizes)
        assert big.judged_items.lengths.max() <= 2.2 * shop.judged_items.lengths.max()
        named = [any(column == "brand" for column, _, _ in big.constraints(row)) for row in range(len(big))]
        assert all(named) if items > 10_000 else not any(named)
    assert len({brand_name(number) for number in range(9000)}) == 9000


# The splits.


def test_splits_share_no_id_and_no_text(shop: Dataset) -> None:
    texts = [text.lower() for text in shop.texts(shop.rows("all"))]
    assert len(set(texts)) == len(texts) == 4000
    assert shop.splits == ("train", "val", "test", COMBINATION, PHRASING, TYPE)


def test_asked_counts_are_matched(shop: Dataset) -> None:
    counts = {name: Counter(shop.column("asked", shop.rows(name)).tolist()) for name in shop.splits}
    for name in shop.splits[1:]:
        assert counts[name] == {1: 160, 2: 140, 3: 100}
    assert counts["train"] == {1: 800, 2: 700, 3: 500}


def test_held_out_types_are_asked_in_their_split_only(drawn: list[Drawn]) -> None:
    held = {kind.number for kind in HELD_OUT_KINDS}
    assert len(held) == 12
    assert {kind.department_number for kind in HELD_OUT_KINDS} == set(range(12))
    assert {request.intent.kind for request in drawn if request.split == TYPE} == held
    assert not held & {request.intent.kind for request in drawn if request.split != TYPE}


def test_held_out_combinations_are_asked_in_their_split_only(drawn: list[Drawn]) -> None:
    pairs = {(kind, *pair) for kind, held in held_out_pairs(0).items() for pair in held.items()}
    assert len(pairs) > 150
    seen: dict[tuple[str, str], set[int]] = defaultdict(set)
    for request in drawn:
        asked = {(request.intent.kind, *pair) for pair in request.intent.asked}
        assert bool(asked & pairs) == (request.split == COMBINATION)
        if request.split == "train":
            for attribute, word in request.intent.asked:
                seen[attribute, word].add(request.intent.kind)
    # The pair is new, not the value: train asks for it with other types.
    assert all(seen[attribute, word] for _, attribute, word in pairs)


def test_held_out_wordings_are_used_in_their_split_only(shop: Dataset) -> None:
    others = "\n".join(t.lower() for name in SPLITS if name != PHRASING for t in shop.texts(shop.rows(name)))
    phrasing = [text.lower() for text in shop.texts(shop.rows(PHRASING))]
    held = {need.split("|")[-1].strip().lower() for kind in SEEN_KINDS for need in kind.type.unseen}
    held |= {w.lower() for kind in SEEN_KINDS for a in ATTRIBUTES for value in kind.values(a) for w in value.unseen}
    for sentence in (s for part in vars(UNSEEN).values() if part is not UNSEEN.sums for s in _listed(part)):
        held.add(max(re.split(r"\{\w+\}", sentence), key=len).lower())
    assert [wording for wording in held if wording in others] == []
    usual = {need.split("|")[-1].strip().lower() for kind in SEEN_KINDS for need in kind.type.needs}
    usual |= {s.split("{")[0].lower() for s in SEEN.nouns + SEEN.verbs + SEEN.musts + SEEN.wishes if len(s) > 8}
    assert [text for text in phrasing if any(wording in text for wording in usual if len(wording) > 8)] == []
    assert sum(any(wording in text for wording in held) for text in phrasing) >= 390


def _listed(part: str | tuple[str, ...]) -> tuple[str, ...]:
    return (part,) if isinstance(part, str) else part


# Gains and constraints, computed again from the catalogue's columns.


def test_every_gain_meets_its_grade(shop: Dataset, drawn: list[Drawn]) -> None:
    columns = {name: shop.catalog.values(name) for name in ("type", "price", *ATTRIBUTES)}
    for row in range(0, len(drawn), 8):
        intent = drawn[row].intent
        kind = KINDS[intent.kind]
        met = {attribute: columns[attribute] == word for attribute, word in intent.asked}
        if intent.budget is not None:
            operator, dollars = intent.budget
            met["price"] = columns["price"] <= dollars if operator == "<=" else columns["price"] >= dollars
        right, count = columns["type"] == kind.type.name, sum(met.values())
        expected = np.where(right & (count == intent.count), 1.0, 0.0)
        expected += np.where(right & (count == intent.count - 1), 0.1, 0.0)
        fits = np.isin(columns["type"], kind.type.complements)
        for attribute in ("colour", "use", "price"):
            fits &= met.get(attribute, True)
        expected += np.where(fits, 0.01, 0.0)
        found = np.zeros(len(shop.catalog))
        found[shop.judged_items[row]] = shop.judged_gains[row]
        np.testing.assert_array_equal(found, expected)


def test_exact_items_meet_every_constraint(shop: Dataset) -> None:
    seen = Counter()
    for row in range(len(shop)):
        exact = shop.judged_items[row][shop.judged_gains[row] == 1.0]
        assert len(exact) > 0
        for column, operator, value in shop.constraints(row):
            values = shop.catalog.values(column)[exact]
            holds = {"==": values == value, "<=": values <= value, ">=": values >= value} if column == "price" else {}
            assert (holds.get(operator) if holds else values == value).all()
            seen[column, operator] += 1
    assert set(seen) == {("price", "<="), ("price", ">="), ("material", "=="), ("size", "==")}


def test_domain_is_the_department(shop: Dataset) -> None:
    departments = shop.catalog.values("department")
    assert Counter(departments).keys() == set(shop.column("domain"))
    assert all(departments[shop.judged_items[row][0]] == shop.column("domain")[row] for row in range(0, len(shop), 50))


def test_prices_are_whole_cents(shop: Dataset) -> None:
    cents = shop.catalog.values("price") * 100
    assert np.abs(cents - np.round(cents)).max() < 1e-6
    assert set(Counter(shop.catalog.values("type")).values()) == {83, 84}


def test_popularity_falls_like_zipf(shop: Dataset) -> None:
    units = np.sort(shop.catalog.values("popularity"))[::-1]
    assert units[0] > 5 * units[99] > 20 * units[-1] > 0


# The language.


def test_texts_are_clean_english(shop: Dataset) -> None:
    texts = [*shop.texts(shop.rows("all")), *shop.catalog.values("title"), *shop.catalog.values("description")]
    for text in texts:
        assert text.isprintable()
        assert "  " not in text
        assert text == text.strip()
        assert not re.search(r"[{}]|\s[,.?!]|,,|\.\.", text), text
        assert not re.search(r"\b[Aa] (?=[aeio])(?!one\b)", text), text
        assert not re.search(r"\b[Aa] (?=u(?!ni|se|su))", text), text
        assert not re.search(r"\b[Aa]n (?![aeiouAEIOU]|hour|honest|A\d)", text), text
        assert not re.search(r"\b(\w+) \1\b", text), text


def test_items_have_about_forty_words(shop: Dataset) -> None:
    columns = (shop.catalog.values("title"), shop.catalog.values("description"))
    lengths = np.array([len(" ".join(pair).split()) for pair in zip(*columns, strict=True)])
    assert lengths.min() >= 25
    assert lengths.max() <= 60


def test_shoppers_do_not_name_the_type() -> None:
    stemmer = Stemmer.Stemmer("english")

    def stems(text: str) -> set[str]:
        return set(stemmer.stemWords(re.findall(r"\w+", text.lower())))

    for kind in KINDS:
        assert not stems(kind.type.name) & stems(" ".join(kind.type.needs + kind.type.unseen)), kind.type.name


def test_numbers_in_words() -> None:
    assert [number_words(n) for n in (7, 15, 40, 75, 100, 110, 999, 1450)] == [
        "seven", "fifteen", "forty", "seventy-five", "one hundred", "one hundred and ten",
        "nine hundred and ninety-nine", "one thousand four hundred and fifty",
    ]  # fmt: skip


def test_misspelling_changes_one_word() -> None:
    draws = Draws(0, "misspelling")
    text = "I need something comfortable to sleep in, under 40 dollars."
    for _ in range(50):
        changed = misspell(text, draws)
        assert sum(a != b for a, b in zip(text.split(), changed.split(), strict=True)) <= 1
    assert misspell("A tea pot", draws) == "A tea pot"


# What the numbers must be.


@pytest.mark.parametrize("split", SPLITS)
def test_oracle_knows_and_raw_does_not(shop: Dataset, bm25: BM25, split: str) -> None:
    rows = shop.rows(split)[:400]
    assert score(bm25, shop, rows, shop.texts(rows)) < 0.2
    assert score(bm25, shop, rows, shop.column("oracle", rows).tolist()) > 0.9


def test_histories_are_whole(histories: Dataset) -> None:
    assert len(histories) == 1500
    assert histories.is_history
    assert set(histories.history.lengths) == set(range(SHORTEST, LONGEST + 1))
    assert len(set(histories.column("user"))) == 1500
    for row in range(len(histories)):
        (target,), before = histories.judged_items[row], histories.history[row]
        assert target not in before
        assert len(set(before.tolist())) == len(before)


def test_histories_say_something_about_the_next_purchase(histories: Dataset, bm25: BM25) -> None:
    rows = histories.rows("test")
    titles = histories.history_titles(rows)
    last = score(bm25, histories, rows, [t[-1] for t in titles], "hit@100")
    everything = score(bm25, histories, rows, [" ".join(t) for t in titles], "hit@100")
    oracle = score(bm25, histories, rows, histories.column("oracle", rows).tolist())
    assert last > 0.2  # a hundred items at random: 0.02
    assert everything > 0.2
    assert oracle > 0.9
