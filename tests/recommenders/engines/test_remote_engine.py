"""Time-outs, retries and secrets of an engine that is asked over a connection."""

import logging
import pickle
import threading
import time
import traceback

import pytest

from rec_gym import Catalog, RecommenderError, make_task
from rec_gym.recommenders.engines import Hits, RemoteEngine, UnavailableError

SECRET = "planted/secret"
URL = "https://shopper:planted%2Fsecret@engine.invalid/search"


class Scripted(RemoteEngine):
    """Does at each request what a script says: raises an exception, waits, or answers."""

    def __init__(self, url_env="ENGINE_URL", script=(), **options):
        super().__init__(url_env, **options)
        self.script, self.sent, self.most = list(script), [], 0
        self.under_way = 0

    def request(self, questions, k, timeout):
        self.sent.append((len(questions), timeout))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        step = self.script.pop(0) if self.script else None
        try:
            if isinstance(step, float):
                time.sleep(step)
            elif step is not None:
                raise step
        finally:
            self.under_way -= 1
        return [Hits(["lamp-r"], [1.0]) for _ in questions]


@pytest.fixture(autouse=True)
def engine_url(monkeypatch):
    monkeypatch.setenv("ENGINE_URL", URL)
    monkeypatch.setattr("rec_gym.recommenders.engines.remote._FIRST_WAIT", 0.001)


def fitted(catalog, *script, **options):
    return Scripted(script=script, **options).fit(catalog)


def test_what_may_pass_is_sent_again(catalog):
    engine = fitted(catalog, UnavailableError("reset"), UnavailableError("busy", retry_after=0.0))
    assert engine.rank(["lamp"], 1).items.tolist() == [[0]]
    assert len(engine.sent) == 3


def test_it_gives_up_with_the_words_of_the_engine(catalog):
    engine = fitted(catalog, *[UnavailableError(f"overloaded, try {n}") for n in range(9)], retries=2)
    with pytest.raises(RecommenderError, match="asked 'lamp': it failed 3 times; its last words: overloaded, try 2"):
        engine.rank(["lamp"], 1)
    assert len(engine.sent) == 3


@pytest.mark.parametrize(
    "error", [ValueError("syntax error at 'lamp'"), KeyError("hits"), RecommenderError("no rights")]
)
def test_what_will_not_pass_is_not_sent_again(catalog, error):
    engine = fitted(catalog, error)
    with pytest.raises(RecommenderError, match="asked 'lamp': .*(syntax error at 'lamp'|hits|no rights)"):
        engine.rank(["lamp"], 1)
    assert len(engine.sent) == 1


def test_retry_after_is_honoured(catalog):
    engine = fitted(catalog, UnavailableError("429", retry_after=0.3))
    start = time.monotonic()
    engine.rank(["lamp"], 1)
    assert time.monotonic() - start >= 0.3


def test_the_deadline_is_that_of_the_batch_with_all_retries(catalog):
    engine = fitted(catalog, *[UnavailableError("429", retry_after=0.2)] * 50, retries=50, deadline=0.7)
    start = time.monotonic()
    with pytest.raises(RecommenderError, match="the deadline of 0.7 s leaves no time to retry: 429"):
        engine.rank(["lamp"], 1)
    assert time.monotonic() - start < 0.7
    assert all(timeout <= 0.7 for _, timeout in engine.sent)
    assert engine.sent[-1][1] < 0.4  # the last request got what was left


def test_a_batch_is_cut_into_requests_and_few_are_under_way(catalog):
    engine = fitted(catalog, *[0.02] * 10, per_request=2, in_flight=3)
    rankings = engine.rank([f"lamp {n}" for n in range(19)], 1)
    assert rankings.items.tolist() == [[0]] * 19
    assert sorted(count for count, _ in engine.sent) == [1] + [2] * 9
    assert 1 < engine.most <= 3


def test_callers_in_threads_share_the_places_in_flight(catalog):
    engine = fitted(catalog, *[0.01] * 12, in_flight=2)
    threads = [threading.Thread(target=engine.rank, args=([f"lamp {n}"], 1)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engine.sent) == 12
    assert engine.most <= 2


def test_one_failing_request_fails_the_batch(catalog):
    engine = fitted(catalog, None, ValueError("no"), per_request=1, in_flight=1)
    with pytest.raises(RecommenderError, match="no"):
        engine.rank(["lamp", "desk", "rug"], 1)


@pytest.mark.parametrize("error", [ValueError, UnavailableError, RecommenderError, OSError])
def test_no_secret_is_in_an_error_a_log_a_pickle_or_a_repr(catalog, error, caplog):
    caplog.set_level(logging.DEBUG)
    words = f"cannot reach {URL} as shopper with 'planted/secret' (planted%2Fsecret)"
    engine = fitted(catalog, *[error(words)] * 3, retries=1)
    with pytest.raises(RecommenderError, match="cannot reach \\*\\*\\*") as caught:
        engine.rank(["lamp"], 1)
    engine.script = []
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(engine) + repr(vars(engine))
    chained, cause = [], caught.value
    while cause is not None:
        chained.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    for text in (shown, *chained, pickle.dumps(caught.value).decode("latin-1")):
        assert SECRET not in text
        assert "planted%2Fsecret" not in text
    assert b"planted" not in pickle.dumps(engine)


def test_libpqs_own_form_of_an_address_is_hidden_too(monkeypatch, catalog):
    monkeypatch.setenv("ENGINE_URL", "host=engine user=shopper password='planted secret' dbname=shop")
    shown = fitted(catalog).without_secrets("refused: password='planted secret' and planted secret")
    assert "planted" not in shown


def test_the_address_itself_is_not_a_setting():
    with pytest.raises(ValueError, match="the name of an environment variable that holds the URL") as caught:
        Scripted(URL)
    assert "planted" not in str(caught.value)


def test_an_address_that_is_not_set_is_said(monkeypatch, catalog):
    monkeypatch.delenv("ENGINE_URL")
    with pytest.raises(RecommenderError, match="Scripted needs the environment variable ENGINE_URL with the URL"):
        _ = fitted(catalog).url


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"deadline": float("nan")}, {"timeout": float("inf")}, {"retries": -1}, {"in_flight": 0}],
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="got "):
        Scripted(**options)


def test_a_task_ends_with_the_error_and_pays_nothing():
    task = make_task("RecR1-CornerShop-BM25-v0", split="val", recommender="bm25", items=600)
    shop = task.dataset.catalog
    broken = Scripted(script=[UnavailableError("the engine is down")] * 9, retries=1).fit(Catalog(shop.table))
    with pytest.raises(RecommenderError, match="its last words: the engine is down"):
        task.replace(recommender=broken).score(task.request_ids[:2], ["lamp", "desk"])
