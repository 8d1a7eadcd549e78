"""The door for opt-outs: who wants no marketing messages, and that others are told of it."""

from collections.abc import Iterable

from broadcaster import phone
from broadcaster.store import database, event, suppression


def suppress(people: Iterable[str], reason: str, source: str, now: int) -> list[str]:
    """No marketing to these (numbers as E.164, or user ids) from here on; returns who is new."""
    with database.transaction():
        new = suppression.add(people, reason, source, now)
        _tell(new, True, reason, now)
    return new


def lift(person: str, reason: str, now: int) -> list[str]:
    """Marketing may go to this person again; returns for whom that changes something."""
    try:
        person = phone.recipient(person)
    except ValueError:
        return []
    with database.transaction():
        lifted = suppression.remove([person])
        _tell(lifted, False, reason, now)
    return lifted


def _tell(people: list[str], suppressed: bool, reason: str, now: int) -> None:
    told = [{"to": person, "suppressed": suppressed, "reason": reason} for person in people]
    event.add("optout.changed", told, now)
