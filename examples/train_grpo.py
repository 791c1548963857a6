"""GRPO (Shao et al. 2024) in plain torch, against any environment: the ranking measure is the only reward.

    python examples/make_model.py tiny models/tiny
    python examples/train_grpo.py --model models/tiny --output runs/tiny

A killed run resumes from its last checkpoint, with the same curve, if it is started again with the same arguments. The
output folder holds `metrics.jsonl`, `curve.png`, `model/`, `run.json` and `evaluation-SPLIT.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    model: str
    "folder or hub name of the model to start from"
    output: Path
    "folder of the run"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML; by default completions are appended to the request"
    data_dir: Path | None = None
    "folder with the data, for ids that need one"
    measure: str = "ndcg@10"
    "measure to evaluate"
    steps: int = 200
    "batches of rollouts"
    prompts: int = 32
    "requests per batch"
    group_size: int = 16
    "completions per request"
    reads: str = ""
    "what the model reads of a row: messages, prompt or text; by default the model's own setting, as for the next two"
    max_new_tokens: int = 0
    "maximum number of tokens of a completion"
    max_prompt_tokens: int = 0
    "maximum number of tokens of a prompt; a longer one loses its beginning"
    temperature: float = 1.0
    "temperature of the draws in training; evaluation decodes greedily"
    learning_rate: float = 1e-3
    "learning rate of AdamW"
    warmup: int = 5
    "steps until the learning rate is reached"
    updates: int = 1
    "optimiser steps per batch"
    micro_batch: int = 256
    "completions per forward pass; gradients are accumulated"
    floor_steps: int = 0
    "initial steps in which a return below that of the empty completion is raised to it"
    positive: bool = False
    "learn only from completions above their group's mean"
    clip: float = 0.2
    "the ratio of new to old probability is clipped to 1 - clip ... 1 + clip"
    clip_gradient: float = 1.0
    "maximum norm of a gradient"
    divide: bool = True
    "divide a group's advantages by its standard deviation"
    damping: float = 0.05
    "added to that deviation, so that tiny differences stay small"
    kl: float = 0.0
    "weight of the divergence from the initial model"
    entropy: float = 0.0
    "weight of the entropy of the draws, which keeps a policy trying"
    lora_rank: int = 0
    "train a LoRA adapter of this rank instead of all weights; a model that has one needs its rank here"
    bf16: bool = False
    "compute in bfloat16, evaluations too; the weights stay float32"
    device: str = ""
    "by default a GPU, if there is one"
    val_every: int = 20
    "steps between evaluations on val"
    val_requests: int = 200
    "requests of val to evaluate while training; 0 for all"
    test_splits: tuple[str, ...] = ("test",)
    "splits to evaluate once, at the end"
    test_requests: int = 0
    "requests of each of them; 0 for all"
    checkpoint_every: int = 50
    "steps between checkpoints"
    seed: int = 0
    "seed of the draws, of the order of requests and of a new adapter"


def main(arguments: Arguments) -> None:
    """Trains, evaluates on val while training, and on test once at the end."""
    # Imported here, so that --help does not wait for torch.
    from rec_gym.cache import atomic_path
    from rec_gym.progress import track

    from grpo import Trainer
    from runs import RunFolder

    a = arguments
    trainer = Trainer(a)  # first, so that a mistyped argument leaves no folder behind
    folder = RunFolder(a.output, a)
    done = trainer.restore()
    folder.go_on_after(done)
    for number in track(range(done, a.steps), f"Training on {a.id}"):
        found = trainer.step(number)
        if a.val_every and (number + 1) % a.val_every == 0:
            found["val"] = trainer.on_val()
        folder.log(found)
        if (number + 1) % a.checkpoint_every == 0 or number + 1 == a.steps:
            trainer.save(number + 1)
    with atomic_path(a.output / "model") as model:
        trainer.policy.save(model)
    folder.finish(trainer.task, trainer.written, a.test_splits, [a.measure], a.test_requests or None)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
