"""What Meta's callbacks change: holds, templates, tiers; and that a second hearing changes nothing more."""

import hashlib
import hmac
from typing import Any

import pytest

from broadcaster.domain import strict_json
from broadcaster.services import meta_events
from broadcaster.store import database, installation
from broadcaster.store.models import Broadcast, Callback, Channel, Event, Message, Suppression, Template
from tests.support.broadcasts import broadcast_in
from tests.support.callbacks import callback, hear, status
from tests.support.client import Client
from tests.support.samples import NOW, request_of


@pytest.mark.parametrize(("code", "seconds_ago", "held"), [
    (132015, 10, "template"), (131042, 10, "channel"), (131042, 3600, None), (131026, 10, None),
])  # fmt: skip
def test_a_recent_receipt_holds_what_would_fail_alike(
    client: Client, code: int, seconds_ago: int, held: str | None
) -> None:
    public_id = broadcast_in(client, ("sent", None), ("pending", None))
    row = Message.select().order_by(Message.id).get()
    at = str(NOW // 1000 - seconds_ago)
    tag = f"{installation.key()}.{row.id}.1"
    told = status("failed", row.wamid, tag, errors=[{"code": code, "title": "no"}], timestamp=at)
    hear(client.settings, callback(told))
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
    hear(client.settings, callback(field="user_preferences", user_preferences=[preference]))
    client.post("/v1/suppressions", {"to": ["+905554440000"]})
    with database.transaction():
        assert meta_events.replay(client.settings.stop_words, 0, NOW) == 1
    assert Suppression.select().count() == 1


def test_replaying_callbacks_changes_nothing_more(client: Client) -> None:
    public_id = broadcast_in(client, ("sent", None), ("sent", None))
    wamid = Message.select().order_by(Message.id).get().wamid
    status = {"id": wamid, "status": "delivered", "timestamp": str(NOW // 1000)}
    document = callback(status)
    hear(client.settings, document)
    Message.update(delivery=None, delivered_at=None).execute()
    with database.transaction():
        assert meta_events.replay(client.settings.stop_words, NOW - 1, NOW) == 1
    assert client.get(f"/v1/broadcasts/{public_id}").json["delivery"]["delivered"] == 1


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


def news(field: str, **value: Any) -> dict[str, Any]:
    return callback(field=field, **value)


def test_a_paused_template_holds_its_broadcasts(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    about = {
        "message_template_name": "appointment",
        "message_template_language": "en",
        "message_template_id": 1,
    }
    hear(client.settings, news("message_template_status_update", event="PAUSED", reason="NONE", **about))
    seen = client.get(f"/v1/broadcasts/{public_id}").json
    assert (seen["status"], seen["whyWaiting"]["reason"]) == ("paused", "template")
    assert client.post("/v1/broadcasts", request_of(1)).status_code == 400
    hear(client.settings, news("message_template_status_update", event="REINSTATED", **about))
    assert client.post("/v1/broadcasts", request_of(1)).status_code == 202
    # Meta's own example of a quality update carries the status update's name and no event.
    hear(client.settings, news("message_template_status_update", new_quality_score="RED", **about))
    hear(client.settings, news("template_category_update", new_category="MARKETING", **about))
    row = Template.get((Template.name == "appointment") & (Template.language == "en"))
    assert (row.status, row.quality, row.category) == ("APPROVED", "RED", "MARKETING")
    told = [event.type for event in Event.select() if event.type == "template.updated"]
    assert len(told) == 4


def test_a_tier_a_throughput_and_a_ban(client: Client) -> None:
    number = {"display_phone_number": "15550101"}
    hear(
        client.settings,
        news("phone_number_quality_update", event="ONBOARDING", current_limit="TIER_2K", **number),
    )
    assert Channel.get().tier == "TIER_2K"
    hear(client.settings, news("business_capability_update", max_daily_conversations_per_business=10_000))
    assert Channel.get().tier == "TIER_10000"
    hear(client.settings, news("phone_number_quality_update", event="THROUGHPUT_UPGRADE", **number))
    assert Channel.get().throughput == "HIGH"
    hear(
        client.settings,
        news("account_update", event="DISABLED_UPDATE", ban_info={"waba_ban_state": "DISABLE"}),
    )
    assert Channel.get().pause_reason == "channel"
