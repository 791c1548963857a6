"""Training the small word policy on a task: what `rec-gym demo` and `rec-gym train` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rec_gym.loop.task import Task
from rec_gym.policies.filter_slots import slots_of
from rec_gym.policies.learner import LearnerSettings, SavedWords, WordPolicy, english_nouns, read_words
from rec_gym.progress import track
from rec_gym.vector_env import RecommenderVectorEnv
from rec_gym.words import words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

ENGLISH, CATALOG = "english", "catalog"
PROMPTS, GROUP_SIZE = 64, 16
FLAT = 0.7  # from this share of groups without any difference of reward on, a training is warned of
_FIRST_STEPS = 10  # after which flat groups are warned of
_MOST_WORDS = 20_000  # of a vocabulary; the weights and their moments take 2 GB then
_CATALOG_WORDS = 2_000
_CATALOG_SHARE, _CATALOG_ITEMS = 0.1, 10  # words of more items than this say too little
_CATALOG_LENGTHS = range(3, 21)
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"


class Vocabulary(NamedTuple):
    """Words that a policy may write.

    Attributes:
        words: the words.
        source: where they come from, a few words.
        reference: why a policy of these words is a reference; empty if it is not.
    """

    words: list[str]
    source: str
    reference: str = ""


@dataclass
class Training:
    """A trained policy and its curve.

    Attributes:
        policy: what was trained.
        curve: for each step the mean reward, the share of groups without variance, the mean entropy of a draw and, where
            filters are set, their mean number.
    """

    policy: WordPolicy
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def flat_groups(self) -> tuple[float, float]:
        """The share of groups whose rewards are all equal, over the first and the last twentieth of the steps."""
        shares = [step["flat_groups"] for step in self.curve]
        window = max(1, len(shares) // 20)
        return float(np.mean(shares[:window])), float(np.mean(shares[-window:]))


def read_vocabulary(spec: str, task: Task) -> Vocabulary:
    """The words that a policy may write.

    Args:
        spec: `english` (1,199 nouns from WordNet, chosen without any catalogue), `catalog` (the 2,000 words that most
            items hold, but for those of more than a tenth of them), or a text file with one word per line.
        task: its recommender has to find something for at least one of the words.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are no words, or too many, or the recommender finds nothing for any of them.
    """
    if spec == ENGLISH:
        vocabulary = Vocabulary(english_nouns(), "English nouns from WordNet, chosen without the catalogue")
    elif spec == CATALOG:
        vocabulary = Vocabulary(catalog_words(task), "words of the catalogue", "its words are the catalogue's")
    else:
        vocabulary = Vocabulary(_words_of_file(Path(spec)), f"words of {spec}")
    if not 1 <= len(vocabulary.words) <= _MOST_WORDS:
        raise ValueError(
            f"a vocabulary has 1 to {_MOST_WORDS:,} words, and {spec!r} has {len(vocabulary.words):,}; choose another one"
        )
    if not (task.recommender.rank(vocabulary.words, 1).items >= 0).any():
        raise ValueError(
            f"the recommender finds nothing for any word of the vocabulary {spec!r}, so that no word would be rewarded; "
            f"choose --vocabulary {CATALOG}, or a file with one word per line"
        )
    return vocabulary


def catalog_words(task: Task) -> list[str]:
    """The words that most items hold, at most 2,000, but for those of more than a tenth of the items; by falling number."""
    catalog = task.dataset.catalog
    items: Counter[str] = Counter()
    batches = catalog.texts(tuple(getattr(task.recommender, "fields", ())))
    for batch in track(batches, "Reading the catalogue's words"):
        for text in batch:
            items.update(set(words(text)))
    limit = max(_CATALOG_SHARE * len(catalog), _CATALOG_ITEMS)
    useful = [(word, n) for word, n in items.items() if n <= limit and len(word) in _CATALOG_LENGTHS and word.isalpha()]
    return [word for word, _ in sorted(useful, key=lambda pair: (-pair[1], pair[0]))[:_CATALOG_WORDS]]


def check_trainable(task: Task) -> None:
    """Checks that the word policy can answer in a task.

    Raises:
        ValueError: it cannot; the message says what to do.
    """
    name = task.name or "this task"
    if task.action.writes == "order":
        raise ValueError(
            f"completions of {name} put candidates into order, and the word policy writes words of a query; choose an id "
            "whose completions are queries (`rec-gym list`)"
        )
    if task.action.name not in ("plain", "append") and not task.action.writes_filters:
        raise ValueError(
            f"completions of {name} are of the form {task.action.name!r}, and the word policy writes words of one query; "
            "add --set action=append"
        )
    if task.turns.limit > 1:
        raise ValueError(
            f"{name} has {task.turns.limit} turns, and the word policy writes once, from the request alone; add --set turns=1"
        )


def train_words(
    task: Task,
    vocabulary: Vocabulary,
    steps: int,
    settings: LearnerSettings,
    console: Console,
) -> Training:
    """Trains a word policy; it sees request texts and rewards, and the names and kinds of columns that it may filter by.

    Args:
        task: of one turn, with the action format `append` (words are added to the request), `plain` (they are all of
            the query) or one that holds filters, such as `structured` (words are added, and filters are set).
        vocabulary: the words that it may write.
        steps: batches of 64 requests with 16 completions each.
        settings: of the learner; its seed also orders the requests.
        console: where the progress bar goes, and a warning where most groups teach nothing.

    Raises:
        ValueError: the policy cannot answer in the task, see `check_trainable`.
    """
    check_trainable(task)
    # The policy reads a row's text when it is evaluated, so it learns from that and not from the rendered prompt.
    env = RecommenderVectorEnv(task.replace(observation="request"), PROMPTS * GROUP_SIZE, GROUP_SIZE)
    slots = slots_of(task) if task.action.writes_filters else ()
    training = Training(
        WordPolicy(
            vocabulary.words,
            settings,
            appends=task.action.name != "plain",
            reference=vocabulary.reference,
            slots=slots,
        )
    )
    learner = SavedWords(task, training.policy)
    observations, _ = env.reset(seed=settings.seed)
    with _progress(console) as progress:
        bar = progress.add_task("", total=steps, reward=0.0)
        for step in range(1, steps + 1):
            texts = observations[::GROUP_SIZE]
            completions, drawn = learner.sample(texts, GROUP_SIZE)
            observations, rewards, *_ = env.step(completions)
            training.curve.append(learner.learn(texts, drawn, rewards))
            progress.update(bar, advance=1, reward=training.curve[-1]["reward"])
            if step == min(_FIRST_STEPS, steps):
                _warn_of_flat_groups(training, console)
    env.close()
    return training


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """A curve in one line of text, from its lowest to its highest value; each character is the mean of a stretch.

    Args:
        values: the curve.
        width: at most this many characters.
        ascii_only: whether the terminal takes ASCII only.
    """
    if not len(values) or width < 1:
        return ""
    heights = np.array([part.mean() for part in np.array_split(np.asarray(values, float), min(width, len(values)))])
    span = heights.max() - heights.min()
    bars = _ASCII_BARS if ascii_only else _BARS
    levels = (heights - heights.min()) / (span or 1.0) * (len(bars) - 1)
    return "".join(bars[round(level)] for level in levels.tolist())


def print_curve(training: Training, console: Console) -> None:
    """Prints the reward as a sparkline between its first and last value, and the share of flat groups at both ends."""
    rewards = np.array([step["reward"] for step in training.curve])
    window = max(1, len(rewards) // 20)
    first, last = rewards[:window].mean(), rewards[-window:].mean()
    line = sparkline(rewards.tolist(), min(50, console.width - 26), console.options.ascii_only)
    console.print(f"Reward {first:.3f} {line} {last:.3f}", markup=False, highlight=False)
    start, end = training.flat_groups
    console.print(
        f"Groups whose rewards are all equal, which teach nothing: {start:.0%} at the start, {end:.0%} at the end",
        markup=False,
        highlight=False,
    )


def _warn_of_flat_groups(training: Training, console: Console) -> None:
    share = float(np.mean([step["flat_groups"] for step in training.curve]))
    if share >= FLAT:
        console.print(
            f"Warning: in the first {len(training.curve)} steps {share:.0%} of the groups have rewards that are all equal, "
            "which teach nothing. A deeper measure tells more completions apart (such as --set reward=ndcg@1000), and so do "
            f"words that the catalogue uses (--vocabulary {CATALOG}).",
            markup=False,
            highlight=False,
        )


def _words_of_file(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}; --vocabulary is {ENGLISH}, {CATALOG} or a text file")
    try:
        return read_words(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8, one word per line: {error}") from error


def _progress(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("Training"), BarColumn(), MofNCompleteColumn(), TextColumn("reward {task.fields[reward]:.3f}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, disable=not console.is_terminal)
