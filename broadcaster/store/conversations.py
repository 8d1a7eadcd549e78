"""Conversations: a channel and a contact between whom a message went, and whom they are assigned to."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from broadcaster.store import database, people
from broadcaster.store.models import Broadcast, Channel, Contact, ContactName, Conversation

PREFIX = people.CONVERSATION_PREFIX


class SentMessage(NamedTuple):
    """A message that Meta took over."""

    channel_id: int
    recipient: str
    at: int
    broadcast_id: int
    message_id: int


class Assigned(NamedTuple):
    """A conversation that a broadcast's message assigned."""

    conversation_id: int
    contact_id: int
    broadcast: Broadcast
    recipient: str
    message_id: int


def public_id(conversation_id: int) -> str:
    return f"{PREFIX}{conversation_id}"


def note_sent(rows: Sequence[SentMessage], now: int) -> list[Assigned]:
    """Each of these has a conversation from here on, assigned as its broadcast asked; returns those
    that were assigned."""
    if not rows:
        return []
    database.change_rows(
        # Two names of one person may stand in one batch: one row for each, or the upsert meets itself.
        "INSERT INTO conversation (contact_id, channel_id, created_at, last_sent_at, last_message_id)"
        " SELECT contact_name.contact_id, v.channel_id, MIN(v.at), MAX(v.at), MAX(v.message_id) FROM v"
        " JOIN contact_name ON contact_name.name = v.recipient WHERE 1 = 1"
        " GROUP BY contact_name.contact_id, v.channel_id ORDER BY 1, 2"
        " ON CONFLICT (contact_id, channel_id) DO UPDATE SET last_sent_at = excluded.last_sent_at,"
        " last_message_id = excluded.last_message_id",
        ("channel_id", "recipient", "at", "message_id"),
        [(row.channel_id, row.recipient, row.at, row.message_id) for row in rows],
    )
    return [
        assigned
        for broadcast in _with_action({row.broadcast_id for row in rows})
        for assigned in _assign(broadcast, [row for row in rows if row.broadcast_id == broadcast.id], now)
    ]


def _with_action(broadcast_ids: set[int]) -> list[Broadcast]:
    asked = Broadcast.id.in_(broadcast_ids) & Broadcast.action_key.is_null(False)
    return list(Broadcast.select().where(asked))


def _assign(broadcast: Broadcast, rows: list[SentMessage], now: int) -> list[Assigned]:
    """Assign the conversations of these messages as their broadcast asks."""
    mine = (
        Conversation.select(ContactName.name, Conversation.id, Conversation.contact_id)
        .join(ContactName, on=(ContactName.contact_id == Conversation.contact_id))
        .where(
            (Conversation.channel_id == broadcast.channel_id)
            & ContactName.name.in_([row.recipient for row in rows])
        )
    )
    ids = {recipient: (conversation, person) for recipient, conversation, person in database.tuples(mine)}
    Conversation.update(
        assigned_key=broadcast.action_key, assigned_to=broadcast.action_value, assigned_at=now
    ).where(Conversation.id.in_([conversation for conversation, _ in ids.values()])).execute()
    return [
        Assigned(*ids[row.recipient], broadcast, row.recipient, row.message_id)
        for row in rows
        if row.recipient in ids
    ]


def sides(public_ids: Iterable[str]) -> dict[str, tuple[int, str]]:
    """The channel and the person of each known conversation."""
    return people.by_public_id(public_ids, PREFIX, _sides)


def _sides(conversation_ids: Sequence[int]) -> dict[int, tuple[int, str]]:
    query = (
        Conversation.select(Conversation.id, Conversation.channel_id, Contact.recipient)
        .join(Contact, on=(Contact.id == Conversation.contact_id))
        .where(Conversation.id.in_(conversation_ids))
    )
    return {row_id: (channel, person) for row_id, channel, person in database.tuples(query)}


class Listed(NamedTuple):
    """A conversation with the words callers know its sides by."""

    facts: Conversation
    recipient: str
    phone_number_id: str


def page(filters: dict[str, Any], after: int, limit: int) -> list[Listed]:
    """Conversations after an id, by `assigned_to` and `contact_id` where given."""
    query = Conversation.select().where(Conversation.id > after)
    for column, value in filters.items():
        query = query.where(getattr(Conversation, column) == value)
    rows = list(query.order_by(Conversation.id).limit(limit))
    people_of = _names(Contact, "recipient", {row.contact_id for row in rows})
    numbers = _names(Channel, "phone_number_id", {row.channel_id for row in rows})
    return [Listed(row, people_of[row.contact_id], numbers[row.channel_id]) for row in rows]


def _names(model: Any, column: str, ids: set[int]) -> dict[int, str]:
    return dict(database.tuples(model.select(model.id, getattr(model, column)).where(model.id.in_(ids))))
