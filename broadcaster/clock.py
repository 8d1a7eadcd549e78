"""The one place that reads the wall clock for what is stored and compared."""

import time


def epoch_ms() -> int:
    """Now, in epoch milliseconds."""
    return int(time.time() * 1000)
