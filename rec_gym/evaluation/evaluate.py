"""Evaluation: a policy plays every request of a split, and the results are kept request by request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rec_gym._version import __version__
from rec_gym.columns import is_number
from rec_gym.draws import seeded_order
from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.task import Task
from rec_gym.measures import Measure
from rec_gym.policies.base import Policy
from rec_gym.progress import Bar
from rec_gym.tables import unknown

MEASURES = ("ndcg@10", "ndcg@100", "recall@100")
BATCH_SIZE = 1024
REWARD = "reward"
SHUFFLES = 5  # of the candidates of a request


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a policy achieved on a split, request by request; n requests, samples of one request averaged.

    Attributes:
        name: the policy.
        reference: why its score is a reference and not a policy's; empty for a policy's.
        task_id: the registered id; empty for a task that was not made from an id.
        card_hash: SHA-256 of the id's card; empty without a card.
        version: of the package.
        split: the requests.
        samples: completions drawn for each request.
        seed: of the policy's draws, as the caller states it.
        settings: everything that makes the task (`Task.settings`), from which it can be rebuilt; where candidates are
            put into order, `shuffles` too.
        request_ids: n ids.
        users: who asked, object [n]; empty text if unknown.
        measures: `{name: float64 [n]}`.
        rewards: the total reward of each episode, float64 [n].
        text_stats: `{name: float64 [n]}`.
        parse_ok: share of the completions that parsed, float64 [n].
        clipped: share of the completions whose query was clipped, float64 [n].
        turns: completions in an episode, float64 [n].
        strata: `{name: float64 [n]}`, the dataset's numeric columns, such as `asked`.
        notes: what the loader of the data dropped or repaired, `{reason: count}`.
        spreads: in a task with shuffled candidates, `{measure or reward: float64 [n]}`: the standard deviation over the
            shuffles of a request, which is the policy's position bias; otherwise empty.
        lower_is_better: names of the measures of which a lower value is better.
    """

    name: str
    reference: str
    task_id: str
    card_hash: str
    version: str
    split: str
    samples: int
    seed: int
    settings: dict[str, Any]
    request_ids: list[str]
    users: np.ndarray
    measures: dict[str, np.ndarray]
    rewards: np.ndarray
    text_stats: dict[str, np.ndarray]
    parse_ok: np.ndarray
    clipped: np.ndarray
    turns: np.ndarray
    strata: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    spreads: dict[str, np.ndarray] = field(default_factory=dict)
    lower_is_better: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.request_ids)

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {self.values(name).mean():.4f}" for name in (*self.measures, REWARD))
        return f"Evaluation({self.name!r}, split={self.split!r}, {len(self):,} requests: {means})"

    def values(self, name: str) -> np.ndarray:
        """A measure, or `reward`, of each request, float64 [n].

        Raises:
            ValueError: it was not evaluated.
        """
        if name == REWARD:
            return self.rewards
        if name not in self.measures:
            raise ValueError(f"{name!r} was not evaluated: {unknown('measure', name, (*self.measures, REWARD))}")
        return self.measures[name]

    @property
    def origin(self) -> dict[str, Any]:
        """What the numbers were made from: id, card, version, split, settings, and what the loader dropped."""
        return {
            "id": self.task_id,
            "card_sha256": self.card_hash,
            "version": self.version,
            "split": self.split,
            "n": len(self),
            "samples": self.samples,
            "seed": self.seed,
            "settings": self.settings,
            "notes": self.notes,
        }


def evaluate(
    task: Task,
    policy: Policy,
    *,
    name: str = "",
    measures: Sequence[str | Measure | Callable[..., np.ndarray]] = MEASURES,
    samples: int = 1,
    shuffles: int | None = None,
    requests: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
) -> Evaluation:
    """Plays every request of the task's split to its end.

    In a task of several turns the measures and text statistics of a request are those of the turn with the best reward
    (the first of equals), its reward is what the whole episode paid, and the shares of parsed and clipped completions
    are over all its turns.

    Args:
        task: its split says which requests are evaluated.
        policy: a callable from rows to completions; it is called once per turn and batch.
        name: of the policy, for tables; by default the policy's own.
        measures: what to measure, besides what the reward needs.
        samples: completions for each request, averaged before any statistic; a request's rows are adjacent in the batch.
        shuffles: in a task with candidates, how many orders of each request's candidates to average over, with seeds
            counting up from the task's own; `spreads` holds the standard deviation. By default 5 if the task shuffles
            its candidates.
        requests: how many of the split's requests to draw, the same ones for every policy; by default all.
        seed: the seed of the policy's draws; it is only recorded, nothing is drawn here.
        batch_size: completions at a time, at most.
        progress: whether to show a progress bar on standard error if the work takes long.

    Raises:
        ValueError: an unknown measure, `samples`, `requests` or `batch_size` below 1, `shuffles` of a task that does
            not shuffle, or the policy did not write one completion per row.
        TypeError: the policy wrote something other than texts.
    """
    if samples < 1 or batch_size < 1 or (requests is not None and requests < 1):
        raise ValueError(
            f"samples, requests and batch_size must be at least 1, not {samples}, {requests} and {batch_size}"
        )
    name = name or str(getattr(policy, "__name__", type(policy).__name__))
    measured = task.replace(measures=[*measures, *task.measures])
    tasks = _shuffled(measured, shuffles)
    chosen = drawn_places(task, requests)
    ids = [measured.request_ids[place] for place in chosen]
    played = [_play_all(each, ids, policy, name, samples, max(1, batch_size // samples), progress) for each in tasks]
    columns = {key: np.mean([one[key] for one in played], axis=0) for key in played[0]}
    rows = measured.rows_in_split[chosen]
    table = task.dataset.table
    # The requested measures come first, in the order of the request.
    wanted = dict.fromkeys(map(str, [*map(Measure.parse, measures), *measured.measures]))
    return Evaluation(
        name=name,
        reference=str(getattr(policy, "reference", "")),
        task_id=task.name,
        card_hash=task.origin.card.get("sha256", ""),
        version=__version__,
        split=task.split,
        samples=samples,
        seed=seed,
        settings={**task.settings.as_table(), **({"shuffles": len(tasks)} if task.candidates is not None else {})},
        request_ids=ids,
        users=task.dataset.column("user", rows),
        measures={key: columns[f"measure/{key}"] for key in wanted},
        rewards=columns[REWARD],
        text_stats={key.removeprefix("text/"): value for key, value in columns.items() if key.startswith("text/")},
        parse_ok=columns["parse_ok"],
        clipped=columns["clipped"],
        turns=columns["turns"],
        notes=dict(task.dataset.notes),
        strata={f.name: task.dataset.column(f.name, rows).astype(float) for f in table.schema if is_number(f.type)},
        spreads=_spreads(played, wanted),
        lower_is_better=tuple(str(measure) for measure in measured.measures if measure.lower_is_better),
    )


def drawn_places(task: Task, requests: int | None) -> np.ndarray:
    """Indices of the requests that are played, in the split's order, int [n]; a function of split and number only."""
    if requests is None or requests >= len(task):
        return np.arange(len(task))
    return np.sort(seeded_order(len(task), "evaluated requests", task.split)[:requests])


def _shuffled(task: Task, shuffles: int | None) -> list[Task]:
    """The task with `shuffles` orders of its candidates, with consecutive seeds."""
    if task.candidates is None or not task.candidates.settings.shuffle:
        if shuffles not in (None, 1):
            raise ValueError(
                f"shuffles={shuffles} needs a task that shuffles candidates; this one does not, so leave it out"
            )
        return [task]
    settings = task.candidates.settings
    count = SHUFFLES if shuffles is None else shuffles
    if count < 1:
        raise ValueError(f"shuffles must be at least 1, not {count}")
    return [task.replace(candidates=replace(settings, seed=settings.seed + number)) for number in range(count)]


def _spreads(played: Sequence[dict[str, np.ndarray]], measures: Iterable[str]) -> dict[str, np.ndarray]:
    """The standard deviation over the shuffles of each request; empty if there is only one order."""
    if len(played) < 2:
        return {}
    keys = {**{name: f"measure/{name}" for name in measures}, REWARD: REWARD}
    return {name: np.std([one[key] for one in played], axis=0) for name, key in keys.items()}


def _play_all(
    task: Task, ids: list[str], policy: Policy, name: str, samples: int, step: int, progress: bool
) -> dict[str, np.ndarray]:
    """Plays the requests, `step` at a time; one float64 column per quantity, with one value per request."""
    parts = []
    with Bar(f"Evaluating {name}", len(ids)) if progress else nullcontext() as bar:
        for start in range(0, len(ids), step):
            group = ids[start : start + step]
            played = _play(task, policy, name, [request for request in group for _ in range(samples)])
            parts.append({key: value.reshape(-1, samples).mean(axis=1) for key, value in played.items()})
            if bar is not None:
                bar.advance(len(group))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _play(task: Task, policy: Policy, name: str, request_ids: list[str]) -> dict[str, np.ndarray]:
    """Plays one episode per id to its end; one float64 column per quantity."""
    episodes = task.start(request_ids)
    size = len(episodes)
    best: dict[str, np.ndarray] = {}  # of each episode's best turn
    sums = {key: np.zeros(size) for key in (REWARD, "parse_ok", "clipped", "turns")}
    live = np.arange(size)
    while live.size:
        before = [episodes[i] for i in live]
        rows = task.rows_of(before)
        after, outcomes, _ = task.advance(before, _completions(policy, name, rows))
        better = np.array([new.last > old.best for old, new in zip(before, after, strict=True)])
        for key, values in _columns(outcomes).items():
            best.setdefault(key, np.zeros(size))[live[better]] = values[better]
        sums[REWARD][live] += outcomes.rewards
        sums["parse_ok"][live] += outcomes.parse_ok
        sums["clipped"][live] += outcomes.clipped
        sums["turns"][live] += 1
        for place, episode in zip(live.tolist(), after, strict=True):
            episodes[place] = episode
        live = live[[not episode.done for episode in after]]
    shares = {key: sums[key] / sums["turns"] for key in ("parse_ok", "clipped")}
    return {**best, **sums, **shares}


def _columns(outcomes: Outcomes) -> dict[str, np.ndarray]:
    measures = {f"measure/{key}": values for key, values in outcomes.measures.items()}
    return measures | {f"text/{key}": values for key, values in outcomes.text_stats.items()}


def _completions(policy: Policy, name: str, rows: list[dict[str, Any]]) -> list[str]:
    completions = policy(rows)
    if isinstance(completions, str) or not hasattr(completions, "__len__"):
        raise TypeError(f"policy {name!r} must return a list of texts, not {type(completions).__name__}")
    if len(completions) != len(rows):
        raise ValueError(
            f"policy {name!r} wrote {len(completions)} completions for {len(rows)} rows; write one per row"
        )
    return list(completions)
