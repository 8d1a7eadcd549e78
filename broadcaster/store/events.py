"""Events: what others may want to know, stored with the change it tells of (an outbox)."""

from collections.abc import Sequence
from typing import Any

from broadcaster.domain import strict_json
from broadcaster.store import database
from broadcaster.store.models import Event, EventDelivery, Webhook

PREFIX = "evt_"


def public_id(event_id: int) -> str:
    """The id callers know an event by."""
    return f"{PREFIX}{event_id}"


def add(type: str, documents: Sequence[Any], now: int) -> None:
    """Record one event a document, and a delivery for each webhook that asked for its type; the
    caller's transaction makes them true together with the change."""
    if not documents:
        return
    _record(listening(type), type, documents, now)


def add_for(webhook_ids: list[int], type: str, document: Any, now: int) -> None:
    """One event for these webhooks, whatever they asked for."""
    with database.transaction():
        _record(webhook_ids, type, [document], now)


def _record(webhook_ids: list[int], type: str, documents: Sequence[Any], now: int) -> None:
    rows = [(type, now, strict_json.dumps(document)) for document in documents]
    # Ids become visible in their order: who reads after one must miss none.
    database.lock_name("events")
    columns = ("type", "created_at", "data")
    if not webhook_ids:
        database.insert_rows(Event, columns, rows)
        return
    ids = database.insert_for_ids(Event, columns, rows)
    database.insert_rows(
        EventDelivery,
        ("webhook_id", "event_id", "state", "attempts", "next_at"),
        [(webhook_id, event_id, "pending", 0, now) for event_id in ids for webhook_id in webhook_ids],
    )


def listening(type: str) -> list[int]:
    """The webhooks that want to be told of a type."""
    return [row_id for row_id, types in _wishes() if type in types]


def asked_for() -> set[str]:
    """The types that any webhook wants to be told of."""
    return {type for _, types in _wishes() for type in types}


def _wishes() -> list[tuple[int, list[str]]]:
    """Each webhook that is not disabled, and the types it wants."""
    query = Webhook.select(Webhook.id, Webhook.types).where(Webhook.disabled_at.is_null())
    return [(row_id, types.split()) for row_id, types in database.tuples(query)]


def page(type: str | None, after: int, limit: int) -> list[Event]:
    """Events after an id, of one type if given."""
    query = Event.select().where(Event.id > after)
    if type is not None:
        query = query.where(Event.type == type)
    return list(query.order_by(Event.id).limit(limit))


def latest(before: int | None, limit: int) -> list[Event]:
    """Events newest first, before an id if given."""
    query = Event.select() if before is None else Event.select().where(Event.id < before)
    return list(query.order_by(Event.id.desc()).limit(limit))
