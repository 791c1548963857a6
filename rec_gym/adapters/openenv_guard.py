"""OpenEnv, in front of the server's routes: checks what clients send, and ends sessions that nobody plays.

OpenEnv's own message loop ends a session at an unexpected message, and otherwise waits for the next one forever.
`SessionGuard` is ASGI middleware around it; it knows nothing about tasks.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from rec_gym.adapters.openenv_client import sayable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_DEPTH = 16  # a reset or a step is three levels deep
ENDED_IDLE, ENDED_LARGE = 1000, 1009  # close codes of RFC 6455: a normal end, and a message that is too big
_PLAYS = ("reset", "step")
_ESCAPED_SURROGATE = "\\ud"  # how JSON writes what UTF-8 cannot hold


@dataclass(frozen=True)
class Limits:
    """A server's limits on its clients.

    Attributes:
        max_sessions: sessions at a time, at most; a further one is refused.
        idle_timeout: seconds without a reset or a step after which a session ends; None for never.
        max_message_bytes: length of a message, at most; a longer one ends its session.

    Raises:
        ValueError: a limit that is not above 0.
    """

    max_sessions: int = 256
    idle_timeout: float | None = 3600.0
    max_message_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # `not value > 0` refuses NaN too.
            if not (value is None and name == "idle_timeout") and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")


class SessionGuard:
    """ASGI middleware for OpenEnv's server.

    A message that is not a JSON object, is binary, is nested too deeply or holds a number that is not finite gets one
    error, and the session continues.

    Args:
        app: OpenEnv's.
        limits: of the server.
    """

    def __init__(self, app: App, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection, or one request over HTTP."""
        if scope["type"] == "websocket":
            session = _Session(receive, send, self._limits)
            await self._app(scope, session.receive, session.send)
        elif scope["type"] == "http":
            await self._app(scope, _Body(receive, self._limits.max_message_bytes).receive, send)
        else:
            await self._app(scope, receive, send)


class _Session:
    """The messages of a session, between the network and OpenEnv."""

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive, self._send, self._limits = receive, send, limits
        self._is_over = False
        self._played_at = time.monotonic()
        self._is_playing = False

    async def receive(self) -> Message:
        """The next message that OpenEnv can read, or the end of the session."""
        if self._is_playing:  # OpenEnv asks for the next message after it has answered: only now is the session idle
            self._is_playing, self._played_at = False, time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._seconds_left()):
                    message = await self._receive()
            except TimeoutError:
                return await self._end(
                    ENDED_IDLE, f"no reset or step for {self._limits.idle_timeout:g} s; connect again and call reset"
                )
            if message["type"] != "websocket.receive":
                return message
            text = message.get("text")
            size = len(message.get("bytes") or b"") if text is None else len(text.encode("utf-8", "replace"))
            if size > self._limits.max_message_bytes:
                return await self._end(
                    ENDED_LARGE, f"a message of {size:,} bytes; the limit is {self._limits.max_message_bytes:,}"
                )
            try:
                content = _read(text)
            except ValueError as error:
                await self._refuse(str(error))
                continue
            self._is_playing = content.get("type") in _PLAYS
            if text is None or _ESCAPED_SURROGATE in text.lower():
                # OpenEnv could not send an answer that quotes a lone one, which would end the session.
                text = sayable(json.dumps(content, ensure_ascii=False))
            return {"type": "websocket.receive", "text": text}

    async def send(self, message: Message) -> None:
        """Passes a message on; messages after the end of the session are dropped."""
        if self._is_over:
            return
        self._is_over = message["type"] == "websocket.close"
        await self._send(message)

    def _seconds_left(self) -> float | None:
        if self._limits.idle_timeout is None:
            return None
        return max(0.0, self._played_at + self._limits.idle_timeout - time.monotonic())

    async def _refuse(self, why: str) -> None:
        data = {"message": why, "code": "INVALID_JSON"}
        await self.send({"type": "websocket.send", "text": json.dumps({"type": "error", "data": data})})

    async def _end(self, code: int, why: str) -> Message:
        """Ends the session: tells the client why, and OpenEnv that the client has left."""
        await self.send({"type": "websocket.close", "code": code, "reason": why})
        return {"type": "websocket.disconnect", "code": code, "reason": why}


def _read(text: str | None) -> dict[str, Any]:
    """The JSON object of a message.

    Raises:
        ValueError: it has none, or one that is nested too deeply.
    """
    if text is None:
        raise ValueError("a message is a text that holds a JSON object, not a binary frame")
    try:
        content = _loaded(text)
    except RecursionError:
        raise ValueError(f"a message is nested at most {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise ValueError(f"a message is a JSON object: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"a message is a JSON object, not a {type(content).__name__}")
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return content
    raise ValueError(f"a message is nested at most {MAX_DEPTH} deep")


class NotFiniteError(ValueError):
    """A number that JSON does not have, or that no float can hold: an answer that quotes it could not be sent."""


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise NotFiniteError(f"{number[:20]} is not a finite number")
    return value


def _loaded(text: str | bytes) -> Any:
    """What JSON holds; its numbers are finite.

    Raises:
        ValueError: it is not JSON, or a number is not finite.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


class _Body:
    """The body of a request over HTTP, between the network and OpenEnv; one that is too long is answered with status 413."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._is_read = False

    async def receive(self) -> Message:
        """The whole body at once, then what comes after it."""
        if self._is_read:
            return await self._receive()
        body, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body") or b""
            more = message.get("more_body", False)
            if len(body) > self._limit:
                raise HTTPException(413, f"the body has more than {self._limit:,} bytes")
        self._is_read = True
        return {"type": "http.request", "body": self._sayable(bytes(body)), "more_body": False}

    def _sayable(self, body: bytes) -> bytes:
        """JSON that an answer can quote; a body that is not JSON stays as it is, and OpenEnv refuses it."""
        try:
            return sayable(json.dumps(_loaded(body), ensure_ascii=False)).encode()
        except NotFiniteError as error:
            raise HTTPException(400, str(error)) from None
        except (ValueError, RecursionError):
            return body
