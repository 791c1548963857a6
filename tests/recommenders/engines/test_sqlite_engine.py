"""SQLite as a recommender: its figure, its file, threads, forks, and odd columns."""

import multiprocessing
import os
import pickle
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from rec_gym import Catalog, RecommenderError, make_task
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.engines.sqlite import SQLite

FIELDS = ["title", "brand", "description"]
SHOP = "RecR1-CornerShop-BM25-v0"


@pytest.mark.slow
def test_the_figure_of_the_raw_texts_is_the_one_of_plain_sqlite():
    """Measured once with SQLite 3.40 by a script without this package."""
    task = make_task(
        SHOP, split="test", reward="ndcg@10", measures=["recall@100"], recommender={"name": "sqlite", "fields": FIELDS}
    )
    outcomes = task.score(task.request_ids, [row["text"] for row in task.rows()])
    assert outcomes.rewards.mean() == pytest.approx(0.0774, abs=1e-4)
    assert outcomes.measures["recall@100"].mean() == pytest.approx(0.1245, abs=1e-4)


@pytest.fixture(scope="module")
def shop():
    return make_task(SHOP, split="val", items=600).dataset.catalog


def test_it_ranks_as_fts5_does_by_itself(shop):
    connection = sqlite3.connect(":memory:")
    connection.execute("create virtual table t using fts5(a, b, tokenize='porter unicode61')")
    columns = zip(shop.values("title"), shop.values("brand"), strict=True)
    connection.executemany("insert into t values (?, ?)", columns)
    engine = SQLite(["title", "brand"], weights=[3, 1], stop_words=False).fit(shop)
    rankings = engine.rank(["oak knives", "rug"], 600)
    for row, match in enumerate(['"oak" OR "knives"', '"rug"']):
        sql = "select rowid - 1, bm25(t, 3, 1) from t where t match ? order by 2, 1"
        expected = connection.execute(sql, (match,)).fetchall()
        assert len(expected) > 5
        listed = rankings.items[row] >= 0
        assert sorted(rankings.items[row][listed]) == sorted(position for position, _ in expected)
        scores = dict(expected)
        np.testing.assert_allclose(
            rankings.scores[row][listed], [-scores[item] for item in rankings.items[row][listed]], rtol=1e-6
        )
    connection.close()


def test_threads_and_forks_search_at_the_same_time(shop):
    engine = SQLite(["title"]).fit(shop)
    queries = [[f"{word} {n}" for word in ("lamp", "sheet", "shoe")] for n in range(20)]
    alone = [engine.rank(batch, 20).items.tolist() for batch in queries]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda batch: engine.rank(batch, 20).items.tolist(), queries)) == alone
    receiving, sending = multiprocessing.get_context("fork").Pipe(False)
    child = os.fork()
    if child == 0:
        sending.send([engine.rank(batch, 20).items.tolist() for batch in queries])
        os._exit(0)
    assert receiving.recv() == alone
    os.waitpid(child, 0)
    assert engine.rank(queries[0], 20).items.tolist() == alone[0]


def test_a_damaged_index_is_built_again_and_damage_while_in_use_is_an_error(shop, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path))
    engine = SQLite(["title"]).fit(shop)
    expected = engine.rank(["lamp"], 9)
    [index] = tmp_path.glob("indexes/sqlite-*/index.sqlite")
    content = bytearray(index.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    index.write_bytes(content)
    with pytest.raises(
        RecommenderError, match="asked 'lamp': SQLite says .* of .*index.sqlite; fit the recommender again"
    ):
        pickle.loads(pickle.dumps(engine)).rank(["lamp"], 9)
    again = SQLite(["title"]).fit(shop)
    assert "is rebuilt: its file index.sqlite is damaged" in caplog.text
    np.testing.assert_array_equal(again.rank(["lamp"], 9).items, expected.items)
    index.unlink()
    with pytest.raises(RecommenderError, match="SQLite cannot open .*fit the recommender again"):
        pickle.loads(pickle.dumps(engine)).rank(["lamp"], 9)


def test_a_file_is_searched_if_it_holds_the_catalogue(catalog, shop, tmp_path):
    file = str(tmp_path / "shop.sqlite")
    engine = SQLite(["title"], file=file)
    how = r"write it with SQLite\(file='.*shop.sqlite', ...\).push\(catalog\)"
    with pytest.raises(ValueError, match=f"there is no file .*shop.sqlite; {how}"):
        engine.fit(catalog)
    engine.push(catalog)
    fitted = make_recommender("sqlite", {"fields": ["title"], "file": file}, catalog)
    assert fitted.rank(["blue chairs"], 2).ids(catalog) == [["chair-b", "lamp-b"]]
    with pytest.raises(
        ValueError, match=r"shop.sqlite holds another catalogue \(hash .*\) than the dataset's .*" + how
    ):
        engine.fit(shop)
    with pytest.raises(
        ValueError, match=r"was written with other settings: language 'english' instead of 'none'; " + how
    ):
        SQLite(["title"], language="none", file=file).fit(catalog)
    (tmp_path / "shop.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(ValueError, match="is not an index that push"):
        engine.fit(catalog)
    with pytest.raises(ValueError, match="SQLite without file= searches a file in the cache folder"):
        SQLite().push(catalog)


def test_a_push_that_fails_leaves_the_old_file(catalog, tmp_path, monkeypatch):
    file = tmp_path / "shop.sqlite"
    SQLite(["title"], file=str(file)).push(catalog)
    before = file.read_bytes()
    monkeypatch.setattr(SQLite, "_made_from", lambda self, catalog: {"language": "english", "broken": object()})
    with pytest.raises(TypeError):
        SQLite(["title"], file=str(file)).push(catalog)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop.sqlite"]


def test_filters_are_exact_on_columns_that_sqlite_has_no_type_for():
    top = np.iinfo(np.uint64).max
    table = pa.table(
        {
            "item_id": ["a", "b", "c", "d", "e"],
            "title": ["lamp"] * 5,
            "wide": pa.array([0, 9, 2**63, top - 1, top], pa.uint64()),
            "half": pa.array(np.array([0.1, 0.5, -2, np.nan, np.inf], np.float16)),
            "sold": pa.array([True, False, None, True, False]),
            "whole": pa.array([2**53, 2**53 + 1, 0, -1, None], pa.int64()),
            "text": ["b\0", "b", "\uffff", "\U0001f6cb", ""],
        }
    )
    shop = Catalog(table)
    conditions = {
        ("wide", ">=", 2**63): "cde",
        ("wide", "==", int(top)): "e",
        ("wide", "<=", 10**30): "abcde",
        ("half", "<=", 0.1): "ac",
        ("half", ">=", -1e300): "abce",
        ("sold", "==", False): "be",
        ("whole", "==", 2**53 + 1): "b",
        ("whole", "<=", 0.5): "cd",
        ("whole", ">=", float(2**53)): "ab",
        ("text", ">=", "\uffff"): "cd",
        ("text", "<=", "b"): "be",
        ("text", "==", "\ud800"): "",
        ("item_id", ">=", "d"): "de",
    }
    engine = make_recommender("sqlite", {"fields": ["title"]}, shop)
    rankings = engine.rank(["lamp"] * len(conditions), 5, filters=[(condition,) for condition in conditions])
    for names, (condition, expected) in zip(rankings.ids(shop), conditions.items(), strict=True):
        assert "".join(names) == expected, condition


def test_many_items_may_be_excluded(shop):
    engine = SQLite(["title"]).fit(shop)
    exclude = [np.arange(1, 600, dtype=np.int32)]
    assert set(engine.rank(["lamp shoe sheet"], 9, exclude).items[0].tolist()) <= {0, -1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "englisch"}, "unknown language 'englisch'; did you mean 'english'"),
        ({"fields": ["title"], "weights": [1, 2]}, "one number >= 0 for each of the 1 fields, not"),
        ({"fields": ["title"], "weights": [float("nan")]}, "one number >= 0 for each"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SQLite(**options)


def test_an_unknown_field_is_refused(catalog):
    with pytest.raises(KeyError, match="no text column 'titel'"):
        SQLite(["titel"]).fit(catalog)
