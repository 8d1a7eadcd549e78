"""Mindo's calls, each with its request and its whole answer; ids and times masked by their form."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from peewee import OperationalError

from broadcaster.domain import strict_json, timestamps
from broadcaster.services import access, single_send
from broadcaster.store import channels, definitions
from broadcaster.store.models import Broadcast, Message
from tests.support.broadcasts import settle
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import CHANNEL, NOW, masked
from tests.support.waiting import wait_until

ROOT = "/api/v1/meta-templates"
MASKS = {
    "bulk_send_id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "task_id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "created_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "started_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "completed_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "sent_at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "message_id": r"wamid\..+",
    "meta_message_id": r"wamid\..+",
}


def person(number: int, **changes: Any) -> dict[str, Any]:
    entry = {
        "phone": f"+54911555500{number:02d}",
        "variables": {"name": f"Eva {number}", "code": f"K-{number}"},
        "button_variables": {"button_0": f"k-{number}"},
    }
    return entry | changes


def bulk(count: int = 2, **changes: Any) -> dict[str, Any]:
    document = {
        "phone_number_id": CHANNEL,
        "template_name": "greeting",
        "language": "es",
        "recipients": [person(i) for i in range(count)],
    }
    return document | changes


def send_bulk(client: Client, document: Any, **options: Any) -> Any:
    return client.post(f"{ROOT}/send-bulk/", document, **options)


NUMBER = {
    "id": 1,
    "phone_number_id": CHANNEL,
    "display_phone_number": "+1 555-0101",
    "verified_name": "Sandbox 1",
    "quality_rating": "GREEN",
    "messaging_limit_tier": "TIER_UNLIMITED",
}


def test_send_bulk(client: Client) -> None:
    response = send_bulk(client, bulk(3))
    assert response.status_code == 202
    assert masked(response.json, **MASKS) == {
        "bulk_send_id": "*",
        "task_id": "*",
        "status": "queued",
        "template_name": "greeting",
        "total_recipients": 3,
        "unique_recipients": 3,
        "estimated_time_minutes": 0.01,
        "created_at": "*",
        "whatsapp_phone_number": NUMBER,
        "quota_info": {
            "can_send": True,
            "quota_needed": None,
            "quota_available": None,
            "quota_total": None,
            "tier": "TIER_UNLIMITED",
        },
    }
    assert [strict_json.loads(row.content.encode()) for row in Message.select().limit(1)] == [
        {
            "name": "greeting",
            "language": {"code": "es"},
            "components": [
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "text": "Eva 0", "parameter_name": "name"},
                        {"type": "text", "text": "K-0", "parameter_name": "code"},
                    ],
                },
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "0",
                    "parameters": [{"type": "text", "text": "k-0"}],
                },
            ],
        }
    ]


def test_tiers_are_spelled_out_and_a_small_quota_does_not_refuse(client: Client) -> None:
    add_channel("100000000000002", tier="TIER_1K", display_phone_number="+1 555-0102")
    response = send_bulk(client, bulk(2, phone_number_id="100000000000002")).json
    assert response["whatsapp_phone_number"]["messaging_limit_tier"] == "TIER_1000"
    assert response["quota_info"] == {
        "can_send": True,
        "quota_needed": 2,
        "quota_available": 1000,
        "quota_total": 1000,
        "tier": "TIER_1000",
    }
    add_channel("100000000000003", tier="TIER_50", display_phone_number="+1 555-0103", portfolio="other")
    many = [person(i, phone=f"+5491155551{i:03d}") for i in range(51)]
    response = send_bulk(client, bulk(phone_number_id="100000000000003", recipients=many))
    assert response.status_code == 202
    assert response.json["quota_info"]["can_send"] is False
    assert response.json["estimated_time_minutes"] == 1.02


def test_language_falls_back_to_spanish(client: Client) -> None:
    document = bulk(1, template_name="parcel")
    del document["language"]
    order = {"order_id": "O-1", "status": "listo"}
    document["recipients"] = [person(1, variables=order, button_variables={})]
    assert send_bulk(client, document).status_code == 202
    assert Broadcast.get().template_language == "es"


def test_a_phone_given_twice_is_one_message(client: Client) -> None:
    twice = [person(1), person(2), person(1, variables={"name": "x", "code": "y"})]
    answer = send_bulk(client, bulk(recipients=twice)).json
    assert (answer["total_recipients"], answer["unique_recipients"]) == (3, 2)
    assert Message.select().count() == 2


def test_one_name_fills_header_and_body(client: Client) -> None:
    one = person(1, variables={"name": "Eva", "day": "lunes"}, button_variables=None)
    assert send_bulk(client, bulk(template_name="festival", recipients=[one])).status_code == 202
    content = strict_json.loads(Message.get().content.encode())
    texts = [[p["text"] for p in component["parameters"]] for component in content["components"]]
    assert texts == [["Eva"], ["Eva", "lunes"]]


@pytest.mark.parametrize("path", ["send-bulk", "send-bulk/", "bulk-sends", "bulk-sends/"])
def test_paths_go_with_and_without_the_closing_slash(client: Client, path: str) -> None:
    found = client.post(f"{ROOT}/{path}", bulk()) if "send-bulk" in path else client.get(f"{ROOT}/{path}")
    assert found.status_code in (200, 202)


@pytest.mark.parametrize(
    ("document", "status", "fields"),
    [
        ({}, 400, {"phone_number_id", "template_name", "recipients"}),
        (bulk(phone_number_id=7), 400, {"phone_number_id"}),
        (bulk(phone_number_id="999"), 404, {"phone_number_id"}),
        (bulk(template_name="nobody"), 404, {"template_name"}),
        (bulk(language="de"), 404, {"language"}),
        (bulk(template_name="hidden"), 400, {"template_name"}),
        (bulk(recipients=[]), 400, {"recipients"}),
        (bulk(recipients=[person(1)] * 5001), 400, {"recipients"}),
        (bulk(recipients=[{}]), 400, {"recipients[0].phone"}),
        (bulk(recipients=["+5491155550001"]), 400, {"recipients[0]"}),
        (bulk(recipients=[person(1, phone="5491155550001")]), 400, {"recipients[0].phone"}),
        (bulk(recipients=[person(1, phone="+12")]), 400, {"recipients[0].phone"}),
        (bulk(recipients=[person(1), person(2, variables={"name": "x"})]), 400, {"recipients[1].variables"}),
        (
            bulk(recipients=[person(1, variables={"name": "x", "code": 7})]),
            400,
            {"recipients[0].variables.code"},
        ),
        (bulk(recipients=[person(1, button_variables={})]), 400, {"recipients[0].button_variables"}),
        (
            bulk(recipients=[person(1, button_variables={"button_0": "x", "first": "x"})]),
            400,
            {"recipients[0].button_variables", "recipients[0].variables"},
        ),
        (
            bulk(recipients=[person(1, button_variables={"button_0": "x", "button_3": "y"})]),
            400,
            {"recipients[0].button_variables"},
        ),
        (
            bulk(recipients=[person(1, variables={f"v{i}": "x" for i in range(1001)})]),
            400,
            {"recipients[0].variables"},
        ),
    ],
)
def test_refusals_of_send_bulk(client: Client, document: Any, status: int, fields: set[str]) -> None:
    response = send_bulk(client, document)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert set(response.json) == {"error", "details"}
    assert isinstance(response.json["error"], str)
    assert set(response.json["details"]) == fields
    assert all(isinstance(told, list) for told in response.json["details"].values())
    assert Broadcast.select().count() == 0


def test_a_wrong_variable_is_named_with_its_recipient(client: Client) -> None:
    wrong = person(1, variables={"name": "x", "clave": "y"})
    response = send_bulk(client, bulk(recipients=[person(0), wrong]))
    assert response.json["details"] == {"recipients[1].variables": ["BODY needs name, code; got name, clave"]}
    assert response.json["error"] == "recipients[1].variables: BODY needs name, code; got name, clave"


def test_a_wrong_button_is_named_as_the_client_names_it(client: Client) -> None:
    wrong = person(1, button_variables={"button_3": "y"})
    response = send_bulk(client, bulk(recipients=[wrong]))
    assert response.json["details"] == {
        "recipients[0].button_variables": [
            "the template has no button_3 that takes a value",
            "needs button_0",
        ]
    }


def test_refusals_before_any_reading(client: Client) -> None:
    reader = access.create_token("reader", ["broadcasts:read"], None, NOW)
    expired = access.create_token("old", ["admin"], 1, NOW - 2 * 86_400_000)
    path = f"{ROOT}/send-bulk/"
    for headers, status in (
        ({"Authorization": ""}, 401),
        ({"Authorization": "", "X-API-Key": "mindo_nonsense"}, 401),
        ({"Authorization": "", "X-API-Key": expired}, 401),
        ({"Authorization": "", "X-API-Key": reader}, 403),
    ):
        response = client.call("POST", path, json=bulk(), headers=headers)
        assert (response.status_code, response.json["details"]) == (status, {}), headers
    for response, status in (
        (client.post(path, body="{", headers={"Content-Type": "application/json"}), 400),
        (client.post(path, body="[]", headers={"Content-Type": "application/json"}), 400),
        (client.post(path, body="x=1", headers={"Content-Type": "text/plain"}), 415),
        (client.get(path), 405),
        (client.get(f"{ROOT}/nothing/"), 404),
    ):
        assert (response.status_code, set(response.json)) == (status, {"error", "details"})


def test_the_key_goes_in_its_own_header(client: Client) -> None:
    key = access.create_token("shop", ["broadcasts:write"], None, NOW, "mindo")
    assert key.startswith("mindo_")
    response = client.call(
        "POST", f"{ROOT}/send-bulk/", json=bulk(), headers={"X-API-Key": key, "Authorization": ""}
    )
    assert response.status_code == 202


# Progress


MIXED = (
    ("sent", None),
    ("sent", "sent"),
    ("sent", "delivered"),
    ("sent", "read"),
    ("sent", "failed"),
    ("failed", None),
    ("pending", None),
    ("cancelled", None),
)


def test_progress(client: Client) -> None:
    public_id = send_bulk(client, bulk(8)).json["bulk_send_id"]
    settle(public_id, *MIXED)
    response = client.get(f"{ROOT}/bulk-sends/{public_id}/")
    assert response.status_code == 200
    token_id = Broadcast.get().token_id
    assert masked(response.json, **MASKS) == {
        "id": public_id,
        "status": "PROCESSING",
        "template": {
            "id": definitions.find("77", "greeting", "es").id,  # type: ignore[union-attr]
            "template_name": "greeting",
            "language": "es",
            "status": "APPROVED",
        },
        "phone_number": {"id": 1, "display_phone_number": "+1 555-0101", "verified_name": "Sandbox 1"},
        "total_recipients": 8,
        "sent_count": 4,
        "delivered_count": 2,
        "read_count": 1,
        "failed_count": 2,
        "pending_count": 1,
        "progress_percentage": 87.5,
        "estimated_time_minutes": 0.01,
        "started_at": "*",
        "completed_at": None,
        "created_at": "*",
        "created_by": {"id": token_id, "email": None, "first_name": "tests", "last_name": ""},
    }


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([("sent", None), ("sent", "read")], "COMPLETED"),
        ([("sent", None), ("failed", None)], "PARTIAL"),
        ([("sent", "read"), ("sent", "failed")], "PARTIAL"),
        ([("failed", None), ("sent", "failed")], "FAILED"),
        ([("sent", None), ("unknown", None)], "PROCESSING"),
    ],
)
def test_statuses(client: Client, states: Any, status: str) -> None:
    public_id = send_bulk(client, bulk(2)).json["bulk_send_id"]
    assert client.get(f"{ROOT}/bulk-sends/{public_id}").json["status"] == "QUEUED"
    settle(public_id, *states)
    assert client.get(f"{ROOT}/bulk-sends/{public_id}").json["status"] == status
    for asked in ("QUEUED", "PROCESSING", "COMPLETED", "PARTIAL", "FAILED", "CANCELLED"):
        listed = client.get(f"{ROOT}/bulk-sends/?status={asked}").json
        assert listed["count"] == (asked == status), asked


def test_a_stopped_send_is_cancelled(client: Client) -> None:
    public_id = send_bulk(client, bulk(2)).json["bulk_send_id"]
    client.post(f"/v1/broadcasts/{public_id}/stop")
    found = client.get(f"{ROOT}/bulk-sends/{public_id}/").json
    assert (found["status"], found["pending_count"]) == ("CANCELLED", 0)
    assert str(found["estimated_time_minutes"]) == "0.0"
    assert client.get(f"{ROOT}/bulk-sends/?status=CANCELLED").json["count"] == 1


def test_the_list_of_bulk_sends(client: Client) -> None:
    ids = [send_bulk(client, bulk(1)).json["bulk_send_id"] for _ in range(3)]
    client.post("/v1/broadcasts", {"channel": CHANNEL, "template": {"name": "plain"}, "recipients": []})
    first = client.get(f"{ROOT}/bulk-sends/?page_size=2")
    assert first.status_code == 200
    assert masked(first.json["results"][0], **MASKS) == {
        "id": ids[2],
        "status": "QUEUED",
        "template": {
            "id": definitions.find("77", "greeting", "es").id,  # type: ignore[union-attr]
            "template_name": "greeting",
            "language": "es",
            "status": "APPROVED",
        },
        "phone_number": {"id": 1, "display_phone_number": "+1 555-0101", "verified_name": "Sandbox 1"},
        "total_recipients": 1,
        "sent_count": 0,
        "delivered_count": 0,
        "read_count": 0,
        "failed_count": 0,
        "pending_count": 1,
        "progress_percentage": 0.0,
        "completed_at": None,
        "created_at": "*",
    }
    assert (first.json["count"], first.json["previous"]) == (3, None)
    assert [row["id"] for row in first.json["results"]] == [ids[2], ids[1]]
    host = "http://falconframework.org"
    assert first.json["next"] == f"{host}{ROOT}/bulk-sends/?page_size=2&page=2"
    second = client.get(first.json["next"].removeprefix(host))
    assert [row["id"] for row in second.json["results"]] == [ids[0]]
    assert second.json["next"] is None
    assert second.json["previous"] == f"{host}{ROOT}/bulk-sends/?page_size=2&page=1"


def test_the_list_filters(client: Client) -> None:
    send_bulk(client, bulk(1))
    today = client.get(f"{ROOT}/bulk-sends/").json["results"][0]["created_at"][:10]
    template_id = definitions.find("77", "greeting", "es").id  # type: ignore[union-attr]
    other = definitions.find("77", "parcel", "es").id  # type: ignore[union-attr]
    for query, count in (
        (f"created_after={today}", 1),
        ("created_after=2999-01-01", 0),
        ("created_before=2999-01-01", 1),
        (f"created_before={today}", 0),
        (f"template={template_id}", 1),
        (f"template={other}", 0),
        ("template=999999", 0),
        (f"status=QUEUED&template={template_id}&created_after={today}", 1),
        ("page_size=1000", 1),
        ("status=&template=&created_after=&created_before=&page=&page_size=", 1),
    ):
        assert client.get(f"{ROOT}/bulk-sends/?{query}").json["count"] == count, query
    for query, status, field in (
        ("status=queued", 400, "status"),
        ("template=x", 400, "template"),
        ("created_after=today", 400, "created_after"),
        ("created_before=2026-13-01", 400, "created_before"),
        ("page_size=x", 400, "page_size"),
        ("page=2", 404, None),
        ("page=0", 404, None),
        ("page=x", 404, None),
    ):
        response = client.get(f"{ROOT}/bulk-sends/?{query}")
        assert response.status_code == status, query
        assert list(response.json["details"]) == ([field] if field else [])


def test_unknown_bulk_sends_are_not_found(client: Client) -> None:
    own = client.post(
        "/v1/broadcasts",
        {"channel": CHANNEL, "template": {"name": "plain"}, "recipients": [{"to": "+905554443301"}]},
    ).json["id"]
    for public_id in (own, "7c9e6679-7425-40de-944b-e07fc1f90ae7", "abc", "1"):
        for path in (f"{ROOT}/bulk-sends/{public_id}/", f"{ROOT}/bulk-sends/{public_id}/messages/"):
            response = client.get(path)
            assert (response.status_code, set(response.json)) == (404, {"error", "details"})


# Messages


def test_the_messages_of_a_bulk_send(client: Client) -> None:
    public_id = send_bulk(client, bulk(8)).json["bulk_send_id"]
    ids = settle(public_id, *MIXED)
    path = f"{ROOT}/bulk-sends/{public_id}/messages/"
    found = client.get(path)
    assert found.status_code == 200
    assert {key: found.json[key] for key in ("count", "next", "previous")} == {
        "count": 8,
        "next": None,
        "previous": None,
    }
    assert (
        found.json["results"][3]
        == {
            "id": ids[3],
            "recipient_phone": "+5491155550003",
            "status": "read",
            "meta_message_id": f"wamid.T{ids[3]}/+==",
            "variables_used": {"name": "Eva 3", "code": "K-3"},
            "sent_at": timestamps.format_time(NOW)[:19] + "Z",  # type: ignore[index]
            "delivered_at": timestamps.format_time(NOW + 1000)[:19] + "Z",  # type: ignore[index]
            "read_at": timestamps.format_time(NOW + 2000)[:19] + "Z",  # type: ignore[index]
            "error_message": None,
        }
    )
    assert [row["status"] for row in found.json["results"]] == [
        "sent", "sent", "delivered", "read", "failed", "failed", "pending", "cancelled",
    ]  # fmt: skip
    assert found.json["results"][5]["error_message"] == "unreachable"
    for status, count in {"sent": 2, "delivered": 1, "read": 1, "failed": 2, "pending": 1}.items():
        listed = client.get(f"{path}?status={status}").json
        assert (listed["count"], {row["status"] for row in listed["results"]}) == (count, {status})
    assert client.get(f"{path}?status=lost").status_code == 400
    assert client.get(f"{path}?page=2").status_code == 404
    paged = client.get(f"{path}?page=2&page_size=3").json
    assert [row["id"] for row in paged["results"]] == ids[3:6]
    assert "page=3" in paged["next"] and "page=1" in paged["previous"]


def test_one_message_by_metas_id(client: Client) -> None:
    public_id = send_bulk(client, bulk(8)).json["bulk_send_id"]
    ids = settle(public_id, *MIXED)
    for closing in ("", "/"):
        found = client.get(f"{ROOT}/messages/wamid.T{ids[4]}/+=={closing}")
        assert found.status_code == 200
    moment = timestamps.format_time(NOW)[:19] + "Z"  # type: ignore[index]
    assert found.json == {
        "id": ids[4],
        "template": {
            "id": definitions.find("77", "greeting", "es").id,  # type: ignore[union-attr]
            "name": "greeting",
            "language": "es",
            "category": "UTILITY",
        },
        "recipient": {"phone": "+5491155550004", "contact_name": None, "contact_id": 5},
        "variables_used": {"name": "Eva 4", "code": "K-4"},
        "delivery_status": {
            "current": "failed",
            "sent_at": moment,
            "delivered_at": None,
            "read_at": None,
            "failed_at": moment,
            "error_code": "131026",
            "error_message": "unreachable",
        },
        "meta_message_id": f"wamid.T{ids[4]}/+==",
        "was_successful": False,
        "error_message": "unreachable",
        "sent_at": moment,
    }
    assert client.get(f"{ROOT}/messages/wamid.none/").status_code == 404


def test_business_accounts(client: Client) -> None:
    add_channel("100000000000002", tier="TIER_250", display_phone_number="+1 555-0102", verified_name="Two")
    for path in ("/api/v1/business-accounts/", "/api/v1/business-accounts"):
        response = client.get(path)
        assert response.status_code == 200
    account = response.json["businessAccounts"][0]
    assert {**response.json, "businessAccounts": []} == {
        "companyName": "Sandbox 1",
        "apiKeyName": "tests",
        "businessAccounts": [],
    }
    assert (account["businessAccountId"], account["businessName"]) == ("77", "Sandbox 1")
    assert account["phoneNumbers"][1] == {
        "id": channels.find("100000000000002").id,  # type: ignore[union-attr]
        "phoneNumberId": "100000000000002",
        "displayPhoneNumber": "+1 555-0102",
        "verifiedName": "Two",
        "isPrimary": False,
        "messagingLimitTier": "TIER_250",
        "quota": {
            "dailyLimit": 250,
            "uniqueNumbersSent24h": 0,
            "remaining": 250,
            "usagePercentage": 0.0,
            "canSend": True,
        },
    }
    assert account["phoneNumbers"][0]["isPrimary"] is True
    by_name = {(row["name"], row["language"]): row for row in account["templates"]}
    assert ("hidden", "es") not in by_name
    assert by_name["festival", "es"] == {
        "name": "festival",
        "language": "es",
        "category": "UTILITY",
        "variables": [
            {"name": "name", "type": "TEXT", "position": 1, "isRequired": True, "component": "HEADER"},
            {"name": "name", "type": "TEXT", "position": 2, "isRequired": True, "component": "BODY"},
            {"name": "day", "type": "TEXT", "position": 3, "isRequired": True, "component": "BODY"},
        ],
    }
    reader = access.create_token("reader", ["channels:read"], None, NOW)
    assert client.get("/api/v1/business-accounts/", token=reader).status_code == 403


# Sending at once


def single(number: str = "+905554440001", **changes: Any) -> dict[str, Any]:
    document = {
        "phone_number_id": CHANNEL,
        "template_name": "appointment",
        "language": "en",
        "recipient_phone": number,
        "variables": {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"},
    }
    return document | changes


def test_a_single_send_has_left_when_it_answers(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    response = here.call("POST", f"{ROOT}/send/", json=single())
    assert response.status_code == 200, response.text
    assert masked(response.json(), **MASKS) == {
        "success": True,
        "message_id": "*",
        "template_name": "appointment",
        "recipient_phone": "+905554440001",
        "status": "sent",
        "sent_at": "*",
    }
    assert field.report()["accepted"] == 1
    wamid = response.json()["message_id"]
    assert here.ask("GET", f"{ROOT}/messages/{wamid}/")["was_successful"] is True
    assert here.ask("GET", f"{ROOT}/bulk-sends/")["count"] == 0

    for number, code in (("+905554449001", 131026), ("+905554449009", 190)):
        response = here.call("POST", f"{ROOT}/send", json=single(number))
        assert (response.status_code, response.json()["details"]["code"]) == (400, code)
        assert response.json()["details"]["message"]
    here.command("channel", "sync", CHANNEL)
    response = here.call("POST", f"{ROOT}/send", json=single("+905554449006"))
    assert (response.status_code, set(response.json())) == (504, {"error", "details"})
    response = here.call("POST", f"{ROOT}/send", json=single(variables={}))
    assert (response.status_code, list(response.json()["details"])) == (400, ["variables"])
    response = here.call("POST", f"{ROOT}/send", json=single("905554440001"))
    assert (response.status_code, list(response.json()["details"])) == (400, ["recipient_phone"])


def test_many_at_once_are_all_sent(field: Field) -> None:
    field.sandbox("--latency", "100")
    here = field.installation(pace=1000)
    field.start(here)

    def send(number: int) -> int:
        document = single(f"+9055544{number:05d}")
        headers = {"Authorization": f"Bearer {here.token}"}
        url = here.url + f"{ROOT}/send/"
        return requests.post(url, json=document, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(send, range(40))) == [200] * 40
    assert (field.report()["accepted"], field.report()["duplicates"]) == (40, 0)


def test_too_many_at_once_are_told_to_come_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_send, "_awaited", threading.BoundedSemaphore(1))
    single_send._awaited.acquire()
    response = client.post(f"{ROOT}/send/", single())
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert Broadcast.select().count() == 0


def test_the_same_key_sends_once(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    answers = [
        here.call("POST", f"{ROOT}/send/", json=single(), headers={"Idempotency-Key": "k1"}) for _ in range(3)
    ]
    assert len({answer.text for answer in answers}) == 1
    assert field.report()["accepted"] == 1


def test_without_a_worker_the_message_is_withdrawn(field: Field) -> None:
    field.sandbox()
    here = field.installation()
    web = field.start(here, "web")
    key = {"Idempotency-Key": "k7"}
    response = here.call("POST", f"{ROOT}/send/", json=single(), headers=key)
    assert (response.status_code, response.json()["details"]) == (503, {})
    assert response.headers["Retry-After"] == "10"
    web.stop()
    field.start(here)
    listed = here.ask("GET", "/v1/broadcasts")["data"]
    assert [row["status"] for row in listed] == ["cancelled"]
    again = here.ask("POST", f"{ROOT}/send/", json=single(), headers=key)
    assert again["recipient_phone"] == "+905554440001"
    assert field.report()["accepted"] == 1


def test_while_the_database_refuses_nobody_is_told_that_it_did_not_leave(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(single_send, "stop", refuse)
    monkeypatch.setattr(single_send, "_PATIENCE", 0)
    monkeypatch.setattr(single_send, "_LONGEST_AWAITED", 0.2)
    response = client.post(f"{ROOT}/send/", single())
    assert (response.status_code, Message.get().state) == (504, "pending")


def test_bulk_sends_run_to_their_end(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    entries = [
        {"phone": f"+9055544400{i:02d}", "variables": {"1": "Ana", "2": "b", "3": "c", "4": "d"}}
        for i in range(5)
    ] + [{"phone": "+905554449001", "variables": {"1": "Ana", "2": "b", "3": "c", "4": "d"}}]
    document = {"phone_number_id": CHANNEL, "template_name": "appointment", "language": "en"}
    accepted = here.ask("POST", f"{ROOT}/send-bulk/", json=document | {"recipients": entries})
    path = f"{ROOT}/bulk-sends/{accepted['bulk_send_id']}/"
    found = wait_until(lambda: (seen := here.ask("GET", path))["completed_at"] and seen)
    assert (found["status"], found["sent_count"], found["failed_count"]) == ("PARTIAL", 5, 1)
    assert found["progress_percentage"] == 100.0
    assert here.ask("GET", f"/v1/broadcasts/{accepted['bulk_send_id']}")["stats"]["success"] == 5
    assert json.loads(here.command("list", "--json"))[0]["id"] == accepted["bulk_send_id"]
