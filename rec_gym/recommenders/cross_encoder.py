"""Cross-encoders: models that read a query and a text together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rec_gym.recommenders.dense.encoder import DTYPES, located
from rec_gym.tables import unknown

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class CrossEncoderScorer:
    """A cross-encoder of sentence-transformers; loaded at the first pair, and left out of pickles.

    Args:
        model: a folder, or the name of a model on the Hugging Face hub.
        device: where it runs; None for the best available.
        dtype: `fp32` or `bf16`.
        batch_size: pairs per call of the model.

    Raises:
        ImportError: the extra `dense` is not installed.
        FileNotFoundError: `model` is written as a path, and there is no such folder.
        ValueError: unknown dtype.
    """

    def __init__(self, model: str, device: str | None = None, dtype: str = "fp32", batch_size: int = 32) -> None:
        if dtype not in DTYPES:
            raise ValueError(unknown("dtype", dtype, DTYPES))
        try:
            import sentence_transformers  # noqa: F401
        except ImportError as error:
            raise ImportError(f"a cross-encoder needs: pip install 'rec-gym[dense]' ({error})") from error
        self.model, self.device, self.dtype, self.batch_size = located(model), device, dtype, batch_size
        self._forget()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_loaded", "_lock")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._loaded: CrossEncoder | None = None
        self._lock = threading.RLock()  # a tokenizer must not be used by two threads at once

    def __call__(self, query: str, texts: list[str]) -> np.ndarray:
        """The model's score of each text for the query, float64."""
        return self.score_pairs([query] * len(texts), texts)

    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """The model's score of each pair, float64; equal pairs are scored once."""
        pairs = [(_clean(query), text) for query, text in zip(queries, texts, strict=True)]
        distinct = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        with self._lock:
            scores = self._opened().predict(list(distinct), batch_size=self.batch_size, show_progress_bar=False)
        values = np.asarray(scores, np.float64)
        if values.ndim != 1:
            raise ValueError(
                f"{self.model!r} returns shape {values.shape[1:]} per pair; a re-ranker needs one number (num_labels = 1)"
            )
        return values[[distinct[pair] for pair in pairs]]

    def _opened(self) -> CrossEncoder:
        if self._loaded is None:
            import torch
            from sentence_transformers import CrossEncoder

            model_kwargs = {"dtype": getattr(torch, DTYPES[self.dtype])}
            try:
                self._loaded = CrossEncoder(self.model, device=self.device, model_kwargs=model_kwargs)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"cross-encoder {self.model!r} cannot be loaded ({str(error)[:300]}); name a folder with a model, a "
                    "model of the Hugging Face hub, or package.module:name for a custom scorer"
                ) from error
        return self._loaded


def _clean(query: str) -> str:
    """The query without lone surrogates, which tokenizers refuse."""
    return query.encode("utf-8", "replace").decode()
