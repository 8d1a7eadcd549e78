"""Calls to others: over in time whatever drips, and no more read than was asked for."""

import gzip

import pytest

from broadcaster import outbound
from tests.support.peers import HEAD, answering, dripping, peer

DRIPS = {
    "nothing": (b"", b""),
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "headers": (HEAD, b"x"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize(("start", "piece"), DRIPS.values(), ids=DRIPS)
def test_a_deadline_ends_whatever_drips(start: bytes, piece: bytes) -> None:
    with peer(dripping(start, piece)) as url:
        with pytest.raises(outbound.Unreachable, match="too long"):
            outbound.post(url, b"{}", {}, 0.3)
        with pytest.raises(outbound.Unreachable, match="too long"):
            outbound.get(url, {}, {}, 0.3, 1000)


def test_a_body_that_drips_is_cut_when_it_is_read_and_not_waited_for_when_it_is_not() -> None:
    with peer(dripping(HEAD + b"Content-Length: 1000000\r\n\r\n", b"x")) as url:
        assert outbound.post(url, b"{}", {}, 30) == 200
        with pytest.raises(outbound.Unreachable, match="too long"):
            outbound.get(url, {}, {}, 0.3, 1_000_000)


def test_no_more_is_read_than_was_asked_for() -> None:
    with peer(answering(HEAD + b"\r\n" + b"x" * 3_000_000)) as url:
        answer = outbound.get(url, {}, {}, 30, 1000)
        assert (answer.status, len(answer.body), answer.is_whole) == (200, 1000, False)
        assert outbound.get(url, {}, {}, 30, 3_000_000).is_whole


def test_nothing_is_decompressed() -> None:
    packed = gzip.compress(b"0" * 50_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with peer(answering(head + packed)) as url:
        assert outbound.get(url, {}, {}, 30, 1_000_000).body == packed
        assert outbound.post(url, b"{}", {}, 30) == 200


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with peer(answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n")) as url:
        assert outbound.post(url, b"{}", {}, 30) == 302


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
def test_what_is_no_whole_answer_is_told_in_a_few_words(answer: bytes) -> None:
    with peer(answering(answer)) as url, pytest.raises(outbound.Unreachable) as told:
        outbound.get(url, {}, {}, 30, 1000)
    assert 0 < len(str(told.value)) <= 200


def test_nobody_there_is_no_connection() -> None:
    with pytest.raises(outbound.Unreachable, match="no connection"):
        outbound.post("http://127.0.0.1:1/", b"{}", {}, 30)
