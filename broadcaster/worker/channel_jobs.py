"""What a channel's sender asks of the database. Every function here runs on the writer's thread.

A job takes values and returns values and touches no object of the loop's. It may run twice: once with
others of its commit, and once more alone when one of them fails.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.domain import pacing
from broadcaster.domain.retries import PAIR_MS
from broadcaster.settlement import lifecycle, outcomes
from broadcaster.store import allowance, channels, claims, leases
from broadcaster.store.claims import Ask, Claim, Terms
from broadcaster.store.leases import PreviousHolder
from broadcaster.store.models import Channel
from broadcaster.worker import presence

LEASE_MS = 10_000

logger = log.get(__name__)


class Facts(NamedTuple):
    """What of a channel's row decides how it sends. `token` is locked; `tier_size` None for unlimited."""

    phone_number_id: str
    portfolio: str
    token: str
    pace: float
    tier_size: int | None


class Taken(NamedTuple):
    """A channel that is ours: its facts, who had it before, and what that holder left in flight."""

    facts: Facts
    previous: PreviousHolder
    abandoned: int
    not_before: dict[int, int]
    at: int


class Order(NamedTuple):
    """What a claim asks for. `room` is how many new people the allowance has, None to count them anew.

    `not_before` is read only; the loop changes it between two claims, never during one.
    """

    channel_id: int
    owner: str
    portfolio: str
    limit: int
    turn: int
    pace: float
    tier_size: int | None
    room: int | None
    not_before: Mapping[int, int]


class Look(NamedTuple):
    """What the holder of a channel's lease says with it; `trouble` is what keeps it from sending, for callers
    to see."""

    channel_id: int
    owner: str
    pace: float
    trouble: str | None


class Taking(NamedTuple):
    """What a claim took, and how many new people the allowance has left after it."""

    claim: Claim
    room: int


def take_over(channel_id: int, owner: str, data_dir: Path) -> Taken | None:
    """Take the channel's lease; None if another worker holds it.

    What a dead holder left in flight is unknown from here on; what we claimed without getting to know it
    is pending again.
    """
    now = epoch_ms()
    row = channels.get(channel_id)
    dead = presence.dead(data_dir, leases.holders(), owner)
    previous = leases.take(channel_id, owner, channels.pace_of(row), dead, now, now + LEASE_MS)
    if previous is None:
        return None
    abandoned = 0
    if previous.owner == owner:
        # A sender ends when all it knows of is settled: these were claimed by a commit whose answer was lost.
        outcomes.take_back(channel_id, now)
    elif abandoned := outcomes.lose_abandoned(channel_id, now):
        logger.warning("messages of a dead worker are unknown", channel=channel_id, count=abandoned)
    return Taken(_facts(row), previous, abandoned, _written_to(row, previous, now), now)


def _facts(row: Channel) -> Facts:
    tier_size = pacing.tier_size(channels.tier_of(row))
    return Facts(row.phone_number_id, row.portfolio, row.access_token, channels.pace_of(row), tier_size)


def _written_to(row: Channel, previous: PreviousHolder, now: int) -> dict[int, int]:
    """Whom (by contact) another worker wrote to a moment ago, and when they may be written to again.

    Those whom other channels of the portfolio wrote to are among them, and wait as long for nothing.
    """
    if now - previous.claimed_at > PAIR_MS:
        return {}
    # What a dead worker had in flight counts as reached since it was made unknown, a moment ago.
    reached = allowance.recent(row.portfolio, now - PAIR_MS)
    return {contact_id: at + PAIR_MS for contact_id, at in reached.items()}


def look_again(looks: Sequence[Look]) -> list[Facts | None]:
    """Renew leases and read the channels' rows; for each None if another worker took over."""
    kept = leases.keep(looks, epoch_ms() + LEASE_MS)
    rows = {row.id: row for row in channels.among(kept)}
    return [_facts(rows[look.channel_id]) if look.channel_id in kept else None for look in looks]


def claim(orders: Sequence[Order]) -> list[Taking | None]:
    """Take the next messages of channels; for each None if another worker took over."""
    taken: dict[int, Taking | None] = {}
    for together in _apart(orders):
        taken.update(_claim_together(together))
    return [taken[order.channel_id] for order in orders]


def _apart(orders: Sequence[Order]) -> list[list[Order]]:
    """In rounds: who counts the people of a portfolio must see what the others took."""
    rounds = [[order for order in orders if not _counts(order)]]
    earlier: dict[str, int] = {}
    for order in filter(_counts, orders):
        place = earlier[order.portfolio] = earlier.get(order.portfolio, 0) + 1
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(order)
    return [together for together in rounds if together]


def _counts(order: Order) -> bool:
    return order.tier_size is not None and order.room is None


def _claim_together(orders: Sequence[Order]) -> dict[int, Taking | None]:
    now = epoch_ms()
    rooms = [_room(order, now) for order in orders]
    asks = [
        Ask(
            order.channel_id,
            order.owner,
            order.limit,
            order.turn,
            order.pace,
            Terms(order.portfolio, None if room is None else max(0, room), order.not_before),
        )
        for order, room in zip(orders, rooms, strict=True)
    ]
    found = claims.claim(asks, now, now + LEASE_MS)
    lifecycle.tell_started(sorted({one for taken in found if taken for one in taken.started}), now)
    outcomes.follow_refused([row for taken in found if taken for row in taken.refused], now)
    return {
        order.channel_id: Taking(taken, (room or 0) - taken.reserved) if taken else None
        for order, room, taken in zip(orders, rooms, found, strict=True)
    }


def _room(order: Order, now: int) -> int | None:
    """How many new people the order may reach, None for any number."""
    if order.tier_size is None or order.room is not None:
        return order.room
    allowance.lock(order.portfolio)
    return order.tier_size - allowance.people_reached(order.portfolio, now - allowance.DAY)
