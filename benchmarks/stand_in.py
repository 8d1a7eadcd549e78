"""A lean stand-in for Meta: takes messages after a latency, within a throughput, and tells of each in three
callbacks of their own over kept connections. It costs little, so that what is measured is the product.

    python -m benchmarks.stand_in LATENCY_MS THROUGHPUT CALLBACK_URL SECRET

An empty CALLBACK_URL: it tells nothing. Prints its port, and at the end of its input a report as JSON.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

_CONNECTIONS = 64
_DELAYS = {"sent": 0.02, "delivered": 0.25, "read": 0.5}
"""Seconds after a message was taken until each receipt is sent."""


class StandIn:
    """What came and what was told; times are epoch seconds."""

    def __init__(self, latency: float, throughput: int, callback_url: str, secret: str):
        self.latency = latency
        self._throughput = throughput
        self._secret = secret.encode()
        self._recent: deque[float] = deque()
        self.taken = 0
        self.throttled = 0
        self.first_at = self.last_at = self.read_at = 0.0
        self._tells = bool(callback_url)
        self.poster = Poster(callback_url, _CONNECTIONS)

    def answer(self, body: bytes) -> bytes:
        """The answer to a message's request; its receipts follow."""
        now = time.time()
        while self._recent and self._recent[0] < now - 1:
            self._recent.popleft()
        if len(self._recent) >= self._throughput:
            self.throttled += 1
            return _http(b"400 Bad Request", b'{"error":{"message":"slow down","code":130429}}')
        self._recent.append(now)
        self.taken += 1
        self.first_at = self.first_at or now
        self.last_at = now
        message = json.loads(body)
        wamid = f"wamid.{self.taken}.{now:.6f}"
        if self._tells:
            loop = asyncio.get_running_loop()
            for word, delay in _DELAYS.items():
                loop.call_later(delay, self._tell, word, wamid, message)
        return _http(b"200 OK", json.dumps({"messages": [{"id": wamid}]}).encode())

    def _tell(self, word: str, wamid: str, message: dict[str, Any]) -> None:
        body = receipt(word, wamid, message["to"], message["biz_opaque_callback_data"])
        self.poster.post(signed(body, self._secret))

    def report(self) -> dict[str, Any]:
        """Everything seen."""
        waits = sorted(self.poster.waits)
        return {
            "taken": self.taken,
            "throttled": self.throttled,
            "seconds": self.last_at - self.first_at,
            "firstAt": self.first_at,
            "told": len(waits),
            "refused": self.poster.refused,
            "median": waits[len(waits) // 2] if waits else None,
        }


def receipt(word: str, wamid: str, to: str, tag: str) -> bytes:
    """The body of a callback with one status."""
    status = {
        "id": wamid,
        "status": word,
        "timestamp": str(int(time.time())),
        "recipient_id": to.lstrip("+"),
        "biz_opaque_callback_data": tag,
    }
    if word == "sent":
        status["pricing"] = {"billable": True, "pricing_model": "PMP", "category": "utility"}  # type: ignore[assignment]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550101", "phone_number_id": "100000000000001"},
        "statuses": [status],
    }
    change = {"field": "messages", "value": value}
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": [change]}]}
    ).encode()


def signed(body: bytes, secret: bytes) -> bytes:
    """A whole request that brings a callback."""
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    return (
        b"POST /callbacks/meta HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"X-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n%s" % (signature, len(body), body)
    )


def _http(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status, len(body), body,
    )  # fmt: skip


class _Messages(asyncio.Protocol):
    """A connection over which HTTP messages with a length come one after the other."""

    _read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]) if end else 0
        if end and len(rest) >= length:
            self._read = rest[length:]
            self.came(head, rest[:length])

    def came(self, head: bytes, body: bytes) -> None:
        """A message is whole."""


class _Sends(_Messages):
    def __init__(self, stand_in: StandIn):
        self._stand_in = stand_in

    def came(self, _head: bytes, body: bytes) -> None:
        asyncio.get_running_loop().call_later(self._stand_in.latency, self._answer, body)

    def _answer(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._stand_in.answer(body))


class Poster:
    """Posts requests over so many kept connections, one at a time on each; the rest wait."""

    def __init__(self, url: str, connections: int):
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._connecting: set[asyncio.Task[Any]] = set()
        self._most = connections
        self._open = 0
        self._idle: list[_Posts] = []
        self._waiting: deque[bytes] = deque()
        self.waits: list[float] = []
        """Seconds until each was answered."""
        self.refused = 0
        self.on_idle: Callable[[], None] = lambda: None

    def post(self, request: bytes) -> None:
        """Have it posted as soon as a connection is free."""
        self._waiting.append(request)
        if self._idle:
            self.free(self._idle.pop())
        elif self._open < self._most:
            self._open += 1
            loop = asyncio.get_running_loop()
            going = loop.create_task(loop.create_connection(lambda: _Posts(self), *self._address))
            self._connecting.add(going)
            going.add_done_callback(self._connecting.discard)

    def free(self, connection: "_Posts") -> None:
        """It may post again."""
        if self._waiting:
            connection.ask(self._waiting.popleft())
        else:
            self._idle.append(connection)
            self.on_idle()

    def answered(self, status: int, begun: float) -> None:
        if status == 200:
            self.waits.append(time.perf_counter() - begun)
        else:
            self.refused += 1


class _Posts(_Messages):
    def __init__(self, poster: Poster):
        self._poster = poster

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._poster.free(self)

    def ask(self, request: bytes) -> None:
        self._begun = time.perf_counter()
        self._transport.write(request)

    def came(self, head: bytes, _body: bytes) -> None:
        self._poster.answered(int(head.split(b" ", 2)[1]), self._begun)
        self._poster.free(self)


def _recipient(place: int) -> str:
    """Whom the benchmark's message at this place goes to."""
    return f"+90555{place // 5000:03d}{place % 5000:04d}"


async def _serve(latency: float, throughput: int, callback_url: str, secret: str) -> None:
    loop = asyncio.get_running_loop()
    stand_in = StandIn(latency, throughput, callback_url, secret)
    server = await loop.create_server(lambda: _Sends(stand_in), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(stand_in.report()), flush=True)


async def _loop(url: str, seconds: float, clients: int, requests: list[bytes]) -> None:
    """Post these in turn over so many connections, as fast as answers come, and print how many were."""
    poster = Poster(url, clients)
    until = time.perf_counter() + seconds
    left = iter(requests)
    over = asyncio.Event()

    def more() -> None:
        request = next(left, None) if time.perf_counter() < until else None
        if request is None:
            over.set()
        else:
            poster.post(request)

    poster.on_idle = more
    begun = time.perf_counter()
    for _ in range(clients):
        more()
    await over.wait()
    took = time.perf_counter() - begun
    print(json.dumps({"count": len(poster.waits), "other": poster.refused, "seconds": took}), flush=True)


def main() -> None:
    """Be a stand-in, or post in a closed loop, as the arguments say."""
    if sys.argv[1] == "loop":
        _, _, url, seconds, clients, what, secret, tags = sys.argv
        key, count = tags.split(":")
        if what == "receipts":
            words = ("sent", "delivered", "read")
            requests = [
                signed(receipt(word, f"wamid.b.{i + 1}", _recipient(i), f"{key}.{i + 1}.1"), secret.encode())
                for i in range(int(count))
                for word in words
            ]
        else:
            nothing = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nX-API-Key: x\r\nContent-Length: 2\r\n\r\n{}"
            requests = [nothing] * 1_000_000
        uvloop.run(_loop(url, float(seconds), int(clients), requests))
    else:
        latency, throughput, url, secret = sys.argv[1:]
        uvloop.run(_serve(float(latency) / 1000, int(throughput), url, secret))


if __name__ == "__main__":
    main()
