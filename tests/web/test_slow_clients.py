"""Clients that are slow, silent or gone do not take the server from the others."""

import csv
import http.client
import io
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from broadcaster.config import Settings
from broadcaster.web.server import Server
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import request_of
from tests.support.servers import connect, serving
from tests.support.waiting import wait_until

PROMPT = 5
"""Seconds within which the others are answered: a deadline, for a busy machine too, not a measurement."""


def ask(server: Server) -> float:
    """Seconds until a request over a new connection is answered."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection(server.effective_host, int(server.effective_port), timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - begun


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@contextmanager
def trickling(connections: list[socket.socket]) -> Iterator[None]:
    """Send a byte over each of these again and again, until the other side has closed it."""
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.1):
            for connection in connections:
                with suppress(OSError):
                    connection.send(b"a")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_100_trickling_and_1000_idle_sockets_stop_nobody(settings: Settings, db: Any) -> None:
    with serving(settings, db, request_seconds=2) as server, ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(1000)]
        slow = [stack.enter_context(connect(server)) for _ in range(100)]
        begun = time.monotonic()
        for connection in slow:
            connection.sendall(b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nX: ")
        with trickling(slow):
            wait_until(lambda: len(server.active_channels) >= 1100)
            waited = [ask(server) for _ in range(20)]
            wait_until(lambda: all(map(is_closed, slow)), 10)
            took = time.monotonic() - begun
            waited += [ask(server) for _ in range(20)]
        assert max(waited) < PROMPT
        assert took >= 2
        assert not any(map(is_closed, idle))


def test_a_body_that_trickles_is_cut_off_too(settings: Settings, db: Any) -> None:
    with serving(settings, db, request_seconds=1) as server, connect(server) as connection:
        connection.sendall(b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        with trickling([connection]):
            wait_until(lambda: is_closed(connection), 10)


def test_a_connection_may_serve_longer_than_one_request_may_take(settings: Settings, db: Any) -> None:
    with serving(settings, db, request_seconds=0.5) as server:
        connection = http.client.HTTPConnection(server.effective_host, int(server.effective_port), timeout=10)
        begun = time.monotonic()
        while time.monotonic() - begun < 2:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        connection.close()


def test_where_connections_are_scarce_the_longest_idle_makes_room(settings: Settings, db: Any) -> None:
    with serving(settings, db, most_connections=40) as server, ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(60)]
        assert ask(server) < 10
        wait_until(lambda: sum(map(is_closed, idle)) >= 30)
        assert is_closed(idle[0]) and not is_closed(idle[-1])


def test_who_has_just_come_in_is_not_cut_for_others(settings: Settings, db: Any) -> None:
    with serving(settings, db, most_connections=40) as server, ExitStack() as stack:
        slow = [stack.enter_context(connect(server)) for _ in range(36)]
        for connection in slow:
            connection.sendall(b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nX: ")
        before = wait_until(
            lambda: len(server.active_channels) == 36 and list(server.active_channels.values())
        )
        wait_until(lambda: all(channel.request for channel in before))
        late = time.time() - 10
        for channel in before:
            channel.creation_time = channel.request.begun = late
        newcomer = stack.enter_context(connect(server))
        wait_until(lambda: sum(map(is_closed, slow)) >= 6)
        assert not is_closed(newcomer)


def test_an_answer_nobody_reads_gives_its_thread_back(client: Client, settings: Settings, db: Any) -> None:
    accepted = client.post("/v1/broadcasts", request_of(recipients=long_ones(3000))).json
    with serving(settings, db) as server, socket.socket() as connection:
        server.adj.channel_timeout = 1
        server.adj.outbuf_high_watermark = 100_000
        # Else the kernel takes it all; connections inherit this.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.effective_host, int(server.effective_port)))
        connection.sendall(export_of(accepted["id"], f"Bearer {client.token}"))
        (channel,) = wait_until(lambda: list(server.active_channels.values()))
        wait_until(lambda: channel.total_outbufs_len > 100_000)
        wait_until(lambda: not server.active_channels and not server.task_dispatcher.active_count)


def long_ones(count: int) -> list[dict[str, Any]]:
    """Recipients whose export takes some 900 bytes each."""
    return [
        {"to": f"+90555444{i:04d}", "variables": ["Ana " * 90, "Monday " * 30, "10:00 " * 30, f"file {i}"]}
        for i in range(count)
    ]


def export_of(broadcast_id: str, authorization: str) -> bytes:
    head = f"GET /v1/broadcasts/{broadcast_id}/messages HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\n"
    return f"{head}Authorization: {authorization}\r\n\r\n".encode()


def test_an_export_of_4_megabytes_outlives_sigterm(field: Field) -> None:
    here = field.installation()
    process = field.start(here, "web")
    accepted = here.ask("POST", "/v1/broadcasts", json=request_of(recipients=long_ones(5000)))
    address = urlsplit(here.url)
    with socket.socket() as connection:
        # A narrow window: most of the answer is still in the server when the signal comes.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.settimeout(30)
        connection.connect((address.hostname or "", address.port or 0))
        connection.sendall(export_of(accepted["id"], f"Bearer {here.token}"))
        response = http.client.HTTPResponse(connection)
        response.begin()
        first = response.read(10_000)
        process.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: '"stopping"' in process.output())
        assert process.popen.poll() is None
        body = first + response.read()
    assert len(body) > 4_000_000
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [row["to"] for row in rows] == [f"90555444{i:04d}" for i in range(5000)]
    assert json.loads(rows[-1]["variables"])
    # A second signal might reach it when Python has given up its handlers.
    assert process.popen.wait(60) == 0
