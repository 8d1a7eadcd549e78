"""Keebai's calls, each with its request and its whole answer; ids and times masked by their form."""

import re
from typing import Any

import pytest

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json, timestamps
from broadcaster.services import access
from broadcaster.store.models import Broadcast, Message
from tests.support.broadcasts import settle
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import CHANNEL, NOW, masked
from tests.support.waiting import wait_until

BULK, SINGLE = "/v1/messages/bulk", "/v1/messages/template"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
MASKS = {"broadcast_id": "[0-9a-f]{24}", "started_at": TIME, "completed_at": TIME}


def person(number: int, **changes: Any) -> dict[str, Any]:
    entry = {"to": f"+54911555500{number:02d}", "variables": {"order_id": f"O-{number}", "status": "listo"}}
    return entry | changes


def bulk(count: int = 2, **changes: Any) -> dict[str, Any]:
    document = {
        "template_name": "parcel",
        "language": "es",
        "channel_id": CHANNEL,
        "recipients": [person(i) for i in range(count)],
    }
    return document | changes


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def test_bulk(client: Client) -> None:
    response = client.post(BULK, bulk(3, campaign_name="May", extra={"unknown": True}))
    assert response.status_code == 202
    assert masked(response.json, **MASKS) == {
        "broadcast_id": "*",
        "status": "PENDING",
        "total_recipients": 3,
        "scheduled_at": None,
    }
    assert Broadcast.get().title == "May"
    assert strict_json.loads(Message.select().first().content.encode()) == {
        "name": "parcel",
        "language": {"code": "es"},
        "components": [
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "text": "O-0", "parameter_name": "order_id"},
                    {"type": "text", "text": "listo", "parameter_name": "status"},
                ],
            }
        ],
    }
    own = client.get(f"/v1/broadcasts/{response.json['broadcast_id']}").json
    assert (own["stats"]["total"], own["title"]) == (3, "May")


def test_a_name_is_made_where_none_is_given(client: Client) -> None:
    client.post(BULK, bulk())
    assert re.fullmatch(f"parcel {TIME}", Broadcast.get().title)


def test_either_field_holds_either_id_of_the_channel(client: Client) -> None:
    row = add_channel("100000000000002", display_phone_number="+1 555-0102")
    for field in ("channel_id", "phone_number_id"):
        for value in ("100000000000002", str(row.id)):
            response = client.post(BULK, without(bulk(), "channel_id") | {field: value})
            assert response.status_code == 202
    assert {broadcast.channel_id for broadcast in Broadcast.select()} == {row.id}


def test_a_bulk_can_be_scheduled(client: Client) -> None:
    response = client.post(BULK, bulk(schedule_at="2030-06-10T07:00:00Z"))
    assert response.json["scheduled_at"] == "2030-06-10T07:00:00.000Z"
    refused = client.post(BULK, bulk(schedule_at="2020-06-10T07:00:00Z"))
    assert (refused.status_code, refused.json["error"]["details"][0]["field"]) == (400, "schedule_at")


def test_the_same_number_twice_is_two_messages(client: Client) -> None:
    answer = client.post(BULK, bulk(recipients=[person(1), person(1)])).json
    assert answer["total_recipients"] == 2
    assert Message.select().count() == 2


def test_a_recipient_without_a_variable_fails_alone(client: Client) -> None:
    lacking = person(1, variables={"order_id": "O-1"})
    more = person(2, variables={"order_id": "O-2", "status": "listo", "city": "Quito"})
    response = client.post(BULK, bulk(recipients=[person(0), lacking, more, person(3, variables=None)]))
    assert response.status_code == 202
    path = f"{BULK}/{response.json['broadcast_id']}"
    found = client.get(path).json
    assert {key: found[key] for key in ("total_recipients", "sent", "failed", "pending")} == {
        "total_recipients": 4,
        "sent": 0,
        "failed": 2,
        "pending": 2,
    }
    failed = Message.get(Message.recipient == "+5491155550001")
    assert (failed.error_code, failed.error_text) == (
        "INVALID_RECIPIENT",
        "variables: BODY needs order_id, status; got order_id",
    )


def test_meta_data_stays_with_its_message(client: Client) -> None:
    client.post(BULK, bulk(recipients=[person(1, meta_data={"crm": {"id": 7}})]))
    message_id = Message.get().id
    assert client.get(f"/v1/messages/{message_id}").json["metadata"] == {"crm": {"id": 7}}


@pytest.mark.parametrize(
    ("document", "status", "code", "fields"),
    [
        ({}, 400, "VALIDATION_ERROR", ["template_name", "language", "recipients", "channel_id"]),
        (without(bulk(), "channel_id"), 400, "VALIDATION_ERROR", ["channel_id"]),
        (without(bulk(), "language"), 400, "VALIDATION_ERROR", ["language"]),
        (bulk(recipients=[]), 400, "VALIDATION_ERROR", ["recipients"]),
        (bulk(recipients=[person(1)] * 5001), 400, "VALIDATION_ERROR", ["recipients"]),
        (bulk(recipients=[person(1), person(2, to="+12")]), 400, "VALIDATION_ERROR", ["recipients[1].to"]),
        (bulk(recipients=[person(1, to="5491155550001")]), 400, "VALIDATION_ERROR", ["recipients[0].to"]),
        (bulk(recipients=[{}]), 400, "VALIDATION_ERROR", ["recipients[0].to"]),
        (
            bulk(recipients=[person(1, variables={"order_id": 7})]),
            400,
            "VALIDATION_ERROR",
            ["recipients[0].variables.order_id"],
        ),
        (
            bulk(recipients=[person(1, meta_data=[1])]),
            400,
            "VALIDATION_ERROR",
            ["recipients[0].meta_data"],
        ),
        (bulk(channel_id="999"), 404, "CHANNEL_NOT_FOUND", ["channel_id"]),
        (bulk(template_name="nobody"), 404, "TEMPLATE_NOT_FOUND", ["template_name"]),
        (bulk(language="de"), 404, "TEMPLATE_NOT_FOUND", ["language"]),
        (bulk(template_name="hidden"), 400, "TEMPLATE_NOT_APPROVED", ["template_name"]),
    ],
)
def test_refusals_of_bulk(client: Client, document: Any, status: int, code: str, fields: list[str]) -> None:
    response = client.post(BULK, document)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    error = response.json["error"]
    assert set(response.json) == {"error"}
    assert set(error) == {"code", "message", "details"}
    assert (error["code"], [fault["field"] for fault in error["details"]]) == (code, fields)
    assert Broadcast.select().count() == 0


def test_refusals_before_any_reading(client: Client) -> None:
    reader = access.create_token("reader", ["broadcasts:read"], None, NOW)
    single = access.create_token("single", ["messages:send"], None, NOW)
    expired = access.create_token("old", ["admin"], 1, NOW - 2 * 86_400_000)
    for token, status, code in (
        ("nonsense", 401, "UNAUTHORIZED"),
        (expired, 401, "UNAUTHORIZED"),
        (reader, 403, "INSUFFICIENT_SCOPE"),
        (single, 403, "INSUFFICIENT_SCOPE"),
    ):
        response = client.post(BULK, bulk(), token=token)
        assert (response.status_code, response.json["error"]["code"]) == (status, code)
    for response, status, code in (
        (client.post(BULK, body="{", headers={"Content-Type": "application/json"}), 400, "VALIDATION_ERROR"),
        (client.post(BULK, body="x", headers={"Content-Type": "text/plain"}), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (client.get(BULK), 405, "METHOD_NOT_ALLOWED"),
    ):
        assert (response.status_code, response.json["error"]["code"]) == (status, code)


def test_its_own_scope_is_enough(client: Client) -> None:
    token = access.create_token("keebai", ["messages:bulk"], None, NOW, "kbai_pk")
    assert token.startswith("kbai_pk_")
    response = client.post(BULK, bulk(), token=token)
    assert response.status_code == 202
    assert client.get(f"{BULK}/{response.json['broadcast_id']}", token=token).status_code == 200
    assert client.get("/v1/broadcasts", token=token).status_code == 403
    assert client.post(SINGLE, {}, token=token).status_code == 403


@pytest.mark.parametrize(
    ("states", "status", "sent", "failed", "pending"),
    [
        ([("sent", None), ("pending", None)], "IN_PROGRESS", 1, 0, 1),
        ([("sent", None), ("unknown", None)], "IN_PROGRESS", 1, 0, 1),
        ([("sent", "read"), ("sent", None)], "COMPLETED", 2, 0, 0),
        ([("sent", None), ("failed", None)], "COMPLETED", 1, 1, 0),
        ([("sent", None), ("sent", "failed")], "COMPLETED", 1, 1, 0),
        ([("failed", None), ("sent", "failed")], "FAILED", 0, 2, 0),
    ],
)
def test_status(client: Client, states: Any, status: str, sent: int, failed: int, pending: int) -> None:
    public_id = client.post(BULK, bulk(2)).json["broadcast_id"]
    assert client.get(f"{BULK}/{public_id}").json["status"] == "PENDING"
    settle(public_id, *states)
    response = client.get(f"{BULK}/{public_id}")
    assert response.status_code == 200
    assert masked(response.json, **MASKS) == {
        "broadcast_id": "*",
        "status": status,
        "total_recipients": 2,
        "sent": sent,
        "failed": failed,
        "pending": pending,
        "started_at": "*",
        "completed_at": None if pending else "*",
    }


def test_a_stopped_broadcast_is_cancelled(client: Client) -> None:
    public_id = client.post(BULK, bulk(2)).json["broadcast_id"]
    client.post(f"/v1/broadcasts/{public_id}/stop")
    found = client.get(f"{BULK}/{public_id.upper()}").json
    assert (found["status"], found["pending"]) == ("CANCELLED", 0)


def test_ids_that_are_none_and_ids_that_are_nobodys(client: Client) -> None:
    own = {"channel": CHANNEL, "template": {"name": "plain"}, "recipients": [{"to": "+905554443301"}]}
    other = client.post("/v1/broadcasts", own).json["id"]
    for public_id, status, code in (
        ("abc", 400, "INVALID_BROADCAST_ID"),
        (other, 400, "INVALID_BROADCAST_ID"),
        ("0" * 24, 404, "BROADCAST_NOT_FOUND"),
    ):
        response = client.get(f"{BULK}/{public_id}")
        assert (response.status_code, response.json["error"]["code"]) == (status, code)
        assert set(response.json["error"]) == {"code", "message", "details"}


def test_template(client: Client) -> None:
    document = without(bulk(), "recipients") | person(7, meta_data={"n": 1})
    response = client.post(SINGLE, document)
    assert response.status_code == 202
    assert masked(response.json, **MASKS) == {
        "broadcast_id": "*",
        "status": "PENDING",
        "total_recipients": 1,
        "scheduled_at": None,
    }
    assert client.get(f"{BULK}/{response.json['broadcast_id']}").json["pending"] == 1
    for spoilt, status, field in (
        (without(document, "to"), 400, "to"),
        (document | {"to": "0911"}, 400, "to"),
        (document | {"variables": {"order_id": 1}}, 400, "variables.order_id"),
        (without(document, "language"), 400, "language"),
        (document | {"channel_id": "999"}, 404, "channel_id"),
    ):
        refused = client.post(SINGLE, spoilt)
        assert (refused.status_code, refused.json["error"]["details"][0]["field"]) == (status, field)


def test_a_bulk_runs_to_its_end(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    four = {"1": "a", "2": "b", "3": "c", "4": "d"}
    document = {
        "template_name": "appointment",
        "language": "en",
        "phone_number_id": CHANNEL,
        "recipients": [
            {"to": "+905554440001", "variables": four},
            {"to": "+905554440001", "variables": four},
            {"to": "+905554449001", "variables": four},
            {"to": "+905554440003", "variables": {"1": "a"}},
        ],
    }
    begun = epoch_ms()
    public_id = here.ask("POST", BULK, json=document)["broadcast_id"]
    found = wait_until(lambda: (seen := here.ask("GET", f"{BULK}/{public_id}"))["completed_at"] and seen)
    assert (found["status"], found["sent"], found["failed"], found["pending"]) == ("COMPLETED", 2, 2, 0)
    assert timestamps.parse_time(found["started_at"]) >= begun
    assert field.report()["accepted"] == 2
