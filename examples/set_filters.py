"""A policy that learns to set filters from the reward alone, with or without words to add to the request.

    python examples/set_filters.py --output runs/filters                # filters and words
    python examples/set_filters.py --no-words --output runs/filters     # filters alone
    python examples/set_filters.py --no-filters --output runs/words     # words alone

The words are the demo's: up to eight English nouns, drawn independently, behind the request. A filter's value is copied from
the request's text: a number for a column of numbers, one or two words for a column of text. The policy knows the names and kinds
of the columns, and sees neither items nor gains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro

import rec_gym
from rec_gym.evaluation import evaluate
from rec_gym.overrides import overrides_of
from rec_gym.policies.filter_slots import slots_of
from rec_gym.policies.learner import LearnerSettings, SavedWords, WordPolicy, english_nouns
from rec_gym.progress import track

from runs import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    output: Path
    "folder of the run"
    id: str = "RecR1-CornerShopFilters-BM25-v0"
    "environment; its action format holds filters"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML"
    words: bool = True
    "whether words are added to the request"
    filters: bool = True
    "whether filters are set"
    steps: int = 400
    "training steps"
    prompts: int = 64
    "requests per step"
    group_size: int = 16
    "completions per request; their mean reward is the baseline"
    measures: tuple[str, ...] = ("ndcg@10", "constraints@10")
    "measures to evaluate; the first one also on val while training"
    val_every: int = 50
    "steps between evaluations on val; 0 for none"
    test_splits: tuple[str, ...] = ("test", "ood-combination", "ood-phrasing", "ood-type")
    "splits to evaluate once, at the end"
    seed: int = 0
    "seed of the draws and of the order of requests"


def train(a: Arguments, env: Any, log: Callable[[dict[str, float]], None]) -> WordPolicy:
    """Trains a policy; logs each step."""
    task = env.unwrapped.task
    slots = slots_of(task) if a.filters else ()
    policy = WordPolicy(english_nouns() if a.words else [], LearnerSettings(seed=a.seed), slots=slots)
    learner, val = SavedWords(task, policy), task.replace(split="val")
    observations, _ = env.reset(seed=a.seed)
    for step in track(range(1, a.steps + 1), f"Training on {a.id}"):
        start = time.perf_counter()
        texts = observations[:: a.group_size]
        completions, drawn = learner.sample(texts, a.group_size)
        observations, rewards, *_ = env.step(completions)
        found: dict[str, float] = {"step": step, **learner.learn(texts, drawn, rewards)}
        found["seconds"] = time.perf_counter() - start
        if a.val_every and step % a.val_every == 0:
            found["val"] = float(evaluate(val, learner, measures=a.measures).values(a.measures[0]).mean())
        log(found)
    return policy


def main(a: Arguments) -> None:
    """Trains, evaluates once, and saves the results."""
    if not (a.words or a.filters):
        raise SystemExit("a policy without words and without filters has nothing to learn; leave one of the two")
    settings = overrides_of(None, a.set)
    env: Any = gym.make_vec(
        rec_gym.find_id(a.id),
        num_envs=a.prompts * a.group_size,
        group_size=a.group_size,
        observation="request",
        **settings,
    )
    task = env.unwrapped.task
    if task.turns.limit > 1:
        raise SystemExit(f"the request is all that is read, in one turn; {a.id} needs --set turns=1")
    folder = RunFolder(a.output, a)  # last, so that a mistyped argument leaves no folder behind
    folder.go_on_after(0)
    policy = train(a, env, folder.log)
    policy.save(a.output / "policy.npz")
    folder.finish(task, SavedWords(task, policy), a.test_splits, a.measures)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
