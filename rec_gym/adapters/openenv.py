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

from rec_gym._version import __version__
from rec_gym.adapters.openenv_client import RecommenderAction, RecommenderObservation, RecommenderState
from rec_gym.adapters.openenv_guard import Limits, SessionGuard
from rec_gym.adapters.openenv_tasks import ClientError, RequestOrder, SharedTasks, named_request
from rec_gym.dataset import TRAIN, VAL
from rec_gym.loop.episode import Episode
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.serving.gather import Gather
from rec_gym.serving.outcome import Turn

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from openenv.core.env_server import create_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import ConcurrencyConfig, EnvironmentMetadata
except ImportError as error:
    raise ImportError(f"this adapter needs OpenEnv: pip install 'rec-gym[openenv]' ({error})") from error


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
        self._orders: dict[str, RequestOrder] = {}
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
        named = named_request(gather.task, request_id, index)
        try:
            order = self._orders.setdefault(gather.task.split, RequestOrder(gather.task))
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

    A longer message is not read to its end. Messages of a kilobyte are not compressed: that took 0.3 ms of a step.
    """
    return {"ws_max_size": app.state.limits.max_message_bytes, "ws_per_message_deflate": False}


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)
