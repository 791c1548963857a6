"""err, rbp, f1 and success against other people's code."""

import shutil
import warnings

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gym.measures import evaluate

ITEMS = [f"i{n}" for n in range(15)]
runs = st.lists(st.sampled_from(ITEMS), unique=True, min_size=1, max_size=15)
grades = st.dictionaries(st.sampled_from(ITEMS), st.integers(0, 4)).map(lambda others: {**others, "i0": 1})
cases = st.lists(st.tuples(runs, grades), min_size=1, max_size=8)


def by_ir_measures(measure, batch):
    """One value per request; the scores fall strictly in our order."""
    run, qrels = [], []
    for number, (ranked, gains) in enumerate(batch, start=1):
        run += [ir_measures.ScoredDoc(str(number), item, float(-rank)) for rank, item in enumerate(ranked)]
        qrels += [ir_measures.Qrel(str(number), item, gain) for item, gain in gains.items()]
    values = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, run)}
    return [values[str(number)] for number in range(1, len(batch) + 1)]


def drawn(grades, seed):
    """60 rankings with judgements of all items, the first of which is always relevant."""
    rng = np.random.default_rng(seed)
    gains = [{**dict(zip(ITEMS, rng.integers(0, grades, 15).tolist(), strict=True)), "i0": 1} for _ in range(60)]
    return [(rng.permutation(ITEMS)[: rng.integers(1, 16)].tolist(), each) for each in gains]


def falling(ranked):
    return {item: float(len(ranked) - rank) for rank, item in enumerate(ranked)}


def ours(name, batch):
    return evaluate([name], [ranked for ranked, _ in batch], [gains for _, gains in batch])[name]


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval, which ir_measures runs for ERR, needs perl")
@pytest.mark.parametrize("k", [1, 3, 20])
def test_err_is_that_of_gdeval(k):
    batch = drawn(5, seed=k)
    theirs = by_ir_measures(ir_measures.ERR @ k, batch)
    np.testing.assert_allclose(ours(f"err(4)@{k}", batch), theirs, atol=6e-6)  # it prints five decimals


@given(cases)
@settings(max_examples=50, deadline=None)
def test_success_is_that_of_trec_eval(batch):
    for k in (1, 5):
        assert ours(f"success@{k}", batch).tolist() == by_ir_measures(ir_measures.Success @ k, batch)


@given(cases)
@settings(max_examples=50, deadline=None)
def test_f1_is_that_of_trec_eval_on_rankings_of_k_items(batch):
    # trec_eval's set_F divides by what was ranked, f1@k by k: items that nobody judged fill the ranking up.
    for k in (1, 5, 20):
        filled = [([*ranked, *(f"filler{n}" for n in range(k))][:k], gains) for ranked, gains in batch]
        np.testing.assert_allclose(ours(f"f1@{k}", batch), by_ir_measures(ir_measures.SetF, filled), atol=1e-6)
    np.testing.assert_allclose(ours("f1", batch), by_ir_measures(ir_measures.SetF, batch), atol=1e-6)


@pytest.mark.model
def test_rbp_and_f1_are_those_of_ranx():
    ranx = pytest.importorskip("ranx", reason="the library ranx is not installed (extra bench)")
    batch = drawn(2, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's, about ranx's own casts
        qrels = ranx.Qrels({f"q{n:02}": gains for n, (_, gains) in enumerate(batch)})
        for k in (3, 10):
            run = ranx.Run({f"q{n:02}": falling(ranked[:k]) for n, (ranked, _) in enumerate(batch)})
            for name, theirs in ((f"rbp(0.8)@{k}", "rbp.80"), (f"f1@{k}", f"f1@{k}")):
                values = ranx.evaluate(qrels, run, theirs, return_mean=False)
                np.testing.assert_allclose(ours(name, batch), values, atol=1e-12)


def test_a_gain_above_the_maximum_grade_is_refused():
    with pytest.raises(ValueError, match=r"err\(1\) takes gains up to 1, but one is 3; .* err\(3\)@10"):
        evaluate(["err(1)@10"], [["a"]], [{"a": 3}])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rbp@10", r"rbp is written rbp\(p\); the parameters here are: none"),
        ("rbp(0.8,2)", r"rbp is written rbp\(p\); the parameters here are: 0.8, 2"),
        ("rbp(1)@10", "p of the measure rbp must be between 0 and 1, not 1"),
        ("rbp(half)@10", "p of the measure rbp.* must be a finite number, not 'half'"),
        ("rbp(1/2)@10", r"numbers or words, as in rbp\(0.8\)@10; .* has '1/2'"),
        ("err(0)@10", "max_grade of the measure err must be in"),
        ("err(1e999)@10", "must be a finite number"),
        ("ndcg(2)@10", "ndcg is written ndcg; the parameters here are: 2"),
        ("rpb(0.8)@10", "unknown measure .*did you mean 'rbp.0.8.@10'"),
    ],
)  # fmt: skip
def test_wrong_parameters_say_what_is_right(name, message):
    with pytest.raises(ValueError, match=message):
        evaluate([name], [["a"]], [{"a": 1}])
