"""Opt-outs: who takes no marketing messages. Each change tells its event."""

from collections.abc import Iterable, Sequence
from contextlib import suppress as suppress_errors

from broadcaster.domain import phone
from broadcaster.settlement import event_documents
from broadcaster.settlement.event_documents import OptOutDocument
from broadcaster.store import database, suppressions


def suppress(
    people: Iterable[str], reason: str, source: str, now: int, said_at: int | None = None
) -> list[str]:
    """No marketing to these (numbers as E.164, or user ids) from here on; returns who is new.

    `said_at` is when they said so, in Meta's time (epoch milliseconds).
    """
    with database.transaction():
        new = suppressions.add(people, reason, source, now, said_at)
        _tell(new, True, reason, now)
    return new


def lift(person: str, reason: str, now: int) -> list[str]:
    """Marketing may go to this person again, under any name; returns for whom that changes something."""
    with suppress_errors(ValueError):
        person = phone.recipient(person)
    with database.transaction():
        lifted = suppressions.remove([person])
        _tell(lifted, False, reason, now)
    return lifted


def _tell(people: Sequence[str], suppressed: bool, reason: str, now: int) -> None:
    documents: list[OptOutDocument] = [
        {"to": person, "suppressed": suppressed, "reason": reason} for person in people
    ]
    event_documents.tell(event_documents.OPTOUT_CHANGED, documents, now)
