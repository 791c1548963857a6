"""A proxy between a client and a server on loopback that breaks some of the connections."""

import random
import socket
import struct
import threading
import time
from contextlib import suppress

FAULTS = ("refuse", "reset", "half", "stall", "trickle")


class FaultyProxy:
    """Passes bytes on, except for faults that `fault` is set to, or that are drawn at each answer.

    Attributes:
        rate: how many of the server's answers (chunks of bytes) meet a fault.
        faults: which faults are drawn.
        counts: how often each fault was done.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self.port_behind = port
        self.rate, self.faults = 0.0, FAULTS
        self.counts: dict[str, int] = {}
        self._draws, self._lock = random.Random(seed), threading.Lock()
        self._ends: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _draw(self, wanted: tuple[str, ...]) -> str:
        with self._lock:
            choices = [fault for fault in self.faults if fault in wanted]
            if not choices or self._draws.random() >= self.rate:
                return ""
            fault = self._draws.choice(choices)
            self.counts[fault] = self.counts.get(fault, 0) + 1
            return fault

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if self._draw(("refuse",)):
                    _reset(client)
                    continue
                try:
                    behind = socket.create_connection(("127.0.0.1", self.port_behind))
                except OSError:
                    _reset(client)
                    continue
                self._ends += [client, behind]
                for source, target, answers in ((client, behind, False), (behind, client, True)):
                    threading.Thread(target=self._pass, args=(source, target, answers), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                fault = self._draw(("reset", "half", "stall", "trickle")) if answers else ""
                if fault == "reset":
                    _reset(target)
                    break
                if fault == "half":
                    target.sendall(data[: len(data) // 2])
                    break
                if fault == "stall":
                    time.sleep(30)
                    break
                if fault == "trickle":
                    for place in range(min(20, len(data))):
                        target.sendall(data[place : place + 1])
                        time.sleep(0.001)
                    data = data[20:]
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self._server, *self._ends):
            with suppress(OSError):
                end.close()


def _reset(end: socket.socket) -> None:
    """Ends a connection with RST instead of FIN."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
