"""Measures against trec_eval, on random runs."""

from __future__ import annotations

import random

import pytrec_eval

from rec_gym.measures import evaluate

CUTOFFS = (1, 3, 10, 100)
TREC = {
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in CUTOFFS},
    **{f"recall@{k}": f"recall_{k}" for k in CUTOFFS},
    **{f"precision@{k}": f"P_{k}" for k in CUTOFFS},
    **{f"map@{k}": f"map_cut_{k}" for k in CUTOFFS},
    **{f"hit@{k}": f"success_{k}" for k in CUTOFFS},
    "ndcg": "ndcg",
    "map": "map",
    "mrr": "recip_rank",
}
TOLERANCE = 2e-5  # trec_eval partly sums in single precision


def random_run(draw: random.Random) -> tuple[list[str], dict[str, int]]:
    """A ranking without ties and judgements for it, at least one of them relevant."""
    items = [f"i{number}" for number in range(draw.choice((2, 10, 200)))]
    ranked = draw.sample(items, draw.randint(1, len(items)))
    judged = draw.sample(items, draw.randint(1, len(items)))
    gains = {item: draw.choice((0, 0, 1, 1, 2, 3, 10, 1000)) for item in judged}
    gains[judged[0]] = max(1, gains[judged[0]])
    return ranked, gains


def check(draw: random.Random, count: int) -> int:
    """Compares the measures of `count` random runs with trec_eval's, and returns the number of values.

    Raises:
        AssertionError: two values differ.
    """
    runs = [random_run(draw) for _ in range(count)]
    ours = evaluate(list(TREC), [ranked for ranked, _ in runs], [gains for _, gains in runs])
    judgements = {str(row): gains for row, (_, gains) in enumerate(runs)}
    scores = {
        str(row): {item: float(len(ranked) - place) for place, item in enumerate(ranked)}
        for row, (ranked, _) in enumerate(runs)
    }
    names = {"ndcg", "map", "recip_rank"}
    names |= {f"{name}.{','.join(map(str, CUTOFFS))}" for name in ("ndcg_cut", "recall", "P", "map_cut", "success")}
    theirs = pytrec_eval.RelevanceEvaluator(judgements, names).evaluate(scores)
    for name, column in TREC.items():
        for row in range(count):
            expected, value = theirs[str(row)][column], ours[name][row]
            assert abs(value - expected) <= TOLERANCE, f"{name} is {value}, trec_eval says {expected}: {runs[row]}"
    return count * len(TREC)
