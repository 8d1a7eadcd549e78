"""The door: what may be done with broadcasts, whichever language it was asked in.

A face plans a request (planning.plan); submit() stores it and rings. Progress is what every face
reads its own words from.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from broadcaster import log, models, pacing, wire
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.errors import Busy, KeyReused, NotFound
from broadcaster.models import Broadcast, Channel, Message
from broadcaster.planning import Plan
from broadcaster.store import broadcast as ledger
from broadcaster.store import channel as channels
from broadcaster.store import contact, database, lease, message
from broadcaster.store.message import Counts
from broadcaster.tasks import Bell

HIGH, NORMAL = 1, 0
LATE_MS = 1000
HEARTBEAT_MS = 15_000
MOST_AWAITED = 56
"""Each is a thread of the web half, which has a few more for everything else."""
_PATIENCE, _LONGEST_AWAITED = 10, 45
"""Seconds: until a single message is withdrawn, until its answer is given up."""
_LOOK_EVERY, _LOOK_SELDOM = 0.05, 0.5
"""Seconds between two looks: most are settled at once, and those that wait must not crowd the others."""
_awaited = threading.BoundedSemaphore(MOST_AWAITED)

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Once:
    """A caller's wish that a request be carried out once, however often it comes."""

    token_id: str
    key: str
    fingerprint: str


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

    reason: str
    until: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a broadcast stands: its facts and the counters of one moment."""

    facts: Broadcast
    channel: Channel
    counts: Counts
    status: str
    pace: float
    quota: Quota
    estimated_finish_at: int | None
    waiting: Waiting | None
    late: bool = field(default=False)


# Accepting


def replay(once: Once) -> str | None:
    """The answer given when this request first came, or None; raises KeyReused for another request."""
    first = ledger.recall(once.token_id, once.key)
    if first is None:
        return None
    if first.fingerprint != once.fingerprint:
        raise KeyReused("this Idempotency-Key was used for a different request")
    return first.answer


def submit(
    accepted: Plan,
    bell: Bell,
    settings: Settings,
    render: Callable[[Progress], str],
    now: int,
    token_id: str | None = None,
    once: Once | None = None,
    public_id: str | None = None,
) -> tuple[str, bool]:
    """Store a planned broadcast and ring for it, in one transaction.

    Returns the rendered answer and whether it is a replay of an earlier one.
    """
    spec = accepted.spec
    facts = {
        "public_id": public_id or str(uuid.uuid4()),
        "channel_id": accepted.channel.id,
        "token_id": token_id,
        "title": spec.title,
        "template_name": accepted.template,
        "template_language": accepted.language,
        "priority": spec.priority,
        "metadata": None if spec.metadata is None else wire.dumps(spec.metadata),
        "duplicates": accepted.duplicates,
        "scheduled": spec.due_at is not None,
        "due_at": now if spec.due_at is None else spec.due_at,
        "face": spec.face,
        "face_data": None if spec.face_data is None else wire.dumps(spec.face_data),
        "action_key": spec.action and spec.action.key,
        "action_value": spec.action and spec.action.value,
        "on_unknown": spec.on_unknown,
        "expire_at": spec.expire_at,
    }
    with database.transaction():
        # Asked again under the write lock: the same request may have come twice at once.
        first = replay(once) if once else None
        if first is not None:
            return first, True
        task_id = bell.ring(accepted.channel.id, spec.due_at)
        row = ledger.accept({**facts, "task_id": task_id}, accepted.drafts, now)
        contact.add_new((draft.recipient for draft in accepted.drafts if not draft.error_code), now)
        answer = render(progress_of([row], settings, now)[0])
        if once:
            ledger.remember(once.token_id, once.key, once.fingerprint, row.id, answer, now)
    logger.info(
        "broadcast.accepted",
        broadcast=row.public_id,
        broadcast_row=row.id,
        channel=accepted.channel.phone_number_id,
        messages=len(accepted.drafts),
    )
    if row.due_at <= now:
        bell.wake(accepted.channel.id)
    return answer, False


# Asking


def get(public_id: str, face: str | None = None) -> Broadcast:
    """The broadcast callers know by this id, whatever face it came through or only through this
    one; raises NotFound."""
    row = ledger.find(public_id)
    if row is None or (face is not None and row.face != face):
        raise NotFound(f'there is no broadcast "{public_id[:60]}"')
    return row


def progress(public_id: str, settings: Settings, now: int, face: str | None = None) -> Progress:
    """Where a broadcast stands; raises NotFound."""
    return progress_of([get(public_id, face)], settings, now)[0]


def page(status: str | None, before: int | None, limit: int, settings: Settings, now: int) -> list[Progress]:
    """Broadcasts with their counters, newest first."""
    return progress_of(ledger.page(status, before, limit, now), settings, now)


def progress_of(rows: list[Broadcast], settings: Settings, now: int) -> list[Progress]:
    """The progress of each of these broadcasts."""
    counted = message.counts([row.id for row in rows])
    known = {row.id: row for row in channels.all_channels()}
    paces = lease.paces(now)
    allowances = {
        channel_id: quota(known[channel_id], tier_and_pace(known[channel_id], settings)[0], 0, now)
        for channel_id in {row.channel_id for row in rows}
    }
    return [
        _progress(
            row, known[row.channel_id], counted[row.id], paces, allowances[row.channel_id], settings, now
        )
        for row in rows
    ]


def _progress(
    row: Broadcast,
    channel: Channel,
    counts: Counts,
    paces: dict[int, float],
    allowance: Quota,
    settings: Settings,
    now: int,
) -> Progress:
    _, nominal = tier_and_pace(channel, settings)
    pace = min(nominal, paces.get(channel.id, nominal))
    allowance = replace(allowance, needed=counts.states["pending"])
    over = row.finished_at or row.stopped_at
    return Progress(
        facts=row,
        channel=channel,
        counts=counts,
        status=status(row, channel, counts, now),
        pace=pace,
        quota=allowance,
        estimated_finish_at=_estimate(row, counts, pace, now),
        waiting=None if over else _waiting(row, channel, counts, allowance, now),
        late=row.started_at is not None and row.started_at - row.due_at > LATE_MS,
    )


def tier_and_pace(channel: Channel, settings: Settings) -> tuple[str, float]:
    """A channel's tier, and its pace in messages a second when nothing throttles it."""
    tier = pacing.known_tier(channel.tier, settings.default_tier)
    return tier, pacing.pace_of(channel.throughput, channel.coexistence, tier, channel.pace_override)


def status(row: Broadcast, channel: Channel, counts: Counts, now: int) -> str:
    """The word for a broadcast, derived from its facts and counts; store.broadcast.page filters alike."""
    if row.stopped_at is not None:
        return "cancelled"
    if row.finished_at is not None:
        if not counts.states["failed"]:
            return "completed"
        return "partial" if counts.states["sent"] else "failed"
    if row.paused_at is not None or (channel.paused_at is not None and row.due_at <= now):
        return "paused"
    if row.started_at is not None:
        return "sending"
    return "scheduled" if row.due_at > now else "queued"


def stage(row: Broadcast, counts: Counts) -> str:
    """How far a broadcast is for faces to whom a bad receipt is a failure; store.broadcast.search
    filters alike."""
    if row.stopped_at is not None:
        return "cancelled"
    if row.finished_at is None:
        return "waiting" if row.started_at is None else "under way"
    if not counts.failed_in_all:
        return "completed"
    return "partial" if counts.sent_in_all else "failed"


def standing(row: Message) -> str:
    """Where one message stands for the same faces; store.message.search filters alike."""
    if row.state == "failed" or row.delivery == "failed":
        return "failed"
    if row.state != "sent":
        return "cancelled" if row.state == "cancelled" else "pending"
    return row.delivery or "sent"


def _waiting(row: Broadcast, channel: Channel, counts: Counts, allowance: Quota, now: int) -> Waiting | None:
    if row.paused_at is not None:
        return Waiting(row.pause_reason or "paused", detail=row.pause_detail)
    if row.due_at > now:
        return Waiting("schedule", until=row.due_at)
    if counts.states["pending"]:
        return _waiting_to_leave(row, channel, allowance, now)
    if counts.states["unknown"] and not counts.states["sending"]:
        return Waiting("receipts", detail="messages without an answer wait for their receipt")
    return None


def _waiting_to_leave(row: Broadcast, channel: Channel, allowance: Quota, now: int) -> Waiting:
    if channel.paused_at is not None:
        return Waiting(channel.pause_reason or "channel", detail=channel.pause_detail)
    seen = lease.last_beat()
    if seen is None or now - seen > HEARTBEAT_MS:
        return Waiting("channel", detail="no worker is running")
    trouble = lease.trouble(row.channel_id, now)
    if trouble:
        return Waiting("channel", detail=trouble)
    next_at = message.next_waiting(row.id)
    if next_at is not None and next_at > now:
        return Waiting("retry", until=next_at)
    if allowance.available == 0:
        told = f"the {allowance.total} different people of {allowance.tier} are reached"
        return Waiting("quota", until=allowance.opens_at, detail=told)
    return Waiting("pace")


def quota(channel: Channel, tier: str, needed: int, now: int) -> Quota:
    """What a channel's portfolio may still reach today, beside what is needed."""
    total = pacing.tier_size(tier)
    if total is None:
        return Quota(tier, None, None, needed)
    reached = message.people_reached(channel.portfolio, now - message.DAY)
    opens_at = message.opens_at(channel.portfolio, now) if reached >= total else None
    return Quota(tier, total, max(0, total - reached), needed, opens_at)


def _estimate(row: Broadcast, counts: Counts, pace: float, now: int) -> int | None:
    if row.finished_at or row.stopped_at or row.paused_at or not counts.states["pending"]:
        return None
    return max(now, row.due_at) + int(counts.states["pending"] / pace * 1000)


def messages(public_id: str, filters: dict[str, str], after: int, limit: int) -> list[Message]:
    """A page of a broadcast's messages, by id; raises NotFound."""
    return message.page(get(public_id).id, filters, after, limit)


def find_message(reference: str) -> tuple[Message, str]:
    """A message by our id or Meta's, and its broadcast's public id; raises NotFound."""
    row = message.find(reference)
    if row is None:
        raise NotFound(f'there is no message "{reference[:60]}"')
    return row, ledger.get(row.broadcast_id).public_id


# Waiting


def outcome(start: Callable[[], str], settings: Settings) -> Message:
    """The message of a broadcast of one, as soon as it is settled; `start` accepts it and returns its id.

    What has not left within ten seconds, or is held back, is withdrawn and comes back cancelled; what
    is on its way then is waited for a little longer than its answer can take, and may come back
    `sending` or `unknown` (or `pending`, if the database refuses all that time). Raises Busy, with
    nothing accepted, when too many wait already.
    """
    if not _awaited.acquire(blocking=False):
        raise Busy("too many single messages wait for their outcome, try again in a moment")
    try:
        return _outcome(start(), settings, time.monotonic())
    finally:
        _awaited.release()


def _outcome(public_id: str, settings: Settings, begun: float) -> Message:
    broadcast_id = get(public_id).id
    withdrawn = False
    while True:
        waited = time.monotonic() - begun
        try:
            row, is_held = message.single(broadcast_id)
            if row.state == "cancelled":
                # It did not leave: the same key may try it again.
                ledger.forget_keys_of(broadcast_id)
            if row.state not in ("pending", "sending") or waited > _LONGEST_AWAITED:
                return row
            if not withdrawn and (waited > _PATIENCE or is_held):
                stop(public_id, settings, epoch_ms())
                withdrawn = True
                continue
        except Exception as error:
            # It is accepted: whatever the database says for now, the answer must be its outcome.
            if waited > _LONGEST_AWAITED or not database.is_trouble(error):
                raise
        time.sleep(min(_LOOK_SELDOM, max(_LOOK_EVERY, waited / 8)))


# Moving


def stop(public_id: str, settings: Settings, now: int) -> Progress:
    """Cancel what has not left. Doing it twice, or after the end, changes nothing; raises NotFound."""
    return progress_of([ledger.stop(get(public_id).id, now)], settings, now)[0]


def pause(public_id: str, settings: Settings, now: int) -> Progress:
    """Hold a broadcast back until it is resumed; raises NotFound."""
    row = get(public_id)
    with database.transaction():
        ledger.pause(row.id, "paused", None, now)
    return progress(public_id, settings, now)


def resume(public_id: str, bell: Bell, settings: Settings, now: int) -> Progress:
    """Let a paused broadcast go on, whatever paused it, its channel included; raises NotFound."""
    row = get(public_id)
    with database.transaction():
        if ledger.resume(row.id) | channels.resume(row.channel_id):
            bell.ring(row.channel_id, row.due_at if row.due_at > now else None)
    return progress(public_id, settings, now)


def retry(public_id: str, code: str | None, bell: Bell, settings: Settings, now: int) -> tuple[Progress, int]:
    """Send failed messages again, all or those with a code; returns also how many; raises NotFound.

    What may have been delivered (OUTCOME_UNKNOWN) goes only when asked for by that code, and is
    marked as a possible duplicate.
    """
    row = get(public_id)
    with database.transaction():
        count = ledger.retry(row.id, code, now)
        if count:
            bell.ring(row.channel_id, None)
    if count:
        bell.wake(row.channel_id)
    return progress(public_id, settings, now), count


def errors(public_id: str) -> list[tuple[str, str | None, int]]:
    """A broadcast's failures, of hand-over and of delivery: code, a text of Meta's, how many; raises
    NotFound."""
    return message.failures(get(public_id).id)


def is_ready(now: int) -> dict[str, bool]:
    """What must hold for broadcasts to be accepted and sent."""
    seen = lease.last_beat()
    return {
        "database": database.is_writable(),
        "schema": database.is_current(models.database.obj),
        "worker": seen is not None and now - seen <= HEARTBEAT_MS,
    }
