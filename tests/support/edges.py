"""An edge between us and Graph that answers for it, well or badly, over real sockets."""

import asyncio
import gzip
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HTML = b"<html><body>Sorry, something went wrong.</body></html>"


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ACCEPTED = b"accepted"
"""In place of a reply: an id, a new one each time."""
SILENCE = b"silence"
"""In place of a reply: nothing, and the connection stays open."""
RESET = b"reset"
"""In place of a reply: the connection is reset."""

BAD: dict[str, bytes] = {
    "503 HTML": reply("503 Service Unavailable", HTML, "Content-Type: text/html"),
    "502": reply("502 Bad Gateway"),
    "301": reply("301 Moved Permanently", HTML, "Location: /elsewhere"),
    "307": reply("307 Temporary Redirect", b"", "Location: /elsewhere"),
    "429 text": reply("429 Too Many Requests", b"slow down", "Content-Type: text/plain"),
    "empty 200": reply("200 OK"),
    "200 without id": reply("200 OK", b'{"messages": [{}]}', "Content-Type: application/json"),
    "bad gzip": reply("200 OK", b"\x1f\x8bnot gzip", "Content-Encoding: gzip"),
    "good gzip": reply("200 OK", gzip.compress(b'{"messages":[{"id":"w"}]}'), "Content-Encoding: gzip"),
    "error without code": reply("500 Internal Server Error", b'{"error": {"message": "?"}}'),
    "silence": SILENCE,
    "reset": RESET,
}
"""Answers that say neither yes nor no, by name."""


class Edge:
    """Takes every POST and answers it with `answer`, which may be changed while it runs."""

    def __init__(self, answer: bytes):
        self.answer = answer
        self.taken = 0
        """Requests that arrived whole."""
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._over = threading.Event()
        self._open: set[asyncio.Transport] = set()

    def run(self, listening: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(listening))
        self._loop.close()

    async def _run(self, listening: socket.socket) -> None:
        server = await self._loop.create_server(lambda: _Connection(self), sock=listening)
        await self._loop.run_in_executor(None, self._over.wait)
        server.close()
        # Connections just accepted are made some turns later, and what was aborted is closed a turn later.
        for _ in range(10):
            await asyncio.sleep(0)
            for transport in list(self._open):
                transport.abort()

    def end(self) -> None:
        self._over.set()

    def serve(self, transport: asyncio.Transport) -> None:
        self.taken += 1
        answer = self.answer
        if answer is RESET:
            _reset(transport)
        elif answer is not SILENCE:
            transport.write(self._accepted() if answer is ACCEPTED else answer)

    def _accepted(self) -> bytes:
        body = json.dumps({"messages": [{"id": f"wamid.{self.taken}"}]}).encode()
        return reply("200 OK", body, "Content-Type: application/json")


class _Connection(asyncio.Protocol):
    def __init__(self, edge: Edge):
        self._edge = edge
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._edge._open.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._edge._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(b"\r\n\r\n")
        if end and len(rest) >= _length(head):
            self._read = rest[_length(head) :]
            self._edge.serve(self._transport)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _reset(transport: asyncio.Transport) -> None:
    peer = transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@contextmanager
def edge(answer: bytes) -> Iterator[Edge]:
    """An edge that answers each request like this, until the end."""
    made = Edge(answer)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        made.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=made.run, args=(listening,), daemon=True)
        thread.start()
        yield made
        made.end()
        thread.join(10)
        assert not thread.is_alive()
