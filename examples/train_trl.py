"""GRPO by TRL's trainer on one of rec_gym's environments, over one turn or several.

    python examples/train_trl.py                                              # a tiny random model, on a CPU
    python examples/train_trl.py --model models/smollm2 --lora_rank 16        # a folder or a hub name
    python examples/train_trl.py --turns 3 --model Qwen/Qwen2.5-0.5B-Instruct # searches are calls of a tool

It evaluates on val while it trains, and on test once, at the end. Needs `pip install 'rec-gym[train]'`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
    set_seed,
)
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import parse_response, qwen2_5_chat_template

import rec_gym
from rec_gym.adapters.trl import TaskReward, ToolPolicy, environment_factory, log_episodes, make_dataset
from rec_gym.evaluation import compare, evaluate, print_report, save_json
from rec_gym.policies import make_policy


def option(default: Any, text: str) -> Any:
    """A field of the arguments with its line of help."""
    return field(default=default, metadata={"help": text})


@dataclass
class Arguments:
    """What can be set on the command line."""

    id: str = option("", "Environment; by default CornerShop's, with several turns the one that refines.")
    model: str = option("tiny", "A folder, a hub name, or tiny: random weights and a tokenizer made on the spot.")
    output: str = option("trl_run", "The folder for the trained model and results.json.")
    turns: int = option(1, "Searches in an episode; more than one are calls of a tool.")
    reward: str = option("ndcg@10", "The measure that is rewarded.")
    items: int = option(0, "Items of the CornerShop; 0 leaves it as it is.")
    steps: int = option(100, "Steps of the optimizer.")
    group_size: int = option(8, "Completions of a request.")
    groups: int = option(8, "Requests a step.")
    accumulate: int = option(1, "Parts into which a step is split, to save memory.")
    learning_rate: float = option(1e-4, "Of AdamW.")
    beta: float = option(0.0, "Weight of the KL penalty.")
    lora_rank: int = option(0, "Trains a LoRA adapter of this rank; 0 for all weights.")
    max_tokens: int = option(0, "Tokens of a completion, a tool's answers included; 0 for 32, or 256 a turn.")
    eval_every: int = option(25, "Steps between evaluations on val; 0 for none.")
    eval_batch: int = option(64, "Completions at once in an evaluation.")
    seed: int = option(0, "Of everything that is drawn.")


class Writer:
    """The model's likeliest completions; as a policy: rows in, texts out."""

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self.model, self.tokenizer, self.max_tokens = model, tokenizer, max_tokens

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """A completion for each row."""
        key = "messages" if self.tokenizer.chat_template else "prompt"
        return self.tokenizer.batch_decode(self.tokens([row[key] for row in rows]), skip_special_tokens=True)

    def with_tools(self, talks: list[list[dict[str, Any]]], tools: list[Any]) -> list[dict[str, Any]]:
        """The next message of each talk."""
        return [parse_response(self.tokenizer, tokens) for tokens in self.tokens(talks, tools)]

    @torch.no_grad()
    def tokens(self, prompts: list[Any], tools: list[Any] | None = None) -> list[list[int]]:
        """What follows each prompt, a text or a list of messages."""
        chat = not isinstance(prompts[0], str)
        if chat:
            template = self.tokenizer.apply_chat_template
            prompts = template(prompts, tools=tools, add_generation_prompt=True, tokenize=False)
        read = self.tokenizer(
            prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=not chat
        ).to(self.model.device)
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        training = self.model.training
        self.model.eval()
        tokens = self.model.generate(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            max_new_tokens=self.max_tokens,
            do_sample=False,
            repetition_penalty=1.0,  # training draws without the penalty that a model's own config may state
            eos_token_id=end,
            pad_token_id=pad,
        )
        self.model.train(training)
        written = tokens[:, read["input_ids"].shape[1] :].tolist()
        return [row[: next((i for i, token in enumerate(row) if token in (end, pad)), len(row))] for row in written]


class EvaluateOnVal(TrainerCallback):
    """Calls `score()` before the first step and then every so many steps, and keeps the means."""

    def __init__(self, score: Any, every: int) -> None:
        self.score, self.every, self.curve = score, every, []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        self.on_step_end(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer."""
        if self.every and state.is_world_process_zero and state.global_step % self.every == 0:
            scored = self.score()
            means = {name: float(scored.values(name).mean()) for name in (*scored.measures, "reward")}
            self.curve.append({"step": state.global_step} | means)
            print(f"val after {state.global_step} steps:", {k: round(v, 4) for k, v in means.items()}, flush=True)


def tiny(task: rec_gym.Task, seed: int = 0) -> tuple[Any, Any]:
    """A Llama with random weights, and a tokenizer trained on the task's prompts, with a chat template that has tools."""
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


def make_trainer(arguments: Arguments, task: rec_gym.Task, model: Any, tokenizer: Any, max_tokens: int) -> GRPOTrainer:
    """The trainer: a reward function for one turn, an environment with a tool for several."""
    several = task.turns.limit > 1
    prompt = "tools" if several else "messages" if tokenizer.chat_template else "text"
    config = GRPOConfig(
        output_dir=arguments.output,
        max_steps=arguments.steps,
        num_generations=arguments.group_size,
        per_device_train_batch_size=arguments.group_size * arguments.groups // arguments.accumulate,
        gradient_accumulation_steps=arguments.accumulate,
        max_completion_length=max_tokens,
        learning_rate=arguments.learning_rate,
        beta=arguments.beta,
        seed=arguments.seed,
        bf16=torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return GRPOTrainer(
        model,
        reward_funcs=log_episodes if several else TaskReward(task),
        args=config,
        train_dataset=make_dataset(task, prompt=prompt),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=arguments.lora_rank, target_modules="all-linear") if arguments.lora_rank else None,
        environment_factory=environment_factory(task) if several else None,
    )


def train(arguments: Arguments) -> None:
    """Trains, evaluates and saves."""
    several = arguments.turns > 1
    name = arguments.id or f"RecR1-CornerShop{'Refine' if several else ''}-BM25-v0"
    shop = {"items": arguments.items} if arguments.items else {}
    task = rec_gym.make_task(name, turns=arguments.turns, reward=arguments.reward, **shop)
    if arguments.model == "tiny":
        model, tokenizer = tiny(task, arguments.seed)
    else:
        model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(arguments.model, padding_side="left")
    max_tokens = arguments.max_tokens or (256 * arguments.turns if several else 32)
    trainer = make_trainer(arguments, task, model, tokenizer, max_tokens)

    def score(split: str, name: str) -> Any:
        on = task.replace(split=split)
        writer = Writer(trainer.accelerator.unwrap_model(trainer.model), tokenizer, max_tokens)
        policy = ToolPolicy(on, writer.with_tools) if several else writer
        return evaluate(on, policy, name=name, seed=arguments.seed, batch_size=arguments.eval_batch)

    val = EvaluateOnVal(lambda: score("val", "val"), arguments.eval_every)
    trainer.add_callback(val)
    trainer.train()
    if trainer.accelerator.is_main_process:
        raw = evaluate(task.replace(split="test"), make_policy("raw", task), seed=arguments.seed)
        comparison = compare([raw, score("test", "trained")])
        print_report(comparison)
        record = {"arguments": asdict(arguments), "val": val.curve, "log": trainer.state.log_history}
        save_json(Path(arguments.output) / "results.json", comparison, record)
        trainer.save_model(arguments.output)


if __name__ == "__main__":
    train(HfArgumentParser(Arguments).parse_args_into_dataclasses()[0])
