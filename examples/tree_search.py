"""Monte Carlo tree search over several turns of search, for training data or as an upper bound.

    python examples/tree_search.py --requests 200 --data runs/turns.jsonl
    python examples/tree_search.py --policy examples/hf_policy.py:HFSampler:PATH

After AlphaLLM (Tian et al. 2024, arXiv:2404.12253), whose critics are learned: here the reward itself is the critic. A node is an
episode so far, an action a completion that a policy proposes, the value of an episode the best of its turns. The search reads
the reward after every turn, which no policy may do. What it finds on train is data to learn from, with a value for every turn; on
any other split it is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from rec_gym import Episode, Task, make_task
from rec_gym.dataset import TRAIN
from rec_gym.evaluation import Evaluation, compare, evaluate, print_report, save_json
from rec_gym.loop.turns import STOP
from rec_gym.overrides import overrides_of
from rec_gym.policies import Policy, make_policy

from best_of_n import write_lines, written
from runs import plain

CHOSEN = "chosen by the true reward"


@dataclass(frozen=True)
class Arguments:
    """Settings of a run."""

    id: str = "RecR1-CornerShopRefine-BM25-v0"
    "environment; give it turns with --set turns=3 if it has one"
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    "settings of the environment, KEY=VALUE with VALUE in TOML, such as items=600"
    data_dir: Path | None = None
    "folder with the data, for ids that need one"
    policy: str = "edits:Edits"
    "what proposes completions, MODULE_OR_FILE:NAME[:ARG]; it should draw, so that copies of a row differ"
    split: str = TRAIN
    "split of the requests"
    requests: int = 0
    "number of requests to draw; 0 for all"
    simulations: int = 48
    "completions to score per request"
    width: int = 8
    "completions to propose per state"
    exploration: float = 0.02
    "weight of UCT's exploration, in shares of the reward's range"
    seed: int = 0
    "seed of policies that take one, such as edits.py"
    output: Path = Path("runs/tree-search")
    "folder for evaluation.json"
    data: Path | None = None
    "JSONL file for every turn of every tree, with its value"
    any_split: bool = False
    "let --data write requests of splits other than train; do not train on them"


@dataclass(eq=False)
class Node:
    """A state of a search, and the completion that led to it.

    Attributes:
        episode: the state.
        parent: the state before; None at the root.
        completion: what was written there.
        prompt: of the state; empty as long as nothing was proposed in it.
        proposed: completions that were proposed in it.
        untried: proposals whose turn has not come.
        children: the states that were reached, in the order in which they were tried.
        visits: simulations that went through the state.
        total: sum of the values that they found.
    """

    episode: Episode
    parent: Node | None = None
    completion: str = ""
    prompt: str = ""
    proposed: int = 0
    untried: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0

    @property
    def value(self) -> float:
        """Q of the completion: the mean value of the simulations that went through it."""
        return self.total / self.visits

    @property
    def finished(self) -> bool:
        """Whether nothing is left to try."""
        return self.episode.done or (self.spent and all(child.finished for child in self.children))

    @property
    def spent(self) -> bool:
        """Whether every proposal had its turn."""
        return self.proposed > 0 and not self.untried

    def walk(self) -> Iterator[Node]:
        """The node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def path(self) -> list[str]:
        """The completions from the root to here."""
        return [] if self.parent is None else [*self.parent.path(), self.completion]


def search(
    task: Task, propose: Policy, request_ids: Sequence[str], simulations: int, width: int, exploration: float = 0.0
) -> list[Node]:
    """One tree for each request; a simulation advances all of them by one completion, in one call of the task.

    A tree whose states are all tried stops early. Memory grows with requests times simulations.

    Raises:
        ValueError: `simulations` or `width` is below 1, or the policy wrote another number of completions than it was asked.
    """
    if simulations < 1 or width < 1:
        raise ValueError(f"simulations and width must be at least 1, not {simulations} and {width}")
    low, high = task.reward.range
    weight = exploration * (high - low)
    roots = [Node(episode) for episode in task.start(request_ids)]
    for _ in range(simulations):
        chosen = [select(root, weight) for root in roots if not root.finished]
        if not chosen:
            break
        new = [node for node in chosen if not node.proposed]
        if new:
            ask(task, propose, new, width)
        completions = [node.untried.pop(0) for node in chosen]
        episodes, _, _ = task.advance([node.episode for node in chosen], completions)
        for node, completion, episode in zip(chosen, completions, episodes, strict=True):
            node.children.append(Node(episode, node, completion))
            back_up(node.children[-1], episode.best)
    return roots


def select(root: Node, weight: float) -> Node:
    """Descends to a state with something to try: by UCT (Kocsis and Szepesvari 2006), finished branches left out."""
    node = root
    while node.spent:
        log_visits = math.log(node.visits)
        open_ones = [child for child in node.children if not child.finished]
        node = max(open_ones, key=lambda child: child.value + weight * math.sqrt(log_visits / child.visits))
    return node


def ask(task: Task, propose: Policy, nodes: Sequence[Node], width: int) -> None:
    """Has `width` completions proposed in each state, in one call; the policy finds a row's copies side by side."""
    rows = task.rows_of([node.episode for node in nodes])
    proposed = written(propose, [row for row in rows for _ in range(width)])
    for place, (node, row) in enumerate(zip(nodes, rows, strict=True)):
        node.prompt, node.proposed = row["prompt"], width
        node.untried = list(dict.fromkeys(proposed[place * width : (place + 1) * width]))


def back_up(node: Node | None, value: float) -> None:
    """Adds the result of a simulation to every state on its path."""
    while node is not None:
        node.visits += 1
        node.total += value
        node = node.parent


def best(roots: Sequence[Node]) -> Node:
    """The state with the best turn, the first and shallowest of equals."""
    tried = (node for root in roots for node in root.walk() if node.parent)
    return max(tried, key=lambda node: (node.episode.best, -node.episode.turn))


def turn_values(root: Node) -> Iterator[dict[str, Any]]:
    """Every completion of a tree, with its value Q(s, a) and its advantage Q(s, a) - V(s).

    V(s) is the mean of what the simulations found below the state, so that the advantages in a state sum to 0 when they are
    weighted by their visits.
    """
    for node in root.walk():
        if not node.children:
            continue
        mean = sum(child.total for child in node.children) / sum(child.visits for child in node.children)
        for child in node.children:
            yield {
                "request_id": child.episode.request_id,
                "turn": child.episode.turn,
                "prompt": node.prompt,
                "completion": child.completion,
                "value": child.value,
                "visits": child.visits,
                "advantage": child.value - mean,
            }


class Replay:
    """A policy that writes given completions, turn by turn, and then stops; it plays each request once."""

    def __init__(self, paths: Mapping[str, Sequence[str]], reference: str = "") -> None:
        self.reference = reference
        self.left = {request_id: iter(path) for request_id, path in paths.items()}

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The next completion of each row."""
        return [next(self.left[row["request_id"]], STOP) for row in rows]


def compared(task: Task, propose: Policy, arguments: Arguments) -> tuple[list[Node], list[Evaluation], dict[str, Any]]:
    """Tree search beside what as many calls of the task give without a tree; each is evaluated by replaying its best episodes.

    Returns:
        The trees, the evaluations, and how many completions were scored and proposed for a request.
    """
    limit, turns, requests = arguments.simulations, task.turns.limit, arguments.requests or None
    evaluations = [evaluate(task, make_policy("raw", task), name="raw", requests=requests)]
    ids = evaluations[0].request_ids
    chains = max(1, limit // turns)
    found = {
        "first proposal": search(task, propose, ids, 1, 1),
        # Some proposals are the same, and each is scored once, so twice as many are asked for.
        f"best of {limit}": search(task.replace(turns=1), propose, ids, limit, 2 * limit),
        f"best of {chains} episodes": search(task, propose, [name for name in ids for _ in range(chains)], turns, 1),
        "tree search": search(task, propose, ids, limit, arguments.width, arguments.exploration),
    }
    counts = {}
    for name, roots in found.items():
        size = len(roots) // len(ids)
        paths = {ids[place // size]: best(roots[place : place + size]).path() for place in range(0, len(roots), size)}
        replay = Replay(paths, "" if name == "first proposal" else CHOSEN)
        evaluations.append(evaluate(task, replay, name=name, requests=requests, seed=arguments.seed))
        counts[name] = {
            "scored": sum(root.visits for root in roots) / len(ids),
            "proposed": sum(node.proposed for root in roots for node in root.walk()) / len(ids),
        }
    return found["tree search"], evaluations, counts


def main(arguments: Arguments) -> None:
    """Searches, reports and saves."""
    a = arguments
    if a.data and a.split != TRAIN and not a.any_split:
        raise SystemExit(f"--data writes training data: of train, not of {a.split!r} (--any-split allows it)")
    task = make_task(a.id, split=a.split, **overrides_of(a.data_dir, a.set))
    if task.turns.reward == "last":
        raise SystemExit("the search values an episode at its best turn; turn_reward is 'gain' or 'best' for that")
    trees, evaluations, counts = compared(task, make_policy(a.policy, task, seed=a.seed), a)
    comparison = compare(evaluations)
    print_report(comparison)
    for name, count in counts.items():
        print(f"{name}: {count['scored']:.1f} completions scored per request, {count['proposed']:.1f} proposed")
    output = a.output / "evaluation.json"
    save_json(output, comparison, {"arguments": plain(a), "completions": counts})
    print(f"Saved: {output}")
    if a.data:
        lines = [line for root in trees for line in turn_values(root)]
        write_lines(a.data, lines)
        print(f"{len(lines):,} turns with their values: {a.data}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
