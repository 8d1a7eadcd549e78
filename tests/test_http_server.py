"""The HTTP server itself: what waitress refuses before the application sees it."""

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

import pytest

from broadcaster import stand
from broadcaster.config import Settings
from broadcaster.server import Server, raise_open_files
from broadcaster.store.writer import Writer
from broadcaster.tasks import Bell
from broadcaster.vault import open_vault
from tests.conftest import Field, request_of, wait_until


@pytest.fixture
def here(field: Field) -> stand.Installation:
    field.sandbox()
    made = field.installation()
    made.process = field.start(made, "web")  # type: ignore[attr-defined]
    return made


def raw(here: stand.Installation, request: bytes) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to bytes as they are."""
    address = urlsplit(here.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.headers.get("Content-Type", ""), response.read()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: no\r\n\r\n", 400),
    ],
    ids=["nonsense", "huge header", "announced too large", "bad length"],
)
def test_what_the_server_refuses_is_a_problem_too(
    here: stand.Installation, request_bytes: bytes, status: int
) -> None:
    found, content_type, body = raw(here, request_bytes)
    assert (found, content_type) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status


def test_a_body_of_20_megabytes_is_read_and_refused(here: stand.Installation) -> None:
    response = here.call(
        "POST", "/v1/broadcasts", data=b"x" * 20_000_000, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert here.call("GET", "/healthz").status_code == 200


def test_a_chunked_body_is_taken(here: stand.Installation) -> None:
    pieces = iter([json.dumps(request_of(2)).encode()])
    response = here.call("POST", "/v1/broadcasts", data=pieces, headers={"Content-Type": "application/json"})
    assert response.status_code == 202


def test_5000_recipients_are_accepted(here: stand.Installation) -> None:
    assert here.ask("POST", "/v1/broadcasts", json=request_of(5000))["stats"]["pending"] == 5000


def test_the_server_does_not_name_itself(here: stand.Installation) -> None:
    assert "server" not in here.call("GET", "/healthz").headers


def test_a_port_in_use_is_told_in_a_sentence(field: Field, here: stand.Installation) -> None:
    here.environ["BROADCASTER_PORT"] = here.url.rpartition(":")[2]
    with pytest.raises(stand.NotReady, match="cannot listen on"):
        field.start(here, "web")


@contextmanager
def serving(settings: Settings, db: Any, **options: Any) -> Iterator[Server]:
    """The server on a thread of this process, where its deadline can be shortened."""
    server = Server(settings, Bell(db), open_vault(settings.data_dir), Writer(), **options)
    ending = threading.Event()
    thread = threading.Thread(target=server.serve_while, args=(lambda: not ending.is_set(),), daemon=True)
    thread.start()
    yield server
    ending.set()
    server.pull_trigger()
    thread.join(10)
    server.drain(time.monotonic())


def seconds_to_answer(address: tuple[str, int]) -> float:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - begun


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_trickling_requests_end_at_the_deadline_and_idle_sockets_hold_nobody_up(
    settings: Settings, db: Any
) -> None:
    raise_open_files()
    settings.port = 0
    with serving(settings, db, request_seconds=1.0) as server, ExitStack() as opened:
        address = ("127.0.0.1", int(server.effective_port))
        trickling = [opened.enter_context(socket.create_connection(address)) for _ in range(100)]
        idle = [opened.enter_context(socket.create_connection(address)) for _ in range(1000)]
        for connection in trickling:
            connection.sendall(b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n")
            connection.setblocking(False)

        def all_ended() -> bool:
            for connection in trickling:
                with suppress(OSError):
                    connection.send(b"x")
            return all(map(is_closed, trickling))

        assert seconds_to_answer(address) < 5
        wait_until(all_ended)
        assert seconds_to_answer(address) < 5
        assert len(server.active_channels) >= len(idle)


def test_a_slow_request_within_the_deadline_is_answered(settings: Settings, db: Any) -> None:
    settings.port = 0
    with serving(settings, db) as server:
        connection = socket.create_connection(("127.0.0.1", int(server.effective_port)), timeout=10)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")


def test_a_stop_lets_a_large_export_arrive_whole(here: stand.Installation) -> None:
    document = request_of(5000)
    for recipient in document["recipients"]:
        recipient["metadata"] = {"note": "x" * 800}
    accepted = here.ask("POST", "/v1/broadcasts", json=document)
    export = here.call(
        "GET", f"/v1/broadcasts/{accepted['id']}/messages", headers={"Accept": "text/csv"}, stream=True
    )
    pieces = export.iter_content(65_536)
    body = next(pieces)
    process: Any = here.process  # type: ignore[attr-defined]
    process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in process.output())
    for piece in pieces:
        body += piece
    assert len(body) > 4_000_000
    assert len(list(csv.reader(io.StringIO(body.decode())))) == 5001
    assert process.popen.wait(30) == 0


def test_sigterm_ends_the_web_process_cleanly(here: stand.Installation) -> None:
    assert here.process.stop(signal.SIGTERM) == 0  # type: ignore[attr-defined]
