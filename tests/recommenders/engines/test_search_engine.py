"""What all search engines share, with engines that answer as oddly as real ones do."""

import pickle

import numpy as np
import pytest

from rec_gym import Catalog, RecommenderError, Task
from rec_gym.recommenders.engines import Hits, SearchEngine
from rec_gym.testing import check_recommender

ITEMS = 200


@pytest.fixture(scope="module")
def shop():
    draws = np.random.Generator(np.random.PCG64(3))
    things = ["lamp", "desk", "chair", "rug", "sofa"]
    titles = [" ".join(things[place] for place in draws.integers(0, 5, 2)) for _ in range(ITEMS)]
    return Catalog.from_columns(
        {
            "item_id": [f"i{n}" for n in range(ITEMS)],
            "title": titles,
            "price": [None if n % 9 == 0 else n / 3 for n in range(ITEMS)],
        }
    )


class Scan(SearchEngine):
    """Counts words; among equal scores it returns the highest positions first, which is what the contract forbids."""

    filters_items = True
    excludes_items = True

    def __init__(self, answer_ids=False, stop_words=True):
        super().__init__(stop_words)
        self.answer_ids = answer_ids
        self.asked = []

    def attach(self, catalog):
        rows = catalog.table.to_pylist()
        return {"rows": rows}

    def scores(self, question, item):
        words = item["title"].split()
        return float(sum(words.count(term) for term in question.terms))

    def search(self, questions, k):
        self.asked.append((len(questions), k))
        answers = []
        for question in questions:
            scored = [
                (self.scores(question, item), place)
                for place, item in enumerate(self.rows)
                if place not in question.exclude
                and all(item[c] is not None and low <= item[c] <= high for c, low, high in question.bounds)
            ]
            best = sorted((pair for pair in scored if pair[0] > 0), reverse=True)[:k]
            names = [self.rows[place]["item_id"] if self.answer_ids else place for _, place in best]
            answers.append(Hits(names, [score for score, _ in best]))
        return answers


class Distances(Scan):
    lower_is_better = True

    def search(self, questions, k):
        return [Hits(items, [-score for score in scores]) for items, scores in super().search(questions, k)]


class ShowsAll(Scan):
    """Cannot exclude."""

    excludes_items = False

    def search(self, questions, k):
        assert not any(question.exclude for question in questions)
        return super().search(questions, k)


@pytest.mark.parametrize("engine", [Scan(), Scan(answer_ids=True), Distances(), ShowsAll()])
def test_an_engine_that_orders_ties_its_own_way_keeps_the_contract(engine, shop):
    check_recommender(engine, shop)
    fitted = engine.fit(shop)
    slow = [sum(title.split().count(word) for word in ("lamp", "desk")) for title in shop.titles(range(ITEMS))]
    best = sorted((-score, place) for place, score in enumerate(slow) if score)[:7]
    rankings = fitted.rank(["desk lamp"], 7)
    assert rankings.items[0].tolist() == [place for _, place in best]
    assert rankings.scores[0].tolist() == [-score for score, _ in best]


def test_it_asks_for_more_only_where_the_cut_is_among_equals(shop):
    fitted = Scan().fit(shop)
    fitted.rank(["lamp", "zzzz", "lamp desk rug chair sofa"], 3)
    assert fitted.asked[0] == (3, 3 + 32)
    assert fitted.asked[-1][1] <= ITEMS
    assert len(fitted.asked) > 1
    few = Scan().fit(Catalog.from_columns({"item_id": ["a", "b"], "title": ["lamp", "lamp lamp"]}))
    few.rank(["lamp"], 1)
    assert few.asked == [(1, 2)]


def test_one_that_cannot_exclude_ranks_as_one_that_can(shop):
    able, unable = Scan().fit(shop), ShowsAll().fit(shop)
    queries = ["lamp desk", "rug", "zzzz"]
    for count in (1, 30, ITEMS - 1, ITEMS):
        exclude = [np.arange(start, start + count, dtype=np.int32) % ITEMS for start in (0, 50, 100)]
        for k in (1, 5, ITEMS):
            expected, actual = able.rank(queries, k, exclude), unable.rank(queries, k, exclude)
            np.testing.assert_array_equal(actual.items, expected.items)
            np.testing.assert_array_equal(actual.scores, expected.scores)


def test_scores_that_are_equal_as_float32_are_ties(shop):
    class Close(Scan):
        def scores(self, question, item):
            return 1 + int(item["item_id"][1:]) * 1e-12  # rises with the position

    assert Close().fit(shop).rank(["lamp"], 5).items[0].tolist() == [0, 1, 2, 3, 4]


def test_equal_questions_are_asked_once(shop):
    fitted = Scan().fit(shop)
    none = np.empty(0, np.int32)
    queries = ["sofa", "Sofa!", "the sofa", "rug", "", "the"]
    rankings = fitted.rank(queries, ITEMS, [none] * 6, filters=[None, (), None, None, None, None])
    assert fitted.asked == [(2, ITEMS)]
    assert (rankings.items[0] == rankings.items[1]).all()
    assert (rankings.items[4:] == -1).all()
    fitted.rank(["", "of the", "lamp"], 3, filters=[None, None, (("price", ">=", 1e9),)])
    assert fitted.asked == [(2, ITEMS)]  # nothing can match, so nothing is asked


def test_no_syntax_is_left_of_a_query(shop):
    fitted = Scan().fit(shop)
    hostile = [
        'lamp" OR "desk',
        "title:lamp -desk +rug lamp* a~2^3",
        "NEAR(lamp desk)\0",
        "\ud83d lamp; drop table items;--",
    ]
    assert fitted.searched(hostile) == [
        "lamp desk",
        "title lamp desk rug a 2 3".replace(" a ", " "),
        "near lamp desk",
        "lamp drop table items",
    ]


def test_a_query_of_ten_thousand_words_is_cut_and_says_so(shop):
    fitted = Scan().fit(shop)
    long = " ".join(f"word{n}" for n in range(10_000))
    assert fitted.clips([long, "lamp", "lamp " * 10_000]).tolist() == [True, False, False]
    assert fitted.rank([long], 3).clipped.tolist() == [True]
    assert len(fitted.searched([long])[0].split()) == fitted.max_words


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        (Hits(["i1", "nowhere"], [2, 1]), "it returned items that the catalogue does not have: 'nowhere'"),
        (Hits([1, ITEMS], [2, 1]), f"items that the catalogue does not have: {ITEMS}"),
        (Hits([1, -1], [2, 1]), "items that the catalogue does not have: -1"),
        (Hits([1.5], [2]), "items are ids .* or positions .*, not float64"),
        (Hits([3, 3], [2, 1]), r"it ranked an item twice \(positions 3\)"),
        (Hits([5], [2]), r"it ranked items that are excluded \(positions 5\)"),
        (Hits([3], [float("nan")]), "a score is not finite"),
        (Hits([3], [1e39]), "a score is not finite, or does not fit float32"),
        (Hits([3, 4], [1]), "it answered 2 items and 1 scores"),
        (Hits(range(50), range(50)), "it answered 50 items and 50 scores, asked for 35 at most"),
    ],
)
def test_an_answer_that_is_no_ranking_is_an_error_that_says_what_was_asked(shop, hits, message):
    class Broken(Scan):
        def search(self, questions, k):
            return [hits for _ in questions]

    with pytest.raises(RecommenderError, match=f"Broken, asked 'red lamp': .*{message}"):
        Broken().fit(shop).rank(["the red lamp"], 3, [np.array([5], np.int32)])


def test_an_answer_is_missing(shop):
    class Forgets(Scan):
        def search(self, questions, k):
            return super().search(questions, k)[1:]

    with pytest.raises(RecommenderError, match="asked 'lamp', 'desk': 1 answers came for 2 questions"):
        Forgets().fit(shop).rank(["lamp", "desk"], 3)


def test_an_engine_without_filters_refuses_them_and_a_task_that_needs_them(shop, dataset):
    class Plain(Scan):
        filters_items = False

    fitted = Plain().fit(shop)
    fitted.rank(["lamp"], 3, filters=[None])
    with pytest.raises(
        ValueError, match="Plain does not take filters; choose a recommender whose filters_items is true"
    ):
        fitted.rank(["lamp"], 3, filters=[(("price", "<=", 3),)])
    with pytest.raises(ValueError, match="Plain cannot filter"):
        Task(dataset, Plain().fit(dataset.catalog), action="structured")


def test_a_pickle_holds_no_lock_and_ranks_the_same(shop):
    fitted = Scan(answer_ids=True).fit(shop)
    expected = fitted.rank(["lamp rug"], 9).items
    again = pickle.loads(pickle.dumps(fitted))
    assert again.rank(["lamp rug"], 9).items.tolist() == expected.tolist()
