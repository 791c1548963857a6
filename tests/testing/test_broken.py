"""Each check of `rec_gym.testing` can fail: code that is broken in one way is refused for that reason."""

import os
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.word_overlap import WordOverlap

import rec_gym
from rec_gym.columns import Ragged
from rec_gym.filters import FilterTable
from rec_gym.loop.actions import Action, Append, Lines, Plain, asked, failed
from rec_gym.recommenders.item_knn import ItemKNN
from rec_gym.testing import (
    check_action_format,
    check_card,
    check_loader,
    check_measure,
    check_policy,
    check_recommender,
)

# Recommenders


class Unranked:
    query_language = "any"


class Raises(WordOverlap):
    def rank(self, queries, k, exclude=None):
        for query in queries:
            query.encode()
        return super().rank(queries, k, exclude)


class TooDeep(WordOverlap):
    def rank(self, queries, k, exclude=None):
        return super().rank(queries, k + 1, exclude)


class IgnoresExclusions(WordOverlap):
    def rank(self, queries, k, exclude=None):
        return super().rank(queries, k)


class ByBatch(WordOverlap):
    """Every query is ranked as the first one of the batch."""

    def rank(self, queries, k, exclude=None):
        return super().rank([queries[0]] * len(queries), k, exclude)


class ByDepth(WordOverlap):
    """A shallow ranking is another one than the top of a deep one."""

    def rank(self, queries, k, exclude=None):
        found = super().rank(queries, 6, exclude)
        return rec_gym.Rankings(found.items[:, -k:] if k < 3 else found.items[:, :k], found.scores[:, :k])


class LateTies(WordOverlap):
    """All items, ties by higher position."""

    def rank(self, queries, k, exclude=None):
        hidden = [set()] * len(queries) if exclude is None else [set(row.tolist()) for row in exclude]
        items = np.full((len(queries), 6), -1, np.int32)
        for row, gone in enumerate(hidden):
            left = [item for item in range(5, -1, -1) if item not in gone]
            items[row, : len(left)] = left
        return rec_gym.Rankings(items[:, :k], np.zeros((len(queries), min(k, 6)), np.float32))


class WrongRanks(WordOverlap):
    def rank_of(self, queries, items, k, exclude=None):
        return items.with_values(np.zeros(len(items.values), np.int32))


class WrongWords(WordOverlap):
    def searched(self, queries):
        return [" ".join(queries)]


class WrongClips(WordOverlap):
    def clips(self, queries):
        return [True]


class Unpicklable(WordOverlap):
    def __init__(self, catalog):
        super().__init__(catalog)
        self.function = lambda: None


class Filters(WordOverlap):
    """One that filters as it should."""

    filters_items = True

    def rank(self, queries, k, exclude=None, filters=None):
        return super().rank(queries, k, self.hidden(len(queries), exclude, filters))

    def hidden(self, count, exclude, filters):
        ranges = FilterTable.of(self.catalog).ranges(filters or [None] * count)
        hidden = [np.flatnonzero(~ranges.passes(query)) for query in range(count)]
        return [np.union1d(*rows) for rows in zip(hidden, exclude or [[]] * count, strict=True)]


class FiltersNothing(Filters):
    def rank(self, queries, k, exclude=None, filters=None):
        return super().rank(queries, k, exclude)


class FiltersAfterwards(Filters):
    """It cuts its lists before it filters them."""

    def rank(self, queries, k, exclude=None, filters=None):
        ranked = super().rank(queries, k, exclude)
        hidden = self.hidden(len(queries), None, filters)
        ids = [self.catalog.ids(np.setdiff1d(row, [-1, *out])) for row, out in zip(ranked.items, hidden, strict=True)]
        return rec_gym.Rankings.from_ids(self.catalog, ids) if filters and any(filters) else ranked


class FiltersOrExcludes(Filters):
    """It forgets the exclusions where it filters."""

    def rank(self, queries, k, exclude=None, filters=None):
        return super().rank(queries, k, None if filters else exclude, filters)


class FiltersUnknownColumns(Filters):
    def rank(self, queries, k, exclude=None, filters=None):
        known = FilterTable.of(self.catalog).columns
        kept = [tuple(c for c in own or () if c[0] in known) for own in filters or [None] * len(queries)]
        return super().rank(queries, k, exclude, kept)


class RanksWithoutFilters(Filters):
    def rank_of(self, queries, items, k, exclude=None, filters=None):
        return self.rank(queries, k, exclude).ranks_of(items)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (FiltersNothing, r"are ranked for .* and the filter \(\('item_id', '<=', .*which they do not pass"),
        (
            FiltersAfterwards,
            "with a filter, instead of the exclusion of what does not pass, it ranks the query .* differently",
        ),
        (FiltersOrExcludes, r"are ranked .* which they do not pass \(or were excluded\)"),
        (FiltersUnknownColumns, "a filter on an unknown column must be a ValueError"),
        (RanksWithoutFilters, r"rank_of\(k=1\) does not agree with rank for .* with filters"),
    ],
)
def test_recommenders_that_filter_wrongly(kind, message, catalog):
    check_recommender(Filters(catalog), catalog)
    with pytest.raises(AssertionError, match=message):
        check_recommender(kind(catalog), catalog)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Raises, "raised UnicodeEncodeError"),
        (TooDeep, "more than k=1; cut the rankings to k"),
        (IgnoresExclusions, "were excluded and are ranked"),
        (ByBatch, "a batch of one ranks the query .* differently"),
        (ByDepth, "k=1 ranks the query .* differently"),
        (LateTies, "items of equal score must be ordered by lower position"),
        (WrongRanks, r"rank_of\(k=1\) does not agree with rank"),
        (WrongWords, "searched must return one text per query"),
        (WrongClips, "clips must return one bool per query"),
        (Unpicklable, "pickling .* raised"),
    ],
)
def test_broken_recommenders(kind, message, catalog):
    check_recommender(WordOverlap(catalog), catalog)
    with pytest.raises(AssertionError, match=message):
        check_recommender(kind(catalog), catalog)


def test_what_is_no_recommender_or_is_not_fitted(catalog):
    with pytest.raises(AssertionError, match="needs rank"):
        check_recommender(Unranked(), catalog)
    with pytest.raises(ValueError, match="pass what fit_histories"):
        check_recommender(ItemKNN(), catalog)
    check_recommender(ItemKNN().fit_histories(catalog, Ragged.from_rows([[0, 1], [1, 2]], np.int32)), catalog)


# Action formats


@dataclass(frozen=True)
class ParseRaises(Plain):
    def parse(self, completion, request, candidates=()):
        return asked(completion.encode().decode().strip() or "x", "ok", self.max_chars)


@dataclass(frozen=True)
class Counts(Plain):
    counted = ("words",)

    def parse(self, completion, request, candidates=()):
        words = completion.split()
        return (
            Action(" ".join(words)[:99], "", "ok", True, counts=tuple(range(len(words)))) if words else failed("empty")
        )


@dataclass(frozen=True)
class TooLong(Plain):
    def parse(self, completion, request, candidates=()):
        return Action(completion, "", "ok", True) if completion.strip() else failed("empty")


@dataclass(frozen=True)
class SilentCut(Plain):
    def parse(self, completion, request, candidates=()):
        text = completion.strip()[: self.max_chars]
        return Action(text, text, "ok", True) if text else failed("empty")


@dataclass(frozen=True)
class AsksWhenNotOk(Plain):
    def parse(self, completion, request, candidates=()):
        return Action("lamp", "", "wrong", False)


@dataclass(frozen=True)
class NoInverse(Plain):
    def compose(self, query, request):
        return "something else"


@dataclass(frozen=True)
class NoPrompt(Plain):
    def prompt(self, is_history):
        return rec_gym.loop.prompts.Prompt("Write a query. {instruction}")


class Unequal(Plain):
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


@dataclass(frozen=True)
class MergesByBatch(Lines):
    """What comes of an action depends on how many there are."""

    def rank(self, asking, k):
        found = super().rank(asking, k)
        return found if len(asking.actions) == 1 else found.take(np.arange(len(found))[::-1])


@dataclass(frozen=True)
class RanksWithoutList(Lines):
    """Ranks are asked for the first line alone."""

    needs_list = False


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RanksWithoutList, "rewards of 'RanksWithoutList' are not those of its rankings"),
        (ParseRaises, "parse.* raised UnicodeEncodeError"),
        (Counts, "counted names"),
        (TooLong, "more than max_chars=10000"),
        (SilentCut, "not marked as clipped"),
        (AsksWhenNotOk, "is not ok, and still asks 'lamp'"),
        (NoInverse, "compose.* wrote 'something else'"),
        (NoPrompt, "does not show the request"),
        (Unequal, "is not equal to it"),
        (MergesByBatch, "in a batch and .* alone"),
    ],
)
def test_broken_action_formats(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_action_format(kind)


def test_action_formats_by_what_stands_for_them():
    for spec in (Append, Append(), "append", {"name": "append", "max_chars": 12}):
        check_action_format(spec)
    with pytest.raises(ValueError, match="did you mean 'append'"):
        check_action_format("apend")


# Measures


def of_rank_zero(judged, cutoff):
    """The first relevant item that is listed, whatever its rank."""
    starts = judged.ranks.offsets[:-1]
    return (judged.ranks.values[starts] == 0).astype(np.float64)


def of_the_batch(judged, cutoff):
    return np.full(len(judged.ranks), 1.0 / len(judged.ranks))


def out_of_range(judged, cutoff):
    return judged.total((judged.ranks.values >= 0).astype(np.float64))


def spoils(judged, cutoff):
    judged.gains.values[:] = 1.0
    return np.zeros(len(judged.ranks))


def first_price(rankings, gains, catalog, requests):
    """A correct one, of the list."""
    return np.array([float(row[0] >= 0) for row in rankings.items])


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (of_rank_zero, "changes with the order in which relevant items are listed"),
        (of_the_batch, "for a request alone and .* in a batch"),
        (out_of_range, "outside its range"),
        (spoils, "changed the arrays"),
    ],
)
def test_broken_measures(measure, message):
    check_measure(first_price)
    with pytest.raises(AssertionError, match=message):
        check_measure(measure)


def test_a_measure_that_does_not_fit(dataset):
    with pytest.raises(ValueError, match="takes gains up to 0.5"):
        check_measure("err(0.5)@10")
    check_measure("constraints@2", dataset)
    with pytest.raises(ValueError, match="did you mean"):
        check_measure("ndgc@10")


# Policies


def one_text(rows):
    return "lamp"


def too_few(rows):
    return ["lamp"] * (len(rows) - 1)


def numbers(rows):
    return [1] * len(rows)


def by_place(rows):
    return [f"lamp {place}" for place in range(len(rows))]


def random_text(rows):
    return [os.urandom(8).hex() for _ in rows]


def spoils_rows(rows):
    return [row.pop("text") for row in rows]


def correct(rows):
    return [row["text"].upper() for row in rows]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (one_text, "returned one text"),
        (too_few, "wrote 2 texts for 3 rows"),
        (numbers, r"wrote \['int'\] where texts belong"),
        (by_place, "when the rows are in another order"),
        (random_text, "when it is asked again"),
        (spoils_rows, "changed the rows"),
    ],
)
def test_broken_policies(policy, message, dataset, overlap):
    task = rec_gym.Task(dataset, overlap)
    check_policy(correct, task)
    check_policy(f"{__file__}:correct", task)
    with pytest.raises(AssertionError, match=message):
        check_policy(policy, task)


# Loaders and cards

ITEMS = {"item_id": ["a", "b"], "title": ["lamp", "rug"]}


def load(first: str = "light", second: str = "feet", split: str = "test") -> rec_gym.Dataset:
    catalog = rec_gym.Catalog.from_columns(ITEMS)
    requests = [
        {"id": "1", "text": first, "split": "train", "targets": ["a"]},
        {"id": "2", "text": second, "split": split, "targets": ["b"]},
    ]
    return rec_gym.Dataset.from_requests(catalog, requests)


def changing() -> rec_gym.Dataset:
    return load(second=os.urandom(4).hex())


def unannotated():
    return load()


def returns_nothing() -> rec_gym.Dataset:
    return None


def test_broken_loaders():
    check_loader(load)
    check_loader(f"{__file__}:load", first="another")
    check_loader(load, second="light", split="shift-a", first="dark")
    for loader, options, message in (
        (load, {"second": " light "}, "1 requests of 'test' are in 'train' too"),
        (load, {"second": "light", "split": "shift-a"}, "1 requests of 'shift-a' are in 'train' too"),
        (load, {"split": "train"}, "all requests are in train"),
        (changing, {}, "two different datasets"),
        (returns_nothing, {}, "must return a Dataset, not NoneType"),
        (load, {"nope": 1}, "unexpected keyword"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_loader(loader, **options)
    with pytest.raises(ValueError, match="not a loader"):
        check_loader(unannotated)


CARD = """
title = "Mine"
summary = "Two things."
licence = "none"
loader = "{loader}"

[options]
second = "{second}"

[[env]]
id = "Checked-v0"
recommender = "{recommender}"
reward = "ndcg@2"
"""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, ""),
        ({"second": "light"}, "1 requests of 'test' are in 'train' too"),
        ({"recommender": "no_module:Nothing"}, "making the task of 'Checked-v0' raised"),
        ({"recommender": "bm52"}, "did you mean 'bm25'"),
        ({"loader": "os:system"}, "not a loader"),
    ],
)
def test_broken_cards(values, message, tmp_path):
    path = tmp_path / "card.toml"
    texts = {"loader": f"{__file__}:load", "second": "feet", "recommender": "random"} | values
    path.write_text(CARD.format(**texts))
    if message:
        with pytest.raises((AssertionError, ValueError), match=message):
            check_card(path)
    else:
        check_card(path)


def test_a_card_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_card(tmp_path / "nope.toml")
