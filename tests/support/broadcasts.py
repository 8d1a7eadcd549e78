"""Broadcasts in the store, and the moves their messages make, without a sender."""

from typing import Any

from broadcaster.domain.decide import Failed, Lost, PutBack, Sent
from broadcaster.store import broadcasts, claims, counters, database, leases, messages
from broadcaster.store.claims import Ask, Terms
from broadcaster.store.messages import Draft
from broadcaster.store.models import Broadcast, Message
from tests.support.client import Client
from tests.support.samples import NOW, request_of

OWNER = "worker-1"


def accepted(channel: Any, count: int = 3, **facts: Any) -> Broadcast:
    """A broadcast to so many people, due now unless `facts` say otherwise."""
    known = {
        "public_id": f"b{facts.pop('number', 1)}",
        "channel_id": channel.id,
        "template_name": "t",
        "template_language": "en",
        "priority": 0,
        "duplicates": 0,
        "scheduled": False,
        "due_at": NOW,
    }
    series = facts.pop("series", 444)
    drafts = [Draft(f"+90555{series}{i:04d}", "{}") for i in range(count)]
    with database.transaction():
        return broadcasts.accept(known | facts, drafts, NOW)


def claim(channel: Any, limit: int = 10, now: int = NOW, turn: int = 0, room: int | None = None) -> list[Any]:
    """The messages that OWNER claims."""
    with database.transaction():
        leases.take(channel.id, OWNER, 80, [], now, now + 10_000)
        [found] = claims.claim(
            [Ask(channel.id, OWNER, limit, turn, 80, Terms("77", room))], now, now + 10_000
        )
    assert found is not None
    return found.messages


def states(row: Broadcast) -> dict[str, int]:
    """How many messages of a broadcast are in which state."""
    counted = counters.of_broadcast(row.id)
    return {state: count for state, count in counted.states.items() if count}


def mark(claimed: Any, *more: Any) -> tuple[Any, ...]:
    return (claimed.id, claimed.attempt, NOW + 5, *more)


def settle_sent(c: Any) -> int:
    return len(messages.apply([Sent(*mark(c, "wamid.1", NOW))]))


def settle_failed(c: Any) -> int:
    return len(messages.apply([Failed(*mark(c, "131026", "no"))]))


def settle_lost(c: Any) -> int:
    return len(messages.apply([Lost(*mark(c, "NO_ANSWER", ""))]))


def settle_put_back(c: Any) -> int:
    return len(messages.apply([PutBack(*mark(c, "131000", "", NOW + 1000, 1))]))


def settle(public_id: str, *states: tuple[str, str | None]) -> list[int]:
    """Bring the messages of a broadcast into these states, as sender and receipts would; their ids."""
    broadcast = Broadcast.get(Broadcast.public_id == public_id)
    mine = Message.select().where(Message.broadcast_id == broadcast.id)
    ids = [row.id for row in mine.order_by(Message.id)]
    with database.transaction():
        for message_id, (state, delivery) in zip(ids, states, strict=True):
            Message.update(_facts(message_id, state, delivery)).where(Message.id == message_id).execute()
        is_open = any(state in ("pending", "sending", "unknown") for state, _ in states)
        moment = max(NOW, broadcast.due_at)
        ended = Broadcast.update(started_at=moment, finished_at=None if is_open else moment)
        ended.where(Broadcast.id == broadcast.id).execute()
    return ids


def broadcast_in(client: Client, *states: tuple[str, str | None], **changes: Any) -> str:
    """The id of a broadcast accepted by the API, with a message in each of these states."""
    public_id = str(client.post("/v1/broadcasts", request_of(len(states), **changes)).json["id"])
    settle(public_id, *states)
    return public_id


def _facts(message_id: int, state: str, delivery: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"state": state, "delivery": delivery, "attempt": 1, "claimed_at": NOW}
    if state == "sent":
        facts |= {"wamid": f"wamid.T{message_id}/+==", "sent_at": NOW, "settled_at": NOW}
    if state == "failed" or delivery == "failed":
        facts |= {"error_code": "131026", "error_text": "unreachable", "settled_at": NOW}
    if delivery in ("delivered", "read"):
        facts["delivered_at"] = NOW + 1000
    if delivery == "read":
        facts["read_at"] = NOW + 2000
    return facts
