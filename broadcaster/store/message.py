"""Messages: one function for every arrow of the state machine, and the questions about them.

Nothing outside this file writes `state` or `delivery`. The moves of many messages at once take
rows in the order of their arguments and are guarded by state and attempt, so that an answer that
comes late cannot undo what happened meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from peewee import fn

from broadcaster import wire
from broadcaster.models import Broadcast, Message, Reached
from broadcaster.receipts import Receipt, Standing, settle
from broadcaster.store import database, lease

OPEN = ("pending", "sending", "unknown")
STATES = ("pending", "sending", "sent", "failed", "unknown", "cancelled")
DELIVERIES = ("sent", "delivered", "read", "failed")
DAY = 86_400_000


class Claimed(NamedTuple):
    """A message in our hands: enough to send it and to settle it."""

    id: int
    attempt: int
    tries: int
    broadcast_id: int
    recipient: str
    content: str


class Counts(NamedTuple):
    """How many messages of a broadcast are in each state, and what receipts said of them.

    `undelivered` were sent, and failed by receipt.
    """

    states: dict[str, int]
    deliveries: dict[str, int]
    undelivered: int = 0

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def open(self) -> int:
        return sum(self.states[state] for state in OPEN)

    @property
    def failed_in_all(self) -> int:
        """Refused at hand-over or by receipt."""
        return self.states["failed"] + self.undelivered

    @property
    def sent_in_all(self) -> int:
        """Handed over and not failed later."""
        return self.states["sent"] - self.undelivered


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is about to be accepted; with an error it is born failed."""

    recipient: str
    content: str
    variables: str | None = None
    metadata: str | None = None
    error_code: str | None = None
    error_text: str | None = None


_COLUMNS = (
    "broadcast_id", "recipient", "content", "variables", "metadata", "state", "attempt", "tries", "next_at",
    "settled_at", "error_code", "error_text",
)  # fmt: skip
_SETTLED = ("id", "attempt", "settled_at", "code", "text")


def insert(broadcast_id: int, drafts: Iterable[Draft], due_at: int, now: int) -> None:
    """(nothing) -> pending, or -> failed for drafts with an error."""
    rows = [
        (
            broadcast_id, d.recipient, d.content, d.variables, d.metadata,
            "failed" if d.error_code else "pending", 0, 0, due_at,
            now if d.error_code else None, d.error_code, d.error_text,
        )
        for d in drafts
    ]  # fmt: skip
    database.insert_rows(Message, _COLUMNS, rows)


def claim(
    channel_id: int, owner: str, limit: int, turn: int, pace: float, now: int, until: int
) -> list[Claimed] | None:
    """pending -> sending, for at most `limit` messages of the channel that are due.

    High priority goes first; broadcasts of one priority share evenly, beginning with the
    `turn`-th. Renews the lease until `until`; None if another worker holds it by now.
    """
    if not lease.renew(channel_id, owner, pace, until):
        return None
    claimed: list[Claimed] = []
    for broadcasts in _active(channel_id, now) if limit else ():
        first = turn % len(broadcasts)
        for place, broadcast_id in enumerate(broadcasts[first:] + broadcasts[:first]):
            share = -(-(limit - len(claimed)) // (len(broadcasts) - place))
            if share > 0:
                claimed += _claim_of(broadcast_id, share, now)
    if claimed:
        lease.note_claim(channel_id, now)
        started = Broadcast.update(started_at=now).where(
            Broadcast.id.in_({c.broadcast_id for c in claimed}) & Broadcast.started_at.is_null()
        )
        started.execute()
    return claimed


def _active(channel_id: int, now: int) -> list[list[int]]:
    """Ids of the channel's broadcasts that may send, grouped by priority, highest first."""
    query = (
        Broadcast.select(Broadcast.priority, Broadcast.id)
        .where(
            (Broadcast.channel_id == channel_id)
            & Broadcast.finished_at.is_null()
            & Broadcast.paused_at.is_null()
            & Broadcast.stopped_at.is_null()
            & (Broadcast.due_at <= now)
        )
        .order_by(Broadcast.priority.desc(), Broadcast.id)
    )
    groups: dict[int, list[int]] = {}
    for priority, broadcast_id in database.tuples(query):
        groups.setdefault(priority, []).append(broadcast_id)
    return list(groups.values())


def _claim_of(broadcast_id: int, limit: int, now: int) -> list[Claimed]:
    # Two statements under the write lock, which every transaction of ours opens with.
    due = (
        Message.select(
            Message.id, Message.attempt + 1, Message.tries, Message.broadcast_id, Message.recipient,
            Message.content,
        )
        .where(
            (Message.broadcast_id == broadcast_id) & (Message.state == "pending") & (Message.next_at <= now)
        )
        .order_by(Message.next_at, Message.id)
        .limit(limit)
    )  # fmt: skip
    claimed = [Claimed(*row) for row in database.fetch_at_once(due)]
    moved = database.change_rows(
        "UPDATE message SET state = 'sending', attempt = v.attempt, claimed_at = v.now FROM v"
        " WHERE message.id = v.id AND message.state = 'pending'",
        ("id", "attempt", "now"),
        [(c.id, c.attempt, now) for c in claimed],
    )
    if moved != len(claimed):
        raise RuntimeError(f"claimed {len(claimed)} messages, {moved} moved: is the write lock held?")
    return claimed


def sent(rows: Sequence[tuple[int, int, int, str, int]]) -> int:
    """sending | unknown -> sent; rows are (id, attempt, settled_at, wamid, sent_at)."""
    return database.change_rows(
        # What a receipt that was faster said of its delivery stands.
        "UPDATE message SET state = 'sent', settled_at = v.settled_at, wamid = v.wamid,"
        " sent_at = v.sent_at,"
        " error_code = CASE WHEN message.delivery = 'failed' THEN message.error_code END,"
        " error_text = CASE WHEN message.delivery = 'failed' THEN message.error_text END FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt"
        " AND message.state IN ('sending', 'unknown')",
        ("id", "attempt", "settled_at", "wamid", "sent_at"),
        rows,
    )


def failed(rows: Sequence[tuple[int, int, int, str | None, str | None]]) -> int:
    """sending | unknown -> failed, the final answer or the last try.

    Rows are (id, attempt, settled_at, code, text).
    """
    return database.change_rows(
        "UPDATE message SET state = 'failed', settled_at = v.settled_at, error_code = v.code,"
        " error_text = v.text, tries = message.tries + 1 FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt"
        " AND message.state IN ('sending', 'unknown')",
        _SETTLED,
        rows,
    )


def put_back(rows: Sequence[tuple[int, int, int, str | None, str | None, int, int]]) -> int:
    """sending -> pending, certainly refused; -> cancelled where the broadcast was stopped meanwhile.

    Rows are (id, attempt, settled_at, code, text, next_at, tries used up).
    """
    return database.change_rows(
        "UPDATE message SET state = CASE WHEN EXISTS (SELECT 1 FROM broadcast"
        " WHERE broadcast.id = message.broadcast_id AND broadcast.stopped_at IS NOT NULL)"
        " THEN 'cancelled' ELSE 'pending' END,"
        " settled_at = v.settled_at, error_code = v.code, error_text = v.text, delivery = NULL,"
        " next_at = v.next_at, tries = message.tries + v.cost FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt AND message.state = 'sending'",
        (*_SETTLED, "next_at", "cost"),
        rows,
    )


def lost(rows: Sequence[tuple[int, int, int, str | None, str | None]]) -> int:
    """sending -> unknown, it may have left; -> failed where a receipt that was faster said so.

    Rows are (id, attempt, settled_at, code, text).
    """
    return database.change_rows(
        "UPDATE message SET settled_at = v.settled_at,"
        " state = CASE WHEN message.delivery = 'failed' THEN 'failed' ELSE 'unknown' END,"
        " error_code = CASE WHEN message.delivery = 'failed' THEN message.error_code ELSE v.code END,"
        " error_text = CASE WHEN message.delivery = 'failed' THEN message.error_text ELSE v.text END FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt AND message.state = 'sending'",
        _SETTLED,
        rows,
    )


def lost_by_the_dead(channel_id: int, now: int) -> int:
    """sending -> unknown, for all the channel's messages a former lease holder left behind."""
    mine = Broadcast.select(Broadcast.id).where(
        (Broadcast.channel_id == channel_id) & Broadcast.finished_at.is_null()
    )
    left_behind = Message.select(Message.id, Message.attempt).where(
        Message.broadcast_id.in_(mine) & (Message.state == "sending")
    )
    rows = [
        (row_id, attempt, now, "INTERRUPTED", "the server ended while sending")
        for row_id, attempt in database.tuples(left_behind)
    ]
    return lost(rows)


def close_unknown(claimed_before: int, now: int) -> list[int]:
    """unknown -> failed (OUTCOME_UNKNOWN), for messages claimed before a time; returns their broadcasts."""
    query = (
        Message.update(
            state="failed",
            error_code="OUTCOME_UNKNOWN",
            error_text="no answer and no receipt came; it may have been delivered",
            settled_at=now,
        )
        .where((Message.state == "unknown") & (Message.claimed_at < claimed_before))
        .returning(Message.broadcast_id)
    )
    return sorted({broadcast_id for (broadcast_id,) in database.tuples(query)})


class Matched(NamedTuple):
    """A receipt, the message it is about and the attempt it belongs to."""

    message_id: int
    attempt: int
    receipt: Receipt


class Moved(NamedTuple):
    """A message that receipts changed; `has_left` if they are the first to say that it was handed over."""

    id: int
    broadcast_id: int
    recipient: str
    has_left: bool


_RECEIVED = (
    "state", "delivery", "wamid", "sent_at", "delivered_at", "read_at", "undelivered_at", "error_code",
    "error_text",
)  # fmt: skip


def receive(matched: Sequence[Matched], now: int) -> list[Moved]:
    """any -> sent, unknown -> failed, and the delivery's way up, as receipts.settle() says.

    Read and written under one write lock, which the caller's transaction holds.
    """
    by_message: dict[int, list[tuple[Receipt, int]]] = {}
    for message_id, attempt, receipt in matched:
        by_message.setdefault(message_id, []).append((receipt, attempt))
    moved: list[Moved] = []
    changed: list[tuple[Any, ...]] = []
    for row in _rows(list(by_message)):
        news = [(receipt, attempt) for receipt, attempt in by_message[row.id] if attempt <= row.attempt]
        before = Standing(**{name: getattr(row, name) for name in (*_RECEIVED, "attempt")})
        after = settle(before, news)
        if after != before:
            values = (getattr(after, name) for name in _RECEIVED)
            settled_at = row.settled_at if after.state == before.state else now
            pricing = next((wire.dumps(r.pricing) for r, _ in news if r.pricing), row.pricing)
            changed.append((row.id, row.attempt, settled_at, pricing, *values))
            has_left = after.state == "sent" != before.state
            moved.append(Moved(row.id, row.broadcast_id, row.recipient, has_left))
    names = ("settled_at", "pricing", *_RECEIVED)
    database.change_rows(
        f"UPDATE message SET {', '.join(f'{name} = v.{name}' for name in names)} FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt",
        ("id", "attempt", *names),
        changed,
    )
    return moved


def _rows(ids: Sequence[int]) -> list[Message]:
    return [
        row for part in database.parts(ids, 1000) for row in Message.select().where(Message.id.in_(part))
    ]


def stop(broadcast_id: int, now: int) -> int:
    """pending -> cancelled, all of a broadcast."""
    query = Message.update(state="cancelled", settled_at=now)
    return query.where((Message.broadcast_id == broadcast_id) & (Message.state == "pending")).execute()


def reached(rows: Sequence[tuple[str, str, int]]) -> None:
    """Note that portfolios reached people; rows are (portfolio, recipient, at)."""
    newest = {row[:2]: row for row in sorted(rows, key=lambda row: row[2])}
    database.insert_rows(
        Reached,
        ("portfolio", "recipient", "at"),
        list(newest.values()),
        "ON CONFLICT (portfolio, recipient) DO UPDATE SET at = excluded.at WHERE excluded.at > reached.at",
    )


def people_reached(portfolio: str, since: int) -> int:
    """How many different people the portfolio reached after a time."""
    return Reached.select().where((Reached.portfolio == portfolio) & (Reached.at > since)).count()


def counts(broadcast_ids: Iterable[int]) -> dict[int, Counts]:
    """The counters of each broadcast, in one statement and therefore of one moment."""
    found = {i: Counts(dict.fromkeys(STATES, 0), dict.fromkeys(DELIVERIES, 0)) for i in broadcast_ids}
    query = (
        Message.select(Message.broadcast_id, Message.state, Message.delivery, fn.COUNT(Message.id))
        .where(Message.broadcast_id.in_(list(found)))
        .group_by(Message.broadcast_id, Message.state, Message.delivery)
    )
    for broadcast_id, state, delivery, count in database.tuples(query):
        counted = found[broadcast_id]
        counted.states[state] += count
        if delivery is not None:
            counted.deliveries[delivery] += count
        if (state, delivery) == ("sent", "failed"):
            found[broadcast_id] = counted._replace(undelivered=count)
    return found


def next_waiting(broadcast_id: int) -> int | None:
    """When the next pending message of a broadcast may leave."""
    query = Message.select(fn.MIN(Message.next_at))
    return query.where((Message.broadcast_id == broadcast_id) & (Message.state == "pending")).scalar()


def page(broadcast_id: int, filters: dict[str, str], after: int, limit: int) -> list[Message]:
    """Messages of a broadcast after an id, by `state`, `delivery` and `error_code` where given."""
    query = Message.select().where((Message.broadcast_id == broadcast_id) & (Message.id > after))
    for column, value in filters.items():
        query = query.where(getattr(Message, column) == value)
    return list(query.order_by(Message.id).limit(limit))


def single(broadcast_id: int) -> tuple[Message, bool]:
    """The message of a broadcast of one, and whether its broadcast is held back."""
    row = Message.get(Message.broadcast_id == broadcast_id)
    held = Broadcast.select(1).where((Broadcast.id == broadcast_id) & Broadcast.paused_at.is_null(False))
    return row, row.state == "pending" and bool(held.exists())


def search(broadcast_id: int, standing: str | None, offset: int, limit: int) -> tuple[int, list[Message]]:
    """How many messages of a broadcast stand so (broadcasts.standing), and one page of them."""
    query = Message.select().where(Message.broadcast_id == broadcast_id)
    if standing is not None:
        query = query.where(_stands(standing))
    return query.count(), list(query.order_by(Message.id).offset(offset).limit(limit))


def standing(broadcast_id: Any, *standings: str) -> Any:
    """A query for the messages of a broadcast that stand in any of these ways."""
    anyhow = reduce(or_, (_stands(one) for one in standings))
    return Message.select(1).where((Message.broadcast_id == broadcast_id) & anyhow)


def _stands(standing: str) -> Any:
    failed = (Message.state == "failed") | fn.COALESCE(Message.delivery == "failed", False)
    if standing == "failed":
        return failed
    if standing == "sent":
        silent = Message.delivery.is_null() | (Message.delivery == "sent")
        return (Message.state == "sent") & silent
    if standing in DELIVERIES:
        return (Message.state == "sent") & (Message.delivery == standing)
    return Message.state.in_(OPEN) & ~failed if standing == "pending" else Message.state == standing


def find(reference: str) -> Message | None:
    """A message by its id or by Meta's id for it."""
    if reference.isdecimal() and reference.isascii() and len(reference) < 19:
        return Message.get_or_none(Message.id == int(reference))
    query = Message.select().where(Message.wamid == reference)
    return query.order_by(Message.id.desc()).first()


def unfinished(broadcast_id: Any) -> Any:
    """A condition: the broadcast has a message that has not come to its end."""
    return fn.EXISTS(
        Message.select(1).where((Message.broadcast_id == broadcast_id) & Message.state.in_(OPEN))
    )
