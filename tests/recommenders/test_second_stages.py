"""Hybrids, re-rankers and item-knn: recommenders that stand on others, or on histories."""

import pickle

import numpy as np
import pytest

import rec_gym
from rec_gym import Dataset, Task
from rec_gym.columns import Ragged
from rec_gym.fusion import convex_combination, reciprocal_rank_fusion
from rec_gym.making import make_task
from rec_gym.recommenders import make_recommender
from rec_gym.recommenders.item_knn import ItemKNN

HISTORIES = Ragged.from_rows([[0, 1, 2], [1, 2], [2, 1, 1], [3, 4], [0, 4]], np.int32)
QUERIES = ["red seat", "blue lamp", "wool", "nothing of this"]


def by_words(query, texts):
    return [len(set(query.split()) & set(text.split())) for text in texts]


class TestHybrid:
    def test_it_is_the_fusion_of_its_parts(self, catalog):
        words, vectors = (make_recommender(name, {}, catalog).rank(QUERIES, 6) for name in ("bm25", "dense"))
        hybrid = make_recommender("hybrid", {"weights": [2, 1], "constant": 10}, catalog)
        expected = reciprocal_rank_fusion([words, vectors], 4, weights=[2, 1], constant=10)
        np.testing.assert_array_equal(hybrid.rank(QUERIES, 4).items, expected.items)
        convex = make_recommender("hybrid", {"method": "convex", "normalise": "z", "weights": [0.3, 0.7]}, catalog)
        expected = convex_combination([words, vectors], 4, weights=[0.3, 0.7], normalise="z")
        np.testing.assert_array_equal(convex.rank(QUERIES, 4).items, expected.items)

    def test_parts_are_shared_given_as_tables_or_as_objects(self, catalog):
        bm25 = make_recommender("bm25", {"k1": 0.9}, catalog)
        hybrid = make_recommender("hybrid", {"parts": [{"name": "bm25", "k1": 0.9}, "dense"]}, catalog)
        assert hybrid.fitted[0] is bm25
        same = make_recommender("hybrid", {"parts": [bm25, "dense"]}, catalog)
        np.testing.assert_array_equal(hybrid.rank(QUERIES, 6).items, same.rank(QUERIES, 6).items)
        assert (hybrid.query_language, hybrid.uses_histories) == ("natural language", False)
        assert make_recommender("hybrid", {"parts": ["bm25", "rank_bm25"]}, catalog).query_language == "bag of words"

    def test_no_more_than_depth_of_each_part(self, catalog):
        hybrid = make_recommender("hybrid", {"depth": 1}, catalog)
        assert (hybrid.rank(QUERIES, 6).lengths <= 2).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"parts": ["bm25"]}, "at least two parts"),
            ({"parts": "bm25"}, "parts of recommender 'hybrid' must be a list"),
            ({"method": "sum"}, "unknown method 'sum'; .*choose from: rrf, convex"),
            ({"normalise": "max"}, "unknown normalise 'max'; .*choose from: min-max, z"),
            ({"weights": [1]}, "1 weights were given for 2"),
            ({"depth": 0}, "depth, the places of each part's list, must be at least 1"),
            ({"parts": ["bm25", "bm26"]}, "unknown recommender 'bm26'"),
            ({"parts": ["bm25", {"k1": 1}]}, "a recommender is a name or a table with 'name'"),
            ({"parts": ["bm25", "item-knn"]}, "learns from purchase histories, and this data set has none in train"),
        ],
    )
    def test_wrong_settings_say_what_is_wrong(self, catalog, options, message):
        with pytest.raises(ValueError, match=message):
            make_recommender("hybrid", options, catalog)

    def test_a_cards_settings_reach_the_parts(self):
        task = make_task("RecR1-CornerShop-Hybrid-v0", split="val", items=600)
        assert [part.fields for part in task.recommender.fitted] == [("title", "brand", "description")] * 2
        given = {"name": "hybrid", "parts": [{"name": "bm25", "k1": 0.9}, "dense"]}
        task = make_task("RecR1-CornerShop-Hybrid-v0", split="val", items=600, recommender=given)
        assert (task.recommender.fitted[0].k1, task.recommender.fitted[0].fields) == (
            0.9,
            ("title", "brand", "description"),
        )
        stage = make_task(
            "RecR1-CornerShop-BM25-v0",
            split="val",
            items=600,
            recommender={"name": "rerank", "scorer": "rec_gym.recommenders.rerank:shared_words"},
        ).recommender
        assert stage.fields == stage._stage.fields == ("title", "brand", "description")


class TestRerank:
    def test_the_top_is_ordered_by_the_scorer_and_the_rest_follows(self, catalog):
        first = make_recommender("dense", {}, catalog)
        stage = make_recommender("rerank", {"scorer": by_words, "first": "dense", "top": 3}, catalog)
        before, after = first.rank(QUERIES, 6), stage.rank(QUERIES, 6)
        after.check(len(catalog))
        texts = [text for batch in catalog.texts() for text in batch]
        for query, was, now in zip(QUERIES, before.items, after.items, strict=True):
            head = [item for item in was[:3].tolist() if item >= 0]
            scores = by_words(query, texts)
            assert now[: len(head)].tolist() == sorted(head, key=lambda item: (-scores[item], item))
            np.testing.assert_array_equal(now[3:], was[3:])
        assert (np.diff(after.scores[0][after.items[0] >= 0]) <= 0).all()

    def test_a_scorer_of_pairs_gets_the_whole_batch(self, catalog):
        class Pairs:
            calls = 0

            def score_pairs(self, queries, texts):
                self.calls += 1
                return [by_words(q, [t])[0] for q, t in zip(queries, texts, strict=True)]

        pairs = Pairs()
        one = make_recommender("rerank", {"scorer": pairs}, catalog).rank(QUERIES, 6)
        assert pairs.calls == 1
        np.testing.assert_array_equal(
            one.items, make_recommender("rerank", {"scorer": by_words}, catalog).rank(QUERIES, 6).items
        )

    @pytest.mark.parametrize(
        ("scorer", "error", "message"),
        [
            (lambda query, texts: [1.0] * (len(texts) + 1), ValueError, "the scorer .* returned"),
            (lambda query, texts: [float("nan")] * len(texts), ValueError, "must return one finite number"),
            ("nowhere:score", ValueError, "'nowhere:score' cannot be loaded"),
            ("json:__doc__", ValueError, "not a scorer; name a function"),
            ("subprocess:getoutput", ValueError, r"is the function getoutput\(\), not a scorer"),
            ("./nowhere", (FileNotFoundError, ImportError), "no folder|rec-gym\\[dense\\]"),
        ],
    )
    def test_wrong_scorers_are_errors(self, catalog, scorer, error, message):
        with pytest.raises(error, match=message):
            make_recommender("rerank", {"scorer": scorer}, catalog).rank(QUERIES, 6)

    def test_it_pickles(self, catalog):
        stage = make_recommender("rerank", {"scorer": "rec_gym.recommenders.rerank:shared_words", "top": 2}, catalog)
        again = pickle.loads(pickle.dumps(stage))
        np.testing.assert_array_equal(again.rank(QUERIES, 6).items, stage.rank(QUERIES, 6).items)

    @pytest.mark.model
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_a_cross_encoder(self, catalog, tmp_path):
        """A tiny one with random weights, made here: what counts is that its scores decide the order."""
        pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed (extra dense)")
        from sentence_transformers import CrossEncoder
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

        words = sorted({word for batch in catalog.texts() for text in batch for word in text.split()})
        vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(tmp_path)
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64, num_labels=1,
        )  # fmt: skip
        BertForSequenceClassification(config).save_pretrained(tmp_path)
        stage = make_recommender("rerank", {"scorer": str(tmp_path), "device": "cpu", "first": "dense"}, catalog)
        ranked = pickle.loads(pickle.dumps(stage)).rank(["red \ud800 seat"], 6)
        texts = [text for batch in catalog.texts() for text in batch]
        listed = ranked.items[0][ranked.items[0] >= 0]
        expected = CrossEncoder(str(tmp_path), device="cpu").predict([("red ? seat", texts[item]) for item in listed])
        np.testing.assert_allclose(ranked.scores[0][: len(listed)], expected, atol=1e-5)


class TestItemKNN:
    def test_similarities_are_cosines_of_co_occurrence(self, catalog):
        knn = ItemKNN().fit_histories(catalog, HISTORIES)
        ranked = knn.rank(["ignored", "too"], 6, [np.array([1]), np.array([3, 4])])
        # Item 1 stands in three histories, 2 in the same three, 0 in two of which one holds 1.
        assert ranked.items.tolist() == [[2, 0, -1, -1, -1, -1], [0, -1, -1, -1, -1, -1]]
        np.testing.assert_allclose(ranked.scores[0, :2], [1.0, 1 / np.sqrt(6)], rtol=1e-6)
        np.testing.assert_allclose(ranked.scores[1, 0], 1 / 2, rtol=1e-6)

    def test_neighbours_shrink_and_decay(self, catalog):
        assert ItemKNN(neighbours=1).fit_histories(catalog, HISTORIES).rank(
            [""], 6, [np.array([1])]
        ).lengths.tolist() == [1]
        shrunk = ItemKNN(shrink=3).fit_histories(catalog, HISTORIES).rank([""], 6, [np.array([1])])
        np.testing.assert_allclose(shrunk.scores[0, 0], 3 / 6, rtol=1e-6)
        knn = ItemKNN(decay=0.5).fit_histories(catalog, HISTORIES)
        oldest_first = knn.rank([""], 6, [np.array([1, 3])])  # 3 was bought last
        assert dict(zip(oldest_first.items[0].tolist(), oldest_first.scores[0].tolist(), strict=True))[2] == 0.5

    def test_without_a_history_nothing_is_known(self, catalog):
        knn = ItemKNN().fit_histories(catalog, HISTORIES)
        assert knn.rank(["red lamp"], 6).lengths.tolist() == [0]
        assert knn.rank(["red lamp"], 6, [np.array([5])]).lengths.tolist() == [0]

    def test_wrong_use_says_what_to_do(self, catalog):
        with pytest.raises(ValueError, match="learns from purchase histories, and this data set has none in train"):
            make_recommender("item-knn", {}, catalog)
        with pytest.raises(ValueError, match="neighbours must be >= 1"):
            ItemKNN(neighbours=0)
        with pytest.raises(RuntimeError, match="not fitted"):
            ItemKNN().rank(["a"], 5)
        with pytest.raises(ValueError, match="keep exclude_history"):
            make_task("RecR1-CornerShopHistory-BM25-v0", items=600, recommender="item-knn", exclude_history=False)

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("item-knn", {}),
            ("hybrid", {"parts": ["bm25", "item-knn"]}),
            ("rerank", {"first": "item-knn", "scorer": by_words}),
        ],
    )
    def test_a_task_refuses_to_keep_the_history_from_it(self, catalog, name, options):
        knn = make_recommender(name, options, catalog, HISTORIES)
        dataset = Dataset.from_requests(catalog, [{"id": "a", "split": "train", "history": [0, 1], "targets": [5]}])
        for make in (
            lambda: Task(dataset, knn, exclude_history=False),
            lambda: Task(dataset, knn).replace(exclude_history=False),
        ):
            with pytest.raises(ValueError, match="reads a request's history .* keep exclude_history=True"):
                make()
        searches = Dataset.from_requests(catalog, [{"id": "a", "text": "x", "split": "train", "targets": [5]}])
        with pytest.raises(ValueError, match="no request of this dataset has one; choose another recommender"):
            Task(searches, knn)

    def test_it_learns_from_the_train_histories_only_and_never_from_targets(self, catalog):
        dataset = Dataset.from_requests(
            catalog,
            [
                {"id": "a", "split": "train", "history": [0, 1], "targets": [5]},
                {"id": "b", "split": "val", "history": [2, 3], "targets": [4]},
                {"id": "c", "split": "test", "history": [3, 4], "targets": [2]},
            ],
        )
        assert [row.tolist() for row in dataset.train_histories] == [[0, 1]]
        knn = make_recommender("item-knn", {}, catalog, dataset.train_histories)
        ranked = knn.rank([""] * 6, 6, [np.array([item]) for item in range(6)])
        assert ranked.lengths.tolist() == [1, 1, 0, 0, 0, 0]
        assert Task(dataset, knn, split="test").score(["c"], ["anything"]).rewards.tolist() == [0.0]

    def test_other_histories_are_another_recommender(self, catalog):
        one = make_recommender("item-knn", {}, catalog, HISTORIES)
        assert make_recommender("item-knn", {}, catalog, HISTORIES) is one
        assert make_recommender("item-knn", {}, catalog, HISTORIES.take(np.array([0]))) is not one

    def test_a_hybrid_passes_histories_on(self):
        task = rec_gym.make_task("RecR1-CornerShopHistory-Hybrid-v0", split="val", items=600)
        assert [type(part).__name__ for part in task.recommender.fitted] == ["BM25", "Dense", "ItemKNN"]
        assert task.recommender.uses_histories
        names = [row["request_id"] for row in task.rows()]
        knn = rec_gym.make_task("RecR1-CornerShopHistory-BM25-v0", split="val", items=600, recommender="item-knn")
        assert knn.score(names, ["x"] * len(names)).rewards.mean() > 0
