"""The client that sends, against hosts that close, reset, break off, babble and lie, over real sockets.

What counts: nothing is written twice, Unreached is never said of what was read, and an answer is the host's
whole one.
"""

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from broadcaster.errors import Misconfigured
from broadcaster.meta import send_client
from broadcaster.meta.send_client import Answer, Lost, SendClient, Unreached
from tests.support.certificates import Certificate, make_certificate, trust
from tests.support.fuzzed_sends import fuzz
from tests.support.peers import Serve, host, read_request, reset

BODY = b'{"a":"b"}'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECONDS = 20.0
Outcome = tuple[int, bytes] | str


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def ask(client: SendClient) -> Outcome:
    """What became of a request: status and body, or `unreached` or `lost`. Holds that it is said in time
    that it leaves."""
    left: list[bool] = []
    try:
        answer = await client.post(client.head("messages", "t"), BODY, lambda: left.append(True))
    except Unreached:
        assert left == []
        return "unreached"
    except Lost:
        assert left == [True]
        return "lost"
    assert left == [True]
    return answer.status, answer.body


def asked(url: str, times: int = 1, seconds: float = SECONDS) -> list[Outcome]:
    async def work() -> list[Outcome]:
        async with SendClient(url, seconds) as client:
            return [await ask(client) for _ in range(times)]

    found: list[Outcome] = run(work())
    return found


class Seen:
    """Reads requests off connections and counts them."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0

    def read(self, connection: socket.socket) -> bytes:
        """The next whole request of a connection; raises OSError where none comes."""
        request = read_request(connection)
        if not request.endswith(BODY):
            raise OSError
        self.requests.append(request)
        return request


@contextmanager
def serving(each: Callable[[Seen, socket.socket], None]) -> Iterator[tuple[str, Seen]]:
    seen = Seen()

    def serve(connection: socket.socket, _over: threading.Event) -> None:
        seen.connections += 1
        each(seen, connection)

    with host(serve) as port:
        yield f"http://127.0.0.1:{port}", seen


def answers(*pieces: bytes) -> Callable[[Seen, socket.socket], None]:
    """Reads a request, writes these, and closes."""

    def serve(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        for piece in pieces:
            connection.sendall(piece)

    return serve


def answers_and_resets(piece: bytes) -> Callable[[Seen, socket.socket], None]:
    def serve(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        connection.sendall(piece)
        reset(connection)

    return serve


def test_a_request_is_written_once_and_whole() -> None:
    with serving(answers(WHOLE)) as (url, seen):
        assert asked(f"{url}/base/") == [(200, b"ok")]
    assert seen.requests == [
        b"POST /base/messages HTTP/1.1\r\n"
        b"Host: " + url.removeprefix("http://").encode() + b"\r\n"
        b"Authorization: Bearer t\r\n"
        b"Content-Type: application/json\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: 9\r\n\r\n" + BODY
    ]


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((b"HTTP/1.1 100 Continue\r\n\r\n", WHOLE), (200, b"ok")),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + WHOLE,), (200, b"ok")),
        ((b"HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nLink: x\r\n\r\n", WHOLE), (200, b"ok")),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"),
         (200, b"ok")),
        ((b"HTTP/1.1 200 OK\r\n\r\no", b"k"), (200, b"ok")),
        ((b"HTTP/1.0 200 OK\r\n\r\nok",), (200, b"ok")),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), (204, b"")),
        ((b"HTTP/1.1 307 Else\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",), (307, b"")),
        ((WHOLE + WHOLE.replace(b"ok", b"no"),), (200, b"ok")),
        ((WHOLE + b"noise",), (200, b"ok")),
        ((*(bytes([byte]) for byte in WHOLE),), (200, b"ok")),
    ],
    ids=["100", "three 100", "103", "chunks", "no length", "HTTP/1.0", "204", "307", "a second answer",
         "noise behind", "byte by byte"],
)  # fmt: skip
def test_an_answer_is_the_hosts_whole_one(pieces: tuple[bytes, ...], outcome: Outcome) -> None:
    with serving(answers(*pieces)) as (url, seen):
        assert asked(url) == [outcome]
    assert len(seen.requests) == 1


@pytest.mark.parametrize(
    "serve",
    [
        answers(),
        answers(b"HTTP/1.1 20"),
        answers(b"HTTP/1.1 200 OK\r\nContent-Le"),
        answers(b"HTTP/1.1 100 Continue\r\n\r\n"),
        answers(b"SSH-2.0-OpenSSH_9.2\r\n"),
        answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz"),
        answers_and_resets(b""),
        answers_and_resets(b"HTTP/1.1 200 O"),
    ],
    ids=["closed", "cut in the status", "cut in the head", "only 100", "no HTTP", "101", "reset",
         "reset in the status"],
)  # fmt: skip
def test_without_a_head_it_is_lost(serve: Callable[[Seen, socket.socket], None]) -> None:
    with serving(serve) as (url, seen):
        assert asked(url) == ["lost"]
    assert len(seen.requests) == 1


@pytest.mark.parametrize(
    "serve",
    [
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"),
        answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
        answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok"),
        answers_and_resets(b"HTTP/1.1 200 OK\r\n\r\nok"),
        answers(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * send_client.LARGEST_ANSWER),
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000),
    ],
    ids=["short", "cut between chunks", "no chunks", "reset without a length", "long", "long and whole"],
)
def test_of_an_answer_that_breaks_off_or_is_long_nothing_is_believed(
    serve: Callable[[Seen, socket.socket], None],
) -> None:
    with serving(serve) as (url, seen):
        assert asked(url)[0] in ((200, b""), "lost")
    assert len(seen.requests) == 1


def closes(_seen: Seen, _connection: socket.socket) -> None:
    return


def resets(_seen: Seen, connection: socket.socket) -> None:
    reset(connection)


def answers_unasked(_seen: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")


def reads_half_and_resets(_seen: Seen, connection: socket.socket) -> None:
    connection.recv(10)
    reset(connection)


@pytest.mark.parametrize("serve", [closes, resets, answers_unasked, reads_half_and_resets])
def test_a_host_that_does_not_listen_gets_no_second_request(
    serve: Callable[[Seen, socket.socket], None],
) -> None:
    with serving(serve) as (url, seen):
        assert asked(url)[0] in ("unreached", "lost", (408, b""))
    assert (len(seen.requests), seen.connections) == (0, 1)


def test_where_nobody_is_nothing_leaves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert asked(f"http://127.0.0.1:{port}") == ["unreached"]
    assert asked("http://nowhere.invalid") == ["unreached"]


def test_silence_and_dripping_end_at_the_deadline() -> None:
    def drip(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        connection.settimeout(0.02)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"a: b\r\n")
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    def keep_silent(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        connection.recv(1)

    for serve in (drip, keep_silent):
        with serving(serve) as (url, seen):
            assert asked(url, seconds=0.2) == ["lost"]
        assert len(seen.requests) == 1


def test_a_token_that_no_header_can_hold_is_refused_before_anything_leaves() -> None:
    async def work() -> None:
        async with SendClient("http://127.0.0.1:9", 1) as client:
            for token in ("a\r\nX: y", "a\x00", "a\x7f", "ü"):
                with pytest.raises(Misconfigured):
                    client.head("messages", token)

    run(work())


# Connections that are kept


def keeps(*steps: bytes) -> Callable[[Seen, socket.socket], None]:
    """Answers one request after another with these, then closes."""

    def serve(seen: Seen, connection: socket.socket) -> None:
        for step in steps:
            seen.read(connection)
            connection.sendall(step)

    return serve


def test_a_connection_is_kept() -> None:
    with serving(keeps(*[WHOLE] * 5)) as (url, seen):
        assert asked(url, 5) == [(200, b"ok")] * 5
    assert seen.connections == 1


@pytest.mark.parametrize(
    "first",
    [
        WHOLE.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"),
        WHOLE + b"noise",
        WHOLE + WHOLE,
        WHOLE.replace(b"1.1", b"1.0"),
        WHOLE + b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
    ],
    ids=["close", "noise behind", "a second answer", "HTTP/1.0", "half a second answer"],
)
def test_a_connection_that_is_not_clean_is_not_kept(first: bytes) -> None:
    with serving(keeps(first, WHOLE)) as (url, seen):
        assert asked(url, 2) == [(200, b"ok")] * 2
    assert (seen.connections, len(seen.requests)) == (2, 2)


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_a_second_request_that_was_read_is_lost_and_not_written_again(
    end: Callable[[socket.socket], None],
) -> None:
    def serve(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        connection.sendall(WHOLE)
        seen.read(connection)
        end(connection)

    with serving(serve) as (url, seen):
        assert asked(url, 2) == [(200, b"ok"), "lost"]
    assert (len(seen.requests), seen.connections) == (2, 1)


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n", b"\r\n"])
def test_what_was_closed_or_spoke_at_rest_is_not_written_on(parting: bytes) -> None:
    closed = threading.Event()

    def serve(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        connection.sendall(WHOLE)
        if seen.connections == 1:
            connection.sendall(parting)
            connection.close()
            closed.set()

    async def work(url: str) -> list[Outcome]:
        async with SendClient(url, SECONDS) as client:
            first = await ask(client)
            # The loop sees nothing of it before the next request: only the kernel knows.
            assert closed.wait(10)
            return [first, await ask(client)]

    with serving(serve) as (url, seen):
        assert run(work(url)) == [(200, b"ok")] * 2
    assert (len(seen.requests), seen.connections) == (2, 2)


@pytest.mark.parametrize("limit", ["_IDLE_SECONDS", "_OLDEST_SECONDS"])
def test_a_connection_too_old_or_too_long_at_rest_is_not_used_again(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(url: str) -> list[Outcome]:
        async with SendClient(url, SECONDS) as client:
            first = await ask(client)
            monkeypatch.setattr(send_client, limit, 0)
            assert await ask(client) == "unreached"
            monkeypatch.undo()
            return [first, await ask(client)]

    with serving(keeps(WHOLE, WHOLE)) as (url, seen):
        assert run(work(url)) == [(200, b"ok")] * 2
    assert seen.connections == 3


def test_requests_at_once_each_have_a_connection_and_their_own_answer() -> None:
    def echo(seen: Seen, connection: socket.socket) -> None:
        while True:
            request = seen.read(connection)
            path = request.split()[1]
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    async def work(url: str) -> list[Answer]:
        async with SendClient(url, SECONDS) as client:
            return await asyncio.gather(
                *(client.post(client.head(f"m{n}", "t"), BODY, lambda: None) for n in range(200))
            )

    with serving(echo) as (url, _):
        assert [answer.body for answer in run(work(url))] == [b"/m%d" % n for n in range(200)]


def test_at_the_end_and_when_given_up_a_request_is_lost_and_its_connection_closed() -> None:
    arrived = threading.Semaphore(0)
    left = threading.Semaphore(0)

    def serve(seen: Seen, connection: socket.socket) -> None:
        seen.read(connection)
        arrived.release()
        with suppress(OSError):
            connection.recv(1)
        left.release()

    async def work(url: str) -> list[Any]:
        async with SendClient(url, SECONDS) as client:
            asking = [asyncio.create_task(ask(client)) for _ in range(20)]
            for _ in asking:
                await asyncio.to_thread(arrived.acquire)
            for task in asking[:10]:
                task.cancel()
            await asyncio.wait(asking[:10])
            assert len(client.connections) == 10
        return await asyncio.gather(*asking, return_exceptions=True)

    with serving(serve) as (url, _):
        outcomes = run(work(url))
        assert all(left.acquire(timeout=10) for _ in range(20))
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes[:10])
    assert outcomes[10:] == ["lost"] * 10


# Where the host is


def found_at(*addresses: str) -> Callable[..., Any]:
    """A look-up that finds these, for socket.getaddrinfo."""

    def look_up(_host: Any, port: int, *_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (one, port, 0, 0))
            if ":" in one
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    return look_up


def test_a_host_that_moves_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(name: bytes) -> Serve:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n" + name
        return lambda connection, _over: answers(answer)(Seen(), connection)

    async def work(port: int) -> list[Outcome]:
        async with SendClient(f"http://graph.test:{port}", SECONDS) as client:
            monkeypatch.setattr(socket, "getaddrinfo", found_at("127.0.0.1"))
            outcomes = [await ask(client)]
            monkeypatch.setattr(socket, "getaddrinfo", found_at("127.0.0.2"))
            outcomes.append(await ask(client))
            monkeypatch.setattr(send_client, "_LOOKED_UP_SECONDS", 0)
            outcomes.append(await ask(client))
            return outcomes

    with host(named(b"a")) as port, host(named(b"b"), ("127.0.0.2", port)):
        assert asyncio.run(work(port)) == [(200, b"a"), (200, b"a"), (200, b"b")]


def test_a_look_up_that_failed_and_a_host_that_was_gone_are_looked_up_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror("no such host")

    async def work(port: int) -> list[Outcome]:
        async with SendClient(f"http://graph.test:{port}", SECONDS) as client:
            outcomes = []
            for look_up in (fail, found_at("127.0.0.9"), found_at("127.0.0.1")):
                monkeypatch.setattr(socket, "getaddrinfo", look_up)
                outcomes.append(await ask(client))
            return outcomes

    with serving(answers(WHOLE)) as (url, _):
        assert asyncio.run(work(int(url.rpartition(":")[2]))) == ["unreached", "unreached", (200, b"ok")]


def test_a_broken_route_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", found_at("2001:db8::1", "127.0.0.1"))

    async def work(port: int) -> Outcome:
        async with SendClient(f"http://graph.test:{port}", SECONDS) as client:
            return await ask(client)

    with serving(answers(WHOLE)) as (url, _):
        assert asyncio.run(work(int(url.rpartition(":")[2]))) == (200, b"ok")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificates"), "localhost")


def over_tls(certificate: Certificate, each: Callable[[Seen, socket.socket], None], seen: Seen) -> Serve:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.server)

    def serve(connection: socket.socket, _over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            seen.connections += 1
            each(seen, secure)

    return serve


def test_over_tls_a_host_is_trusted_by_the_systems_store(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, certificate.authority)
    seen = Seen()
    with host(over_tls(certificate, keeps(WHOLE, WHOLE, WHOLE), seen)) as port:
        assert asked(f"https://localhost:{port}", 3) == [(200, b"ok")] * 3
    assert (seen.connections, len(seen.requests)) == (1, 3)


def test_over_tls_what_was_read_is_lost(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    trust(monkeypatch, certificate.authority)
    seen = Seen()
    with host(over_tls(certificate, answers(), seen)) as port:
        assert asked(f"https://localhost:{port}") == ["lost"]
    assert len(seen.requests) == 1


@pytest.mark.parametrize("fault", ["untrusted", "another name", "plain", "closes", "hangs"])
def test_without_a_handshake_nothing_leaves(
    fault: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen()
    shown = make_certificate(tmp_path, "elsewhere") if fault == "another name" else certificate
    trusted = make_certificate(tmp_path, "localhost") if fault == "untrusted" else shown
    trust(monkeypatch, trusted.authority)
    monkeypatch.setattr(send_client, "CONNECT_SECONDS", 0.5 if fault == "hangs" else 10)
    ways: dict[str, Serve] = {
        "plain": lambda connection, _over: connection.sendall(WHOLE),
        "closes": lambda _connection, _over: None,
        "hangs": lambda connection, over: over.wait(10) and None,
    }
    with host(ways.get(fault, over_tls(shown, answers(WHOLE), seen))) as port:
        assert asked(f"https://localhost:{port}") == ["unreached"]
    assert seen.requests == []


THOUSAND = """
import asyncio, sys
import uvloop
from pathlib import Path
from broadcaster.meta.send_client import SendClient

def kilobytes():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

async def main():
    async with SendClient(sys.argv[1], 60) as client:
        head = client.head("messages", "t")
        before = kilobytes()
        answers = await asyncio.gather(*(client.post(head, b"{}", lambda: None) for _ in range(1000)))
        print(len(client.connections), sum(one.status == 200 for one in answers), kilobytes() - before)

uvloop.run(main())
"""


def test_a_thousand_connections_over_tls_take_less_than_a_hundred_megabytes(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, certificate.authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.server)

    async def work() -> bytes:
        everybody = asyncio.Barrier(1000)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            # Answered together, so that each has a connection of its own.
            await everybody.wait()
            writer.write(WHOLE)
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=1024) as server:
            port = server.sockets[0].getsockname()[1]
            arguments = [sys.executable, "-c", THOUSAND, f"https://localhost:{port}"]
            client = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
            said, _ = await client.communicate()
        return said

    connections, answered, kilobytes = map(int, run(work()).split())
    assert (connections, answered) == (1000, 1000)
    assert kilobytes < 100_000


# Everything at once


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_fuzzed_sends_none_is_written_twice_and_none_that_was_read_is_called_unreached(seed: int) -> None:
    found = fuzz(1500, 100, seed)
    assert (found.twice, found.unreached_yet_seen) == (0, 0)
    assert (found.wrong_answer, found.lost_though_whole) == (0, 0)
    assert found.answered > 500
