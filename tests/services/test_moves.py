"""Retry, errors, expiry, opt-outs and events, as callers ask for them."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from broadcaster.domain import strict_json
from broadcaster.meta import payloads
from broadcaster.services import meta_events
from broadcaster.store import broadcasts, database, installation
from broadcaster.store.models import (
    Broadcast,
    Callback,
    Channel,
    Event,
    Message,
    Suppression,
    Template,
)
from tests.conftest import CHANNEL, NOW, Client, request_of, settle
from tests.store.test_receipts import callback, status


def made(client: Client, *states: tuple[str, str | None], **changes: Any) -> str:
    public_id = client.post("/v1/broadcasts", request_of(len(states), **changes)).json["id"]
    settle(public_id, *states)
    return str(public_id)


def set_codes(*codes: str) -> None:
    failed = (Message.state == "failed") | (Message.delivery == "failed")
    for row, code in zip(Message.select().where(failed).order_by(Message.id), codes, strict=True):
        Message.update(error_code=code).where(Message.id == row.id).execute()


def test_retry_sends_again_what_failed_with_a_code(client: Client) -> None:
    public_id = made(
        client, ("sent", "read"), ("failed", None), ("sent", "failed"), ("failed", None), ("failed", None)
    )
    set_codes("131026", "131049", "OUTCOME_UNKNOWN", "INVALID_RECIPIENT")
    first = client.post(f"/v1/broadcasts/{public_id}/retry?code=131049").json
    assert (first["retried"], first["stats"]["pending"], first["finishedAt"]) == (1, 1, None)
    again = client.post(f"/v1/broadcasts/{public_id}/retry?code=131049").json
    assert (again["retried"], again["stats"]) == (0, first["stats"])
    row = Message.select().where(Message.state == "pending").get()
    assert (row.delivery, row.wamid, row.sent_at, row.resent) == (None, None, None, False)
    all_others = client.post(f"/v1/broadcasts/{public_id}/retry").json
    assert (all_others["retried"], all_others["stats"]["failed"]) == (1, 2)
    maybe = client.post(f"/v1/broadcasts/{public_id}/retry?code=OUTCOME_UNKNOWN").json
    assert maybe["retried"] == 1
    assert Message.select().where(Message.resent).count() == 1
    assert client.post(f"/v1/broadcasts/{public_id}/retry?code=INVALID_RECIPIENT").json["retried"] == 0
    assert client.post("/v1/broadcasts/none/retry").status_code == 404


def test_the_unknown_go_again_only_when_asked_for(client: Client) -> None:
    public_id = made(client, ("sent", None), ("unknown", None), ("failed", None))
    set_codes("131026")
    assert client.post(f"/v1/broadcasts/{public_id}/retry").json["retried"] == 1
    answer = client.post(f"/v1/broadcasts/{public_id}/retry?code=OUTCOME_UNKNOWN").json
    assert (answer["retried"], answer["unknown"], answer["stats"]["pending"]) == (1, 0, 2)
    assert [row.resent for row in Message.select().order_by(Message.id)] == [False, True, False]


def test_a_failure_without_a_code_is_retried_too(client: Client) -> None:
    public_id = made(client, ("sent", "failed"), ("sent", "failed"))
    with database.transaction():
        Message.update(error_code=None, error_text=None).execute()
    [row] = client.get(f"/v1/broadcasts/{public_id}/errors").json["data"]
    assert (row["code"], row["count"]) == ("UNDELIVERED", 2)
    assert client.post(f"/v1/broadcasts/{public_id}/retry?code=UNDELIVERED").json["retried"] == 2


def test_what_is_retried_hears_no_old_news_of_being_sent(client: Client) -> None:
    """A repeated `sent` of the attempt that failed must not keep the next from leaving."""
    public_id = made(client, ("sent", "failed"))
    client.post(f"/v1/broadcasts/{public_id}/retry")
    [row] = Message.select()
    tag = f"{installation.key()}.{row.id}.1"
    hear(client, callback(status("sent", "wamid.T1/+==", tag)))
    assert Message.get().state == "pending"
    hear(client, callback(status("delivered", "wamid.T1/+==", tag)))
    assert (Message.get().state, Message.get().delivery) == ("sent", "delivered")


def test_a_retry_after_the_expiry_is_not_expired_again(client: Client) -> None:
    public_id = made(client, ("failed", None))
    with database.transaction():
        Broadcast.update(expire_at=NOW).execute()
        assert broadcasts.retry(Broadcast.get().id, None, NOW + 1) == 1
        assert broadcasts.expire(NOW + 2) == []
    assert client.get(f"/v1/broadcasts/{public_id}").json["stats"]["pending"] == 1


def test_whom_meta_calls_opted_out_is_suppressed_by_receipt(client: Client) -> None:
    made(client, ("sent", None), ("sent", None))
    first, second = Message.select().order_by(Message.id)
    key = installation.key()
    errors = [{"code": 131050, "title": "opted out"}]
    hear(client, callback(status("failed", first.wamid, f"{key}.{first.id}.1", errors=errors)))
    hear(client, callback(status("failed", second.wamid, f"{key}.{second.id}.1", errors=[{"code": 131026}])))
    assert [row.recipient for row in Suppression.select()] == [first.recipient]
    assert Event.select().where(Event.type == "optout.changed").count() == 1


@pytest.mark.parametrize(("code", "seconds_ago", "held"), [
    (132015, 10, "template"), (131042, 10, "channel"), (131042, 3600, None), (131026, 10, None),
])  # fmt: skip
def test_a_recent_receipt_holds_what_would_fail_alike(
    client: Client, code: int, seconds_ago: int, held: str | None
) -> None:
    public_id = made(client, ("sent", None), ("pending", None))
    row = Message.select().order_by(Message.id).get()
    at = str(NOW // 1000 - seconds_ago)
    tag = f"{installation.key()}.{row.id}.1"
    told = status("failed", row.wamid, tag, errors=[{"code": code, "title": "no"}], timestamp=at)
    hear(client, callback(told))
    reason = client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"]["reason"]
    assert held in (None, reason)
    assert (Channel.get().paused_at is not None) == (held == "channel")
    assert (Broadcast.get().paused_at is not None) == (held == "template")


def test_a_replay_does_not_undo_what_was_decided_since(client: Client) -> None:
    preference = {
        "wa_id": "905554440000",
        "category": "marketing_messages",
        "value": "resume",
        "timestamp": 1,
    }
    hear(client, callback(field="user_preferences", user_preferences=[preference]))
    client.post("/v1/suppressions", {"to": ["+905554440000"]})
    with database.transaction():
        assert meta_events.replay(client.settings.stop_words, 0, NOW) == 1
    assert Suppression.select().count() == 1


def test_a_stop_button_with_a_payload_of_its_own_opts_out(client: Client) -> None:
    base = {"from": "905554440000", "id": "wamid.in", "timestamp": "1"}
    for i, part in enumerate((
        {"type": "button", "button": {"payload": "unsub_1", "text": "STOP"}},
        {"type": "interactive", "interactive": {"button_reply": {"id": "x", "title": "stop"}}},
    )):  # fmt: skip
        person = f"90555444000{i}"
        hear(client, callback(messages=[{**base, "from": person, **part}]))
    assert Suppression.select().count() == 2


def test_a_stopped_broadcast_is_not_retried(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    settle(public_id, ("failed", None), ("pending", None))
    client.post(f"/v1/broadcasts/{public_id}/stop")
    assert client.post(f"/v1/broadcasts/{public_id}/retry").json["retried"] == 0


def test_errors_are_grouped_with_meaning_and_advice(client: Client) -> None:
    public_id = made(client, ("failed", None), ("sent", "failed"), ("failed", None), ("sent", None))
    set_codes("131026", "131049", "131026")
    rows = client.get(f"/v1/broadcasts/{public_id}/errors").json["data"]
    assert [(row["code"], row["count"]) for row in rows] == [("131026", 2), ("131049", 1)]
    assert all(row["meaning"] and row["advice"] for row in rows)


@pytest.mark.parametrize("expire", ["2020-01-01T00:00:00Z", "soon"])
def test_an_end_before_the_start_is_refused(client: Client, expire: str) -> None:
    response = client.post("/v1/broadcasts", request_of(expireAt=expire))
    assert [fault["field"] for fault in response.json["errors"]] == ["expireAt"]
    fine = client.post("/v1/broadcasts", request_of(expireAt="2099-01-01T00:00:00Z", onUnknown="hold"))
    assert fine.status_code == 202
    assert (Broadcast.get().on_unknown, Broadcast.get().expire_at) == ("hold", 4_070_908_800_000)


def test_a_held_channel_shows_why_and_resume_lets_go(client: Client, channel_row: Any) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    Channel.update(paused_at=NOW, pause_reason="token", pause_detail="190: expired").execute()
    seen = client.get(f"/v1/broadcasts/{public_id}").json
    assert (seen["status"], seen["whyWaiting"]["reason"]) == ("paused", "token")
    assert client.get("/v1/broadcasts?status=paused").json["data"][0]["id"] == public_id
    assert client.get("/v1/broadcasts?status=queued").json["data"] == []
    assert client.get(f"/v1/channels/{CHANNEL}").json["paused"]["reason"] == "token"
    assert client.post(f"/v1/broadcasts/{public_id}/resume").json["status"] == "queued"
    assert Channel.get().paused_at is None


# Opt-outs


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


def test_marketing_to_the_suppressed_fails_at_once_and_service_goes_out(client: Client) -> None:
    client.post("/v1/suppressions", {"to": ["+905554440000"]})
    entries = [{"to": f"+90555444000{i}", "variables": COUPON} for i in range(2)]
    document = {"channel": CHANNEL, "template": {"name": "coupon"}, "recipients": entries}
    answer = client.post("/v1/broadcasts", document).json
    assert (answer["stats"]["failed"], answer["stats"]["pending"]) == (1, 1)
    assert Message.get(Message.state == "failed").error_code == "SUPPRESSED"
    assert client.post("/v1/broadcasts", request_of(1)).json["stats"]["pending"] == 1


COUPON = [
    {"type": "HEADER", "parameters": ["10%"]},
    {"type": "BODY", "parameters": ["TEN", "May"]},
    {"type": "BUTTONS", "parameters": ["TEN10"]},
]


def hear(client: Client, document: dict[str, Any]) -> None:
    with database.transaction():
        meta_events.take(
            [meta_events.ReceivedCallback(json.dumps(document), payloads.read(document))],
            client.settings.stop_words,
            NOW,
        )


@pytest.mark.parametrize(
    ("said", "stops"),
    [
        ("STOP", True),
        (" stop ", True),
        ("İptal", True),
        ("iptal", True),
        ("Baja", True),
        ("please stop", False),
        ("", False),
    ],
)
def test_a_stop_word_and_nothing_else_opts_out(client: Client, said: str, stops: bool) -> None:
    message = {"from": "905554440001", "id": "w", "timestamp": "1", "type": "text", "text": {"body": said}}
    contacts = [{"wa_id": "905554440001", "profile": {"name": "Ana \ud83d"}}]
    client.post("/v1/broadcasts", request_of(2))
    hear(client, callback(messages=[message], contacts=contacts))
    assert bool(Suppression.get_or_none(Suppression.recipient == "+905554440001")) is stops
    assert client.get("/v1/contacts?to=905554440001").json["data"][0]["name"] == "Ana ?"


def test_a_tapped_button_and_a_preference_opt_out_and_back_in(client: Client) -> None:
    tapped = {"from": "905554440001", "type": "button", "button": {"payload": "STOP", "text": "No more"}}
    hear(client, callback(messages=[tapped]))
    wish = {"wa_id": "905554440002", "category": "marketing_messages", "value": "stop", "timestamp": 1}
    hear(client, callback(field="user_preferences", user_preferences=[wish]))
    assert {row.recipient for row in Suppression.select()} == {"+905554440001", "+905554440002"}
    hear(client, callback(field="user_preferences", user_preferences=[wish | {"value": "resume"}]))
    assert [row.recipient for row in Suppression.select()] == ["+905554440001"]


def test_an_opt_out_follows_its_person_to_a_new_number(client: Client) -> None:
    client.post("/v1/suppressions", {"to": ["+905554440001"]})
    told = {"type": "user_changed_number", "wa_id": "905554440009", "body": "x"}
    hear(client, callback(messages=[{"from": "905554440001", "type": "system", "system": told}]))
    hear(client, callback(messages=[{"from": "905554440002", "type": "system", "system": told}]))
    assert {row.recipient for row in Suppression.select()} == {"+905554440001", "+905554440009"}


def test_a_callback_that_breaks_us_is_kept_and_answered(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(meta_events, "follow", fail)
    monkeypatch.setattr(client.settings, "app_secret", "s")
    raw = strict_json.dumps(callback(field="new"))
    signature = hmac.new(b"s", raw.encode(), hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}"}
    assert client.post("/callbacks/meta", body=raw, headers=headers).status_code == 200
    assert [row.body for row in Callback.select()] == [raw]


# News of templates and numbers


def news(field: str, **value: Any) -> dict[str, Any]:
    return callback(field=field, **value)


def test_a_paused_template_holds_its_broadcasts(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    about = {
        "message_template_name": "appointment",
        "message_template_language": "en",
        "message_template_id": 1,
    }
    hear(client, news("message_template_status_update", event="PAUSED", reason="NONE", **about))
    seen = client.get(f"/v1/broadcasts/{public_id}").json
    assert (seen["status"], seen["whyWaiting"]["reason"]) == ("paused", "template")
    assert client.post("/v1/broadcasts", request_of(1)).status_code == 400
    hear(client, news("message_template_status_update", event="REINSTATED", **about))
    assert client.post("/v1/broadcasts", request_of(1)).status_code == 202
    # Meta's own example of a quality update carries the status update's name and no event.
    hear(client, news("message_template_status_update", new_quality_score="RED", **about))
    hear(client, news("template_category_update", new_category="MARKETING", **about))
    row = Template.get((Template.name == "appointment") & (Template.language == "en"))
    assert (row.status, row.quality, row.category) == ("APPROVED", "RED", "MARKETING")
    told = [event.type for event in Event.select() if event.type == "template.updated"]
    assert len(told) == 4


def test_a_tier_a_throughput_and_a_ban(client: Client) -> None:
    number = {"display_phone_number": "15550101"}
    hear(client, news("phone_number_quality_update", event="ONBOARDING", current_limit="TIER_2K", **number))
    assert Channel.get().tier == "TIER_2K"
    hear(client, news("business_capability_update", max_daily_conversations_per_business=10_000))
    assert Channel.get().tier == "TIER_10000"
    hear(client, news("phone_number_quality_update", event="THROUGHPUT_UPGRADE", **number))
    assert Channel.get().throughput == "HIGH"
    hear(client, news("account_update", event="DISABLED_UPDATE", ban_info={"waba_ban_state": "DISABLE"}))
    assert Channel.get().pause_reason == "channel"


def test_replaying_callbacks_changes_nothing_more(client: Client) -> None:
    public_id = made(client, ("sent", None), ("sent", None))
    wamid = Message.select().order_by(Message.id).get().wamid
    status = {"id": wamid, "status": "delivered", "timestamp": str(NOW // 1000)}
    document = callback(status)
    with database.transaction():
        meta_events.take(
            [meta_events.ReceivedCallback(json.dumps(document), payloads.read(document))],
            client.settings.stop_words,
            NOW,
        )
    Message.update(delivery=None, delivered_at=None).execute()
    with database.transaction():
        assert meta_events.replay(client.settings.stop_words, NOW - 1, NOW) == 1
    assert client.get(f"/v1/broadcasts/{public_id}").json["delivery"]["delivered"] == 1
