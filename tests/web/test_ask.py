"""Asking: broadcasts, messages, channels, templates, tokens and health over the API."""

import csv
import io
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import OperationalError

from broadcaster.clock import epoch_ms
from broadcaster.services import access
from broadcaster.store import allowance, leases, people, sqlite, tokens
from broadcaster.store.models import Broadcast, Channel, Message, Token
from broadcaster.web.admission import SMALL, Allowed, head
from broadcaster.web.bodies import LARGEST_BODY
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW, request_of


def accept(client: Client, count: int = 3, **changes: Any) -> str:
    response = client.post("/v1/broadcasts", request_of(count, **changes))
    assert response.status_code == 202, response.text
    return str(response.json["id"])


def settle(position: int, **facts: Any) -> int:
    row = list(Message.select().order_by(Message.id))[position]
    Message.update(**facts).where(Message.id == row.id).execute()
    return int(row.id)


SENT = {"state": "sent", "wamid": "wamid.HBg/a+b==", "sent_at": NOW, "attempt": 1, "claimed_at": NOW}
FAILED = {"state": "failed", "error_code": "131026", "error_text": "no", "attempt": 1, "claimed_at": NOW}


def test_counters_sum_to_the_total_and_show_what_is_under_way(client: Client) -> None:
    public_id = accept(client, 6)
    settle(0, **SENT)
    settle(1, **FAILED)
    settle(2, state="sending", attempt=1, claimed_at=NOW)
    settle(3, state="unknown", attempt=1, claimed_at=NOW)
    settle(4, state="cancelled")
    document = client.get(f"/v1/broadcasts/{public_id}").json
    assert document["stats"] == {"pending": 3, "success": 1, "failed": 1, "cancelled": 1, "total": 6}
    assert (document["inFlight"], document["unknown"]) == (1, 1)


@pytest.mark.parametrize(
    ("facts", "ends", "word"),
    [
        ({}, [], "queued"),
        ({"due_at": epoch_ms() + 10**8}, [], "scheduled"),
        ({"started_at": epoch_ms() + 10**9}, [], "sending"),
        ({"paused_at": NOW, "pause_reason": "token"}, [], "paused"),
        ({"finished_at": NOW}, [SENT, SENT], "completed"),
        ({"finished_at": NOW}, [SENT, FAILED], "partial"),
        ({"finished_at": NOW}, [FAILED, FAILED], "failed"),
        ({"stopped_at": NOW, "stopped_cancelled": 2, "stopped_in_flight": 0}, [], "cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_status_is_derived_and_the_list_filters_alike(
    client: Client, facts: dict[str, Any], ends: list[dict[str, Any]], word: str
) -> None:
    public_id = accept(client, 2)
    for position, end in enumerate(ends):
        settle(position, **end)
    if facts:
        Broadcast.update(**facts).execute()
    assert client.get(f"/v1/broadcasts/{public_id}").json["status"] == word
    for other in ("scheduled", "queued", "sending", "paused", "completed", "partial", "failed", "cancelled"):
        found = client.get("/v1/broadcasts", params={"status": other}).json["data"]
        assert [row["id"] for row in found] == ([public_id] if other == word else [])


def test_lists_page_newest_first(client: Client) -> None:
    ids = [accept(client, 1) for _ in range(5)]
    first = client.get("/v1/broadcasts", params={"limit": "2"}).json
    second = client.get("/v1/broadcasts", params={"limit": "2", "after": first["next"]}).json
    third = client.get("/v1/broadcasts", params={"limit": "2", "after": second["next"]}).json
    assert [row["id"] for page in (first, second, third) for row in page["data"]] == ids[::-1]
    assert third["next"] is None


def test_messages_page_in_order_and_filter(client: Client) -> None:
    public_id = accept(client, 5)
    settle(1, **FAILED)
    settle(3, **SENT, delivery="read")
    path = f"/v1/broadcasts/{public_id}/messages"
    first = client.get(path, params={"limit": "3"}).json
    second = client.get(path, params={"limit": "3", "after": first["next"]}).json
    assert [row["to"][-1] for row in first["data"] + second["data"]] == list("01234")
    assert second["next"] is None
    for params, expected in (
        ({"state": "failed"}, ["1"]),
        ({"code": "131026"}, ["1"]),
        ({"delivery": "read"}, ["3"]),
        ({"state": "pending", "code": "131026"}, []),
    ):
        found = client.get(path, params=params).json["data"]
        assert [row["to"][-1] for row in found] == expected
    assert client.get(path, params={"code": "131026"}).json["data"][0]["error"] == {
        "code": "131026",
        "message": "no",
    }


def test_messages_come_as_csv_without_formulas(client: Client) -> None:
    recipients = [{"to": "+905554440001", "variables": ["=1+1", "b", "c", "d"], "metadata": {"a": "=2"}}]
    public_id = accept(client, recipients=recipients)
    settle(0, **{**FAILED, "error_text": "=HYPERLINK()"})
    path = f"/v1/broadcasts/{public_id}/messages"
    response = client.get(path, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    row = next(csv.DictReader(io.StringIO(response.text)))
    assert (row["to"], row["code"], row["error"]) == ("905554440001", "131026", "'=HYPERLINK()")


@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\n\n  =1", " =1", "\u00a0=1", "\u3000=1",
        "\u200b=1",
        "\ufeff=1", "\u2060\u00ad=1", "\u202e=1", "\x0b=1", "\x85=1", "\u2028=1", "\u0301=1", "\u2800=1",
        "\u3164=1", "\U000e0020=1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1", "\ufe66" "1", "\u22121",
        "\ntext",
    ],
    ids=ascii,
)  # fmt: skip
def test_no_cell_of_a_csv_is_a_formula(client: Client, text: str) -> None:
    public_id = accept(client)
    settle(0, **{**FAILED, "error_text": text})
    answer = client.get(f"/v1/broadcasts/{public_id}/messages", headers={"Accept": "text/csv"})
    row = next(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert row["error"] == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [
        "1+1",
        "a=b",
        "%10",
        "it's - well",
        "  padded",
        "\u00e9=1",
        "\u0645\u0631\u062d\u0628\u0627",
        "(#131026) no",
    ],
)
def test_other_cells_of_a_csv_stay_as_they_are(client: Client, text: str) -> None:
    public_id = accept(client)
    settle(0, **{**FAILED, "error_text": text})
    answer = client.get(f"/v1/broadcasts/{public_id}/messages", headers={"Accept": "text/csv"})
    assert next(csv.DictReader(io.StringIO(answer.text)))["error"] == text


def test_csv_of_more_than_a_page_is_whole(client: Client) -> None:
    public_id = accept(client, 1234)
    response = client.get(f"/v1/broadcasts/{public_id}/messages", headers={"Accept": "text/csv"})
    assert len(list(csv.reader(io.StringIO(response.text)))) == 1235


def test_a_message_is_found_by_our_id_and_by_metas(client: Client) -> None:
    public_id = accept(client)
    message_id = settle(0, **SENT)
    by_id = client.get(f"/v1/messages/{message_id}").json
    for path in ("/v1/messages/wamid.HBg/a+b==", "/v1/messages/wamid.HBg%2Fa%2Bb%3D%3D"):
        assert client.get(path).json == by_id
    assert (by_id["broadcast"], by_id["state"], by_id["wamid"]) == (public_id, "sent", "wamid.HBg/a+b==")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/broadcasts/nope",
        "/v1/broadcasts/nope/messages",
        "/v1/messages/123456",
        "/v1/messages/99999999999999999999999",
        "/v1/messages/wamid.x",
        "/v1/channels/nope",
        "/v1/nothing",
        "/nothing",
    ],
)
def test_what_is_not_there_is_a_404_problem(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["status"] == 404


def test_an_unknown_method_is_a_405_problem(client: Client) -> None:
    response = client.call("DELETE", "/v1/broadcasts")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["allow"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/broadcasts?limit=0", "limit"),
        ("/v1/broadcasts?limit=ten", "limit"),
        ("/v1/broadcasts?limit=1&limit=2", "limit"),
        ("/v1/broadcasts?after=-1", "after"),
        ("/v1/broadcasts?after=99999999999999999999", "after"),
        ("/v1/broadcasts?after=" + "0" * 30 + "9", "after"),
        ("/v1/templates?after=" + "0" * 20 + "9" * 30, "after"),
        ("/v1/me?x=1", "x"),
        ("/v1/broadcasts?status=done", "status"),
        ("/v1/broadcasts?sate=failed", "sate"),
        ("/v1/templates?limit=9999", "limit"),
    ],
)
def test_faulty_queries_name_the_parameter(client: Client, path: str, field: str) -> None:
    response = client.get(path)
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json["errors"]] == [field]


def test_channels_show_their_pace_and_never_their_token(client: Client) -> None:
    response = client.get("/v1/channels")
    row = response.json["data"][0]
    assert (row["id"], row["tier"], row["pace"], row["verified"]) == (CHANNEL, "TIER_UNLIMITED", 80.0, True)
    assert "locked" not in response.text
    assert client.get(f"/v1/channels/{CHANNEL}").json == row


def test_templates_tell_their_variables(client: Client) -> None:
    rows = client.get("/v1/templates", params={"channel": CHANNEL, "name": "invoice"}).json["data"]
    assert [(v["component"], v["key"]) for v in rows[0]["variables"]] == [
        ("HEADER", "1"),
        ("BODY", "name"),
        ("BODY", "amount"),
    ]
    assert client.get("/v1/templates", params={"channel": "nope"}).status_code == 404


def test_me_tells_what_the_token_may(client: Client) -> None:
    made = access.create_token("crm", ["broadcasts:read"], 30, epoch_ms())
    document = client.get("/v1/me", token=made).json
    assert (document["name"], document["scopes"]) == ("crm", ["broadcasts:read"])
    assert document["expiresAt"]


def test_a_token_may_come_as_api_key(client: Client) -> None:
    response = client.call("GET", "/v1/me", headers={"Authorization": "", "X-API-Key": client.token})
    assert response.status_code == 200


@pytest.mark.parametrize("presented", ["", "nonsense", "bc_" + "a" * 44, "ö" * 10])
def test_without_a_good_token_it_is_401(client: Client, presented: str) -> None:
    headers = {"Authorization": f"Bearer {presented}".encode().decode("latin-1")}
    response = client.call("POST", "/v1/broadcasts", json=request_of(), headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert Broadcast.select().count() == 0


def test_expired_and_revoked_tokens_are_401(client: Client) -> None:
    made = access.create_token("x", ["admin"], 1, epoch_ms() - 2 * access.DAY)
    assert "expired" in client.get("/v1/me", token=made).json["detail"]
    row = Token.get(Token.name == "tests")
    assert tokens.revoke(row.id, epoch_ms())
    assert not tokens.revoke(row.id, epoch_ms())
    assert "revoked" in client.get("/v1/me").json["detail"]


def test_the_right_id_with_a_wrong_secret_is_401(client: Client) -> None:
    wrong = client.token[:-1] + ("a" if client.token[-1] != "a" else "b")
    assert client.get("/v1/me", token=wrong).status_code == 401


SCOPES = [
    ("POST", "/v1/broadcasts", "broadcasts:write"),
    ("GET", "/v1/broadcasts", "broadcasts:read"),
    ("GET", "/v1/broadcasts/x", "broadcasts:read"),
    ("GET", "/v1/broadcasts/x/messages", "broadcasts:read"),
    ("POST", "/v1/broadcasts/x/stop", "broadcasts:write"),
    ("POST", "/v1/broadcasts/x/pause", "broadcasts:write"),
    ("POST", "/v1/broadcasts/x/resume", "broadcasts:write"),
    ("GET", "/v1/messages/1", "broadcasts:read"),
    ("GET", "/v1/channels", "channels:read"),
    ("GET", "/v1/channels/x", "channels:read"),
    ("GET", "/v1/templates", "templates:read"),
]


@pytest.mark.parametrize(("method", "path", "scope"), SCOPES)
def test_each_call_needs_its_scope(client: Client, method: str, path: str, scope: str) -> None:
    others = [s for s in access.SCOPES if s not in (scope, "admin")]
    without = access.create_token("without", others, None, epoch_ms())
    response = client.call(method, path, token=without, json=request_of())
    assert response.status_code == 403
    assert scope in response.json["detail"]
    having = access.create_token("with", [scope], None, epoch_ms())
    assert client.call(method, path, token=having, json=request_of()).status_code not in (401, 403)


def test_tokens_are_stored_as_hashes_alone(client: Client) -> None:
    row = Token.get()
    assert client.token not in (row.hash, row.id)
    assert client.token[-32:] not in row.hash


def test_the_last_use_is_noted_about_once_a_minute(client: Client) -> None:
    client.get("/v1/me")
    used = Token.get().used_at
    assert used is not None
    client.get("/v1/me")
    assert Token.get().used_at == used


def test_reading_goes_on_while_the_database_cannot_be_written(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(tokens, "note_use", locked)
    assert client.get("/v1/me").status_code == 200


def test_what_a_body_may_have_is_asked_without_writing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "note_use", lambda *_: pytest.fail("a use was noted"))
    asked = head("POST", "/v1/broadcasts", "", {"AUTHORIZATION": f"Bearer {client.token}"})
    assert client.app.allowed_body(asked) == Allowed(LARGEST_BODY)
    assert client.app.allowed_body(head("POST", "/v1/broadcasts", "", {})) == Allowed(SMALL, True)


def test_pause_and_resume_answer_the_broadcast(client: Client) -> None:
    public_id = accept(client)
    paused = client.post(f"/v1/broadcasts/{public_id}/pause").json
    assert (paused["status"], paused["whyWaiting"]["reason"]) == ("paused", "paused")
    assert client.post(f"/v1/broadcasts/{public_id}/resume").json["status"] == "queued"


def test_stop_tells_its_numbers_and_twice_the_same(client: Client) -> None:
    public_id = accept(client, 5)
    settle(0, state="sending", attempt=1, claimed_at=NOW)
    first = client.post(f"/v1/broadcasts/{public_id}/stop").json
    assert first["stopped"] == {"cancelled": 4, "inFlight": 1}
    assert (first["status"], first["stats"]["cancelled"]) == ("cancelled", 4)
    assert client.post(f"/v1/broadcasts/{public_id}/stop").json == first


def test_waiting_without_a_worker_is_said(client: Client) -> None:
    public_id = accept(client)
    assert client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"] == {
        "reason": "channel",
        "until": None,
        "detail": "no worker is running",
    }
    leases.beat("w", "host", 1, epoch_ms() - 60_000)
    waiting = client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"]
    assert (waiting["reason"], "no worker has written" in waiting["detail"]) == ("channel", True)
    leases.beat("w", "host", 1, epoch_ms())
    assert client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"]["reason"] == "pace"
    Message.update(next_at=epoch_ms() + 60_000).execute()
    assert client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"]["reason"] == "retry"


@pytest.mark.sqlite
def test_a_full_disk_is_why_it_waits(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    public_id = client.post("/v1/broadcasts", request_of()).json["id"]
    leases.beat("w", "host", 1, epoch_ms())
    full = SimpleNamespace(free=1000)
    monkeypatch.setattr(sqlite.shutil, "disk_usage", lambda _folder: full)
    waiting = client.get(f"/v1/broadcasts/{public_id}").json["whyWaiting"]
    assert (waiting["reason"], "disk is full" in waiting["detail"]) == ("channel", True)


def test_health_needs_no_token_and_readiness_needs_a_worker(client: Client) -> None:
    assert client.call("GET", "/healthz", headers={"Authorization": ""}).json == {"status": "ok"}
    response = client.call("GET", "/readyz", headers={"Authorization": ""})
    assert (response.status_code, response.json["checks"]["worker"]) == (503, False)
    leases.beat("w", "host", 1, epoch_ms())
    response = client.call("GET", "/readyz")
    assert (response.status_code, response.json["status"]) == (200, "ready")
    leases.beat("w", "host", 1, epoch_ms() - 16_000)
    assert client.call("GET", "/readyz").status_code == 503


def test_a_tier_shows_what_is_left_of_its_day(client: Client) -> None:
    Channel.update(tier="TIER_250").execute()
    reached = [f"+9055500000{i:02d}" for i in range(3)]
    people.add_new(reached, NOW)
    allowance.reached([("77", person, epoch_ms()) for person in reached])
    quota = client.post("/v1/broadcasts", request_of(5)).json["quota"]
    assert quota == {"tier": "TIER_250", "total": 250, "available": 247, "needed": 5, "opensAt": None}
