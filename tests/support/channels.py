"""Channels as `channel add` leaves them in the database."""

from typing import Any

from broadcaster.domain import strict_json
from broadcaster.store import channels, definitions
from tests.support.samples import KNOWN, NOW


def add_channel(phone_number_id: str, **facts: Any) -> Any:
    """A verified channel of unlimited tier that has all known templates, unless `facts` say otherwise."""
    columns = ("name", "language", "status", "category", "parameter_format")
    rows = [
        {name: row[name] for name in columns}
        | {"quality": None, "components": strict_json.dumps(row["components"])}
        for row in KNOWN
    ]
    definitions.replace_all("77", rows, NOW)
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
