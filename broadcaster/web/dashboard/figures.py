"""What the pages show as figures, bars and plots."""

import json
from typing import Any

from broadcaster.domain.words import BroadcastStatus
from broadcaster.services import progress
from broadcaster.services.progress import Progress
from broadcaster.store import broadcasts, callbacks, channels, message_queries
from broadcaster.store.models import Message
from broadcaster.web.own import answers

UNDER_WAY: tuple[BroadcastStatus, ...] = ("sending", "paused", "queued", "scheduled")
MINUTE = 60_000
_LATELY_MS = 60 * MINUTE
_SECONDS = 1000


def parts(tracked: Progress) -> list[tuple[str, int, float, float]]:
    """A broadcast's messages in groups that exclude each other: name, number, where the group begins
    on a bar of 100 and how wide it is."""
    counts = tracked.counts
    states, told = counts.states, counts.deliveries
    delivered = told["delivered"] + told["read"]
    groups = {
        "read": told["read"],
        "delivered": told["delivered"],
        "sent": max(0, states["sent"] - counts.undelivered - delivered),
        "undelivered": counts.undelivered,
        "failed": states["failed"],
        "unknown": states["unknown"],
        "in flight": states["sending"],
        "cancelled": states["cancelled"],
        "pending": states["pending"],
    }
    total, at, found = max(1, counts.total), 0.0, []
    for name, count in groups.items():
        width = 100 * count / total
        found.append((name, count, round(at, 3), round(width, 3)))
        at += width
    return found


def channel_rows(now: int) -> list[dict[str, Any]]:
    """The channels with what is left of their allowance."""
    found = []
    for row in channels.all_channels():
        quota = progress.quota(row, 0, now)
        reached = None if quota.total is None else quota.total - (quota.available or 0)
        found.append({**answers.channel(row), "quota": answers.quota(quota), "reached": reached})
    return found


def lately(now: int) -> str | None:
    """The plot of the last hour, over all broadcasts."""
    return minutes(broadcasts.active_since(now - _LATELY_MS), now - _LATELY_MS)


def minutes(broadcast_ids: list[int], since: int) -> str | None:
    """What left in each minute and how long it took, as JSON for the plot; None if nothing did."""
    rows = message_queries.minutes(broadcast_ids, since)
    if not rows:
        return None
    at: dict[int, tuple[int, float | None, float | None]] = {row[0]: row[1:] for row in rows}
    first, last = min(at), max(at)
    # A gap of days would be thousands of empty minutes; the plot then shows the minutes there are.
    span = range(first, last + 1) if last - first < 3 * 1440 else sorted(at)
    shown = [(minute, *at.get(minute, (0, None, None))) for minute in span]
    return json.dumps(
        {
            "minutes": [minute * 60 for minute, *_ in shown],
            "messages": [count for _, count, _, _ in shown],
            "answered": [_rounded(taken) for _, _, taken, _ in shown],
            "delivered": [_rounded(taken) for _, _, _, taken in shown],
        }
    )


def receipt_age(now: int) -> float | None:
    """Seconds since Meta's last callback, None if none ever came."""
    last = callbacks.last_received()
    return None if last is None else max(0.0, (now - last) / _SECONDS)


def history(row: Message) -> list[tuple[str, Any]]:
    """What happened to a message, in order, with epoch milliseconds."""
    told = [
        ("claimed for sending", row.claimed_at),
        ("taken over by Meta", row.sent_at),
        ("delivered", row.delivered_at),
        ("read", row.read_at),
        ("failed by receipt", row.undelivered_at),
        ("settled", row.settled_at),
    ]
    return sorted(((what, at) for what, at in told if at is not None), key=lambda entry: entry[1])


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / _SECONDS, 3)
