"""Calls to others over HTTP that cost no more than they may: one connection each, closed in time whatever
drips through it, and no more of an answer than is asked for, as it came and never decompressed.

requests alone bounds each wait for bytes, and not their sum: a status line, a head, or `100 Continue` after
`100 Continue`, a byte at a time, would hold a thread for ever. The same at full speed would hold a processor
until the deadline, so that what comes is counted where it leaves the socket.
"""

import io
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

import requests
import urllib3
from requests.adapters import HTTPAdapter

_CONNECT_SECONDS = 5
_PIECE = 16 * 1024
_AROUND_BODY = 64 * 1024
"""Bytes for all that is not body: interim answers, the head, the frames of chunks, trailers."""


class Unreachable(Exception):
    """No whole answer came, in a few words; the request may have arrived."""


class Answer(NamedTuple):
    """What came back: at most as many bytes of the body as were asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


def trusted() -> str:
    """The file or folder of whom we trust: SSL_CERT_FILE's or SSL_CERT_DIR's, else the system's, else the
    list that comes with requests."""
    found = ssl.get_default_verify_paths()
    return found.cafile or found.capath or requests.utils.DEFAULT_CA_BUNDLE_PATH


def tls_context() -> ssl.SSLContext:
    """How those are talked to whom we trust."""
    store = trusted()
    is_folder = Path(store).is_dir()
    return ssl.create_default_context(
        cafile=None if is_folder else store, capath=store if is_folder else None
    )


def get(
    url: str, parameters: Mapping[str, str], headers: Mapping[str, str], seconds: float, largest: int
) -> Answer:
    """The answer to a GET within `seconds` of real time, `largest` bytes of its body; raises Unreachable."""
    return _exchange("GET", url, headers, seconds, largest, params=parameters)


def post(
    url: str, body: bytes, headers: Mapping[str, str], seconds: float, tls_name: str | None = None
) -> int:
    """The status that a POST is answered with within `seconds`; nothing of the answer's body is read.

    `tls_name` is whose certificate is wanted, where the address in `url` is not a name. Raises Unreachable.
    """
    return _exchange("POST", url, headers, seconds, 0, tls_name, data=body).status


def _exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    seconds: float,
    largest: int,
    tls_name: str | None = None,
    **given: Any,
) -> Answer:
    limits = _Limits(seconds, largest + _AROUND_BODY)
    session = _Session()
    # Proxies and .netrc of the environment would send secrets where nobody expects it.
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(limits, tls_name))
    plain = {"Accept-Encoding": "identity", "Connection": "close", **headers}
    try:
        with (
            limits,
            session,
            session.request(
                method,
                url,
                headers=plain,
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT_SECONDS, seconds),
                verify=trusted(),
                **given,
            ) as answer,
        ):
            body, is_whole = _read(answer.raw, largest) if largest else (b"", False)
            limits.check()
            return Answer(answer.status_code, answer.headers, body, is_whole)
    except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        raise Unreachable(limits.broken or _told(error)) from None


def _read(raw: Any, largest: int) -> tuple[bytes, bool]:
    """At most so many bytes as they came, and whether that is all."""
    body = b""
    while len(body) <= largest:
        piece = raw.read1(_PIECE, decode_content=False)
        if not piece:
            return body, True
        body += piece
    return body[:largest], False


def _told(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate is not good"
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)[:200]


class _Limits:
    """What a call may cost: shuts its connections down when its time is over, and counts what they bring."""

    def __init__(self, seconds: float, most: int):
        self.broken = ""
        """Which limit ended the call."""
        self._seconds = seconds
        self._left = most
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []

    def __enter__(self) -> "_Limits":
        self._timer = threading.Timer(self._seconds, self._pass)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        with self._lock:
            for twin in self._twins:
                twin.close()
            self._twins.clear()

    def watch(self, connected: socket.socket) -> None:
        """Shut this connection down as well when the time is over."""
        # Another descriptor of it: TLS takes the first away, and its own is not known before the handshake.
        twin = socket.socket(fileno=os.dup(connected.fileno()))
        with self._lock:
            self._twins.append(twin)
        if self.broken:
            self._shut()

    def take(self, count: int) -> None:
        """Count bytes that came; raises HTTPException at the first too many."""
        self._left -= count
        if self._left < 0:
            self.broken = "the answer is too long"
            raise HTTPException(self.broken)

    def check(self) -> None:
        """Raise Unreachable once a limit is broken: what was read then may be half of it."""
        if self.broken:
            raise Unreachable(self.broken)

    def _pass(self) -> None:
        self.broken = "it took too long"
        self._shut()

    def _shut(self) -> None:
        with self._lock:
            for twin in self._twins:
                with suppress(OSError):
                    twin.shutdown(socket.SHUT_RDWR)


class _Session(requests.Session):
    """A session to which a redirect is an answer like others."""

    def get_redirect_target(self, _response: requests.Response) -> None:
        # Of a redirect requests reads and unpacks the whole body, even where none is followed.
        return None


class _Metered(io.RawIOBase):
    """What a connection brings, counted."""

    def __init__(self, raw: Any, limits: _Limits):
        self._raw = raw
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        self._limits.take(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Adapter(HTTPAdapter):
    """Connections within limits, with the certificate of a name where an address is called."""

    def __init__(self, limits: _Limits, tls_name: str | None):
        self._limits = limits
        self._named = {"server_hostname": tls_name, "assert_hostname": tls_name} if tls_name else {}
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        named = self._named
        limits = self._limits

        class Response(HTTPResponse):
            def __init__(self, connected: socket.socket, *args: Any, **options: Any):
                super().__init__(connected, *args, **options)
                self.fp.close()
                self.fp = io.BufferedReader(_Metered(connected.makefile("rb", buffering=0), limits))

        class Plain(urllib3.connection.HTTPConnection):
            response_class = Response

            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                limits.watch(connected)
                return connected

        class Secure(urllib3.connection.HTTPSConnection):
            response_class = Response

            def _new_conn(self) -> socket.socket:
                connected = super()._new_conn()
                limits.watch(connected)
                return connected

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

            def __init__(self, *args: Any, **options: Any):
                super().__init__(*args, **{**options, **named})

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
