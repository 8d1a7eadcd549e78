"""What receipts do to messages, in whatever order they come; and that odd callbacks do nothing."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from broadcaster.domain import receipts
from broadcaster.domain.decide import Sent
from broadcaster.domain.receipts import Receipt, Standing, settle
from broadcaster.meta import payloads
from broadcaster.meta.payloads import read
from broadcaster.settlement import outcomes
from broadcaster.store import callbacks, counters, database, installation, messages
from broadcaster.store.models import Broadcast, Callback, EarlyReceipt, Event, Message
from tests.support.broadcasts import accepted, claim, mark, settle_lost, settle_put_back, settle_sent, states
from tests.support.callbacks import SECOND, callback, status
from tests.support.samples import NOW


def receive(*statuses: dict[str, Any], now: int = NOW) -> None:
    with database.transaction():
        callbacks.keep(["{}"], now)
        outcomes.receive(read(callback(*statuses)).receipts, now)


def tag_of(claimed: Any) -> str:
    return f"{installation.key()}.{claimed.id}.{claimed.attempt}"


def row() -> Message:
    return Message.select().order_by(Message.id).first()


# The pure part

EVENTS = some.lists(some.sampled_from(["sent", "delivered", "read", "failed"]), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(EVENTS, some.sampled_from(["sending", "unknown", "sent", "failed"]), some.randoms())
def test_order_and_repetition_change_nothing(words: list[str], state: str, chance: random.Random) -> None:
    before = Standing(state, None, 1, sent_at=NOW if state == "sent" else None, error_code="OUTCOME_UNKNOWN")
    news = [(Receipt("w", word, NOW, code="1" if word == "failed" else None), 1) for word in words]
    shuffled = news * 2
    chance.shuffle(shuffled)
    first, second = settle(before, news), settle(before, shuffled)
    assert first == second
    assert first.delivery == max(words, key=lambda word: receipts.RANKS[word])


@pytest.mark.parametrize(
    ("state", "words", "end"),
    [
        ("sending", ["sent"], ("sent", "sent")),
        ("sending", ["failed"], ("sending", "failed")),
        ("unknown", ["delivered"], ("sent", "delivered")),
        ("unknown", ["failed"], ("failed", "failed")),
        ("unknown", ["failed", "sent"], ("sent", "failed")),
        ("sent", ["failed"], ("sent", "failed")),
        ("sent", ["read", "failed", "delivered"], ("sent", "read")),
        ("failed", ["delivered"], ("sent", "delivered")),
        ("pending", ["delivered"], ("sent", "delivered")),
        ("pending", ["failed"], ("pending", None)),
        ("cancelled", ["sent"], ("sent", "sent")),
        ("cancelled", ["failed"], ("cancelled", None)),
    ],
)
def test_where_receipts_lead(state: str, words: list[str], end: tuple[str, str | None]) -> None:
    after = settle(Standing(state, None, 1), [(Receipt("w", word, NOW, code="1"), 1) for word in words])
    assert (after.state, after.delivery) == end


def test_an_earlier_attempts_failure_says_nothing_of_the_one_under_way() -> None:
    sending = Standing("sending", None, 2)
    assert settle(sending, [(Receipt("w", "failed", NOW), 1)]) == sending
    assert settle(sending, [(Receipt("w", "delivered", NOW), 1)]).state == "sent"


ODD = [
    None, [], "x", 7, {}, {"entry": None}, {"entry": [7]}, {"entry": [{"changes": {}}]},
    {"entry": [{"changes": [{"field": "messages", "value": []}]}]},
    callback({"id": 7, "status": "sent", "timestamp": "1"}),
    callback({"id": "w", "status": ["x"], "timestamp": "1"}),
    callback({"id": "w", "status": "sent", "timestamp": "soon"}), callback({"id": "w", "status": "sent"}),
    callback(status("warning")),
    callback(field="messages", messages=[{"from": 7}], contacts=[{"profile": 1}]),
    callback(field="user_preferences", user_preferences=[{"wa_id": None, "value": "stop"}, 3]),
    callback(field="message_template_status_update", message_template_name=3),
    callback(field="phone_number_quality_update", current_limit=["x"]),
    callback(field="account_update", ban_info="x"), callback(field="security", anything=1),
]  # fmt: skip


@pytest.mark.parametrize("document", ODD)
def test_odd_callbacks_say_nothing(document: Any) -> None:
    assert read(document) == payloads.Callback()


def test_what_a_status_tells() -> None:
    pricing = {"billable": True, "category": "utility"}
    found = read(callback(status("failed", tag="k.1.1", pricing=pricing))).receipts
    assert found == [
        Receipt("wamid.1", "failed", SECOND * 1000, "k.1.1", "131026", "unreachable", pricing),
    ]


# On messages


def test_receipts_settle_what_no_answer_did(channel_row: Any) -> None:
    made = accepted(channel_row, 3)
    claimed = claim(channel_row)
    for one in claimed:
        settle_lost(one)
    receive(
        status("delivered", "wamid.1", tag_of(claimed[0])), status("failed", "wamid.2", tag_of(claimed[1]))
    )
    assert states(made) == {"sent": 1, "failed": 1, "unknown": 1}
    counts = counters.of_broadcast(made.id)
    assert {word: count for word, count in counts.deliveries.items() if count} == {
        "delivered": 1,
        "failed": 1,
    }
    assert (row().wamid, row().delivered_at, row().error_code) == ("wamid.1", SECOND * 1000, None)
    receive(status("sent", "wamid.3", tag_of(claimed[2])))
    assert Broadcast.get().finished_at == NOW


def test_a_receipt_before_the_answer_stands(channel_row: Any) -> None:
    made = accepted(channel_row, 2)
    first, second = claim(channel_row)
    receive(status("read", "wamid.1", tag_of(first)), status("failed", "wamid.2", tag_of(second)))
    assert states(made) == {"sent": 1, "sending": 1}
    assert settle_sent(first) == 0
    messages.apply([Sent(*mark(second, "wamid.2", NOW))])
    assert states(made) == {"sent": 2}
    rows = list(Message.select().order_by(Message.id))
    assert [(r.delivery, r.error_code) for r in rows] == [("read", None), ("failed", "131026")]


def test_a_failure_before_an_answer_that_never_comes_is_the_outcome(channel_row: Any) -> None:
    made = accepted(channel_row, 1)
    claimed = claim(channel_row)[0]
    receive(status("failed", tag=tag_of(claimed)))
    settle_lost(claimed)
    assert states(made) == {"failed": 1}
    assert row().error_code == "131026"


def test_a_receipt_by_metas_id_alone_may_come_before_we_know_the_id(channel_row: Any) -> None:
    accepted(channel_row, 1)
    claimed = claim(channel_row)[0]
    receive(status("delivered", "wamid.early"))
    assert EarlyReceipt.select().count() == 1
    messages.apply([Sent(*mark(claimed, "wamid.early", NOW))])
    with database.transaction():
        outcomes.receive(callbacks.take_early(["wamid.early"]), NOW)
    assert (row().delivery, EarlyReceipt.select().count()) == ("delivered", 0)
    receive(status("read", "wamid.early"))
    assert row().delivery == "read"


def test_other_peoples_receipts_change_nothing(channel_row: Any) -> None:
    made = accepted(channel_row, 1)
    claimed = claim(channel_row)[0]
    settle_sent(claimed)
    receive(
        status("delivered", "wamid.9", f"00000000.{claimed.id}.1"),
        status("delivered", "wamid.9", f"{installation.key()}.999.1"),
        status("delivered", "wamid.9", f"{installation.key()}.x.1"),
    )
    assert states(made) == {"sent": 1}
    assert (row().delivery, EarlyReceipt.select().count()) == (None, 0)


def test_what_was_put_back_and_left_after_all_is_not_sent_again(channel_row: Any) -> None:
    made = accepted(channel_row, 1)
    claimed = claim(channel_row)[0]
    settle_put_back(claimed)
    receive(status("delivered", tag=tag_of(claimed)))
    assert states(made) == {"sent": 1}
    assert claim(channel_row, now=NOW + 60_000) == []


def test_a_late_receipt_corrects_what_was_given_up(channel_row: Any) -> None:
    made = accepted(channel_row, 1)
    settle_lost(claim(channel_row)[0])
    messages.close_unknown(0, 100, NOW + 2)
    receive(status("delivered", tag=f"{installation.key()}.{row().id}.1"), now=NOW + 9)
    assert states(made) == {"sent": 1}
    assert (row().error_code, row().delivery) == (None, "delivered")


def test_an_action_follows_what_a_receipt_settled(channel_row: Any) -> None:
    made = accepted(channel_row, 1, action_key="assign-to-user", action_value="7")
    claimed = claim(channel_row)[0]
    settle_lost(claimed)
    receive(status("sent", tag=tag_of(claimed)))
    receive(status("read", tag=tag_of(claimed)))
    told = [event.type for event in Event.select().order_by(Event.id)]
    assert (made.id, told.count("conversation.assigned")) == (1, 1)


def test_a_thousand_in_one_callback_shuffled(channel_row: Any) -> None:
    made = accepted(channel_row, 250)
    claimed = claim(channel_row, 300)
    for one in claimed:
        messages.apply([Sent(*mark(one, f"wamid.{one.id}", NOW))])
    ends = {one.id: ("read", "delivered", "failed", "sent")[one.id % 4] for one in claimed}
    below = {"read": ["sent", "delivered", "read"], "delivered": ["sent", "delivered"]}
    news = [
        status(word, f"wamid.{one.id}", tag_of(one) if chance % 2 else None)
        for one in claimed
        for chance, word in enumerate(below.get(ends[one.id], ["sent", ends[one.id]]) * 2)
    ]
    random.Random(7).shuffle(news)
    receive(*news[:1000])
    receive(*news[1000:])
    assert states(made) == {"sent": 250}
    assert {r.id: r.delivery for r in Message.select()} == ends
    assert Callback.select().count() == 2
