"""Retention: erases the numbers and texts of people; the counters stay."""

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any

from peewee import Case, fn

from broadcaster.store import broadcasts, counters, database
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
_CHANGED_AT_ONCE = 2000
"""Rows changed in one transaction, which takes some hundredths of a second."""
_READ_AT_ONCE = 20_000
_UNPACKED_AT_ONCE = 1000
_NOTHING = {"recipient": "", "content": "", "variables": None, "metadata": None, "error_text": None}


def overdue(ended_before: int) -> list[int]:
    """Broadcasts that ended before a time and are not forgotten."""
    query = Broadcast.select(Broadcast.id).where(
        (Broadcast.finished_at < ended_before) & Broadcast.forgotten_at.is_null()
    )
    return [row_id for (row_id,) in database.tuples(query.order_by(Broadcast.id))]


def forget_people_of(broadcast_ids: Iterable[int], now: int) -> int:
    """Erase recipients and contents of these broadcasts' messages, some at a time so that nobody waits;
    returns how many messages."""
    found: list[int] = []
    over: list[int] = []
    count = 0
    for broadcast_id in broadcast_ids:
        after = 0
        while ids := _naming(broadcast_id, after, _CHANGED_AT_ONCE - len(found)):
            after = ids[-1]
            found += ids
            if len(found) >= _CHANGED_AT_ONCE:
                count += _forget(found, over, now)
                found, over = [], []
        over.append(broadcast_id)
        if len(over) >= _CHANGED_AT_ONCE:
            count += _forget(found, over, now)
            found, over = [], []
    return count + _forget(found, over, now)


def _naming(broadcast_id: int, after: int, limit: int) -> list[int]:
    """Messages of a broadcast after an id that still name somebody."""
    mine = (Message.broadcast_id == broadcast_id) & (Message.id > after) & (Message.recipient != "")
    return _values(Message.select(Message.id).where(mine).order_by(Message.id).limit(limit))


def _forget(message_ids: list[int], broadcast_ids: list[int], now: int) -> int:
    with database.transaction():
        count = _blank(Message.id.in_(message_ids)) if message_ids else 0
        if broadcast_ids:
            # One that was opened again meanwhile is forgotten another time.
            ended = Broadcast.id.in_(broadcast_ids) & Broadcast.finished_at.is_null(False)
            Broadcast.update(forgotten_at=now).where(ended).execute()
    return count


def _blank(which: Any) -> int:
    # Meta's ids hold the number, too; one that is sent must have some.
    wamid = Case(None, [(Message.wamid.is_null(False), "")])
    return database.change(Message.update(**_NOTHING, wamid=wamid).where(which))


def forget_idle_contacts(before: int) -> int:
    """Remove contacts nobody wrote to since a time, whom no broadcast that goes on is for, and who have not
    opted out; some at a time, so that nobody waits. Returns how many."""
    unfinished = set(broadcasts.unfinished())
    needed = _contacts_of(unfinished)
    newest = database.number(Contact.select(fn.MAX(Contact.id))) or 0
    count = 0
    for start in range(0, newest, _CHANGED_AT_ONCE):
        with database.transaction():
            begun = set(broadcasts.unfinished()) - unfinished
            unfinished |= begun
            needed |= _contacts_of(begun)
            idle = set(_idle(before, start, start + _CHANGED_AT_ONCE)) - needed
            forget_contacts(sorted(idle))
        count += len(idle)
    return count


def _contacts_of(broadcast_ids: Iterable[int]) -> set[int]:
    """Whom these broadcasts are for."""
    found: set[int] = set()
    for part in database.parts(sorted(broadcast_ids), 100):
        query = (
            Message.select(ContactName.contact_id)
            .join(ContactName, on=(ContactName.name == Message.recipient))
            .where(Message.broadcast_id.in_(part))
        )
        found |= {contact_id for (contact_id,) in database.fetch_at_once(query)}
    return found


def _idle(before: int, after: int, last: int) -> list[int]:
    """Contacts in a range of ids nobody wrote to since a time and whom nothing keeps."""
    written = fn.EXISTS(
        Conversation.select(1).where(
            (Conversation.contact_id == Contact.id) & (Conversation.last_sent_at >= before)
        )
    )
    here = (Contact.id > after) & (Contact.id <= last)
    query = Contact.select(Contact.id).where(here & (Contact.created_at < before) & ~written & ~_is_kept())
    return _values(query)


def _is_kept() -> Any:
    """A condition: the contact has opted out, or counts for the allowance."""
    suppressed = Suppression.select(1).where(Suppression.contact_id == Contact.id)
    reached = Reached.select(1).where(Reached.contact_id == Contact.id)
    return fn.EXISTS(suppressed) | fn.EXISTS(reached)


def forget_contacts(ids: Sequence[int]) -> None:
    """Remove these people, their names and their conversations."""
    if not ids:
        return
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
    gone = 0
    for (portfolio,) in database.tuples(Reached.select(Reached.portfolio).distinct()):
        gone += database.delete_in_portions(
            Reached, (Reached.portfolio == portfolio) & (Reached.at < before), _CHANGED_AT_ONCE
        )
    return gone


def waiting_for(names: Sequence[str]) -> list[tuple[int, int]]:
    """The messages to a person that have not left, each with its broadcast."""
    query = Message.select(Message.id, Message.broadcast_id)
    mine = Message.recipient.in_(list(names)) & (Message.state == "pending")
    return [(row_id, broadcast_id) for row_id, broadcast_id in database.tuples(query.where(mine))]


def erase(names: Sequence[str], contact_id: int | None, now: int) -> dict[str, int]:
    """Remove every trace of a person whose messages have all come to an end; returns how many of each.

    Looks through everything a part at a time, and changes a little at a time, so that nobody waits. A bare
    row stays for whoever has opted out, or counts for the allowance today.
    """
    traces = [name.removeprefix("+") for name in names]
    named = reduce(or_, (Event.data.contains(trace) for trace in traces))
    found = {
        "callbacks": sum(_drop_callbacks(ids) for ids in _search_callbacks(traces)),
        "events": sum(_drop_events(ids) for ids in _search(Event, named)),
        "contacts": 0 if contact_id is None else _forget_contact(contact_id, now),
        "messages": 0,
    }
    ended = Message.recipient.in_(list(names)) & Message.state.not_in(counters.OPEN)
    for ids in _search(Message, ended):
        with database.transaction():
            _drop_early_receipts(ids)
            found["messages"] += _blank(Message.id.in_(ids) & ended)
    return found


def _search(model: Any, wanted: Any) -> Iterator[list[int]]:
    """The ids of the rows that are wanted, some at a time; outside of any transaction."""
    newest = database.number(model.select(fn.MAX(model.id))) or 0
    for start in range(0, newest, _READ_AT_ONCE):
        here = (model.id > start) & (model.id <= start + _READ_AT_ONCE)
        yield from map(list, database.parts(_values(model.select(model.id).where(here & wanted)), 1000))


def _search_callbacks(traces: Sequence[str]) -> Iterator[list[int]]:
    """The same for callbacks that name a person as Meta does; they are packed, so that we look ourselves."""
    after = 0
    query = Callback.select(Callback.id, Callback.body).order_by(Callback.id).limit(_UNPACKED_AT_ONCE)
    while rows := database.tuples(query.where(Callback.id > after)):
        after = rows[-1][0]
        found = [row_id for row_id, body in rows if any(trace in body for trace in traces)]
        if found:
            yield found


def _drop_callbacks(ids: list[int]) -> int:
    with database.transaction():
        return database.change(Callback.delete().where(Callback.id.in_(ids)))


def _drop_events(ids: list[int]) -> int:
    with database.transaction():
        EventDelivery.delete().where(EventDelivery.event_id.in_(ids)).execute()
        return database.change(Event.delete().where(Event.id.in_(ids)))


def _drop_early_receipts(message_ids: list[int]) -> None:
    known = Message.select(Message.wamid).where(Message.id.in_(message_ids) & Message.wamid.is_null(False))
    EarlyReceipt.delete().where(EarlyReceipt.wamid.in_(known)).execute()


def _values(query: Any) -> list[Any]:
    return [value for (value,) in database.tuples(query)]


def _forget_contact(contact_id: int, now: int) -> int:
    """Erase one person; returns 1 if anything of them was known, else 0."""
    with database.transaction():
        known = Contact.get_or_none((Contact.id == contact_id) & Contact.erased_at.is_null())
        Conversation.delete().where(Conversation.contact_id == contact_id).execute()
        if Contact.select(1).where((Contact.id == contact_id) & _is_kept()).exists():
            Contact.update(name=None, erased_at=now).where(Contact.id == contact_id).execute()
        else:
            forget_contacts([contact_id])
        return int(known is not None)


def on_their_way(names: Sequence[str]) -> int:
    """How many messages to a person have not come to an end."""
    unfinished = Broadcast.select(Broadcast.id).where(Broadcast.finished_at.is_null())
    query = Message.select(Message.id).where(
        Message.broadcast_id.in_(unfinished)
        & Message.state.in_(counters.OPEN)
        & Message.recipient.in_(list(names))
    )
    return int(query.count())
