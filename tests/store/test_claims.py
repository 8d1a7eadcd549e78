"""What may leave now: within the allowance, not too soon to one person, to nobody who asked for none."""

from typing import Any

import pytest

from broadcaster.domain.decide import Failed, Sent
from broadcaster.domain.receipts import Receipt
from broadcaster.domain.retries import PAIR_MS
from broadcaster.settlement import lifecycle, outcomes
from broadcaster.store import (
    allowance,
    broadcasts,
    channels,
    claims,
    database,
    installation,
    leases,
    messages,
    people,
    suppressions,
)
from broadcaster.store.claims import Ask, Terms
from broadcaster.store.messages import Draft
from broadcaster.store.models import Broadcast, Event, Message, Reached
from tests.support.broadcasts import OWNER, accepted, mark, states
from tests.support.channels import add_channel
from tests.support.samples import NOW

DAY = allowance.DAY


def take(
    row: Any, limit: int = 100, room: int | None = None, turn: int = 0, now: int = NOW, **terms: Any
) -> claims.Claim:
    with database.transaction():
        leases.take(row.id, OWNER, 80, [], now, now + 10_000)
        ask = Ask(row.id, OWNER, limit, turn, 80, Terms("77", room, **terms))
        [found] = claims.claim([ask], now, now + 10_000)
    assert found is not None
    return found


def recipients(found: claims.Claim) -> list[str]:
    return [row.recipient[-4:] for row in found.messages]


def test_new_people_cost_and_known_ones_do_not(channel_row: Any) -> None:
    accepted(channel_row, 10)
    known = [("77", f"+90555444{i:04d}", NOW - 1000) for i in (7, 8)]
    allowance.reached([*known, ("77", "+905554440009", NOW - DAY - 1)])
    first = take(channel_row, room=3)
    assert recipients(first) == ["0000", "0001", "0002", "0007", "0008"]
    assert (first.reserved, first.is_walled) == (3, True)
    assert allowance.people_reached("77", NOW - DAY) == 5
    second = take(channel_row, room=0)
    assert (recipients(second), second.is_walled) == ([], True)
    assert allowance.opens_at("77", NOW) == NOW - 1000 + DAY


def test_one_person_costs_once(channel_row: Any) -> None:
    drafts = [Draft("+905554440001", "{}"), Draft("+905554440001", "{}"), Draft("+905554440002", "{}")]
    with database.transaction():
        broadcasts.accept(facts(channel_row), drafts, NOW)
    found = take(channel_row, room=1)
    assert (recipients(found), found.reserved) == (["0001"], 1)
    later = take(channel_row, room=0, now=NOW + PAIR_MS)
    assert recipients(later) == ["0001"]


def facts(row: Any, **more: Any) -> dict[str, Any]:
    known = {
        "public_id": "x", "channel_id": row.id, "template_name": "t", "template_language": "en",
        "priority": 0, "duplicates": 0, "scheduled": False, "due_at": NOW,
    }  # fmt: skip
    return known | more


def test_what_was_refused_gives_its_place_back(channel_row: Any) -> None:
    accepted(channel_row, 2)
    found = take(channel_row, room=2)
    messages.apply([Failed(*mark(found.messages[0], "131026", "no"))])
    allowance.give_back([found.messages[0].id])
    assert [row.contact_id for row in Reached.select()] == [people.one("+905554440001")]
    messages.apply([Failed(*mark(found.messages[1], "131026", "no"))])
    # Another message may have reached the person, at whatever time.
    allowance.reached([("77", "+905554440001", NOW)])
    allowance.give_back([found.messages[1].id])
    assert Reached.select().count() == 1


def test_what_was_refused_keeps_its_place_for_another_to_the_same_person(channel_row: Any) -> None:
    for number in (1, 2):
        accepted(channel_row, 1, number=number)
    [first] = take(channel_row, room=1).messages
    [second] = take(channel_row, room=0, now=NOW + PAIR_MS).messages
    messages.apply([Failed(*mark(first, "131026", "no"))])
    allowance.give_back([first.id])
    assert Reached.select().count() == 1
    messages.apply([Failed(*mark(second, "131026", "no"))])
    allowance.give_back([first.id, second.id])
    assert Reached.select().count() == 0


@pytest.mark.parametrize(("word", "code"), [("sent", None), ("failed", "131026")])
def test_what_a_receipt_says_was_taken_over_keeps_its_place(
    channel_row: Any, word: str, code: str | None
) -> None:
    accepted(channel_row, 1)
    [claimed] = take(channel_row, room=1).messages
    tag = f"{installation.key()}.{claimed.id}.{claimed.attempt}"
    with database.transaction():
        outcomes.receive([Receipt("wamid.1", word, NOW + 5, tag, code)], NOW + 5)
    allowance.give_back([claimed.id])
    assert [row.at for row in Reached.select()] == [NOW + 5]


def test_what_a_dead_worker_left_keeps_its_place(channel_row: Any) -> None:
    accepted(channel_row, 1)
    [lost] = take(channel_row, room=1).messages
    with database.transaction():
        outcomes.lose_abandoned(channel_row.id, NOW + 5)
        broadcasts.retry(lost.broadcast_id, "OUTCOME_UNKNOWN", NOW + 5)
    [again] = take(channel_row, room=0, now=NOW + PAIR_MS).messages
    messages.apply([Failed(*mark(again, "131026", "no"))])
    allowance.give_back([again.id])
    assert [row.at for row in Reached.select()] == [NOW + 5]


def test_two_broadcasts_space_one_person_apart(channel_row: Any) -> None:
    for number in (1, 2):
        accepted(channel_row, 2, number=number)
    first = take(channel_row)
    assert sorted(recipients(first)) == ["0000", "0001"]
    assert take(channel_row, now=NOW + PAIR_MS - 1).messages == []
    assert len(take(channel_row, now=NOW + PAIR_MS).messages) == 2
    accepted(channel_row, 1, number=3)
    ana = people.one("+905554440000")
    assert ana is not None
    held = take(channel_row, not_before={ana: NOW + 500})
    assert held.messages == []
    assert len(take(channel_row, now=NOW + 500).messages) == 1


def test_every_fifth_turn_is_normal_prioritys(channel_row: Any) -> None:
    normal = accepted(channel_row, 40, number=1)
    with database.transaction():
        drafts = [Draft(f"+90555445{i:04d}", "{}") for i in range(40)]
        high = broadcasts.accept(facts(channel_row, priority=1), drafts, NOW)
    served = [take(channel_row, limit=2, turn=turn).messages for turn in range(10)]
    by = [{row.broadcast_id for row in rows} for rows in served]
    assert by.count({normal.id}) == 2
    assert by.count({high.id}) == 8


def test_marketing_leaves_out_who_asked_for_none(channel_row: Any) -> None:
    made = accepted(channel_row, 3, template_name="coupon", template_language="en")
    other = accepted(channel_row, 1, number=2, template_name="appointment", template_language="en")
    suppressions.add(["+905554440000"], "x", "test", NOW)
    found = take(channel_row)
    assert recipients(found) == ["0001", "0002", "0000"]
    assert states(made) == {"sending": 2, "failed": 1}
    assert states(other) == {"sending": 1}
    row = Message.get(Message.state == "failed")
    assert (row.error_code, row.recipient) == ("SUPPRESSED", "+905554440000")


def test_meta_may_call_a_person_otherwise(channel_row: Any) -> None:
    people.add_new(["+5511953334444"], NOW)
    people.join([("+5511953334444", "+551153334444")])
    assert suppressions.add(["+551153334444"], "x", "test", NOW) == ["+551153334444"]
    assert suppressions.find("+5511953334444") is not None
    assert suppressions.remove(["+551153334444"]) == ["+5511953334444"]
    assert suppressions.find("+5511953334444") is None


def test_a_paused_channel_sends_nothing_and_wakes_nobody(channel_row: Any) -> None:
    made = accepted(channel_row, 2)
    assert channels.pause(channel_row.id, "token", "190", NOW)
    assert not channels.pause(channel_row.id, "token", "190", NOW)
    assert take(channel_row).messages == []
    assert broadcasts.channels_to_wake(NOW) == []
    assert channels.resume(channel_row.id)
    assert broadcasts.channels_to_wake(NOW) == [channel_row.id]
    assert states(made) == {"pending": 2}


def test_what_has_expired_is_cancelled(channel_row: Any) -> None:
    made = accepted(channel_row, 3, expire_at=NOW + 100)
    first = take(channel_row, limit=1)
    assert take(channel_row, now=NOW + 100).messages == []
    assert lifecycle.expire(NOW + 99) == []
    assert lifecycle.expire(NOW + 100) == [made.id]
    assert states(made) == {"sending": 1, "cancelled": 2}
    assert {row.error_code for row in Message.select() if row.state == "cancelled"} == {"EXPIRED"}
    messages.apply([Sent(*mark(first.messages[0], "wamid.1", NOW))])
    lifecycle.finish([made.id], NOW + 200)
    assert Broadcast.get().finished_at == NOW + 200


def test_a_start_a_pause_and_an_end_are_told(channel_row: Any) -> None:
    made = accepted(channel_row, 1)
    found = take(channel_row)
    lifecycle.tell_started(found.started, NOW)
    lifecycle.pause(made.id, "paused", None, NOW)
    broadcasts.resume(made.id)
    messages.apply([Sent(*mark(found.messages[0], "wamid.1", NOW))])
    lifecycle.finish([made.id], NOW)
    lifecycle.finish([made.id], NOW)
    told = [row.type for row in Event.select().order_by(Event.id)]
    assert told == ["broadcast.started", "broadcast.paused", "broadcast.finished"]


def test_what_stays_unknown_is_sent_again_once_and_not_after_a_stop(channel_row: Any) -> None:
    made = accepted(channel_row, 3, on_unknown="resend")
    with database.transaction():
        Message.update(state="unknown", attempt=1, claimed_at=NOW).execute()
        Message.update(resent=True).where(Message.id == 2).execute()
        moved = messages.close_unknown(1000, DAY, NOW + 2000)
        assert {one.broadcast_id for one in moved} == {made.id}
        assert [row.state for row in Message.select().order_by(Message.id)] == [
            "pending",
            "failed",
            "pending",
        ]
        Message.update(state="unknown").where(Message.id == 1).execute()
        lifecycle.stop(made.id, NOW + 3000)
        messages.close_unknown(1000, DAY, NOW + 9000)
        lifecycle.finish([made.id], NOW + 9000)
    assert {row.state for row in Message.select()} == {"failed"}
    assert Broadcast.get().finished_at is not None


def test_portfolios_of_two_channels_share(channel_row: Any) -> None:
    other = add_channel("200")
    accepted(channel_row, 5)
    accepted(other, 5, number=2)
    take(channel_row, room=3)
    assert allowance.people_reached("77", NOW - DAY) == 3
    found = take(other, room=0)
    assert recipients(found) == ["0000", "0001", "0002"]


def test_whoever_takes_over_knows_when_the_channel_claimed_last(channel_row: Any) -> None:
    accepted(channel_row, 2)

    def taken_over(now: int, owner: str = OWNER) -> tuple[str, int]:
        with database.transaction():
            held = leases.take(channel_row.id, owner, 80, [], now, now + 10_000)
        assert held is not None
        return held.owner, held.claimed_at

    assert taken_over(NOW) == (OWNER, 0)
    take(channel_row, limit=1, now=NOW + 5)
    assert taken_over(NOW + 100) == (OWNER, NOW + 5)
    # A claim that took nothing lets nothing leave.
    take(channel_row, limit=0, now=NOW + 200)
    assert taken_over(NOW + 300) == (OWNER, NOW + 5)
    take(channel_row, now=NOW + 400)
    with database.transaction():
        leases.release(channel_row.id, OWNER)
    assert taken_over(NOW + 500, "another") == (OWNER, NOW + 400)


def test_channels_that_claim_together_each_get_their_own(channel_row: Any) -> None:
    other, lost = add_channel("100000000000002"), add_channel("100000000000003")
    rows = (channel_row, other, lost)
    for row in rows:
        accepted(row, 5, series=440 + row.id, public_id=f"b{row.id}")
    with database.transaction():
        for row in rows:
            leases.take(row.id, OWNER if row is not lost else "another", 80, [], NOW, NOW + 10_000)
        asks = [Ask(row.id, OWNER, 2 + row.id, 0, 80, Terms("77", 100)) for row in rows]
        found = claims.claim(asks, NOW, NOW + 10_000)
    assert found[2] is None
    for row, one in zip(rows[:2], found[:2], strict=True):
        assert one is not None
        assert [message.recipient[:9] for message in one.messages] == [f"+90555{440 + row.id}"] * (2 + row.id)
        assert [Broadcast.get_by_id(row_id).channel_id for row_id in one.started] == [row.id]
    assert states(Broadcast.get(Broadcast.channel_id == lost.id)) == {"pending": 5}


def test_a_person_whom_two_channels_claim_together_costs_once_for_the_first(channel_row: Any) -> None:
    other = add_channel("100000000000002")
    for row in (channel_row, other):
        accepted(row, 1, public_id=f"b{row.id}")
    with database.transaction():
        for row in (channel_row, other):
            leases.take(row.id, OWNER, 80, [], NOW, NOW + 10_000)
        asks = [Ask(row.id, OWNER, 5, 0, 80, Terms("77", 100)) for row in (channel_row, other)]
        first, second = claims.claim(asks, NOW, NOW + 10_000)
    assert first is not None
    assert second is not None
    assert len(second.messages) == 1
    assert [row.reserved_by for row in Reached.select()] == [first.messages[0].id]
