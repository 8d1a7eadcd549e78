"""Contacts: the people ever written to or heard of, one row a person. Their names are `people`'s."""

from collections.abc import Iterable

from broadcaster.store import database, people
from broadcaster.store.models import Contact, Message

PREFIX = people.CONTACT_PREFIX
"""Keeps a conversation's id from being taken for a contact's."""
_AT_ONCE = 5000


def public_id(contact_id: int) -> str:
    return f"{PREFIX}{contact_id}"


def recipients(public_ids: Iterable[str]) -> dict[str, str]:
    """The number or user id each known contact is written to."""
    asked = list(public_ids)
    now = people.current_ids(asked)
    wanted = database.numbers((now.get(one, one) for one in asked), PREFIX)
    found: dict[str, str] = {}
    for part in database.parts(list(wanted), _AT_ONCE):
        query = Contact.select(Contact.id, Contact.recipient).where(
            Contact.id.in_(part) & Contact.erased_at.is_null()
        )
        found |= {public_id(row_id): recipient for row_id, recipient in database.tuples(query)}
    return {one: found[now.get(one, one)] for one in asked if now.get(one, one) in found}


def find(reference: str) -> Contact | None:
    """A contact by the id callers know, or knew before it was merged."""
    reference = people.current_ids([reference]).get(reference, reference)
    for number in database.numbers([reference], PREFIX):
        return Contact.get_or_none((Contact.id == number) & Contact.erased_at.is_null())
    return None


def of(name: str) -> Contact | None:
    """The contact behind a number or user id, in any spelling."""
    contact_id = people.one(name)
    return None if contact_id is None else Contact.get_by_id(contact_id)


def note_names(names: dict[str, str]) -> None:
    """What people call themselves, by number or user id."""
    for person, name in names.items():
        contact_id = people.one(person)
        if contact_id is not None:
            Contact.update(name=name).where(Contact.id == contact_id).execute()


def page(name: str | None, after: int, limit: int) -> list[Contact]:
    """Contacts after an id, in the order they came; only the person behind a name if given."""
    query = Contact.select().where((Contact.id > after) & Contact.erased_at.is_null())
    if name is not None:
        query = query.where(Contact.id == people.one(name))
    return list(query.order_by(Contact.id).limit(limit))


def last_messages(message_ids: Iterable[int]) -> list[Message]:
    """These messages, newest first."""
    query = Message.select().where(Message.id.in_(list(message_ids)))
    return list(query.order_by(Message.id.desc()))
