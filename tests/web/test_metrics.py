"""/metrics: read by Prometheus' own parser, and saying what the API says."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from broadcaster.services import access
from broadcaster.store import database, leases
from broadcaster.store.models import Channel, Message
from broadcaster.web import metrics
from broadcaster.web.app import make_app
from broadcaster.worker.schedule import Schedule
from tests.support.broadcasts import settle
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW, request_of


def read(client: Client) -> dict[tuple[str, ...], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_are_the_apis(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(8)).json["id"]
    settle(
        public_id, ("sent", "read"), ("sent", "read"), ("sent", "failed"), ("sent", None), ("failed", None),
        ("unknown", None), ("sending", None), ("pending", None),
    )  # fmt: skip
    told, found = client.get(f"/v1/broadcasts/{public_id}").json, read(client)
    messages = {key[2:]: value for key, value in found.items() if key[0] == "broadcaster_messages"}

    def of(state: str) -> float:
        return sum(value for (_, known), value in messages.items() if known == state)

    assert of("sent") == told["stats"]["success"] == 4
    assert of("failed") == told["stats"]["failed"] == 1
    assert of("sending") == told["inFlight"] == 1
    assert of("unknown") == told["unknown"] == 1
    assert of("pending") + of("sending") + of("unknown") == told["stats"]["pending"] == 3
    assert sum(messages.values()) == told["stats"]["total"]
    assert messages["read", "sent"] == told["delivery"]["read"]
    channel = client.get(f"/v1/channels/{CHANNEL}").json
    assert found["broadcaster_pace", CHANNEL] == channel["pace"]
    assert found["broadcaster_channel_paused", CHANNEL] == 0
    assert found["broadcaster_lease_held", CHANNEL] == 0
    assert found["broadcaster_huey_tasks", "ready"] == 1


def test_what_waits_and_what_is_held_shows(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(2))
    with database.transaction():
        Message.update(next_at=NOW).execute()
        Channel.update(tier="TIER_250", paused_at=NOW, pause_reason="token").execute()
        leases.beat("w", "host", 1, NOW)
    found = read(client)
    assert found["broadcaster_oldest_due_seconds", CHANNEL] >= 0
    assert found["broadcaster_channel_paused", CHANNEL] == 1
    assert (
        found["broadcaster_allowance_left", "77"]
        == client.get("/v1/broadcasts").json["data"][0]["quota"]["available"]
    )
    assert ("broadcaster_worker_age_seconds",) in found
    assert ("broadcaster_last_receipt_age_seconds",) not in found


def test_two_processes_say_the_same(client: Client, db: Any) -> None:
    client.post("/v1/broadcasts", request_of(3))
    first = read(client)
    client.app = make_app(client.settings, Schedule(db), client.vault)
    again = read(client)
    ages = [key for key in first if "seconds" in key[0]]
    assert {k: v for k, v in first.items() if k not in ages} == {
        k: v for k, v in again.items() if k not in ages
    }


def test_callbacks_are_timed(client: Client) -> None:
    before = read(client)["broadcaster_callback_seconds_count",]
    with metrics.timed_callback():
        pass
    assert read(client)["broadcaster_callback_seconds_count",] == before + 1


def test_it_takes_a_token_and_tells_no_number(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(1, title="secret title"))
    weak = access.create_token("weak", ["templates:read"], None, NOW)
    assert client.get("/metrics", token=weak).status_code == 403
    assert client.get("/metrics", token="none").status_code == 401
    text = client.get("/metrics").text
    assert "90555" not in text
    assert "secret title" not in text
