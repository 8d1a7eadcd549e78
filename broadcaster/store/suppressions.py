"""Suppressions: people who want no marketing messages."""

from collections.abc import Iterable, Sequence

from broadcaster.store import contacts, database
from broadcaster.store.models import Suppression

_AT_ONCE = 5000


def add(people: Iterable[str], reason: str, source: str, now: int) -> list[str]:
    """Suppress these and whatever else we call them; returns those who were not before."""
    names = list(dict.fromkeys(name for person in people for name in contacts.also_known_as(person)))
    new = sorted(set(names) - among(names))
    rows = [(name, reason, source, now) for name in new]
    database.insert_rows(
        Suppression,
        ("recipient", "reason", "source", "created_at"),
        rows,
        "ON CONFLICT (recipient) DO NOTHING",
    )
    return new


def remove(people: Iterable[str]) -> list[str]:
    """Lift it for these and whatever else we call them; returns those for whom it stood."""
    names = [name for person in people for name in contacts.also_known_as(person)]
    lifted = sorted(among(names))
    Suppression.delete().where(Suppression.recipient.in_(lifted)).execute()
    return lifted


def among(recipients: Sequence[str]) -> set[str]:
    """Which of these are suppressed."""
    found: set[str] = set()
    for part in database.parts(recipients, _AT_ONCE):
        query = Suppression.select(Suppression.recipient).where(Suppression.recipient.in_(part))
        found |= {recipient for (recipient,) in database.tuples(query)}
    return found


def find(recipient: str) -> Suppression | None:
    return Suppression.get_or_none(Suppression.recipient == recipient)


def page(after: str, limit: int) -> list[Suppression]:
    """Suppressions after a person, in the order of their numbers."""
    query = Suppression.select().where(Suppression.recipient > after)
    return list(query.order_by(Suppression.recipient).limit(limit))
