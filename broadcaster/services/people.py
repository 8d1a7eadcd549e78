"""People: whom an entry of a request means by a number, a user id, a contact or a conversation."""

from broadcaster.domain import phone
from broadcaster.errors import Faults, Kind
from broadcaster.services.specs import Names, Recipient
from broadcaster.store import contacts, conversations
from broadcaster.store.models import Channel


class People:
    """The people of one request; contacts and conversations are looked up all at once."""

    def __init__(self, recipients: list[Recipient], channel: Channel | None, names: Names):
        self._channel = channel
        self._names = names
        self._contacts = contacts.recipients(r.contact for r in recipients if r.contact is not None)
        self._conversations = conversations.sides(
            r.conversation for r in recipients if r.conversation is not None
        )

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
        try:
            return phone.recipient(given)
        except ValueError as error:
            faults.add(at, str(error))
            return None

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
