"""Retries: how often a message is tried, and the milliseconds between two tries.

Every delay and every number of tries of a message stands here; the README names them.
"""

DELAYS_MS = (1000, 5000, 25_000, 125_000)
"""Before the second to the fifth try of a message that Meta refused for a passing reason."""
MOST_TRIES = 1 + len(DELAYS_MS)
"""How many refusals for a passing reason a message may have; with the last one it fails."""
PAIR_MS = 6000
"""Between two messages to one person from one number (Meta, pair rate limit)."""
LONGEST_PAIR_EXPONENT = 6
"""The longest of the delays that pair_backoff() answers is 4^6 s, 68 minutes."""
THROTTLED_MS = 1000
"""Before a message is claimed again that met throttling, or a Graph that could not be reached."""


def backoff(tries: int, jitter: float) -> int:
    """Milliseconds until a message that was refused for a passing reason is tried again.

    `tries` are those that are used up, from 1. `jitter`, 0 to 1, moves the delay by up to a
    quarter to either side, so that messages refused together do not come back together.
    """
    delay = DELAYS_MS[min(max(tries, 1), len(DELAYS_MS)) - 1]
    return int(delay * (0.75 + jitter / 2))


def pair_backoff(tries: int) -> int:
    """Milliseconds until a person may be written to again whom Meta calls written to too often.

    4^n s after the n-th try, counted from 0 (Meta, pair rate limit).
    """
    return int(1000 * 4 ** min(tries, LONGEST_PAIR_EXPONENT))
