"""The one place that reads the wall clock for what is stored and compared.

Hosts that share a database count as its server does: a schedule, a lease and an allowance are compared by
hosts that did not write them.
"""

import time

_ahead_ms = 0


def follow(ahead_ms: int) -> None:
    """From here on count as a clock that is so many milliseconds ahead of this machine's."""
    global _ahead_ms
    _ahead_ms = ahead_ms


def epoch_ms() -> int:
    """Now, in epoch milliseconds."""
    return int(time.time() * 1000) + _ahead_ms
