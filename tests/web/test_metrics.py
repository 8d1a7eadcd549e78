"""/metrics: read by Prometheus' own parser, and saying what the API says."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from broadcaster.clock import epoch_ms
from broadcaster.domain import verdicts
from broadcaster.domain.decide import Claimed
from broadcaster.domain.verdicts import Reaction, Verdict
from broadcaster.services import access, progress, upkeep
from broadcaster.settlement import lifecycle, outcomes
from broadcaster.settlement.outcomes import Answer
from broadcaster.store import database, installation, leases, messages, tallies, webhooks
from broadcaster.store.models import Channel, Message
from broadcaster.web import metrics
from broadcaster.web.app import make_app
from broadcaster.worker.schedule import Schedule
from tests.support.broadcasts import settle
from tests.support.callbacks import callback, hear, status
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


def counted(client: Client) -> dict[tuple[str, ...], float]:
    return {key: value for key, value in read(client).items() if key[0].endswith("_total")}


def receipt(client: Client, word: str, message_id: int) -> None:
    tag = f"{installation.key()}.{message_id}.1"
    hear(client.settings, callback(status(word, f"wamid.{message_id}", tag)))


def answer(client: Client, public_id: str, *verdicts_in_turn: Verdict) -> list[int]:
    """Claim a broadcast's messages, give each an answer, and return their ids."""
    row = progress.facts(public_id)
    ids = [m.id for m in Message.select().where(Message.broadcast_id == row.id).order_by(Message.id)]
    claimed = [
        Claimed(m.id, m.attempt + 1, m.tries, row.id, m.recipient, m.content, NOW)
        for m in Message.select().where(Message.id.in_(ids)).order_by(Message.id)
    ]
    answers = [
        Answer(row.channel_id, "77", one, verdict, NOW)
        for one, verdict in zip(claimed, verdicts_in_turn, strict=True)
    ]
    with database.transaction():
        messages.claim(claimed)
        outcomes.settle(answers, NOW)
    return ids


def test_everything_that_happens_is_counted_by_channel(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(4)).json["id"]
    sent = Verdict(Reaction.SENT, wamid="wamid.1")
    ids = answer(
        client, public_id, sent, Verdict(Reaction.FAIL, "131026", "x"), verdicts.LOST, verdicts.RETURNED
    )
    receipt(client, "delivered", ids[0])
    receipt(client, "delivered", ids[0])
    receipt(client, "sent", ids[2])
    found = counted(client)
    assert found["broadcaster_broadcasts_accepted_total", CHANNEL] == 1
    assert found["broadcaster_messages_accepted_total", CHANNEL] == 4
    assert {
        word: found["broadcaster_answers_total", CHANNEL, word]
        for word in ("sent", "failed", "lost", "put_back")
    } == {"sent": 1, "failed": 1, "lost": 1, "put_back": 1}
    assert found["broadcaster_messages_sent_total", CHANNEL, "answer"] == 1
    assert found["broadcaster_messages_sent_total", CHANNEL, "receipt"] == 1
    assert found["broadcaster_messages_failed_total", CHANNEL, "answer"] == 1
    assert found["broadcaster_receipts_total", CHANNEL, "delivered"] == 2
    assert found["broadcaster_receipts_total", CHANNEL, "sent"] == 1
    assert found["broadcaster_callbacks_total", "understood"] == 3


def test_what_is_given_up_is_counted_for_its_channel(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(1)).json["id"]
    answer(client, public_id, verdicts.LOST)
    with database.transaction():
        outcomes.close_unknown(1, 1, NOW + 10_000)
    assert counted(client)["broadcaster_messages_failed_total", CHANNEL, "sweep"] == 1


def test_counters_never_go_backwards(client: Client) -> None:
    """Not over a retry, an erased person, a night's purge or a restart."""
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    ids = answer(
        client,
        public_id,
        Verdict(Reaction.SENT, wamid="wamid.1"),
        Verdict(Reaction.FAIL, "131026", "x"),
    )
    receipt(client, "read", ids[0])
    before = counted(client)
    assert sum(before.values()) == 9
    client.post(f"/v1/broadcasts/{public_id}/retry")
    upkeep.erase("+905554440000", NOW)
    client.post(f"/v1/broadcasts/{public_id}/stop")
    upkeep.purge(1, epoch_ms() + 400 * upkeep.DAY)
    database.close()
    client.app = make_app(client.settings, client.schedule, client.vault)
    assert counted(client) == before


def test_an_event_that_is_settled_twice_is_counted_once(client: Client) -> None:
    made = webhooks.add("https://1.1.1.1/", ["broadcast.started"], "locked", NOW)
    public_id = client.post("/v1/broadcasts", request_of(1)).json["id"]
    with database.transaction():
        lifecycle.tell_started([progress.facts(public_id).id], NOW)
    [due] = webhooks.claim({made.id: 5}, NOW + 10**10)
    webhooks.settle(due.id, "pending", "HTTP 500", NOW, NOW)
    webhooks.settle(due.id, "delivered", "HTTP 200", NOW, NOW)
    webhooks.settle(due.id, "delivered", "HTTP 200", NOW, NOW)
    found = counted(client)
    assert found["broadcaster_webhook_deliveries_total", "put_back"] == 1
    assert found["broadcaster_webhook_deliveries_total", "delivered"] == 1


def test_a_counter_begins_at_nought(client: Client) -> None:
    assert set(counted(client).values()) == {0}
    assert {key[0] for key in counted(client)} == {f"broadcaster_{name}_total" for name in tallies.NAMES}
