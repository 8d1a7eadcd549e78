"""Channels as `channel add` leaves them in the database."""

from typing import Any

from broadcaster.domain import strict_json
from broadcaster.store import channels, database
from broadcaster.store.models import Template
from tests.support.samples import KNOWN, NOW


def add_channel(phone_number_id: str, **facts: Any) -> Any:
    """A verified channel of unlimited tier that has all known templates, unless `facts` say otherwise."""
    if not Template.select().exists():
        _add_templates()
    known = {
        "phone_number_id": phone_number_id,
        "waba_id": "77",
        "portfolio": "77",
        "display_phone_number": "+1 555-0101",
        "verified_name": "Sandbox 1",
        "quality_rating": "GREEN",
        "tier": "TIER_UNLIMITED",
        "status": "CONNECTED",
        "access_token": "locked",
    }
    return channels.save(known | facts, NOW)


def _add_templates() -> None:
    copied = ("name", "language", "status", "category", "parameter_format")
    rows = [
        ["77", NOW, strict_json.dumps(row["components"]), *(row[column] for column in copied)]
        for row in KNOWN
    ]
    with database.transaction():
        database.insert_rows(Template, ("waba_id", "synced_at", "components", *copied), rows)
