"""Messages: one function for every arrow of the state machine, and the questions about them.

Nothing outside this file writes `state` or `delivery`. The moves of many messages at once take
rows in the order of their arguments and are guarded by state and attempt, so that an answer that
comes late cannot undo what happened meanwhile.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from peewee import JOIN, fn

from broadcaster.domain import strict_json
from broadcaster.domain.decide import Claimed, Failed, Lost, Move, PutBack, Sent
from broadcaster.domain.names import NOBODY, Names
from broadcaster.domain.receipts import UNDELIVERED, Receipt, Standing, settle
from broadcaster.domain.words import Delivery, MessageStanding
from broadcaster.store import database, statuses
from broadcaster.store.allowance import DAY
from broadcaster.store.counters import OPEN
from broadcaster.store.models import Broadcast, Channel, ContactName, Message, Reached, Suppression

MAYBE = "OUTCOME_UNKNOWN"
"""The code of what was given up without knowing whether it was delivered."""

_NEVER = 2**62


class Moved(NamedTuple):
    """What became of a message.

    `is_changed` is False where a receipt said nothing new; `has_left` if this is the first that says it was
    handed over; `delivery` is what is new about it, None if nothing; `failures` are the receipts that told
    one.
    """

    id: int
    broadcast_id: int
    recipient: str
    is_changed: bool = True
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


class Due(NamedTuple):
    """A message that may leave now. `is_known` if its person costs no allowance."""

    message: Claimed
    is_known: bool
    is_suppressed: bool


def due(broadcast_id: int, limit: int, portfolio: str, room: int | None, now: int) -> list[Due]:
    """Messages of a broadcast that may leave now.

    `room` is how many people may be reached who were not in the last 24 h, None for any number.
    """
    known = Reached.at.is_null(False)
    query = (
        Message.select(
            Message.id, Message.attempt + 1, Message.tries, Message.broadcast_id, Message.recipient,
            Message.content, ContactName.contact_id, known, Suppression.contact_id.is_null(False),
        )
        .join_from(Message, ContactName, JOIN.LEFT_OUTER, on=(ContactName.name == Message.recipient))
        .join_from(
            Message,
            Reached,
            JOIN.LEFT_OUTER,
            on=(
                (Reached.contact_id == ContactName.contact_id)
                & (Reached.portfolio == portfolio)
                & (Reached.at > now - DAY)
            ),
        )
        .join_from(
            Message, Suppression, JOIN.LEFT_OUTER, on=(Suppression.contact_id == ContactName.contact_id)
        )
        .where(
            (Message.broadcast_id == broadcast_id) & (Message.state == "pending") & (Message.next_at <= now)
        )
        .order_by(Message.next_at, Message.id)
        .limit(limit)
    )  # fmt: skip
    rows = _within(room, database.fetch_at_once(query if room != 0 else query.where(known)), now)
    if room and len(rows) < limit:
        # The allowance ended among these: people who cost nothing may stand further behind.
        taken = [row.message.id for row in rows]
        more = query.where(known & Message.id.not_in(taken)).limit(limit - len(rows))
        rows += _within(0, database.fetch_at_once(more), now)
    return rows


def beginning(name: str, language: str) -> str:
    """How the content of every message of a template begins; names are of letters, digits and _."""
    return f'{{"name":"{name}","language":{{"code":"{language}"}}'


def template_of(content: str) -> tuple[str, str] | None:
    """The name and the language of the template that a message carries, if it names one."""
    document = strict_json.loads(content.encode())
    return (document["name"], document["language"]["code"]) if "name" in document else None


def has_due(broadcast_id: int, now: int) -> bool:
    """Whether anything of a broadcast could leave now but for the allowance."""
    due_now = (Message.broadcast_id == broadcast_id) & (Message.state == "pending") & (Message.next_at <= now)
    return bool(Message.select(1).where(due_now).exists())


def _within(room: int | None, rows: list[list[Any]], now: int) -> list[Due]:
    """The rows that fit the allowance; a person new to it who is met twice costs one."""
    kept: list[Due] = []
    met: set[int] = set()
    for row_id, attempt, tries, broadcast_id, recipient, content, contact_id, is_known, is_suppressed in rows:
        # A name that means nobody (any more) is a person of its own.
        person = -row_id if contact_id is None else contact_id
        row = Claimed(row_id, attempt, tries, broadcast_id, recipient, content, now, person)
        known = bool(is_known) or room is None or person in met
        if known or room is None or len(met) < room:
            if not known:
                met.add(person)
            kept.append(Due(row, known, bool(is_suppressed)))
    return kept


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
    query = Message.update(
        state="cancelled", error_code="EXPIRED", error_text="its time had run out", settled_at=now
    )
    ids = list(broadcast_ids)
    return database.change(query.where(Message.broadcast_id.in_(ids) & (Message.state == "pending")))


def withdraw(people: Sequence[str], code: str, text: str, now: int) -> int:
    """pending -> cancelled, with a code, all messages to these people."""
    query = Message.update(state="cancelled", error_code=code, error_text=text, settled_at=now)
    theirs = Message.recipient.in_(list(people))
    return database.change(query.where(theirs & (Message.state == "pending")))


def apply(moves: Sequence[Move]) -> dict[int, Delivery | None]:
    """Carry out these moves, each guarded by state and attempt; returns the messages that moved, and what
    receipts had said of each.

    Under the write lock, which the caller's transaction holds.
    """
    may_move = _may_move(moves)
    settle_sent([one for one in moves if isinstance(one, Sent)])
    settle_failed([one for one in moves if isinstance(one, Failed)])
    put_back([one for one in moves if isinstance(one, PutBack)])
    settle_lost([one for one in moves if isinstance(one, Lost)])
    return may_move


def _may_move(moves: Sequence[Move]) -> dict[int, Delivery | None]:
    """Which of these find their message in a state and attempt that they may move."""
    query = Message.select(Message.id, Message.attempt, Message.state, Message.delivery).where(
        Message.id.in_([one.id for one in moves]) & Message.state.in_(("sending", "unknown"))
    )
    found = {(row_id, attempt): rest for row_id, attempt, *rest in database.tuples(query)}
    moved: dict[int, Delivery | None] = {}
    for one in moves:
        state, delivery = found.get((one.id, one.attempt), (None, None))
        if state == "sending" or (state == "unknown" and isinstance(one, Sent | Failed)):
            moved[one.id] = delivery
    return moved


def settle_sent(rows: Sequence[Sent]) -> int:
    """sending | unknown -> sent."""
    return database.change_rows(
        # What a receipt that was faster said of its delivery stands.
        "UPDATE message SET state = 'sent', settled_at = v.settled_at, wamid = v.wamid,"
        " sent_at = v.sent_at,"
        " error_code = CASE WHEN message.delivery = 'failed' THEN message.error_code END,"
        " error_text = CASE WHEN message.delivery = 'failed' THEN message.error_text END FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt"
        " AND message.state IN ('sending', 'unknown')",
        Sent._fields,
        rows,
    )


def settle_failed(rows: Sequence[Failed]) -> int:
    """sending | unknown -> failed."""
    return database.change_rows(
        "UPDATE message SET state = 'failed', settled_at = v.settled_at, error_code = v.code,"
        " error_text = v.text, tries = message.tries + 1 FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt"
        " AND message.state IN ('sending', 'unknown')",
        Failed._fields,
        rows,
    )


def put_back(rows: Sequence[PutBack]) -> int:
    """sending -> pending; -> cancelled where the broadcast was stopped meanwhile."""
    return database.change_rows(
        "UPDATE message SET state = CASE WHEN EXISTS (SELECT 1 FROM broadcast"
        " WHERE broadcast.id = message.broadcast_id AND broadcast.stopped_at IS NOT NULL)"
        " THEN 'cancelled' ELSE 'pending' END,"
        " settled_at = v.settled_at, error_code = v.code, error_text = v.text, delivery = NULL,"
        " next_at = v.next_at, tries = message.tries + v.tries FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt AND message.state = 'sending'",
        PutBack._fields,
        rows,
    )


def settle_lost(rows: Sequence[Lost]) -> int:
    """sending -> unknown; -> failed where a receipt that was faster said so."""
    return database.change_rows(
        "UPDATE message SET settled_at = v.settled_at,"
        " state = CASE WHEN message.delivery = 'failed' THEN 'failed' ELSE 'unknown' END,"
        " error_code = CASE WHEN message.delivery = 'failed' THEN COALESCE(message.error_code, 'UNDELIVERED')"
        " ELSE v.code END,"
        " error_text = CASE WHEN message.delivery = 'failed' THEN message.error_text ELSE v.text END FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt AND message.state = 'sending'",
        Lost._fields,
        rows,
    )


def lose_abandoned(channel_id: int, now: int) -> list[Moved]:
    """sending -> unknown, for all the channel's messages a former lease holder left behind."""
    mine = Broadcast.select(Broadcast.id).where(
        (Broadcast.channel_id == channel_id) & Broadcast.finished_at.is_null()
    )
    columns = (Message.id, Message.attempt, Message.broadcast_id, Message.recipient, Message.delivery)
    found = database.tuples(
        Message.select(*columns).where(Message.broadcast_id.in_(mine) & (Message.state == "sending"))
    )
    settle_lost(
        [
            Lost(row_id, attempt, now, "INTERRUPTED", "the server ended while sending")
            for row_id, attempt, *_ in found
        ]
    )
    return [Moved(row_id, broadcast_id, recipient) for row_id, _, broadcast_id, recipient, _ in found]


def close_unknown(window: int, hard_limit: int, now: int) -> list[Moved]:
    """unknown -> failed (OUTCOME_UNKNOWN), or -> pending again, once, where the broadcast asks for it.

    After `window` milliseconds without a receipt although receipts for later messages of the channel
    came, or none ever comes to this installation; after `hard_limit` in any case. Broadcasts that
    hold keep theirs until they are stopped. Returns the messages concerned.
    """
    late = (Message.state == "unknown") & (Message.claimed_at < now - window)
    query = (
        Broadcast.select(Broadcast.id, Broadcast.on_unknown, Broadcast.stopped_at.is_null(False))
        .where(Broadcast.id.in_(Message.select(Message.broadcast_id).where(late).distinct()))
        .where((Broadcast.on_unknown != "hold") | Broadcast.stopped_at.is_null(False))
    )
    rows = database.tuples(query)
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
        error_text="no answer and no receipt came; it may have been delivered",
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
    if not Message.select(1).where(told).exists():
        return dict.fromkeys(broadcast_ids, _NEVER)
    query = Broadcast.select(Broadcast.id, Broadcast.channel_id).where(Broadcast.id.in_(broadcast_ids))
    channels = dict(database.tuples(query))
    newest: dict[int, int] = {}
    for channel_id in set(channels.values()):
        recent = Broadcast.finished_at.is_null() | (Broadcast.finished_at > since)
        siblings = Broadcast.select(Broadcast.id).where((Broadcast.channel_id == channel_id) & recent)
        last = Message.select(fn.MAX(Message.claimed_at)).where(told & Message.broadcast_id.in_(siblings))
        newest[channel_id] = database.number(last) or 0
    return {broadcast_id: newest[channel_id] for broadcast_id, channel_id in channels.items()}


class Matched(NamedTuple):
    """A receipt, the message it is about and the attempt it belongs to."""

    message_id: int
    attempt: int
    receipt: Receipt


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
    for row in rows(list(by_message)):
        # A later attempt than ours is one that a database restored from a backup has forgotten.
        news = [(receipt, min(attempt, row.attempt)) for receipt, attempt in by_message[row.id]]
        before = Standing(**{name: getattr(row, name) for name in (*_RECEIVED, "attempt")})
        after = settle(before, news)
        if after != before:
            values = (getattr(after, name) for name in _RECEIVED)
            settled_at = row.settled_at if after.state == before.state else now
            pricing = next((strict_json.dumps(r.pricing) for r, _ in news if r.pricing), row.pricing)
            changed.append((row.id, row.attempt, settled_at, pricing, *values))
        moved.append(
            Moved(
                row.id,
                row.broadcast_id,
                row.recipient,
                is_changed=after != before,
                has_left=after.state == "sent" != before.state,
                delivery=_news(before, after),
                failures=tuple(receipt for receipt, _ in news if receipt.status == "failed"),
                names=news[-1][0].names,
            )
        )
    names = ("settled_at", "pricing", *_RECEIVED)
    database.change_rows(
        f"UPDATE message SET {', '.join(f'{name} = v.{name}' for name in names)} FROM v"
        " WHERE message.id = v.id AND message.attempt = v.attempt",
        ("id", "attempt", *names),
        changed,
    )
    return moved


def _news(before: Standing, after: Standing) -> Delivery | None:
    """What receipts say that nobody was told; that a message failed is told once."""
    if after.delivery == before.delivery or (after.delivery == "failed" and before.state == "failed"):
        return None
    return cast(Delivery, after.delivery)


def rows(ids: Sequence[int]) -> list[Message]:
    """These messages, in no order."""
    return [row for part in database.parts(ids, 1000) for row in Message.select().where(Message.id.in_(part))]


def stop(broadcast_id: int, now: int) -> int:
    """pending -> cancelled, all of a broadcast."""
    query = Message.update(state="cancelled", settled_at=now)
    waiting = (Message.broadcast_id == broadcast_id) & (Message.state == "pending")
    return database.change(query.where(waiting))


def oldest_due(now: int) -> dict[int, int]:
    """For each channel with messages that could leave by their time, since when the first could."""
    query = (
        Message.select(Broadcast.channel_id, fn.MIN(Message.next_at))
        .join(Broadcast, on=(Broadcast.id == Message.broadcast_id))
        .where((Message.state == "pending") & (Message.next_at <= now))
        .where(Broadcast.finished_at.is_null() & Broadcast.paused_at.is_null())
        .group_by(Broadcast.channel_id)
    )
    return dict(database.tuples(query))


def last_sent() -> int | None:
    """When Meta last took a message over, as far as the newest ones tell."""
    newest = Message.select(Message.sent_at).order_by(Message.id.desc()).limit(10_000).alias("newest")
    return database.number(Message.select(fn.MAX(newest.c.sent_at)).from_(newest))


def unsettled() -> int:
    """How many messages wait for a receipt to say what became of them."""
    return int(Message.select().where(Message.state == "unknown").count())


def next_waiting(broadcast_id: int) -> int | None:
    """When the next pending message of a broadcast may leave."""
    query = Message.select(fn.MIN(Message.next_at))
    waiting = (Message.broadcast_id == broadcast_id) & (Message.state == "pending")
    return database.number(query.where(waiting))


def page(
    broadcast_id: int,
    filters: dict[str, str],
    after: int,
    limit: int,
    part: str = "",
    names: Sequence[str] = (),
) -> list[Message]:
    """Messages of a broadcast after an id, by `state`, `delivery` and `error_code` where given, and to whom
    they go: `part` of the recipient, or one of a person's `names`."""
    query = Message.select().where((Message.broadcast_id == broadcast_id) & (Message.id > after))
    if part:
        query = query.where(Message.recipient.contains(part) | Message.recipient.in_(list(names)))
    for column, value in filters.items():
        query = query.where(getattr(Message, column) == value)
    return list(query.order_by(Message.id).limit(limit))


def minutes(broadcast_ids: Sequence[int], since: int) -> list[tuple[int, int, float | None, float | None]]:
    """What left of these broadcasts in each minute after a time: the minute (since the epoch), how many,
    and the mean milliseconds until Meta's answer and until the delivery."""
    minute = Message.sent_at / 60_000
    query = (
        Message.select(
            minute,
            fn.COUNT(Message.id),
            fn.AVG(Message.sent_at - Message.claimed_at),
            fn.AVG(Message.delivered_at - Message.sent_at),
        )
        .where(Message.broadcast_id.in_(list(broadcast_ids)) & (Message.sent_at >= since))
        .group_by(minute)
        .order_by(minute)
    )
    return [tuple(row) for row in database.tuples(query)]


def single(broadcast_id: int) -> tuple[Message, bool]:
    """The message of a broadcast of one, and whether its broadcast is held back."""
    row = Message.get(Message.broadcast_id == broadcast_id)
    held = (
        Broadcast.select(1)
        .join(Channel, on=(Channel.id == Broadcast.channel_id))
        .where(
            (Broadcast.id == broadcast_id)
            & (Broadcast.paused_at.is_null(False) | Channel.paused_at.is_null(False))
        )
    )
    return row, row.state == "pending" and bool(held.exists())


def search(
    broadcast_id: int, standing: MessageStanding | None, offset: int, limit: int
) -> tuple[int, list[Message]]:
    """How many messages of a broadcast have this standing, and one page of them."""
    query = Message.select().where(Message.broadcast_id == broadcast_id)
    if standing is not None:
        query = query.where(statuses.has_standing(standing))
    return query.count(), list(query.order_by(Message.id).offset(offset).limit(limit))


def find(reference: str) -> Message | None:
    """A message by its id or by Meta's id for it."""
    if reference.isdecimal() and reference.isascii() and len(reference) < 19:
        return Message.get_or_none(Message.id == int(reference))
    query = Message.select().where(Message.wamid == reference)
    newest: Message | None = query.order_by(Message.id.desc()).first()
    return newest


def retry(broadcast_id: int, code: str | None, now: int) -> int:
    """failed, sent and undelivered, or unknown -> pending, as if it had not been tried; all that failed
    of a broadcast or those with a code.

    What may have been delivered goes only by the code MAYBE, which stands for the unknown too, and is
    marked as a possible duplicate; what was no person at all, or is erased, never goes.
    """
    # A receipt may say failed without a code.
    known = fn.COALESCE(Message.error_code, UNDELIVERED)
    failed = (Message.state == "failed") | fn.COALESCE(Message.delivery == "failed", False)
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
        attempt=Message.attempt + fn.IIF(unknown | (known == MAYBE), 0, 1),
        next_at=now,
        resent=Message.resent | unknown | (known == MAYBE),
    )
    # Whoever was erased cannot be written to.
    mine = (Message.broadcast_id == broadcast_id) & (Message.recipient != "")
    return database.change(query.where(mine & (wanted | unknown if code == MAYBE else wanted)))


def failures(broadcast_id: int) -> list[tuple[str, str | None, int]]:
    """Codes of what failed, of hand-over or by receipt, with one of their texts and their number."""
    failed = statuses.has_standing("failed")
    query = (
        Message.select(Message.error_code, fn.MAX(Message.error_text), fn.COUNT(Message.id))
        .where((Message.broadcast_id == broadcast_id) & failed)
        .group_by(Message.error_code)
        .order_by(fn.COUNT(Message.id).desc(), Message.error_code)
    )
    return [(code or UNDELIVERED, text, count) for code, text, count in database.tuples(query)]


def waiting(broadcast_id: Any) -> Any:
    """A condition: the broadcast has a message that has not left."""
    return fn.EXISTS(
        Message.select(1).where((Message.broadcast_id == broadcast_id) & (Message.state == "pending"))
    )


def unfinished(broadcast_id: Any) -> Any:
    """A condition: the broadcast has a message that has not come to its end."""
    return fn.EXISTS(
        Message.select(1).where((Message.broadcast_id == broadcast_id) & Message.state.in_(OPEN))
    )
