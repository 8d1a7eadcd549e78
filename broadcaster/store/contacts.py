"""Contacts: the people ever written to or heard of, one row a person. Their names are `people`'s."""

from collections.abc import Iterable, Sequence
from typing import Any

from broadcaster.store import database, people
from broadcaster.store.models import Contact

PREFIX = people.CONTACT_PREFIX
"""Keeps a conversation's id from being taken for a contact's."""


def public_id(contact_id: int) -> str:
    return f"{PREFIX}{contact_id}"


def recipients(public_ids: Iterable[str]) -> dict[str, str]:
    """The number or user id each known contact is written to."""

    def read(contact_ids: Sequence[int]) -> dict[int, str]:
        return dict(database.tuples(_standing(contact_ids).select(Contact.id, Contact.recipient)))

    return people.by_public_id(public_ids, PREFIX, read)


def find(reference: str) -> Contact | None:
    """A contact by the id callers know, or knew before it was merged."""
    found = people.by_public_id([reference], PREFIX, lambda ids: {row.id: row for row in _standing(ids)})
    return found.get(reference)


def _standing(contact_ids: Sequence[int]) -> Any:
    """A query: those of these contacts that are not erased."""
    return Contact.select().where(Contact.id.in_(contact_ids) & Contact.erased_at.is_null())


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
