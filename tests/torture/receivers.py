"""A receiver of webhooks that drips, resets, hangs and refuses, and notes what it was told."""

import json
import random
import socket
import threading
import time
from contextlib import suppress
from typing import Any


class Receiver:
    """Listens on a free port of this machine, from start() to stop()."""

    def __init__(self, seed: int):
        self._rng = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        self.is_bad = False
        self.told: list[dict[str, Any]] = []
        """The events it answered with 200."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="receiver", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            connection.settimeout(30)
            if self.is_bad:
                self._spoil(connection)
                return
            event = _read_event(connection)
            self.told.append(event)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def _spoil(self, connection: socket.socket) -> None:
        kind = self._rng.choice(("reset", "refuse", "hang", "status", "headers", "body", "continue"))
        if kind == "reset":
            return
        _read_event(connection)
        if kind == "refuse":
            connection.sendall(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif kind == "hang":
            self._stopping.wait(20)
        else:
            for part in _DRIPS[kind]:
                connection.sendall(part)
                if self._stopping.wait(0.3):
                    return


_DRIPS: dict[str, list[bytes]] = {
    "status": [bytes([one]) for one in b"HTTP/1.1 200 " + b"O" * 100],
    "headers": [b"HTTP/1.1 200 OK\r\n"] + [b"X-A: b\r\n"] * 100,
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"] + [b"x"] * 100,
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 100,
}


def _read_event(connection: socket.socket) -> dict[str, Any]:
    """The JSON of one request; raises ValueError, OSError."""
    received = b""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        head, found, body = received.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if found and lengths and len(body) >= int(lengths[0].partition(b":")[2]):
            event: dict[str, Any] = json.loads(body)
            return event
        part = connection.recv(65536)
        if not part:
            break
        received += part
    raise ValueError("no whole request")
