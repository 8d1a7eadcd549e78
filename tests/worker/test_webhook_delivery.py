"""Outgoing events: signed, tried again, pinned, and never to an address inside."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from broadcaster.clock import epoch_ms
from broadcaster.services import webhook_targets
from broadcaster.settlement import event_documents
from broadcaster.store import database, webhooks
from broadcaster.store.models import EventDelivery, Webhook
from broadcaster.worker import webhook_delivery, webhook_slots
from tests.support.answers import check_event
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.peers import HEAD, answering, dripping, peer
from tests.support.samples import NOW, request_of
from tests.support.waiting import wait_until


class Target(HTTPServer):
    """A receiver that can be told what to answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Target

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/", "http://192.168.1.1/",
        "http://169.254.169.254/latest", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://224.0.0.1/",
        "http://100.64.0.1/", "ftp://example.org/", "http://", "nonsense", "http://user:x@93.184.216.34/",
        "http://192.0.0.192/", "http://192.0.0.9/", "http://192.88.99.1/", "http://168.63.129.16/machine",
        "http://100.100.100.200/", "http://198.18.0.1/", "http://240.0.0.1/", "http://[3fff::1]/",
        "http://[3fff:fff:ffff::1]/", "http://[2001:db8::1]/", "http://[2001:2::1]/", "http://[2620:4f:8000::1]/",
        "http://93.184.216.34:22/", "http://93.184.216.34:25/", "https://93.184.216.34:1023/",
        "http://no-such-name.invalid/", "http://93.184.216.34/#x", "http://93.184.216.34:0/",
    ],
)  # fmt: skip
def test_events_go_to_no_address_inside(client: Client, url: str) -> None:
    response = client.post("/v1/webhooks", {"url": url})
    assert response.status_code == 400, url
    assert [fault["field"] for fault in response.json["errors"]] == ["url"]


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "2001:0:a9fe:a9fe::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:169.254.169.254",
        "2002:5db8:d822::1",
    ],
)
def test_ipv6_hides_no_address_inside(address: str) -> None:
    with pytest.raises(webhook_delivery.Refused):
        webhook_delivery.resolve(f"http://[{address}]/", [])


def test_ipv6_outside_is_fine() -> None:
    assert webhook_delivery.resolve("http://[2606:4700::1111]/", []) == "2606:4700::1111"


def test_a_webhook_is_made_shown_and_removed(client: Client) -> None:
    made = client.post("/v1/webhooks", {"url": "https://93.184.216.34/x", "types": ["broadcast.finished"]})
    assert made.status_code == 201
    assert made.json["secret"].startswith("whsec_")
    assert made.json["secret"] not in Webhook.get().secret
    path = f"/v1/webhooks/{made.json['id']}"
    shown = client.get(path).json
    assert shown == {name: value for name, value in made.json.items() if name != "secret"}
    assert client.get("/v1/webhooks").json["data"] == [shown]
    assert client.post("/v1/webhooks", {"url": "https://93.184.216.34/", "types": ["x"]}).status_code == 400
    assert client.post("/v1/webhooks", {"url": "https://93.184.216.34/", "types": []}).status_code == 400
    assert client.call("DELETE", path).status_code == 204
    assert client.get(path).status_code == 404


def inside(field: Field, target: Target, *types: str, **settings: str) -> tuple[Any, dict[str, Any]]:
    field.sandbox("--latency", "5")
    here = field.installation(event_targets="127.0.0.0/8", **settings)
    field.start(here)
    document: dict[str, Any] = {"url": target.url}
    if types:
        document["types"] = list(types)
    return here, here.ask("POST", "/v1/webhooks", json=document)


def test_events_arrive_signed_and_in_the_contracts_shape(field: Field, target: Target) -> None:
    here, hook = inside(field, target)
    entries = [{"to": "+905554440001", "variables": list("abcd")}]
    action = {"key": "assign-to-user", "value": "7"}
    public_id = here.ask("POST", "/v1/broadcasts", json=request_of(recipients=entries, action=action))["id"]
    wait_until(lambda: len(target.got) >= 3)
    bodies = [Verifier(hook["secret"]).verify(body, headers) for headers, body in target.got]
    assert {body["type"] for body in bodies} == {
        "broadcast.started", "broadcast.finished", "conversation.assigned",
    }  # fmt: skip
    for body in bodies:
        check_event(body)
    finished = next(body for body in bodies if body["type"] == "broadcast.finished")
    assert set(finished) == {"id", "type", "timestamp", "data"}
    assert (finished["data"]["broadcast"], finished["data"]["stats"]["success"]) == (public_id, 1)
    polled = here.ask("GET", "/v1/events")["data"]
    assert polled[0]["type"] == "broadcast.started"
    path = f"/v1/webhooks/{hook['id']}/deliveries"
    wait_until(lambda: {row["state"] for row in here.ask("GET", path)["data"]} == {"delivered"})


def test_single_messages_are_told_of_only_where_asked_for(field: Field, target: Target) -> None:
    here, _ = inside(field, target, "message.sent", "message.failed")
    entries = [{"to": to, "variables": list("abcd")} for to in ("+905554440001", "+905554449001")]
    here.ask("POST", "/v1/broadcasts", json=request_of(recipients=entries))
    wait_until(lambda: len(target.got) == 2)
    told = sorted((json.loads(body) for _, body in target.got), key=lambda body: body["type"])
    assert [body["type"] for body in told] == ["message.failed", "message.sent"]
    assert told[0]["data"]["error"]["code"] == "131026"
    assert told[1]["data"]["wamid"]


def test_a_refusal_is_tried_again_and_gone_ends_it(
    field: Field, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.answers = [500, 307, 200]
    here, hook = inside(field, target)
    path = f"/v1/webhooks/{hook['id']}"
    here.ask("POST", f"{path}/test")

    def log() -> dict[str, Any]:
        return dict(here.ask("GET", f"{path}/deliveries")["data"][0])

    wait_until(lambda: log()["attempts"] == 1)
    assert (log()["state"], log()["answer"]) == ("pending", "HTTP 500")
    wait_until(lambda: log()["attempts"] == 2)
    assert (log()["state"], log()["answer"]) == ("pending", "HTTP 307")
    target.answers = [410]
    here.ask("POST", f"{path}/test")
    wait_until(lambda: here.ask("GET", path)["disabledAt"])
    assert here.ask("GET", path)["disabledReason"] == "the target answered 410 Gone"
    assert {row["state"] for row in here.ask("GET", f"{path}/deliveries")["data"]} == {"failed"}


def test_both_secrets_hold_after_a_rotation(field: Field, target: Target) -> None:
    here, hook = inside(field, target)
    path = f"/v1/webhooks/{hook['id']}"
    new = here.ask("POST", f"{path}/rotate")["secret"]
    here.ask("POST", f"{path}/test")
    wait_until(lambda: target.got)
    for secret in (hook["secret"], new):
        assert Verifier(secret).verify(target.got[0][1], target.got[0][0])["type"] == "webhook.test"


def test_what_happened_is_told_again_on_demand(field: Field, target: Target) -> None:
    here, hook = inside(field, target)
    path = f"/v1/webhooks/{hook['id']}"
    here.ask("POST", "/v1/suppressions", json={"to": ["+905554440001"]})

    def states() -> list[str]:
        return [row["state"] for row in here.ask("GET", f"{path}/deliveries")["data"]]

    # A target has got it a moment before that is written down.
    wait_until(lambda: states() == ["delivered"])
    assert here.ask("POST", f"{path}/replay")["replayed"] == 1
    wait_until(lambda: len(target.got) == 2)
    assert target.got[0][0]["webhook-id"] == target.got[1][0]["webhook-id"]


def test_there_are_some_dozens_of_webhooks_at_most(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_targets, "MOST", 2)
    answers = [client.post("/v1/webhooks", {"url": "https://1.1.1.1:8443/"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 400]
    assert "2 webhooks already" in answers[2].json["errors"][0]["message"]


DAY = 86_400_000


def webhook_with_events(client: Client, url: str, count: int) -> Webhook:
    hook = webhooks.add(url, ["broadcast.finished"], client.vault.lock("whsec_" + "QUJD" * 8), NOW)
    with database.transaction():
        for _ in range(count):
            event_documents.tell_one(hook.id, event_documents.WEBHOOK_TEST, {"webhook": "wh_1"}, NOW)
    return hook


def deliver_one(client: Client, hook: Webhook) -> None:
    due = webhooks.claim({hook.id: 1}, epoch_ms() + 9 * DAY)[0]
    webhook_delivery.deliver(due, client.settings, client.vault)


@pytest.mark.parametrize(("failing_for_days", "is_disabled"), [(0, False), (2, False), (3, True), (9, True)])
def test_a_webhook_that_took_nothing_for_days_is_disabled_and_says_so(
    client: Client, failing_for_days: int, is_disabled: bool
) -> None:
    hook = webhook_with_events(client, "http://127.0.0.1:1/", 3)
    deliver_one(client, hook)
    assert Webhook.get().failing_since is not None
    Webhook.update(failing_since=epoch_ms() - failing_for_days * DAY).execute()
    deliver_one(client, hook)
    told = client.get(f"/v1/webhooks/{webhooks.public_id(hook.id)}").json
    assert (told["disabledAt"] is not None) == is_disabled
    assert (f"took nothing for {failing_for_days} days" in (told["disabledReason"] or "")) == is_disabled
    states = {row.state for row in EventDelivery.select()}
    assert states == ({"failed"} if is_disabled else {"pending"})


def test_one_delivery_ends_the_failing_and_so_does_telling_again(client: Client) -> None:
    hook = webhook_with_events(client, "http://127.0.0.1:1/", 2)
    deliver_one(client, hook)
    client.settings.event_targets = ["127.0.0.0/8"]
    with peer(answering(HEAD + b"\r\n")) as url:
        Webhook.update(url=url).execute()
        deliver_one(client, hook)
    assert Webhook.get().failing_since is None
    webhooks.note_failing(hook.id, NOW)
    webhooks.note_failing(hook.id, NOW + 1)
    assert Webhook.get().failing_since == NOW
    assert not webhooks.give_up(hook.id, NOW - 1, "x", NOW)
    assert webhooks.give_up(hook.id, NOW, "x", NOW)
    assert not webhooks.give_up(hook.id, NOW, "x", NOW)
    client.post(f"/v1/webhooks/{webhooks.public_id(hook.id)}/replay")
    assert (Webhook.get().failing_since, Webhook.get().disabled_at) == (None, None)


def test_receivers_that_drip_keep_no_event_from_another(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_slots, "_PROMPT_SECONDS", 1.0)
    # On a busy machine the prompt one may be late once; its next turn must come before the deadline.
    monkeypatch.setattr(webhook_delivery, "_SECONDS", 5)
    client.settings.event_targets = ["127.0.0.0/8"]
    delivery = webhook_delivery.WebhookDelivery(client.settings, client.vault)
    with peer(dripping(HEAD, b"x")) as dripper, peer(answering(HEAD + b"\r\n")) as prompt:
        for _ in range(20):
            webhook_with_events(client, dripper, 50)
        good = webhook_with_events(client, prompt, 50)
        delivery.start()
        delivered = (EventDelivery.webhook_id == good.id) & (EventDelivery.state == "delivered")
        wait_until(lambda: EventDelivery.select().where(delivered).count() == 50)
        assert EventDelivery.select().where(EventDelivery.webhook_id != good.id).count() == 1000
        delivery.stop(0)
    delivery.stop(30)
    assert not delivery._thread.is_alive()


HANGING = """
import socket, sys, threading
from broadcaster import config
from broadcaster.services.start_up import open_installation
from broadcaster.settlement import event_documents
from broadcaster.store import database, webhooks
from broadcaster.worker.webhook_delivery import WebhookDelivery

settings = config.load()
_, vault = open_installation(settings)
asked = threading.Event()

def hang(*_args, **_options):
    asked.set()
    threading.Event().wait()

socket.getaddrinfo = hang
hook = webhooks.add("http://hooks.example/", [], vault.lock("whsec_QUJD"), 1)
with database.transaction():
    event_documents.tell_one(hook.id, event_documents.WEBHOOK_TEST, {"webhook": "wh_1"}, 1)
delivery = WebhookDelivery(settings, vault)
delivery.start()
assert asked.wait(60)
delivery.stop(0.1)
print("stopped")
"""


def test_a_process_ends_whatever_a_delivery_waits_for(tmp_path: Path) -> None:
    environment = os.environ | {"BROADCASTER_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-c", HANGING], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def test_attempts_spread_over_about_three_days(client: Client) -> None:
    assert len(webhook_delivery.DELAYS) == 10
    assert 2.5 < sum(webhook_delivery.DELAYS) / 86_400 < 3.5
    row = webhooks.add("https://93.184.216.34/", ["optout.changed"], "x", NOW)
    client.post("/v1/suppressions", {"to": ["+905554440001"]})
    first = webhooks.claim({1: 10}, NOW * 2)
    assert [due.webhook.id for due in first] == [row.id]
    assert webhooks.claim({1: 10}, NOW * 2) == []
    assert EventDelivery.get().state == "pending"
