"""The lane: callbacks answered by the server's loop, as the threads would, never before they are durable."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email import message_from_bytes
from typing import Any, NamedTuple

import pytest

from broadcaster import config
from broadcaster.store.models import Callback
from broadcaster.store.writer import Writer
from broadcaster.web import meta_callback
from broadcaster.web.callback_lane import CallbackLane
from broadcaster.web.server import Server
from tests.support.callbacks import callback, status
from tests.support.servers import connect, serving
from tests.support.waiting import wait_until

SECRET = "s3cret"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def server(settings: config.Settings, db: Any, writer: Writer) -> Iterator[Server]:
    with serving(settings.model_copy(update={"app_secret": SECRET}), db, writer) as made:
        yield made


def body_of(number: int) -> bytes:
    return json.dumps(callback(status("delivered", wamid=f"wamid.{number}"))).encode()


def request(body: bytes, *headers: str, secret: str = SECRET) -> bytes:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    lines = (
        "POST /callbacks/meta HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"X-Hub-Signature-256: sha256={signature}",
        f"Content-Length: {len(body)}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read(connection: socket.socket, rest: bytes = b"") -> tuple[Answer, bytes]:
    """An answer, and what has come behind it."""
    while b"\r\n\r\n" not in rest:
        rest += _received(connection)
    head, _, rest = rest.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    headers = dict(message_from_bytes(fields).items())
    while len(rest) < int(headers["Content-Length"]):
        rest += _received(connection)
    length = int(headers["Content-Length"])
    return Answer(int(line.split()[1]), headers, rest[:length]), rest[length:]


def _received(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    assert piece, "the connection was closed before its answer"
    return piece


def ask(server: Server, *requests: bytes) -> list[Answer]:
    """The answers to requests that are sent at once over one connection."""
    with closing(connect(server)) as connection:
        connection.sendall(b"".join(requests))
        found, rest = [], b""
        for _ in requests:
            answer, rest = read(connection, rest)
            found.append(answer)
        return found


def kept() -> list[tuple[str, bool]]:
    return [(row.body, row.understood) for row in Callback.select().order_by(Callback.id)]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the lane took each request, in the order of asking."""
    found: list[bool] = []
    really = CallbackLane.takes

    def takes(lane: CallbackLane, connection: Any) -> bool:
        found.append(really(lane, connection))
        return found[-1]

    monkeypatch.setattr(CallbackLane, "takes", takes)
    return found


@pytest.fixture
def may_go_on(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set no callback becomes durable."""
    event = threading.Event()
    really = meta_callback.meta_events.take

    def take(*given: Any) -> None:
        assert event.wait(10)
        really(*given)

    monkeypatch.setattr(meta_callback.meta_events, "take", take)
    return event


def test_a_callback_is_kept_before_it_is_answered(server: Server, taken: list[bool]) -> None:
    (answer,) = ask(server, request(body_of(1), "X-Request-Id: mine.1"))
    assert (answer.status, answer.body, answer.headers["X-Request-Id"]) == (200, b"ok", "mine.1")
    assert kept() == [(body_of(1).decode(), True)]
    assert taken == [True]


def test_both_ways_answer_alike(server: Server, taken: list[bool]) -> None:
    one, other = ask(server, request(body_of(1))), ask(server, request(body_of(2), "Connection: close"))
    assert taken == [True, False]
    of_the_way = {"Date", "X-Request-Id", "Connection"}
    shown = [{k: v for k, v in found[0].headers.items() if k not in of_the_way} for found in (one, other)]
    assert shown[0] == shown[1]
    assert (one[0].status, one[0].body) == (other[0].status, other[0].body)
    assert len(one[0].headers["X-Request-Id"]) == len(other[0].headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (request(body_of(1), secret="another"), 401),
        (request(b"nonsense"), 400),
        (request(b"[]"), 400),
        (request(b"[" * 60 + b"]" * 60), 400),
        (request(b'{"a":' * 60 + b"1" + b"}" * 60), 400),
        (request(b"\xff\xfe"), 400),
        (request(body_of(1)).replace(b"POST", b"PUT"), 405),
        (request(body_of(1)).replace(b"/meta", b"/else"), 404),
    ],
)
def test_what_is_not_as_it_should_be_goes_the_ordinary_way(
    server: Server, taken: list[bool], raw: bytes, code: int
) -> None:
    (answer,) = ask(server, raw)
    assert (answer.status, answer.headers["Content-Type"]) == (code, "application/problem+json")
    assert taken == [False]
    assert kept() == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": "' + b"a" * 20_000 + b'"}',
        b'{"odd": "\\u0000 \\ud800", "twice": 1, "twice": 2, "entry": [{"changes": 5}]}',
        b'{"large": 123456789012345678901234567890}',
    ],
)
def test_odd_and_large_callbacks_are_kept_as_they_came(server: Server, body: bytes) -> None:
    assert ask(server, request(body))[0].status == 200
    assert kept() == [(body.decode(), True)]


def test_requests_behind_each_other_are_answered_in_order(server: Server) -> None:
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    wrong = request(body_of(9), secret="another")
    told = ask(server, request(body_of(1)), health, request(body_of(2)), wrong, request(body_of(3)), health)
    assert [answer.status for answer in told] == [200, 200, 200, 401, 200, 200]
    assert [answer.body == b"ok" for answer in told] == [True, False, True, False, True, False]
    assert [row for row, _ in kept()] == [body_of(n).decode() for n in (1, 2, 3)]


def test_a_body_that_waits_to_be_asked_for_is_asked_for(server: Server) -> None:
    raw = request(body_of(2), "Expect: 100-continue")
    head, _, body = raw.partition(b"\r\n\r\n")
    with closing(connect(server)) as connection:
        connection.sendall(request(body_of(1)) + head + b"\r\n\r\n")
        answer, rest = read(connection)
        while b"100 Continue\r\n\r\n" not in rest:
            rest += _received(connection)
        connection.sendall(body)
        assert (answer.status, read(connection, rest.partition(b"\r\n\r\n")[2])[0].status) == (200, 200)


def test_many_at_once_are_each_kept_once(server: Server) -> None:
    def post(first: int) -> list[int]:
        with closing(connect(server)) as connection:
            found = []
            for number in range(first, first + 20):
                connection.sendall(request(body_of(number)))
                found.append(read(connection)[0].status)
            return found

    with ThreadPoolExecutor(16) as pool:
        statuses = [code for found in pool.map(post, range(0, 320, 20)) for code in found]
    assert statuses == [200] * 320
    assert sorted(kept()) == sorted((body_of(number).decode(), True) for number in range(320))


def test_one_that_cannot_be_taken_keeps_no_other_from_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = meta_callback.meta_events.take

    def take(received: Any, *rest: Any) -> None:
        if any("wamid.13" in one.body for one in received):
            raise ValueError("a fault of ours")
        really(received, *rest)

    monkeypatch.setattr(meta_callback.meta_events, "take", take)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda n: ask(server, request(body_of(n)))[0].status, range(10, 18))
        assert list(found) == [200] * 8
    assert sorted(kept()) == sorted((body_of(n).decode(), n != 13) for n in range(10, 18))


def test_whoever_leaves_before_the_answer_leaves_nothing_behind(
    server: Server, may_go_on: threading.Event
) -> None:
    connections = [connect(server) for _ in range(10)]
    for number, connection in enumerate(connections):
        connection.sendall(request(body_of(number)) * 2)
    wait_until(lambda: sum(bool(one.requests) for one in list(server.active_channels.values())) == 10)
    for connection in connections:
        connection.close()
    may_go_on.set()
    wait_until(lambda: not server.active_channels)
    assert len(kept()) >= 10


def test_while_the_database_takes_nothing_a_callback_is_told_to_come_again(
    server: Server, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "is_stuck", lambda: True)
    (answer,) = ask(server, request(body_of(1)))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert kept() == []


def test_a_stop_answers_what_has_come(
    settings: config.Settings,
    db: Any,
    writer: Writer,
    may_go_on: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = settings.model_copy(update={"app_secret": SECRET})
    with serving(here, db, writer, drain_seconds=10) as server:
        connection = connect(server)
        connection.sendall(request(body_of(1)))
        wait_until(lambda: any(one.requests for one in list(server.active_channels.values())))
        drains = server.drain

        def drain(deadline: float) -> None:
            may_go_on.set()
            drains(deadline)

        monkeypatch.setattr(server, "drain", drain)
    with closing(connection):
        assert read(connection)[0].status == 200
