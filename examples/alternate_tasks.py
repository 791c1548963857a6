"""Two alternating rewards: the ranking measure, and naming what a request asks for.

    python examples/alternate_tasks.py --auxiliary-every 2 --output runs/alternating   # every second step
    python examples/alternate_tasks.py --auxiliary-every 0 --output runs/metric        # only the measure

The policy is the demo's: up to eight English nouns, drawn independently, that are appended to the request. Both arms take the
same number of steps and see the same requests in the same order.

The two rewards do not know the same. The measure comes from the recommender's ranking and the gains of the request. The
auxiliary reward also reads the catalogue: type, material, colour, size and use of the items that answer a train request
exactly. It tells the policy the shop's own words for the request, which the measure never does. It is made only for train
requests, and the evaluation does not use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import Stemmer
import tyro

import rec_gym
from rec_gym import Task
from rec_gym.dataset import TRAIN
from rec_gym.evaluation import evaluate
from rec_gym.loop.text_stats import text_stats
from rec_gym.overrides import overrides_of
from rec_gym.policies.learner import LearnerSettings, WordPolicy, english_nouns
from rec_gym.progress import track
from rec_gym.words import words

from runs import RunFolder

# Defaults that `--set` overrides.
SETTINGS = {"action": "append", "reward": {"measure": "ndcg@100", "terms": {"ndcg@10": 1.0}}}


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    output: Path
    "folder of the run"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment; the auxiliary task needs one on CornerShop"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML; by default completions are appended, and NDCG@100 + NDCG@10"
    auxiliary_every: int = 2
    "the auxiliary reward pays every so many steps; 0 for only the ranking measure"
    steps: int = 600
    "training steps, including those with the auxiliary reward"
    prompts: int = 64
    "requests per step"
    group_size: int = 16
    "completions per request; their mean reward is the baseline"
    measures: tuple[str, ...] = ("ndcg@10", "ndcg@100", "constraints@10")
    "measures to evaluate; the first one also on val while training"
    val_every: int = 100
    "steps between evaluations on val; 0 for none"
    test_splits: tuple[str, ...] = ("test", "ood-combination", "ood-phrasing", "ood-type")
    "splits to evaluate once, at the end"
    seed: int = 0
    "seed of the draws and of the order of requests"


class Naming:
    """The auxiliary task: name the product type and the attributes that a train request asks for.

    A request's answer is made from the catalogue's columns: the values on which all of its exact items (those with the
    highest gain) agree. Where few items are exact they may agree on more than was asked. A budget is no word of the catalogue
    and is left out. Words are compared by their stems, as BM25 compares them.

    Args:
        task: its split must be train.

    Raises:
        ValueError: the split is another one.
    """

    columns = ("type", "material", "colour", "size", "use")

    def __init__(self, task: Task) -> None:
        if task.split != TRAIN:
            raise ValueError(f"answers are made for train requests only, not for those of {task.split!r}")
        self._stemmer = Stemmer.Stemmer("english")
        dataset = task.dataset
        values = {name: dataset.catalog.values(name) for name in self.columns}
        self.answers: dict[str, str] = {}
        for request_id, row in zip(task.request_ids, task.rows_in_split.tolist(), strict=True):
            gains = dataset.relevant_gains[row]
            exact = dataset.relevant[row][gains == gains.max()]
            shared = [set(column[exact].tolist()) for column in values.values()]
            self.answers[request_id] = " ".join(value for found in shared if len(found) == 1 for value in found)
        self._stems = {request_id: self.stems(answer) for request_id, answer in self.answers.items()}

    def stems(self, text: str) -> frozenset[str]:
        """The stems of a text's words."""
        return frozenset(self._stemmer.stemWords(words(text)))

    def score(self, request_ids: Sequence[str], completions: Sequence[str]) -> np.ndarray:
        """F1 between the written words and those of the answer, float64 [n], from 0 to 1.

        Args:
            request_ids: n train requests.
            completions: n texts.
        """
        rewards = np.zeros(len(completions))
        for place, (request_id, completion) in enumerate(zip(request_ids, completions, strict=True)):
            answer, written = self._stems[request_id], self.stems(completion)
            rewards[place] = 2 * len(answer & written) / max(1, len(answer) + len(written))
        return rewards


def train(a: Arguments, env: Any, log: Callable[[dict[str, float]], None]) -> WordPolicy:
    """Trains a policy with alternating rewards; logs both for each step, and which of them trained."""
    policy = WordPolicy(english_nouns(), LearnerSettings(seed=a.seed))
    task = env.unwrapped.task
    naming = Naming(task) if a.auxiliary_every else None
    observations, infos = env.reset(seed=a.seed)
    for step in track(range(1, a.steps + 1), f"Training on {a.id}"):
        start = time.perf_counter()
        texts, request_ids = observations[:: a.group_size], infos["request_id"]
        completions, drawn = policy.sample(texts, a.group_size)
        said = text_stats(completions, [text for text in texts for _ in range(a.group_size)])
        # The environment is stepped whichever reward trains, so that both arms see the same requests in the same order.
        observations, measured, *_, infos = env.step(completions)
        found: dict[str, float] = {"step": step, "reward": float(measured.mean()), "auxiliary": False}
        paid = measured
        if naming is not None:
            named = naming.score(request_ids, completions)
            found |= {"naming": float(named.mean()), "auxiliary": step % a.auxiliary_every == 0}
            paid = named if found["auxiliary"] else measured
        told = policy.learn(texts, drawn, paid)
        found |= {key: told[key] for key in ("flat_groups", "entropy")}
        found |= {key: float(values.mean()) for key, values in said.items()}
        found["seconds"] = time.perf_counter() - start
        if a.val_every and step % a.val_every == 0:
            on_val = evaluate(task.replace(split="val"), policy, measures=a.measures)
            found["val"] = float(on_val.values(a.measures[0]).mean())
        log(found)
    return policy


def main(a: Arguments) -> None:
    """Trains one arm, evaluates it once, and saves the results."""
    if a.auxiliary_every < 0:
        raise SystemExit(f"--auxiliary-every is 0 (never) or a number of steps, not {a.auxiliary_every}")
    settings = SETTINGS | overrides_of(None, a.set)
    env: Any = gym.make_vec(
        rec_gym.find_id(a.id), num_envs=a.prompts * a.group_size, group_size=a.group_size, **settings
    )
    if env.unwrapped.task.turns.limit > 1:
        raise SystemExit(f"words are drawn from the request only, in one turn; {a.id} needs --set turns=1")
    folder = RunFolder(a.output, a)  # last, so that a mistyped argument leaves no folder behind
    folder.go_on_after(0)
    policy = train(a, env, folder.log)
    policy.save(a.output / "policy.npz")
    folder.finish(env.unwrapped.task, policy, a.test_splits, a.measures)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
