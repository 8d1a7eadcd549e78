"""The HTTP server itself: what waitress refuses before the application sees it."""

import http.client
import json
import signal
import socket
from urllib.parse import urlsplit

import pytest

from broadcaster.sandbox import testbed
from tests.support.installation import Field
from tests.support.samples import request_of


@pytest.fixture
def here(field: Field) -> testbed.Installation:
    field.sandbox()
    made = field.installation()
    made.process = field.start(made, "web")  # type: ignore[attr-defined]
    return made


def raw(here: testbed.Installation, request: bytes) -> tuple[int, str, bytes]:
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
    here: testbed.Installation, request_bytes: bytes, status: int
) -> None:
    found, content_type, body = raw(here, request_bytes)
    assert (found, content_type) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status


def test_a_body_of_20_megabytes_is_read_and_refused(here: testbed.Installation) -> None:
    response = here.call(
        "POST", "/v1/broadcasts", data=b"x" * 20_000_000, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert here.call("GET", "/healthz").status_code == 200


def test_a_chunked_body_is_taken(here: testbed.Installation) -> None:
    pieces = iter([json.dumps(request_of(2)).encode()])
    response = here.call("POST", "/v1/broadcasts", data=pieces, headers={"Content-Type": "application/json"})
    assert response.status_code == 202


def test_5000_recipients_are_accepted(here: testbed.Installation) -> None:
    assert here.ask("POST", "/v1/broadcasts", json=request_of(5000))["stats"]["pending"] == 5000


def test_the_server_does_not_name_itself(here: testbed.Installation) -> None:
    assert "server" not in here.call("GET", "/healthz").headers


def test_a_port_in_use_is_told_in_a_sentence(field: Field, here: testbed.Installation) -> None:
    here.environ["BROADCASTER_PORT"] = here.url.rpartition(":")[2]
    with pytest.raises(testbed.NotReady, match="cannot listen on"):
        field.start(here, "web")


def test_sigterm_ends_the_web_process_cleanly(here: testbed.Installation) -> None:
    assert here.process.stop(signal.SIGTERM) == 0  # type: ignore[attr-defined]
