"""Encoders: text to vectors, by a sentence-transformers model or by anything with `encode`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from rec_gym.columns import first_few
from rec_gym.recommenders.dense.hashing import HashingEncoder
from rec_gym.resolving import is_path, maker_of, resolve
from rec_gym.tables import check_arguments, named, nearest, unknown

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

HASHING = "hashing"
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}

# The encoders of Rec-R1's dense experiments; each takes the vector of the first token.
PRESETS = {
    "blair": "hyp1231/blair-roberta-base",
    "blair-large": "hyp1231/blair-roberta-large",
    "simcse": "princeton-nlp/sup-simcse-roberta-base",
    "simcse-large": "princeton-nlp/sup-simcse-roberta-large",
    "roberta": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
}
POOLINGS = ("cls", "mean", "max", "lasttoken")

_MISSING = (
    "the encoder {name!r} needs sentence-transformers: pip install 'rec-gym[dense]' ({error}); or use the encoder that "
    'needs no model: --set \'recommender={{name="dense",encoder="hashing"}}\''
)


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors.

    Optional: `clips(texts) -> bool [n]` says which texts are too long to be read completely.
    """

    def encode(self, texts: list[str]) -> np.ndarray:
        """One vector per text, float32 [n, d]; of any length, as cosines are used."""
        ...


def clipped_by(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Which texts are longer than an encoder can read, bool [n]; none if it does not say.

    Raises:
        ValueError: its `clips` does not return one truth value for each text.
    """
    clips = getattr(encoder, "clips", None)
    if clips is None or not texts:
        return np.zeros(len(texts), bool)
    readable = [text.encode("utf-8", "replace").decode() for text in texts]  # as `encode` gets them
    clipped = np.asarray(clips(readable))
    if clipped.shape != (len(texts),) or clipped.dtype != bool:
        raise ValueError(
            f"clips of {type(encoder).__name__} must return bool [{len(texts)}], one for each text, not "
            f"{clipped.dtype} {list(clipped.shape)}"
        )
    return clipped


ENCODER = maker_of("an encoder", "encode", "Encoder")


def open_encoder(spec: str | Mapping[str, Any] | Encoder, **model_settings: Any) -> Encoder:
    """The encoder that `spec` names.

    Args:
        spec: an object with `encode`; or a name, or a table `{name = ..., settings}`. Names are `hashing` (no model;
            settings of `HashingEncoder`), one of `PRESETS`, `package.module:Name` or `FILE.py:Name` (a class with
            `encode`, or a function annotated `-> Encoder`; called with the settings), a folder, or a model of the
            Hugging Face hub (settings `pooling` and `max_length`, see `SentenceEncoder`).
        model_settings: `device`, `dtype` and `batch_size` for a `SentenceEncoder`.

    Raises:
        ValueError: the name or a setting is unknown (near ones are suggested), or a setting is of the wrong type.
        TypeError: an object has no `encode`.
    """
    if not isinstance(spec, str | Mapping):
        if not isinstance(spec, Encoder):
            raise TypeError(f"an encoder needs encode(list[str]); {type(spec).__name__} lacks it")
        return spec
    name, settings = encoder_name(spec)
    if name == HASHING:
        return _make(HashingEncoder, name, settings)
    if is_path(name):
        return _make(resolve(name, ENCODER), name, settings)
    if name in PRESETS:
        settings = {"pooling": "cls", **settings}
    return _make(SentenceEncoder, name, {"model": PRESETS.get(name, name), **settings, **model_settings})


def encoder_name(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of an encoder that is given as data.

    Raises:
        ValueError: a table has no `name`.
    """
    name, settings = named(spec, "an encoder")
    if not name:
        raise ValueError("an encoder is a name or a table with 'name', such as {name = 'hashing', dimensions = 256}")
    return name, settings


def _make(factory: Any, name: str, settings: Mapping[str, Any]) -> Encoder:
    check_arguments(factory, settings, f"encoder {name!r}")
    encoder = factory(**settings)
    if not isinstance(encoder, Encoder):
        raise TypeError(f"encoder {name!r} returned a {type(encoder).__name__}, which has no encode(list[str])")
    return encoder


class SentenceEncoder:
    """A sentence-transformers model. It is loaded at the first text, once per process, and left out of pickles.

    Args:
        model: a folder, or the name of a model on the Hugging Face hub.
        pooling: `"cls"`, `"mean"`, `"max"` or `"lasttoken"` for a plain transformer; None for the model's own.
        max_length: tokens of a text that are read; None for the model's own limit.
        device: `"cpu"`, `"cuda"`, ...; None for the best available.
        dtype: `"fp32"` or `"bf16"`.
        batch_size: texts per call of the model.

    Raises:
        ValueError: an argument is unknown or out of its range.
        FileNotFoundError: `model` is written as a path, and there is no such folder.
    """

    def __init__(
        self,
        model: str,
        pooling: str | None = None,
        max_length: int | None = None,
        device: str | None = None,
        dtype: str = "fp32",
        batch_size: int = 32,
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(unknown("dtype", dtype, DTYPES))
        if pooling is not None and pooling not in POOLINGS:
            raise ValueError(unknown("pooling", pooling, POOLINGS))
        if batch_size < 1 or (max_length is not None and max_length < 1):
            raise ValueError(f"batch_size and max_length must be at least 1, not {batch_size!r} and {max_length!r}")
        self.model = located(model)
        self.pooling, self.max_length, self.device = pooling, max_length, device
        self.dtype, self.batch_size = dtype, batch_size
        self._forget()

    def __repr__(self) -> str:
        return f"SentenceEncoder({self.model!r}, pooling={self.pooling!r}, device={self.device!r}, {self.dtype})"

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_loaded", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._loaded: SentenceTransformer | None = None
        self._lock = threading.RLock()  # a tokenizer must not be used by two threads at once

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts`, float32 [n, d]."""
        with self._lock:
            return np.asarray(
                self._transformer().encode(list(texts), batch_size=self.batch_size, show_progress_bar=False), np.float32
            )

    def clips(self, texts: Sequence[str]) -> np.ndarray:
        """Which texts have more tokens than the model reads, bool [n]."""
        with self._lock:
            transformer = self._transformer()
            limit = transformer.max_seq_length
            clipped = np.zeros(len(texts), bool)
            if limit is None:
                return clipped
            # A tokenizer makes at most one token per byte, and a few special ones.
            long = [i for i, text in enumerate(texts) if len(text.encode()) + 4 > limit]
            if long:
                tokens = transformer.tokenizer([texts[i] for i in long], truncation=False, verbose=False)["input_ids"]
                clipped[long] = [len(row) > limit for row in tokens]
            return clipped

    def _transformer(self) -> SentenceTransformer:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> SentenceTransformer:
        try:
            import torch
            from sentence_transformers import SentenceTransformer
            from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
        except ImportError as error:
            raise ImportError(_MISSING.format(name=self.model, error=error)) from error
        model_kwargs = {"dtype": getattr(torch, DTYPES[self.dtype])}
        try:
            if self.pooling is None:
                loaded = SentenceTransformer(self.model, device=self.device, model_kwargs=model_kwargs)
            else:
                base = Transformer(self.model, model_kwargs=model_kwargs)
                pooling = Pooling(base.get_embedding_dimension(), self.pooling)
                loaded = SentenceTransformer(modules=[base, pooling], device=self.device)
        except (OSError, ValueError) as error:
            close = nearest(self.model, [HASHING, *PRESETS])
            near = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise ValueError(
                f"encoder {self.model!r} cannot be loaded ({first_few([str(error)[:300]])}){near}; name a folder with a "
                f"model, a model of the Hugging Face hub, 'hashing', or a preset: {', '.join(PRESETS)}"
            ) from error
        if self.max_length is not None:
            loaded.max_seq_length = self.max_length
        return loaded.eval()


def located(model: str) -> str:
    """A folder as an absolute path; a name on the hub as it is."""
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if path.is_absolute() or model.startswith((".", "~")):
        raise FileNotFoundError(f"there is no folder {str(path)!r} with an encoder; check the path")
    return model
