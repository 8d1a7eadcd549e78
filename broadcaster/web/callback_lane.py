"""The lane beside the threads: Meta's callbacks, many with one commit and one wake-up.

Meta sends three callbacks for each message. Through the threads each would wake one of its own, which waits
for the writer and is woken again. Here the server's loop itself checks and reads a callback as soon as it is
whole, hands all that came meanwhile to the writer as one job, and answers them once that job is durable. What
is not exactly as it should be, and each callback of a job that failed, goes the ordinary way, which knows
what to say.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol

from broadcaster import log
from broadcaster.config import Settings
from broadcaster.store.writer import Writer
from broadcaster.web import meta_callback, metrics
from broadcaster.web.admission import SMALL
from broadcaster.web.meta_callback import Received
from broadcaster.web.requests import request_id

_MOST_AT_ONCE = 500
_SIGNATURE = meta_callback.SIGNATURE.upper().replace("-", "_")
"""As the server calls the header."""
_ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"Cache-Control: no-store\r\n"
    b"Content-Length: 2\r\n"
    b"Content-Type: text/plain\r\n"
    b"Date: %s\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"X-Request-Id: %s\r\n\r\nok"
)

logger = log.get(__name__)


class Connection(Protocol):
    """One of the server's connections; the first of its requests is to be answered."""

    requests: list[Any]

    def answer(self, said: bytes) -> None:
        """Answer the first request with these bytes."""


class _Waiting(NamedTuple):
    """A callback, whom to answer, under which id, and when it came (seconds of the performance counter)."""

    connection: Connection
    received: Received
    request_id: str
    begun: float


class CallbackLane:
    """Callbacks from their last byte to their answer. Lives on the server's loop; `takes` may be asked by any
    thread."""

    def __init__(self, settings: Settings, writer: Writer, wake: Callable[[], None]):
        """`wake` has the loop turn at once."""
        self._settings = settings
        self._writer = writer
        self._wake = wake
        self._waiting: deque[_Waiting] = deque()
        self._batch: list[_Waiting] = []
        self._under_way: Future[None] | None = None

    def takes(self, connection: Connection) -> bool:
        """Whether the first request of a connection is a callback without fault; it is answered from here
        then."""
        request = connection.requests[0]
        if not _is_plain_callback(request) or self._writer.is_stuck():
            return False
        try:
            raw = request.get_body_stream().getvalue()
            signature = request.headers.get(_SIGNATURE)
            received = meta_callback.read(self._settings, raw, signature)
        except Exception:
            # The ordinary way reads it again, and words or logs the fault.
            return False
        given = request_id(request.headers.get("X_REQUEST_ID"))
        self._waiting.append(_Waiting(connection, received, given, time.perf_counter()))
        return True

    def turn(self, otherwise: Callable[[Connection], None]) -> bool:
        """Answer what has become durable, and hand over what has come; what failed goes `otherwise`. Returns
        whether anybody was answered."""
        answered = self._finish(otherwise) if self._under_way and self._under_way.done() else False
        if self._waiting and self._under_way is None:
            self._begin()
        elif self._waiting and self._writer.is_stuck():
            while self._waiting:
                otherwise(self._waiting.popleft().connection)
        return answered

    def _begin(self) -> None:
        self._batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
        self._under_way = self._writer.submit(meta_callback.take, [one.received for one in self._batch])
        self._under_way.add_done_callback(lambda _: self._wake())

    def _finish(self, otherwise: Callable[[Connection], None]) -> bool:
        assert self._under_way is not None
        failure, batch = self._under_way.exception(), self._batch
        self._under_way, self._batch = None, []
        if failure is not None:
            for one in batch:
                otherwise(one.connection)
            return False
        now, date = time.perf_counter(), formatdate(usegmt=True).encode()
        for one in batch:
            metrics.note_callback(now - one.begun)
            one.connection.answer(_ANSWER % (date, one.request_id.encode()))
            if log.is_detailed():
                facts = {"method": "POST", "route": meta_callback.PATH, "status": 200}
                logger.debug("answered", request=one.request_id, **facts)
        return True


def _is_plain_callback(request: Any) -> bool:
    return bool(
        request.error is None
        and request.path == meta_callback.PATH
        and request.command == "POST"
        and request.version == "1.1"
        and not request.connection_close
        and not request.query
        and not request.chunked
        and 0 < request.content_length <= SMALL
    )
