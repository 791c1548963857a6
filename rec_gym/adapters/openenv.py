"""OpenEnv, server side: any registered id behind a port, with one index for all sessions.

    rec-gym serve RecR1-CornerShop-BM25-v0 --port 8000 --set action=append

Only requests and texts are sent; relevance judgements stay on the server. `rec_gym.adapters.openenv_client` is the client.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.utils import seeding

from rec_gym._version import __version__
from rec_gym.adapters.openenv_client import RecommenderAction, RecommenderObservation, RecommenderState
from rec_gym.adapters.openenv_guard import Limits, SessionGuard
from rec_gym.dataset import ALL, TRAIN, VAL
from rec_gym.env import make_sampler
from rec_gym.loop.episode import Episode
from rec_gym.loop.sampling import RequestSampler
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.serving.gather import Gather
from rec_gym.serving.outcome import Turn
from rec_gym.tables import unknown

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from openenv.core.env_server import create_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import ConcurrencyConfig, EnvironmentMetadata
except ImportError as error:
    raise ImportError(f"this adapter needs OpenEnv: pip install 'rec-gym[openenv]' ({error})") from error

# The groups of an outcome's columns, and the fields of an observation that hold them.
_GROUPS = {"measure": "measures", "term": "terms", "text": "text_stats"}
_SCORES = ("measures", "terms")


class ClientError(ValueError):
    """A client's request is invalid; the client gets the message, and its session continues."""


class SharedTasks:
    """The tasks of a server, one per split; they share one recommender, and all sessions share them.

    Args:
        task: the task of the default split.
        scores_each_turn: whether observations hold measures and terms before the episode ends.
    """

    def __init__(self, task: Task, scores_each_turn: bool = False) -> None:
        self.default, self.scores_each_turn = task.split, scores_each_turn
        self.splits = task.dataset.splits + ((ALL,) if task.split == ALL else ())
        self._task = task
        self._gatherers = {task.split: Gather(task)}
        self._blanks: dict[str, dict[str, dict[str, float]]] = {}

    def __repr__(self) -> str:
        return repr(self._task)

    def of(self, split: str | None) -> Task:
        """The task of a split, made on first use.

        Raises:
            ClientError: unknown split.
        """
        return self.gather(split).task

    def gather(self, split: str | None) -> Gather:
        """What gathers the steps of all sessions that play a split; None is the default split.

        Raises:
            ClientError: unknown split.
        """
        split = self.default if split is None else split
        if split not in self.splits:
            raise ClientError(unknown("split", split, self.splits))
        if split not in self._gatherers:
            # Two sessions may get here at once, and must then share one.
            self._gatherers.setdefault(split, Gather(self._task.replace(split=split)))
        return self._gatherers[split]

    def groups(self, columns: Mapping[str, Any], done: bool) -> dict[str, dict[str, float]]:
        """The measures, terms and text statistics of an observation.

        A client may pass the whole observation to its policy, so it has no score that the policy could still exploit:
        measures and terms are empty until the episode ends.
        """
        groups = _groups(columns)
        return groups if done or self.scores_each_turn else groups | {field: {} for field in _SCORES}

    def is_ready(self, split: str) -> bool:
        """Whether the task of a split has been made and has searched once."""
        return split in self._blanks

    def blank(self, split: str) -> dict[str, dict[str, float]]:
        """The value of `groups` for an episode that has just begun: every number is 0."""
        if split not in self._blanks:
            task = self.of(split)
            [text] = task.observe(task.start(task.request_ids[:1]))
            columns = task.score(task.request_ids[:1], [text]).columns()
            self._blanks[split] = self.groups(dict.fromkeys(columns, 0.0), done=False)
        return {field: dict(group) for field, group in self._blanks[split].items()}


class RecommenderEnvironment(Environment):
    """One session: an episode, and for each split that it plays the order of its requests.

    All sessions share the tasks, and those that wait for a reset or a step at the same time are served by one call. The
    coroutines are for OpenEnv's sessions, the methods without `async` for its plain HTTP routes; they do the same.

    It also lists the tasks (OpenEnv's word for requests) of each split.

    Args:
        tasks: the server's tasks.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: SharedTasks) -> None:
        super().__init__()
        self._tasks = tasks
        self._orders: dict[str, _Order] = {}
        self._gather = tasks.gather(None)
        self._episode: Episode | None = None  # None if no episode is running
        self._state = RecommenderState()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        request_id: str | None = None,
        split: str | None = None,
        index: int | None = None,
        **others: Any,
    ) -> RecommenderObservation:
        """Starts an episode on the next request of a split, or on the named one.

        Args:
            seed: of the order of the requests, from this reset on; the same order as in
                `gym.make(id, split=split).reset(seed=seed)`. Without a seed, every session draws its own.
            episode_id: a name for the episode.
            request_id: names the request.
            split: by default the server's. Each split has its own order.
            index: names the request by its index in the split, as in the list of tasks.
            others: refused.

        Raises:
            ClientError: an unknown keyword, split, request or index, or an invalid seed.
        """
        gather, named = self._asked_for(seed, episode_id, request_id, split, index, others)
        started = gather.start_one(named)
        return self._begin(gather, episode_id, *started)

    async def reset_async(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        request_id: str | None = None,
        split: str | None = None,
        index: int | None = None,
        **others: Any,
    ) -> RecommenderObservation:
        """`reset` as a coroutine; its arguments and errors are the same."""
        if split in self._tasks.splits and not self._tasks.is_ready(split):
            await asyncio.to_thread(self._tasks.blank, split)  # makes the task of the split
        gather, named = self._asked_for(seed, episode_id, request_id, split, index, others)
        started = await gather.start_one_async(named)
        return self._begin(gather, episode_id, *started)

    def step(self, action: RecommenderAction, timeout_s: float | None = None, **unused: Any) -> RecommenderObservation:
        """Scores what the policy wrote.

        Args:
            action: the completion.
            timeout_s: not used; a step is one search.
            unused: further arguments of OpenEnv's HTTP route.

        Raises:
            ClientError: no episode is running.
            RecommenderError: the recommender failed; the step may be retried.
        """
        return self._go_on(self._gather.advance_one(self._running(), action.text))

    async def step_async(
        self, action: RecommenderAction, timeout_s: float | None = None, **unused: Any
    ) -> RecommenderObservation:
        """`step` as a coroutine; its arguments and errors are the same."""
        return self._go_on(await self._gather.advance_one_async(self._running(), action.text))

    def _asked_for(
        self, seed: Any, episode_id: Any, request_id: Any, split: Any, index: Any, others: Mapping[str, Any]
    ) -> tuple[Gather, str]:
        """The request of a reset. Whatever can fail comes before the order goes on: a refused reset changes nothing."""
        if others:
            names = "seed, episode_id, request_id, split, index"
            raise ClientError(f"reset takes {names}; not {next(iter(others))!r}")
        if not isinstance(episode_id, str | None):
            raise ClientError(f"episode_id is a text, not {episode_id!r}")
        gather = self._tasks.gather(split)
        named = _named(gather.task, request_id, index)
        try:
            order = self._orders.setdefault(gather.task.split, _Order(gather.task))
            order.start_over(seed)
        except gym.error.Error as error:
            raise ClientError(str(error)) from error
        return gather, order.next() if named is None else named

    def _begin(self, gather: Gather, episode_id: str | None, episode: Episode, text: str) -> RecommenderObservation:
        split = gather.task.split
        self._gather, self._episode = gather, episode
        self._state = RecommenderState(
            episode_id=str(uuid.uuid4()) if episode_id is None else episode_id,
            request_id=episode.request_id,
            split=split,
        )
        return RecommenderObservation(
            text=text, split=split, request_id=episode.request_id, turn=0, **self._tasks.blank(split)
        )

    def _running(self) -> Episode:
        if self._episode is None:
            raise ClientError(
                "there is no running episode; call reset first, over a session (/ws) rather than plain HTTP"
            )
        return self._episode

    def _go_on(self, turn: Turn) -> RecommenderObservation:
        after, info = turn.episode, turn.outcome.columns()
        self._state.step_count = after.turn
        self._episode = None if after.done else after
        return RecommenderObservation(
            text=turn.observation,
            split=self._state.split,
            request_id=after.request_id,
            turn=after.turn,
            reward=turn.outcome.reward,
            done=after.done,
            **{key: value for key, value in info.items() if "/" not in key},
            **self._tasks.groups(info, after.done),
        )

    @property
    def state(self) -> RecommenderState:
        """The episode, its request, and the completions so far."""
        return self._state.model_copy()

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, description and version of the server."""
        return EnvironmentMetadata(
            name=self._tasks.of(None).name or "rec_gym", description=repr(self._tasks), version=__version__
        )

    # OpenEnv's list of tasks: the requests, without their relevant items

    def list_splits(self) -> list[dict[str, str]]:
        """The splits that `reset` takes, each with its purpose; a named shift such as `ood-type` is for testing."""
        types = {TRAIN: "train", VAL: "validation"}
        return [{"name": split, "type": types.get(split, "test")} for split in self._tasks.splits]

    def num_tasks(self, split: str) -> int:
        """Requests in a split."""
        return len(self._tasks.of(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Every request of a split: `id` (the `request_id` of a reset), `index`, `split`, `text`."""
        return self.get_task_range(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One request.

        Raises:
            IndexError: the index is outside the split.
        """
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(f"split {split!r} has no index {index}")
        return self.get_task_range(split, index, index + 1)[0]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """The requests of a slice of a split."""
        task = self._tasks.of(split)
        texts = task.dataset.texts(task.rows_in_split[start:stop])
        places = range(len(task))[start:stop]
        return [
            {"id": task.request_ids[place], "index": place, "split": split, "text": text}
            for place, text in zip(places, texts, strict=True)
        ]


def make_app(
    task_id: str, limits: Limits | None = None, *, scores_each_turn: bool = False, **overrides: Any
) -> FastAPI:
    """The server of a registered id, as an ASGI app; it has already searched once, so nothing is compiled in a session.

    Args:
        task_id: a registered id.
        limits: on sessions and messages.
        scores_each_turn: whether observations hold measures and terms before the episode ends. A client that shows the
            whole observation to its policy then reveals its score.
        overrides: see `rec_gym.make_task`; `split` is the default split.
    """
    return app_of(make_task(task_id, **overrides), limits, scores_each_turn=scores_each_turn)


def app_of(task: Task, limits: Limits | None = None, *, scores_each_turn: bool = False) -> FastAPI:
    """The server of a task; see `make_app`."""
    tasks, limits = SharedTasks(task, scores_each_turn), limits or Limits()
    tasks.blank(task.split)
    # Sessions that OpenEnv opens over plain HTTP (/mcp) have no connection for the guard to watch. OpenEnv's own timeout ends
    # them; it is longer, because it would otherwise forget a session before the guard ends it.
    forgotten = None if limits.idle_timeout is None else 2 * limits.idle_timeout
    app = create_app(
        partial(RecommenderEnvironment, tasks),
        RecommenderAction,
        RecommenderObservation,
        env_name=task.name or "rec_gym",
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=limits.max_sessions, session_timeout=forgotten),
        state_cls=RecommenderState,
    )
    app.add_exception_handler(ClientError, _refuse)
    app.add_middleware(SessionGuard, limits=limits)
    app.state.limits = limits
    return app


@contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Runs a server in a thread of this process, and yields its address; port 0 takes a free one.

    Raises:
        RuntimeError: the server did not start.
    """
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5, **_socket_settings(app)
    )
    server = uvicorn.Server(config)

    def work() -> None:
        with suppress(SystemExit):  # how uvicorn says that it could not start; it has logged why
            server.run()

    thread = threading.Thread(target=work, name="rec-gym-openenv", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError(f"the server did not start on {host}:{port}; is the port taken?")
        time.sleep(0.01)
    try:
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def run(app: FastAPI, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Runs a server in this thread until it is interrupted.

    Raises:
        SystemExit: the server did not start; it has logged why.
    """
    uvicorn.run(app, host=host, port=port, **_socket_settings(app))


def _socket_settings(app: FastAPI) -> dict[str, Any]:
    """How uvicorn reads and writes messages.

    A longer message is not read to its end. Messages of a kilobyte are not compressed: that took a tenth of a step.
    """
    return {"ws_max_size": app.state.limits.max_message_bytes, "ws_per_message_deflate": False}


class _Order:
    """The requests of a split one after another, in the order of `RecommenderEnv`."""

    def __init__(self, task: Task) -> None:
        self._task, self._count = task, 0
        self._sampler: RequestSampler | None = None

    def start_over(self, seed: int | None) -> None:
        """Begins the order of a seed; without one, a random order if there is none yet.

        Raises:
            gymnasium.error.Error: the seed is invalid.
        """
        if seed is not None or self._sampler is None:
            _, drawn = seeding.np_random(seed)
            self._sampler, self._count = make_sampler(self._task, drawn), 0

    def next(self) -> str:
        """The id of the next request."""
        assert self._sampler is not None
        place = self._sampler.at(0, self._count)
        self._count += 1
        return self._task.request_ids[place]


def _named(task: Task, request_id: Any, index: Any) -> str | None:
    """The request that a reset names, or None; a client may send values of any type."""
    if request_id is not None and index is not None:
        raise ClientError("name the request of a reset by request_id or by index, not by both")
    if request_id is not None:
        if not isinstance(request_id, str):
            raise ClientError(f"request_id is a text, not {request_id!r}")
        try:
            [episode] = task.start([request_id])
        except KeyError as error:
            raise ClientError(str(error.args[0])) from error
        except ValueError as error:
            raise ClientError(f"request {request_id!r} is not in split {task.split!r}; name its split too") from error
        return episode.request_id
    if index is None:
        return None
    if type(index) is not int or not 0 <= index < len(task):
        raise ClientError(f"index is a whole number from 0 to {len(task) - 1:,} in split {task.split!r}, not {index!r}")
    return task.request_ids[index]


def _groups(columns: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The columns named `measure/...`, `term/...` and `text/...` as the fields of an observation."""
    groups: dict[str, dict[str, float]] = {field: {} for field in _GROUPS.values()}
    for key, value in columns.items():
        kind, slash, name = key.partition("/")
        if slash:
            groups[_GROUPS[kind]][name] = float(value)
    return groups


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)
