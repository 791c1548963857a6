"""`rec-gym push`."""

import pytest
from helpers.command_line import fails, good

import rec_gym

SHOP = "RecR1-CornerShop-BM25-v0"
SMALL = ("--set", "items=600")


def test_what_was_pushed_is_what_a_task_with_the_same_settings_searches(tmp_path):
    engine = f'{{name = "sqlite", fields = ["title"], file = "{tmp_path}/shop.sqlite"}}'
    shown = good("push", SHOP, *SMALL, "--set", f"recommender={engine}")
    assert shown.strip() == f"SQLite holds the 600 items of {SHOP}"
    recommender = {"name": "sqlite", "fields": ["title"], "file": f"{tmp_path}/shop.sqlite"}
    task = rec_gym.make_task(SHOP, items=600, split="val", recommender=recommender)
    assert task.recommender.file == f"{tmp_path}/shop.sqlite"
    assert task.score(task.request_ids, [row["text"] for row in task.rows()]).rewards.mean() > 0.03


def test_a_recommender_that_is_no_engine_is_refused():
    message = fails("push", SHOP, *SMALL)
    assert "the recommender 'bm25' is not a search engine that a catalogue can be written to" in message
    assert "set recommender= to one of: sqlite, postgres" in message


def test_a_file_in_the_cache_cannot_be_written_to():
    assert "SQLite without file= searches a file in the cache folder" in fails(
        "push", SHOP, *SMALL, "--set", "recommender=sqlite"
    )


@pytest.mark.engine
def test_an_engine_whose_address_is_not_set_says_which_variable():
    pytest.importorskip("psycopg")
    assert "needs the environment variable NOT_SET_ANYWHERE" in fails(
        "push", SHOP, *SMALL, "--set", 'recommender={name="postgres", url_env="NOT_SET_ANYWHERE"}'
    )
