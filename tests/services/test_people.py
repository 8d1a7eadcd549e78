"""Contacts, conversations, and what a broadcast does with them."""

from typing import Any

import pytest

from broadcaster.domain import strict_json, timestamps
from broadcaster.settlement import event_documents
from broadcaster.store import conversations, database
from broadcaster.store.conversations import SentMessage
from broadcaster.store.models import Broadcast, Contact, Conversation, Event, Message
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import CHANNEL, NOW, request_of
from tests.support.waiting import wait_until


def leave(channel_id: int, *recipients: str, broadcast_id: int = 1, at: int = NOW) -> None:
    """As the sender does once Meta took messages over."""
    rows = [SentMessage(channel_id, to, at, broadcast_id, i) for i, to in enumerate(recipients, 1)]
    with database.transaction():
        event_documents.tell_assigned(conversations.note_sent(rows, at), at)


def test_every_new_number_becomes_a_contact_once(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(3))
    client.post("/v1/broadcasts", request_of(4))
    rows = client.get("/v1/contacts").json
    assert [row["to"] for row in rows["data"]] == [f"+90555444{i:04d}" for i in range(4)]
    assert rows["next"] is None
    first = rows["data"][0]
    assert set(first) == {"id", "to", "name", "createdAt"}
    more = {"names": [first["to"]], "suppressed": None, "conversations": [], "lastMessages": []}
    assert client.get(f"/v1/contacts/{first['id']}").json == first | more


def test_a_refused_request_and_a_bad_number_make_no_contact(client: Client) -> None:
    entries = [{"to": "0911"}, {"to": "+905554443301", "variables": list("abcd")}]
    client.post("/v1/broadcasts", request_of(recipients=entries))
    assert Contact.select().count() == 0
    client.post("/v1/broadcasts", request_of(recipients=entries, onInvalid="fail"))
    assert [row.recipient for row in Contact.select()] == ["+905554443301"]


def test_contacts_are_paged_and_found_by_number(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(5))
    seen, after = [], "0"
    while after is not None:
        page = client.get(f"/v1/contacts?limit=2&after={after}").json
        seen += [row["to"] for row in page["data"]]
        after = page["next"]
    assert seen == [f"+90555444{i:04d}" for i in range(5)]
    for to in ("%2B905554440003", "905554440003", "+905554440003"):
        assert [row["to"] for row in client.get(f"/v1/contacts?to={to}").json["data"]] == ["+905554440003"]
    assert client.get("/v1/contacts?to=0911").status_code == 400
    for reference in ("ct_99", "99", "cv_1", "ct_01", "ct_x"):
        assert client.get(f"/v1/contacts/{reference}").status_code == 404


def test_a_conversation_begins_when_a_message_left(client: Client, channel_row: Any) -> None:
    client.post("/v1/broadcasts", request_of(2))
    assert client.get("/v1/conversations").json == {"data": [], "next": None}
    leave(channel_row.id, "+905554440000")
    leave(channel_row.id, "+905554440000", "+905554440001", at=NOW + 5000)
    rows = client.get("/v1/conversations").json["data"]
    assert rows[0] == {
        "id": f"cv_{Conversation.select().first().id}",
        "contact": client.get("/v1/contacts").json["data"][0]["id"],
        "to": "+905554440000",
        "channel": CHANNEL,
        "createdAt": timestamps.format_time(NOW),
        "lastSentAt": timestamps.format_time(NOW + 5000),
        "assignedTo": None,
    }
    assert len(rows) == 2
    shown = client.get(f"/v1/contacts/{rows[0]['contact']}").json
    assert shown["conversations"] == [rows[0]]


def test_people_may_be_named_by_contact_or_conversation(client: Client, channel_row: Any) -> None:
    client.post("/v1/broadcasts", request_of(2))
    leave(channel_row.id, "+905554440001")
    contact = client.get("/v1/contacts").json["data"][0]["id"]
    session = client.get("/v1/conversations").json["data"][0]["id"]
    values = list("abcd")
    entries = [{"userId": contact, "variables": values}, {"sessionId": session, "variables": values}]
    answer = client.post("/v1/broadcasts", request_of(recipients=entries))
    assert answer.status_code == 202
    newest = Message.select().where(Message.broadcast_id == Broadcast.select().count())
    assert sorted(row.recipient for row in newest) == ["+905554440000", "+905554440001"]


@pytest.mark.parametrize(
    ("entry", "field", "told"),
    [
        ({"userId": "ct_999"}, "userId", 'there is no contact "ct_999"'),
        ({"userId": "cv_1"}, "userId", 'there is no contact "cv_1"'),
        ({"sessionId": "cv_999"}, "sessionId", 'there is no conversation "cv_999"'),
        ({"sessionId": "cv_1"}, "sessionId", 'the conversation "cv_1" is with another channel'),
        ({}, "to", "is required, or userId or sessionId"),
        ({"to": "+905554440000", "userId": "ct_1"}, "userId", "cannot stand beside to"),
        ({"userId": 7}, "userId", "must be a text"),
    ],
)
def test_people_who_cannot_be_found(client: Client, entry: Any, field: str, told: str) -> None:
    client.post("/v1/broadcasts", request_of(1))
    other = add_channel("100000000000002")
    leave(other.id, "+905554440000")
    response = client.post("/v1/broadcasts", request_of(recipients=[{"variables": list("abcd"), **entry}]))
    assert response.status_code == 400
    assert response.json["errors"] == [{"field": f"recipients[0].{field}", "message": told}]


def test_one_person_under_two_names_is_one_person(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(1))
    contact = client.get("/v1/contacts").json["data"][0]["id"]
    values = list("abcd")
    entries = [{"to": "+905554440000", "variables": values}, {"userId": contact, "variables": values}]
    assert client.post("/v1/broadcasts", request_of(recipients=entries)).json["duplicates"] == 1
    refused = client.post("/v1/broadcasts", request_of(recipients=entries, onDuplicate="reject"))
    assert refused.json["errors"] == [
        {"field": "recipients[1].userId", "message": "is the same person as recipients[0].to"}
    ]


def test_an_unknown_contact_can_fail_alone(client: Client) -> None:
    values = list("abcd")
    entries = [{"to": "+905554440000", "variables": values}, {"userId": "ct_9", "variables": values}]
    answer = client.post("/v1/broadcasts", request_of(recipients=entries, onInvalid="fail")).json
    assert answer["stats"] == {"pending": 1, "success": 0, "failed": 1, "cancelled": 0, "total": 2}
    assert Message.get(Message.state == "failed").error_text == 'userId: there is no contact "ct_9"'


def test_an_entry_that_fails_alone_does_not_stand_for_its_person(client: Client) -> None:
    entries = [
        {"to": "+905554440000", "variables": ["a"]},
        {"to": "+905554440000", "variables": list("abcd")},
    ]
    answer = client.post("/v1/broadcasts", request_of(recipients=entries, onInvalid="fail")).json
    assert (answer["stats"]["pending"], answer["stats"]["failed"], answer["duplicates"]) == (1, 1, 0)


def test_an_action_assigns_what_left_and_tells_of_it(client: Client, channel_row: Any) -> None:
    action = {"key": "assign-to-user", "value": "agent 7"}
    answer = client.post("/v1/broadcasts", request_of(3, action=action)).json
    client.post("/v1/broadcasts", request_of(3))
    leave(channel_row.id, "+905554440000", "+905554440001")
    leave(channel_row.id, "+905554440002", broadcast_id=2)
    rows = client.get("/v1/conversations?assignedTo=agent%207").json["data"]
    assert [row["to"] for row in rows] == ["+905554440000", "+905554440001"]
    assert rows[0]["assignedTo"] == action | {"at": timestamps.format_time(NOW)}
    assert client.get("/v1/conversations?assignedTo=nobody").json["data"] == []
    events = list(Event.select().order_by(Event.id))
    assert {event.type for event in events} == {"conversation.assigned"}
    assert strict_json.loads(events[0].data.encode()) == {
        "conversation": rows[0]["id"],
        "contact": rows[0]["contact"],
        "to": "+905554440000",
        "channel": CHANNEL,
        "assignedTo": action,
        "broadcast": answer["id"],
        "message": 1,
    }
    assert len(events) == 2


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({"key": "assign-to-team", "value": "x"}, "action.key"),
        ({"key": "assign-to-user", "value": ""}, "action.value"),
        ({"key": "assign-to-user"}, "action.value"),
        ("assign-to-user", "action"),
    ],
)
def test_an_action_that_is_none(client: Client, action: Any, field: str) -> None:
    response = client.post("/v1/broadcasts", request_of(action=action))
    assert [fault["field"] for fault in response.json["errors"]] == [field]


def test_only_what_meta_took_over_is_assigned(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    entries = [
        {"to": to, "variables": list("abcd")} for to in ("+905554440001", "+905554449001", "+905554440002")
    ]
    document = request_of(recipients=entries, action={"key": "assign-to-workgroup", "value": "sales"})
    public_id = here.ask("POST", "/v1/broadcasts", json=document)["id"]
    wait_until(lambda: here.ask("GET", f"/v1/broadcasts/{public_id}")["finishedAt"])
    rows = here.ask("GET", "/v1/conversations?assignedTo=sales")["data"]
    assert sorted(row["to"] for row in rows) == ["+905554440001", "+905554440002"]
    assert len(here.ask("GET", "/v1/contacts")["data"]) == 3


def test_a_dry_run_shows_the_first_message_and_stores_nobody(client: Client) -> None:
    entries = [{"to": "+905554440000", "variables": [{"type": "HEADER", "parameters": ["10%"]},
                {"type": "BODY", "parameters": ["TEN", "May"]},
                {"type": "BUTTONS", "parameters": ["TWENTY-AND-MORE-X"]}]}]  # fmt: skip
    document = {"channel": CHANNEL, "template": {"name": "coupon"}, "recipients": entries}
    plan = client.post("/v1/broadcasts?dryRun=true", document).json
    assert plan["preview"]["body"] == "Use the code TEN before May ends."
    assert {note["field"] for note in plan["notes"]} == {"recipients[0].variables"}
    assert (Contact.select().count(), Broadcast.select().count()) == (0, 0)


def test_a_carousel_goes_through_our_own_api(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    cards = [
        {
            "components": [
                {"type": "HEADER", "parameters": ["https://cdn.example/a.jpg"]},
                {"type": "BODY", "parameters": ["Tea", f"{i}"]},
                {"type": "BUTTONS", "parameters": {"1": "tea"}},
            ]
        }
        for i in range(2)
    ]
    offer = [
        {"type": "HEADER", "parameters": ["https://cdn.example/a.jpg"]},
        {"type": "LIMITED_TIME_OFFER", "parameters": [1_900_000_000_000]},
        {"type": "BODY", "parameters": ["Ana", "20%"]},
        {"type": "BUTTONS", "parameters": ["FLASH20", "ana"]},
    ]
    default = {"name": "collection", "language": "en", "variables": [{"type": "CAROUSEL", "cards": cards}]}
    document = {
        "channel": CHANNEL,
        "template": default,
        "recipients": [
            {"to": "+905554440001", "variables": ["Ana"]},
            {"to": "+905554440002", "variables": offer, "template": {"name": "flash_sale"}},
        ],
    }
    refused = here.call("POST", "/v1/broadcasts", json=document)
    assert refused.json()["errors"] == [
        {"field": "recipients[1].variables", "message": "CAROUSEL needs 0 cards; got 2"}
    ]
    document["recipients"][0]["variables"] = [*default["variables"], {"type": "BODY", "parameters": ["Ana"]}]
    document["template"] = {"name": "collection", "language": "en"}
    public_id = here.ask("POST", "/v1/broadcasts", json=document)["id"]
    wait_until(lambda: here.ask("GET", f"/v1/broadcasts/{public_id}")["stats"]["success"] == 2)
    assert field.report()["refused"] == {}
