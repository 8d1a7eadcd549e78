"""Retry, expiry and resume, as callers ask for them; and why messages failed."""

from typing import Any

from broadcaster.store import broadcasts, database, installation
from broadcaster.store.models import Broadcast, Channel, Message
from tests.support.broadcasts import broadcast_in, settle
from tests.support.callbacks import callback, hear, status
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW, request_of


def set_codes(*codes: str) -> None:
    failed = (Message.state == "failed") | (Message.delivery == "failed")
    for row, code in zip(Message.select().where(failed).order_by(Message.id), codes, strict=True):
        Message.update(error_code=code).where(Message.id == row.id).execute()


def test_retry_sends_again_what_failed_with_a_code(client: Client) -> None:
    public_id = broadcast_in(
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
    public_id = broadcast_in(client, ("sent", None), ("unknown", None), ("failed", None))
    set_codes("131026")
    assert client.post(f"/v1/broadcasts/{public_id}/retry").json["retried"] == 1
    answer = client.post(f"/v1/broadcasts/{public_id}/retry?code=OUTCOME_UNKNOWN").json
    assert (answer["retried"], answer["unknown"], answer["stats"]["pending"]) == (1, 0, 2)
    assert [row.resent for row in Message.select().order_by(Message.id)] == [False, True, False]


def test_a_failure_without_a_code_is_retried_too(client: Client) -> None:
    public_id = broadcast_in(client, ("sent", "failed"), ("sent", "failed"))
    with database.transaction():
        Message.update(error_code=None, error_text=None).execute()
    [row] = client.get(f"/v1/broadcasts/{public_id}/errors").json["data"]
    assert (row["code"], row["count"]) == ("UNDELIVERED", 2)
    assert client.post(f"/v1/broadcasts/{public_id}/retry?code=UNDELIVERED").json["retried"] == 2


def test_what_is_retried_hears_no_old_news_of_being_sent(client: Client) -> None:
    """A repeated `sent` of the attempt that failed must not keep the next from leaving."""
    public_id = broadcast_in(client, ("sent", "failed"))
    client.post(f"/v1/broadcasts/{public_id}/retry")
    [row] = Message.select()
    tag = f"{installation.key()}.{row.id}.1"
    hear(client.settings, callback(status("sent", "wamid.T1/+==", tag)))
    assert Message.get().state == "pending"
    hear(client.settings, callback(status("delivered", "wamid.T1/+==", tag)))
    assert (Message.get().state, Message.get().delivery) == ("sent", "delivered")


def test_a_retry_after_the_expiry_is_not_expired_again(client: Client) -> None:
    public_id = broadcast_in(client, ("failed", None))
    with database.transaction():
        Broadcast.update(expire_at=NOW).execute()
        assert broadcasts.retry(Broadcast.get().id, None, NOW + 1) == 1
        assert broadcasts.expire(NOW + 2) == []
    assert client.get(f"/v1/broadcasts/{public_id}").json["stats"]["pending"] == 1


def test_a_stopped_broadcast_is_not_retried(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    settle(public_id, ("failed", None), ("pending", None))
    client.post(f"/v1/broadcasts/{public_id}/stop")
    assert client.post(f"/v1/broadcasts/{public_id}/retry").json["retried"] == 0


def test_errors_are_grouped_with_meaning_and_advice(client: Client) -> None:
    public_id = broadcast_in(client, ("failed", None), ("sent", "failed"), ("failed", None), ("sent", None))
    set_codes("131026", "131049", "131026")
    rows = client.get(f"/v1/broadcasts/{public_id}/errors").json["data"]
    assert [(row["code"], row["count"]) for row in rows] == [("131026", 2), ("131049", 1)]
    assert all(row["meaning"] and row["advice"] for row in rows)


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
