"""Counters: how many messages are in each state, and what receipts said of them.

Every figure about many messages is computed here, by a query at the time of asking.
"""

from collections.abc import Iterable
from typing import NamedTuple, get_args

from peewee import fn
from typing_extensions import TypedDict

from broadcaster.domain.words import Delivery, MessageState
from broadcaster.store import database
from broadcaster.store.models import Broadcast, Message

STATES: tuple[MessageState, ...] = get_args(MessageState.__value__)
DELIVERIES: tuple[Delivery, ...] = get_args(Delivery.__value__)
OPEN: tuple[MessageState, ...] = ("pending", "sending", "unknown")
"""The states of messages that have not come to their end; together they count as pending."""


class Counts(NamedTuple):
    """How many messages of a broadcast are in each state, and what receipts said of them.

    `undelivered` were sent, and failed by receipt.
    """

    states: dict[MessageState, int]
    deliveries: dict[Delivery, int]
    undelivered: int = 0

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def open(self) -> int:
        return sum(self.states[state] for state in OPEN)

    @property
    def failed_in_all(self) -> int:
        """Refused at hand-over or by receipt."""
        return self.states["failed"] + self.undelivered

    @property
    def sent_in_all(self) -> int:
        """Handed over and not failed later."""
        return self.states["sent"] - self.undelivered


class Stats(TypedDict):
    """A broadcast's messages by what we did; the four add up to the total."""

    pending: int
    success: int
    failed: int
    cancelled: int
    total: int


class DeliveryFigures(TypedDict):
    """A broadcast's messages by what receipts said last."""

    sent: int
    delivered: int
    read: int
    failed: int


def stats(counts: Counts) -> Stats:
    """The four counters and their sum."""
    return {
        "pending": counts.open,
        "success": counts.states["sent"],
        "failed": counts.states["failed"],
        "cancelled": counts.states["cancelled"],
        "total": counts.total,
    }


def delivery_figures(counts: Counts) -> DeliveryFigures:
    """How many messages receipts last called sent, delivered, read and failed."""
    return {
        "sent": counts.deliveries["sent"],
        "delivered": counts.deliveries["delivered"],
        "read": counts.deliveries["read"],
        "failed": counts.deliveries["failed"],
    }


def of_broadcasts(broadcast_ids: Iterable[int]) -> dict[int, Counts]:
    """The counters of each broadcast, in one statement and therefore of one moment."""
    found = {i: Counts(dict.fromkeys(STATES, 0), dict.fromkeys(DELIVERIES, 0)) for i in broadcast_ids}
    query = (
        Message.select(Message.broadcast_id, Message.state, Message.delivery, fn.COUNT(Message.id))
        .where(Message.broadcast_id.in_(list(found)))
        .group_by(Message.broadcast_id, Message.state, Message.delivery)
    )
    for broadcast_id, state, delivery, count in database.tuples(query):
        counted = found[broadcast_id]
        counted.states[state] += count
        if delivery is not None:
            counted.deliveries[delivery] += count
        if (state, delivery) == ("sent", "failed"):
            found[broadcast_id] = counted._replace(undelivered=count)
    return found


def of_broadcast(broadcast_id: int) -> Counts:
    """The counters of one broadcast."""
    return of_broadcasts([broadcast_id])[broadcast_id]


class Total(NamedTuple):
    """How many messages of a channel are in one state and delivery."""

    channel_id: int
    state: MessageState
    delivery: Delivery | None
    many: int


def of_channels() -> list[Total]:
    """The messages of all broadcasts that have not ended, by channel, state and delivery."""
    unfinished = Broadcast.select(Broadcast.id).where(Broadcast.finished_at.is_null())
    # The inner sums run over the index of the counters alone; a join below them would read every row.
    inner = (
        Message.select(
            Message.broadcast_id, Message.state, Message.delivery, fn.COUNT(Message.id).alias("many")
        )
        .where(Message.broadcast_id.in_(unfinished))
        .group_by(Message.broadcast_id, Message.state, Message.delivery)
    )
    columns = (Broadcast.channel_id, inner.c.state, inner.c.delivery)
    query = (
        Broadcast.select(*columns, fn.SUM(inner.c.many).cast("bigint"))
        .join(inner, on=(inner.c.broadcast_id == Broadcast.id))
        .group_by(*columns)
    )
    return [Total(*row) for row in database.tuples(query)]
