"""A real OpenEnv server, and clients that send what no client should: an error for each message, and the episode goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

import rec_gym
from benchmarks.attacks.texts import mixture, new_words, unicode_text
from rec_gym.adapters.openenv_client import sayable
from rec_gym.adapters.openenv_guard import ENDED_IDLE, ENDED_LARGE
from rec_gym.loop.task import Task

TASK, SETTINGS = "RecR1-CornerShopRefine-BM25-v0", {"items": 600}  # of several turns
MAX_SESSIONS, IDLE_SECONDS, MAX_BYTES = 8, 10, 1 << 16  # a player on a busy machine must not seem idle
MORE_MEMORY = 128 << 20  # bytes that a server may take after it has warmed up, whatever it is sent
_WAIT = 30  # seconds without an answer after which a server is said to hang
_VALID = (
    '{"type": "reset", "data": {"seed": 3, "split": "train", "episode_id": "one"}}',
    '{"type": "step", "data": {"text": "a warm lamp"}}',
    '{"type": "state"}',
)
_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Server:
    """The command of the adapter in a process of its own, seen from outside.

    Args:
        process: runs it.
        port: where it listens on this machine.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"
        self._warm: int | None = None

    @contextmanager
    def session(self, query: str = "") -> Iterator[ClientConnection]:
        """A new session, while the block lasts; where the server is full it is given time to notice who has left."""
        for _ in range(_WAIT * 20):
            with connect(f"ws://127.0.0.1:{self.port}/ws{query}", open_timeout=_WAIT, max_size=None) as connection:
                if query or _is_granted(connection):
                    yield connection
                    return
            time.sleep(0.05)
        raise AssertionError("sessions that ended still count")

    def check_alive(self) -> None:
        """The process runs and answers.

        Raises:
            AssertionError: it does not.
        """
        assert self.process.poll() is None, f"the server has ended with status {self.process.returncode}"
        assert httpx.get(f"{self.url}/health", timeout=_WAIT).status_code == 200, "the server is not healthy"

    def check_memory(self) -> None:
        """The process takes little more memory than at the first call of this; nothing is checked where /proc is not.

        Raises:
            AssertionError: it takes more than `MORE_MEMORY` more.
        """
        statm = Path(f"/proc/{self.process.pid}/statm")
        if statm.exists():
            held = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            self._warm = held if self._warm is None else self._warm
            assert held - self._warm <= MORE_MEMORY, f"the server has grown by {(held - self._warm) >> 20} MiB"


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """A server with low limits, while the block lasts.

    Args:
        options: further options of the command.

    Raises:
        AssertionError: it does not start, or does not end when it is asked to.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    limits = ["--max-sessions", MAX_SESSIONS, "--idle-timeout", IDLE_SECONDS, "--max-message-bytes", MAX_BYTES]
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "rec_gym.cli", "serve", TASK, "--port", port, *limits, *settings, *options]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(process, port)
    try:
        for _ in range(3000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, "the server does not start"
            time.sleep(0.1)
        yield server
        process.send_signal(signal.SIGTERM)
        process.wait(_WAIT)
    finally:
        process.kill()
        process.wait()


class Attack:
    """What is thrown at a server, kind by kind.

    Args:
        server: is attacked.
        draw: decides what comes.
    """

    def __init__(self, server: Server, draw: random.Random) -> None:
        self.server, self.draw = server, draw
        self.task: Task = rec_gym.make_task(
            TASK, **cast("dict[str, Any]", SETTINGS)
        )  # what the rewards are compared with
        quick = (self.play_among_noise, self.break_off, self.play_among_noise, self.send_too_much, self.post)
        self.kinds: tuple[Callable[[], Counter[str]], ...] = quick * 10 + (self.idle,)

    def play_among_noise(self) -> Counter[str]:
        """Sessions side by side play an episode each, with damaged messages in between."""
        counts: Counter[str] = Counter()
        players = [self._player(counts) for _ in range(self.draw.randint(1, MAX_SESSIONS - 2))]
        while players:
            player = self.draw.choice(players)
            if next(player, None) is None:
                players.remove(player)
        self.server.check_memory()
        return counts

    def _player(self, counts: Counter[str]) -> Iterator[bool]:
        """One episode, a message at a time; its rewards are the task's."""
        request_id = self.draw.choice(self.task.request_ids)
        [episode] = self.task.start([request_id])
        with self.server.session() as connection:
            said = _ask(connection, json.dumps({"type": "reset", "data": {"request_id": request_id}}))
            assert said["type"] == "observation", f"a reset is refused: {said}"
            while not episode.done:
                yield True
                for _ in range(self.draw.randint(0, 4)):
                    self._refused(connection, damaged(self.draw), request_id, episode.turn)
                    counts["damaged messages, one error each"] += 1
                text = mixture(self.draw)
                said = _ask(connection, json.dumps({"type": "step", "data": {"text": text}}))
                [episode], outcomes, _ = self.task.advance([episode], [sayable(text)])
                assert said["type"] == "observation", f"the step {text!r} is refused: {said}"
                shown, data = said["data"]["observation"], said["data"]
                assert data["reward"] == outcomes.rewards[0], f"another reward for {text!r}: {data['reward']}"
                assert data["done"] == episode.done, f"another end after {text!r}"
                scores = shown["measures"] | shown["terms"]
                assert bool(scores) == episode.done, f"scores in turn {episode.turn}: {scores}"
            counts["episodes with the task's rewards"] += 1

    def _refused(self, connection: ClientConnection, message: str | bytes, request_id: str, turn: int) -> None:
        said = _ask(connection, message)
        assert said["type"] == "error", f"{message!r} is answered with {said}"
        # A second error for the message, or another state, would be seen here.
        state = _ask(connection, '{"type": "state"}')
        assert state["type"] == "state", f"{message!r} is answered twice, the second time with {state}"
        where = (state["data"]["request_id"], state["data"]["step_count"])
        assert where == (request_id, turn), f"{message!r} has moved the episode to {where}"

    def break_off(self) -> Counter[str]:
        """Connections that end in the middle of a handshake, a frame or an answer; the next session plays."""
        broken = self.draw.randint(1, 20)
        for _ in range(broken):
            sent = _HANDSHAKE + b"".join(map(_frame, self.draw.choices(_VALID, k=3)))
            if self.draw.random() < 0.2:
                sent = self.draw.randbytes(400)
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=_WAIT) as plain:
                plain.sendall(sent[: self.draw.randint(0, len(sent))])
                if self.draw.random() < 0.5:
                    plain.settimeout(0.1)
                    with suppress(OSError):
                        plain.recv(10)  # the beginning of an answer, where there is one
        self._check_player()
        return Counter({"connections broken off": broken})

    def send_too_much(self) -> Counter[str]:
        """A message, or a body, over the limit: it ends its session, and no other."""
        size = MAX_BYTES + self.draw.choice((0, 1, 1 << 20)) + 1
        with self.server.session() as other, self.server.session() as connection:
            _ask(other, '{"type": "reset", "data": {"index": 0}}')
            connection.send(json.dumps({"type": "step", "data": {"text": "x" * size}}))
            assert _end_of(connection) == ENDED_LARGE, "a message that is too long does not end its session so"
            assert _ask(other, '{"type": "step", "data": {"text": "lamp"}}')["type"] == "observation"
        with suppress(httpx.WriteError):  # the answer may come before the whole body has been sent
            status = httpx.post(f"{self.server.url}/step", content=b"x" * size, timeout=_WAIT).status_code
            assert status == 413, f"a body of {size:,} bytes is answered with status {status}"
        return Counter({"messages that were too long": 1})

    def post(self) -> Counter[str]:
        """Bodies of any kind to the plain routes: whatever is wrong is the client's fault, and is reported."""
        counts: Counter[str] = Counter()
        routes = ["reset", "step", "mcp", *(f"{TASK}/{name}" for name in ("tasks", "task", "num_tasks", "task_range"))]
        with httpx.Client(timeout=_WAIT) as client:
            for _ in range(20):
                body, route = damaged(self.draw), self.draw.choice(routes)
                content = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
                answer = client.post(
                    f"{self.server.url}/{route}", content=content, headers={"content-type": "application/json"}
                )
                assert answer.status_code < 500, f"/{route} answers {body!r} with status {answer.status_code}"
                counts["bodies without a failure of the server"] += 1
        with suppress(ConnectionClosed, InvalidHandshake), self.server.session("?session_id=nobody") as connection:
            assert json.loads(connection.recv(_WAIT))["type"] == "error", "a session that is unknown is given"
        return counts

    def idle(self) -> Counter[str]:
        """Sessions that nobody plays take all slots; they are ended, and their slots are free."""
        with ExitStack() as stack:
            held = [stack.enter_context(self.server.session()) for _ in range(MAX_SESSIONS)]
            for connection in held:
                assert _end_of(connection) == ENDED_IDLE, "an idle session does not end so"
            self._check_player()  # while the clients still hold their ends
        return Counter({"idle sessions ended": MAX_SESSIONS})

    def _check_player(self) -> None:
        """A session plays one turn."""
        with self.server.session() as connection:
            _ask(connection, '{"type": "reset", "data": {"index": 0}}')
            said = _ask(connection, '{"type": "step", "data": {"text": "lamp"}}')
            assert said["type"] == "observation", f"a new session cannot play: {said}"
        self.server.check_alive()


def damaged(draw: random.Random) -> str | bytes:
    """A message that the server has to refuse: of another type, cut, of wrong values, or of none."""
    kind = draw.randrange(8)
    if kind == 0:
        return draw.randbytes(draw.randint(0, 60))  # a binary frame
    if kind == 1:
        return sayable(unicode_text(draw, draw.randint(0, 60))) + "{"
    if kind == 2:
        valid = draw.choice(_VALID)
        return valid[: draw.randrange(len(valid))]
    if kind == 3:
        return json.dumps(draw.choice(([], None, 5, 1e300, "reset", [_VALID[0]], True)))
    if kind == 4:
        depth = draw.choice((20, 1000, 10_000))
        return '{"type": "step", "data": {"text": ' + "[" * depth + "]" * depth + "}}"
    if kind == 5:
        return json.dumps({"type": draw.choice(("", "stop", "\ud800", 5, None, ["reset"], {})), "data": _junk(draw)})
    if kind == 6:
        name = draw.choice(("text", "texts", "\udfff"))
        value: Any = draw.choice((5, None, [], {}, ["lamp"]))
        return json.dumps({"type": "step", "data": draw.choice(({name: value}, [], "lamp", 7))})
    wrong: dict[str, Any] = {
        "request_id": draw.choice(("nobody", "\ud800", new_words(draw, 3000), 5, ["train-00001"], {})),
        "split": draw.choice(("nowhere", "", 5, ["val"], {})),
        "index": draw.choice((-1, 10**9, 10**400, 1.5, float("nan"), "0", True, [])),
        "seed": draw.choice((-1, "0", 1.5, float("inf"), [], {})),
        "episode_id": draw.choice((5, [], {})),
        new_words(draw, 1): _junk(draw),
    }
    names = draw.sample(sorted(wrong), draw.randint(1, 3))
    return json.dumps({"type": "reset", "data": {name: wrong[name] for name in names}})


def _junk(draw: random.Random) -> Any:
    return draw.choice((None, 5, [], {}, "\ud800", {"text": "lamp"}, new_words(draw, 500), [[[[]]]]))


def _is_granted(connection: ClientConnection) -> bool:
    """Whether a session was given; a server that is full says so and closes the connection."""
    try:
        connection.send('{"type": "state"}')
        return json.loads(connection.recv(_WAIT))["type"] == "state"
    except ConnectionClosed:
        return False


def _ask(connection: ClientConnection, message: str | bytes) -> dict[str, Any]:
    """The answer to a message.

    Raises:
        AssertionError: there is none.
    """
    try:
        connection.send(message)
        return json.loads(connection.recv(_WAIT))
    except TimeoutError:
        raise AssertionError(f"{message[:200]!r} is not answered") from None
    except ConnectionClosed as error:
        raise AssertionError(f"{message[:200]!r} has ended its session: {error}") from error


def _end_of(connection: ClientConnection) -> int | None:
    """The code with which the server ends a session."""
    try:
        while True:
            connection.recv(_WAIT)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code
    except TimeoutError:
        return None


def _frame(message: str) -> bytes:
    """A short text as a client sends it, masked with zeros."""
    content = message.encode()
    return bytes([0x81, 0x80 | len(content)]) + bytes(4) + content
