"""Suppressions: people who want no marketing messages. One row a person, whatever they are called."""

from collections.abc import Iterable
from typing import NamedTuple

from broadcaster.store import database, people
from broadcaster.store.models import Suppression


class Listed(NamedTuple):
    """An opt-out with everything its person is called."""

    facts: Suppression
    names: list[str]


def add(names: Iterable[str], reason: str, source: str, now: int, at: int | None = None) -> list[str]:
    """Suppress the people behind these names; returns the names of those who were not before.

    `at` is when they said so (epoch milliseconds), now if nobody told. The newest word stays on record.
    """
    database.lock_name("suppressions")
    wanted = list(dict.fromkeys(names))
    people.add_new(wanted, now)
    known = people.who(wanted)
    new: dict[int, str] = {}
    for name in wanted:
        if not known[name].is_suppressed:
            new.setdefault(known[name].contact_id, name)
    database.change_rows(
        "INSERT INTO suppression (contact_id, recipient, reason, source, created_at)"
        " SELECT v.contact_id, contact.recipient, v.reason, v.source, v.created_at FROM v"
        " JOIN contact ON contact.id = v.contact_id WHERE 1 = 1"
        # How we first knew stays; the time moves on, for a consent counts only if it is newer.
        " ON CONFLICT (contact_id) DO UPDATE SET created_at = excluded.created_at"
        " WHERE excluded.created_at > suppression.created_at",
        ("contact_id", "reason", "source", "created_at"),
        [
            (contact_id, reason, source, now if at is None else at)
            for contact_id in sorted({person.contact_id for person in known.values()})
        ],
    )
    return list(new.values())


def remove(names: Iterable[str]) -> list[str]:
    """Lift it for the people behind these names; returns those for whom it stood, by the name on the list.

    What stands on the list can be lifted by the very text it stands there with, a person's name or not.
    """
    lifted = [row for row in map(find, dict.fromkeys(names)) if row is not None]
    ids = [row.contact_id for row in lifted]
    Suppression.delete().where(Suppression.contact_id.in_(ids)).execute()
    return list(dict.fromkeys(row.recipient for row in lifted))


def find(name: str) -> Suppression | None:
    """The opt-out of the person behind a name."""
    contact_id = people.one(name)
    if contact_id is not None:
        found: Suppression | None = Suppression.get_or_none(Suppression.contact_id == contact_id)
        return found
    return Suppression.get_or_none(Suppression.recipient == name)


def page(after: str, limit: int) -> list[Suppression]:
    """Suppressions after a person, in the order of their numbers."""
    query = Suppression.select().where(Suppression.recipient > after)
    return list(query.order_by(Suppression.recipient).limit(limit))


def listed(after: str, limit: int) -> list[Listed]:
    """The same, each with all names of its person."""
    rows = page(after, limit)
    names = people.names_of([row.contact_id for row in rows])
    return [Listed(row, names[row.contact_id]) for row in rows]


def of_contact(contact_id: int) -> Suppression | None:
    """The opt-out of a contact."""
    return Suppression.get_or_none(Suppression.contact_id == contact_id)
