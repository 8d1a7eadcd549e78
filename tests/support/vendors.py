"""The same broadcast in each language that is served."""

from typing import Any

from tests.support.client import Client
from tests.support.samples import CHANNEL

MINDO, KEEBAI = "/api/v1/meta-templates", "/v1/messages/bulk"
MONOCHAT = "/api/ws/custom-functions/bulk-message-api-app/api/bulk-message"


def ask(client: Client, vendor: str, people: list[tuple[str, dict[str, str]]], name: str = "parcel") -> Any:
    """The same broadcast in each vendor's language; `people` are digits and variables."""
    plus = "+" if vendor in ("mindo", "keebai") else ""
    return ask_as_written(client, vendor, [(plus + to, values) for to, values in people], name)


def ask_as_written(
    client: Client, vendor: str, people: list[tuple[str, dict[str, str]]], name: str = "parcel"
) -> Any:
    """The same with the numbers as they are."""
    if vendor == "mindo":
        entries: list[Any] = [{"phone": to, "variables": values} for to, values in people]
        document = {"phone_number_id": CHANNEL, "template_name": name, "recipients": entries}
        return client.post(f"{MINDO}/send-bulk/", document)
    if vendor == "keebai":
        entries = [{"to": to, "variables": values} for to, values in people]
        return client.post(
            KEEBAI, {"channel_id": CHANNEL, "template_name": name, "language": "es", "recipients": entries}
        )
    if vendor == "monochat":
        template = {"templateName": name, "languageCode": "es"}
        payload = {"type": "template", "template": template, "isMerge": True}
        entries = [
            {"username": to, "payload": {"template": {"variables": [{"type": "BODY", "parameters": values}]}}}
            for to, values in people
        ]
        return client.post(
            f"{MONOCHAT}/send.js",
            {
                "channelUsername": "15550101",
                "connectorBrand": "whatsapp",
                "defaultPayload": payload,
                "recipients": entries,
            },
        )
    entries = [{"to": to, "variables": values} for to, values in people]
    template = {"name": name, "language": "es"}
    return client.post("/v1/broadcasts", {"channel": CHANNEL, "template": template, "recipients": entries})
