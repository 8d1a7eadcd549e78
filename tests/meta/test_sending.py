"""The connection that sends, against peers that answer as Graph never does."""

import asyncio
import gzip
import socket
import threading

import pytest

from broadcaster.domain import verdicts
from broadcaster.domain.verdicts import Reaction
from broadcaster.meta.send_client import SendClient
from broadcaster.meta.sending import Sending, send
from tests.support.peers import HEAD, answering, flooding, peer

ACCEPTED = b'{"messages":[{"id":"wamid.1"}]}'


def sent_to(url: str) -> Sending:
    async def post() -> Sending:
        async with SendClient(url, answer_seconds=600) as client:
            return await send(client, client.head("", "t"), b"{}", lambda: None)

    return asyncio.run(post())


def whole(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_an_answer_is_read() -> None:
    for answer in (whole(ACCEPTED), HEAD + b"Connection: close\r\n\r\n" + ACCEPTED):
        with peer(answering(answer)) as url:
            assert sent_to(url).verdict.wamid == "wamid.1"


PADDED = ACCEPTED[:-1] + b',"x":"' + b"a" * 5_000_000 + b'"}'


@pytest.mark.parametrize(
    "answer",
    [
        whole(PADDED),
        HEAD + b"Connection: close\r\n\r\n" + PADDED,
        whole(gzip.compress(PADDED), b"Content-Encoding: gzip"),
        whole(gzip.compress(ACCEPTED)[:-4], b"Content-Encoding: gzip"),
    ],
    ids=["long", "long without a length", "packed", "packed and cut"],
)
def test_of_a_long_or_packed_answer_nothing_is_believed(answer: bytes) -> None:
    with peer(answering(answer)) as url:
        found = sent_to(url)
    assert (found.verdict, found.has_left) == (verdicts.UNREADABLE, True)
    assert found.verdict.reaction == Reaction.LOST


FLOODS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "headers": (HEAD, b"a: b\r\n"),
    "body": (HEAD + b"\r\n", b" "),
    "small chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "an extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
}


@pytest.mark.parametrize(("start", "piece"), FLOODS.values(), ids=FLOODS)
def test_an_answer_without_end_is_cut_long_before_the_deadline(start: bytes, piece: bytes) -> None:
    with peer(flooding(start, piece)) as url:
        found = sent_to(url)
    assert (found.verdict.reaction, found.has_left) == (Reaction.LOST, True)


def test_a_long_answer_still_says_how_long_to_wait() -> None:
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nConnection: close\r\n\r\n"
    with peer(answering(head + b"<p>" * 1_000_000)) as url:
        assert sent_to(url).wait == 17


def test_a_kept_connection_counts_each_answer_for_itself() -> None:
    half = whole(ACCEPTED[:-1] + b',"x":"' + b"a" * 50_000 + b'"}')
    seen = 0

    def serve(connection: socket.socket, _over: threading.Event) -> None:
        nonlocal seen
        seen += 1
        connection.sendall(half)
        while connection.recv(65_536):
            connection.sendall(half)

    async def send_five(url: str) -> list[str | None]:
        async with SendClient(url, answer_seconds=600) as client:
            head = client.head("", "t")
            return [(await send(client, head, b"{}", lambda: None)).verdict.wamid for _ in range(5)]

    with peer(serve) as url:
        assert asyncio.run(send_five(url)) == ["wamid.1"] * 5
    assert seen == 1
