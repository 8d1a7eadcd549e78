"""One settlement: what answers, receipts and sweeps change, and what follows for everybody else."""

import json
from typing import Any

import pytest

from broadcaster.domain.decide import Claimed
from broadcaster.domain.receipts import Receipt
from broadcaster.domain.verdicts import LOST, Reaction, Verdict
from broadcaster.settlement import event_documents, lifecycle, outcomes
from broadcaster.settlement.outcomes import Answer
from broadcaster.store import channels, database, installation, webhooks
from broadcaster.store.models import (
    Broadcast,
    Channel,
    Conversation,
    Event,
    Message,
    Reached,
    Suppression,
)
from tests.support.broadcasts import accepted, claim, states
from tests.support.samples import NOW


@pytest.fixture
def told(channel_row: Any) -> Any:
    """Everything is told to one webhook; returns the events of a type."""
    webhooks.add("https://example.org/", event_documents.TYPES, "locked", NOW)

    def of(kind: str) -> list[Any]:
        rows = Event.select().where(Event.type == kind).order_by(Event.id)
        return [json.loads(row.data) for row in rows]

    return of


def answer(channel: Any, message: Claimed, verdict: Verdict, at: int = NOW + 40) -> Answer:
    return Answer(channel.id, "77", message, verdict, at)


def settle(*answers: Answer) -> list[int]:
    with database.transaction():
        return outcomes.settle(answers, NOW + 50)


def receive(message: Claimed, status: str, code: str | None = None, at: int = NOW) -> None:
    tag = f"{installation.key()}.{message.id}.{message.attempt}"
    with database.transaction():
        outcomes.receive([Receipt(f"wamid.{message.id}", status, at, tag, code, "text")], NOW + 60)


def sent(number: int) -> Verdict:
    return Verdict(Reaction.SENT, wamid=f"wamid.{number}")


def test_answers_settle_tell_and_finish(channel_row: Any, told: Any) -> None:
    row = accepted(channel_row, 3, metadata='{"order":7}')
    first, second, third = claim(channel_row)
    refused = Verdict(Reaction.FAIL, "131026", "unreachable")
    assert settle(answer(channel_row, first, sent(1)), answer(channel_row, second, refused)) == []
    assert settle(answer(channel_row, third, sent(3))) == [row.id]
    assert states(row) == {"sent": 2, "failed": 1}
    assert [one["wamid"] for one in told("message.sent")] == ["wamid.1", "wamid.3"]
    [failed] = told("message.failed")
    assert failed["error"] == {"code": "131026", "message": "unreachable"}
    [finished] = told("broadcast.finished")
    assert finished["metadata"] == {"order": 7}
    assert finished["stats"] == {"pending": 0, "success": 2, "failed": 1, "cancelled": 0, "total": 3}
    assert finished["delivery"] == {"sent": 0, "delivered": 0, "read": 0, "failed": 0}


def test_an_answer_that_comes_too_late_is_told_to_nobody(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    settle(answer(channel_row, first, sent(1)))
    settle(answer(channel_row, first, Verdict(Reaction.FAIL, "131026", "no")))
    settle(answer(channel_row, first, sent(2)))
    assert (len(told("message.sent")), told("message.failed")) == (1, [])
    assert Message.get().wamid == "wamid.1"


def test_a_receipt_that_is_faster_than_the_answer_is_told_once(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    receive(first, "delivered")
    settle(answer(channel_row, first, sent(1)))
    assert (len(told("message.sent")), len(told("message.delivered"))) == (1, 1)
    assert Conversation.select().count() == 1


@pytest.mark.parametrize("way", ["answer", "receipt"])
def test_whoever_opted_out_is_suppressed_however_meta_says_it(channel_row: Any, told: Any, way: str) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    if way == "answer":
        settle(answer(channel_row, first, Verdict(Reaction.FAIL, "131050", "no marketing")))
    else:
        settle(answer(channel_row, first, sent(1)))
        receive(first, "failed", "131050")
    assert (Suppression.get().recipient, Suppression.get().source) == (first.recipient, way)
    assert told("optout.changed") == [
        {"to": first.recipient, "suppressed": True, "reason": "opted out at Meta"}
    ]


@pytest.mark.parametrize("way", ["answer", "receipt"])
def test_a_dead_token_pauses_the_channel_and_tells_of_its_broadcasts(
    channel_row: Any, told: Any, way: str
) -> None:
    due, later = accepted(channel_row, 2), accepted(channel_row, 1, number=2, due_at=NOW + 10**6)
    first, second = claim(channel_row)
    if way == "answer":
        settle(answer(channel_row, first, Verdict(Reaction.PAUSE, "190", "expired", reason="token")))
    else:
        settle(answer(channel_row, first, sent(1)))
        receive(first, "failed", "190")
    assert (Channel.get().pause_reason, Broadcast.get().paused_at) == ("token", None)
    [updated] = told("channel.updated")
    assert updated["paused"] == "token"
    [paused] = told("broadcast.paused")
    assert (paused["broadcast"], paused["reason"]) == (due.public_id, "token")
    assert paused["detail"].startswith("190: ")
    assert later.public_id not in json.dumps(told("broadcast.paused"))
    settle(answer(channel_row, second, Verdict(Reaction.PAUSE, "190", "expired", reason="token")))
    assert len(told("broadcast.paused")) == 1


def test_an_old_failure_holds_nothing(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    settle(answer(channel_row, first, sent(1)))
    receive(first, "failed", "190", at=NOW + 60 - outcomes.RECENT_MS)
    assert Channel.get().paused_at is None
    assert len(told("message.failed")) == 1


def test_a_dead_template_pauses_its_broadcast_alone(channel_row: Any, told: Any) -> None:
    row, other = accepted(channel_row, 2), accepted(channel_row, 1, number=2)
    first = next(one for one in claim(channel_row) if one.broadcast_id == row.id)
    settle(answer(channel_row, first, Verdict(Reaction.PAUSE, "132015", "paused", reason="template")))
    assert Broadcast.get_by_id(row.id).pause_reason == "template"
    assert (Broadcast.get_by_id(other.id).paused_at, Channel.get().paused_at) == (None, None)
    assert [one["broadcast"] for one in told("broadcast.paused")] == [row.public_id]


def test_what_is_given_up_is_told_as_failed(channel_row: Any, told: Any) -> None:
    row = accepted(channel_row, 1)
    [first] = claim(channel_row)
    settle(answer(channel_row, first, LOST))
    with database.transaction():
        assert outcomes.close_unknown(10, 100, NOW + 200) == [row.id]
    [failed] = told("message.failed")
    assert failed["error"]["code"] == "OUTCOME_UNKNOWN"
    assert len(told("broadcast.finished")) == 1


def test_an_abandoned_message_whose_failure_was_told_ends_its_broadcast(channel_row: Any, told: Any) -> None:
    row = accepted(channel_row, 1)
    [first] = claim(channel_row)
    receive(first, "failed", "131026")
    assert states(row) == {"sending": 1}
    with database.transaction():
        assert outcomes.lose_abandoned(channel_row.id, NOW + 90) == 1
    assert states(row) == {"failed": 1}
    assert Broadcast.get().finished_at == NOW + 90


def test_only_what_left_costs_allowance(channel_row: Any) -> None:
    accepted(channel_row, 3)
    first, second, third = claim(channel_row, room=10)
    assert Reached.select().count() == 3
    settle(
        answer(channel_row, first, sent(1)),
        answer(channel_row, second, LOST),
        answer(channel_row, third, Verdict(Reaction.FAIL, "131026", "no")),
    )
    assert {row.contact_id for row in Reached.select()} == {first.person, second.person}
    assert {row.at for row in Reached.select()} == {NOW + 40}


def test_a_channel_paused_by_meta_tells_of_each_broadcast_under_way(channel_row: Any, told: Any) -> None:
    rows = [accepted(channel_row, 1, number=i) for i in (1, 2)]
    lifecycle.pause(rows[0].id, "paused", None, NOW)
    assert lifecycle.pause_channel(channels.get(channel_row.id), "channel", "Meta: ban", NOW)
    assert not lifecycle.pause_channel(channels.get(channel_row.id), "channel", "Meta: ban", NOW)
    assert [(one["broadcast"], one["reason"]) for one in told("broadcast.paused")] == [
        (rows[0].public_id, "paused"),
        (rows[1].public_id, "channel"),
    ]


def test_a_failure_is_told_once_whoever_says_it_first(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 2)
    first, second = claim(channel_row)
    settle(answer(channel_row, first, LOST))
    with database.transaction():
        outcomes.close_unknown(10, 100, NOW + 200)
    receive(first, "failed", "131026")
    receive(second, "failed", "131026")
    settle(answer(channel_row, second, Verdict(Reaction.FAIL, "131026", "no")))
    assert [one["message"] for one in told("message.failed")] == [first.id, second.id]


def test_every_failure_in_a_batch_is_heeded(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    settle(answer(channel_row, first, sent(1)))
    tag = f"{installation.key()}.{first.id}.1"
    both = [Receipt("wamid.1", "failed", NOW, tag, code, "text") for code in ("131049", "131050")]
    with database.transaction():
        outcomes.receive(both, NOW + 60)
    assert Suppression.get().recipient == first.recipient


def test_the_end_tells_of_a_receipt_that_outran_its_answer(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    with database.transaction():
        outcomes.receive([Receipt("wamid.1", "delivered", NOW)], NOW + 1)
    settle(answer(channel_row, first, sent(1)))
    [finished] = told("broadcast.finished")
    assert finished["delivery"]["delivered"] == 1
    assert [row.type for row in Event.select().order_by(Event.id)][-1] == "broadcast.finished"


def test_a_failure_without_a_code_can_be_stored_whatever_comes_next(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    receive(first, "failed", None)
    settle(answer(channel_row, first, LOST))
    assert (Message.get().state, Message.get().error_code) == ("failed", "UNDELIVERED")


def test_holding_everything_finishes_what_is_at_its_end(channel_row: Any, told: Any) -> None:
    accepted(channel_row, 1)
    [first] = claim(channel_row)
    receive(first, "failed", "131026")
    with database.transaction():
        lifecycle.pause_all("restored", NOW + 70)
    assert Broadcast.get().finished_at == NOW + 70


def test_a_broadcast_started_when_its_first_request_left(channel_row: Any) -> None:
    row = accepted(channel_row, 3)
    first, second = claim(channel_row, 2, now=NOW), claim(channel_row, 1, now=NOW + 500)
    sent = Verdict(Reaction.SENT, wamid="wamid.1")

    def answer(claimed: Any, left_at: int | None) -> Answer:
        return Answer(channel_row.id, "77", claimed, sent, NOW + 900, left_at)

    with database.transaction():
        outcomes.settle([answer(second[0], NOW + 600), answer(first[1], None)], NOW + 900)
        assert Broadcast.get_by_id(row.id).started_at == NOW
        outcomes.settle([answer(first[0], NOW + 70)], NOW + 900)
    assert Broadcast.get_by_id(row.id).started_at == NOW + 70
