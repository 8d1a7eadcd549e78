"""Single sends: one message as a broadcast of one, whose outcome is waited for."""

import threading
import time
from collections.abc import Callable

from broadcaster.clock import epoch_ms
from broadcaster.errors import Busy
from broadcaster.services import progress
from broadcaster.services.steering import stop
from broadcaster.store import database, idempotency, message_queries
from broadcaster.store.models import Message

MOST_AWAITED = 56
"""Each is a thread of the web half, which has a few more for everything else."""
_PATIENCE, _LONGEST_AWAITED = 10, 45
"""Seconds: until a single message is withdrawn, until its answer is given up."""
_LOOK_EVERY, _LOOK_SELDOM = 0.05, 0.5
"""Seconds between two looks: most are settled at once, and those that wait must not crowd the others."""

_awaited = threading.BoundedSemaphore(MOST_AWAITED)


def outcome(start: Callable[[], str]) -> Message:
    """The message of a broadcast of one, as soon as it is settled; `start` accepts it and returns its id.

    What has not left within ten seconds, or is held back, is withdrawn and comes back cancelled; what
    is on its way then is waited for a little longer than its answer can take, and may come back
    `sending` or `unknown` (or `pending`, if the database refuses all that time). Raises Busy, with
    nothing accepted, when too many wait already.
    """
    if not _awaited.acquire(blocking=False):
        raise Busy("too many single messages wait for their outcome, try again in a moment")
    try:
        return _outcome(start(), time.monotonic())
    finally:
        _awaited.release()


def _outcome(public_id: str, begun: float) -> Message:
    broadcast_id = progress.facts(public_id).id
    withdrawn = False
    while True:
        waited = time.monotonic() - begun
        try:
            row, is_held = message_queries.single(broadcast_id)
            if row.state == "cancelled":
                # It did not leave: the same key may try it again.
                idempotency.forget_keys_of(broadcast_id)
            if row.state not in ("pending", "sending") or waited > _LONGEST_AWAITED:
                return row
            if not withdrawn and (waited > _PATIENCE or is_held):
                stop(public_id, epoch_ms())
                withdrawn = True
                continue
        except Exception as error:
            # It is accepted: whatever the database says for now, the answer must be its outcome.
            if waited > _LONGEST_AWAITED or not database.is_trouble(error):
                raise
        # Those who wait must not keep the connections that the sending needs.
        database.release()
        time.sleep(min(_LOOK_SELDOM, max(_LOOK_EVERY, waited / 8)))
