"""A small policy that learns from the reward alone, in NumPy: what `rec-gym demo` and `rec-gym train` train.

It reads a request as a bag of words and pairs of neighbouring words, and writes up to `draws` words of a fixed vocabulary, drawn
independently from one softmax. It is trained with REINFORCE (Williams 1992) with the mean of a request's group as baseline,
as GRPO takes it. It is no language model: it shows that the loop teaches, and what it teaches, without a GPU.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from rec_gym.cache import atomic_path
from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline
from rec_gym.policies.gradient import Adam, advantages_of, softmax
from rec_gym.words import words


def english_nouns() -> list[str]:
    """Nouns for things and what they are made of, chosen from WordNet by a rule that knows no catalogue (see the file)."""
    return read_words(resources.files("rec_gym.policies").joinpath("wordnet_nouns.txt").read_text(encoding="utf-8"))


def read_words(text: str) -> list[str]:
    """The words of a vocabulary file: one per line; empty lines and those that begin with `#` are left out."""
    lines = map(str.strip, text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


@dataclass(frozen=True)
class LearnerSettings:
    """Settings of the policy and of its training.

    Attributes:
        draws: a completion has at most this many words.
        buckets: features are hashed into this many.
        learning_rate: of Adam.
        damping: added to a group's deviation before the advantages are divided by it.
        seed: of the draws.
    """

    draws: int = 8
    buckets: int = 1 << 13
    learning_rate: float = 0.04
    damping: float = 0.1
    seed: int = 0


class WordPolicy:
    """Request text in, a few words out.

    Args:
        vocabulary: the words that it may write.
        settings: of the policy and of its training.
        appends: whether its words are added to the request; else they are the whole query. `SavedWords` asks accordingly.
        reference: why tables mark it as a reference, such as `"its words are the catalogue's"`; see `Baseline`.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        settings: LearnerSettings = LearnerSettings(),
        *,
        appends: bool = True,
        reference: str = "",
    ) -> None:
        self.vocabulary = [*vocabulary, ""]  # the last "word" writes nothing, so that a completion may be short
        self.settings, self.appends, self.reference = settings, appends, reference
        self._weights = np.zeros((settings.buckets, len(self.vocabulary)), np.float32)
        self._optimiser = Adam(self._weights, settings.learning_rate)
        self._random = np.random.Generator(np.random.PCG64(settings.seed))

    def __call__(self, rows: Sequence[dict]) -> list[str]:
        """The likeliest words for each row: those of which at least half a draw is expected."""
        probabilities = self.probabilities([row["text"] for row in rows])
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.settings.draws]
        likely = np.take_along_axis(probabilities, order, 1) * self.settings.draws >= 0.5
        return [self._text(places[kept]) for places, kept in zip(order, likely, strict=True)]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Chance of each word in one draw, float32 [n, vocabulary + 1]."""
        return softmax(self._features(texts) @ self._weights)

    def sample(self, texts: Sequence[str], group_size: int) -> tuple[list[str], np.ndarray]:
        """Draws `group_size` completions for each text.

        Returns:
            The completions, group after group, and the drawn words int [n * group_size, draws].
        """
        cumulative = np.cumsum(self.probabilities(texts), axis=1, dtype=np.float64)
        points = self._random.random((len(texts), group_size * self.settings.draws))
        drawn = [
            np.searchsorted(row / row[-1], point, side="right") for row, point in zip(cumulative, points, strict=True)
        ]
        places = np.minimum(drawn, len(self.vocabulary) - 1).reshape(-1, self.settings.draws)
        return [self._text(row) for row in places], places

    def learn(self, texts: Sequence[str], drawn: np.ndarray, rewards: np.ndarray) -> dict[str, float]:
        """One step up the policy gradient.

        Args:
            texts: the n requests of the groups.
            drawn: words drawn, int [n * group_size, draws].
            rewards: float64 [n * group_size].

        Returns:
            Mean reward, share of groups without any difference of reward, and mean entropy of a draw in nats.
        """
        advantages, deviation = advantages_of(rewards, len(texts), self.settings.damping)
        features = self._features(texts)
        probabilities = softmax(features @ self._weights)
        entropy = -(probabilities * np.log(probabilities + 1e-12)).sum(axis=1, keepdims=True)
        # The gradient of sum(advantage * log p(word)); advantages of a group sum to 0, so that the softmax's own part
        # of it cancels.
        size = len(self.vocabulary)
        rows = np.repeat(np.arange(len(texts)), drawn.size // len(texts))
        pull = np.bincount(
            rows * size + drawn.ravel(), weights=np.repeat(advantages, drawn.shape[1]), minlength=len(texts) * size
        ).reshape(len(texts), size)
        pull = pull / drawn.shape[0]
        touched = np.unique(features.indices)
        self._optimiser.ascend(touched, (features[:, touched].T @ pull.astype(np.float32)))
        return {
            "reward": float(rewards.mean()),
            "flat_groups": float((deviation < 1e-12).mean()),
            "entropy": float(entropy.mean()),
        }

    def save(self, path: Path | str) -> None:
        """Writes vocabulary, settings and weights to one `.npz` file, whole or not at all; `load_policy` reads it."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                vocabulary=np.array(self.vocabulary[:-1]),
                settings=json.dumps(asdict(self.settings)),
                appends=self.appends,
                reference=self.reference,
                weights=self._weights,
            )

    def _features(self, texts: Sequence[str]) -> csr_matrix:
        """Hashed words and word pairs, one row per text, each of length 1."""
        columns, offsets = [], [0]
        for text in texts:
            buckets = {zlib.crc32(piece.encode()) % self.settings.buckets for piece in _pieces(text)}
            columns += sorted(buckets)
            offsets.append(len(columns))
        counts = np.maximum(np.diff(offsets), 1)
        values = np.repeat(1.0 / np.sqrt(counts), np.diff(offsets)).astype(np.float32)
        return csr_matrix((values, columns, offsets), shape=(len(texts), self.settings.buckets))

    def _text(self, places: np.ndarray) -> str:
        chosen = dict.fromkeys(self.vocabulary[place] for place in places)
        return " ".join(filter(None, chosen))


class SavedWords(Baseline):
    """A saved policy under any action format that asks queries: `rec-gym evaluate ID --policy raw,words:FILE.npz`.

    It asks what the policy asked when it was trained: the request and the words behind it, or the words alone.

    Args:
        task: the task whose rows it answers.
        path: what `WordPolicy.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
    """

    def __init__(self, task: Task, path: str) -> None:
        super().__init__(task)
        self.policy = load_policy(path)
        self.reference = self.policy.reference  # type: ignore[misc]  # of this file, not of the class

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row."""
        written = self.policy(rows)
        if not self.policy.appends:
            return written
        return [f"{row['text']} {text}".strip() for row, text in zip(rows, written, strict=True)]


def load_policy(path: Path | str) -> WordPolicy:
    """What `WordPolicy.save` wrote; the optimiser's state is not kept.

    It writes words and no query: as a policy of `rec-gym evaluate`, name it `words:PATH`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
    """
    try:
        # Opened here, since NumPy leaves a file open that it cannot read.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            policy = WordPolicy(
                saved["vocabulary"].tolist(),
                LearnerSettings(**json.loads(str(saved["settings"]))),
                appends=bool(saved["appends"]),
                reference=str(saved["reference"]),
            )
            policy._weights[:] = saved["weights"]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; `rec-gym train` and `rec-gym demo` write one"
        ) from None
    except (ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(path)!r} holds no saved word policy ({error}); `rec-gym train` writes one") from error
    return policy


def _pieces(text: str) -> list[str]:
    """Words, and pairs of neighbouring words."""
    singles = words(text)
    return singles + [f"{first} {second}" for first, second in pairwise(singles)]
