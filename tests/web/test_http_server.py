"""The HTTP server itself: what waitress refuses before the application sees it."""

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from broadcaster.sandbox import testbed
from tests.support.installation import Field, Installation, Prepared
from tests.support.samples import request_of


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, prepared: Prepared, stdlib_sqlite: bool
) -> Iterator[Installation]:
    """One web process for all tests that leave it as it was."""
    field = Field(tmp_path_factory.mktemp("server"), prepared, stdlib_sqlite)
    made = field.installation()
    field.start(made, "web")
    yield made
    field.close()


def raw(here: Installation, request: bytes) -> tuple[int, str, bytes]:
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
        (b"POST /callbacks/meta HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 401),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 70_000, 404),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Length: no\r\n\r\n", 400),
    ],
    ids=[
        "nonsense",
        "huge header",
        "announced too large",
        "by a stranger",
        "nowhere",
        "no length",
        "bad length",
    ],
)
def test_what_the_server_refuses_is_a_problem_too(
    here: Installation, request_bytes: bytes, status: int
) -> None:
    found, content_type, body = raw(here, request_bytes)
    assert (found, content_type) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status


HEAD = b"POST /v1/broadcasts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def head_of(path: bytes, length: int) -> bytes:
    return HEAD.replace(b"/v1/broadcasts", path) + b"Content-Length: %d\r\n" % length


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Content-Length: 31000000\r\n", 401),
        (HEAD + b"Content-Length: 31000000\r\nExpect: 100-continue\r\n", 401),
        (HEAD + b"Content-Length: 31000000\r\nAuthorization: Bearer bc_nobody\r\n", 401),
        (HEAD + b"Content-Length: 31000000\r\nAuthorization: Bearer TOKEN\r\n", 413),
        (head_of(b"/v1/webhooks", 70000) + b"X-API-Key: TOKEN\r\n", 413),
        (head_of(b"/nowhere", 31000000), 404),
        (head_of(b"/sign-in", 12000000), 413),
        (head_of(b"/broadcasts/new", 12000000), 303),
        (head_of(b"/v1/messages/bulk", 12000000), 401),
    ],
)  # fmt: skip
def test_a_body_that_is_refused_anyway_is_not_waited_for(
    here: Installation, head: bytes, status: int
) -> None:
    found, _, _ = raw(here, head.replace(b"TOKEN", here.token.encode()) + b"\r\n")
    assert found == status


def test_nothing_behind_a_refused_body_is_another_request(here: Installation) -> None:
    address = urlsplit(here.url)
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: 31000000\r\n\r\n" + hidden)
        answered = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answered.count(b"HTTP/1.1 ") == 1
    assert answered.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        b"POST /healthz HTTP/1.0\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_answered_once(here: Installation, head: bytes) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    address = urlsplit(here.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=10) as connection:
        connection.sendall(head + b"0\r\n\r\n" + hidden)
        answered = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answered.count(b"HTTP/1.") == 1
    assert b" 400 " in answered.partition(b"\r\n")[0]


def test_a_chunked_body_is_cut_at_what_its_path_takes(here: Installation) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2
    assert raw(here, HEAD + chunked)[0] == 413
    right = f"Authorization: Bearer {here.token}\r\n".encode()
    assert raw(here, HEAD + right + chunked + b"0\r\n\r\n")[0] == 400


@pytest.mark.parametrize("line", [b"1;a=" + b"b" * 40_000, b"0\r\nX: " + b"b" * 40_000])
def test_a_line_between_chunks_is_short(here: Installation, line: bytes) -> None:
    right = f"Authorization: Bearer {here.token}\r\n".encode()
    status, _, body = raw(here, HEAD + right + b"Transfer-Encoding: chunked\r\n\r\n" + line)
    assert (status, json.loads(body)["detail"]) == (400, "a line between chunks is too long")


def test_a_body_of_20_megabytes_is_refused_and_the_answer_arrives(here: Installation) -> None:
    response = here.call(
        "POST", "/v1/broadcasts", data=b"x" * 20_000_000, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert here.call("GET", "/healthz").status_code == 200


def test_a_chunked_body_is_taken(here: Installation) -> None:
    pieces = iter([json.dumps(request_of(2)).encode()])
    response = here.call("POST", "/v1/broadcasts", data=pieces, headers={"Content-Type": "application/json"})
    assert response.status_code == 202


def test_5000_recipients_are_accepted(here: Installation) -> None:
    assert here.ask("POST", "/v1/broadcasts", json=request_of(5000))["stats"]["pending"] == 5000


def test_the_server_does_not_name_itself(here: Installation) -> None:
    assert "server" not in here.call("GET", "/healthz").headers


def test_a_port_in_use_is_told_in_a_sentence(field: Field, here: Installation) -> None:
    second = field.installation(port=here.url.rpartition(":")[2])
    with pytest.raises(testbed.NotReady, match="cannot listen on"):
        field.start(second, "web")


def test_sigterm_ends_the_web_process_cleanly(field: Field) -> None:
    process = field.start(field.installation(), "web")
    assert process.stop(signal.SIGTERM) == 0
