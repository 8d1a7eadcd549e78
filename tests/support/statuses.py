"""Broadcasts in any state, stored as they are."""

from dataclasses import dataclass
from typing import Any

from broadcaster.domain.words import Delivery, MessageState
from broadcaster.store import counters, database
from broadcaster.store.models import Broadcast, Channel, Message
from tests.support.samples import NOW

DELIVERED: dict[MessageState, tuple[Delivery | None, ...]] = {
    "pending": (None,),
    "cancelled": (None,),
    "failed": (None, *counters.DELIVERIES),
    "sending": (None, *counters.DELIVERIES),
    "unknown": (None, *counters.DELIVERIES),
    "sent": (None, *counters.DELIVERIES),
}
"""What may have been said of a message in each state, as the schema's CHECK has it."""
PAIRS = [(state, delivery) for state, deliveries in DELIVERED.items() for delivery in deliveries]
ENDED = [(state, delivery) for state, delivery in PAIRS if state not in counters.OPEN]


@dataclass(frozen=True)
class Made:
    """A broadcast's facts and the state and delivery of each of its messages."""

    facts: dict[str, Any]
    messages: list[tuple[MessageState, Delivery | None]]


def store(made: list[Made], channel: Channel) -> list[Broadcast]:
    """Exactly these broadcasts, in place of what was there."""
    with database.transaction():
        Message.delete().execute()
        Broadcast.delete().execute()
        return [store_one(f"b{number}", one, channel) for number, one in enumerate(made)]


def store_one(public_id: str, made: Made, channel: Channel) -> Broadcast:
    row = Broadcast.create(
        public_id=public_id,
        channel_id=channel.id,
        template_name="t",
        template_language="en",
        priority=0,
        duplicates=0,
        scheduled=False,
        created_at=NOW,
        face="own",
        on_unknown="fail",
        **made.facts,
    )
    for state, delivery in made.messages:
        Message.create(
            broadcast_id=row.id,
            recipient="+905554440000",
            content="{}",
            state=state,
            delivery=delivery,
            attempt=1,
            tries=0,
            next_at=NOW,
            claimed_at=NOW,
            sent_at=NOW if state == "sent" else None,
            wamid="wamid.1" if state == "sent" else None,
            error_code="1" if state == "failed" else None,
        )
    return Broadcast.get_by_id(row.id)
