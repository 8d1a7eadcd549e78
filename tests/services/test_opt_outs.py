"""Who wants no marketing: by hand, by a word, by a button, by what Meta says."""

import pytest

from broadcaster.store import installation, suppressions
from broadcaster.store.models import Event, Message, Suppression
from tests.support.broadcasts import broadcast_in
from tests.support.callbacks import callback, hear, status
from tests.support.client import Client
from tests.support.samples import CHANNEL, request_of


def test_suppressions_by_hand(client: Client) -> None:
    people = ["+905554440001", "905554440002", "+905554440001"]
    added = client.post("/v1/suppressions", {"to": people, "reason": "asked"})
    assert (added.status_code, added.json) == (201, {"added": 2, "known": 0})
    assert client.post("/v1/suppressions", {"to": people[:1]}).json == {"added": 0, "known": 1}
    listed = client.get("/v1/suppressions?limit=1").json
    assert (listed["data"][0]["to"], listed["data"][0]["reason"]) == ("+905554440001", "asked")
    following = client.get("/v1/suppressions", params={"limit": "1", "after": listed["next"]}).json
    assert [row["to"] for row in following["data"]] == ["+905554440002"]
    assert len(client.get("/v1/suppressions?to=905554440002").json["data"]) == 1
    assert client.call("DELETE", "/v1/suppressions/+905554440001").status_code == 204
    assert client.call("DELETE", "/v1/suppressions/+905554440001").status_code == 404
    refused = client.post("/v1/suppressions", {"to": ["+905554440001", "0911"]})
    assert [fault["field"] for fault in refused.json["errors"]] == ["to[1]"]
    events = client.get("/v1/events?type=optout.changed").json["data"]
    assert [(event["data"]["to"][-1], event["data"]["suppressed"]) for event in events] == [
        ("1", True),
        ("2", True),
        ("1", False),
    ]


COUPON = [
    {"type": "HEADER", "parameters": ["10%"]},
    {"type": "BODY", "parameters": ["TEN", "May"]},
    {"type": "BUTTONS", "parameters": ["TEN10"]},
]


def test_marketing_to_the_suppressed_fails_at_once_and_service_goes_out(client: Client) -> None:
    client.post("/v1/suppressions", {"to": ["+905554440000"]})
    entries = [{"to": f"+90555444000{i}", "variables": COUPON} for i in range(2)]
    document = {"channel": CHANNEL, "template": {"name": "coupon"}, "recipients": entries}
    answer = client.post("/v1/broadcasts", document).json
    assert (answer["stats"]["failed"], answer["stats"]["pending"]) == (1, 1)
    assert Message.get(Message.state == "failed").error_code == "SUPPRESSED"
    assert client.post("/v1/broadcasts", request_of(1)).json["stats"]["pending"] == 1


def test_whom_meta_calls_opted_out_is_suppressed_by_receipt(client: Client) -> None:
    broadcast_in(client, ("sent", None), ("sent", None))
    first, second = Message.select().order_by(Message.id)
    key = installation.key()
    errors = [{"code": 131050, "title": "opted out"}]
    hear(client.settings, callback(status("failed", first.wamid, f"{key}.{first.id}.1", errors=errors)))
    hear(
        client.settings,
        callback(status("failed", second.wamid, f"{key}.{second.id}.1", errors=[{"code": 131026}])),
    )
    assert [row.recipient for row in Suppression.select()] == [first.recipient]
    assert Event.select().where(Event.type == "optout.changed").count() == 1


@pytest.mark.parametrize(
    ("said", "stops"),
    [
        ("STOP", True),
        (" stop ", True),
        ("İptal", True),
        ("iptal", True),
        ("Baja", True),
        ("STOP.", True),
        ("Stop promotions", True),
        ("إيقاف العروض الترويجية", True),
        ("please stop", False),
        ("Siparişi iptal et", False),
        ("", False),
    ],
)
def test_a_stop_word_and_nothing_else_opts_out(client: Client, said: str, stops: bool) -> None:
    message = {"from": "905554440001", "id": "w", "timestamp": "1", "type": "text", "text": {"body": said}}
    contacts = [{"wa_id": "905554440001", "profile": {"name": "Ana \ud83d"}}]
    client.post("/v1/broadcasts", request_of(2))
    hear(client.settings, callback(messages=[message], contacts=contacts))
    assert bool(Suppression.get_or_none(Suppression.recipient == "+905554440001")) is stops
    assert client.get("/v1/contacts?to=905554440001").json["data"][0]["name"] == "Ana ?"


def test_a_stop_button_with_a_payload_of_its_own_opts_out(client: Client) -> None:
    base = {"from": "905554440000", "id": "wamid.in", "timestamp": "1"}
    for i, part in enumerate((
        {"type": "button", "button": {"payload": "unsub_1", "text": "STOP"}},
        {"type": "interactive", "interactive": {"button_reply": {"id": "x", "title": "stop"}}},
    )):  # fmt: skip
        person = f"90555444000{i}"
        hear(client.settings, callback(messages=[{**base, "from": person, **part}]))
    assert Suppression.select().count() == 2


def test_a_tapped_button_and_a_preference_opt_out_and_back_in(client: Client) -> None:
    tapped = {"from": "905554440001", "type": "button", "button": {"payload": "STOP", "text": "No more"}}
    hear(client.settings, callback(messages=[tapped]))
    wish = {"wa_id": "905554440002", "category": "marketing_messages", "value": "stop", "timestamp": 1}
    hear(client.settings, callback(field="user_preferences", user_preferences=[wish]))
    assert {row.recipient for row in Suppression.select()} == {"+905554440001", "+905554440002"}
    hear(client.settings, callback(field="user_preferences", user_preferences=[wish | {"value": "resume"}]))
    assert suppressions.find("+905554440002"), "of two words in one second the stop counts"
    later = wish | {"value": "resume", "timestamp": 2}
    hear(client.settings, callback(field="user_preferences", user_preferences=[later]))
    assert [row.recipient for row in Suppression.select()] == ["+905554440001"]


@pytest.mark.parametrize(
    ("text", "stops"),
    [("Stop promotions", True), ("Unsubscribe from Promos", True), ("Siparişi iptal et", False)],
)
@pytest.mark.parametrize("field", ["messages", "standby"])
def test_a_tapped_label_opts_out_by_what_it_says(client: Client, field: str, text: str, stops: bool) -> None:
    tapped = {"from": "905554440001", "type": "button", "button": {"payload": text, "text": text}}
    hear(client.settings, callback(field=field, messages=[tapped]))
    assert Suppression.select().count() == stops


def test_an_older_resume_in_one_callback_lifts_nothing_and_a_signup_is_consent(client: Client) -> None:
    wish = {"wa_id": "905554440002", "category": "marketing_messages", "value": "stop", "timestamp": 9}
    older = wish | {"value": "resume", "timestamp": 8}
    hear(client.settings, callback(field="user_preferences", user_preferences=[wish, older]))
    assert Suppression.select().count() == 1
    newer = wish | {"value": "signup", "timestamp": 10}
    hear(client.settings, callback(field="user_preferences", user_preferences=[newer]))
    assert Suppression.select().count() == 0


def test_an_opt_out_follows_its_person_to_a_new_user_id(client: Client) -> None:
    opted = {"from_user_id": "TR.2222", "type": "text", "text": {"body": "stop"}}
    told = {"type": "user_changed_user_id", "user_id": "TR.3333", "previous_user_id": "TR.2222"}
    hear(client.settings, callback(messages=[opted, {"type": "system", "system": told}]))
    assert Suppression.select().count() == 1
    assert suppressions.find("TR.2222") == suppressions.find("TR.3333") is not None


def test_an_opt_out_follows_its_person_to_a_new_number(client: Client) -> None:
    client.post("/v1/suppressions", {"to": ["+905554440001"]})
    told = {"type": "user_changed_number", "wa_id": "905554440009", "body": "x"}
    hear(client.settings, callback(messages=[{"from": "905554440001", "type": "system", "system": told}]))
    hear(client.settings, callback(messages=[{"from": "905554440002", "type": "system", "system": told}]))
    assert Suppression.select().count() == 1
    assert suppressions.find("+905554440001") == suppressions.find("+905554440009") is not None
