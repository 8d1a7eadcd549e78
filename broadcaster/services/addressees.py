"""Addressees: whom an entry of a request means by a number, a user id, a contact or a conversation."""

from collections.abc import Iterable

from broadcaster.domain import phone
from broadcaster.errors import Faults, Kind
from broadcaster.services.specs import Names, Recipient
from broadcaster.store import contacts, conversations, people
from broadcaster.store.models import Channel


class Addressees:
    """The people of one request; all that is known of them is looked up at once."""

    def __init__(
        self, recipients: list[Recipient], channel: Channel | None, names: Names, country: str | None = None
    ):
        """`country` (ISO code) is where national numbers are from; without it they are refused."""
        self._channel = channel
        self._names = names
        self._contacts = contacts.recipients(r.contact for r in recipients if r.contact is not None)
        self._conversations = conversations.sides(
            r.conversation for r in recipients if r.conversation is not None
        )
        self._numbers = _read({r.to for r in recipients if r.to is not None}, country)
        self._spellings = {name: phone.spellings(name) for name in self._all()}
        self._known = people.who({one for some in self._spellings.values() for one in some})

    def _all(self) -> Iterable[str]:
        yield from (read for read in self._numbers.values() if isinstance(read, str))
        yield from self._contacts.values()
        yield from (name for _, name in self._conversations.values())

    def named_by(self, recipient: Recipient) -> tuple[str, str | None]:
        """The field that names the person, and what it says."""
        if recipient.contact is not None:
            return self._names.contact, recipient.contact
        if recipient.conversation is not None:
            return self._names.conversation, recipient.conversation
        return self._names.to, recipient.to

    def find(self, recipient: Recipient, given: str, at: str, faults: Faults) -> str | None:
        """The number or user id behind whatever names the person; None and a fault if there is none."""
        if recipient.contact is not None:
            return self._of_contact(given, at, faults)
        if recipient.conversation is not None:
            return self._of_conversation(given, at, faults)
        read = self._numbers[given]
        if isinstance(read, ValueError):
            faults.add(at, str(read))
            return None
        return read

    def person(self, name: str) -> int | str:
        """What tells people apart, whatever spelling an entry has: equal for one person."""
        for spelling in self._spellings[name]:
            known = self._known.get(spelling)
            if known is not None:
                return known.contact_id
        return min(self._spellings[name])

    def is_suppressed(self, name: str) -> bool:
        """Whether the person wants no marketing messages."""
        return any(
            self._known[spelling].is_suppressed
            for spelling in self._spellings.get(name, ())
            if spelling in self._known
        )

    def _of_contact(self, given: str, at: str, faults: Faults) -> str | None:
        to = self._contacts.get(given)
        if to is None:
            faults.add(at, f'there is no contact "{given[:40]}"', Kind.PERSON_UNKNOWN)
        return to

    def _of_conversation(self, given: str, at: str, faults: Faults) -> str | None:
        channel_id, to = self._conversations.get(given, (None, None))
        if to is None:
            faults.add(at, f'there is no conversation "{given[:40]}"', Kind.PERSON_UNKNOWN)
        elif self._channel and channel_id != self._channel.id:
            faults.add(at, f'the conversation "{given[:40]}" is with another channel', Kind.PERSON_UNKNOWN)
        return to


def _read(texts: Iterable[str], country: str | None) -> dict[str, str | ValueError]:
    """What each text means, or why it means nobody."""
    found: dict[str, str | ValueError] = {}
    for text in texts:
        try:
            found[text] = phone.recipient(text, country)
        except ValueError as error:
            found[text] = error
    return found
