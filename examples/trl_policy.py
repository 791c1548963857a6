"""The model of a TRL trainer as a policy, which reads and writes as in the trainer's own rollouts; see train_trl.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from trl import GRPOTrainer
from trl.chat_template_utils import parse_response

EMPTY = {"role": "assistant", "content": ""}


class TrainerPolicy:
    """Rows in, completions out; over several turns `ToolPolicy(task, policy.with_tools)`.

    Args:
        trainer: its model writes the likeliest tokens, at any time of the training.
        batch: completions that are written at once.
    """

    def __init__(self, trainer: GRPOTrainer, batch: int) -> None:
        self.trainer, self.tokenizer, self.batch = trainer, trainer.processing_class, batch
        self.model = trainer.accelerator.unwrap_model(trainer.model)
        self.most, self.context = trainer.max_completion_length, self.model.config.max_position_embeddings
        self.template = {"chat_template": trainer.chat_template, "return_dict": False, "add_generation_prompt": True}

    def __call__(self, rows: list[dict[str, Any]]) -> list[str]:
        """A completion for each row."""
        if self.tokenizer.chat_template:
            prompts = [self.tokenizer.apply_chat_template(row["messages"], **self.template) for row in rows]
        else:
            prompts = [self.tokenizer(row["prompt"])["input_ids"] for row in rows]
        written = self.write(prompts, [self.most] * len(rows))
        return self.tokenizer.batch_decode(written, skip_special_tokens=True)

    def with_tools(self, talks: list[list[dict[str, Any]]], tools: list[Callable]) -> list[dict[str, Any]]:
        """The next message of each conversation; keeps the tokens up to its end, and how many of them are the prompt.

        As in training the tokens that were written are read again, not the message rendered once more, and the talk with
        its answers has `max_new_tokens`: an answer that does not fit, or no longer fits into the model, ends it.
        """
        read = []
        for talk in talks:
            said = [place for place, message in enumerate(talk) if "tokens" in message]
            if said:
                last, answers = talk[said[-1]], talk[said[-1] + 1 :]
                # The trainer's own: it needs no template that can render several calls in a message.
                read.append((last["tokens"] + self.trainer._get_tool_suffix_ids(answers), last["prompt"]))
            else:
                tokens = self.tokenizer.apply_chat_template(talk, tools=tools, **self.template)
                read.append((tokens, len(tokens)))
        room = [prompt + self.most - len(tokens) if len(tokens) < self.context else 0 for tokens, prompt in read]
        messages = []
        for (tokens, prompt), new in zip(read, self.write([tokens for tokens, _ in read], room), strict=True):
            message = parse_response(self.tokenizer, new, prefix=tokens, tools=tools) if new else EMPTY
            messages.append(message | {"tokens": tokens + new, "prompt": prompt})
        return messages

    @torch.no_grad()
    def write(self, prompts: list[list[int]], room: list[int]) -> list[list[int]]:
        """The tokens that follow each prompt, up to the one that ends them, at most `room`."""
        written: list[list[int]] = [[] for _ in prompts]
        places = [place for place, most in enumerate(room) if most > 0]
        training, pad = self.model.training, self.tokenizer.pad_token_id
        self.model.eval()
        for start in range(0, len(places), self.batch):
            part = places[start : start + self.batch]
            width = max(len(prompts[place]) for place in part)
            padded = [[pad] * (width - len(prompts[place])) + prompts[place] for place in part]
            attention = [[0] * (width - len(prompts[place])) + [1] * len(prompts[place]) for place in part]
            tokens = self.model.generate(
                input_ids=torch.tensor(padded, device=self.model.device),
                attention_mask=torch.tensor(attention, device=self.model.device),
                max_new_tokens=max(room[place] for place in part),
                do_sample=False,
                repetition_penalty=1.0,  # training draws without the penalty that a model's config may state
                eos_token_id=self.trainer.eos_token_ids,
                pad_token_id=pad,
            )
            for place, row in zip(part, tokens[:, width:].tolist(), strict=True):
                ends = [number for number, token in enumerate(row, 1) if token in self.trainer.eos_token_ids]
                written[place] = row[: min([*ends, room[place]])]
        self.model.train(training)
        return written
