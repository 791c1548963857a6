"""The trainer of `train_grpo.py`: draws groups of completions, and learns from their differences.

Group Relative Policy Optimization (Shao et al. 2024) with a clipped objective, in plain torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
import numpy as np
import torch
from peft import PeftModel

import rec_gym
from rec_gym.cache import atomic_path
from rec_gym.evaluation import evaluate
from rec_gym.loop.sampling import RequestSampler
from rec_gym.overrides import overrides_of

from hf_policy import HFPolicy, Samples

if TYPE_CHECKING:
    from train_grpo import Arguments


@dataclass(eq=False)
class Turn:
    """What the members wrote in one turn.

    Attributes:
        members: int [n].
        samples: n completions.
        logs: their log-probabilities under the policy that drew them; None if it is still the same.
    """

    members: np.ndarray
    samples: Samples
    logs: torch.Tensor | None = None


class Trainer:
    """The policy, its optimiser, and the environments it plays in."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = a = arguments
        if a.model.endswith(".gguf"):
            raise SystemExit("a GGUF file can be evaluated, not trained; unpack it into a folder, see make_model.py")
        if a.kl and a.positive:
            raise SystemExit("--kl is estimated from all draws of the policy; leave --positive out")
        members = a.prompts * a.group_size
        settings = {"action": "append"} | overrides_of(a.data_dir, a.set)
        env: Any = gym.make_vec(rec_gym.find_id(a.id), num_envs=members, group_size=a.group_size, **settings)
        self.env, self.task = env, cast("rec_gym.Task", env.unwrapped.task)
        # Made now, so that a missing split is reported before the work and not after it.
        self.val = self.task.replace(split="val") if a.val_every else None
        for split in a.test_splits:
            self.task.replace(split=split)
        self.sampler = RequestSampler(len(self.task), a.seed)
        # A LoRA adapter names the folder of its base model: as an absolute path, so that it loads from anywhere.
        model = str(Path(a.model).resolve()) if Path(a.model).exists() else a.model
        self.policy = HFPolicy(model, lora_rank=a.lora_rank, device=a.device, seed=a.seed)
        if isinstance(self.policy.model, PeftModel) and not a.lora_rank:
            raise SystemExit(f"{a.model} has a LoRA adapter; set --lora-rank to its rank to train it")
        stated = {
            name: getattr(a, name) for name in ("reads", "max_new_tokens", "max_prompt_tokens") if getattr(a, name)
        }
        self.policy.settings = replace(self.policy.settings, **stated)
        self.start = HFPolicy(model, device=a.device) if a.kl else None
        self.weights = [weight for weight in self.policy.model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, lr=a.learning_rate, weight_decay=0.0)
        kind = self.policy.device.type
        self.precision = torch.autocast(kind, torch.bfloat16) if a.bf16 else nullcontext()

    def step(self, number: int) -> dict[str, float]:
        """Draws, scores and learns one batch; the draws depend on the seed and the number only."""
        a, start = self.arguments, time.perf_counter()
        first = number * a.prompts
        ids = [self.task.request_ids[self.sampler.at(0, first + place)] for place in range(a.prompts)]
        turns, returns, said = self.play(ids, seed=(a.seed << 32) + number)
        drawn = time.perf_counter()
        groups = returns.reshape(a.prompts, a.group_size)
        if number < a.floor_steps:
            # A policy that knows nothing yet mostly does harm, and would learn to write words without effect.
            groups = np.maximum(groups, self.task.score(ids, [""] * len(ids)).rewards[:, None])
        deviation = groups.std(axis=1, keepdims=True)
        flat = deviation <= 1e-9  # such a group teaches nothing; it is counted, and not computed
        scale = np.where(flat, 1.0, deviation + a.damping) if a.divide else 1.0
        advantages = (groups - groups.mean(axis=1, keepdims=True)) / scale
        learnt = np.repeat(~flat.ravel(), a.group_size)
        if a.positive:
            learnt &= advantages.ravel() > 0
        rate = a.learning_rate * min(1.0, (number + 1) / max(1, a.warmup))
        found = self.learn(turns, advantages.ravel(), learnt, rate, np.random.default_rng([a.seed, number]))
        stats = {key: float(values.mean()) for key, values in said.items()}
        return {
            "step": number + 1,
            "reward": float(returns.mean()),
            "best_of_group": float(returns.reshape(groups.shape).max(axis=1).mean()),
            "flat_groups": float(flat.mean()),
            **stats,
            **found,
            "learning_rate": rate,
            "seconds_rollout": drawn - start,
            "seconds_learn": time.perf_counter() - drawn,
        }

    @torch.no_grad()
    def play(self, ids: list[str], seed: int) -> tuple[list[Turn], np.ndarray, dict[str, np.ndarray]]:
        """An episode of every member: its turns, each member's return, and what its first text and all its lengths are like."""
        self.env.reset(options={"request_ids": ids})
        returns, running = np.zeros(self.env.num_envs), np.ones(self.env.num_envs, bool)
        turns: list[Turn] = []
        said: dict[str, np.ndarray] = {}
        while running.any():
            members = np.flatnonzero(running)
            rows = self.task.rows_of([self.env.unwrapped.episodes[member] for member in members])
            with self.precision:
                samples = self.policy.sample(rows, self.arguments.temperature, seed=seed + (len(turns) << 20))
            # A member that has ended continues on another request, and is ignored.
            actions = np.full(self.env.num_envs, "", dtype=object)
            actions[members] = samples.texts
            _, rewards, ended, *_ = self.env.step(actions.tolist())
            returns[members] += rewards[members]
            outcome = self.env.unwrapped.last_outcome
            said = said or {**outcome.text_stats, "parse_ok": outcome.parse_ok}
            turns.append(Turn(members, samples))
            running &= ~ended
        samples = [turn.samples for turn in turns]
        said["prompts_cut"] = torch.cat([one.cut[one.prompt_of] for one in samples]).cpu().numpy()
        said["completions_cut"] = torch.cat([~one.ended for one in samples]).cpu().numpy()
        return turns, returns, said

    def learn(
        self, turns: list[Turn], advantages: np.ndarray, learnt: np.ndarray, rate: float, random: np.random.Generator
    ) -> dict[str, float]:
        """Ascends the clipped objective, `updates` times over equal parts of the batch."""
        a = self.arguments
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parts = [(turn, place) for turn in turns for place in np.flatnonzero(learnt[turn.members])]
        if a.updates > 1:
            self.remember(turns)
        sums: dict[str, float] = dict.fromkeys(("tokens", "entropy", "clipped", "kl", "gradient"), 0.0)
        for chosen in np.array_split(random.permutation(len(parts)), a.updates):
            size = sum(int(parts[part][0].samples.written[parts[part][1]].sum()) for part in chosen)
            for turn, places in micro_batches([parts[part] for part in chosen], a.micro_batch):
                self.backward(turn, places, advantages[turn.members[places]], size, sums)
            if size:
                sums["gradient"] += float(self.clip_gradient()) / a.updates
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
        tokens = max(1.0, sums.pop("tokens"))
        return {key: value / (1.0 if key == "gradient" else tokens) for key, value in sums.items()}

    def clip_gradient(self) -> torch.Tensor:
        """Clips the gradient and returns its norm; one that is not finite ends the run, before it spoils the weights."""
        return torch.nn.utils.clip_grad_norm_(self.weights, self.arguments.clip_gradient, error_if_nonfinite=True)

    def backward(self, turn: Turn, places: np.ndarray, advantages: np.ndarray, size: int, sums: dict) -> None:
        """Adds the gradient of some completions; every token of the optimiser step has the same weight, 1 / size."""
        a, samples = self.arguments, turn.samples.take(places)
        weighed = torch.tensor(advantages, dtype=torch.float32, device=self.policy.device)[:, None]
        with self.precision:
            logs, entropy = self.policy.log_probs(samples, a.temperature)
        old = logs.detach() if turn.logs is None else turn.logs[torch.as_tensor(places), : logs.shape[1]]
        ratio = torch.exp(logs - old)
        gain = torch.minimum(ratio * weighed, ratio.clamp(1 - a.clip, 1 + a.clip) * weighed)
        distance = torch.zeros_like(logs)
        if self.start is not None:
            with torch.no_grad(), self.precision:
                reference, _ = self.start.log_probs(samples, a.temperature)
            apart = reference - logs  # the unbiased estimate that is never negative (Schulman 2020)
            distance = torch.exp(apart) - apart - 1
        objective = (gain + a.entropy * entropy - a.kl * distance) * samples.written
        (-objective.sum() / size).backward()
        sums["tokens"] += float(samples.written.sum())
        sums["entropy"] += float((entropy.detach() * samples.written).sum())
        sums["kl"] += float((distance.detach() * samples.written).sum())
        sums["clipped"] += float((((ratio - 1).abs() > a.clip) * samples.written).sum())

    @torch.no_grad()
    def remember(self, turns: list[Turn]) -> None:
        """Stores the log-probabilities of the policy that drew, for several updates."""
        for turn in turns:
            parts = np.array_split(np.arange(len(turn.members)), -(-len(turn.members) // self.arguments.micro_batch))
            width = turn.samples.written.shape[1]
            with self.precision:
                logs = [self.policy.log_probs(turn.samples.take(part), self.arguments.temperature)[0] for part in parts]
            turn.logs = torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in logs])

    def written(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """The policy in the precision of training; the recommender keeps its own."""
        with self.precision:
            return self.policy(rows)

    def on_val(self) -> float:
        """Mean of the measure on some requests of val, with the likeliest tokens."""
        assert self.val is not None
        measure, requests = self.arguments.measure, self.arguments.val_requests or None
        found = evaluate(self.val, self.written, measures=[measure], requests=requests)
        return float(found.values(measure).mean())

    def save(self, steps: int) -> None:
        """A checkpoint; the previous one is removed when this one is complete."""
        with atomic_path(self.arguments.output / "checkpoint") as folder:
            self.policy.save(folder)
            torch.save({"steps": steps, "optimiser": self.optimiser.state_dict()}, folder / "training.pt")

    def restore(self) -> int:
        """Restores the checkpoint, if there is one; returns the number of steps before it."""
        folder = self.arguments.output / "checkpoint"
        if not folder.is_dir():
            return 0
        kept = torch.load(folder / "training.pt", map_location="cpu", weights_only=True)
        self.policy.restore(folder)
        self.optimiser.load_state_dict(kept["optimiser"])
        return kept["steps"]


def micro_batches(parts: list[tuple[Turn, int]], size: int) -> Iterator[tuple[Turn, np.ndarray]]:
    """Completions of one turn together, at most `size`."""
    for turn in {id(turn): turn for turn, _ in parts}.values():
        places = np.sort([place for other, place in parts if other is turn])
        for start in range(0, len(places), size):
            yield turn, places[start : start + size]
