"""The arrows of the state machine, each from the states it may leave and no other."""

from collections.abc import Callable
from typing import Any

import pytest
from peewee import IntegrityError

from broadcaster.settlement import lifecycle, outcomes
from broadcaster.store import (
    allowance,
    broadcasts,
    claims,
    counters,
    leases,
    messages,
    people,
)
from broadcaster.store.claims import Ask, Terms
from broadcaster.store.leases import PreviousHolder
from broadcaster.store.messages import Draft
from broadcaster.store.models import Broadcast, Message
from tests.support.broadcasts import (
    OWNER,
    accepted,
    claim,
    settle_failed,
    settle_lost,
    settle_put_back,
    settle_sent,
    states,
)
from tests.support.channels import add_channel
from tests.support.samples import NOW


def test_claimed_messages_are_sending_and_nobody_elses(channel_row: Any) -> None:
    row = accepted(channel_row)
    first, second = claim(channel_row, 2), claim(channel_row, 2)
    assert (len(first), len(second)) == (2, 1)
    assert {c.id for c in first} & {c.id for c in second} == set()
    assert states(row) == {"sending": 3}
    assert Broadcast.get_by_id(row.id).started_at == NOW


def test_nothing_is_claimed_before_it_is_due(channel_row: Any) -> None:
    row = accepted(channel_row, due_at=NOW + 1, scheduled=True)
    assert claim(channel_row, now=NOW) == []
    assert len(claim(channel_row, now=NOW + 1)) == 3
    assert Broadcast.get_by_id(row.id).started_at == NOW + 1


@pytest.mark.parametrize("fact", ["paused", "stopped"])
def test_paused_and_stopped_broadcasts_are_not_claimed(channel_row: Any, fact: str) -> None:
    row = accepted(channel_row)
    if fact == "paused":
        broadcasts.pause(row.id, "token", "190: expired", NOW)
    else:
        broadcasts.stop(row.id, NOW)
    assert claim(channel_row) == []


def test_without_the_lease_nothing_is_claimed(channel_row: Any) -> None:
    accepted(channel_row)
    assert leases.take(channel_row.id, "other", 80, [], NOW, NOW + 10_000) == PreviousHolder("other", 0)
    assert claims.claim([Ask(channel_row.id, OWNER, 10, 0, 80, Terms("77"))], NOW, NOW + 10_000) == [None]


def test_broadcasts_share_a_claim_evenly_and_high_priority_comes_first(channel_row: Any) -> None:
    rows = [accepted(channel_row, 20, number=i, series=500 + i) for i in range(3)]
    high = accepted(channel_row, 4, number=9, priority=1)
    shares = [c.broadcast_id for c in claim(channel_row, 10)]
    assert shares.count(high.id) == 4
    assert sorted(shares.count(row.id) for row in rows) == [2, 2, 2]


def test_single_claims_take_turns(channel_row: Any) -> None:
    rows = [accepted(channel_row, 5, number=i, series=500 + i) for i in range(2)]
    served = [claim(channel_row, 1, turn=turn)[0].broadcast_id for turn in range(4)]
    assert served == [rows[0].id, rows[1].id] * 2


SETTLES: list[tuple[Callable[[Any], int], str, set[str]]] = [
    (settle_sent, "sent", {"sending", "unknown"}),
    (settle_failed, "failed", {"sending", "unknown"}),
    (settle_lost, "unknown", {"sending"}),
    (settle_put_back, "pending", {"sending", "unknown"}),
]


@pytest.mark.parametrize(("settle", "end", "froms"), SETTLES, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("state", counters.STATES)
def test_each_move_leaves_only_its_own_states(
    channel_row: Any, settle: Callable[[Any], int], end: str, froms: set[str], state: str
) -> None:
    row = accepted(channel_row, 1)
    claimed = claim(channel_row)[0]
    Message.update(state=state, wamid="w", sent_at=NOW, error_code="x").execute()
    moved = settle(claimed)
    assert moved == (state in froms)
    assert states(row) == {end if moved else state: 1}


def test_an_answer_of_an_earlier_attempt_changes_nothing(channel_row: Any) -> None:
    row = accepted(channel_row, 1)
    first = claim(channel_row)[0]
    settle_put_back(first)
    second = claim(channel_row, now=NOW + 1000)[0]
    assert second.attempt == first.attempt + 1
    assert settle_sent(first) == 0
    assert states(row) == {"sending": 1}
    assert settle_sent(second) == 1


def test_what_is_put_back_after_a_stop_is_cancelled(channel_row: Any) -> None:
    row = accepted(channel_row, 2)
    claimed = claim(channel_row)
    lifecycle.stop(row.id, NOW)
    settle_put_back(claimed[0])
    assert states(row) == {"sending": 1, "cancelled": 1}


def test_put_back_waits_and_counts_the_try(channel_row: Any) -> None:
    accepted(channel_row, 1)
    settle_put_back(claim(channel_row)[0])
    assert claim(channel_row, now=NOW + 999) == []
    again = claim(channel_row, now=NOW + 1000)[0]
    assert (again.attempt, again.tries) == (2, 1)


def test_a_dead_workers_messages_become_unknown(channel_row: Any) -> None:
    other = add_channel("200")
    row, elsewhere = accepted(channel_row, 3), accepted(other, 2, number=2)
    claim(channel_row, 2)
    claim(other, 2)
    assert outcomes.lose_abandoned(channel_row.id, NOW) == 2
    assert states(row) == {"unknown": 2, "pending": 1}
    assert states(elsewhere) == {"sending": 2}


def test_unknown_is_closed_when_its_window_has_passed(channel_row: Any) -> None:
    row = accepted(channel_row, 1)
    settle_lost(claim(channel_row)[0])
    assert messages.close_unknown(5, 100, NOW + 5) == []
    assert [one.broadcast_id for one in messages.close_unknown(5, 100, NOW + 6)] == [row.id]
    assert states(row) == {"failed": 1}
    assert Message.get().error_code == "OUTCOME_UNKNOWN"


@pytest.mark.parametrize("state", ["pending", "sending", "unknown"])
def test_a_broadcast_is_not_finished_before_its_last_message(channel_row: Any, state: str) -> None:
    row = accepted(channel_row, 2)
    claimed = claim(channel_row, 2)
    settle_sent(claimed[0])
    Message.update(state=state).where(Message.id == claimed[1].id).execute()
    assert broadcasts.finish([row.id], NOW) == []
    Message.update(state="failed", error_code="x").where(Message.id == claimed[1].id).execute()
    assert broadcasts.finish([row.id], NOW + 9) == [row.id]
    assert broadcasts.finish([row.id], NOW + 10) == []
    assert Broadcast.get().finished_at == NOW + 9


def test_a_stop_counts_what_it_found_and_a_second_changes_nothing(channel_row: Any) -> None:
    row = accepted(channel_row, 5)
    claimed = claim(channel_row, 2)
    lifecycle.stop(row.id, NOW + 1)
    first = Broadcast.get_by_id(row.id)
    assert (first.stopped_cancelled, first.stopped_in_flight, first.finished_at) == (3, 2, None)
    settle_sent(claimed[0])
    settle_failed(claimed[1])
    lifecycle.finish([row.id], NOW + 2)
    lifecycle.stop(row.id, NOW + 3)
    second = Broadcast.get_by_id(row.id)
    assert (second.stopped_cancelled, second.stopped_in_flight, second.stopped_at) == (3, 2, NOW + 1)
    assert states(row) == {"cancelled": 3, "sent": 1, "failed": 1}


@pytest.mark.parametrize(
    "nonsense",
    [
        {"state": "gone"},
        {"state": "sent"},
        {"state": "failed"},
        {"state": "unknown"},
        {"delivery": "seen"},
        {"delivery": "read"},
        {"tries": 3},
        {"attempt": -1},
    ],
    ids=str,
)
def test_the_database_refuses_nonsense(channel_row: Any, nonsense: dict[str, Any]) -> None:
    accepted(channel_row, 1)
    with pytest.raises(IntegrityError):
        Message.update(**nonsense).execute()


def test_a_message_needs_its_broadcast(db: Any) -> None:
    with pytest.raises(IntegrityError):
        messages.insert(12345, [Draft("+905554443301", "{}")], NOW, NOW)


def test_a_lease_goes_to_one_and_passes_from_the_dead(channel_row: Any) -> None:
    until = NOW + 10_000
    assert leases.take(channel_row.id, "a", 80, [], NOW, until) == PreviousHolder("a", 0)
    assert leases.take(channel_row.id, "b", 80, [], NOW, until) is None
    leases.note_claims([channel_row.id], NOW + 7)
    assert leases.take(channel_row.id, "b", 80, ["a"], NOW, until) == PreviousHolder("a", NOW + 7)
    assert leases.renew([(channel_row.id, "a", 80)], until) == set()
    assert leases.take(channel_row.id, "c", 80, [], until, until + 1) == PreviousHolder("b", NOW + 7)
    leases.release(channel_row.id, "c")
    assert leases.take(channel_row.id, "a", 80, [], until, until + 1) == PreviousHolder("c", NOW + 7)


def test_what_troubles_a_channel_stays_told_until_its_next_holder_knows_better(channel_row: Any) -> None:
    def told() -> str | None:
        return leases.trouble(channel_row.id)

    leases.fail(channel_row.id, "a", "no key")
    assert told() == "no key"
    assert leases.take(channel_row.id, "b", 80, [], NOW, NOW + 1) == PreviousHolder("a", 0, "no key")
    leases.fail(channel_row.id, "a", "late")
    assert told() == "no key"
    leases.fail(channel_row.id, "b", "no disk")
    assert told() == "no disk"
    assert leases.take(channel_row.id, "c", 80, [], NOW, NOW + 1) == PreviousHolder("b", 0, "no disk")
    leases.release(channel_row.id, "c")
    assert told() is None


def test_the_sweep_finds_due_channels_and_what_the_dead_left(channel_row: Any) -> None:
    other = add_channel("200")
    later = accepted(channel_row, 1, due_at=NOW + 500, scheduled=True)
    left = accepted(other, 1, number=2)
    claim(other)
    broadcasts.pause(left.id, "token", None, NOW)
    assert broadcasts.channels_to_wake(NOW) == [other.id]
    assert broadcasts.next_due(NOW) == NOW + 500
    assert set(broadcasts.channels_to_wake(NOW + 500)) == {channel_row.id, other.id}
    broadcasts.stop(later.id, NOW)
    assert broadcasts.next_due(NOW) is None


def test_people_reached_count_once_in_a_day(db: Any) -> None:
    people.add_new(["+1", "+2"], NOW)
    allowance.reached([("p", "+1", NOW), ("p", "+2", NOW), ("p", "+1", NOW - 5), ("q", "+1", NOW)])
    allowance.reached([("p", "+2", NOW - allowance.DAY * 2)])
    assert allowance.people_reached("p", NOW - allowance.DAY) == 2
    assert allowance.people_reached("p", NOW) == 0


@pytest.mark.parametrize("way", ["stop", "expire", "withdraw", "put back after a stop"])
def test_what_may_have_arrived_and_is_not_sent_again_is_not_called_cancelled(
    channel_row: Any, way: str
) -> None:
    row = accepted(channel_row, expire_at=NOW + 5)
    Message.update(resent=True).where(Message.id == 1).execute()
    if way == "stop":
        lifecycle.stop(row.id, NOW)
    elif way == "expire":
        messages.expire([row.id], NOW)
    elif way == "withdraw":
        messages.withdraw([one.id for one in Message.select()], "ERASED", "erased", NOW)
    else:
        taken = claim(channel_row)
        lifecycle.stop(row.id, NOW)
        for one in taken:
            settle_put_back(one)
    assert states(row) == {"failed": 1, "cancelled": 2}
    assert Message.get_by_id(1).error_code == messages.MAYBE
    assert messages.MAYBE not in {one.error_code for one in Message.select().where(Message.id > 1)}
