"""GRPO by TRL's trainer on one of rec_gym's environments; the ranking measure is the only reward.

    python examples/train_trl.py                                       # a tiny random model, on a CPU
    python examples/train_trl.py --model models/smollm2 --lora-rank 16 --output runs/smollm2
    python examples/train_trl.py --model Qwen/Qwen2.5-0.5B-Instruct --id RecR1-CornerShopRefine-BM25-v0

In an environment of several turns each search is a tool call. The output folder holds `metrics.jsonl`, `curve.png`,
`model/`, `run.json` and `evaluation-SPLIT.json`. Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen2_5_chat_template

import rec_gym
from rec_gym.adapters.trl import TaskReward, ToolPolicy, environment_factory, log_episodes, make_dataset
from rec_gym.cache import atomic_path, write_json
from rec_gym.evaluation import evaluate
from rec_gym.overrides import overrides_of
from rec_gym.progress import Bar

from hf_policy import SETTINGS, PolicySettings, load
from runs import RunFolder
from trl_policy import TrainerPolicy


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    model: str = "tiny"
    "folder or hub name of the model to start from, or tiny: random weights and a tokenizer made on the spot"
    output: Path = Path("runs/trl")
    "folder of the run"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML"
    data_dir: Path | None = None
    "folder with the data, for ids that need one"
    measure: str = "ndcg@10"
    "measure to evaluate, on val and at the end, whatever the reward"
    steps: int = 100
    "optimiser steps, one per batch of rollouts"
    prompts: int = 8
    "requests per batch and process"
    group_size: int = 8
    "completions per request"
    max_new_tokens: int = 0
    "maximum number of tokens of a completion, over several turns including the tool's answers; 0 for 32, or 256 per turn"
    temperature: float = 1.0
    "temperature of the draws in training; evaluation decodes greedily"
    learning_rate: float = 1e-4
    "initial learning rate of AdamW; it decreases to 0 at the last step"
    micro_batch: int = 64
    "completions per pass, which must divide prompts * group_size; gradients are accumulated"
    kl: float = 0.0
    "weight of the divergence from the initial model"
    lora_rank: int = 0
    "train a LoRA adapter of this rank instead of all weights"
    bf16: bool = False
    "compute in bfloat16; the weights stay float32"
    val_every: int = 20
    "steps between evaluations on val; 0 for none"
    val_requests: int = 200
    "requests of val to evaluate while training; 0 for all"
    val_batch: int = 64
    "completions per batch in an evaluation"
    test_splits: tuple[str, ...] = ("test",)
    "splits to evaluate once, at the end"
    test_requests: int = 0
    "requests of each of them; 0 for all"
    seed: int = 0
    "seed of everything that is drawn"


class Curve(TrainerCallback):
    """Logs the numbers of each step, and evaluates on val."""

    def __init__(self, folder: RunFolder, on_val: Callable[[], float], every: int, bar: Bar) -> None:
        self.folder, self.on_val, self.every, self.bar = folder, on_val, every, bar

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        """Called by the trainer after each step, and once more at the end, without a reward."""
        if "reward" not in logs:
            return
        numbers = {key: value for key, value in logs.items() if isinstance(value, (int, float))}
        found = {"step": state.global_step, **numbers}
        if self.every and state.global_step % self.every == 0:
            found["val"] = self.on_val()
        self.folder.log(found)
        self.bar.advance()


def tiny(task: rec_gym.Task, seed: int = 0) -> tuple[Any, Any]:
    """A Llama with random weights, and a tokenizer trained on the task's prompts, with a chat template that supports tools."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe = trainers.BpeTrainer(vocab_size=1024, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((row["prompt"] for row in task.rows()), bpe)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    fast.chat_template = qwen2_5_chat_template
    config = LlamaConfig(vocab_size=len(fast), hidden_size=64, intermediate_size=128, num_hidden_layers=2)
    config.update({"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "bos_token_id": None})
    config.update({"eos_token_id": fast.eos_token_id, "pad_token_id": fast.pad_token_id})
    set_seed(seed)
    return LlamaForCausalLM(config), fast


def make_trainer(a: Arguments, task: rec_gym.Task) -> GRPOTrainer:
    """The trainer: a reward function for one turn, an environment with a tool for several."""
    members, several = a.prompts * a.group_size, task.turns.limit > 1
    if members % min(a.micro_batch, members):
        raise SystemExit(f"--micro-batch must divide prompts * group_size, {members}; {a.micro_batch} does not")
    for split in (*a.test_splits, *(["val"] if a.val_every else [])):
        task.replace(split=split)  # a missing one is better reported before the training than after it
    set_seed(a.seed)
    # A LoRA adapter names the folder of its base model: as an absolute path, so that it loads from anywhere.
    path = str(Path(a.model).resolve()) if Path(a.model).exists() else a.model
    model, tokenizer = tiny(task, a.seed) if a.model == "tiny" else load(path)
    config = GRPOConfig(
        output_dir=str(a.output),
        max_steps=a.steps,
        num_generations=a.group_size,
        per_device_train_batch_size=min(a.micro_batch, members),
        gradient_accumulation_steps=max(1, members // a.micro_batch),
        max_completion_length=a.max_new_tokens or (256 * task.turns.limit if several else 32),
        max_tool_calling_iterations=task.turns.limit + 1,  # the last titles are read too
        temperature=a.temperature,
        learning_rate=a.learning_rate,
        beta=a.kl,
        seed=a.seed,
        bf16=a.bf16,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model,
        reward_funcs=log_episodes if several else TaskReward(task),
        args=config,
        train_dataset=make_dataset(task, "tools" if several else "messages" if tokenizer.chat_template else "text"),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=a.lora_rank, lora_alpha=2 * a.lora_rank, target_modules="all-linear")
        if a.lora_rank
        else None,
        environment_factory=environment_factory(task) if several else None,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def main(a: Arguments) -> None:
    """Trains, evaluates on val while training, and on the test splits once at the end; one process evaluates."""
    task = rec_gym.make_task(a.id, **overrides_of(a.data_dir, a.set))
    if a.steps < 1:
        raise SystemExit(
            "--steps must be at least 1: TRL would take 0 for whole epochs; evaluate a model as hf_policy.py"
        )
    trainer = make_trainer(a, task)  # first, so that a mistyped argument leaves no folder behind
    if not trainer.is_world_process_zero():
        trainer.train()
        return
    folder = RunFolder(a.output, a)
    folder.go_on_after(0)
    policy: Any = TrainerPolicy(trainer, a.val_batch)
    if task.turns.limit > 1:
        policy = ToolPolicy(task.replace(split="all"), policy.with_tools, trainer.max_tool_calling_iterations)

    def on_val() -> float:
        val, requests = task.replace(split="val"), a.val_requests or None
        found = evaluate(val, policy, measures=[a.measure], requests=requests, progress=False)
        return float(found.values(a.measure).mean())

    with Bar(f"Training on {a.id}", a.steps) as bar:
        trainer.add_callback(Curve(folder, on_val, a.val_every, bar))
        trainer.train()
    with atomic_path(a.output / "model") as model:
        trainer.save_model(str(model))
        if task.turns.limit == 1:
            settings = PolicySettings(max_new_tokens=trainer.max_completion_length, batch_size=a.val_batch)
            write_json(model / SETTINGS, asdict(settings))
    folder.finish(task, policy, a.test_splits, [a.measure], a.test_requests or None)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
