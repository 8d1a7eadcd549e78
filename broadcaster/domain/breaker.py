"""The breaker: notices when the messages of a broadcast fail for the way they are made."""

from collections import deque

SHAPES = frozenset(("100", "131008", "131009", "132000", "132012", "132018", "135000"))
"""Codes that say how a message is made, and of which many in a row say that all are made so."""
FIRST, SAME_OF_LAST, LAST = 20, 50, 100
"""It trips when the first 20 answers, or 50 of the last 100, have the same of these codes."""


class Breaker:
    """Counts the answers to the messages of one broadcast, in the order they came."""

    def __init__(self) -> None:
        self._seen = 0
        self._last: deque[str | None] = deque(maxlen=LAST)

    def trips(self, code: str | None) -> bool:
        """Whether this answer (None for one that did not fail) is one too many of its kind."""
        shape = code if code in SHAPES else None
        self._seen += 1
        self._last.append(shape)
        if shape is None:
            return False
        same = self._last.count(shape)
        return same >= SAME_OF_LAST or self._seen == same == FIRST
