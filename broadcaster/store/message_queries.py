"""What is asked about messages. Nothing here changes one: that is `messages`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import SQL, fn

from broadcaster.domain.decide import Claimed
from broadcaster.domain.receipts import UNDELIVERED
from broadcaster.domain.words import MessageStanding
from broadcaster.store import database, statuses
from broadcaster.store.allowance import DAY
from broadcaster.store.counters import OPEN
from broadcaster.store.models import Broadcast, Channel, Message


class Due(NamedTuple):
    """A message that may leave now. `is_known` if its person costs no allowance."""

    message: Claimed
    is_known: bool
    is_suppressed: bool


# In full, for peewee takes longer to write it than SQLite to answer it.
_DUE = (
    "SELECT message.id, message.attempt + 1, message.tries, message.broadcast_id, message.recipient,"
    " message.content, contact_name.contact_id, reached.at IS NOT NULL, suppression.contact_id IS NOT NULL"
    " FROM message"
    " LEFT JOIN contact_name ON contact_name.name = message.recipient"
    " LEFT JOIN reached ON reached.contact_id = contact_name.contact_id"
    " AND reached.portfolio = :portfolio AND reached.at > :since"
    " LEFT JOIN suppression ON suppression.contact_id = contact_name.contact_id"
    " WHERE message.broadcast_id = :broadcast AND message.state = 'pending' AND message.next_at <= :now"
    "{more} ORDER BY message.next_at, message.id LIMIT :limit"
)
_DUE_COLUMNS = 9
_KNOWN = " AND reached.at IS NOT NULL"


def due(broadcast_id: int, limit: int, portfolio: str, room: int | None, now: int) -> list[Due]:
    """Messages of a broadcast that may leave now.

    `room` is how many people may be reached who were not in the last 24 h, None for any number.
    """
    values = {"portfolio": portfolio, "since": now - DAY, "broadcast": broadcast_id, "now": now}
    rows = _within(room, _found(_KNOWN if room == 0 else "", values, limit), now)
    if room and len(rows) < limit:
        # The allowance ended among these: people who cost nothing may stand further behind.
        taken = {row.message.id for row in rows}
        more = _found(_KNOWN, values, limit)
        rows += _within(0, [row for row in more if row[0] not in taken], now)[: limit - len(rows)]
    return rows


def _found(more: str, values: dict[str, Any], limit: int) -> list[list[Any]]:
    sql = _DUE.replace("{more}", more)
    return database.fetch_named_at_once(sql, {**values, "limit": limit}, _DUE_COLUMNS)


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


def rows(ids: Sequence[int]) -> list[Message]:
    """These messages, in no order."""
    return [row for part in database.parts(ids, 1000) for row in Message.select().where(Message.id.in_(part))]


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
            fn.AVG(Message.sent_at - Message.claimed_at).cast("double precision"),
            fn.AVG(Message.delivered_at - Message.sent_at).cast("double precision"),
        )
        .where(Message.broadcast_id.in_(list(broadcast_ids)) & (Message.sent_at >= since))
        # By its place: with a bound number the expression would be another one.
        .group_by(SQL("1"))
        .order_by(SQL("1"))
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
