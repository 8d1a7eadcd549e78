"""Contacts: the people ever written to, one row a number or business-scoped user id."""

from collections.abc import Iterable

from broadcaster.store import database
from broadcaster.store.models import Contact

PREFIX = "ct_"
"""Keeps a conversation's id from being taken for a contact's."""
_AT_ONCE = 5000


def public_id(contact_id: int) -> str:
    return f"{PREFIX}{contact_id}"


def add_new(recipients: Iterable[str], now: int) -> None:
    """A contact for each of these who has none yet."""
    rows = [(recipient, now) for recipient in dict.fromkeys(recipients)]
    database.insert_rows(Contact, ("recipient", "created_at"), rows, "ON CONFLICT (recipient) DO NOTHING")


def recipients(public_ids: Iterable[str]) -> dict[str, str]:
    """The number or user id of each known contact."""
    wanted = database.numbers(public_ids, PREFIX)
    found: dict[str, str] = {}
    for part in database.parts(list(wanted), _AT_ONCE):
        query = Contact.select(Contact.id, Contact.recipient).where(Contact.id.in_(part))
        found |= {wanted[row_id]: recipient for row_id, recipient in database.tuples(query)}
    return found


def find(reference: str) -> Contact | None:
    """A contact by the id callers know."""
    for number in database.numbers([reference], PREFIX):
        return Contact.get_or_none(Contact.id == number)
    return None


def of(recipient: str) -> Contact | None:
    return Contact.get_or_none(Contact.recipient == recipient)


def note_wa_ids(pairs: Iterable[tuple[str, str]]) -> None:
    """What Meta calls these people, where it differs from what we do: (recipient, wa_id)."""
    for recipient, wa_id in pairs:
        Contact.update(wa_id=wa_id).where(Contact.recipient == recipient).execute()


def also_known_as(person: str) -> list[str]:
    """Every name of this person's, the given one first: Meta's for whom we call so, and ours for whom
    Meta calls so."""
    known = Contact.select(Contact.wa_id).where((Contact.recipient == person) & Contact.wa_id.is_null(False))
    theirs = [person, *(wa_id for (wa_id,) in database.tuples(known))]
    ours = Contact.select(Contact.recipient).where(Contact.wa_id.in_(theirs))
    return list(dict.fromkeys([*theirs, *(recipient for (recipient,) in database.tuples(ours))]))


def note_names(names: dict[str, str]) -> None:
    """What people call themselves, by number or user id."""
    for person, name in names.items():
        for recipient in also_known_as(person):
            Contact.update(name=name).where(Contact.recipient == recipient).execute()


def page(recipient: str | None, after: int, limit: int) -> list[Contact]:
    """Contacts after an id, in the order they came; only that person's if given."""
    query = Contact.select().where(Contact.id > after)
    if recipient is not None:
        query = query.where(Contact.recipient == recipient)
    return list(query.order_by(Contact.id).limit(limit))
