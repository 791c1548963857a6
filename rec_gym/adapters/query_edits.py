"""Queries for algorithms that work on numbers: texts become vectors, and actions become words.

Most implementations of PPO and its relatives cannot handle text. `QueryEdits` translates between them and a task: a text
becomes a vector of hashed words and word pairs, and an action picks words from a fixed vocabulary. It needs no training
framework; `rec_gym.adapters.sb3`
builds on it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from rec_gym.env import RecommenderEnv
from rec_gym.loop.task import Task
from rec_gym.policies.learner import english_nouns
from rec_gym.words import words


class QueryEdits:
    """Texts in as vectors, actions out as words.

    An action is one number per slot: 0 writes nothing, i writes the i-th word of the vocabulary. The words become the query
    according to the task's action format: `append` adds it to the request, `plain` asks it alone.

    Args:
        vocabulary: words (or short phrases) that can be written; by default the 1,199 English nouns of the demo, which were
            chosen without looking at any catalogue.
        slots: words in a completion, at most.
        buckets: how many buckets words and word pairs are hashed into.
        discrete: whether an action is a single number, `Discrete` instead of `MultiDiscrete`, as DQN needs; for one slot.

    Raises:
        ValueError: the vocabulary is empty, repeats an entry or has one without a word; a number below 1; or `discrete` with
            several slots.
    """

    def __init__(
        self, vocabulary: Sequence[str] | None = None, slots: int = 8, buckets: int = 4096, discrete: bool = False
    ) -> None:
        self.vocabulary = list(english_nouns() if vocabulary is None else vocabulary)
        self.slots, self.buckets, self.discrete = slots, buckets, discrete
        if slots < 1 or buckets < 1:
            raise ValueError(f"slots and buckets must be at least 1, not {slots} and {buckets}")
        if discrete and slots != 1:
            raise ValueError(f"a discrete action is a single number, which fills one slot: set slots=1, not {slots}")
        if not self.vocabulary:
            raise ValueError("the vocabulary is empty; list the words that can be written")
        without = [entry for entry in self.vocabulary if not words(entry)]
        if without:
            raise ValueError(f"each entry of the vocabulary needs a word in it; {without[0]!r} has none")
        if len(set(self.vocabulary)) < len(self.vocabulary):
            twice = next(entry for i, entry in enumerate(self.vocabulary) if entry in self.vocabulary[:i])
            raise ValueError(f"the vocabulary lists {twice!r} twice; remove one of them")
        self.observation_space = Box(0.0, 1.0, (buckets,), np.float32)
        choices = len(self.vocabulary) + 1
        self.action_space: gym.Space[Any] = Discrete(choices) if discrete else MultiDiscrete([choices] * slots)
        self._entries_with: dict[str, list[tuple[int, frozenset[str]]]] = defaultdict(list)
        for place, entry in enumerate(self.vocabulary, 1):
            parts = words(entry)
            self._entries_with[parts[0]].append((place, frozenset(parts)))

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make the same edits again, as plain data."""
        return {"vocabulary": self.vocabulary, "slots": self.slots, "buckets": self.buckets, "discrete": self.discrete}

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Hashed words and word pairs of each text, float32 [n, buckets]; each row has length 1, or 0 without any word."""
        vectors = np.zeros((len(texts), self.buckets), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            places = _hashed(text, self.buckets)
            if len(places):
                row[places] = 1.0 / np.sqrt(len(places))
        return vectors

    def texts(self, actions: np.ndarray) -> list[str]:
        """The words that the actions write, in the order of their slots, each once.

        Args:
            actions: whole numbers [n, slots], or [n] if they are discrete.

        Raises:
            ValueError: the shape is wrong, or a number is outside the vocabulary.
        """
        actions = np.asarray(actions)
        shape = () if self.discrete else (self.slots,)
        if actions.ndim == 0 or actions.shape[1:] != shape:
            wanted = ", ".join(["n", *map(str, shape)])
            raise ValueError(f"actions must be of shape [{wanted}], not {list(actions.shape)}")
        actions = actions.reshape(len(actions), self.slots)
        if actions.size and (actions.min() < 0 or actions.max() > len(self.vocabulary)):
            raise ValueError(
                f"actions must be between 0 (no word) and {len(self.vocabulary)}, the last word of the vocabulary"
            )
        return [" ".join(self.vocabulary[i - 1] for i in dict.fromkeys(row) if i) for row in actions.tolist()]

    def masks(self, requests: Sequence[str]) -> np.ndarray:
        """Which choices are open: every word that the request does not already contain, and no word.

        Args:
            requests: texts of n requests.

        Returns:
            bool [n, slots * (vocabulary + 1)], the same in each slot; the first choice of a slot is always open.
        """
        choices = len(self.vocabulary) + 1
        masks = np.ones((len(requests), self.slots, choices), bool)
        for mask, request in zip(masks, requests, strict=True):
            known = set(words(request))
            closed = [place for word in known for place, entry in self._entries_with.get(word, ()) if entry <= known]
            mask[:, closed] = False
        return masks.reshape(len(requests), self.slots * choices)


def reads(task: Task) -> str:
    """Which entry of a task's rows a policy reads: the request's `text`, or the `prompt`, which shows earlier turns too."""
    return "prompt" if task.observation == "prompt" or task.turns.limit > 1 else "text"


def check_fits(task: Task) -> None:
    """Checks that words can answer a task.

    Raises:
        ValueError: completions of the task order candidates.
    """
    if task.action.needs_candidates:
        raise ValueError("query edits write words, but completions of this task order candidates; choose another task")


def observed(task: Task) -> Task:
    """The task as query edits read it: with several turns, observations are prompts.

    Raises:
        ValueError: completions of the task are not words.
    """
    check_fits(task)
    return task if reads(task) == "text" else task.replace(observation="prompt")


def request_texts(task: Task, request_ids: Sequence[str]) -> list[str]:
    """The requests' own texts, without earlier turns."""
    return task.dataset.texts(task.dataset.index.positions(request_ids))


class QueryEditEnv(gym.Env[np.ndarray, np.ndarray]):
    """A single environment with numbers for observations and actions, for libraries that cannot handle text.

    Args:
        task: what scores it. A task of several turns is observed as its rendered prompt, which shows the earlier turns.
        edits: how texts become numbers, and actions become words.
        render_mode: `"ansi"` or None.
    """

    metadata: ClassVar[dict[str, Any]] = RecommenderEnv.metadata  # type: ignore[misc]

    def __init__(self, task: Task, edits: QueryEdits | None = None, render_mode: str | None = None) -> None:
        self.task = observed(task)
        self.edits = edits or QueryEdits()
        self.render_mode = render_mode
        self.observation_space, self.action_space = self.edits.observation_space, self.edits.action_space
        self._env = RecommenderEnv(self.task, render_mode)
        self._request = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; see `RecommenderEnv.reset`."""
        super().reset(seed=seed)
        text, info = self._env.reset(seed=seed, options=options)
        [self._request] = request_texts(self.task, [info["request_id"]])
        return self.edits.vectors([text])[0], info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Scores the words of an action, of `action_space`; see `RecommenderEnv.step`."""
        [written] = self.edits.texts(np.asarray(action)[None])
        completion = self.task.action.compose(written, self._request)
        text, reward, terminated, truncated, info = self._env.step(completion)
        return self.edits.vectors([text])[0], reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """The choices for the current request, bool [slots * (vocabulary + 1)]; see `QueryEdits.masks`."""
        return self.edits.masks([self._request])[0]

    def render(self) -> str | None:
        """See `RecommenderEnv.render`."""
        return self._env.render()


@lru_cache(maxsize=1 << 14)
def _hashed(text: str, buckets: int) -> np.ndarray:
    """Distinct buckets of a text's words and word pairs. CRC-32 is the same in every process, unlike hash()."""
    singles = words(text)
    pieces = singles + [f"{first} {second}" for first, second in pairwise(singles)]
    return np.array(sorted({zlib.crc32(piece.encode()) % buckets for piece in pieces}), np.intp)
