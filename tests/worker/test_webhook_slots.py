"""Slots: slow receivers share a few, prompt ones take turns at the rest."""

from broadcaster.worker.webhook_slots import Slots


def begin_all(slots: Slots, due: range, now: float) -> dict[int, int]:
    room = slots.room(due, now)
    for webhook_id, count in room.items():
        for _ in range(count):
            slots.begin(webhook_id, now)
    return room


def test_a_receiver_has_one_slot_until_it_has_answered_and_two_while_it_is_prompt() -> None:
    slots = Slots()
    assert slots.room([1], 0) == {1: 1}
    slot = slots.begin(1, 0)
    assert slots.room([1], 1) == {}
    slots.end(slot, 1)
    assert slots.room([1], 1) == {1: 2}
    slow = slots.begin(1, 1)
    assert slots.room([1], 2) == {1: 1}
    assert slots.room([1], 10) == {}
    slots.end(slow, 10)
    assert slots.room([1], 10) == {1: 1}
    assert slots.are_free()


def test_slow_receivers_leave_room_for_others_and_take_turns() -> None:
    slots = Slots()
    begun = begin_all(slots, range(1, 40), 0)
    assert len(begun) == 16
    assert slots.room(range(1, 50), 1) == {}
    assert list(begin_all(slots, range(1, 40), 10)) == list(range(17, 33))
    assert list(begin_all(slots, range(1, 41), 20)) == [*range(33, 40), 40]
    assert begin_all(slots, range(1, 41), 30) == {}
    assert slots.room([99], 30) == {99: 1}


def test_who_was_served_longest_ago_is_next() -> None:
    slots = Slots()
    for webhook_id in (3, 1, 2):
        slots.end(slots.begin(webhook_id, 0), 0)
    assert list(slots.room([1, 2, 3, 4], 0)) == [4, 3, 1, 2]
