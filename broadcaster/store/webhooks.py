"""Webhooks: who is told of events, what is on its way to them, and how it went."""

from collections.abc import Iterable
from typing import NamedTuple

from peewee import fn

from broadcaster.store import database, tallies
from broadcaster.store.models import Event, EventDelivery, Webhook
from broadcaster.store.tallies import Counted

PREFIX = "wh_"
_LEASE_MS = 60_000
"""How long a claimed delivery is not claimed again."""
MOST_AGAIN = 10_000
"""Events that one replay delivers."""


class Due(NamedTuple):
    """A delivery that was claimed, with its webhook and its event."""

    id: int
    webhook: Webhook
    event: Event
    attempts: int


def public_id(webhook_id: int) -> str:
    return f"{PREFIX}{webhook_id}"


def add(url: str, types: Iterable[str], secret: str, now: int) -> Webhook:
    with database.transaction():
        return Webhook.create(url=url, types=" ".join(types), secret=secret, created_at=now)


def find(reference: str) -> Webhook | None:
    for number in database.numbers([reference], PREFIX):
        return Webhook.get_or_none(Webhook.id == number)
    return None


def all_webhooks() -> list[Webhook]:
    return list(Webhook.select().order_by(Webhook.id))


def remove(webhook_id: int) -> None:
    """Forget a webhook and all deliveries to it."""
    with database.transaction():
        EventDelivery.delete().where(EventDelivery.webhook_id == webhook_id).execute()
        Webhook.delete().where(Webhook.id == webhook_id).execute()


def rotate(webhook_id: int, secret: str, old_until: int) -> None:
    """A new secret; the one before signs beside it until a time."""
    with database.transaction():
        old = Webhook.get_by_id(webhook_id).secret
        changed = Webhook.update(secret=secret, old_secret=old, old_secret_until=old_until)
        changed.where(Webhook.id == webhook_id).execute()


def disable(webhook_id: int, reason: str, now: int) -> None:
    """Deliver nothing more to a webhook; what is pending fails."""
    Webhook.update(disabled_at=now, disabled_reason=reason).where(Webhook.id == webhook_id).execute()
    waiting = (EventDelivery.webhook_id == webhook_id) & (EventDelivery.state == "pending")
    EventDelivery.update(state="failed", answer=reason).where(waiting).execute()


def enable(webhook_id: int) -> None:
    with database.transaction():
        whole = Webhook.update(disabled_at=None, disabled_reason=None, failing_since=None)
        whole.where(Webhook.id == webhook_id).execute()


def note_taken(webhook_id: int) -> None:
    """Something was delivered: the webhook fails no longer."""
    with database.transaction():
        Webhook.update(failing_since=None).where(Webhook.id == webhook_id).execute()


def note_failing(webhook_id: int, now: int) -> None:
    """Nothing is delivered since now, unless since before."""
    with database.transaction():
        whole = (Webhook.id == webhook_id) & Webhook.failing_since.is_null()
        Webhook.update(failing_since=now).where(whole).execute()


def give_up(webhook_id: int, since: int, reason: str, now: int) -> bool:
    """Disable a webhook to which nothing was delivered since a time or longer; returns whether that is so."""
    with database.transaction():
        failing = (Webhook.failing_since <= since) & Webhook.disabled_at.is_null()
        is_failing = Webhook.select().where((Webhook.id == webhook_id) & failing).exists()
        if is_failing:
            disable(webhook_id, reason, now)
        return bool(is_failing)


def claim(room: dict[int, int], now: int) -> list[Due]:
    """Deliveries that are due, ours for a minute; `room` says how many of each webhook."""
    with database.transaction():
        rows = [row for webhook_id, limit in room.items() for row in _due(webhook_id, limit, now)]
        held = EventDelivery.update(next_at=now + _LEASE_MS)
        held.where(EventDelivery.id.in_([row.id for row in rows])).execute()
        hooks = {row.id: row for row in Webhook.select().where(Webhook.id.in_({r.webhook_id for r in rows}))}
        told = {row.id: row for row in Event.select().where(Event.id.in_({r.event_id for r in rows}))}
        return [Due(row.id, hooks[row.webhook_id], told[row.event_id], row.attempts) for row in rows]


def _due(webhook_id: int, limit: int, now: int) -> list[EventDelivery]:
    waiting = (EventDelivery.state == "pending") & (EventDelivery.next_at <= now)
    query = EventDelivery.select().where(waiting & (EventDelivery.webhook_id == webhook_id))
    # Other couriers may be looking at the same rows.
    return list(database.passing(query.order_by(EventDelivery.next_at, EventDelivery.id).limit(limit)))


def with_due(now: int) -> list[int]:
    """The webhooks for which something is due; a look for each, however much is due."""
    waiting = (EventDelivery.state == "pending") & (EventDelivery.next_at <= now)
    query = Webhook.select(Webhook.id).where(
        fn.EXISTS(
            EventDelivery.select(EventDelivery.id).where((EventDelivery.webhook_id == Webhook.id) & waiting)
        )
    )
    return [webhook_id for (webhook_id,) in database.tuples(query)]


def settle(delivery_id: int, state: str, answer: str, next_at: int, now: int) -> None:
    """How an attempt went; `pending` is tried again at `next_at`."""
    with database.transaction():
        changed = EventDelivery.update(
            state=state, answer=answer, next_at=next_at, tried_at=now, attempts=EventDelivery.attempts + 1
        )
        waiting = (EventDelivery.id == delivery_id) & (EventDelivery.state == "pending")
        if database.change(changed.where(waiting)):
            word = "put_back" if state == "pending" else state
            tallies.add([Counted("webhook_deliveries", word=word)])


def log(webhook_id: int, before: int | None, limit: int) -> list[tuple[EventDelivery, str]]:
    """A webhook's deliveries, newest first, with the types of their events."""
    query = EventDelivery.select().where(EventDelivery.webhook_id == webhook_id)
    if before is not None:
        query = query.where(EventDelivery.id < before)
    rows = list(query.order_by(EventDelivery.id.desc()).limit(limit))
    types = dict(
        database.tuples(Event.select(Event.id, Event.type).where(Event.id.in_({r.event_id for r in rows})))
    )
    return [(row, types[row.event_id]) for row in rows]


def standing(event_ids: list[int]) -> dict[int, list[tuple[str, str]]]:
    """For each of these events the webhooks it goes to and how far it got."""
    query = EventDelivery.select(EventDelivery.event_id, EventDelivery.webhook_id, EventDelivery.state).where(
        EventDelivery.event_id.in_(event_ids)
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for event_id, webhook_id, state in database.tuples(query):
        found.setdefault(event_id, []).append((public_id(webhook_id), state))
    return found


def send_again(webhook_id: int, types: Iterable[str], after: int, now: int) -> int:
    """Deliver once more the events of these types after an id, those not on their way, the oldest
    MOST_AGAIN of them; returns how many."""
    with database.transaction():
        under_way = EventDelivery.select(EventDelivery.event_id).where(
            (EventDelivery.webhook_id == webhook_id) & (EventDelivery.state == "pending")
        )
        wanted = (Event.id > after) & Event.type.in_(list(types)) & Event.id.not_in(under_way)
        query = Event.select(Event.id).where(wanted).order_by(Event.id).limit(MOST_AGAIN)
        rows = [(webhook_id, event_id, "pending", 0, now) for (event_id,) in database.tuples(query)]
        columns = ("webhook_id", "event_id", "state", "attempts", "next_at")
        database.insert_rows(EventDelivery, columns, rows)
    return len(rows)


def forget(created_before: int) -> int:
    """Drop events, and with them their deliveries, that are older."""
    return database.delete_in_portions(Event, Event.created_at < created_before)
