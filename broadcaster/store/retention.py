"""Retention: erases the numbers and texts of people; the counters stay."""

from collections.abc import Sequence
from typing import Any

from peewee import fn

from broadcaster.store import counters, database, messages
from broadcaster.store.models import (
    Broadcast,
    Callback,
    Contact,
    ContactName,
    Conversation,
    EarlyReceipt,
    Event,
    EventDelivery,
    Message,
    Reached,
    Suppression,
)

ERASED = "ERASED"
"""The code of what was cancelled because its person is to be forgotten."""
_NOTHING = {"recipient": "", "content": "", "variables": None, "metadata": None, "error_text": None}


def overdue(ended_before: int) -> list[int]:
    """Broadcasts that ended before a time and still name people."""
    named = fn.EXISTS(
        Message.select(1).where((Message.broadcast_id == Broadcast.id) & (Message.recipient != ""))
    )
    query = Broadcast.select(Broadcast.id).where((Broadcast.finished_at < ended_before) & named)
    return [row_id for (row_id,) in database.tuples(query.order_by(Broadcast.id))]


def forget_people_of(broadcast_id: int) -> int:
    """Erase recipients and contents of a broadcast's messages; returns how many messages."""
    with database.transaction():
        return _blank((Message.broadcast_id == broadcast_id) & (Message.recipient != ""))


def _blank(which: Any) -> int:
    # Meta's ids hold the number, too; one that is sent must have some.
    wamid = fn.IIF(Message.wamid.is_null(), None, "")
    return database.change(Message.update(**_NOTHING, wamid=wamid).where(which))


def idle_contacts(before: int, limit: int) -> list[int]:
    """Contacts nobody wrote to since a time, for whom nothing waits, and who have not opted out."""
    written = fn.EXISTS(
        Conversation.select(1).where(
            (Conversation.contact_id == Contact.id) & (Conversation.last_sent_at >= before)
        )
    )
    waiting = (
        Message.select(ContactName.contact_id)
        .join(ContactName, on=(ContactName.name == Message.recipient))
        .where(Message.state.in_(counters.OPEN))
    )
    query = Contact.select(Contact.id).where(
        (Contact.created_at < before) & ~written & ~_is_kept() & Contact.id.not_in(waiting)
    )
    return [row_id for (row_id,) in database.tuples(query.limit(limit))]


def _is_kept() -> Any:
    """A condition: the contact has opted out, or counts for the allowance."""
    suppressed = Suppression.select(1).where(Suppression.contact_id == Contact.id)
    reached = Reached.select(1).where(Reached.contact_id == Contact.id)
    return fn.EXISTS(suppressed) | fn.EXISTS(reached)


def forget_contacts(ids: Sequence[int]) -> None:
    """Remove these people, their names and their conversations."""
    with database.transaction():
        Conversation.delete().where(Conversation.contact_id.in_(ids)).execute()
        ContactName.delete().where(ContactName.contact_id.in_(ids)).execute()
        Contact.delete().where(Contact.id.in_(ids)).execute()


def forget_erased(limit: int) -> int:
    """Drop the bare rows of erased people for whom neither opt-out nor allowance stands any more."""
    query = Contact.select(Contact.id).where(Contact.erased_at.is_null(False) & ~_is_kept())
    ids = [row_id for (row_id,) in database.tuples(query.limit(limit))]
    forget_contacts(ids)
    return len(ids)


def forget_reached(before: int) -> int:
    """Forget who was reached before a time. The allowance looks back one day."""
    with database.transaction():
        return database.change(Reached.delete().where(Reached.at < before))


def cancel(names: Sequence[str], now: int) -> tuple[int, set[int]]:
    """pending -> cancelled (ERASED), all messages to a person; returns how many, and of which broadcasts."""
    query = _to(names, Message.broadcast_id, Message.state == "pending")
    ids = {row_id for (row_id,) in database.tuples(query)}
    return messages.withdraw(names, ERASED, "the person was erased", now), ids


def erase(names: Sequence[str], contact_id: int | None, now: int) -> dict[str, int]:
    """Remove every trace of a person whose messages have all come to an end; returns how many of each.

    A bare row stays for whoever has opted out, or counts for the allowance today.
    """
    with database.transaction():
        ids = _values(_to(names, Message.id, Message.state.not_in(counters.OPEN)))
        wamids = _values(_to(names, Message.wamid, Message.wamid.is_null(False)))
        found = {
            "callbacks": sum(_drop(Callback, Callback.body, one) for one in _traces(names)),
            "events": sum(_drop_events(one) for one in _traces(names)),
            "contacts": 0 if contact_id is None else _forget_contact(contact_id, now),
            "messages": sum(_blank(Message.id.in_(part)) for part in database.parts(ids)),
        }
        for part in database.parts(wamids):
            EarlyReceipt.delete().where(EarlyReceipt.wamid.in_(part)).execute()
    return found


def _values(query: Any) -> list[Any]:
    return [value for (value,) in database.tuples(query)]


def _forget_contact(contact_id: int, now: int) -> int:
    """Erase one person; returns 1 if anything of them was known, else 0."""
    known = Contact.get_or_none((Contact.id == contact_id) & Contact.erased_at.is_null())
    Conversation.delete().where(Conversation.contact_id == contact_id).execute()
    if Contact.select(1).where((Contact.id == contact_id) & _is_kept()).exists():
        Contact.update(name=None, erased_at=now).where(Contact.id == contact_id).execute()
    else:
        forget_contacts([contact_id])
    return int(known is not None)


def on_their_way(names: Sequence[str]) -> int:
    """How many messages to a person have not come to an end."""
    return int(_to(names, Message.id, Message.state.in_(counters.OPEN)).count())


def _to(names: Sequence[str], column: Any, which: Any) -> Any:
    return Message.select(column).where(Message.recipient.in_(list(names)) & which)


def _traces(names: Sequence[str]) -> list[str]:
    """How a person stands in what Meta sent: numbers without their +."""
    return [name.removeprefix("+") for name in names]


def _drop(model: Any, column: Any, trace: str) -> int:
    return database.change(model.delete().where(column.contains(trace)))


def _drop_events(trace: str) -> int:
    told = Event.select(Event.id).where(Event.data.contains(trace))
    EventDelivery.delete().where(EventDelivery.event_id.in_(told)).execute()
    return _drop(Event, Event.data, trace)
