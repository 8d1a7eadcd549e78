"""The processes: web, worker, and both in one; starting, and stopping without losing anything."""

import json
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any

import falcon
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from broadcaster import log
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.web.admission import SMALL, head
from broadcaster.web.app import make_app
from broadcaster.web.courtesy import CourtesyMiddleware
from broadcaster.web.own.refusals import PROBLEM_TYPE, problem
from broadcaster.web.refusals import Refusal
from broadcaster.worker.schedule import Schedule

_WEB_THREADS = 128
"""More than wait for outcomes (single_send.MOST_AWAITED) and for their turn (courtesy), so that neither
silences the rest."""
_LARGEST_UPLOAD = 32 * 1024 * 1024
REQUEST_SECONDS = 30
"""From a request's first byte to its last: 10 MB over a line of 3 Mbit/s. Each byte resets waitress's own
timer, so that a hundred clients sending one a second would hold their sockets for ever."""
_IDLE_SECONDS = 60
_LINGER_SECONDS = 5
"""What is left of a body that is not read may come so long, and is thrown away."""
_MOST_CONNECTIONS = 2000
_ACCEPTED_AT_ONCE = 100

logger = log.get(__name__)


class _ProblemTask(ErrorTask):
    """waitress's own refusals (bad syntax, too large a body) as problem documents."""

    def execute(self) -> None:
        error = self.request.error
        # A transfer coding we do not know is the client's fault as much as bad syntax is.
        code, reason = (400, "Bad Request") if error.code == 501 else (error.code, error.reason)
        body = json.dumps(problem(Refusal(code, error.body))).encode()
        self.status = f"{code} {reason}"
        self.response_headers.append(("Content-Type", PROBLEM_TYPE))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Request(HTTPRequestParser):
    """A request on its way in, and when its first byte came (epoch seconds, as waitress counts)."""

    adj: Adjustments
    content_length: int
    is_turned_away = False
    """Whether its body is not taken in."""

    def __init__(self, adjustments: Adjustments, largest_body: Callable[[falcon.Request], int]):
        super().__init__(adjustments)
        self.begun = time.time()
        self._largest_body = largest_body

    def received(self, data: bytes) -> int:
        taken: int = super().received(data)
        # Nothing behind the head of what is turned away is another request.
        return len(data) if self.is_turned_away else taken

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("the address or a number in the head cannot be read") from None
        if "CONTENT_LENGTH" in self.headers and (self.chunked or "TRANSFER_ENCODING" in self.headers):
            # Two programs in a row that choose differently see different requests.
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if self.chunked or self.content_length > SMALL:
            self._limit()

    def _limit(self) -> None:
        """Turn a body away that is too large for its path or its sender."""
        largest = self._largest_body(head(self.command, self.path, self.query, self.headers))
        if self.chunked:
            self.adj = copy(self.adj)
            self.adj.max_request_body_size = largest + 1
        elif self.content_length > largest:
            self.is_turned_away = True
            self.body_rcv, self.content_length, self.expect_continue = None, 0, False
            self.headers["CONNECTION"] = "close"


class _Task(WSGITask):
    """An answer; whoever was told to come again later is not listened to before."""

    def build_response_header(self) -> bytes:
        if self.status.startswith("503"):
            self.channel.rest()
        head: bytes = super().build_response_header()
        return head


class _Channel(HTTPChannel):
    task_class = _Task
    error_task_class = _ProblemTask
    close_when_flushed: bool
    _rests_until = 0.0
    _lingers = False
    """Whether an answer must be read before the connection is closed."""
    _lingers_since: float | None = None

    def parser_class(self, adjustments: Adjustments) -> _Request:
        """A new request, which asks the application how large its body may be."""
        return _Request(adjustments, self.server.largest_body)

    def received(self, data: bytes) -> bool:
        found = bool(super().received(data))
        self._lingers = self._lingers or any(one.is_turned_away or one.error for one in self.requests)
        return found

    def rest(self) -> None:
        """Read nothing more for a second: a client that asks again at once costs as much as it gets."""
        self._rests_until = time.time() + 1

    def readable(self) -> bool:
        if self._lingers_since is not None:
            return True
        return bool(super().readable()) and time.time() >= self._rests_until

    def writable(self) -> bool:
        return self._lingers_since is None and bool(super().writable())

    def handle_read(self) -> None:
        if self._lingers_since is None:
            super().handle_read()
        elif not self.recv(65_536):
            self.handle_close()

    def handle_write(self) -> None:
        """Write; where a body was not read, let the answer arrive before the connection is closed.

        Closed at once, with bytes unread, the connection is reset, and the answer lost on its way.
        """
        if self._lingers and self.close_when_flushed and not self.requests:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self.close_when_flushed = False
                self._lingers_since = time.time()
                with suppress(OSError):
                    self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_write()

    def service(self) -> None:
        super().service()
        self.server.note_answer()
        # What stood behind the request just answered could not be read meanwhile.
        if self.request is not None:
            self.request.begun = time.time()

    def give_up(self) -> None:
        """Have it closed in this very round."""
        self.will_close = True
        # The round closes what can be written to, and the socket of a silent reader never can. Closed
        # here, its number might be a new connection's before the round is over.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def is_idle(self) -> bool:
        """Whether nothing is under way, neither in nor out."""
        return not (self.requests or self.request or self.total_outbufs_len)

    def overstays(self, now: float, request_seconds: float) -> bool:
        """Whether nobody would miss it: silent for long, a request that trickles in, an answer not read."""
        if self._lingers_since is not None:
            return now - self._lingers_since > _LINGER_SECONDS
        silent = bool(now - self.last_activity > self.adj.channel_timeout)
        if self.requests:
            # A thread waits for its reader once more is written than may stand in memory.
            return silent and bool(self.total_outbufs_len > self.adj.outbuf_high_watermark)
        if self.request is not None:
            return bool(now - self.request.begun > request_seconds)
        return silent


class Server(TcpWSGIServer):
    """waitress with its loop in our hands, so that a stop lets answers finish."""

    channel_class = _Channel

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        vault: Vault,
        writer: Writer,
        request_seconds: float = REQUEST_SECONDS,
        most_connections: int = _MOST_CONNECTIONS,
    ):
        """A request must have come whole `request_seconds` after its first byte."""
        self._request_seconds = request_seconds
        self._turned_at = self._answered_at = time.monotonic()
        adjustments = _adjustments(
            listen=_listen(settings.host, settings.port),
            threads=_WEB_THREADS,
            ident=None,
            connection_limit=_affordable(most_connections),
            channel_timeout=_IDLE_SECONDS,
            cleanup_interval=1,
            max_request_body_size=_LARGEST_UPLOAD,
            max_request_header_size=65_536,
            # select() ends at 1,024 descriptors, and with it the process.
            asyncore_use_poll=True,
            # Whose word on addresses counts is read where an address is needed.
            clear_untrusted_proxy_headers=not settings.trusted_proxies,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(_WEB_THREADS)
        try:
            application = make_app(settings, schedule, vault, writer, [CourtesyMiddleware()])
            self.largest_body = application.largest_body
            super().__init__(
                application,
                dispatcher=dispatcher,
                adj=adjustments,
                sockinfo=adjustments.listen[0],
            )
        except OSError as error:
            raise Misconfigured(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}"
            ) from None

    @property
    def url(self) -> str:
        host = f"[{self.effective_host}]" if ":" in self.effective_host else self.effective_host
        return f"http://{host}:{self.effective_port}"

    def serve_while(self, healthy: Callable[[], bool]) -> None:
        while healthy():
            self._turned_at = time.monotonic()
            if not self.task_dispatcher.queue:
                self.note_answer()
            wasyncore.loop(timeout=1, map=self._map, use_poll=True, count=1)

    def note_answer(self) -> None:
        """A request was answered, or none waits for a thread."""
        self._answered_at = time.monotonic()

    def silence(self) -> float:
        """For how many seconds the loop has not turned, or requests have waited and none was answered."""
        return time.monotonic() - min(self._turned_at, self._answered_at)

    def handle_accept(self) -> None:
        """Accept all who wait, up to some: waitress takes one a round, and a round looks at everybody."""
        for _ in range(_ACCEPTED_AT_ONCE):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before or len(self._map) >= self.adj.connection_limit:
                return

    def maintenance(self, now: float) -> None:
        """Close what overstays, and when connections become scarce those that have been idle longest."""
        for channel in list(self.active_channels.values()):
            if channel.overstays(now, self._request_seconds):
                channel.give_up()
        channels = list(self.active_channels.values())
        surplus = len(channels) - self.adj.connection_limit * 3 // 4
        if surplus > 0:
            idle = sorted(filter(_Channel.is_idle, channels), key=lambda channel: channel.last_activity)
            for channel in idle[:surplus]:
                channel.give_up()

    def drain(self, deadline: float) -> None:
        """Take no new connections, let every request under way be answered until then (monotonic seconds)."""
        self.accepting = False
        self.del_channel()
        self.socket.close()
        while time.monotonic() < deadline and any(map(_is_busy, list(self.active_channels.values()))):
            wasyncore.loop(timeout=0.05, map=self._map, use_poll=True, count=1)
        self.task_dispatcher.shutdown(timeout=max(0.0, deadline - time.monotonic()))


def _adjustments(**options: Any) -> Adjustments:
    try:
        return Adjustments(**options)
    except ValueError:
        raise Misconfigured(f"there is no address {options['listen']} to listen on") from None


def _affordable(connections: int) -> int:
    """As many connections as leave half of the open files to sending and to the database."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if allowed == resource.RLIM_INFINITY else min(connections, allowed // 2)


def _is_busy(channel: HTTPChannel) -> bool:
    return bool(channel.requests or channel.total_outbufs_len)


def _listen(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
