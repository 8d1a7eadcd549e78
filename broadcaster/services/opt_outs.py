"""The door for opt-outs: who wants no marketing messages, and that others are told of it."""

from collections.abc import Iterable

from broadcaster.domain import phone
from broadcaster.store import database, suppressions


def suppress(people: Iterable[str], reason: str, source: str, now: int) -> list[str]:
    """No marketing to these (numbers as E.164, or user ids) from here on; returns who is new."""
    with database.transaction():
        return suppressions.add(people, reason, source, now)


def lift(person: str, reason: str, now: int) -> list[str]:
    """Marketing may go to this person again; returns for whom that changes something."""
    try:
        person = phone.recipient(person)
    except ValueError:
        return []
    with database.transaction():
        return suppressions.remove([person], reason, now)
