"""The contact book: what is known of one person."""

from operator import attrgetter
from typing import NamedTuple

from broadcaster.domain import phone
from broadcaster.errors import NotFound
from broadcaster.store import broadcasts, contacts, conversations, message_queries, people, suppressions
from broadcaster.store.models import Contact, Message, Suppression

_MOST_CONVERSATIONS = 1000


class Known(NamedTuple):
    """A person with every name, the opt-out, the conversations, and the last message of each."""

    contact: Contact
    names: list[str]
    suppression: Suppression | None
    conversations: list[conversations.Listed]
    last_messages: list[tuple[Message, str]]
    """Each with its broadcast's public id."""


def all_names(text: str, country: str | None) -> list[str]:
    """Every name of the person whom a text means as a number or user id; none where it means nobody.

    `country` (ISO code) is where national numbers are from.
    """
    try:
        return people.all_names(phone.recipient(text, country))
    except ValueError:
        return []


def known(public_id: str) -> Known:
    """What is known of a contact; raises NotFound."""
    row = contacts.find(public_id)
    if row is None:
        raise NotFound(f'there is no contact "{public_id[:60]}"')
    listed = conversations.page({"contact_id": row.id}, 0, _MOST_CONVERSATIONS)
    last_ids = [one.facts.last_message_id for one in listed if one.facts.last_message_id is not None]
    last = sorted(message_queries.rows(last_ids), key=attrgetter("id"), reverse=True)
    ids = {one.id: one.public_id for one in broadcasts.rows({one.broadcast_id for one in last})}
    return Known(
        row,
        people.names_of([row.id])[row.id],
        suppressions.of_contact(row.id),
        listed,
        [(one, ids[one.broadcast_id]) for one in last],
    )
