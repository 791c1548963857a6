"""Jobs in separate processes, which may be killed at any moment.

A process that has imported everything forks for each job: a job starts within milliseconds, and does not inherit what an
earlier one has verified. Its end is observed from outside, so that a signal can be distinguished from an error.

    python -m benchmarks.attacks.worker    # started by `Worker`: orders in, ends out, one line of JSON each
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LIMIT = 300  # seconds after which a job hangs
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        signal: what ended the process; 0 if it ended by itself.
        seconds: how long it lasted.
        value: what it returned, as JSON; None if it did not return.
        error: the names of the error's class and its bases; empty if none was raised.
        message: of the error.
        said: warnings.
    """

    signal: int
    seconds: float
    value: Any = None
    error: list[str] = field(default_factory=list)
    message: str = ""
    said: list[str] = field(default_factory=list)


class Worker:
    """Runs jobs; use it in a `with` block. It needs a system that forks.

    Args:
        with_kernels: whether jobs begin with compiled kernels, which are those of this process's cache folder.
    """

    def __init__(self, *, with_kernels: bool = True) -> None:
        # faiss, BLAS and Arrow have threads, which a fork would lose.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attacks.worker", "with" if with_kernels else "without"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, job: str, home: Path, kill_after: float | None = None, **arguments: Any) -> Ended:
        """Does a job with `home` as the cache folder; it is killed if it lasts longer than `kill_after` seconds.

        Raises:
            AssertionError: the job hangs.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"job": job, "home": str(home), "kill_after": kill_after, "arguments": arguments}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the worker has ended"
        ended = Ended(**json.loads(line))
        assert ended.seconds < LIMIT, f"{job} hangs: {order}"
        return ended


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(read)
        _do(order, write)
    os.close(write)
    limit = LIMIT if order["kill_after"] is None else order["kill_after"]
    if not select.select([read], [], [], limit)[0]:
        os.kill(child, signal.SIGKILL)
    with open(read, "rb") as answer:
        content = answer.read()
    status = os.waitpid(child, 0)[1]
    ended = {"signal": status & 0x7F, "seconds": time.monotonic() - start}
    return ended | (json.loads(content) if content and not ended["signal"] else {})


def _do(order: dict[str, Any], write: int) -> None:
    """In the new process, which this ends."""
    from benchmarks.attacks.jobs import JOBS

    os.environ["REC_GYM_HOME"] = order["home"]
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("rec_gym").addHandler(handler)
    for stream in (1, 2):  # stdout carries orders and ends, and progress does not matter
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    answer: dict[str, Any]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            answer = {"value": JOBS[order["job"]](**order["arguments"])}
        except Exception as error:
            answer = {"error": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
    said += [str(warning.message) for warning in warned]
    with open(write, "wb") as file:
        file.write(json.dumps(answer | {"said": said}).encode())
    os._exit(0)


def main() -> None:
    """Waits for orders."""
    import rec_gym.fetching.download  # noqa: F401
    from benchmarks.attacks.jobs import shop
    from rec_gym.recommenders.bm25.compilation import load_kernels

    if sys.argv[1] == "with":
        load_kernels()
    else:
        import numba  # noqa: F401
    with suppress(ImportError):
        import faiss  # noqa: F401
    shop()  # Arrow imports pandas at its first array
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
