"""verl's own reward loop with the reward function and the reward manager of this package.

    python -m benchmarks.gather_verl [--quick]

One `RewardLoopWorker` as verl makes it, but in this process instead of a Ray actor, scores a batch of samples: tokens are
decoded, rows are sliced, and the configuration is read as in training. The ways take turns. The last line is the report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from rec_gym.adapters.rows import describe_task
from rec_gym.loop.task import Task
from rec_gym.making import make_task

TASK_ID = "RecR1-CornerShop-BM25-v0"
SPLIT = "train"
PROMPT, RESPONSE = 8, 16  # tokens, padding included
MANAGER = "GatherRewardManager"
WAYS = {
    "`naive`, `compute_score`": ("naive", "compute_score"),
    "`naive`, `compute_score_async`": ("naive", "compute_score_async"),
    f"`{MANAGER}`": (MANAGER, None),
}


def make_tokenizer(task: Task, folder: str) -> Any:
    """A tokenizer that knows the words of the requests, saved where verl loads it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for row in task.rows() for word in row["text"].split()})
    vocabulary = {word: place for place, word in enumerate(["[pad]", "[end]", "[unk]", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "[pad]", "eos_token": "[end]", "unk_token": "[unk]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_batch(task: Task, tokenizer: Any, count: int) -> tuple[Any, list[str], list[str]]:
    """A batch of `count` samples as verl holds it, with their request ids and completions."""
    import torch
    from tensordict import TensorDict
    from verl import DataProto

    rows = list(task.rows())
    chosen = [rows[place % len(rows)] for place in range(count)]
    texts = [" ".join(row["text"].split()[: 3 + place % 5]) for place, row in enumerate(chosen)]
    responses = torch.zeros(count, RESPONSE, dtype=torch.long)
    mask = torch.zeros(count, PROMPT + RESPONSE, dtype=torch.long)
    mask[:, :PROMPT] = 1
    for place, text in enumerate(texts):
        tokens = tokenizer.encode(text)[:RESPONSE]
        responses[place, : len(tokens)] = torch.tensor(tokens)
        mask[place, PROMPT : PROMPT + len(tokens)] = 1
    ids = [row["request_id"] for row in chosen]
    described = describe_task(TASK_ID, {"split": SPLIT})
    columns = {
        "data_source": [f"{TASK_ID}/{SPLIT}"] * count,
        "reward_model": [{"style": "rule", "ground_truth": name} for name in ids],
        "extra_info": [{"index": place, "split": SPLIT, "task": described} for place in range(count)],
    }
    tensors = {"prompts": torch.zeros(count, PROMPT, dtype=torch.long), "responses": responses, "attention_mask": mask}
    objects = {key: np.array(values, dtype=object) for key, values in columns.items()}
    return DataProto(batch=TensorDict(tensors, batch_size=count), non_tensor_batch=objects), ids, texts


def make_worker(folder: str, manager: str, function: str | None) -> Any:
    """A worker of the reward loop, as verl makes it."""
    from omegaconf import OmegaConf
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

    path = "pkg://rec_gym.adapters"
    is_ours = manager == MANAGER
    config = {
        "actor_rollout_ref": {"model": {"path": folder, "tokenizer_path": None}},
        "reward": {
            "num_workers": 1,
            "custom_reward_function": {"path": f"{path}.verl" if function else None, "name": function},
            "reward_manager": {
                "source": "importlib" if is_ours else "register",
                "name": manager,
                "module": {"path": f"{path}.verl_manager" if is_ours else None, "name": None},
            },
            "reward_model": {"enable": False},
        },
    }
    return RewardLoopWorker(OmegaConf.create(config))


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each way, medians over rounds; the first two rounds are not counted."""
    task = make_task(TASK_ID, split=SPLIT)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())  # verl's workers take the loop of the thread
        batch, ids, texts = make_batch(task, make_tokenizer(task, folder), count)
        expected = task.score(ids, texts).rewards.tolist()
        workers = {name: make_worker(folder, *way) for name, way in WAYS.items()}

        def by(name: str) -> list[float]:
            return [one["reward_score"] for one in runner.run(workers[name].compute_score_batch(batch))]

        calls: dict[str, Callable[[], list[float]]] = {name: partial(by, name) for name in workers}
        calls["`Task.score` of the batch, without verl"] = lambda: task.score(ids, texts).rewards.tolist()
        walls: dict[str, list[float]] = {name: [] for name in calls}
        cpus: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds + 2):
            for name, call in calls.items():
                wall, cpu = time.perf_counter(), time.process_time()
                rewards = call()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                assert rewards == expected, name
                if number > 1:
                    walls[name].append(count / wall)
                    cpus[name].append(1e6 * cpu / count)
    return [
        {"way": name, "rate": statistics.median(walls[name]), "cpu_us": statistics.median(cpus[name])} for name in calls
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="python -m benchmarks.gather_verl")
    parser.add_argument("--quick", action="store_true", help="fewer samples and rounds")
    options = parser.parse_args(arguments)
    rows = measure(256 if options.quick else 1024, 3 if options.quick else 9)
    print(json.dumps({"versions": {"verl": version("verl"), "torch": version("torch")}, "rows": rows}))


if __name__ == "__main__":
    main()
