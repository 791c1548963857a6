"""Ray: a task whose completions are scored by replicas on a cluster.

    task = RayTask(rec_gym.make_task("RecR1-CornerShop-BM25-v0"), replicas=8)
    task.score(request_ids, completions)

It is a task like any other: environments, adapters, evaluation and `Gather` take it.
"""

from __future__ import annotations

import json
import pickle
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from rec_gym.loop.outcomes import Outcomes
from rec_gym.loop.settings import TaskSettings
from rec_gym.loop.task import Task
from rec_gym.making import make_task
from rec_gym.serving.joined import join_outcomes
from rec_gym.tables import checked

try:
    import ray
    from ray.exceptions import RayActorError
except ImportError as error:
    raise ImportError(f"a task on Ray needs Ray: pip install 'rec-gym[ray]' ({error})") from error

CHUNK, ATTEMPTS = 256, 3
AHEAD = 2  # chunks of one call that a replica has at a time: the next one is there when the first is done


class RayTask(Task):
    """A task that is scored by replicas, which are Ray actors.

    A replica makes the task from its settings, once; its index comes from the cache of its node, where all replicas map the
    same files. A task that holds objects, or is of a subclass, is sent as a pickle. Batches are cut into chunks, and each
    goes to the replica that has the least to do. A replica that dies is replaced and its chunk scored again; outcomes are
    those of the task. Errors are too: an invalid request is a `KeyError` or `ValueError` here as there.

    Replicas are started by the first batch. Where Ray runs already, in a driver, a task or an actor, they are started there and
    Ray is left running; otherwise Ray is started on this machine and `close` stops it.

    Args:
        task: what is scored; the process that makes this one needs it for prompts and episodes.
        replicas: how many; by default as many as the cluster has CPUs for, at the first batch.
        chunk: completions of one call, at most.
        num_cpus: CPUs that Ray reserves for a replica.
        attempts: how often a chunk is tried if replicas die over it.
        rankings: whether outcomes hold their rankings; by default in tasks of several turns, whose observations need them.

    Raises:
        TypeError: `task` is not a task.
        ValueError: a number is of the wrong type or out of range; the task is on Ray already.
    """

    def __init__(
        self,
        task: Task,
        replicas: int | None = None,
        *,
        chunk: int = CHUNK,
        num_cpus: float = 1.0,
        attempts: int = ATTEMPTS,
        rankings: bool | None = None,
    ) -> None:
        if not isinstance(task, Task):
            raise TypeError(f"replicas need a task, such as rec_gym.make_task(ID), not {type(task).__name__}")
        if isinstance(task, RayTask):
            raise ValueError(f"{task!r} is on Ray already; give its .local to another RayTask")
        checked(replicas, int | None, "replicas")
        for name, value, least in (("replicas", replicas, 1), ("chunk", chunk, 1), ("attempts", attempts, 1)):
            if value is not None and checked(value, int, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if checked(num_cpus, float, "num_cpus") <= 0:
            raise ValueError(f"num_cpus must be above 0, not {num_cpus}")
        vars(self).update(vars(task))  # everything but scoring is the task's
        self.local = task
        self._rankings = task.turns.limit > 1 if rankings is None else rankings
        self._options: dict[str, Any] = {
            "replicas": replicas,
            "chunk": chunk,
            "num_cpus": num_cpus,
            "attempts": attempts,
        }
        self._options["rankings"] = rankings
        self._pool = _Pool(_source(task), replicas, num_cpus)

    def __repr__(self) -> str:
        return f"RayTask({self.local!r}, replicas={self._options['replicas']})"

    def replace(self, **overrides: object) -> RayTask:
        """The same task with other settings, on replicas of its own."""
        return RayTask(self.local.replace(**overrides), **self._options)

    def score(self, request_ids: Sequence[str], completions: Sequence[str]) -> Outcomes:
        """Scores completions on the replicas; see `Task.score`.

        Raises:
            ValueError, KeyError, TypeError, RecommenderError: see `Task.score`.
            RuntimeError: replicas died `attempts` times over the same chunk, or cannot be started.
        """
        if isinstance(request_ids, str) or isinstance(completions, str) or len(request_ids) != len(completions):
            return self.local.score(request_ids, completions)  # which says what is wrong
        size = self._options["chunk"]
        ids, texts = list(request_ids), list(completions)
        chunks = [(ids[start : start + size], texts[start : start + size]) for start in range(0, len(ids), size)]
        if not chunks:
            return self.local.score([], [])
        return join_outcomes(self._pool.score(chunks, self._rankings, self._options["attempts"]))

    def close(self) -> None:
        """Ends the replicas, and Ray if it was started for them. The next batch starts others."""
        self._pool.close()

    def __enter__(self) -> RayTask:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _on_ray, (self.local, self._options)


def _on_ray(task: Task, options: dict[str, Any]) -> RayTask:
    return RayTask(task, **options)


def _source(task: Task) -> str | bytes:
    """What a replica makes the task from: its settings as JSON, or a pickle where they do not say everything."""
    settings = task.settings
    if type(task) is not Task or settings.objects():
        return ray.cloudpickle.dumps(task)  # which takes classes of a script or a notebook along
    return json.dumps(settings.as_table())


class _Replica:
    """The actor: a task, and nothing that changes."""

    def __init__(self, source: str | bytes) -> None:
        if isinstance(source, bytes):
            self._task: Task = pickle.loads(source)
        else:
            self._task = make_task(TaskSettings.from_table(json.loads(source)))

    def score(
        self, request_ids: list[str], completions: list[str], rankings: bool
    ) -> tuple[Outcomes | None, Exception | None]:
        """The outcomes, or the error: as a value, because Ray would wrap it into one of another type."""
        try:
            outcomes = self._task.score(request_ids, completions)
            if rankings:
                _ = outcomes.rankings  # a pickle holds what was looked at
        except Exception as error:
            return None, error
        return outcomes, None


class _Pool:
    """Replicas, started when they are needed; thread-safe."""

    def __init__(self, source: str | bytes, replicas: int | None, num_cpus: float) -> None:
        self._source, self._wanted, self._num_cpus = source, replicas, num_cpus
        self._lock = threading.Lock()
        self._replicas: list[Any] = []
        self._loads: list[int] = []  # completions that each replica has been given and has not answered
        self._reference: Any = None
        self._started_ray = False

    def score(self, chunks: Sequence[tuple[list[str], list[str]]], rankings: bool, attempts: int) -> list[Outcomes]:
        """The outcomes of each chunk, in order; the first error is raised."""
        self._start()
        done: list[Outcomes | None] = [None] * len(chunks)
        left, tries = deque(range(len(chunks))), [0] * len(chunks)
        asked: dict[Any, tuple[int, int, Any]] = {}  # answer -> chunk, place of the replica, replica
        try:
            while left or asked:
                while left and len(asked) < AHEAD * len(self._replicas):
                    number = left.popleft()
                    place, replica = self._take(len(chunks[number][0]))
                    asked[replica.score.remote(*chunks[number], rankings)] = (number, place, replica)
                [answer], _ = ray.wait(list(asked), num_returns=1)
                number, place, replica = asked.pop(answer)
                try:
                    outcomes, error = ray.get(answer)
                except RayActorError as death:
                    tries[number] += 1
                    self._replace(place, replica)
                    if tries[number] == attempts:
                        raise RuntimeError(
                            f"{attempts} replicas died over the same {len(chunks[number][0])} completions, or could not be "
                            f"started: {death}"
                        ) from death
                    left.appendleft(number)
                    continue
                except BaseException:
                    self._give_back(place, replica, len(chunks[number][0]))
                    raise
                self._give_back(place, replica, len(chunks[number][0]))
                if error is not None:
                    raise error
                done[number] = outcomes
        finally:
            for number, place, replica in asked.values():  # after an error: what was asked is not waited for
                self._give_back(place, replica, len(chunks[number][0]))
        return [outcomes for outcomes in done if outcomes is not None]

    def close(self) -> None:
        """Ends all replicas."""
        with self._lock:
            replicas, self._replicas, self._loads, self._reference = self._replicas, [], [], None
            started, self._started_ray = self._started_ray, False
        if ray.is_initialized():
            for replica in replicas:
                ray.kill(replica)
            if started:
                ray.shutdown()

    def _start(self) -> None:
        with self._lock:
            if self._replicas:
                return
            if not ray.is_initialized():
                ray.init(include_dashboard=False, log_to_driver=False)
                self._started_ray = True
            # One copy in each node's store, however many replicas there are.
            self._reference = ray.put(self._source)
            count = self._wanted or max(1, int(ray.cluster_resources().get("CPU", 1) / self._num_cpus))
            self._replicas = [self._make() for _ in range(count)]
            self._loads = [0] * count

    def _make(self) -> Any:
        return ray.remote(_Replica).options(num_cpus=self._num_cpus).remote(self._reference)

    def _take(self, size: int) -> tuple[int, Any]:
        """The replica with the least to do, and its place; it gets `size` completions more."""
        with self._lock:
            if not self._replicas:
                raise RuntimeError("the replicas were closed while a batch was scored")
            place = min(range(len(self._replicas)), key=self._loads.__getitem__)
            self._loads[place] += size
            return place, self._replicas[place]

    def _give_back(self, place: int, replica: Any, size: int) -> None:
        with self._lock:
            if place < len(self._replicas) and self._replicas[place] is replica:
                self._loads[place] -= size

    def _replace(self, place: int, dead: Any) -> None:
        """Another replica instead of a dead one, unless another thread has been here before."""
        with self._lock:
            if place < len(self._replicas) and self._replicas[place] is dead:
                self._replicas[place], self._loads[place] = self._make(), 0
