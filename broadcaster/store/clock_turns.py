"""Clock turns: what becomes of stored times when somebody sets the clock back.

Times are the wall's, for a schedule means the wall clock. But what was due before the clock was set back
stays due, and what was to be tried again soon is tried again as soon.
"""

from peewee import fn

from broadcaster.store import database
from broadcaster.store.models import Broadcast, EventDelivery, Lease, Message, Worker

_LEAST_MS = 1000
"""A correction by less is nobody's trouble."""


def heed(now: int, lease_ms: int) -> int:
    """Bring what was due, or soon would have been, to where the clock is, if it was set back.

    `lease_ms` is the longest that a lease holds. Returns by how many milliseconds it was set back, 0 if it
    was not. In the caller's transaction.
    """
    back = _latest_seen(now) - now
    if back <= _LEAST_MS:
        return 0
    _turn_back(now + back, now, lease_ms)
    return back


def _at_once() -> object:
    """Broadcasts that were to start when they were accepted."""
    return Broadcast.finished_at.is_null() & (Broadcast.due_at <= Broadcast.created_at)


def _latest_seen(now: int) -> int:
    """The latest time that was written down as the time it was."""
    waiting = Broadcast.select(fn.MAX(Broadcast.due_at)).where(_at_once() & (Broadcast.due_at > now))
    return max(_seen_by_workers(), database.number(waiting) or 0)


def _seen_by_workers() -> int:
    """The latest time that a worker wrote down: whatever lay before it, it found to be due."""
    beaten = database.number(Worker.select(fn.MAX(Worker.seen_at)))
    claimed = database.number(Lease.select(fn.MAX(Lease.claimed_at)))
    return max(beaten or 0, claimed or 0)


def _turn_back(seen: int, now: int, lease_ms: int) -> None:
    unfinished = Broadcast.finished_at.is_null()
    # That a broadcast was accepted while the clock was wrong says of no schedule that its time had come.
    was_due = (Broadcast.due_at > now) & ((Broadcast.due_at <= _seen_by_workers()) | _at_once())
    Broadcast.update(due_at=now).where(unfinished & was_due).execute()
    going = Broadcast.select(Broadcast.id).where(unfinished & (Broadcast.due_at <= now))
    waits = (Message.state == "pending") & (Message.next_at > now) & Message.broadcast_id.in_(going)
    Message.update(next_at=Message.next_at - (seen - now)).where(waits).execute()
    untold = (EventDelivery.state == "pending") & (EventDelivery.next_at > now)
    EventDelivery.update(next_at=EventDelivery.next_at - (seen - now)).where(untold).execute()
    Lease.update(expires_at=now + lease_ms).where(Lease.expires_at > now + lease_ms).execute()
    Lease.update(claimed_at=now).where(Lease.claimed_at > now).execute()
    Worker.update(seen_at=now).where(Worker.seen_at > now).execute()
