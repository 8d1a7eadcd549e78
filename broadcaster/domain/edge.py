"""The edge: what answers tell of the way to Meta, and how much may leave through it.

One message without a readable answer is `unknown` and that is all (it may have left). Many in a row say
that something between us and Meta is broken, and that each further message would be lost alike: then little
leaves, and after some dozens nothing but one message now and then, until answers can be read again.
"""

import math

FIRST_OPEN, MOST_OPEN = 64, 1000
"""Requests that may be open at once: at first, and at most (a second of the highest pace at a second of
latency). In between, as many as were answered: what an edge swallows is what was open, never a whole list."""
GROWTH = 7
"""For each clear answer so many more, where as many were open as could be: eightfold in a round trip."""
FEW = 8
"""Requests that may be open while answers are in doubt."""
SLOW_AT, HOLD_AT = 3, 24
"""Answers in doubt after which a channel is slowed, and held."""
CLEARED = 2
"""What a clear answer takes off the doubt: an edge that loses two of three is held, too."""
LONGEST_ASKED = 900.0
"""Seconds: the longest wait that is believed when an answer asks for one."""
SILENT_SECONDS = 3.0
"""After so long without any answer, open requests are a silence worth telling."""
_LONGEST_HOLD, _LONGEST_UNREACHED = 60.0, 30.0

UNREACHED = "Graph cannot be reached, trying again"
DOUBTED = "Graph's answers say neither yes nor no: what may have left is not sent again"
HELD = f"{DOUBTED}; the channel is held, and one message is tried now and then"
SLOWED = f"{DOUBTED}; the channel is slowed"
ASKED = "Graph asks to wait before the next message"
SILENT = "Graph does not answer: no more leaves until it answers what is open"
DOUBTS = (HELD, SLOWED, SILENT)
"""Troubles after which whoever sends next begins with one message."""


class Edge:
    """The way of one channel to Meta. Times are seconds of a monotonic clock and arguments."""

    def __init__(self, is_doubted: bool = False):
        """`is_doubted` if it was when somebody else sent: it begins with one message."""
        self.held_until = -math.inf
        self._doubt = HOLD_AT if is_doubted else 0
        self._open = FIRST_OPEN
        self._full = 0
        """So many answers are to come to requests that were all that could be open."""
        self._answered = self._peak = 0
        """Since that was last looked at: clear answers, and the most requests that were open."""
        self._holds = 0
        """How often in a row it was held for doubt."""
        self._unreached = 0
        """How often in a row Graph could not be reached."""
        self._asked_until = -math.inf
        self._heard_at = math.inf
        """When the last answer came, or the first of the requests that are open left."""

    @property
    def most_open(self) -> int:
        """How many requests may be open at once."""
        if self._doubt >= HOLD_AT or self._unreached:
            return 1
        return FEW if self._doubt >= SLOW_AT else self._open

    @property
    def most_claimed(self) -> int:
        """How many messages may be claimed and not settled: few where few may leave."""
        return self.most_open if self._doubt >= SLOW_AT or self._unreached else MOST_OPEN

    def leaving(self, now: float, others: int) -> None:
        """A request begins, beside so many others that are open."""
        if not others:
            self._heard_at = now
        self._peak = max(self._peak, others + 1)
        if others + 1 >= self._open:
            self._full = self._open

    def clear(self, now: float) -> None:
        """An answer came that says yes or no."""
        self._heard_at = now
        self._unreached = 0
        self._doubt = max(0, self._doubt - CLEARED)
        if not self._doubt:
            self._holds = 0
        self._answered += 1
        if self._full:
            # Answers come in heaps: all to those that were open then count, not only the first of a heap.
            self._full -= 1
            self._open = min(MOST_OPEN, self._open + GROWTH)
            self._answered = 0
        elif self._answered > 2 * self._open:
            self._open = max(FIRST_OPEN, min(self._open, 2 * self._peak))
            self._answered = self._peak = 0

    def doubtful(self, now: float) -> bool:
        """A request may have left and has no readable answer; returns whether to slow down."""
        self._heard_at = now
        self._unreached = 0
        self._doubt = min(HOLD_AT, self._doubt + 1)
        if self._doubt < SLOW_AT:
            return False
        self._open, self._full = FIRST_OPEN, 0
        if self._doubt < HOLD_AT:
            return True
        if now >= self.held_until:
            self._holds += 1
            self.held_until = now + min(_LONGEST_HOLD, 2.0 ** min(self._holds, 6))
        return False

    def unreached(self, now: float) -> None:
        """Nothing left and nothing would: hold the channel instead of burning tries."""
        self._heard_at = now
        if now >= self.held_until:
            self.held_until = now + min(_LONGEST_UNREACHED, 2.0 ** min(self._unreached, 5))
            self._unreached += 1

    def asked(self, now: float, seconds: float) -> None:
        """An answer asks to wait so long."""
        self._asked_until = max(self._asked_until, now + min(LONGEST_ASKED, seconds))
        self.held_until = max(self.held_until, self._asked_until)

    def trouble(self, now: float, opened: int) -> str | None:
        """What keeps messages from leaving, while so many requests are open; None if nothing does."""
        if self._unreached:
            return UNREACHED
        if now < self._asked_until:
            return ASKED
        if self._doubt >= HOLD_AT:
            return HELD
        if opened >= self.most_open and now - self._heard_at > SILENT_SECONDS:
            return SILENT
        return SLOWED if self._doubt >= SLOW_AT else None
