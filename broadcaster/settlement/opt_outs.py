"""Opt-outs: who takes no marketing messages. Each change tells its event."""

from collections.abc import Iterable, Sequence
from contextlib import suppress as no_matter

from broadcaster.domain import phone
from broadcaster.settlement import event_documents
from broadcaster.settlement.event_documents import OptOutDocument
from broadcaster.store import database, people, suppressions


def suppress(
    names: Iterable[str], reason: str, source: str, now: int, said_at: int | None = None
) -> list[str]:
    """No marketing to these (numbers as E.164, or user ids) from here on, under any of their names.

    `said_at` is when they said so (epoch milliseconds), now if nobody told. Returns who is new.
    """
    with database.transaction():
        new = suppressions.add(names, reason, source, now, said_at)
        _tell(new, True, reason, now)
    return new


def lift(person: str, reason: str, now: int, country: str | None = None) -> list[str]:
    """Marketing may go to this person again, under any name; returns for whom that changes something.

    `country` (ISO code) is where a national number is from.
    """
    with no_matter(ValueError):
        # What is no number may stand on the list all the same, and is lifted as it stands there.
        person = phone.recipient(person, country)
    with database.transaction():
        lifted = suppressions.remove([person])
        _tell(lifted, False, reason, now)
    return lifted


def heed_stop(person: str, reason: str, at: int, now: int) -> None:
    """Meta told that a person wants no marketing, at its time `at`; an older word than the last is passed
    over, and of two words in one second the stop counts."""
    with database.transaction():
        if people.note_word(people.ensure(person, now), at):
            suppress([person], reason, "callback", now, at)


def heed_consent(person: str, reason: str, at: int, now: int) -> None:
    """Meta told that a person takes marketing (again), at its time `at`.

    It lifts only what is older: a stop of the same second, or one that somebody entered since, stands.
    """
    with database.transaction():
        contact_id = people.ensure(person, now)
        if not people.note_word(contact_id, at, unless_equal=True):
            return
        standing = suppressions.of_contact(contact_id)
        if standing is not None and standing.created_at < at:
            lift(person, reason, now)


def _tell(names: Sequence[str], suppressed: bool, reason: str, now: int) -> None:
    documents: list[OptOutDocument] = [
        {"to": person, "suppressed": suppressed, "reason": reason} for person in names
    ]
    event_documents.tell(event_documents.OPTOUT_CHANGED, documents, now)
