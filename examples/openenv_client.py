"""Rollouts against an OpenEnv server: groups of sessions on the same request, batch after batch.

    rec-gym serve RecR1-CornerShop-BM25-v0 --port 8000
    python examples/openenv_client.py --url http://127.0.0.1:8000

Without `--url` it starts its own server. `write` takes the place of a language model: it gets every text that waits for a
completion, one batch per turn. The output folder holds `rollouts.json`. Needs the extras `openenv,examples`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro

from rec_gym.adapters.openenv import make_app, serving
from rec_gym.adapters.openenv_client import RecommenderClient
from rec_gym.adapters.openenv_guard import Limits
from rec_gym.cache import write_json

from runs import plain


@dataclass(frozen=True)
class Arguments:
    """What to play."""

    url: str = ""
    "address of a server; without one, a server of --id is started"
    id: str = "RecR1-CornerShop-BM25-v0"
    "environment of the server that is started"
    split: str = "train"
    "split to play"
    batches: int = 3
    "batches of rollouts"
    groups: int = 8
    "requests per batch"
    group_size: int = 4
    "sessions per request"
    seed: int = 0
    "seed of the order of requests and of the draws"
    output: Path = Path("runs/openenv")
    "folder of the results"


@dataclass
class Rollout:
    """What happened in one session from a reset to the end of the episode."""

    request_id: str
    completions: list[str]
    rewards: list[float]
    measures: dict[str, float]

    @property
    def total(self) -> float:
        """The return."""
        return sum(self.rewards)


def write(texts: Sequence[str], random: np.random.Generator) -> list[str]:
    """The policy: a random half of the words that it sees."""
    kept = []
    for text in texts:
        words = text.split()
        kept.append(" ".join(word for word, keep in zip(words, random.random(len(words)) < 0.5, strict=True) if keep))
    return kept


async def play(
    clients: Sequence[RecommenderClient],
    request_ids: Sequence[str],
    split: str,
    policy: Callable[[Sequence[str]], list[str]],
) -> list[Rollout]:
    """One episode in every session, side by side; the policy is called once per turn, for all that still play.

    Args:
        clients: connected sessions.
        request_ids: the request of each.
        split: of the requests.
        policy: from texts to completions.
    """
    resets = (client.reset(request_id=name, split=split) for client, name in zip(clients, request_ids, strict=True))
    seen = list(await asyncio.gather(*resets))
    rollouts = [Rollout(name, [], [], {}) for name in request_ids]
    while running := [place for place, result in enumerate(seen) if not result.done]:
        completions = policy([seen[place].observation.text for place in running])
        steps = (clients[place].step(text) for place, text in zip(running, completions, strict=True))
        for place, text, result in zip(running, completions, await asyncio.gather(*steps), strict=True):
            seen[place] = result
            rollouts[place].completions.append(text)
            rollouts[place].rewards.append(result.reward)
            rollouts[place].measures = result.observation.measures
    return rollouts


async def next_requests(client: RecommenderClient, count: int, split: str, seed: int | None) -> list[str]:
    """The next requests in the order of `seed`; None continues the previous order."""
    seeds = [seed] + [None] * (count - 1)
    return [(await client.reset(seed=given, split=split)).observation.request_id for given in seeds]


async def rollouts(url: str, arguments: Arguments) -> list[list[Rollout]]:
    """All batches, over `groups * group_size` sessions and one that draws the requests."""
    a = arguments
    random = np.random.default_rng(a.seed)
    batches = []
    async with AsyncExitStack() as stack:
        leader = await stack.enter_async_context(RecommenderClient(url))
        clients = [await stack.enter_async_context(RecommenderClient(url)) for _ in range(a.groups * a.group_size)]
        for batch in range(a.batches):
            ids = await next_requests(leader, a.groups, a.split, None if batch else a.seed)
            members = np.repeat(ids, a.group_size).tolist()
            batches.append(await play(clients, members, a.split, lambda texts: write(texts, random)))
            returns = np.array([rollout.total for rollout in batches[-1]]).reshape(a.groups, a.group_size)
            # A group in which all earn the same teaches a group-relative method nothing.
            flat = np.mean(returns.std(axis=1) == 0)
            best = returns.max(axis=1).mean()
            print(f"batch {batch}: reward {returns.mean():.4f}, best of group {best:.4f}, flat groups {flat:.2f}")
    return batches


def main(arguments: Arguments) -> None:
    """Plays, reports and saves."""
    sessions = arguments.groups * arguments.group_size + 1
    own = (
        serving(make_app(arguments.id, Limits(max_sessions=sessions)))
        if not arguments.url
        else nullcontext(arguments.url)
    )
    with own as url:
        batches = asyncio.run(rollouts(url, arguments))
    file = arguments.output / "rollouts.json"
    write_json(file, {"arguments": plain(arguments), "batches": [[asdict(one) for one in batch] for batch in batches]})
    print(f"Saved in {file}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
