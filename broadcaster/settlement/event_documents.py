"""The events others are told of. One declaration each: it names the type, types the document, tells the
event, and documents it in the README's table and in the API's document.

An event is stored with the change it tells of, in the caller's transaction; `worker/webhook_delivery.py`
delivers it. A new type is one EventType, listed in EVENT_TYPES.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NotRequired, TypeVar, get_args

from typing_extensions import TypedDict

from broadcaster import log
from broadcaster.domain import strict_json
from broadcaster.store import broadcasts, channels, contacts, conversations, counters, events, message_queries
from broadcaster.store.conversations import Assigned
from broadcaster.store.counters import Counts, DeliveryFigures, Stats, delivery_figures, stats
from broadcaster.store.models import Broadcast, Channel, Message

logger = log.get(__name__)


class BroadcastDocument(TypedDict):
    """A broadcast that started, was paused or finished. `reason` and `detail` say why it is paused."""

    broadcast: str
    title: str | None
    channel: str
    metadata: Any
    reason: str | None
    detail: str | None
    stats: Stats
    delivery: DeliveryFigures


class MessageError(TypedDict):
    """Meta's error code, or one of ours, and its text."""

    code: str
    message: str | None


class MessageDocument(TypedDict):
    """A message that was sent, delivered, read or failed."""

    message: int
    broadcast: str
    to: str
    wamid: str | None
    metadata: Any
    error: MessageError | None


class Assignment(TypedDict):
    """To whom a broadcast assigns the conversations it opens."""

    key: str
    value: str


class ConversationDocument(TypedDict):
    """A conversation that a broadcast's message assigned."""

    conversation: str
    contact: str
    to: str
    channel: str
    assignedTo: Assignment
    broadcast: str
    message: int


class TemplateDocument(TypedDict):
    """A template Meta changed; only what changed is there."""

    name: str
    language: str
    wabaId: str
    status: NotRequired[str]
    category: NotRequired[str]
    quality: NotRequired[str]
    detail: str | None


class ChannelDocument(TypedDict):
    """A channel Meta changed or that was paused; only what changed is there."""

    channel: str
    tier: NotRequired[str]
    throughput: NotRequired[str]
    paused: NotRequired[str]
    detail: NotRequired[str | None]


class OptOutDocument(TypedDict):
    """A person who stopped marketing messages, or takes them again."""

    to: str
    suppressed: bool
    reason: str


class TestDocument(TypedDict):
    """The event that `webhook test` sends to one webhook."""

    webhook: str


Document = TypeVar("Document")


@dataclass(frozen=True, slots=True)
class EventType(Generic[Document]):
    """A kind of event. `is_of_message` for those of single messages, which are told only on request."""

    type: str
    document: builtins.type[Document]
    summary: str
    is_of_message: bool = False


BROADCAST_STARTED = EventType(
    "broadcast.started", BroadcastDocument, "The first message of a broadcast is about to leave."
)
BROADCAST_PAUSED = EventType(
    "broadcast.paused", BroadcastDocument, "A broadcast is held, by a person, its template or its channel."
)
BROADCAST_FINISHED = EventType(
    "broadcast.finished", BroadcastDocument, "Every message of a broadcast has come to its end."
)
MESSAGE_SENT = EventType("message.sent", MessageDocument, "Meta took a message over.", is_of_message=True)
MESSAGE_DELIVERED = EventType(
    "message.delivered", MessageDocument, "A message reached a device of its person.", is_of_message=True
)
MESSAGE_READ = EventType("message.read", MessageDocument, "A person opened a message.", is_of_message=True)
MESSAGE_FAILED = EventType(
    "message.failed", MessageDocument, "A message failed, at hand-over or by receipt.", is_of_message=True
)
CONVERSATION_ASSIGNED = EventType(
    "conversation.assigned",
    ConversationDocument,
    "A message left, and its broadcast assigns the conversation.",
)
TEMPLATE_UPDATED = EventType("template.updated", TemplateDocument, "Meta changed a template.")
CHANNEL_UPDATED = EventType("channel.updated", ChannelDocument, "Meta changed a number, or it was paused.")
OPTOUT_CHANGED = EventType("optout.changed", OptOutDocument, "A person opted out of marketing, or back in.")

EVENT_TYPES: tuple[EventType[Any], ...] = (
    BROADCAST_STARTED,
    BROADCAST_PAUSED,
    BROADCAST_FINISHED,
    MESSAGE_SENT,
    MESSAGE_DELIVERED,
    MESSAGE_READ,
    MESSAGE_FAILED,
    CONVERSATION_ASSIGNED,
    TEMPLATE_UPDATED,
    CHANNEL_UPDATED,
    OPTOUT_CHANGED,
)
TYPES = tuple(kind.type for kind in EVENT_TYPES)
"""What a webhook may ask for."""
USUAL = tuple(kind.type for kind in EVENT_TYPES if not kind.is_of_message)
"""What a webhook is told of that names no types."""
WEBHOOK_TEST = EventType("webhook.test", TestDocument, "Somebody tries whether a webhook is reached.")
"""Goes to one webhook, whatever it asked for."""

Happening = Literal["sent", "delivered", "read", "failed"]
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)
"""In the order in which they are told."""
_OF_MESSAGE: dict[Happening, EventType[MessageDocument]] = {
    "sent": MESSAGE_SENT,
    "delivered": MESSAGE_DELIVERED,
    "read": MESSAGE_READ,
    "failed": MESSAGE_FAILED,
}


def tell(kind: EventType[Document], documents: Sequence[Document], now: int) -> None:
    """Store one event a document, for the webhooks that asked for its type."""
    events.add(kind.type, documents, now)


def tell_one(webhook_id: int, kind: EventType[Document], document: Document, now: int) -> None:
    """Store one event for one webhook, whatever it asked for."""
    events.add_for([webhook_id], kind.type, document, now)


def tell_broadcasts(kind: EventType[BroadcastDocument], broadcast_ids: Sequence[int], now: int) -> None:
    """Tell that this happened to each of these broadcasts."""
    if not broadcast_ids:
        return
    counted, rows = counters.of_broadcasts(broadcast_ids), broadcasts.rows(broadcast_ids)
    numbers = {one: channels.get(one) for one in {row.channel_id for row in rows}}
    documents = [_broadcast(row, numbers[row.channel_id], counted[row.id], kind) for row in rows]
    tell(kind, documents, now)
    for told in documents:
        logger.info(
            kind.type,
            broadcast=told["broadcast"],
            channel=told["channel"],
            reason=told["reason"],
            stats=told["stats"],
        )


def tell_messages(happened: Mapping[Happening, Sequence[int]], now: int) -> None:
    """Tell what happened to which messages (their ids), if anybody asked for such events."""
    if not any(happened.values()):
        return
    asked_for = events.asked_for()
    for what in HAPPENINGS:
        kind, message_ids = _OF_MESSAGE[what], happened.get(what)
        if message_ids and kind.type in asked_for:
            rows = message_queries.rows(message_ids)
            names = {row.id: row.public_id for row in broadcasts.rows({row.broadcast_id for row in rows})}
            tell(kind, [_message(row, names[row.broadcast_id], kind) for row in rows], now)


def tell_assigned(rows: Sequence[Assigned], now: int) -> None:
    """Tell that these conversations are assigned, in the transaction that assigns them."""
    if not rows:
        return
    numbers = {row.id: row.phone_number_id for row in channels.all_channels()}
    tell(CONVERSATION_ASSIGNED, [_assigned(row, numbers[row.broadcast.channel_id]) for row in rows], now)


def _broadcast(
    row: Broadcast, channel: Channel, counts: Counts, kind: EventType[BroadcastDocument]
) -> BroadcastDocument:
    # A broadcast that runs may be held by its channel alone.
    held = channel if kind is BROADCAST_PAUSED and row.paused_at is None else row
    return {
        "broadcast": row.public_id,
        "title": row.title,
        "channel": channel.phone_number_id,
        "metadata": _stored(row.metadata),
        "reason": held.pause_reason,
        "detail": held.pause_detail,
        "stats": stats(counts),
        "delivery": delivery_figures(counts),
    }


def _message(row: Message, broadcast: str, kind: EventType[MessageDocument]) -> MessageDocument:
    error: MessageError | None = None
    if kind is MESSAGE_FAILED and row.error_code:
        error = {"code": row.error_code, "message": row.error_text}
    return {
        "message": row.id,
        "broadcast": broadcast,
        "to": row.recipient,
        "wamid": row.wamid,
        "metadata": _stored(row.metadata),
        "error": error,
    }


def _assigned(row: Assigned, phone_number_id: str) -> ConversationDocument:
    return {
        "conversation": conversations.public_id(row.conversation_id),
        "contact": contacts.public_id(row.contact_id),
        "to": row.recipient,
        "channel": phone_number_id,
        "assignedTo": {"key": str(row.broadcast.action_key), "value": str(row.broadcast.action_value)},
        "broadcast": row.broadcast.public_id,
        "message": row.message_id,
    }


def _stored(text: str | None) -> Any:
    return None if text is None else strict_json.loads(text.encode())
