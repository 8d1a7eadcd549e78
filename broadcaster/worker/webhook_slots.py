"""Slots for deliveries to webhooks: who answers at once is not kept waiting by who does not.

A receiver counts as slow when its last delivery was, or one under way is. Slow ones share some slots of their
own, one each; the others take turns at the rest. Until a receiver has answered once it has one slot.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple

_PROMPT_SECONDS = 3.0
_AT_ONCE, _SHARE = 16, 2
"""Deliveries at a time: to all prompt receivers, and to one."""
_SLOW_AT_ONCE = 8


class Slot(NamedTuple):
    """A delivery under way."""

    webhook_id: int
    turn: int
    begun: float


class Slots:
    """Which webhooks deliveries may begin to; any thread may end one. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[Slot] = set()
        self._was_slow: dict[int, bool] = {}
        self._last_turn: dict[int, int] = {}
        self._turn = 0

    def room(self, due: Iterable[int], now: float) -> dict[int, int]:
        """How many deliveries may begin to each of these webhooks, the one served longest ago first."""
        with self._lock:
            slow = {slot.webhook_id for slot in self._under_way if now - slot.begun > _PROMPT_SECONDS}
            slow |= {webhook_id for webhook_id, was_slow in self._was_slow.items() if was_slow}
            taken = [slot.webhook_id for slot in self._under_way]
            slow_taken = sum(webhook_id in slow for webhook_id in taken)
            left = {True: _SLOW_AT_ONCE - slow_taken, False: _AT_ONCE - (len(taken) - slow_taken)}
            room: dict[int, int] = {}
            for webhook_id in sorted(due, key=lambda webhook_id: self._last_turn.get(webhook_id, 0)):
                is_slow = webhook_id in slow
                share = _SHARE if self._was_slow.get(webhook_id) is False and not is_slow else 1
                free = min(share - taken.count(webhook_id), left[is_slow])
                if free > 0:
                    room[webhook_id] = free
                    left[is_slow] -= free
            return room

    def begin(self, webhook_id: int, now: float) -> Slot:
        with self._lock:
            self._turn += 1
            self._last_turn[webhook_id] = self._turn
            slot = Slot(webhook_id, self._turn, now)
            self._under_way.add(slot)
            return slot

    def end(self, slot: Slot, now: float) -> None:
        with self._lock:
            self._under_way.discard(slot)
            self._was_slow[slot.webhook_id] = now - slot.begun > _PROMPT_SECONDS

    def are_free(self) -> bool:
        """Whether nothing is under way."""
        with self._lock:
            return not self._under_way
