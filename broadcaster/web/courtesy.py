"""Courtesy: how much of the processor those get who only look, so that sending keeps its pace.

Python runs one thread at a time, and a page costs as much as fifty messages. Strangers and whoever reads are
served one after the other within a share of the time, with some seconds of credit, so that nobody notices
who does not ask without end. Who posts with a token, and Meta's callbacks, are not held up.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import falcon

from broadcaster.errors import Busy
from broadcaster.web import meta_callback

_OVERHEAD_SECONDS = 0.001
"""What a request costs before and after it is served here: reading its head, passing it on, writing."""
_PATIENCE_SECONDS = 10
_AT_ONCE = 2
_REFUSED = (401, 403)


class Courtesy:
    """A share of one processor, for requests that come in a row.

    At most two are served at a time, and `waiting` wait their turn; more, and those who waited ten seconds,
    are told to come again.
    """

    def __init__(self, share: float, credit_seconds: float, waiting: int):
        self._share = share
        self._credit = credit_seconds
        self._most = waiting + _AT_ONCE
        self._waiting = 0
        self._served = 0
        self._even_at = 0.0
        """When what was used is earned again, seconds of the monotonic clock."""
        self._turns = threading.Condition()

    def enter(self) -> None:
        """Wait for a turn, which leave() ends; raises Busy."""
        until = time.monotonic() + _PATIENCE_SECONDS
        with self._turns:
            if self._waiting + self._served >= self._most:
                raise Busy("too many ask at once: come again in a moment")
            self._waiting += 1
            try:
                while not self._is_free():
                    now = time.monotonic()
                    # Nobody tells when a debt is earned back; that a turn is over, leave() does.
                    earned_in = self._even_at - now if self._served < _AT_ONCE else until - now
                    if now >= until or now + earned_in > until:
                        raise Busy("too many ask at once: come again in a moment")
                    self._turns.wait(earned_in)
                self._served += 1
            finally:
                self._waiting -= 1

    def leave(self, used_seconds: float) -> None:
        """End a turn that used so much of the processor."""
        with self._turns:
            self._served -= 1
            earned = max(self._even_at, time.monotonic() - self._credit)
            self._even_at = earned + (used_seconds + _OVERHEAD_SECONDS) / self._share
            self._turns.notify()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn for what stands inside; raises Busy."""
        self.enter()
        begun = time.thread_time()
        try:
            yield
        finally:
            self.leave(time.thread_time() - begun)

    def in_turns(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, each made in a turn of its own: a slow reader keeps nobody else waiting."""
        while True:
            with self.turn():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _is_free(self) -> bool:
        return self._served < _AT_ONCE and time.monotonic() >= self._even_at


class CourtesyMiddleware:
    """Lets requests of those who only look wait for their turn, and those refused wait for their answer."""

    def __init__(self) -> None:
        # A fifth of a processor: two dozen pages a second. Who watches over us waits for nobody else.
        self._lookers = Courtesy(0.2, 2.0, 16)
        self._probes = Courtesy(0.05, 0.5, 16)
        self._refused = Courtesy(0.1, 1.0, 16)

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Take a turn; raises Busy."""
        request.context.courtesy, request.context.begun = None, time.thread_time()
        courtesy = self._courtesy_for(request)
        if courtesy:
            courtesy.enter()
        request.context.courtesy, request.context.begun = courtesy, time.thread_time()

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """End the turn; what streams goes on in turns of its own."""
        courtesy: Courtesy | None = request.context.courtesy
        used: float = time.thread_time() - request.context.begun
        if courtesy:
            courtesy.leave(used)
            pieces: Any = response.stream
            if pieces is not None:
                response.stream = courtesy.in_turns(iter(pieces))
        elif response.status_code in _REFUSED:
            # Whether a token or a signature is right is known only now.
            with suppress(Busy):
                self._refused.enter()
                self._refused.leave(used)

    def _courtesy_for(self, request: falcon.Request) -> Courtesy | None:
        if request.path in ("/healthz", "/readyz"):
            return self._probes
        is_callback = request.path == meta_callback.PATH and request.method == "POST"
        has_token = bool(request.auth or request.get_header("X-API-Key"))
        changes = request.method not in ("GET", "HEAD", "OPTIONS") and has_token
        return None if is_callback or changes else self._lookers
