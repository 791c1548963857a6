"""Measures against pytrec_eval and ir_measures, and the batch path against the list path."""

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.measures import Judged, Measure, evaluate
from rec_gym.ranking import Rankings

CUTOFFS = (1, 3, 10, 100)
TREC = {
    "ndcg": "ndcg", "recall": "set_recall", "precision": "set_P", "mrr": "recip_rank", "map": "map",
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in CUTOFFS},
    **{f"recall@{k}": f"recall_{k}" for k in CUTOFFS},
    **{f"precision@{k}": f"P_{k}" for k in CUTOFFS},
    **{f"map@{k}": f"map_cut_{k}" for k in CUTOFFS},
    **{f"hit@{k}": f"success_{k}" for k in CUTOFFS},
}  # fmt: skip
ITEMS = [f"i{n}" for n in range(15)]
rankings = st.lists(st.sampled_from(ITEMS), unique=True, max_size=15)
grades = st.sampled_from([0, 1, 1, 2, 3, 10, 100])
judgements = st.dictionaries(st.sampled_from(ITEMS), grades, min_size=1, max_size=12).filter(lambda g: any(g.values()))


def trec(ranked, gains, names):
    """The oracle, given strictly falling scores in our order (it would break ties by descending id)."""
    evaluator = pytrec_eval.RelevanceEvaluator({"q": gains}, {TREC[n].rsplit("_", 1)[0] for n in names if "@" in n} | {
        TREC[n] for n in names if "@" not in n
    } | {f"{TREC[n].rsplit('_', 1)[0]}.{n.split('@')[1]}" for n in names if "@" in n})  # fmt: skip
    # pytrec_eval leaves out queries whose run is empty; an item that nobody judged stands in for "nothing relevant".
    run = {item: float(len(ranked) - rank) for rank, item in enumerate(ranked)} or {"unjudged": 1.0}
    return {name: evaluator.evaluate({"q": run})["q"][TREC[name]] for name in names}


@given(st.lists(st.tuples(rankings, judgements), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_agrees_with_trec_eval(cases):
    ours = evaluate(list(TREC), [r for r, _ in cases], [g for _, g in cases])
    for row, (ranked, gains) in enumerate(cases):
        for name, value in trec(ranked, gains, list(TREC)).items():
            assert ours[name][row] == pytest.approx(value, abs=1e-5), name  # it computes in float32 here and there


@given(rankings, st.dictionaries(st.sampled_from(ITEMS), st.sampled_from([1.0, 0.1, 0.01, 0.0]), min_size=1))
@settings(max_examples=100, deadline=None)
def test_fractional_gains_agree_with_trec_eval_on_a_hundredfold(ranked, gains):
    if not any(gains.values()):
        gains["i0"] = 1.0
    names = ["ndcg", "ndcg@3", "ndcg@10"]
    ours = evaluate(names, [ranked], [gains])
    hundredfold = {item: round(100 * gain) for item, gain in gains.items()}
    for name, value in trec(ranked, hundredfold, names).items():
        assert ours[name][0] == pytest.approx(value, abs=1e-5)


@given(rankings.filter(bool), judgements)
@settings(max_examples=50, deadline=None)
def test_mrr_with_a_cutoff_agrees_with_ir_measures(ranked, gains):
    run = [ir_measures.ScoredDoc("q", item, float(len(ranked) - rank)) for rank, item in enumerate(ranked)]
    qrels = [ir_measures.Qrel("q", item, gain) for item, gain in gains.items()]
    for k in (1, 3, 10):
        theirs = ir_measures.calc_aggregate([ir_measures.RR @ k], qrels, run)[ir_measures.RR @ k]
        assert evaluate([f"mrr@{k}"], [ranked], [gains])[f"mrr@{k}"][0] == pytest.approx(theirs)


@given(st.lists(st.tuples(rankings, judgements), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_batch_path_over_rankings_gives_the_same_numbers(cases):
    catalog = Catalog.from_columns({"item_id": ITEMS, "title": ITEMS})
    names = [*TREC, "mrr@3"]
    expected = evaluate(names, [r for r, _ in cases], [g for _, g in cases])
    lists = Rankings.from_ids(catalog, [r for r, _ in cases])
    kept = [{item: gain for item, gain in g.items() if gain > 0} for _, g in cases]
    gains = Ragged.from_rows([list(g.values()) for g in kept], np.float64)
    ranks = lists.ranks_of(Ragged.from_rows([catalog.positions(list(g)) for g in kept], np.int32))
    ideal = Ragged.from_rows([sorted(g.values(), reverse=True) for g in kept], np.float64)
    judged = Judged(ranks, gains, ideal, lists.lengths)
    for name in names:
        np.testing.assert_array_equal(Measure.parse(name)(judged), expected[name])


def test_a_list_of_targets_counts_a_repeated_one_once():
    names = ["ndcg@10", "recall@10", "map@10"]
    once = evaluate(names, [["a", "b"]], [["a", "b"]])
    twice = evaluate(names, [["a", "b"]], [["a", "b", "b"]])
    assert once == twice
    assert once["ndcg@10"][0] == 1.0


def test_the_published_ideal_counts_duplicates_when_asked():
    value = evaluate(["ndcg@10"], [["a", "b"]], [["a", "b", "b"]], duplicate_targets="count")["ndcg@10"][0]
    discounts = 1 / np.log2(np.arange(3) + 2)
    assert value == pytest.approx(discounts[:2].sum() / discounts.sum())


def test_nothing_retrieved_and_nothing_relevant_score_zero():
    names = list(TREC)
    for values in (evaluate(names, [[]], [{"a": 1.0}]), evaluate(names, [["a"]], [{"a": 0.0}])):
        assert all(value[0] == 0 for value in values.values())


def test_a_perfect_ranking_scores_one_and_never_more():
    gains = {item: 0.1 + n / 7 for n, item in enumerate(ITEMS)}
    value = evaluate(["ndcg"], [sorted(gains, key=lambda item: -gains[item])], [gains])["ndcg"][0]
    assert value == 1.0


@pytest.mark.parametrize("name", [*TREC, "mrr@7"])
def test_names_parse_and_print_as_themselves(name):
    assert str(Measure.parse(name)) == name


@pytest.mark.parametrize("name", ["ndgc@10", "ndcg@0", "ndcg@", "ndcg@-1", "NDCG@10", "", "ndcg@10 "])
def test_a_wrong_name_lists_the_right_ones(name):
    with pytest.raises(
        ValueError, match="unknown measure .* ndcg(@10)?, recall(@10)?, precision(@10)?, mrr(@10)?, map(@10)?, hit"
    ):
        Measure.parse(name)


@pytest.mark.parametrize(
    ("ranked", "gains", "message"),
    [
        ([["a"]], [], "1 rankings were given for 0 requests"),
        ([["a", "a"]], [{"a": 1}], "ranking 0 lists an item twice: 'a'"),
        ([["a"]], [{"a": -1}], "finite and >= 0, .* request 0 breaks this for 'a'"),
        ([["a"]], [{"a": float("nan")}], "finite and >= 0"),
    ],
)
def test_bad_input_is_refused(ranked, gains, message):
    with pytest.raises(ValueError, match=message):
        evaluate(["ndcg@10"], ranked, gains)


def test_constraints_need_a_task():
    with pytest.raises(ValueError, match="needs a cut-off"):
        Measure.parse("constraints")
    with pytest.raises(ValueError, match="constraints@10 looks at the rankings of a task"):
        evaluate(["constraints@10"], [["a"]], [{"a": 1}])
