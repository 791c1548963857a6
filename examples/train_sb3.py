"""PPO of Stable-Baselines3: a softmax over nouns learns which words to add to a request.

    python examples/train_sb3.py --output runs/sb3
    rec-gym evaluate RecR1-CornerShop-BM25-v0 --set action=append --split test \
        --policy raw,rec_gym.adapters.sb3:load_policy:runs/sb3/policy

The output folder holds `policy/`, `metrics.jsonl` (the curve), `run.json` (with the curve and the arguments) and
`evaluation-SPLIT.json`. Needs the extra `sb3`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from rec_gym.adapters.sb3 import (
    MaskableWordSlotsPolicy,
    QueryEditVecEnv,
    SB3Policy,
    WordSlotsPolicy,
    make_sb3_env,
)
from rec_gym.evaluation import evaluate
from rec_gym.overrides import overrides_of
from rec_gym.progress import Bar

from runs import RunFolder

# Defaults that `--set` overrides; ndcg@100 distinguishes completions that ndcg@10 does not.
SETTINGS = {"action": "append", "reward": {"measure": "ndcg@100", "terms": {"ndcg@10": 1.0}}}


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    output: Path = Path("runs/sb3")
    "folder of the run"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML; by default completions are appended, and NDCG@100 + NDCG@10"
    data_dir: Path | None = None
    "folder with the data, for ids that need one"
    measure: str = "ndcg@10"
    "measure to evaluate, on val and at the end, whatever the reward"
    algorithm: Literal["ppo", "maskable"] = "ppo"
    "maskable: MaskablePPO, which writes no word that is already in the request"
    rollouts: int = 300
    "batches of experience"
    members: int = 1024
    "parallel episodes"
    steps: int = 1
    "turns per member and rollout"
    vocabulary: Path | None = None
    "file of the words that can be written, one per line; by default 1,199 English nouns"
    slots: int = 8
    "maximum number of words in a completion"
    buckets: int = 4096
    "length of the vector into which words and word pairs are hashed"
    baseline: Literal["raw", "none"] = "raw"
    "raw: learn from the reward above that of the request's own text"
    learning_rate: float = 0.04
    "learning rate of Adam"
    epochs: int = 4
    "passes over each rollout"
    batch_size: int = 1024
    "completions per optimiser step"
    clip: float = 0.2
    "the ratio of new to old probability is clipped to 1 - clip ... 1 + clip"
    entropy: float = 0.01
    "weight of the entropy of the draws, which keeps words alive that help few requests"
    gamma: float = 0.0
    "discount: 0 for episodes of one turn, 1 for several"
    val_every: int = 20
    "rollouts between evaluations on val; 0 for none"
    test_splits: tuple[str, ...] = ("test", "ood-combination", "ood-phrasing", "ood-type")
    "splits to evaluate once, at the end"
    threads: int = 1
    "threads of torch; more than one only slows down networks as small as these"
    seed: int = 0
    "seed of the draws and of the order of requests"


def make_env(a: Arguments) -> QueryEditVecEnv:
    """The environment that the arguments describe.

    Raises:
        SystemExit: a split to be evaluated at the end is not there; better said before the training than after it.
    """
    vocabulary = a.vocabulary.read_text(encoding="utf-8").split("\n") if a.vocabulary else None
    env = make_sb3_env(
        a.id,
        a.members,
        vocabulary=[word for word in vocabulary if word.strip()] if vocabulary else None,
        slots=a.slots,
        buckets=a.buckets,
        baseline=None if a.baseline == "none" else a.baseline,
        **SETTINGS | overrides_of(a.data_dir, a.set),
    )
    there = env.task.dataset.splits
    for split in (*a.test_splits, *(["val"] if a.val_every else [])):
        if split not in there:
            raise SystemExit(f"{a.id} has no split {split!r}; choose from: {', '.join(there)}")
    return env


def make_model(a: Arguments, env: QueryEditVecEnv) -> PPO | MaskablePPO:
    """The algorithm with its networks."""
    algorithm, policy = (MaskablePPO, MaskableWordSlotsPolicy) if a.algorithm == "maskable" else (PPO, WordSlotsPolicy)
    return algorithm(
        policy,
        env,
        n_steps=a.steps,
        batch_size=a.batch_size,
        n_epochs=a.epochs,
        gamma=a.gamma,
        learning_rate=a.learning_rate,
        clip_range=a.clip,
        ent_coef=a.entropy,
        device="cpu",
        seed=a.seed,
    )


class Curve(BaseCallback):
    """Logs the numbers of each rollout, and evaluates on val."""

    def __init__(self, a: Arguments, folder: RunFolder, on_val: Callable[[], float], bar: Bar) -> None:
        super().__init__()
        self.a, self.folder, self.on_val, self.bar = a, folder, on_val, bar
        self.rollouts, self.seconds, self.start = 0, 0.0, time.perf_counter()
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True

    def _on_rollout_start(self) -> None:
        if self.n_calls:  # by now the rollout before has been learned from
            self.keep()

    def _on_training_end(self) -> None:
        self.keep()

    def keep(self) -> None:
        """Logs what the last rollout earned, in the task's own reward, and what the optimiser says about it."""
        self.rollouts += 1
        self.seconds += time.perf_counter() - self.start
        said = {key: float(value) for key, value in self.logger.name_to_value.items()}
        found = {"step": self.rollouts, "seconds": self.seconds, "entropy": -said["train/entropy_loss"]}
        found |= {key: said[f"train/{key}"] for key in ("approx_kl", "clip_fraction", "explained_variance")}
        if self.returns:
            found["reward"] = float(np.mean(self.returns))
        if self.a.val_every and self.rollouts % self.a.val_every == 0:
            found["val"] = self.on_val()
        self.folder.log(found)
        self.bar.advance()
        self.returns, self.start = [], time.perf_counter()  # the time that val takes is not training


def main(a: Arguments) -> None:
    """Trains, evaluates on val while training, and on the test splits once at the end."""
    torch.set_num_threads(a.threads)
    env = make_env(a)
    folder = RunFolder(a.output, a)
    folder.go_on_after(0)
    model = make_model(a, env)
    held: Any = env.task.replace(reward=a.measure)  # evaluated with the measure itself, not with the training's reward
    policy = SB3Policy(model, env.edits, held)

    def on_val() -> float:
        val = evaluate(held.replace(split="val"), policy, measures=[a.measure], progress=False)
        return float(val.values(a.measure).mean())

    with Bar(f"Training on {a.id}", a.rollouts) as bar:
        rollout = a.members * a.steps
        model.learn(a.rollouts * rollout, callback=Curve(a, folder, on_val, bar), log_interval=None)
    policy.save(a.output / "policy")
    folder.finish(held, policy, a.test_splits, [a.measure])


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
