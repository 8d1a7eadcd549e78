"""POSTs to one host over kept HTTP/1.1 connections, and for each whether any of it left.

A request is written once, on one connection, and never a second time: nothing is repeated, no redirect is
followed, no proxy is asked. `Unreached` says that not a byte of it was written; after that first byte a
missing answer is `Lost`, for the host may have read the whole.

httptools parses, aiohappyeyeballs connects, the event loop does TLS with the system's trust store (or that of
SSL_CERT_FILE).
"""

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import aiohappyeyeballs
import httptools

from broadcaster import outbound
from broadcaster.errors import Misconfigured

CONNECT_SECONDS = 10
"""For the look-up of the host, the connection and its TLS handshake together."""
LARGEST_ANSWER = 64 * 1024
"""Bytes of all that comes for a request: interim answers, heads and the frames of chunks count as well. An
answer of Graph's has some hundred."""

_IDLE_SECONDS = 15
"""A connection that rested longer is closed: the host may do so at any moment."""
_OLDEST_SECONDS = 300
"""A connection older than this is not used again: its host may have moved."""
_LOOKED_UP_SECONDS = 60
_NEXT_ADDRESS_SECONDS = 0.25
"""After so long the host's next address is tried beside the first (RFC 8305 recommends 250 ms)."""
_LONGEST_HEADER = 200
_HEADERS = {b"content-length", b"transfer-encoding", b"retry-after", b"date"}
_FRAMING = {b"content-length", b"transfer-encoding"}

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""As getaddrinfo tells them."""


class Unreached(Exception):
    """Nothing of the request was written."""


class Lost(Exception):
    """The request may have been read, and nothing that can be read came back."""


class Answer(NamedTuple):
    """`body` is empty where it was too long, or broke off. The headers are as they came."""

    status: int
    body: bytes
    retry_after: str | None
    date: str | None


class SendClient:
    """Connections to one scheme, host and port, for the running loop; used as `async with`."""

    def __init__(self, url: str, answer_seconds: float):
        """`answer_seconds` is how long an answer is waited for, from the request's first byte."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._tls = outbound.tls_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._named = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._answer_seconds = answer_seconds
        self._idle: deque[_Connection] = deque()
        """The one that answered last at the end."""
        self.connections: set[_Connection] = set()
        """All that are open."""
        self._look_up: asyncio.Task[list[Address]] | None = None
        self._looked_up_at = 0.0

    async def __aenter__(self) -> "SendClient":
        self._loop = asyncio.get_running_loop()
        self._tidying = self._loop.call_later(_IDLE_SECONDS / 3, self._tidy)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tidying.cancel()
        for connection in list(self.connections):
            connection.drop()
        if self._look_up:
            self._look_up.cancel()

    def head(self, path: str, token: str) -> bytes:
        """The first lines of a POST of JSON to a path below the base address, up to the length of its body:
        the same for many requests. Raises Misconfigured for what no line of HTTP can hold."""
        lines = (
            f"POST {self._base}/{path} HTTP/1.1",
            f"Host: {self._named}",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            "Accept-Encoding: identity",
        )
        if not all(line.isascii() and line.isprintable() for line in lines):
            raise Misconfigured("Graph's address or the channel's token cannot be carried by HTTP")
        return ("\r\n".join(lines) + "\r\nContent-Length: ").encode()

    async def post(self, head: bytes, body: bytes, on_leaving: Callable[[], None]) -> Answer:
        """Write a request and wait for its answer. `on_leaving` is called before its first byte is written;
        raises Unreached before that, Lost after it."""
        connection = self._take_idle() or await self._connect()
        # Nothing is awaited from here to the write: what was found fit is what is written on.
        on_leaving()
        answer = connection.ask(b"%s%d\r\n\r\n%s" % (head, len(body), body), self._answer_seconds)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.drop()
            raise

    def keep(self, connection: "_Connection") -> None:
        """It has given its whole answer and may take another request."""
        self._idle.append(connection)

    def _take_idle(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit() and not connection.has_spoken():
                return connection
            connection.drop()
        return None

    def _tidy(self) -> None:
        while self._idle and not self._idle[0].is_fit():
            self._idle.popleft().drop()
        self._tidying = self._loop.call_later(_IDLE_SECONDS / 3, self._tidy)

    async def _connect(self) -> "_Connection":
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await self._open()
        except (OSError, TimeoutError) as error:
            # Where the host is now is asked anew by whoever comes next.
            self._look_up = None
            raise Unreached(str(error) or "no connection in time") from error
        # Over TLS what can be read now are tickets of the handshake.
        if not connection.is_fit() or (self._tls is None and connection.has_spoken()):
            connection.drop()
            raise Unreached("the host closed the connection, or spoke, before it was asked")
        return connection

    async def _open(self) -> "_Connection":
        connected = await aiohappyeyeballs.start_connection(
            await self._addresses(), happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1, loop=self._loop
        )
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                lambda: _Connection(self, self._loop, connected),
                sock=connected,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _addresses(self) -> list[Address]:
        """Where the host is; one look-up serves all that ask within a minute."""
        now = self._loop.time()
        if self._look_up is None or now - self._looked_up_at > _LOOKED_UP_SECONDS:
            self._looked_up_at = now
            asked = self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._look_up = self._loop.create_task(cast("Any", asked))
        # Others may wait for it when one gives up.
        return await asyncio.shield(self._look_up)


class _Connection(asyncio.Protocol):
    """One connection, at rest or with one request out."""

    def __init__(self, client: SendClient, loop: asyncio.AbstractEventLoop, connected: socket.socket):
        self._client = client
        self._loop = loop
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._parser = httptools.HttpResponseParser(self)
        self._born_at = self._rests_since = loop.time()
        self._waiting: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        """Of the answer whose head was read, 0 before that; interim answers are none."""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._received = 0
        self._is_whole = self._stays_open = self._has_excess = False

    # What the client asks

    def is_fit(self) -> bool:
        """Whether it is open, young, and has not rested for long."""
        now = self._loop.time()
        return (
            not self._transport.is_closing()
            and now - self._rests_since < _IDLE_SECONDS
            and now - self._born_at < _OLDEST_SECONDS
        )

    def has_spoken(self) -> bool:
        """Whether the host has written or closed, as the kernel knows it and the loop perhaps not yet."""
        return bool(self._poll.poll(0))

    def ask(self, request: bytes, seconds: float) -> "asyncio.Future[Answer]":
        self._begin()
        self._waiting = self._loop.create_future()
        self._timer = self._loop.call_later(seconds, self._break_off, "no answer in time")
        self._transport.write(request)
        return self._waiting

    def drop(self) -> None:
        """Close it at once; what is out is lost."""
        self._break_off("the connection was closed on our side")

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._client.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Read on; cut what is no answer, or too much of one."""
        if self._waiting is None:
            return self._transport.abort()
        self._received += len(data)
        trouble = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            trouble = f"the answer is no HTTP: {error}"
        if self._received > LARGEST_ANSWER:
            self._break_off("the answer is too long")
        elif self._is_whole:
            self._deliver(self._stays_open and not self._has_excess and trouble is None)
        elif trouble:
            self._break_off(trouble)

    def eof_received(self) -> None:
        """Without a length the end of the connection is the end of the answer (RFC 9112, 6.3)."""
        if self._waiting and self._status and not self._headers.keys() & _FRAMING:
            self._deliver(False)

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing more will come."""
        self._client.connections.discard(self)
        self._break_off(f"the connection ended before the answer did: {error or 'closed'}")

    # What the parser tells

    def on_message_begin(self) -> None:
        """A second answer to one request: the connection is of no more use."""
        self._has_excess |= self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few that are looked at."""
        known = name.lower()
        if known in _HEADERS and not self._is_whole:
            self._headers[known] = value[:_LONGEST_HEADER]

    def on_headers_complete(self) -> None:
        """The head of an answer, or of an interim one, after which the answer is still to come."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = self._status or status
        else:
            self._headers.clear()

    def on_body(self, piece: bytes) -> None:
        """A piece of the answer's body."""
        if not self._is_whole:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The answer's end, unless it was an interim one."""
        if self._status and not self._is_whole:
            self._is_whole = True
            # The parser has forgotten by the time feed_data() returns.
            self._stays_open = self._parser.should_keep_alive()

    # How a request ends

    def _deliver(self, is_fit: bool) -> None:
        self._settle(b"".join(self._pieces))
        if is_fit:
            self._rests_since = self._loop.time()
            self._client.keep(self)
        else:
            self._transport.abort()

    def _break_off(self, why: str) -> None:
        """The answer's head counts if it was read, the rest does not."""
        if self._status:
            self._settle(b"")
        elif waiting := self._end_waiting():
            waiting.set_exception(Lost(why))
        self._transport.abort()

    def _settle(self, body: bytes) -> None:
        if waiting := self._end_waiting():
            waiting.set_result(Answer(self._status, body, self._text(b"retry-after"), self._text(b"date")))

    def _end_waiting(self) -> "asyncio.Future[Answer] | None":
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, None
        return None if waiting is None or waiting.done() else waiting

    def _text(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")
