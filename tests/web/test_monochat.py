"""MonoChat's calls, each with its request and its whole answer; ids and times masked by their form."""

import re
from typing import Any

import pytest

from broadcaster.domain import strict_json
from broadcaster.services import access
from broadcaster.store.models import Broadcast, Contact, Message
from tests.support.broadcasts import settle
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import CHANNEL, MORE_TEMPLATES, NOW, masked
from tests.support.waiting import wait_until

ROOT = "/api/ws-7/custom-functions/bulk-message-api-app/api/bulk-message"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
MASKS = {
    "bulkMessageId": "[a-z0-9]{20}",
    "_id": "[a-z0-9]{20}",
    "jobId": "[0-9a-f-]{36}",
    "createdAt": TIME,
    "updatedAt": TIME,
    "date": TIME,
}


def payload(name: str | None = "discount", *variables: dict[str, Any], **changes: Any) -> dict[str, Any]:
    template: dict[str, Any] = {"templateName": name, "languageCode": "tr-TR"} if name else {}
    if variables:
        template["variables"] = list(variables)
    return ({"type": "template"} if name else {}) | {"template": template} | changes


def part(kind: str, parameters: Any) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters}


DISCOUNT = payload("discount", part("BODY", ["30%", "31 July"]))


def message_to(*recipients: Any, **changes: Any) -> dict[str, Any]:
    document = {
        "channelUsername": "15550101",
        "connectorBrand": "whatsapp",
        "title": "Summer",
        "defaultPayload": DISCOUNT,
        "recipients": list(recipients) or [{"username": "905554443301"}, {"username": "905554443302"}],
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def call(client: Client, name: str, document: Any, root: str = ROOT, **options: Any) -> Any:
    return client.post(f"{root}/{name}.js", document, **options)


def accepted(client: Client, document: dict[str, Any]) -> str:
    response = call(client, "send", document)
    assert response.status_code == 200, response.text
    return str(response.json["bulkMessageId"])


def bodies() -> list[list[str]]:
    """The body's texts of every message."""
    found = []
    for row in Message.select().order_by(Message.id):
        for component in strict_json.loads(row.content.encode()).get("components", []):
            if component["type"] == "body":
                found.append([parameter["text"] for parameter in component["parameters"]])
    return found


def test_send(client: Client) -> None:
    response = call(client, "send", message_to())
    assert response.status_code == 200
    assert masked(response.json, **MASKS) == {"bulkMessageId": "*"}
    assert bodies() == [["30%", "31 July"]] * 2
    assert [row.recipient for row in Contact.select().order_by(Contact.id)] == [
        "+905554443301",
        "+905554443302",
    ]
    own = client.get(f"/v1/broadcasts/{response.json['bulkMessageId']}").json
    assert (own["title"], own["template"]) == ("Summer", {"name": "discount", "language": "tr_TR"})


def test_the_template_may_need_nothing(client: Client) -> None:
    accepted(client, message_to(defaultPayload=payload("plain")))
    assert strict_json.loads(Message.select().first().content.encode()) == {
        "name": "plain",
        "language": {"code": "tr_TR"},
    }


def test_stats(client: Client) -> None:
    public_id = accepted(client, message_to(scheduleAt="2030-06-10T07:00:00.000Z"))
    response = call(client, "stats", {"bulkMessageId": public_id})
    assert response.status_code == 200
    assert masked(response.json, **{k: v for k, v in MASKS.items() if k != "date"}) == {
        "bulkMessage": {
            "_id": "*",
            "slug": "ws-7",
            "title": "Summer",
            "channelUsername": "15550101",
            "connectorBrand": "whatsapp",
            "connectorSlug": "whatsapp-cloud",
            "payload": {"recipientCount": 2, "defaultPayloadType": "template", "jobId": "*"},
            "schedule": {"date": "2030-06-10T07:00:00.000Z", "type": "later"},
            "createdAt": "*",
            "updatedAt": "*",
        },
        "stats": {"pending": 2, "success": 0, "failed": 0, "cancelled": 0, "total": 2},
    }
    now = accepted(client, message_to(title=None))
    found = call(client, "stats", {"bulkMessageId": now}).json["bulkMessage"]
    assert (found["title"], found["schedule"]["type"]) == ("-", "now")
    assert re.fullmatch(TIME, found["schedule"]["date"])


def test_a_receipt_moves_no_counter(client: Client) -> None:
    public_id = accepted(client, message_to(*({"username": f"90555444330{i}"} for i in range(4))))
    settle(public_id, ("sent", "read"), ("sent", "failed"), ("failed", None), ("unknown", None))
    found = call(client, "stats", {"bulkMessageId": public_id}).json["stats"]
    assert found == {"pending": 1, "success": 2, "failed": 1, "cancelled": 0, "total": 4}


def test_stop(client: Client) -> None:
    public_id = accepted(client, message_to())
    for _ in range(2):
        response = call(client, "stop", {"bulkMessageId": public_id})
        assert (response.status_code, response.json) == (200, {})
    found = call(client, "stats", {"bulkMessageId": public_id}).json["stats"]
    assert found == {"pending": 0, "success": 0, "failed": 0, "cancelled": 2, "total": 2}
    ended = accepted(client, message_to())
    settle(ended, ("sent", None), ("sent", None))
    assert call(client, "stop", {"bulkMessageId": ended}).status_code == 200


def test_a_broadcast_is_found_only_under_its_own_slug(client: Client) -> None:
    public_id = accepted(client, message_to())
    other = ROOT.replace("ws-7", "ws-8")
    own = {"channel": CHANNEL, "template": {"name": "plain"}, "recipients": [{"to": "+905554443301"}]}
    foreign = client.post("/v1/broadcasts", own).json["id"]
    for name in ("stats", "stop"):
        for root, asked in ((other, public_id), (ROOT, "abc123xyz789"), (ROOT, foreign)):
            response = call(client, name, {"bulkMessageId": asked}, root)
            assert (response.status_code, response.json["error"]) == (404, "bulkMessageNotFound")
            assert set(response.json) == {"error", "message", "details"}
        response = call(client, name, {})
        assert (response.status_code, response.json["error"]) == (400, "schema-error")
        assert response.json["details"] == [{"field": "bulkMessageId", "message": "is required"}]
    assert call(client, "stats", {"bulkMessageId": public_id}).json["stats"]["pending"] == 2


@pytest.mark.parametrize("slug", ["v1", "a%20b", "%C3%BC", "stats.js"])
def test_any_slug_is_echoed(client: Client, slug: str) -> None:
    root = ROOT.replace("ws-7", slug)
    public_id = call(client, "send", message_to(), root).json["bulkMessageId"]
    found = call(client, "stats", {"bulkMessageId": public_id}, root).json
    assert found["bulkMessage"]["slug"] == {"a%20b": "a b", "%C3%BC": "ü"}.get(slug, slug)


def test_a_slug_that_could_not_be_shown_is_refused(client: Client) -> None:
    for slug in ("a%00b", "a%0Ab", "x" * 201):
        response = call(client, "send", message_to(), ROOT.replace("ws-7", slug))
        assert (response.status_code, response.json["error"]) == (400, "schema-error")
        assert [fault["field"] for fault in response.json["details"]] == ["slug"]


# Merging


def test_own_payloads_are_laid_over_the_default(client: Client) -> None:
    default = payload("discount", part("BODY", {"1": "30%", "2": "31 July"}), isMerge=True)
    accepted(
        client,
        message_to(
            {"username": "905554443301", "payload": payload(None, part("BODY", {"1": "50%"}))},
            {"username": "905554443302", "payload": payload(None, part("BODY", ["60%", "June"]))},
            {"username": "905554443303"},
            {"username": "905554443304", "payload": {}},
            {
                "username": "905554443305",
                "isMerge": False,
                "payload": payload("discount", part("BODY", ["70%", "May"])),
            },
            defaultPayload=default,
        ),
    )
    given = ["30%", "31 July"]
    assert bodies() == [["50%", "31 July"], ["60%", "June"], given, given, ["70%", "May"]]


def test_without_is_merge_the_own_payload_replaces(client: Client) -> None:
    own = payload("discount", part("BODY", {"1": "50%"}))
    response = call(client, "send", message_to({"username": "905554443301", "payload": own}))
    assert (response.status_code, response.json["error"]) == (400, "schema-error")
    assert response.json["details"] == [
        {"field": "recipients[0].payload.template.variables", "message": "BODY needs 1, 2; got 1"}
    ]
    other = payload("plain")
    accepted(client, message_to({"username": "905554443301", "payload": other}, {"username": "905554443302"}))
    names = [strict_json.loads(row.content.encode())["name"] for row in Message.select().order_by(Message.id)]
    assert names == ["plain", "discount"]


def test_own_payloads_need_no_default(client: Client) -> None:
    accepted(client, message_to({"username": "905554443301", "payload": DISCOUNT}, defaultPayload=None))
    assert Broadcast.get().template_name == "discount"


def test_another_template_can_be_merged_in(client: Client) -> None:
    default = payload("discount", part("BODY", {"1": "30%", "2": "May"}), isMerge=True)
    own = {"template": {"templateName": "tracking", "variables": [part("BUTTONS", ["a", "b"])]}}
    accepted(client, message_to({"username": "905554443301", "payload": own}, defaultPayload=default))
    content = strict_json.loads(Message.get().content.encode())
    assert content["name"] == "tracking"
    assert [(c.get("index"), c["parameters"][0]["text"]) for c in content["components"]] == [
        (None, "30%"),
        ("2", "a"),
        ("4", "b"),
    ]


@pytest.mark.parametrize("values", [["t", "c"], {"1": "t", "2": "c"}])
def test_buttons_are_counted_among_those_that_take_a_value(client: Client, values: Any) -> None:
    accepted(
        client,
        message_to(defaultPayload=payload("tracking", part("BODY", ["Ana", "7"]), part("BUTTONS", values))),
    )
    content = strict_json.loads(Message.select().first().content.encode())
    assert content["components"][1:] == [
        {"type": "button", "sub_type": "url", "index": "2", "parameters": [{"type": "text", "text": "t"}]},
        {"type": "button", "sub_type": "url", "index": "4", "parameters": [{"type": "text", "text": "c"}]},
    ]


def test_a_carousel_counts_buttons_in_each_card(client: Client) -> None:
    card = {
        "components": [
            part("HEADER", ["https://cdn.example/a.jpg"]),
            part("BODY", ["Tea", "5"]),
            part("BUTTONS", ["tea"]),
        ]
    }
    cards = {"type": "CAROUSEL", "cards": [card, card]}
    default = {
        "type": "template",
        "template": {
            "templateName": "collection",
            "languageCode": "en",
            "variables": [part("BODY", ["Ana"]), cards],
        },
    }
    accepted(client, message_to(defaultPayload=default))
    sent = strict_json.loads(Message.select().first().content.encode())["components"][1]["cards"]
    assert [card["card_index"] for card in sent] == [0, 1]
    assert sent[1]["components"][2]["index"] == "1"
    cards["cards"] = [card]
    response = call(client, "send", message_to(defaultPayload=default))
    assert response.json["details"][0] == {
        "field": "defaultPayload.template.variables",
        "message": "CAROUSEL needs 2 cards; got 1",
    }


def test_fields_its_page_does_not_name_are_passed_over(client: Client) -> None:
    body = {"type": "BODY", "parameters": ["a", "b"], "cards": None, "x": 1}
    empty = {"type": "HEADER", "parameters": None}
    default = payload("discount", body, empty, extra=1)
    one = {"username": "905554443301", "payload": None, "note": "x"}
    accepted(client, message_to(one, defaultPayload=default))
    card = {
        "components": [
            {"type": "HEADER", "parameters": ["https://cdn.example/a.jpg"], "cards": []},
            {"type": "BODY", "parameters": ["Tea", "5"], "text": "x"},
            {"type": "BUTTONS", "parameters": ["tea"]},
        ],
        "index": 0,
    }
    cards = {"type": "CAROUSEL", "cards": [card, card], "parameters": []}
    variables = [part("BODY", ["Ana"]), cards]
    template = {"templateName": "collection", "languageCode": "en", "variables": variables}
    accepted(client, message_to(defaultPayload={"type": "template", "template": template}))
    assert bodies()[0] == ["a", "b"]


# People


def test_contacts_and_conversations_stand_for_numbers(client: Client) -> None:
    accepted(client, message_to())
    contact = client.get("/v1/contacts").json["data"][0]["id"]
    accepted(client, message_to({"userId": contact}))
    assert Message.select().order_by(Message.id.desc()).first().recipient == "+905554443301"
    for name in ("userId", "sessionId"):
        response = call(client, "send", message_to({name: "nobody"}))
        assert (response.status_code, response.json["error"]) == (400, "invalidRequest")
        assert response.json["details"][0]["field"] == f"recipients[0].{name}"
    response = call(client, "send", message_to({"userId": contact}, {"username": "905554443301"}))
    assert (response.status_code, response.json["error"]) == (400, "invalidRequest")
    assert response.json["details"] == [
        {"field": "recipients[1].username", "message": "is the same person as recipients[0].userId"}
    ]


# Refusals


@pytest.mark.parametrize(
    ("changes", "status", "code", "fields"),
    [
        ({"channelUsername": "908500000000"}, 404, "channelNotFound", ["channelUsername"]),
        ({"channelUsername": "15550105"}, 400, "channelNotVerified", ["channelUsername"]),
        ({"channelUsername": None}, 400, "schema-error", ["channelUsername"]),
        ({"channelUsername": "+15550101"}, 400, "schema-error", ["channelUsername"]),
        ({"channelUsername": 15550101}, 400, "schema-error", ["channelUsername"]),
        ({"connectorBrand": "telegram"}, 400, "schema-error", ["connectorBrand"]),
        ({"connectorBrand": None}, 400, "schema-error", ["connectorBrand"]),
        ({"recipients": None}, 400, "schema-error", ["recipients"]),
        ({"recipients": []}, 400, "schema-error", ["recipients"]),
        ({"recipients": [{"username": "905554443301"}] * 5001}, 400, "schema-error", ["recipients"]),
        ({"recipients": ["905554443301"]}, 400, "schema-error", ["recipients[0]"]),
        ({"recipients": [{"username": "+905554443301"}]}, 400, "schema-error", ["recipients[0].username"]),
        ({"recipients": [{"username": "99999"}]}, 400, "schema-error", ["recipients[0].username"]),
        ({"recipients": [{}]}, 400, "invalidRequest", ["recipients[0]"]),
        (
            {"recipients": [{"username": "905554443301", "userId": "ct_1"}]},
            400,
            "invalidRequest",
            ["recipients[0]"],
        ),
        (
            {"recipients": [{"username": "905554443301"}, {"username": "905554443301"}]},
            400,
            "invalidRequest",
            ["recipients[1].username"],
        ),
        ({"defaultPayload": None}, 400, "invalidRequest", [f"recipients[{i}].payload" for i in (0, 1)]),
        ({"defaultPayload": {"type": "text"}}, 400, "schema-error", ["defaultPayload.type"]),
        (
            {"defaultPayload": {}},
            400,
            "schema-error",
            ["defaultPayload.type", "defaultPayload.template.templateName"],
        ),
        (
            {"defaultPayload": payload("nobody")},
            400,
            "schema-error",
            ["defaultPayload.template.templateName"],
        ),
        (
            {"defaultPayload": payload(template={"templateName": "hidden"})},
            400,
            "schema-error",
            ["defaultPayload.template.templateName"],
        ),
        (
            {"defaultPayload": payload(template={"templateName": "discount", "languageCode": "tr"})},
            400,
            "schema-error",
            ["defaultPayload.template.languageCode"],
        ),
        ({"defaultPayload": payload("discount")}, 400, "schema-error", ["defaultPayload.template.variables"]),
        (
            {"defaultPayload": payload("discount", part("BODY", ["a", "b"]), part("BODY", ["c", "d"]))},
            400,
            "schema-error",
            ["defaultPayload.template.variables[1].type"],
        ),
        (
            {"defaultPayload": payload("discount", part("BODY", ["a", "b"]), part("BUTTONS", ["c"]))},
            400,
            "schema-error",
            ["defaultPayload.template.variables"],
        ),
        ({"scheduleAt": "tomorrow"}, 400, "schema-error", ["scheduleAt"]),
        ({"scheduleAt": "0001-01-01T00:00:00+03:00"}, 400, "schema-error", ["scheduleAt"]),
        ({"scheduleAt": "1969-12-31T23:59:59Z"}, 400, "schema-error", ["scheduleAt"]),
        (
            {"defaultPayload": payload("discount", *[part("BODY", ["a", "b"])] * 1001)},
            400,
            "schema-error",
            ["defaultPayload.template.variables"],
        ),
        ({"action": {"key": "assign-to-team", "value": "x"}}, 400, "schema-error", ["action.key"]),
        ({"action": {"key": "assign-to-user"}}, 400, "schema-error", ["action.value"]),
    ],
)
def test_refusals_of_send(client: Client, changes: Any, status: int, code: str, fields: list[str]) -> None:
    add_channel("100000000000005", display_phone_number="+1 555-0105", status="PENDING")
    response = call(client, "send", message_to(**changes))
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert set(response.json) == {"error", "message", "details"}
    assert (response.json["error"], [fault["field"] for fault in response.json["details"]]) == (code, fields)
    assert Broadcast.select().count() == 0
    assert Contact.select().count() == 0


def test_the_channels_two_sentences(client: Client) -> None:
    add_channel("100000000000005", display_phone_number="+1 555-0105", status="PENDING")
    told = [
        call(client, "send", message_to(channelUsername=number)).json["message"]
        for number in ("908500000000", "15550105")
    ]
    assert told == ["Channel not found", "Channel is not verified"]


def test_refusals_before_any_reading(client: Client) -> None:
    reader = access.create_token("reader", ["broadcasts:read"], None, NOW)
    for token, status, code in (("nonsense", 401, "unauthorized"), (reader, 403, "forbidden")):
        response = call(client, "send", message_to(), token=token)
        assert (response.status_code, response.json["error"]) == (status, code)
    header = {"Content-Type": "application/json"}
    for response, status, code in (
        (client.post(f"{ROOT}/send.js", body="{", headers=header), 400, "schema-error"),
        (client.get(f"{ROOT}/send.js"), 405, "methodNotAllowed"),
        (client.post(f"{ROOT}/other.js", {}), 404, "notFound"),
    ):
        assert (response.status_code, response.json["error"]) == (status, code)


# The five shapes of its page, to their end


def three(*own: dict[str, Any] | None) -> list[dict[str, Any]]:
    recipients: list[dict[str, Any]] = [{"username": f"9055544433{i}"} for i in range(1, 4)]
    for entry, one in zip(recipients, own, strict=False):
        entry["payload"] = one
    return recipients


MORNING = payload(template={"templateName": "morning", "languageCode": "en-US"}, isMerge=True)
WORKED: list[dict[str, Any]] = [
    {"title": "General", "defaultPayload": payload("plain"), "recipients": three()},
    {"defaultPayload": DISCOUNT, "recipients": three()},
    {
        "defaultPayload": payload("picture", isMerge=True),
        "recipients": three(
            *(
                payload(
                    None,
                    part("HEADER", [f"https://cdn.example/{i}.jpg"]),
                    part("BODY", [f"Ece {i}", f"O-{i}", "150 TRY"]),
                )
                for i in range(3)
            )
        ),
    },
    {
        "defaultPayload": payload("tracking", isMerge=True),
        "recipients": three(
            *(
                payload(None, part("BODY", ["Ece", f"T{i}"]), part("BUTTONS", [f"T{i}", "c"]))
                for i in range(3)
            )
        ),
    },
    {
        "defaultPayload": MORNING,
        # A time that has passed: the page's own example has one, and it goes out at once.
        "scheduleAt": "2026-06-10T07:00:00.000Z",
        "action": {"key": "assign-to-workgroup", "value": "night-shift"},
        "recipients": three(
            *(payload(None, part("BODY", {"name": "Ece", "rate": f"{i}"})) for i in range(3))
        ),
    },
]


def to_others(document: dict[str, Any], number: int) -> dict[str, Any]:
    """The same to people of its own: two messages to one person leave six seconds apart."""
    people = [entry | {"username": f"{entry['username']}{number}"} for entry in document["recipients"]]
    return document | {"recipients": people}


def test_the_worked_shapes_run_to_success(field: Field) -> None:
    field.sandbox("--latency", "5", "--templates", str(MORE_TEMPLATES))
    here = field.bare_installation()
    here.add_channel(CHANNEL)
    field.start(here)
    ids = [
        here.ask(
            "POST",
            f"{ROOT}/send.js",
            json={"channelUsername": "15550101", "connectorBrand": "whatsapp", **to_others(document, i)},
        )["bulkMessageId"]
        for i, document in enumerate(WORKED)
    ]
    for public_id in ids:
        found = wait_until(lambda public_id=public_id: done(here, public_id, 3))
        assert found == {"pending": 0, "success": 3, "failed": 0, "cancelled": 0, "total": 3}
    assert (field.report()["accepted"], field.report()["refused"]) == (15, {})
    assigned = here.ask("GET", "/v1/conversations?assignedTo=night-shift")["data"]
    assert len(assigned) == 3
    assert {row["assignedTo"]["key"] for row in assigned} == {"assign-to-workgroup"}
    again = {"channelUsername": "15550101", "connectorBrand": "whatsapp", **WORKED[0]}
    again["recipients"] = [{"sessionId": assigned[0]["id"]}]
    session = here.ask("POST", f"{ROOT}/send.js", json=again)["bulkMessageId"]
    wait_until(lambda: done(here, session, 1))


def done(here: Any, public_id: str, count: int) -> dict[str, int] | None:
    """The stats, once so many are handed over."""
    found: dict[str, int] = here.ask("POST", f"{ROOT}/stats.js", json={"bulkMessageId": public_id})["stats"]
    return found if found["success"] == count else None


def test_stats_before_during_and_after_a_stop(field: Field) -> None:
    field.sandbox("--latency", "5", "--templates", str(MORE_TEMPLATES))
    here = field.bare_installation()
    here.add_channel(CHANNEL, "--pace", "20")
    field.start(here)
    many = [{"username": f"9055544{i:05d}"} for i in range(200)]
    document = {
        "channelUsername": "15550101",
        "connectorBrand": "whatsapp",
        "defaultPayload": payload("plain"),
        "recipients": many,
    }
    asked = {"bulkMessageId": here.ask("POST", f"{ROOT}/send.js", json=document)["bulkMessageId"]}

    def stats() -> dict[str, int]:
        found: dict[str, int] = here.ask("POST", f"{ROOT}/stats.js", json=asked)["stats"]
        assert sum(found[name] for name in ("pending", "success", "failed", "cancelled")) == found["total"]
        return found

    assert stats()["total"] == 200
    during = wait_until(lambda: (seen := stats())["success"] > 5 and seen)
    assert during["pending"] > 0
    assert here.ask("POST", f"{ROOT}/stop.js", json=asked) == {}
    after = wait_until(lambda: (seen := stats())["pending"] == 0 and seen)
    assert after["cancelled"] > 0
    assert after["success"] == field.report()["accepted"]
    assert stats() == after
