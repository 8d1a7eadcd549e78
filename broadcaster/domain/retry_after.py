"""Retry-After: how long an answer asks to wait (RFC 9110, 10.2.3), a number of seconds or a date."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def seconds(value: str, date: str | None, now: float) -> float | None:
    """Seconds to wait; None where nothing is asked or it cannot be read.

    A date counts from the answer's own `date`, for its clock may differ from ours; `now` (epoch seconds)
    stands in where it has none.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _instant(text)
    if until is None:
        return None
    begun = _instant(date or "")
    return max(0.0, until - (now if begun is None else begun))


def _instant(text: str) -> float | None:
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return (read - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
