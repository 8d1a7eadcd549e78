"""Calls to others: over in time whatever drips, and no more read than was asked for."""

import gzip
import socket
import ssl
import threading
from pathlib import Path

import pytest

from broadcaster import outbound
from tests.support.certificates import make_certificate, trust
from tests.support.peers import HEAD, answering, dripping, flooding, host, peer, read_request

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


def test_who_is_trusted_is_the_systems_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, other = make_certificate(tmp_path, "localhost"), make_certificate(tmp_path, "elsewhere")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.server)

    def serve(connection: socket.socket, _over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            read_request(secure)
            secure.sendall(HEAD + b"Content-Length: 2\r\n\r\nok")

    with host(serve) as port:
        address = f"https://localhost:{port}/"
        trust(monkeypatch, shown.authority)
        assert outbound.get(address, {}, {}, 30, 1000).body == b"ok"
        assert outbound.post(f"https://127.0.0.1:{port}/", b"{}", {}, 30, tls_name="localhost") == 200
        trust(monkeypatch, other.authority)
        with pytest.raises(outbound.Unreachable, match="certificate"):
            outbound.get(address, {}, {}, 30, 1000)


def test_a_folder_of_certificates_or_the_list_of_requests_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert outbound.trusted() == str(tmp_path)
    assert outbound.tls_context().verify_mode is ssl.CERT_REQUIRED
    nothing = ssl.get_default_verify_paths()._replace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    assert outbound.tls_context().cert_store_stats()["x509_ca"] > 50


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


FLOODS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue with heads": (b"", b"HTTP/1.1 100 Continue\r\na: " + b"x" * 1000 + b"\r\n\r\n"),
    "status line": (b"HTTP/1.1 200 ", b"x"),
    "one header": (HEAD + b"a: ", b"x"),
    "headers": (HEAD, b"a: b\r\n"),
}
BODY_FLOODS = {
    "small chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
}


@pytest.mark.parametrize(("start", "piece"), FLOODS.values(), ids=FLOODS)
def test_a_head_without_end_is_left_long_before_the_deadline(start: bytes, piece: bytes) -> None:
    with peer(flooding(start, piece)) as url:
        for call in (
            lambda: outbound.post(url, b"{}", {}, 600),
            lambda: outbound.get(url, {}, {}, 600, 1000),
        ):
            with pytest.raises(outbound.Unreachable) as told:
                call()
            assert "took" not in str(told.value)


@pytest.mark.parametrize(("start", "piece"), BODY_FLOODS.values(), ids=BODY_FLOODS)
def test_what_stands_around_a_body_counts_as_well(start: bytes, piece: bytes) -> None:
    with peer(flooding(start, piece)) as url:
        assert outbound.post(url, b"{}", {}, 600) == 200
        with pytest.raises(outbound.Unreachable):
            outbound.get(url, {}, {}, 600, 1_000_000)


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"


def test_the_body_of_a_redirect_is_neither_read_nor_unpacked() -> None:
    with peer(flooding(REDIRECT + b"\r\n", b"x")) as url:
        assert outbound.post(url, b"{}", {}, 600) == 302
    packed = gzip.compress(b"0" * 50_000_000)
    head = REDIRECT + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with peer(answering(head + packed)) as url:
        assert outbound.get(url, {}, {}, 30, 1_000_000)[2:] == (packed, True)


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
