"""The connection that sends, against peers that answer as Graph never does."""

import asyncio
import gzip

import pytest

from broadcaster.domain import verdicts
from broadcaster.domain.verdicts import Reaction
from broadcaster.meta.sending import SendConnection, Sending
from tests.support.peers import HEAD, answering, peer

ACCEPTED = b'{"messages":[{"id":"wamid.1"}]}'


def sent_to(url: str) -> Sending:
    async def send() -> Sending:
        async with SendConnection(answer_seconds=20) as connection:
            return await connection.send(url, {}, b"{}", lambda: None)

    return asyncio.run(send())


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
