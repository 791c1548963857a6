"""PostgreSQL as a recommender, against a real server that is attacked."""

import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from helpers.faulty_proxy import FaultyProxy
from helpers.postgres_server import PASSWORD, QUOTED, PostgresServer, programs

from rec_gym import Catalog, RecommenderError, make_task
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.engines.postgres import Postgres
from rec_gym.testing import check_recommender

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed here (apt-get install postgresql)"),
]

FIELDS = ["title", "brand", "description"]
SHOP = "RecR1-CornerShop-BM25-v0"
BROKEN = "REC_GYM_BROKEN"  # the URL by way of the proxy


@pytest.fixture(scope="module")
def server():
    server = PostgresServer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REC_GYM_POSTGRES", server.url)
        yield server
    server.close()


@pytest.fixture(scope="module")
def shop():
    return make_task(SHOP, split="val", items=600).dataset.catalog


@pytest.fixture(scope="module")
def engine(server, shop):
    unfitted = Postgres(version="shop", fields=FIELDS, timeout=5)
    unfitted.push(shop)
    return unfitted.fit(shop)


@pytest.fixture
def proxy(server, monkeypatch):
    proxy = FaultyProxy(server.port)
    monkeypatch.setenv(BROKEN, server.url_at(proxy.port))
    monkeypatch.setattr("rec_gym.recommenders.engines.remote._FIRST_WAIT", 0.002)
    yield proxy
    proxy.close()


def by_proxy(shop, **options):
    return Postgres(BROKEN, version="shop", fields=FIELDS, **options).fit(shop)


QUERIES = ["oak knives", "a rug for the hall", "", "zzzz", "sage", "bread knife in steel, for bread"]


def test_it_keeps_the_contract(server, shop):
    small = Catalog(shop.table.slice(0, 60))
    engine = Postgres(version="small")
    engine.push(small)
    check_recommender(engine, small)


def test_the_figure_of_the_raw_texts_is_the_one_of_the_same_sql_by_hand(server):
    """Measured once with PostgreSQL 15 and 18 by a script without this package."""
    whole = make_task(SHOP, split="test").dataset.catalog
    Postgres(version="whole", fields=FIELDS).push(whole)
    task = make_task(SHOP, split="test", reward="ndcg@10", measures=["recall@100"])
    task = task.replace(recommender=make_recommender("postgres", {"version": "whole", "fields": FIELDS}, whole))
    outcomes = task.score(task.request_ids, [row["text"] for row in task.rows()])
    assert outcomes.rewards.mean() == pytest.approx(0.0743, abs=1e-4)
    assert outcomes.measures["recall@100"].mean() == pytest.approx(0.1318, abs=1e-4)


def test_scores_are_bm25_written_out(server):
    titles = ["lamp", "lamp lamp desk", "desk chair rug", "sofa", "rug"]
    shop = Catalog.from_columns({"item_id": list("abcde"), "title": titles})
    engine = Postgres(version="five", language="simple", stop_words=False)
    engine.push(shop)
    rankings = engine.fit(shop).rank(["lamp", "desk desk rug"], 5)
    lengths = np.array([len(title.split()) for title in titles])

    def score(item, word):
        tf, df = titles[item].split().count(word), sum(word in title.split() for title in titles)
        norm = 1.2 * (0.25 + 0.75 * lengths[item] / lengths.mean())
        return np.log(1 + (5 - df + 0.5) / (df + 0.5)) * tf / (tf + norm)

    for row, query in enumerate(["lamp", "desk desk rug"]):
        scores = [sum(score(item, word) for word in query.split()) for item in range(5)]
        for item, value in zip(rankings.items[row], rankings.scores[row], strict=True):
            if item >= 0:
                assert value == pytest.approx(scores[item], abs=3e-5)
        assert (rankings.items[row] >= 0).sum() == np.count_nonzero(scores)


def test_filters_are_exact_on_every_type(server):
    top = np.iinfo(np.uint64).max
    shop = Catalog(
        pa.table(
            {
                "item_id": list("abcde"),
                "title": ["lamp"] * 5,
                "wide": pa.array([0, 9, 2**63, top - 1, top], pa.uint64()),
                "half": pa.array(np.array([0.1, 0.5, -2, np.nan, np.inf], np.float16)),
                "sold": pa.array([True, False, None, True, False]),
                "whole": pa.array([2**53, 2**53 + 1, 0, -1, None], pa.int64()),
                "brand": ["Z", "a", "b", "B", "á"],
                "text": ["b%s", "b", "\uffff", "\U0001f6cb", ""],
            }
        )
    )
    conditions = {
        ("wide", ">=", 2**63): "cde",
        ("wide", "==", int(top)): "e",
        ("wide", "<=", 10**30): "abcde",
        ("half", "<=", 0.1): "ac",
        ("half", ">=", -1e300): "abce",
        ("sold", "==", False): "be",
        ("whole", "==", 2**53 + 1): "b",
        ("whole", ">=", float(2**53)): "ab",
        ("brand", "<=", "Z"): "ad",  # by code points, although the server orders a, á, b, B, Z
        ("brand", ">=", "b"): "ce",
        ("text", ">=", "\uffff"): "cd",
        ("text", "<=", "b"): "be",
        ("text", "==", "\ud800"): "",
    }
    engine = Postgres(version="types", fields=["title"])
    engine.push(shop)
    filters = [(condition,) for condition in conditions]
    rankings = engine.fit(shop).rank(["lamp"] * len(conditions), 5, filters=filters)
    for names, (condition, expected) in zip(rankings.ids(shop), conditions.items(), strict=True):
        assert "".join(names) == expected, condition


def test_a_push_may_take_longer_than_a_request(server, catalog):
    Postgres(version="slow", fields=["title"]).push(catalog)
    engine = Postgres(version="slow", fields=["title"], timeout=0.3)
    engine.fit(catalog)  # a connection is open on which a statement may take 0.3 seconds
    with psycopg.connect(server.url) as other, ThreadPoolExecutor(1) as threads:
        other.execute("select pg_advisory_xact_lock(hashtext('rec_gym_slow'))")  # another push is under way
        waiting = threads.submit(engine.push, catalog)
        time.sleep(0.8)
        assert not waiting.done()
        other.commit()
        waiting.result()


def test_hostile_texts_are_words(engine):
    hostile = ["'; drop schema rec_gym_shop cascade; --", "knife | & ! <-> :*", "\0 \ud800 knife", "%s %(q)s $1 knife"]
    hostile += ["x" * 10_000, "knife " * 10_000, " ".join(f"w{n}" * 400 for n in range(300)), "日本語 naïve_café"]
    rankings = engine.rank(hostile, 5)
    assert rankings.clipped.tolist() == [False, False, False, False, False, True, True, False]
    assert (rankings.items[[1, 2, 3, 5], 0] == engine.rank(["knife"], 1).items[0, 0]).all()


def test_another_catalogue_is_refused_at_the_start_and_while_in_use(server, shop, catalog):
    mine = Postgres(version="mine", fields=["title"])
    with pytest.raises(
        ValueError, match=r"the schema rec_gym_mine .* is missing.*write it with Postgres\(version='mine'"
    ):
        mine.fit(catalog)
    mine.push(catalog)
    fitted = mine.fit(catalog)
    assert fitted.rank(["blue chairs"], 2).ids(catalog) == [["chair-b", "lamp-b"]]
    with pytest.raises(ValueError, match=r"holds another catalogue \(hash .*\) than the dataset's .*push\(catalog\)"):
        mine.fit(shop)
    with pytest.raises(
        ValueError, match=r"with other settings: fields \['title'\] instead of \['title', 'description'\]"
    ):
        Postgres(version="mine").fit(catalog)
    mine.push(shop)
    with pytest.raises(
        RecommenderError, match="rec_gym_mine holds another catalogue by now; fit the recommender again"
    ):
        fitted.rank(["chair"], 2)


def test_a_push_that_fails_leaves_the_old_catalogue(server, catalog):
    engine = Postgres(version="whole_or_not", fields=["title"])
    engine.push(catalog)
    fitted = engine.fit(catalog)
    wrong = Catalog.from_columns({"item_id": ["a", "b"], "title": ["lamp", "nul\0"]})
    with pytest.raises(ValueError, match="'title' of the item at position 1 holds a NUL character"):
        engine.push(wrong)
    with pytest.raises(RecommenderError, match='PostgreSQL says: .*text search configuration "klingon" does not exist'):
        Postgres(version="whole_or_not", language="klingon").push(catalog)
    assert fitted.rank(["lamp"], 1).ids(catalog) == [["lamp-r"]]
    with psycopg.connect(server.url) as connection:
        connection.execute("create schema rec_gym_taken")
    with pytest.raises(ValueError, match="the schema rec_gym_taken was not written by push"):
        Postgres(version="taken").push(catalog)


def test_no_wrong_ranking_comes_through_faults(engine, shop, proxy):
    expected = engine.rank(QUERIES, 20)
    faulty = by_proxy(shop, timeout=0.5, retries=6, deadline=20)
    proxy.rate = 0.1  # of the answers on a connection, of which a batch needs three, and four more to connect again
    right = failed = 0
    end = time.monotonic() + 25
    for _ in range(150):
        if time.monotonic() > end:
            break
        try:
            rankings = faulty.rank(QUERIES, 20)
        except RecommenderError as error:
            failed += QUOTED not in str(error)
            continue
        np.testing.assert_array_equal(rankings.items, expected.items)
        np.testing.assert_array_equal(rankings.scores, expected.scores)
        right += 1
    assert set(proxy.counts) == {"refuse", "reset", "half", "stall", "trickle"}
    print(f"{right} batches right, {failed} failed; faults: {proxy.counts}")
    assert right > 20
    assert right > 5 * failed
    proxy.rate = 0.0
    np.testing.assert_array_equal(faulty.rank(QUERIES, 20).items, expected.items)


def test_a_server_that_hangs_is_given_up_in_time(shop, proxy):
    faulty = by_proxy(shop, timeout=0.3, retries=0, deadline=5)
    proxy.rate, proxy.faults = 1.0, ("stall",)
    start = time.monotonic()
    with pytest.raises(
        RecommenderError, match=r"it failed once, and retries is 0; its last words: no answer within 0.3 s"
    ):
        faulty.rank(["knife"], 3)
    assert time.monotonic() - start < 2


def test_a_killed_server_is_an_error_and_the_next_start_is_a_recovery(server, engine):
    expected = engine.rank(QUERIES, 9).items
    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(engine.rank, QUERIES * 20, 9) for _ in range(20)]
        time.sleep(0.05)
        server.kill()
        for result in work:
            if result.exception() is None:
                np.testing.assert_array_equal(result.result().items[: len(QUERIES)], expected)
            else:
                assert isinstance(result.exception(), RecommenderError)
    with pytest.raises(RecommenderError, match="Connection refused"):
        engine.rank(["knife"], 3)
    server.start()
    np.testing.assert_array_equal(engine.rank(QUERIES, 9).items, expected)


def test_a_server_that_starts_again_during_the_retries_is_not_noticed(server, engine, shop):
    patient = Postgres(version="shop", fields=FIELDS, retries=12).fit(shop)
    expected = engine.rank(QUERIES, 9).items
    server.kill()
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(patient.rank, QUERIES, 9)
        server.start()
        np.testing.assert_array_equal(result.result().items, expected)


def test_a_statement_that_fails_is_not_sent_again(server, catalog, monkeypatch):
    engine = Postgres(version="half_gone", fields=["title"])
    engine.push(catalog)
    fitted, requests = engine.fit(catalog), []
    monkeypatch.setattr(Postgres, "request", lambda *a, ask=Postgres.request: requests.append(a) or ask(*a))
    for statement, words in (
        ("drop table rec_gym_half_gone.impacts", 'UndefinedTable: relation "rec_gym_half_gone.impacts" does not exist'),
        ("drop schema rec_gym_half_gone cascade", 'relation "rec_gym_half_gone.made_from" does not exist'),
    ):
        with psycopg.connect(server.url) as connection:
            connection.execute(statement)
        with pytest.raises(RecommenderError, match=f"asked 'lamp': PostgreSQL says: .*{words}"):
            fitted.rank(["lamp"], 1)
    assert len(requests) == 2


def test_forks_pickles_and_threads_have_connections_of_their_own(engine):
    expected = engine.rank(QUERIES, 9).items.tolist()
    child = os.fork()
    if child == 0:
        os._exit(0 if engine.rank(QUERIES, 9).items.tolist() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    copy = pickle.dumps(engine)
    assert PASSWORD.encode() not in copy
    assert QUOTED.encode() not in copy
    assert pickle.loads(copy).rank(QUERIES, 9).items.tolist() == expected
    with ThreadPoolExecutor(6) as threads:
        for items in threads.map(lambda _: engine.rank(QUERIES, 9).items.tolist(), range(30)):
            assert items == expected


def test_a_wrong_password_is_not_tried_again_and_not_shown(server, shop, monkeypatch):
    monkeypatch.setenv(BROKEN, server.url.replace(QUOTED, "wrong%25planted"))
    tries = []
    monkeypatch.setattr(Postgres, "_connect", lambda *a, connect=Postgres._connect: tries.append(a) or connect(*a))
    with pytest.raises(RecommenderError, match="password authentication failed") as caught:
        by_proxy(shop)
    assert len(tries) == 1
    assert "planted" not in str(caught.value)
    monkeypatch.setenv(BROKEN, server.url.replace(QUOTED, "wrong%zzplanted"))
    with pytest.raises(RecommenderError, match="invalid percent-encoded token") as caught:
        by_proxy(shop)
    assert "planted" not in str(caught.value)
