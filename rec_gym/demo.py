"""The demo: a policy learns to ask CornerShop from nothing but the ranking measure, and a table shows what it learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rec_gym._version import __version__
from rec_gym.cache import atomic_path, write_json
from rec_gym.cards import card_of
from rec_gym.evaluation import Interval, compare, evaluate
from rec_gym.evaluation.report import evaluate_command
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.policies import Policy, make_policy
from rec_gym.policies.learner import LearnerSettings, WordPolicy
from rec_gym.policies.references import VocabularyOracle
from rec_gym.policies.training import ENGLISH, Training, print_curve, read_vocabulary, train_words
from rec_gym.words import words

TASK_ID = "RecR1-CornerShop-BM25-v0"
SPLITS = ("test", "ood-combination", "ood-phrasing", "ood-type")
MEASURE = "ndcg@10"
TRAINED = "trained"
# ndcg@10 alone leaves many groups without any difference of reward; the deeper measure tells their members apart.
DEEPER = "ndcg@100"
REWARD = {"measure": DEEPER, "terms": {MEASURE: 1.0}}
ACTION = "append"
BEST_WORD, BEST_WORDS = "best-word", "best-words"  # references within the policy's own vocabulary
LABELS = {
    "raw": "raw", "rm3": "RM3", TRAINED: TRAINED, BEST_WORD: "best\nnoun", BEST_WORDS: "best 8\nnouns", "oracle": "oracle"
}  # fmt: skip
_SHOWN = 3  # titles of a ranking


@dataclass(frozen=True)
class Example:
    """What the policy makes of one request.

    Attributes:
        which: `best`, `median` or `worst` of the split, by what the policy gains over the raw request.
        request_id: the request.
        text: its text.
        added: what the policy adds to it.
        before: NDCG@10 of the raw request.
        after: NDCG@10 with what is added.
        titles_before: the first titles that the raw request finds; relevant ones begin with `* `.
        titles_after: those that the trained policy's query finds.
    """

    which: str
    request_id: str
    text: str
    added: str
    before: float
    after: float
    titles_before: list[str]
    titles_after: list[str]


def train(steps: int, settings: LearnerSettings, console: Console) -> tuple[Task, Training]:
    """The demo's task and a policy that was trained on it; see `rec_gym.policies.training`.

    Args:
        steps: batches of 64 requests with 16 completions each.
        settings: of the learner; its seed also orders the requests.
        console: where progress goes.

    Returns:
        The task, whose reward is the measure of the table, and the training.
    """
    task = make_task(TASK_ID, action=ACTION, reward=REWARD)
    training = train_words(task, read_vocabulary(ENGLISH, task), steps, settings, console)
    return task.replace(reward=MEASURE), training


def score(task: Task, policy: WordPolicy, splits: tuple[str, ...] = SPLITS) -> dict[str, dict[str, Interval]]:
    """NDCG@10 with 95% intervals: `{split: {policy: interval}}` for the policies and references of `LABELS`.

    The best words are those of the policy's own vocabulary, for each request: one word (exact), and as many as the policy
    may write (greedy, a lower bound).
    """
    best = VocabularyOracle(task, policy.vocabulary, policy.settings.draws, by=(MEASURE, DEEPER))
    own: dict[str, Policy] = {TRAINED: policy, BEST_WORD: best.limited(1), BEST_WORDS: best}
    scores: dict[str, dict[str, Interval]] = {}
    for split in splits:
        on = task.replace(split=split)
        policies = {name: own.get(name) or make_policy(name, on) for name in LABELS}
        compared = compare(
            [evaluate(on, one, name=name, measures=[MEASURE]) for name, one in policies.items()], [MEASURE]
        )
        scores[split] = {name: compared.means[name][MEASURE] for name in LABELS}
    return scores


def run(
    *, seed: int = 0, steps: int = 600, output: Path | str = "runs/demo", console: Console | None = None
) -> dict[str, Any]:
    """Trains, evaluates once, and prints the result.

    Args:
        seed: of the draws and of the order of requests.
        steps: training steps.
        output: folder for `policy.npz`, `reward.png` and `result.json`.
        console: where the report goes; standard output by default.

    Returns:
        What `result.json` holds.
    """
    console = console or Console()
    output = Path(output)
    settings = LearnerSettings(seed=seed)
    console.print(f"{TASK_ID}: BM25 ranks the shop, NDCG is the reward, no example of a good query is ever shown.\n")
    task, training = train(steps, settings, console)
    training.policy.save(output / "policy.npz")
    print_curve(training, console)
    scores = score(task, training.policy)
    console.print(_table(scores))
    console.print(_vocabulary_line(task, training.policy), highlight=False)
    shown = examples(task.replace(split="test"), training.policy)
    print_examples(shown, console)
    console.print(f"\n{reading(scores)}", highlight=False)
    result = {
        "id": TASK_ID,
        "card": card_of(TASK_ID).hash,
        "version": __version__,
        "measure": MEASURE,
        "action": ACTION,
        "steps": steps,
        "settings": asdict(settings),
        "scores": {split: {name: asdict(value) for name, value in row.items()} for split, row in scores.items()},
        "examples": [asdict(example) for example in shown],
        "curve": training.curve,
    }
    write_json(output / "result.json", result)
    plot(training.curve, output / "reward.png")
    console.print(f"\nReward curve: {output / 'reward.png'}, numbers: {output / 'result.json'}", highlight=False)
    console.print("The policy is saved; this evaluates it beside the raw request:", highlight=False)
    command = evaluate_command(TASK_ID, [], "test", ["raw", f"words:{output / 'policy.npz'}"])
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    return result


def examples(task: Task, policy: WordPolicy) -> list[Example]:
    """The requests of the split that gain most, gain the median, and gain least by the policy, by the task's reward.

    Requests are put into order by falling gain over the raw request, equals by their ids; the first, the middle and the
    last one are taken.
    """
    ids = task.request_ids
    rows = task.rows_of(task.start(ids))
    added = policy(rows)
    before, after = task.score(ids, [""] * len(ids)), task.score(ids, added)
    gains = after.rewards - before.rewards
    order = sorted(range(len(ids)), key=lambda place: (-gains[place], ids[place]))
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return [
        Example(
            which,
            ids[place],
            rows[place]["text"],
            added[place],
            float(before.rewards[place]),
            float(after.rewards[place]),
            _first_titles(task, before, place),
            _first_titles(task, after, place),
        )
        for which, place in chosen.items()
    ]


def print_examples(shown: list[Example], console: Console) -> None:
    """Prints examples: the request, what is added, and the reward and the first titles before and after."""
    console.print(
        "\nWhat it writes on test: the requests that gain most, the median and least of all in NDCG@10 (equals by id); "
        "relevant items are marked *",
        highlight=False,
    )
    for example in shown:
        gain = example.after - example.before
        console.print(f"\n{example.which} ({gain:+.2f}): {example.text}", markup=False, highlight=False)
        console.print(f"  + {example.added or '(nothing)'}", markup=False, highlight=False)
        table = Table.grid(padding=(0, 2))
        for _ in range(2):
            table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.expand = True
        table.add_row(f"  raw: {example.before:.2f}", f"trained: {example.after:.2f}")
        for old, new in zip(_padded(example.titles_before), _padded(example.titles_after), strict=True):
            table.add_row(Text(f"  {old}"), Text(new))
        console.print(table)


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


def _first_titles(task: Task, outcomes: Outcomes, place: int) -> list[str]:
    """The first titles of a ranking, relevant ones marked."""
    items = outcomes.top(_SHOWN)[place]
    items = items[items >= 0]
    [row] = task.dataset.index.positions([outcomes.request_ids[place]])
    relevant = set(task.dataset.relevant[row].tolist())
    titles = task.dataset.catalog.titles(items)
    return [f"{'*' if item in relevant else ' '} {title}" for item, title in zip(items.tolist(), titles, strict=True)]


def _padded(titles: list[str]) -> list[str]:
    return titles + [""] * (_SHOWN - len(titles))


def _table(scores: dict[str, dict[str, Interval]]) -> Table:
    table = Table(
        title=f"NDCG@10 [95% interval], action format {ACTION!r}: words are added to the request",
        caption="references: RM3 reads the catalogue; the best nouns are those of the policy's own vocabulary for each request, "
        "one (exact) and up to eight (greedy, a lower bound); the oracle adds the shop's own words for what is wanted",
    )
    table.add_column("policy")
    for split in scores:
        table.add_column(split, justify="right", no_wrap=True)
    for name, label in LABELS.items():
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
