"""The demo: a policy learns to ask CornerShop from nothing but the ranking measure, and a table shows what it learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rec_gym._version import __version__
from rec_gym.cache import atomic_path, write_json
from rec_gym.cards import card_of
from rec_gym.evaluation import Interval, compare, evaluate
from rec_gym.loop.task import Task
from rec_gym.policies import make_policy
from rec_gym.policies.learner import LearnerSettings, WordPolicy, english_nouns
from rec_gym.words import words

TASK_ID = "RecR1-CornerShop-BM25-v0"
SPLITS = ("test", "ood-combination", "ood-phrasing", "ood-type")
MEASURE = "ndcg@10"
TRAINED = "trained"
# ndcg@10 alone leaves many groups without any difference of reward; the deeper measure tells their members apart.
REWARD = {"measure": "ndcg@100", "terms": {MEASURE: 1.0}}
PROMPTS, GROUP_SIZE = 64, 16


@dataclass
class Training:
    """A trained policy and its curve.

    Attributes:
        policy: what was trained.
        curve: for each step the mean reward, the share of groups without variance and the mean entropy of a draw.
    """

    policy: WordPolicy
    curve: list[dict[str, float]] = field(default_factory=list)


def train(steps: int, settings: LearnerSettings, console: Console, task_id: str = TASK_ID) -> Training:
    """Trains a policy through `gym.make_vec`; it sees request texts and rewards, nothing else.

    Args:
        steps: batches of 64 requests with 16 completions each.
        settings: of the learner; its seed also orders the requests.
        console: where progress goes.
        task_id: the environment.
    """
    env: Any = gym.make_vec(
        task_id, num_envs=PROMPTS * GROUP_SIZE, group_size=GROUP_SIZE, action="append", reward=REWARD
    )
    training = Training(WordPolicy(english_nouns(), settings))
    observations, _ = env.reset(seed=settings.seed)
    columns = (
        TextColumn("Training"), BarColumn(), MofNCompleteColumn(), TextColumn("reward {task.fields[reward]:.3f}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=steps, reward=0.0)
        for _ in range(steps):
            texts = observations[::GROUP_SIZE]
            completions, drawn = training.policy.sample(texts, GROUP_SIZE)
            observations, rewards, *_ = env.step(completions)
            training.curve.append(training.policy.learn(texts, drawn, rewards))
            progress.update(bar, advance=1, reward=training.curve[-1]["reward"])
    env.close()
    return training


def score(task: Task, policy: WordPolicy, splits: tuple[str, ...] = SPLITS) -> dict[str, dict[str, Interval]]:
    """NDCG@10 with 95% intervals: `{split: {policy: interval}}` for raw, RM3, the trained policy and the oracle."""
    scores: dict[str, dict[str, Interval]] = {}
    for split in splits:
        on = task.replace(split=split)
        policies = {name: make_policy(name, on) for name in ("raw", "rm3", "oracle")} | {TRAINED: policy}
        evaluations = [evaluate(on, policies[n], name=n, measures=[MEASURE]) for n in ("raw", "rm3", TRAINED, "oracle")]
        compared = compare(evaluations, [MEASURE])
        scores[split] = {e.name: compared.means[e.name][MEASURE] for e in evaluations}
    return scores


def run(
    *, seed: int = 0, steps: int = 600, output: Path | str = "runs/demo", console: Console | None = None
) -> dict[str, Any]:
    """Trains, evaluates once, and prints what came of it.

    Args:
        seed: of the draws and of the order of requests.
        steps: training steps.
        output: folder for `reward.png` and `result.json`.
        console: where the report goes; standard output by default.

    Returns:
        What `result.json` holds.
    """
    console = console or Console()
    output = Path(output)
    settings = LearnerSettings(seed=seed)
    console.print(f"{TASK_ID}: BM25 ranks the shop, NDCG is the reward, no example of a good query is ever shown.\n")
    training = train(steps, settings, console)
    task: Any = gym.make(TASK_ID, action="append", reward=MEASURE).unwrapped
    task = task.task
    scores = score(task, training.policy)
    console.print(_table(scores))
    console.print(_vocabulary_line(task, training.policy))
    console.print("\nWhat it writes (test):")
    for text, added in examples(task.replace(split="test"), training.policy):
        console.print(f"  {text}\n    + {added or '(nothing)'}", markup=False, highlight=False)
    console.print(f"\n{reading(scores)}", highlight=False)
    result = {
        "id": TASK_ID,
        "card": card_of(TASK_ID).hash,
        "version": __version__,
        "measure": MEASURE,
        "steps": steps,
        "settings": asdict(settings),
        "scores": {split: {name: asdict(value) for name, value in row.items()} for split, row in scores.items()},
        "curve": training.curve,
    }
    write_json(output / "result.json", result)
    plot(training.curve, output / "reward.png")
    console.print(f"\nReward curve: {output / 'reward.png'}, numbers: {output / 'result.json'}", highlight=False)
    return result


def examples(task: Task, policy: WordPolicy, count: int = 3) -> list[tuple[str, str]]:
    """The first requests of the split and what the policy adds to them."""
    rows = task.rows_of(task.start(task.request_ids[:count]))
    return [(row["text"], added) for row, added in zip(rows, policy(rows), strict=True)]


def reading(scores: dict[str, dict[str, Interval]]) -> str:
    """One sentence on what the table shows, made from its numbers."""
    test, phrasing, types = (scores[split] for split in ("test", "ood-phrasing", "ood-type"))
    gain = test[TRAINED].mean - test["raw"].mean
    if not test[TRAINED].low > test["raw"].high:  # nor where there is no interval
        return f"The policy is not yet above the raw query on test ({gain:+.3f} NDCG@10): train it for more steps."
    kept = max(0.0, phrasing[TRAINED].mean - phrasing["raw"].mean) / gain
    seen_types = "below" if types[TRAINED].high < types["raw"].low else "no better than"
    if types[TRAINED].low > types["raw"].high:
        seen_types = "above"
    # Said only where the numbers say it: little is left of the gain, and nothing on what training never showed.
    lesson = ": it has learned which words go with which wordings, not what they mean"
    return (
        f"The reward alone takes NDCG@10 on test from {test['raw'].mean:.2f} to {test[TRAINED].mean:.2f}; where shoppers "
        f"word their needs in ways that training never showed, {kept:.0%} of that gain is left, and on product types that "
        f"it never showed the policy is {seen_types} the raw query ({types[TRAINED].mean:.2f} against "
        f"{types['raw'].mean:.2f}){lesson if kept < 0.5 and seen_types != 'above' else ''}."
    )


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Draws the reward curve as a PNG.

    Raises:
        ImportError: matplotlib is missing; the message names the install command.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the reward curve needs matplotlib: pip install 'rec-gym[plot]'") from error
    rewards = np.array([step["reward"] for step in curve])
    window = max(1, len(rewards) // 30)
    smooth = np.convolve(rewards, np.ones(window) / window, mode="valid")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(rewards) + 1), rewards, color="0.8", linewidth=0.8, label="batch mean")
    axes.plot(np.arange(len(smooth)) + window, smooth, color="C0", label=f"mean of {window} steps")
    axes.set(xlabel="step", ylabel="reward (NDCG@100 + NDCG@10)", title="CornerShop: reward while training")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _table(scores: dict[str, dict[str, Interval]]) -> Table:
    table = Table(
        title="NDCG@10 [95% interval]", caption="references: RM3 reads the catalogue, the oracle knows what is wanted"
    )
    table.add_column("policy")
    for split in scores:
        table.add_column(split, justify="right", no_wrap=True)
    labels = {"raw": "raw", "rm3": "RM3", TRAINED: TRAINED, "oracle": "oracle"}
    for name, label in labels.items():
        # The interval stands below its mean, so that the table fits a terminal of 80 columns.
        cells = [f"{row[name].mean:.3f}\n{row[name].bounds}" for row in scores.values()]
        table.add_row(label, *map(Text, cells), style="bold" if name == TRAINED else None)
    return table


def _vocabulary_line(task: Task, policy: WordPolicy) -> str:
    catalogue = {word for batch in task.dataset.catalog.texts() for text in batch for word in words(text)}
    known = sum(word in catalogue for word in policy.vocabulary if word)
    return (
        f"Its vocabulary: {len(policy.vocabulary) - 1:,} English nouns from WordNet, chosen without the shop; "
        f"{known} of them are among the catalogue's {len(catalogue):,} words."
    )
