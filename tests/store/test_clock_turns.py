"""A clock that is set back: what was due stays due, and a schedule still means the wall clock."""

from pathlib import Path
from typing import Any

import pytest

from broadcaster.store import clock_turns, database, leases
from broadcaster.store.models import Broadcast, Event, EventDelivery, Lease, Message, Webhook
from broadcaster.worker import worker
from tests.support.broadcasts import OWNER, accepted, claim
from tests.support.samples import NOW

HOUR = 3_600_000
LEASE_MS = 10_000


def test_what_was_accepted_before_leaves_though_the_clock_was_set_back(channel_row: Any) -> None:
    accepted(channel_row, 2)
    before = NOW - HOUR
    assert claim(channel_row, now=before) == []
    assert clock_turns.heed(before, LEASE_MS) == HOUR
    assert len(claim(channel_row, now=before)) == 2
    assert clock_turns.heed(before, LEASE_MS) == 0


def test_what_had_become_due_stays_due_and_what_had_not_waits_for_its_time(channel_row: Any) -> None:
    facts = {"scheduled": True, "created_at": NOW - 2 * HOUR}
    with database.transaction():
        leases.beat("w", "host", 1, NOW)
    due = accepted(channel_row, 1, number=1, due_at=NOW - 5, scheduled=True)
    later = accepted(channel_row, 1, number=2, due_at=NOW + 5, scheduled=True)
    Broadcast.update(created_at=facts["created_at"]).execute()
    assert clock_turns.heed(NOW - HOUR, LEASE_MS) == HOUR
    assert Broadcast.get_by_id(due.id).due_at == NOW - HOUR
    assert Broadcast.get_by_id(later.id).due_at == NOW + 5
    assert [row.broadcast_id for row in claim(channel_row, now=NOW - HOUR)] == [due.id]


def test_what_was_accepted_at_a_wrong_time_brings_no_schedule_forward(channel_row: Any) -> None:
    accepted(channel_row, 1, number=1)
    later = accepted(channel_row, 1, number=2, due_at=NOW - 1, scheduled=True)
    Broadcast.update(created_at=NOW - 2 * HOUR).where(Broadcast.id == later.id).execute()
    assert clock_turns.heed(NOW - HOUR, LEASE_MS) == HOUR
    assert Broadcast.get_by_id(later.id).due_at == NOW - 1


def test_an_event_is_told_as_soon_as_it_would_have_been(channel_row: Any) -> None:
    accepted(channel_row, 1)
    hook = Webhook.create(url="https://a.example", types="", secret="", created_at=NOW)
    event = Event.create(type="t", created_at=NOW, data="{}")
    known: Any = {"webhook_id": hook.id, "event_id": event.id, "attempts": 0}
    for state, next_at in (("pending", NOW), ("pending", NOW + 5000), ("delivered", NOW)):
        EventDelivery.create(state=state, next_at=next_at, **known)
    assert clock_turns.heed(NOW - HOUR, LEASE_MS) == HOUR
    told = [row.next_at for row in EventDelivery.select().order_by(EventDelivery.id)]
    assert told == [NOW - HOUR, NOW - HOUR + 5000, NOW]


def test_what_is_tried_again_in_five_seconds_still_is(channel_row: Any) -> None:
    row = accepted(channel_row, 1)
    Message.update(next_at=NOW + 5000).execute()
    assert clock_turns.heed(NOW - HOUR, LEASE_MS) == HOUR
    assert Message.get().next_at == NOW - HOUR + 5000
    assert Broadcast.get_by_id(row.id).due_at == NOW - HOUR


def test_a_lease_holds_no_longer_for_it(channel_row: Any) -> None:
    accepted(channel_row, 2)
    assert len(claim(channel_row, limit=1)) == 1
    clock_turns.heed(NOW - HOUR, LEASE_MS)
    [lease] = Lease.select()
    assert (lease.expires_at, lease.claimed_at) == (NOW - HOUR + LEASE_MS, NOW - HOUR)
    with database.transaction():
        assert leases.take(channel_row.id, "another", 80, [], NOW - HOUR, NOW) is None
        assert leases.take(channel_row.id, "another", 80, [OWNER], NOW - HOUR, NOW) is not None


@pytest.mark.parametrize("back", [0, 500, -HOUR])
def test_a_correction_and_a_clock_set_forward_change_nothing(channel_row: Any, back: int) -> None:
    row = accepted(channel_row, 1)
    assert clock_turns.heed(NOW - back, LEASE_MS) == 0
    assert Broadcast.get_by_id(row.id).due_at == NOW


def test_the_first_beat_and_every_sweep_heed_it(channel_row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in (lambda: worker.beat("w", "host", 1), lambda: worker.sweep(900_000, "w", Path())):
        Message.delete().execute()
        Broadcast.delete().execute()
        accepted(channel_row, 1)
        monkeypatch.setattr(worker, "epoch_ms", lambda: NOW - HOUR)
        with database.transaction():
            job()
        assert Broadcast.get().due_at == NOW - HOUR
