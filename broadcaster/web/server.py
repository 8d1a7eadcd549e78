"""The processes: web, worker, and both in one; starting, and stopping without losing anything."""

import errno
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
from waitress.utilities import BadRequest, Error

from broadcaster import log
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.web.admission import SMALL, Allowed, head
from broadcaster.web.app import make_app
from broadcaster.web.callback_lane import CallbackLane
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
_NEWCOMER_SECONDS = 5
"""So long whoever has just come in is not cut for others."""
_BACK_OFF_SECONDS = 1
"""So long none are accepted when the system has nothing left for one more."""
_TOLD_EVERY_SECONDS = 60
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BODY_IN_MEMORY = 64 * 1024
"""Bytes of a body that stand in memory while it comes; more go to a file."""
_MOST_BODIES = 256 * 1024 * 1024
_MOST_BODIES_OF_STRANGERS = 32 * 1024 * 1024
"""Bytes of all bodies over SMALL that are here at once, coming in or waiting for a thread."""
_LONGEST_CHUNK_LINE = 8192
"""Bytes; waitress looks at the whole line again for each piece of it."""

logger = log.get(__name__)


class _ProblemTask(ErrorTask):
    """waitress's own refusals (bad syntax, too large a body) as problem documents."""

    def execute(self) -> None:
        error = self.request.error
        # A transfer coding we do not know is the client's fault as much as bad syntax is.
        code, reason = (400, "Bad Request") if error.code == 501 else (error.code, error.reason)
        body = json.dumps(problem(Refusal(code, error.body))).encode()
        self.status = f"{code} {reason}"
        if code == 503:
            self.response_headers.append(("Retry-After", "1"))
        self.response_headers.append(("Content-Type", PROBLEM_TYPE))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _NoRoom(Error):
    """As many bodies are coming in as there is room for."""

    code, reason = 503, "Service Unavailable"


class _Request(HTTPRequestParser):
    """A request on its way in, and when its first byte came (epoch seconds, as waitress counts)."""

    adj: Adjustments
    content_length: int
    error: Error | None
    is_turned_away = False
    """Whether its body is not taken in."""
    takes = 0
    """Bytes its body may have, if it is over SMALL."""
    is_strangers = False

    def __init__(self, adjustments: Adjustments, server: "Server"):
        super().__init__(adjustments)
        self.begun = time.time()
        self._server = server

    def received(self, data: bytes) -> int:
        taken: int = super().received(data)
        body = self.body_rcv
        if (
            self.chunked
            and body is not None
            and len(body.control_line) + len(body.trailer) > _LONGEST_CHUNK_LINE
        ):
            self.error, self.completed = BadRequest("a line between chunks is too long"), True
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
        """Turn a body away that is too large for its path or its sender, or that there is no room for."""
        allowed = self._server.allowed_body(head(self.command, self.path, self.query, self.headers))
        if not self.chunked and self.content_length > allowed.size:
            self._turn_away()
            return
        takes = allowed.size if self.chunked else self.content_length
        if takes > SMALL and not self._server.has_room(takes, allowed.is_strangers):
            self.error = _NoRoom("too many large bodies come in at once: come again in a moment")
            self._turn_away()
            return
        self.takes, self.is_strangers = takes, allowed.is_strangers
        if self.chunked:
            self.adj = copy(self.adj)
            self.adj.max_request_body_size = allowed.size + 1

    def _turn_away(self) -> None:
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
    requests: list[_Request]
    _rests_until = 0.0
    _lingers = False
    """Whether an answer must be read before the connection is closed."""
    _lingers_since: float | None = None

    def parser_class(self, adjustments: Adjustments) -> _Request:
        """A new request, which asks the application how large its body may be."""
        return _Request(adjustments, self.server)

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

    def answer(self, said: bytes) -> None:
        """Answer the first request in these bytes, on the server's loop: what service() does in a thread."""
        with self.requests_lock:
            self.requests.pop(0).close()
            if not self.connected:
                # Whoever asked has left.
                for request in self.requests:
                    request.close()
                self.requests = []
                self.close_when_flushed = True
                return
            self._say(said)
            if self.requests:
                self.server.add_task(self)
            elif self.request is not None:
                self.request.begun = time.time()
                if self.request.expect_continue and self.request.headers_finished and not self.sent_continue:
                    self.send_continue()

    def _say(self, said: bytes) -> None:
        with self.outbuf_lock:
            sent = 0
            if not self.total_outbufs_len:
                try:
                    sent = self.send(said)
                except OSError:
                    self.will_close = True
                    return
            if sent < len(said) and self.connected:
                self.outbufs[-1].append(said[sent:])
                self.total_outbufs_len += len(said) - sent
            self.last_activity = time.time()

    def give_up(self) -> None:
        """Have it closed in this very round."""
        self.will_close = True
        # The round closes what can be written to, and the socket of a silent reader never can. Closed
        # here, its number might be a new connection's before the round is over.
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def silent_since(self) -> float | None:
        """Since when (epoch seconds) it has nothing to be answered; None where something is under way."""
        if self.requests or self.total_outbufs_len:
            return None
        since: float = self.last_activity if self.request is None else self.request.begun
        return since

    def bodies(self, of_strangers: bool) -> int:
        """Bytes that its requests' larger bodies take."""
        here = [*self.requests, *([self.request] if self.request else [])]
        return sum(one.takes for one in here if one.is_strangers is of_strangers)

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
    next_channel_cleanup: float

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
        self._accepts_from = 0.0
        self._told_shortage: float | None = None
        self._turned_at = self._answered_at = time.monotonic()
        self._lane = CallbackLane(settings, writer, self.pull_trigger)
        adjustments = _adjustments(
            listen=_listen(settings.host, settings.port),
            threads=_WEB_THREADS,
            ident=None,
            connection_limit=_affordable(most_connections),
            channel_timeout=_IDLE_SECONDS,
            inbuf_overflow=_BODY_IN_MEMORY,
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
            self.allowed_body: Callable[[falcon.Request], Allowed] = application.allowed_body
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
            self._go_round(1)

    def _go_round(self, seconds: float) -> None:
        """Wait so long at most for something to happen, and do what it asks."""
        wasyncore.loop(timeout=seconds, map=self._map, use_poll=True, count=1)
        if self._lane.turn(super().add_task):
            self.note_answer()

    def add_task(self, task: Any) -> None:
        """The first request of a connection is whole."""
        if not self._lane.takes(task):
            super().add_task(task)

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

    def accept(self) -> Any:
        """A connection and its address; None, and for a while no more, where the system has none left."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _SHORTAGES:
                raise
            self._back_off(error)
            return None

    def readable(self) -> bool:
        """Whether new connections are accepted in this round; before it the maintenance, when it is due."""
        # As waitress has it, but for the log: its limit is told at each step over and below it.
        now = time.time()
        if now >= self.next_channel_cleanup:
            self.next_channel_cleanup = now + self.adj.cleanup_interval
            self.maintenance(now)
        if self.accepting and len(self._map) >= self.adj.connection_limit:
            self._tell_shortage("the most that are held are open")
            return False
        return self.accepting and time.monotonic() >= self._accepts_from

    def _back_off(self, error: OSError) -> None:
        """Let those who wait go on waiting, tell it once a minute, and make some room for them."""
        self._accepts_from = time.monotonic() + _BACK_OFF_SECONDS
        self._tell_shortage(error.strerror or "")
        self._cut(len(self.active_channels) // 4, time.time())

    def _tell_shortage(self, reason: str) -> None:
        now = time.monotonic()
        if self._told_shortage is None or now - self._told_shortage > _TOLD_EVERY_SECONDS:
            self._told_shortage = now
            logger.warning(
                "no connections can be accepted for a while",
                reason=reason,
                connections=len(self.active_channels),
            )

    def has_room(self, size: int, of_strangers: bool) -> bool:
        """Whether a body of so many bytes may come in beside all those that are here."""
        here = sum(channel.bodies(of_strangers) for channel in list(self.active_channels.values()))
        return bool(here + size <= (_MOST_BODIES_OF_STRANGERS if of_strangers else _MOST_BODIES))

    def maintenance(self, now: float) -> None:
        """Close what overstays, and when connections become scarce those that have been silent longest."""
        for channel in list(self.active_channels.values()):
            if channel.overstays(now, self._request_seconds):
                channel.give_up()
        self._cut(len(self.active_channels) - self.adj.connection_limit * 3 // 4, now)

    def _cut(self, surplus: int, now: float) -> None:
        """Close as many, those silent longest first; nobody who has just come in, for their request may
        be on its way."""
        if surplus <= 0:
            return
        since: list[tuple[float, int]] = []
        for number, channel in list(self.active_channels.items()):
            silent = channel.silent_since()
            if silent is not None and now - channel.creation_time >= _NEWCOMER_SECONDS:
                since.append((silent, number))
        for _, number in sorted(since)[:surplus]:
            self.active_channels[number].give_up()

    def drain(self, deadline: float) -> None:
        """Take no new connections, let every request under way be answered until then (monotonic seconds)."""
        self.accepting = False
        self.del_channel()
        self.socket.close()
        while time.monotonic() < deadline and any(map(_is_busy, list(self.active_channels.values()))):
            self._go_round(0.05)
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
