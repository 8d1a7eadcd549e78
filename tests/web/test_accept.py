"""Accepting broadcasts: what is stored, and what is refused with every fault named."""

import threading
from typing import Any

import pytest

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json, timestamps
from broadcaster.services import access
from broadcaster.store import idempotency
from broadcaster.store.models import Broadcast, Idempotency, Message
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.samples import CHANNEL, request_of


def faults(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json
    assert problem["status"] == 400
    assert problem["title"]
    assert problem["type"]
    return {fault["field"]: fault["message"] for fault in problem["errors"]}


def stored() -> tuple[int, int]:
    return Broadcast.select().count(), Message.select().count()


def queued_tasks(client: Client) -> int:
    return int(client.schedule.huey.pending_count() + client.schedule.huey.scheduled_count())


def test_an_accepted_broadcast_answers_with_all_its_fields(client: Client) -> None:
    response = client.post("/v1/broadcasts", request_of(3, title="May", metadata={"run": 7}))
    assert response.status_code == 202
    document = response.json
    assert response.headers["location"] == f"/v1/broadcasts/{document['id']}"
    assert set(document) == {
        "id", "title", "status", "channel", "template", "priority", "metadata", "scheduleAt", "createdAt",
        "startedAt", "finishedAt", "late", "stats", "inFlight", "unknown", "duplicates", "delivery", "pace",
        "estimatedFinishAt", "quota", "whyWaiting",
    }  # fmt: skip
    assert document["stats"] == {"pending": 3, "success": 0, "failed": 0, "cancelled": 0, "total": 3}
    assert (document["title"], document["status"], document["metadata"]) == ("May", "queued", {"run": 7})
    assert document["template"] == {"name": "appointment", "language": "en"}
    asked = client.get(response.headers["location"]).json
    assert asked | {"estimatedFinishAt": None} == document | {"estimatedFinishAt": None}
    assert queued_tasks(client) == 1


def test_messages_carry_their_finished_components(client: Client) -> None:
    client.post(
        "/v1/broadcasts", request_of(1, recipients=[{"to": "905554443301", "variables": list("abcd")}])
    )
    row = Message.get()
    assert row.recipient == "+905554443301"
    assert strict_json.loads(row.content.encode()) == {
        "name": "appointment",
        "language": {"code": "en"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": t} for t in "abcd"]}],
    }


def test_defaults_lie_under_a_recipients_own_variables(client: Client) -> None:
    template = {"name": "invoice", "variables": [
        {"type": "HEADER", "parameters": ["https://x.example/a.pdf"]},
        {"type": "BODY", "parameters": {"amount": "5"}},
    ]}  # fmt: skip
    recipients = [{"to": "+905554443301", "variables": {"name": "Ana"}}]
    assert (
        client.post("/v1/broadcasts", request_of(template=template, recipients=recipients)).status_code == 202
    )
    texts = [
        p.get("text")
        for p in strict_json.loads(Message.get().content.encode())["components"][1]["parameters"]
    ]
    assert texts == ["Ana", "5"]


def test_a_recipient_may_name_another_template(client: Client) -> None:
    other = {"to": "+905554443302", "template": {"name": "hello_world", "language": "tr"}}
    document = request_of(1)
    document["recipients"].append(other)
    assert client.post("/v1/broadcasts", document).status_code == 202
    names = [strict_json.loads(row.content.encode())["name"] for row in Message.select().order_by(Message.id)]
    assert names == ["appointment", "hello_world"]


@pytest.mark.parametrize(
    ("label", "changes", "fields"),
    [
        ("no recipients", {"recipients": []}, ["recipients"]),
        ("too many", {"recipients": [{"to": "+905554443301"}] * 5001}, ["recipients"]),
        ("recipients no list", {"recipients": {"to": "x"}}, ["recipients"]),
        ("unknown channel", {"channel": "999"}, ["channel"]),
        ("channel of wrong type", {"channel": 7}, ["channel"]),
        ("unknown template", {"template": {"name": "nope", "language": "en"}}, ["template.name"]),
        ("unknown language", {"template": {"name": "appointment", "language": "fr"}}, ["template.language"]),
        ("language needed", {"template": {"name": "hello_world"}}, ["template.language"]),
        ("paused template", {"template": {"name": "winter_news", "language": "en"}}, ["template.name"]),
        ("template not served", {"template": {"name": "shelf", "language": "en"}}, ["template.name"]),
        ("template no object", {"template": "appointment"}, ["template"]),
        ("naive time", {"scheduleAt": "2030-01-01T10:00:00"}, ["scheduleAt"]),
        ("past time", {"scheduleAt": "2020-01-01T10:00:00Z"}, ["scheduleAt"]),
        ("time too far", {"scheduleAt": "9999-12-31T23:59:59Z"}, ["scheduleAt"]),
        ("time past the calendar", {"scheduleAt": "9999-12-31T23:59:59-23:59"}, ["scheduleAt"]),
        ("time no text", {"scheduleAt": 1_900_000_000}, ["scheduleAt"]),
        ("unknown field", {"recipient": []}, ["recipient"]),
        ("unknown policy", {"onDuplicate": "ignore"}, ["onDuplicate"]),
        ("unknown priority", {"priority": "urgent"}, ["priority"]),
        ("title too long", {"title": "x" * 201}, ["title"]),
        ("metadata no object", {"metadata": [1]}, ["metadata"]),
        ("recipient no object", {"recipients": ["+905554443301"]}, ["recipients[0]"]),
        ("to of wrong type", {"recipients": [{"to": 905554443301.5}]}, ["recipients[0].to"]),
        ("to missing", {"recipients": [{"variables": {}}]}, ["recipients[0].to"]),
        ("both empty", {"channel": "", "recipients": []}, ["channel", "recipients"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_request_names_the_field_and_stores_nothing(
    client: Client, label: str, changes: dict[str, Any], fields: list[str]
) -> None:
    assert sorted(faults(client.post("/v1/broadcasts", request_of(**changes)))) == sorted(fields)
    assert stored() == (0, 0)
    assert queued_tasks(client) == 0


def test_all_faults_are_told_at_once_whatever_their_kind(client: Client) -> None:
    good = request_of(1)["recipients"][0]
    recipients = [
        good,
        {"to": "0911", "variables": ["a", "b", "c", "d"]},
        {"to": True},
        {"to": "+905554443302", "variables": ["a"]},
        {"to": "+905554443303", "variables": ["a", "b", "c", "d"], "colour": "red"},
    ]
    document = request_of(recipients=recipients, scheduleAt="soon", channel="999", priority="urgent")
    assert set(faults(client.post("/v1/broadcasts", document))) == {
        "recipients[1].to", "recipients[2].to", "recipients[4].colour", "scheduleAt", "channel", "priority",
    }  # fmt: skip
    document |= {"channel": CHANNEL, "scheduleAt": None, "priority": "high"}
    found = faults(client.post("/v1/broadcasts", document))
    assert found["recipients[1].to"] == 'not an international number: "0911"'
    assert found["recipients[3].variables"] == "BODY needs 4 variables; got 1"
    assert len(found) == 4
    assert stored() == (0, 0)


def test_a_hundred_faults_are_shown_and_all_are_counted(client: Client) -> None:
    recipients = [{"to": f"bad {i}", "variables": ["a", "b", "c", "d"]} for i in range(250)]
    problem = client.post("/v1/broadcasts", request_of(recipients=recipients)).json
    assert (len(problem["errors"]), problem["errorCount"]) == (100, 250)


@pytest.mark.parametrize(
    ("policy", "status", "messages", "duplicates"),
    [("drop", 202, 2, 1), ("allow", 202, 3, 0), ("reject", 400, 0, 0), (None, 202, 2, 1)],
)
def test_duplicates_under_each_policy(
    client: Client, policy: str | None, status: int, messages: int, duplicates: int
) -> None:
    document = request_of(2)
    document["recipients"].append(document["recipients"][0] | {"to": "90 555 444 0000"})
    if policy:
        document["onDuplicate"] = policy
    response = client.post("/v1/broadcasts", document)
    assert response.status_code == status
    assert Message.select().count() == messages
    if status == 202:
        assert response.json["duplicates"] == duplicates
    else:
        assert faults(response) == {"recipients[2].to": "is the same person as recipients[0].to"}


def test_with_on_invalid_fail_the_others_go_out(client: Client) -> None:
    document = request_of(2, onInvalid="fail")
    document["recipients"] += [{"to": "0911"}, {"to": "+905554443309", "variables": ["a"]}]
    answer = client.post("/v1/broadcasts", document)
    assert answer.json["stats"] == {"pending": 2, "success": 0, "failed": 2, "cancelled": 0, "total": 4}
    path = answer.headers["location"] + "/messages"
    rows = client.get(path, params={"code": "INVALID_RECIPIENT"}).json["data"]
    assert [row["error"]["message"] for row in rows] == [
        'to: not an international number: "0911"',
        "variables: BODY needs 4 variables; got 1",
    ]


def test_when_all_fail_at_accept_the_broadcast_is_over(client: Client) -> None:
    document = request_of(recipients=[{"to": "0911"}], onInvalid="fail")
    answer = client.post("/v1/broadcasts", document).json
    assert (answer["status"], answer["stats"]["failed"]) == ("failed", 1)
    assert answer["finishedAt"]


def test_an_unverified_channel_is_refused(client: Client) -> None:
    add_channel("300", status="PENDING")
    assert "channel" in faults(client.post("/v1/broadcasts", request_of(channel="300")))


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"channel": NaN}', "application/json", 400),
        (b'{"a":' * 60_000, "application/json", 400),
        (b'{"channel": "1", "channel": "2"}', "application/json", 400),
        (b'{"channel": "\\u0000"}', "application/json", 400),
        (b'{"channel": "\\ud800"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", None, 415),
        (b" " * (11 * 1024 * 1024), "application/json", 413),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bodies_that_cannot_be_taken_are_problems(
    client: Client, body: bytes, content_type: str | None, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.call("POST", "/v1/broadcasts", body=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["detail"]
    assert stored() == (0, 0)


def test_characters_that_no_text_may_have_hide_no_other_fault(client: Client) -> None:
    body = rb"""{"channel": "no\ud800", "channel": "nope", "title": "a\u0000", "priority": "x",
        "template": {"name": "appointment", "name": "appointment"},
        "recipients": [{"to": "+905554443301", "to": "\udc00"}]}"""
    response = client.call("POST", "/v1/broadcasts", body=body, headers={"Content-Type": "application/json"})
    assert set(faults(response)) == {
        "channel", "title", "priority", "template.name", "recipients[0].to",
    }  # fmt: skip


def test_what_comes_from_outside_is_repeated_in_part_only(client: Client) -> None:
    response = client.post("/v1/broadcasts", request_of(1, **{"x" * 1_000_000: 1}))
    assert response.status_code == 400
    assert len(response.text) < 2000


def test_deep_variables_and_metadata_are_refused(client: Client) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    document = request_of(1, metadata={"deep": deep}, onInvalid="fail")
    document["recipients"][0] |= {"variables": deep, "metadata": {"deep": deep}}
    assert set(faults(client.post("/v1/broadcasts", document))) >= {
        "metadata", "recipients[0].variables", "recipients[0].metadata",
    }  # fmt: skip


def test_depth_and_bad_characters_together_are_refused(client: Client) -> None:
    body = b'{"metadata": {"a": ' + b"[" * 700 + b'"\\u0000"' + b"]" * 700 + b"}}"
    response = client.call("POST", "/v1/broadcasts", body=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json["detail"]) == (400, "the document is nested too deeply")


def test_numbers_beyond_64_bits_survive_in_metadata(client: Client) -> None:
    answer = client.post("/v1/broadcasts", request_of(1, metadata={"n": 2**80}))
    assert client.get(answer.headers["location"]).json["metadata"] == {"n": 2**80}


def test_a_dry_run_plans_and_stores_nothing(client: Client) -> None:
    document = request_of(4, onInvalid="fail")
    document["recipients"] += [document["recipients"][0], {"to": "0911"}]
    response = client.post("/v1/broadcasts", document, params={"dryRun": "true"})
    assert response.status_code == 200
    plan = response.json
    assert (plan["recipients"], plan["valid"], plan["invalid"], plan["duplicates"]) == (6, 4, 1, 1)
    assert (plan["pace"], plan["tier"]) == (80.0, "TIER_UNLIMITED")
    assert stored() == (0, 0)
    assert queued_tasks(client) == 0


def test_a_plan_tells_which_buttons_opt_out_by_the_words_that_were_added(client: Client) -> None:
    def told() -> list[str]:
        plan = client.post("/v1/broadcasts", request_of(), params={"dryRun": "true"}).json
        return [note["message"] for note in plan["notes"]]

    assert told() == []
    client.settings.stop_words = ["I will come"]
    assert told() == ['replies to "I will come" opt out of marketing']


def test_a_scheduled_broadcast_waits_for_its_time(client: Client) -> None:
    due = epoch_ms() + 3_600_000
    answer = client.post("/v1/broadcasts", request_of(scheduleAt=timestamps.format_time(due))).json
    assert (answer["status"], answer["scheduleAt"]) == ("scheduled", timestamps.format_time(due))
    assert answer["whyWaiting"] == {
        "reason": "schedule",
        "until": timestamps.format_time(due),
        "detail": None,
    }
    assert queued_tasks(client) == 1


def test_the_same_request_under_a_key_is_carried_out_once(client: Client) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/v1/broadcasts", request_of(), headers=headers)
    second = client.post("/v1/broadcasts", request_of(), headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json == second.json
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert stored() == (1, 3)


def test_another_request_under_the_same_key_is_refused(client: Client) -> None:
    headers = {"Idempotency-Key": "order-17"}
    client.post("/v1/broadcasts", request_of(), headers=headers)
    response = client.post("/v1/broadcasts", request_of(2), headers=headers)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert stored() == (1, 3)


def test_a_refused_request_does_not_use_up_its_key(client: Client) -> None:
    headers = {"Idempotency-Key": "order-17"}
    assert client.post("/v1/broadcasts", request_of(recipients=[]), headers=headers).status_code == 400
    assert client.post("/v1/broadcasts", request_of(), headers=headers).status_code == 202


def test_one_callers_key_is_not_anothers(client: Client) -> None:
    other = access.create_token("other", ["broadcasts:write"], None, epoch_ms())
    headers = {"Idempotency-Key": "order-17"}
    first = client.post("/v1/broadcasts", request_of(), headers=headers).json
    second = client.post("/v1/broadcasts", request_of(), headers=headers, token=other).json
    assert first["id"] != second["id"]


def test_a_key_that_comes_twice_at_once_is_carried_out_once(client: Client) -> None:
    answers: list[Any] = []
    barrier = threading.Barrier(4)

    def post() -> None:
        barrier.wait()
        answers.append(client.post("/v1/broadcasts", request_of(50), headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [202] * 4
    assert len({a.json["id"] for a in answers}) == 1
    assert stored() == (1, 50)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9"])
def test_a_key_of_the_wrong_form_is_refused(client: Client, key: str) -> None:
    response = client.post("/v1/broadcasts", request_of(), headers={"Idempotency-Key": key})
    assert "Idempotency-Key" in faults(response)


def test_keys_are_forgotten_a_day_after_the_end(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(), headers={"Idempotency-Key": "k"})
    assert idempotency.forget_keys(epoch_ms() + 10**9) == 0
    Broadcast.update(finished_at=epoch_ms()).execute()
    assert idempotency.forget_keys(epoch_ms() - 1000) == 0
    assert idempotency.forget_keys(epoch_ms() + 1000) == 1
    assert Idempotency.select().count() == 0


def test_if_the_bell_cannot_be_stored_neither_is_the_broadcast(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise RuntimeError("disk full")

    monkeypatch.setattr(client.schedule, "wake_at", fail)
    assert client.post("/v1/broadcasts", request_of()).status_code == 500
    assert stored() == (0, 0)


@pytest.mark.parametrize("expire", ["2020-01-01T00:00:00Z", "soon"])
def test_an_end_before_the_start_is_refused(client: Client, expire: str) -> None:
    response = client.post("/v1/broadcasts", request_of(expireAt=expire))
    assert [fault["field"] for fault in response.json["errors"]] == ["expireAt"]
    fine = client.post("/v1/broadcasts", request_of(expireAt="2099-01-01T00:00:00Z", onUnknown="hold"))
    assert fine.status_code == 202
    assert (Broadcast.get().on_unknown, Broadcast.get().expire_at) == ("hold", 4_070_908_800_000)
