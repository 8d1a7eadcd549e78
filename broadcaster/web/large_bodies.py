"""Large bodies: how many are worked on at once.

A body of 10 MB takes some 100 MB once it is read, and Python works on one at a time anyway.
"""

import threading
from typing import Any

import falcon

from broadcaster.errors import Busy

LARGE = 128 * 1024
"""Bytes. Smaller ones take some MB each, and there are as many as there are threads."""
_AT_ONCE = 2
_MOST_WAITING = 16
"""Each of them holds one of the server's threads."""
_PATIENCE_SECONDS = 25


def wait_for_turn(request: falcon.Request) -> None:
    """Before a body is read that is large: wait until fewer than two others are worked on.

    Raises Busy where too many wait, or it takes too long.
    """
    turns: LargeBodies = request.context.large_bodies
    turns.enter(request)


class LargeBodies:
    """Middleware that lets a request wait for its turn, and ends the turn with its answer."""

    def __init__(self) -> None:
        self._turns = threading.Semaphore(_AT_ONCE)
        self._places = threading.Semaphore(_AT_ONCE + _MOST_WAITING)

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Be there for `wait_for_turn`."""
        request.context.large_bodies, request.context.has_turn = self, False

    def enter(self, request: falcon.Request) -> None:
        """Take a turn if the body is large and it has none; raises Busy."""
        if request.context.has_turn or (request.content_length or 0) <= LARGE:
            return
        if self._places.acquire(blocking=False):
            request.context.has_turn = self._turns.acquire(timeout=_PATIENCE_SECONDS)
            if not request.context.has_turn:
                self._places.release()
        if not request.context.has_turn:
            raise Busy("too many large bodies come in at once: come again in a moment")

    def process_response(
        self, request: falcon.Request, _response: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        """End the turn."""
        if request.context.has_turn:
            request.context.has_turn = False
            self._turns.release()
            self._places.release()
