"""A small policy that learns from the reward alone, in NumPy: what `rec-gym demo` and `rec-gym train` train.

It reads a request as a bag of words and pairs of neighbouring words, and writes up to `draws` words of a fixed vocabulary, drawn
independently from one softmax. Where completions hold filters it sets them too, see `rec_gym.policies.filter_slots`. It is
trained with REINFORCE (Williams 1992) with the mean of a request's group as baseline, as GRPO takes it. It is no language
model: it shows that the loop teaches, and what it teaches, without a GPU.
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
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from rec_gym.cache import atomic_path
from rec_gym.filters import Condition
from rec_gym.loop.task import Task
from rec_gym.policies.base import Baseline
from rec_gym.policies.filter_slots import FilterSlots, Slot
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
        tries: the chance that a filter is set before anything is learned, for each of the slots.
    """

    draws: int = 8
    buckets: int = 1 << 13
    learning_rate: float = 0.04
    damping: float = 0.1
    seed: int = 0
    tries: float = 0.1


class WordPolicy:
    """Request text in, a few words out, and a few filters.

    Called with rows it writes the words alone; `SavedWords` writes what a task's action format reads.

    Args:
        vocabulary: the words that it may write; empty for a policy that only sets filters.
        settings: of the policy and of its training.
        appends: whether its words are added to the request; else they are the whole query. `SavedWords` asks accordingly.
        reference: why tables mark it as a reference, such as `"its words are the catalogue's"`; see `Baseline`.
        slots: filters that it may set, see `slots_of`.

    Attributes:
        filters: what sets them; None without slots.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        settings: LearnerSettings = LearnerSettings(),
        *,
        appends: bool = True,
        reference: str = "",
        slots: Sequence[Slot] = (),
    ) -> None:
        self.vocabulary = [*vocabulary, ""]  # the last "word" writes nothing, so that a completion may be short
        self.settings, self.appends, self.reference = settings, appends, reference
        self._weights = np.zeros((settings.buckets, len(self.vocabulary)), np.float32)
        self._optimiser = Adam(self._weights, settings.learning_rate)
        self._random = np.random.Generator(np.random.PCG64(settings.seed))
        shared = {key: getattr(settings, key) for key in ("buckets", "learning_rate", "damping", "tries", "seed")}
        self.filters = FilterSlots(slots, **shared) if slots else None

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
        content: dict[str, Any] = {
            "vocabulary": np.array(self.vocabulary[:-1], str),
            "settings": json.dumps(asdict(self.settings)),
            "appends": self.appends,
            "reference": self.reference,
            "weights": self._weights,
        }
        if self.filters:
            content |= {"slots": json.dumps(self.filters.slots), "slot_weights": self.filters.weights}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **content)

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


class Drawn(NamedTuple):
    """What a policy drew for n groups of completions.

    Attributes:
        words: places in the vocabulary, int [n * group_size, draws].
        filters: see `FilterSlots.sample`, int [n * group_size, slots]; None without slots.
    """

    words: np.ndarray
    filters: np.ndarray | None = None


class SavedWords(Baseline):
    """A word policy under any action format that asks queries: `rec-gym evaluate ID --policy raw,words:FILE.npz`.

    It asks what the policy asked when it was trained: the request and the words behind it, or the words alone; and it sets the
    filters that the policy chooses.

    Args:
        task: the task whose rows it answers.
        policy: the policy, or the file that `WordPolicy.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, or the policy sets filters that completions of the task cannot hold.
    """

    def __init__(self, task: Task, policy: WordPolicy | Path | str) -> None:
        super().__init__(task)
        self.policy = policy if isinstance(policy, WordPolicy) else load_policy(policy)
        self.reference = self.policy.reference  # type: ignore[misc]  # of this policy, not of the class
        columns = {slot.column for slot in self.policy.filters.slots} if self.policy.filters else set()
        beyond = sorted(columns.difference(task.action.filter_columns if task.action.writes_filters else ()))
        if beyond:
            raise ValueError(
                f"the policy sets filters on {', '.join(beyond)}, which completions of the form {task.action.name!r} cannot hold "
                "in this task; evaluate it where it was trained, or with --set action=structured"
            )

    def queries(self, rows: list[dict[str, Any]], places: np.ndarray) -> list[str]:
        """The query for each row, with its filters; see `ActionFormat.with_filters`."""
        texts = [row["text"] for row in rows]
        filters = self.policy.filters.choose(texts) if self.policy.filters else []
        return self._asked(texts, self.policy(rows), filters)

    def sample(self, texts: Sequence[str], group_size: int) -> tuple[list[str], Drawn]:
        """Draws `group_size` completions for each text, to learn from.

        Args:
            texts: the n requests of the groups.
            group_size: completions of each.

        Returns:
            The completions, group after group, and what was drawn.
        """
        written, drawn = self.policy.sample(texts, group_size)
        if self.policy.filters is None and self.task.action.name in ("append", "plain"):
            return written, Drawn(drawn)  # the words are the completion
        filters, chosen = self.policy.filters.sample(texts, group_size) if self.policy.filters else ([], None)
        repeated = [text for text in texts for _ in range(group_size)]
        asked = self._asked(repeated, written, filters)
        compose = self.task.action.compose
        completions = [compose(query, text) for query, text in zip(asked, repeated, strict=True)]
        return completions, Drawn(drawn, chosen)

    def learn(self, texts: Sequence[str], drawn: Drawn, rewards: np.ndarray) -> dict[str, float]:
        """One step up the policy gradient, of the words and of the filters.

        Args:
            texts: the n requests of the groups.
            drawn: what `sample` drew for them.
            rewards: float64 [n * group_size].

        Returns:
            What `WordPolicy.learn` says, and the mean number of filters that were drawn where there are slots.
        """
        told = self.policy.learn(texts, drawn.words, rewards)
        if self.policy.filters is None or drawn.filters is None:
            return told
        self.policy.filters.learn(texts, drawn.filters, rewards)
        return {**told, "filters": float((drawn.filters > 0).sum(axis=1).mean())}

    def _asked(self, texts: Sequence[str], written: Sequence[str], filters: Sequence[Sequence[Condition]]) -> list[str]:
        """The queries; those with filters as `ActionFormat.with_filters` writes them."""
        if self.policy.appends:
            written = [f"{text} {own}".strip() for text, own in zip(texts, written, strict=True)]
        if not filters:
            return list(written)
        return [self.task.action.with_filters(query, own) for query, own in zip(written, filters, strict=True)]


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
                slots=[Slot(*slot) for slot in json.loads(str(saved["slots"]))] if "slots" in saved else (),
            )
            policy._weights[:] = saved["weights"]
            if policy.filters:
                policy.filters.weights[:] = saved["slot_weights"]
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
