"""Events: what others may want to know, stored with the change it tells of."""

from collections.abc import Sequence
from typing import Any

from broadcaster import wire
from broadcaster.models import Event
from broadcaster.store import database


def add(type: str, documents: Sequence[dict[str, Any]], now: int) -> None:
    """Record one event a document; the caller's transaction makes it true together with the change."""
    rows = [(type, now, wire.dumps(document)) for document in documents]
    database.insert_rows(Event, ("type", "created_at", "data"), rows)
