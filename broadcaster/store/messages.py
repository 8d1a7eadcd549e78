"""Messages: every arrow of the state machine. What is asked about messages is `message_queries`.

Nothing outside this file writes `state` or `delivery`. The moves of many messages at once take
rows in the order of their arguments and are guarded by state and attempt, so that an answer that
comes late cannot undo what happened meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from peewee import Case, fn

from broadcaster.domain import strict_json
from broadcaster.domain.decide import Claimed, Failed, Lost, Move, PutBack, Sent
from broadcaster.domain.names import NOBODY, Names
from broadcaster.domain.receipts import UNDELIVERED, Receipt, Standing, settle
from broadcaster.domain.words import Delivery, MessageState
from broadcaster.store import database, statuses
from broadcaster.store.models import Broadcast, Message

MAYBE = "OUTCOME_UNKNOWN"
"""The code of what was given up without knowing whether it was delivered."""
_MAYBE_TEXT = "no answer and no receipt came; it may have been delivered"

_NEVER = 2**62


class Moved(NamedTuple):
    """What became of a message.

    `is_changed` is False where a receipt said nothing new, `is_moved` where the state is the one it was;
    `has_left` if this is the first that says it was handed over; `delivery` is what is new about it, None if
    nothing; `failures` are the receipts that told one.
    """

    id: int
    broadcast_id: int
    recipient: str
    is_changed: bool = True
    is_moved: bool = True
    has_left: bool = False
    delivery: Delivery | None = None
    failures: tuple[Receipt, ...] = ()
    names: Names = NOBODY
    """What Meta calls the person, where a receipt told."""


class Draft(NamedTuple):
    """A message that is about to be accepted; with an error it is born failed."""

    recipient: str
    content: str
    variables: str | None = None
    metadata: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    is_marketing: bool = False


_COLUMNS = (
    "broadcast_id", "recipient", "content", "variables", "metadata", "state", "attempt", "tries", "next_at",
    "settled_at", "error_code", "error_text",
)  # fmt: skip


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


def claim(rows: Sequence[Claimed]) -> None:
    """pending -> sending."""
    moved = database.change_rows(
        "UPDATE message SET state = 'sending', attempt = v.attempt, claimed_at = v.claimed_at FROM v"
        " WHERE message.id = v.id AND message.state = 'pending'",
        ("id", "attempt", "claimed_at"),
        [(row.id, row.attempt, row.claimed_at) for row in rows],
    )
    if moved != len(rows):
        raise RuntimeError(f"claimed {len(rows)} messages, {moved} moved: is the write lock held?")


def refuse(ids: Sequence[int], code: str, text: str, now: int) -> list[Moved]:
    """pending -> failed, by ourselves: it never left."""
    query = Message.update(state="failed", error_code=code, error_text=text, settled_at=now)
    return _ended(query.where(Message.id.in_(ids) & (Message.state == "pending")))


def postpone(message_id: int, next_at: int) -> None:
    """pending -> pending, not before a later time."""
    query = Message.update(next_at=next_at)
    query.where((Message.id == message_id) & (Message.state == "pending")).execute()


def expire(broadcast_ids: Iterable[int], now: int) -> int:
    """pending -> cancelled (EXPIRED), all of broadcasts whose time has run out."""
    return _call_off(Message.broadcast_id.in_(list(broadcast_ids)), now, "EXPIRED", "its time had run out")


def withdraw(ids: Sequence[int], code: str, text: str, now: int) -> int:
    """pending -> cancelled, with a code, these messages."""
    database.lock_broadcasts_of(ids)
    return sum(_call_off(Message.id.in_(part), now, code, text) for part in database.parts(ids))


def stop(broadcast_id: int, now: int) -> int:
    """pending -> cancelled, all of a broadcast."""
    return _call_off(Message.broadcast_id == broadcast_id, now)


def _call_off(which: Any, now: int, code: str | None = None, text: str | None = None) -> int:
    """pending -> cancelled, or -> failed (OUTCOME_UNKNOWN) where an earlier attempt may have arrived.

    Without a code, what an earlier answer said stands.
    """
    query = Message.update(
        state=Case(None, [(Message.resent, "failed")], "cancelled"),
        error_code=Case(None, [(Message.resent, MAYBE)], code or Message.error_code),
        error_text=Case(None, [(Message.resent, _MAYBE_TEXT)], text or Message.error_text),
        settled_at=now,
    )
    return database.change(query.where(which & (Message.state == "pending")))


class _Arrow(NamedTuple):
    """A move of claimed messages: the states it may find one in, and what it writes from a row v."""

    states: tuple[MessageState, ...]
    changes: str


_FAILED_BY_RECEIPT = "message.delivery = 'failed'"
_IS_STOPPED = (
    "EXISTS (SELECT 1 FROM broadcast WHERE broadcast.id = message.broadcast_id"
    " AND broadcast.stopped_at IS NOT NULL)"
)
_MAY_HAVE_ARRIVED = f"message.resent AND {_IS_STOPPED}"
_ARROWS: dict[type[Move], _Arrow] = {
    Sent: _Arrow(
        ("sending", "unknown"),
        # What a receipt that was faster said of its delivery stands.
        "state = 'sent', settled_at = v.settled_at, wamid = v.wamid, sent_at = v.sent_at,"
        f" error_code = CASE WHEN {_FAILED_BY_RECEIPT} THEN message.error_code END,"
        f" error_text = CASE WHEN {_FAILED_BY_RECEIPT} THEN message.error_text END",
    ),
    Failed: _Arrow(
        ("sending", "unknown"),
        "state = 'failed', settled_at = v.settled_at, error_code = v.code, error_text = v.text,"
        " tries = message.tries + 1",
    ),
    PutBack: _Arrow(
        # Whoever had it may have been thought dead for a while.
        ("sending", "unknown"),
        # As `_call_off` where the broadcast was stopped meanwhile.
        f"state = CASE WHEN {_MAY_HAVE_ARRIVED} THEN 'failed' WHEN {_IS_STOPPED} THEN 'cancelled'"
        " ELSE 'pending' END,"
        f" error_code = CASE WHEN {_MAY_HAVE_ARRIVED} THEN '{MAYBE}' ELSE v.code END,"
        f" error_text = CASE WHEN {_MAY_HAVE_ARRIVED} THEN '{_MAYBE_TEXT}' ELSE v.text END,"
        " settled_at = v.settled_at, delivery = NULL,"
        " next_at = v.next_at, tries = message.tries + v.tries",
    ),
    Lost: _Arrow(
        ("sending",),
        # -> failed where a receipt that was faster said so.
        "settled_at = v.settled_at,"
        f" state = CASE WHEN {_FAILED_BY_RECEIPT} THEN 'failed' ELSE 'unknown' END,"
        f" error_code = CASE WHEN {_FAILED_BY_RECEIPT} THEN COALESCE(message.error_code, '{UNDELIVERED}')"
        " ELSE v.code END,"
        f" error_text = CASE WHEN {_FAILED_BY_RECEIPT} THEN message.error_text ELSE v.text END",
    ),
}


def apply(moves: Sequence[Move]) -> dict[int, Delivery | None]:
    """Carry out these moves, each guarded by state and attempt; returns the messages that moved, and what
    receipts had said of each.

    In the caller's transaction, with these messages' broadcasts locked.
    """
    database.lock_broadcasts_of(one.id for one in moves)
    moved = _may_move(moves)
    for kind in _ARROWS:
        _carry_out(kind, [one for one in moves if isinstance(one, kind)])
    return moved


def _may_move(moves: Sequence[Move]) -> dict[int, Delivery | None]:
    """Which of these find their message in a state and attempt that they may move."""
    query = Message.select(Message.id, Message.attempt, Message.state, Message.delivery).where(
        Message.id.in_([one.id for one in moves]) & Message.state.in_(("sending", "unknown"))
    )
    found = {(row_id, attempt): rest for row_id, attempt, *rest in database.tuples(query)}
    moved: dict[int, Delivery | None] = {}
    for one in moves:
        state, delivery = found.get((one.id, one.attempt), (None, None))
        if state in _ARROWS[type(one)].states:
            moved[one.id] = delivery
    return moved


def _carry_out(kind: type[Move], rows: Sequence[Move]) -> None:
    arrow = _ARROWS[kind]
    states = "', '".join(arrow.states)
    database.change_rows(
        f"UPDATE message SET {arrow.changes} FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt"
        f" AND message.state IN ('{states}')",
        kind._fields,
        rows,
    )


def lose_abandoned(channel_id: int, now: int) -> list[Moved]:
    """sending -> unknown, for all the channel's messages a former lease holder left behind."""
    found = _left_behind(channel_id)
    text = "the server ended while sending"
    _carry_out(Lost, [Lost(row_id, attempt, now, "INTERRUPTED", text) for row_id, attempt, *_ in found])
    return [Moved(row_id, broadcast_id, recipient) for row_id, _, broadcast_id, recipient in found]


def take_back(channel_id: int, now: int) -> list[Moved]:
    """sending -> pending (or -> cancelled), for what was claimed for the channel and never left."""
    found = _left_behind(channel_id)
    _carry_out(PutBack, [PutBack(row_id, attempt, now, None, None, now, 0) for row_id, attempt, *_ in found])
    return [Moved(row_id, broadcast_id, recipient) for row_id, _, broadcast_id, recipient in found]


def _left_behind(channel_id: int) -> list[tuple[Any, ...]]:
    """Id, attempt, broadcast and recipient of a channel's messages in `sending`, their broadcasts locked."""
    mine = Broadcast.select(Broadcast.id).where(
        (Broadcast.channel_id == channel_id) & Broadcast.finished_at.is_null()
    )
    database.lock_broadcasts(row_id for (row_id,) in database.tuples(mine))
    columns = (Message.id, Message.attempt, Message.broadcast_id, Message.recipient)
    return database.tuples(
        Message.select(*columns).where(Message.broadcast_id.in_(mine) & (Message.state == "sending"))
    )


def close_unknown(window: int, hard_limit: int, now: int) -> list[Moved]:
    """unknown -> failed (OUTCOME_UNKNOWN), or -> pending again, once, where the broadcast asks for it.

    After `window` milliseconds without a receipt although receipts for later messages of the channel
    came, or none ever comes to this installation; after `hard_limit` in any case. Broadcasts that
    hold keep theirs until they are stopped. Returns the messages concerned.
    """
    late = (Message.state == "unknown") & (Message.claimed_at < now - window)
    # Without DISTINCT, for which SQLite would read the index of the counters from end to end.
    waiting = Broadcast.select(Broadcast.id).where(
        Broadcast.id.in_(Message.select(Message.broadcast_id).where(late))
    )
    ids = [row_id for (row_id,) in database.tuples(waiting)]
    database.lock_broadcasts(ids)
    query = (
        Broadcast.select(Broadcast.id, Broadcast.on_unknown, Broadcast.stopped_at.is_null(False))
        .where(Broadcast.id.in_(ids))
        .where((Broadcast.on_unknown != "hold") | Broadcast.stopped_at.is_null(False))
    )
    rows = database.tuples(query) if ids else []
    heard = _last_heard({row_id for row_id, *_ in rows}, now - hard_limit - window)
    concerned: list[Moved] = []
    for broadcast_id, policy, is_stopped in rows:
        before = min(now - window, max(now - hard_limit, heard[broadcast_id]))
        which = late & (Message.broadcast_id == broadcast_id) & (Message.claimed_at < before)
        if policy == "resend" and not is_stopped:
            concerned += _send_again(which & ~Message.resent, now)
        concerned += _give_up(which, now)
    return concerned


def _send_again(which: Any, now: int) -> list[Moved]:
    """unknown -> pending, marked as a possible duplicate."""
    query = Message.update(state="pending", resent=True, next_at=now, settled_at=now).where(which)
    columns = (Message.id, Message.broadcast_id, Message.recipient)
    return [Moved(*row) for row in database.tuples(query.returning(*columns))]


def _give_up(which: Any, now: int) -> list[Moved]:
    """unknown -> failed (OUTCOME_UNKNOWN)."""
    query = Message.update(
        state="failed",
        error_code=MAYBE,
        error_text=_MAYBE_TEXT,
        settled_at=now,
    )
    return _ended(query.where(which))


def _ended(query: Any) -> list[Moved]:
    """Carry out a move to `failed`; returns the messages that moved."""
    columns = (Message.id, Message.broadcast_id, Message.recipient)
    return [
        Moved(row_id, broadcast_id, recipient, delivery="failed")
        for row_id, broadcast_id, recipient in database.tuples(query.returning(*columns))
    ]


def _last_heard(broadcast_ids: set[int], since: int) -> dict[int, int]:
    """For each of these, when the newest message of its channel left of which a receipt came; where none
    ever came to this installation, later than all."""
    if not broadcast_ids:
        return {}
    told = Message.delivery.is_null(False)
    # In the order of the index of what was told, so that SQLite takes it and looks at one row.
    any_told = Message.select(1).where(told).order_by(Message.broadcast_id, Message.claimed_at).limit(1)
    if not any_told.exists():
        return dict.fromkeys(broadcast_ids, _NEVER)
    query = Broadcast.select(Broadcast.id, Broadcast.channel_id).where(Broadcast.id.in_(broadcast_ids))
    channels = dict(database.tuples(query))
    newest: dict[int, int] = {}
    for channel_id in set(channels.values()):
        siblings = Broadcast.select(Broadcast.id).where(Broadcast.channel_id == channel_id)
        unfinished = siblings.where(Broadcast.finished_at.is_null())
        recent = unfinished.union_all(siblings.where(Broadcast.finished_at > since))
        last = Message.select(fn.MAX(Message.claimed_at)).where(told & Message.broadcast_id.in_(recent))
        newest[channel_id] = database.number(last) or 0
    return {broadcast_id: newest[channel_id] for broadcast_id, channel_id in channels.items()}


class Matched(NamedTuple):
    """A receipt, the message it is about and the attempt it belongs to."""

    message_id: int
    attempt: int
    receipt: Receipt


_TOLD = ("delivery", "delivered_at", "read_at", "undelivered_at", "error_code", "error_text")
"""What most receipts change, and no more."""
_RECEIVED = ("state", "wamid", "sent_at", *_TOLD)


def receive(matched: Sequence[Matched], now: int) -> list[Moved]:
    """any -> sent, unknown -> failed, and the delivery's way up, as receipts.settle() says.

    Read and written in the caller's transaction, with these messages' broadcasts locked.
    """
    database.lock_broadcasts_of(one.message_id for one in matched)
    by_message: dict[int, list[tuple[Receipt, int]]] = {}
    for message_id, attempt, receipt in matched:
        by_message.setdefault(message_id, []).append((receipt, attempt))
    moved: list[Moved] = []
    told: list[tuple[Any, ...]] = []
    handed_over: list[tuple[Any, ...]] = []
    for row_id, broadcast_id, recipient, attempt, settled_at, pricing, *facts in _standings(list(by_message)):
        # A later attempt than ours is one that a database restored from a backup has forgotten.
        news = [(receipt, min(tried, attempt)) for receipt, tried in by_message[row_id]]
        before = Standing(attempt=attempt, **dict(zip(_RECEIVED, facts, strict=True)))
        after = settle(before, news)
        is_moved = after.state != before.state
        if after != before:
            pricing = next((strict_json.dumps(r.pricing) for r, _ in news if r.pricing), pricing)
            changes = (row_id, attempt, pricing, *(getattr(after, name) for name in _TOLD))
            if is_moved or (after.wamid, after.sent_at) != (before.wamid, before.sent_at):
                settled_at = now if is_moved else settled_at
                handed_over.append((*changes, settled_at, after.state, after.wamid, after.sent_at))
            else:
                told.append(changes)
        moved.append(
            Moved(
                row_id,
                broadcast_id,
                recipient,
                is_changed=after != before,
                is_moved=is_moved,
                has_left=after.state == "sent" != before.state,
                delivery=_news(before, after),
                failures=tuple(receipt for receipt, _ in news if receipt.status == "failed"),
                names=news[-1][0].names,
            )
        )
    # An index is written for each of its columns that a statement names, whatever the value.
    _write(("pricing", *_TOLD), told)
    _write(("pricing", *_TOLD, "settled_at", "state", "wamid", "sent_at"), handed_over)
    return moved


def _standings(ids: Sequence[int]) -> Iterator[list[Any]]:
    """Of each of these messages its id, broadcast, recipient, attempt, settled_at, pricing, and what receipts
    change."""
    names = ("id", "broadcast_id", "recipient", "attempt", "settled_at", "pricing", *_RECEIVED)
    columns = [getattr(Message, name) for name in names]
    for part in database.parts(ids, 1000):
        yield from database.fetch_at_once(Message.select(*columns).where(Message.id.in_(part)))


def _write(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    database.change_rows(
        f"UPDATE message SET {', '.join(f'{name} = v.{name}' for name in names)} FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt",
        ("id", "attempt", *names),
        rows,
    )


def _news(before: Standing, after: Standing) -> Delivery | None:
    """What receipts say that nobody was told; that a message failed is told once."""
    if after.delivery == before.delivery or (after.delivery == "failed" and before.state == "failed"):
        return None
    return cast(Delivery, after.delivery)


def retry(broadcast_id: int, code: str | None, now: int) -> int:
    """failed, sent and undelivered, or unknown -> pending, as if it had not been tried; all that failed
    of a broadcast or those with a code.

    What may have been delivered goes only by the code MAYBE, which stands for the unknown too, and is
    marked as a possible duplicate; what was no person at all, or is erased, never goes.
    """
    # A receipt may say failed without a code.
    known = fn.COALESCE(Message.error_code, UNDELIVERED)
    failed = statuses.has_standing("failed")
    unknown = Message.state == "unknown"
    if code is None:
        wanted = failed & known.not_in((MAYBE, "SUPPRESSED", "INVALID_RECIPIENT"))
    else:
        wanted = failed & (known == code) & (known != "INVALID_RECIPIENT")
    query = Message.update(
        state="pending",
        delivery=None,
        undelivered_at=None,
        wamid=None,
        sent_at=None,
        tries=0,
        # What receipts still say of the attempt that failed is not of the next; of one that may have
        # left it is.
        attempt=Message.attempt + Case(None, [(unknown | (known == MAYBE), 0)], 1),
        next_at=now,
        resent=Message.resent | unknown | (known == MAYBE),
    )
    # Whoever was erased cannot be written to.
    mine = (Message.broadcast_id == broadcast_id) & (Message.recipient != "")
    return database.change(query.where(mine & (wanted | unknown if code == MAYBE else wanted)))
