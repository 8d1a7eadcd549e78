"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition returns once it is true; fails the test when the deadline passes."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(pause)
        # To ask a server 50 times a second keeps it from what is waited for.
        pause = min(pause * 1.3, 0.1)
    raise AssertionError(f"not within {seconds} s: {condition!r}")
