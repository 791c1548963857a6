"""A Hugging Face causal language model as a policy.

    rec-gym evaluate RecR1-CornerShop-BM25-v0 --set action=append --policy raw,examples/hf_policy.py:HFPolicy:PATH

PATH is a folder, a GGUF file or a hub name; a folder may hold a LoRA adapter. `HFPolicy` decodes greedily,
`HFSampler` draws. Needs the extra `train`: `pip install -c constraints.txt -e '.[train]'`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from rec_gym.cache import write_json

SETTINGS = "policy.json"  # beside the weights, so that a saved policy reads and writes as it was trained


@dataclass(frozen=True)
class PolicySettings:
    """How a policy reads a row and writes a completion.

    Attributes:
        reads: `"messages"` through the tokenizer's chat template, `"prompt"` as one text, `"text"` the bare request, or
            `"auto"`: messages where there is a chat template, else the prompt.
        max_new_tokens: maximum number of tokens of a completion.
        max_prompt_tokens: a longer prompt loses its beginning.
        temperature: of the draws; 0 for greedy decoding.
        batch_size: completions per batch.
    """

    reads: str = "auto"
    max_new_tokens: int = 32
    max_prompt_tokens: int = 1024
    temperature: float = 0.0
    batch_size: int = 64


class Samples(NamedTuple):
    """Completions as tokens: n of them, to p different prompts.

    Attributes:
        prompts: int64 [p, P], padded on the left.
        attention: int64 [p, P], 1 where a token counts.
        cut: bool [p], prompts that were too long and have lost their beginning.
        prompt_of: int64 [n], the prompt of each completion.
        completions: int64 [n, C], padded on the right.
        written: bool [n, C], the completion's own tokens, the one that ends it included.
        ended: bool [n], completions that came to an end; the others were cut off.
        texts: n completions.
    """

    prompts: torch.Tensor
    attention: torch.Tensor
    cut: torch.Tensor
    prompt_of: torch.Tensor
    completions: torch.Tensor
    written: torch.Tensor
    ended: torch.Tensor
    texts: list[str]

    def take(self, places: Sequence[int] | np.ndarray) -> Samples:
        """Some of the completions and their prompts, without columns that hold padding only."""
        chosen = torch.as_tensor(places, device=self.prompts.device)
        prompts, prompt_of = torch.unique(self.prompt_of[chosen], return_inverse=True)
        first = int(self.attention[prompts].any(dim=0).long().argmax())
        first = min(first, self.prompts.shape[1] - 2)
        length = int(self.written[chosen].sum(dim=1).max())
        return Samples(
            self.prompts[prompts, first:],
            self.attention[prompts, first:],
            self.cut[prompts],
            prompt_of,
            self.completions[chosen, :length],
            self.written[chosen, :length],
            self.ended[chosen],
            [self.texts[place] for place in chosen.tolist()],
        )


class HFPolicy:
    """Rows in, completions out.

    Args:
        path: a folder, a GGUF file or a hub name.
        settings: by default those that were saved with the model, else `PolicySettings()`.
        lora_rank: adds a LoRA adapter of this rank, or trains the one that is saved there; 0 adds none.
        dtype: of the weights.
        device: by default a GPU where there is one.
        seed: of the draws, and of a new adapter's weights.

    Raises:
        ValueError: there is an adapter of another rank.
    """

    temperature: float | None = None  # of a class that draws

    def __init__(
        self,
        path: str,
        settings: PolicySettings | None = None,
        *,
        lora_rank: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str = "",
        seed: int = 0,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.tokenizer = load(path, dtype)
        if lora_rank:
            self.model = with_adapter(self.model, lora_rank, seed)
        self.model.to(self.device).eval()  # no dropout, so that ratios are 1 before the first update
        saved = Path(path) / SETTINGS
        if settings is None:
            settings = PolicySettings(**json.loads(saved.read_text())) if saved.is_file() else PolicySettings()
        if settings.reads == "auto":
            settings = replace(settings, reads="messages" if self.tokenizer.chat_template else "prompt")
        if self.temperature is not None:
            settings = replace(settings, temperature=self.temperature)
        self.settings, self.seed, self._calls, self._warned = settings, seed, 0, False
        given, end = self.model.generation_config, self.tokenizer.eos_token_id
        more = given.eos_token_id if isinstance(given.eos_token_id, list) else [given.eos_token_id]
        self.ends = sorted({end, *more} - {None})
        self.suppressed: list[int] = list(given.suppress_tokens or [])
        # generate() takes from here whatever it is not told: penalties and temperatures would change the draws, but not
        # the log-probabilities.
        self.model.generation_config = GenerationConfig(
            bos_token_id=given.bos_token_id,
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id,
            suppress_tokens=self.suppressed or None,
        )

    def __call__(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """The completions for `rows`."""
        texts, cut = [""] * len(rows), 0
        # Prompts of similar length together, so that batches hold little padding.
        order = sorted(range(len(rows)), key=lambda place: len(self.prompt(rows[place])))
        for start in range(0, len(order), self.settings.batch_size):
            places = order[start : start + self.settings.batch_size]
            self._calls += 1
            drawn = self.sample([rows[place] for place in places], seed=(self.seed << 32) + self._calls)
            cut += int(drawn.cut.sum())
            for place, text in zip(places, drawn.texts, strict=True):
                texts[place] = text
        if cut and not self._warned:
            self._warned = True
            warnings.warn(
                f"{cut} of {len(rows)} prompts have more than {self.settings.max_prompt_tokens} tokens and lose their "
                "beginning; PolicySettings(max_prompt_tokens=...) allows more",
                stacklevel=2,
            )
        return texts

    def prompt(self, row: dict[str, Any]) -> str:
        """What the model reads of a row."""
        if self.settings.reads == "messages":
            return self.tokenizer.apply_chat_template(row["messages"], tokenize=False, add_generation_prompt=True)
        return row[self.settings.reads]

    @torch.no_grad()
    def sample(self, rows: Sequence[dict[str, Any]], temperature: float | None = None, seed: int = 0) -> Samples:
        """Writes a completion for each row, drawn from the whole vocabulary; the same seed draws the same.

        Rows with the same prompt, such as those of a group, share the work of reading it.
        """
        temperature = self.settings.temperature if temperature is None else temperature
        prompts, attention, cut, prompt_of = self.read(rows)
        draws = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
        config = GenerationConfig(
            max_new_tokens=self.settings.max_new_tokens,
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id,
            suppress_tokens=self.suppressed or None,
            **draws,
        )
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            tokens = self.model.generate(
                input_ids=prompts[prompt_of],
                attention_mask=attention[prompt_of],
                generation_config=config,
                cache=self.cache(prompts, attention, prompt_of),
            )
        completions = tokens[:, prompts.shape[1] :]
        ends = torch.isin(completions, torch.tensor(self.ends, device=self.device)).long()
        written = ends.cumsum(dim=1) - ends == 0  # everything up to the first end, which counts
        kept = [row[mask] for row, mask in zip(completions, written, strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return Samples(prompts, attention, cut, prompt_of, completions, written, ends.any(dim=1), texts)

    def read(self, rows: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The different prompts of the rows as tokens, which tokens count, which prompts were cut, and each row's prompt."""
        texts = [self.prompt(row) for row in rows]
        different = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        most, chat = self.settings.max_prompt_tokens, self.settings.reads == "messages"
        special = {"add_special_tokens": not chat}  # a chat template writes them itself
        whole = self.tokenizer(list(different), verbose=False, **special).input_ids
        read = self.tokenizer(
            list(different), return_tensors="pt", padding=True, truncation=True, max_length=most, **special
        ).to(self.device)
        tokens, attention = read.input_ids, read.attention_mask
        cut = torch.tensor([len(prompt) > most for prompt in whole], device=self.device)
        if tokens.shape[1] < 2:  # the last token is read with the completion, so there must be one before it
            tokens = torch.nn.functional.pad(tokens, (1, 0), value=self.tokenizer.pad_token_id)
            attention = torch.nn.functional.pad(attention, (1, 0))
        return tokens, attention, cut, torch.tensor([different[text] for text in texts], device=self.device)

    def cache(self, prompts: torch.Tensor, attention: torch.Tensor, prompt_of: torch.Tensor) -> Any:
        """Keys and values of each completion's prompt except its last token; every prompt is computed once."""
        cache = self.model(
            input_ids=prompts[:, :-1],
            attention_mask=attention[:, :-1],
            position_ids=_positions(attention)[:, :-1],
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        cache.batch_select_indices(prompt_of)
        return cache

    def log_probs(self, samples: Samples, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of each token of the completions, and the entropy of its draw in nats; both float32 [n, C].

        Gradients flow through the prompts too, which are computed once each, as in `sample`.
        """
        attention = torch.cat([samples.attention[samples.prompt_of], samples.written.long()], dim=1)
        last = samples.prompts[samples.prompt_of, -1:]
        length = samples.completions.shape[1]
        logits = self.model(
            input_ids=torch.cat([last, samples.completions[:, :-1]], dim=1),
            attention_mask=attention[:, :-1],
            position_ids=_positions(attention)[:, -length - 1 : -1],
            past_key_values=self.cache(samples.prompts, samples.attention, samples.prompt_of),
        ).logits
        logits = logits.float() / temperature
        if self.suppressed:
            logits[:, :, self.suppressed] = -1e9  # finite, so that the entropy has a gradient
        logs = torch.log_softmax(logits, dim=-1)
        taken = logs.gather(2, samples.completions[:, :, None]).squeeze(2)
        return taken, -(logs.exp() * logs).sum(dim=2)

    def restore(self, folder: Path | str) -> None:
        """Loads the weights of a saved policy of the same shape."""
        saved, _ = load(str(folder))
        self.model.load_state_dict(saved.state_dict())

    def save(self, folder: Path | str) -> None:
        """Writes weights (of a LoRA policy the adapter), tokenizer and settings; `HFPolicy(folder)` reads them."""
        save(folder, self.model, self.tokenizer, self.settings)


class HFSampler(HFPolicy):
    """The same, but completions are drawn with temperature 1."""

    temperature = 1.0


def with_adapter(model: Any, rank: int, seed: int) -> PeftModel:
    """The model with a LoRA adapter whose random weights depend on the seed only; an existing one stays."""
    if isinstance(model, PeftModel):
        there = model.active_peft_config.r
        if there != rank:
            raise ValueError(
                f"the model has a LoRA adapter of rank {there}; train that one, not another of rank {rank}"
            )
        return model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


def _positions(attention: torch.Tensor) -> torch.Tensor:
    """Positions of the tokens, counted from the first that is not padding."""
    return (attention.cumsum(dim=1) - 1).clamp(min=0)


def save(folder: Path | str, model: Any, tokenizer: Any, settings: PolicySettings) -> None:
    """Writes a folder that `HFPolicy` reads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    last = Path(folder) / SETTINGS
    write_json(last, asdict(settings))
    for file in Path(folder).iterdir():
        if file.is_file():  # the library makes the weights readable only by their owner, whatever the umask
            file.chmod(last.stat().st_mode)


def load(path: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """A model and its tokenizer, which pads on the left.

    Raises:
        FileNotFoundError: `path` looks like one of this machine, and there is nothing.
    """
    place = Path(path).expanduser()
    if not place.exists() and (place.suffix == ".gguf" or path.startswith(("/", ".", "~")) or path.count("/") > 1):
        raise FileNotFoundError(f"there is no model at {path!r}; give a folder, a GGUF file, or a hub name NAME/MODEL")
    source, more = (str(place.parent), {"gguf_file": place.name}) if place.suffix == ".gguf" else (str(path), {})
    has_adapter = (place / "adapter_config.json").is_file()
    kind = AutoPeftModelForCausalLM if has_adapter else AutoModelForCausalLM
    model = kind.from_pretrained(source, dtype=dtype, **({"is_trainable": True} if has_adapter else more))
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", truncation_side="left", **more)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer
