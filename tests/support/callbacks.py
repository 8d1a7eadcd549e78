"""Callbacks as Meta sends them, and the application hearing one."""

import json
from typing import Any

from broadcaster import config
from broadcaster.meta import payloads
from broadcaster.services import meta_events
from broadcaster.store import database
from tests.support.samples import NOW

SECOND = NOW // 1000


def status(word: str, wamid: str = "wamid.1", tag: str | None = None, **more: Any) -> dict[str, Any]:
    """One receipt; a failure has code 131026 unless `more` tells another."""
    shown = {"id": wamid, "status": word, "timestamp": str(SECOND), "recipient_id": "905554440000", **more}
    if word == "failed" and "errors" not in more:
        shown["errors"] = [{"code": 131026, "title": "x", "error_data": {"details": "unreachable"}}]
    return shown if tag is None else {**shown, "biz_opaque_callback_data": tag}


def callback(*statuses: dict[str, Any], field: str = "messages", **value: Any) -> dict[str, Any]:
    """A callback about one field, with these receipts in it if there are any."""
    inner = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}, **value}
    if statuses:
        inner["statuses"] = list(statuses)
    change = {"field": field, "value": inner}
    return {"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": [change]}]}


def hear(settings: config.Settings, document: dict[str, Any]) -> None:
    """Take a callback in, as the web half does once its signature is checked."""
    received = meta_events.ReceivedCallback(json.dumps(document), payloads.read(document))
    with database.transaction():
        meta_events.take([received], settings.stop_words, NOW)
