"""Progress: where a broadcast stands, with its facts, counters, status and why it waits. Every API derives
its own answer from this."""

from dataclasses import dataclass, field, replace

from broadcaster import log
from broadcaster.domain import pacing
from broadcaster.domain.words import BroadcastStatus, WaitReason
from broadcaster.errors import NotFound
from broadcaster.store import (
    allowance,
    broadcasts,
    channels,
    counters,
    database,
    leases,
    message_queries,
    models,
    statuses,
)
from broadcaster.store.counters import Counts
from broadcaster.store.models import Broadcast, Channel, Message

LATE_MS = 1000
HEARTBEAT_MS = 15_000

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Quota:
    """The portfolio's allowance; numbers are None for an unlimited tier.

    `opens_at` says when a used-up one has room for one more person (epoch ms).
    """

    tier: str
    total: int | None
    available: int | None
    needed: int
    opens_at: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why messages of a broadcast have not left yet."""

    reason: WaitReason
    until: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a broadcast stands: its facts and the counters of one moment."""

    facts: Broadcast
    channel: Channel
    counts: Counts
    status: BroadcastStatus
    pace: float
    quota: Quota
    estimated_finish_at: int | None
    waiting: Waiting | None
    late: bool = field(default=False)


def facts(public_id: str, face: str | None = None) -> Broadcast:
    """The broadcast callers know by this id; raises NotFound, also if it came through another API than
    `face`."""
    row = broadcasts.find(public_id)
    if row is None or (face is not None and row.face != face):
        raise NotFound(f'there is no broadcast "{public_id[:60]}"')
    return row


def of(public_id: str, now: int, face: str | None = None) -> Progress:
    """Where a broadcast stands; raises NotFound."""
    return of_each([facts(public_id, face)], now)[0]


def page(status: BroadcastStatus | None, before: int | None, limit: int, now: int) -> list[Progress]:
    """Broadcasts with their counters, newest first."""
    return of_each(broadcasts.page(status, before, limit, now), now)


def of_each(rows: list[Broadcast], now: int) -> list[Progress]:
    """The progress of each of these broadcasts."""
    counted = counters.of_broadcasts([row.id for row in rows])
    known = {row.id: row for row in channels.all_channels()}
    paces = leases.paces(now)
    allowances = {
        channel_id: quota(known[channel_id], 0, now) for channel_id in {row.channel_id for row in rows}
    }
    return [
        _progress(row, known[row.channel_id], counted[row.id], paces, allowances[row.channel_id], now)
        for row in rows
    ]


def _progress(
    row: Broadcast,
    channel: Channel,
    counts: Counts,
    paces: dict[int, float],
    left: Quota,
    now: int,
) -> Progress:
    nominal = channels.pace_of(channel)
    pace = min(nominal, paces.get(channel.id, nominal))
    left = replace(left, needed=counts.states["pending"])
    over = row.finished_at or row.stopped_at
    return Progress(
        facts=row,
        channel=channel,
        counts=counts,
        status=statuses.status(row, channel, counts, now),
        pace=pace,
        quota=left,
        estimated_finish_at=_estimate(row, counts, pace, now),
        waiting=None if over else _waiting(row, channel, counts, left, now),
        late=row.started_at is not None and row.started_at - row.due_at > LATE_MS,
    )


def _waiting(row: Broadcast, channel: Channel, counts: Counts, left: Quota, now: int) -> Waiting | None:
    if row.paused_at is not None:
        return Waiting(row.pause_reason or "paused", detail=row.pause_detail)
    if row.due_at > now:
        return Waiting("schedule", until=row.due_at)
    if counts.states["pending"]:
        return _waiting_to_leave(row, channel, left, now)
    if counts.states["unknown"] and not counts.states["sending"]:
        return Waiting("receipts", detail="messages without an answer wait for their receipt")
    return None


def _waiting_to_leave(row: Broadcast, channel: Channel, left: Quota, now: int) -> Waiting:
    if channel.paused_at is not None:
        return Waiting(channel.pause_reason or "channel", detail=channel.pause_detail)
    if not database.has_room():
        return Waiting("channel", detail="the disk is full: make room, and sending continues by itself")
    seen = leases.last_beat()
    if seen is None:
        return Waiting("channel", detail="no worker is running")
    if now - seen > HEARTBEAT_MS:
        silent = f"no worker has written to the database for {(now - seen) // 1000} s"
        return Waiting("channel", detail=f"{silent}: it ended, is frozen, or cannot")
    trouble = leases.trouble(row.channel_id)
    if trouble:
        return Waiting("channel", detail=trouble)
    next_at = message_queries.next_waiting(row.id)
    if next_at is not None and next_at > now:
        return Waiting("retry", until=next_at)
    if left.available == 0:
        told = f"the {left.total} different people of {left.tier} are reached"
        return Waiting("quota", until=left.opens_at, detail=told)
    return Waiting("pace")


def quota(channel: Channel, needed: int, now: int) -> Quota:
    """What a channel's portfolio may still reach today, beside what is needed."""
    tier = channels.tier_of(channel)
    total = pacing.tier_size(tier)
    if total is None:
        return Quota(tier, None, None, needed)
    reached = allowance.people_reached(channel.portfolio, now - allowance.DAY)
    opens_at = allowance.opens_at(channel.portfolio, now) if reached >= total else None
    return Quota(tier, total, max(0, total - reached), needed, opens_at)


def _estimate(row: Broadcast, counts: Counts, pace: float, now: int) -> int | None:
    if row.finished_at or row.stopped_at or row.paused_at or not counts.states["pending"]:
        return None
    return max(now, row.due_at) + int(counts.states["pending"] / pace * 1000)


def messages_of(public_id: str, filters: dict[str, str], after: int, limit: int) -> list[Message]:
    """A page of a broadcast's messages, by id; raises NotFound."""
    return message_queries.page(facts(public_id).id, filters, after, limit)


def find_message(reference: str) -> tuple[Message, str]:
    """A message by our id or Meta's, and its broadcast's public id; raises NotFound."""
    row = message_queries.find(reference)
    if row is None:
        raise NotFound(f'there is no message "{reference[:60]}"')
    return row, broadcasts.get(row.broadcast_id).public_id


def errors(public_id: str) -> list[tuple[str, str | None, int]]:
    """A broadcast's failures, of hand-over and of delivery: code, a text of Meta's, how many; raises
    NotFound."""
    return message_queries.failures(facts(public_id).id)


def is_ready(now: int) -> dict[str, bool]:
    """What must hold for broadcasts to be accepted and sent; it is read, for whoever asks may ask often.

    That the database can be written to, a worker's heartbeat tells, which is a row that it writes.
    """
    try:
        seen, is_current = leases.last_beat(), database.is_current(models.database.obj)
    except Exception as error:
        if not database.is_trouble(error):
            raise
        return {"database": False, "schema": False, "worker": False}
    is_beating = seen is not None and now - seen <= HEARTBEAT_MS
    return {"database": True, "schema": is_current, "worker": is_beating}
