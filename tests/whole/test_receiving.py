"""Receipts over real sockets: a sandbox that signs them, a server that may be killed meanwhile."""

import hashlib
import hmac
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from broadcaster.sandbox import testbed
from tests.support.installation import Field
from tests.support.samples import CHANNEL, request_of
from tests.support.waiting import wait_until

SECRET = "s3cret"
URL = "/callbacks/meta"


def entries(*numbers: str) -> list[dict[str, Any]]:
    return [{"to": number, "variables": list("abcd")} for number in numbers]


def listening(field: Field, **settings: str) -> Any:
    """An installation that gets the sandbox's receipts."""
    field.sandbox("--latency", "5")
    here = field.installation(app_secret=SECRET, verify_token="v3rify", **settings)
    field.start(here)
    testbed.send_receipts(field.graph_url, here.url + URL, SECRET)
    return here


def send(here: Any, *numbers: str, **changes: Any) -> str:
    document = request_of(recipients=entries(*numbers), **changes)
    return f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=document)['id']}"


def test_receipts_reach_their_messages(field: Field) -> None:
    here = listening(field)
    ends = {
        "0001": ("sent", "read"), "9201": ("sent", "sent"), "9202": ("sent", "delivered"),
        "9203": ("sent", "failed"), "9204": ("sent", "failed"), "9205": ("sent", "read"),
        "9206": ("sent", "read"), "9207": ("sent", None), "9006": ("sent", "read"), "9008": ("sent", "read"),
        "9001": ("failed", None),
    }  # fmt: skip
    path = send(here, *(f"+90555444{digits}" for digits in ends))

    def rows() -> dict[str, tuple[str, str | None]]:
        found = here.ask("GET", f"{path}/messages")["data"]
        return {row["to"][-4:]: (row["state"], row["delivery"]) for row in found}

    wait_until(lambda: rows() == ends)
    found = here.ask("GET", path)
    assert found["stats"] == {"pending": 0, "success": 10, "failed": 1, "cancelled": 0, "total": 11}
    assert found["delivery"] == {"sent": 1, "delivered": 1, "read": 5, "failed": 2}
    wait_until(lambda: here.ask("GET", path)["status"] == "partial")


def test_lost_answers_are_settled_by_receipts_and_nobody_is_sent_twice(field: Field) -> None:
    here = listening(field)
    numbers = [f"+90555{i:03d}{'9006' if i % 10 == 0 else '0001'}" for i in range(100)]
    path = send(here, *numbers)
    wait_until(lambda: here.ask("GET", path)["finishedAt"])
    found = here.ask("GET", path)
    assert (found["stats"]["success"], found["unknown"]) == (100, 0)
    assert (field.report()["accepted"], field.report()["duplicates"]) == (100, 0)


def test_without_receipts_lost_answers_are_given_up(field: Field) -> None:
    here = listening(field, unknown_window="2")
    path = send(here, *(f"+90555{i:03d}9208" for i in range(5)), *(f"+90555{i:03d}0001" for i in range(20)))
    wait_until(lambda: here.ask("GET", path)["finishedAt"])
    found = here.ask("GET", path)
    assert (found["stats"]["success"], found["stats"]["failed"]) == (20, 5)
    errors = here.ask("GET", f"{path}/errors")["data"]
    assert [(row["code"], row["count"]) for row in errors] == [("OUTCOME_UNKNOWN", 5)]
    assert errors[0]["meaning"] and errors[0]["advice"]
    assert field.report()["duplicates"] == 0


def test_what_asks_to_be_resent_is_marked(field: Field) -> None:
    here = listening(field, unknown_window="1")
    path = send(here, "+905554449208", onUnknown="hold")
    again = send(here, "+905554449006", "+905554440001", onUnknown="resend")
    wait_until(lambda: here.ask("GET", again)["finishedAt"])
    # One broadcast's end says nothing of another's answer, which the sandbox holds back for a while.
    found = wait_until(lambda: (seen := here.ask("GET", path))["unknown"] and seen)
    assert (found["unknown"], found["whyWaiting"]["reason"]) == (1, "receipts")


def test_receipts_that_come_while_the_server_is_down_are_not_lost(field: Field) -> None:
    field.sandbox("--latency", "20")
    here = field.installation(pace=100, app_secret=SECRET, port="0", unknown_window="10")
    first = field.start(here)
    port = here.url.rpartition(":")[2]
    here.environ["BROADCASTER_PORT"] = port
    testbed.send_receipts(field.graph_url, here.url + URL, SECRET)
    path = send(here, *(f"+9055544{i:05d}" for i in range(300)))
    wait_until(lambda: field.report()["accepted"] > 80)
    first.kill()
    wait_until(lambda: field.report()["receipts"]["refused"].get("0"))
    field.start(here)
    wait_until(lambda: here.ask("GET", path)["finishedAt"], 60)
    # What was claimed a little ahead and had not left at the kill is given up: nobody can know that.
    accepted = field.report()["accepted"]
    wait_until(lambda: here.ask("GET", path)["delivery"]["read"] == accepted, 60)
    found = here.ask("GET", path)["stats"]
    assert (found["success"], found["success"] + found["failed"]) == (accepted, 300)
    assert found["failed"] <= 5
    assert field.report()["duplicates"] == 0


def test_a_bad_token_holds_the_channel_and_a_new_one_lets_it_go(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(pace=100)
    field.start(here)
    path = send(here, *(f"+9055544{i:05d}" for i in range(20)), "+905554449009")
    other = send(here, *(f"+9055545{i:05d}" for i in range(300)))
    wait_until(lambda: here.ask("GET", path)["status"] == "paused")
    held = here.ask("GET", other)
    assert (held["whyWaiting"]["reason"], held["stats"]["failed"]) == ("token", 0)
    # To the sandbox this person's number is what an expired token is to Meta.
    here.ask("POST", f"{path}/stop")
    here.command("channel", "sync", CHANNEL, "--access-token", "a-new-one")
    wait_until(lambda: here.ask("GET", other)["finishedAt"])
    assert here.ask("GET", other)["stats"]["success"] == 300


def test_messages_made_wrong_stop_before_the_list_is_burnt(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(pace=100)
    field.start(here)
    path = send(here, *(f"+90555{i:03d}9012" for i in range(200)))
    wait_until(lambda: here.ask("GET", path)["status"] == "paused")
    wait_until(lambda: not here.ask("GET", path)["inFlight"])
    found = here.ask("GET", path)
    assert found["whyWaiting"]["reason"] == "template"
    assert "100" in found["whyWaiting"]["detail"]
    assert 20 <= found["stats"]["failed"] < 60


def test_a_high_priority_broadcast_overtakes(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(pace=100)
    field.start(here)
    long = [send(here, *(f"+9055544{series}{i:04d}" for i in range(1000))) for series in (1, 2)]
    wait_until(lambda: all(here.ask("GET", path)["stats"]["success"] > 50 for path in long))
    short = send(here, *(f"+9055543{i:05d}" for i in range(10)), priority="high")
    wait_until(lambda: here.ask("GET", short)["finishedAt"])
    counts = [here.ask("GET", path)["stats"] for path in long]
    assert all(count["pending"] > 500 for count in counts)
    assert abs(counts[0]["success"] - counts[1]["success"]) < 40


def signed(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}


def big(size: int) -> bytes:
    return json.dumps({"object": "whatsapp_business_account", "entry": [], "pad": "x" * size}).encode()


DEEP = b'{"entry":' + b"[" * 500 + b"]" * 500 + b"}"


def test_callbacks_that_are_not_metas_change_nothing(field: Field) -> None:
    field.sandbox()
    here = field.installation(app_secret=f"{SECRET},older", verify_token="v3rify")
    field.start(here)
    good = b'{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "new", "value": {}}]}]}'
    for raw, headers, status in (
        (good, signed(good), 200),
        (good, signed(good, "older"), 200),
        (good, signed(good, "forged"), 401),
        (good, {}, 401),
        (good, {"X-Hub-Signature-256": "sha256="}, 401),
        (good[:-5], signed(good[:-5]), 400),
        (b"[]", signed(b"[]"), 400),
        (big(3_000_000), signed(big(3_000_000)), 200),
        (big(5_000_000), signed(big(5_000_000)), 413),
        (DEEP, signed(DEEP), 400),
    ):
        answer = requests.post(here.url + URL, data=raw, headers=headers, timeout=30)
        assert answer.status_code == status, raw[:60]
    shown = {"hub.mode": "subscribe", "hub.challenge": "17", "hub.verify_token": "v3rify"}
    answer = requests.get(here.url + URL, params=shown, timeout=10)
    assert (answer.status_code, answer.text) == (200, "17")
    assert (
        requests.get(here.url + URL, params=shown | {"hub.verify_token": "x"}, timeout=10).status_code == 403
    )


@pytest.mark.parametrize("setting", [{}, {"app_secret": ""}])
def test_without_a_secret_every_callback_is_refused(field: Field, setting: dict[str, str]) -> None:
    field.sandbox()
    here = field.installation(**setting)
    field.start(here, "web")
    raw = b"{}"
    assert requests.post(here.url + URL, data=raw, headers=signed(raw, ""), timeout=10).status_code == 401
    assert requests.get(here.url + URL, params={"hub.mode": "subscribe"}, timeout=10).status_code == 403
    assert CHANNEL


def test_while_the_database_is_locked_callbacks_are_told_to_come_again_and_health_stays(field: Field) -> None:
    here = field.installation(app_secret=SECRET, verify_token="v3rify")
    field.start(here, "web")
    body = json.dumps({"object": "whatsapp_business_account", "entry": []}).encode()
    signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}

    def call() -> requests.Response:
        return requests.post(here.url + URL, data=body, headers=signed, timeout=60)

    assert call().status_code == 200
    with sqlite3.connect(here.folder / "data" / "broadcaster.db", isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(200) as pool:
            calls = [pool.submit(call) for _ in range(200)]
            for _ in range(5):
                assert requests.get(f"{here.url}/healthz", timeout=60).status_code == 200
            answers = [one.result(60) for one in calls]
        lock.execute("ROLLBACK")
    lock.close()
    assert {answer.status_code for answer in answers} == {503}
    assert all("Retry-After" in answer.headers for answer in answers)
    wait_until(lambda: call().status_code == 200)
