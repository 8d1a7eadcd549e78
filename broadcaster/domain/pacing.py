"""Pace: tiers, the pace of a channel, and the sliding window that holds it."""

import math
import re
from collections import deque

THROUGHPUT = {"STANDARD": 80.0, "HIGH": 1000.0}
COEXISTENCE = 20.0
"""Messages a second for a number that is also in the WhatsApp Business app (Meta, throughput)."""

UNLIMITED = None
WINDOW = 1.0
GUARD = 0.025
"""Added to the window in seconds: two messages a window apart may travel unequally long."""
SPREAD = 1.2
"""Within a second messages leave evenly, at 1.2 times the pace: what a stall of up to a sixth of a second
cost is made up for in the same second, and no gap is longer than a fifth of one."""
RECOVERY_AFTER = 2.0
"""Seconds without throttling after which a slowed pace begins to recover."""

_TIER = re.compile(r"TIER_(\d+)(K?)", re.ASCII)


def tier_size(tier: str) -> int | None:
    """How many different people a tier may reach in 24 h, None for unlimited.

    Raises ValueError for a word that is none of Meta's (`TIER_250`, `TIER_2K`, `TIER_UNLIMITED`...).
    """
    if tier in ("TIER_UNLIMITED", "UNTIERED"):
        return UNLIMITED
    match = _TIER.fullmatch(tier)
    if not match or not int(match[1]):
        raise ValueError(f"no messaging tier: {tier!r}")
    return int(match[1]) * (1000 if match[2] else 1)


def known_tier(tier: str | None, default: str) -> str:
    """Meta's word for the tier, or the configured default where Graph tells none we know."""
    try:
        tier_size(tier or "")
    except ValueError:
        return default
    return tier or default


def pace_of(throughput: str | None, coexistence: bool, tier: str, override: float | None = None) -> float:
    """Messages a second a channel may send: the least of its throughput and its tier's day in a minute.

    A day's allowance thus takes at least a minute to leave, and a mistake can be stopped.
    Tiers of 10,000 and more are bound by throughput alone.
    """
    if override is not None:
        return override
    through = COEXISTENCE if coexistence else THROUGHPUT.get(throughput or "STANDARD", 80.0)
    size = tier_size(tier)
    if size is None or size >= 10_000:
        return through
    return min(through, size / 60)


class Window:
    """A sliding second over what leaves: at most `pace` messages in any of them.

    A place is taken before a message leaves and counts until one window after its bytes have
    left, so that a slow connection cannot push two seconds' worth into one. Times are seconds
    of a monotonic clock and arguments.
    """

    def __init__(self, pace: float, now: float):
        self.base = pace
        self.current = pace
        self._left: deque[float] = deque()
        self._leaving = 0
        self._held_until = now
        self._even_since = -math.inf
        """What leaves is spread evenly from here on: a place opens every `_gap` seconds."""
        self._slowed_at = -math.inf
        self._passed_at = -math.inf

    @property
    def length(self) -> float:
        """Seconds of the window: longer than one where the pace is less than one a second."""
        return max(WINDOW, self._size() / self.current) + GUARD

    @property
    def step(self) -> int:
        """The most that leaves or is claimed at once: a fortieth of a second's pace, at least one."""
        return max(1, int(self.current / 40))

    def room(self, now: float) -> int:
        """How many may leave now."""
        if now < self._held_until:
            return 0
        self._forget(now)
        # What a stall left unused is made up for by one step, no more.
        self._even_since = max(self._even_since, now - self.step * self._gap())
        spread = int((now - self._even_since) / self._gap() + 1e-6)
        return max(0, min(spread, self._size() - len(self._left) - self._leaving))

    def wait(self, now: float) -> float:
        """Seconds until a place opens, as far as is known by now."""
        until = max(self._held_until, self._even_since + self._gap())
        if self._left and len(self._left) + self._leaving >= self._size():
            until = max(until, self._left[0] + self.length)
        return max(0.0, until - now)

    def opens_within(self, seconds: float, now: float) -> bool:
        """Whether a place is open, or will be in so many seconds at most."""
        # Where all places are of messages whose bytes have not left, nobody knows when one opens.
        is_known = bool(self._left) or self._leaving < self._size()
        return self.room(now) > 0 or (is_known and self.wait(now) <= seconds)

    def is_held(self, now: float) -> bool:
        """Whether nothing may leave for longer than the pace alone would ask."""
        return self._held_until > now

    def take(self, count: int = 1) -> None:
        """Places for messages that are about to leave."""
        self._leaving += count
        self._even_since += count * self._gap()

    def give_back(self) -> None:
        """The place of a message that never left."""
        self._leaving -= 1

    def left(self, now: float) -> None:
        """One message's bytes left."""
        self._leaving -= 1
        self._left.append(now)

    def hold(self, until: float) -> None:
        """Nothing leaves before this."""
        self._held_until = max(self._held_until, until)

    def slow(self, now: float) -> None:
        """Halve the pace, at most once a second, never below one in ten seconds: Meta throttled."""
        if now - self._slowed_at >= WINDOW:
            self.current = max(0.1, self.current / 2)
            self._slowed_at = now

    def passed(self, now: float) -> None:
        """Meta took an answer's worth of us without throttling."""
        self._passed_at = now

    def recover(self, now: float, seconds: float) -> None:
        """Win back a fifth of the pace a second, once throttling has stopped for a while."""
        calm = self._passed_at > self._slowed_at and now - self._slowed_at > RECOVERY_AFTER
        if calm and self.current < self.base:
            self.current = min(self.base, self.current + self.base * seconds / 5)

    def set_pace(self, pace: float) -> None:
        """The channel's pace changed; what Meta made slower stays in proportion."""
        self.current = min(pace, self.current * pace / self.base)
        self.base = pace

    def _size(self) -> int:
        return max(1, int(self.current))

    def _gap(self) -> float:
        return 1 / (SPREAD * self.current)

    def _forget(self, now: float) -> None:
        oldest = now - self.length
        while self._left and self._left[0] <= oldest:
            self._left.popleft()
