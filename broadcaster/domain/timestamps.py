"""Times: RFC 3339 in requests and answers, epoch milliseconds inside."""

import re
from datetime import UTC, datetime
from typing import overload

_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, beyond which RFC 3339 has no times."""


_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<zone>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


def parse_time(text: str) -> int:
    """RFC 3339 to epoch milliseconds; raises ValueError when no zone is given or it is no time."""
    match = _RFC3339.fullmatch(text)
    if not match:
        raise ValueError('must be a time like "2026-06-10T07:00:00Z"')
    if not match["zone"]:
        raise ValueError("must say its time zone: append Z for UTC or an offset like +03:00")
    try:
        moment = int(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("is not a time that exists") from None
    if moment < 0:
        raise ValueError("is before 1970")
    return moment


@overload
def format_time(milliseconds: int) -> str: ...
@overload
def format_time(milliseconds: None) -> None: ...
@overload
def format_time(milliseconds: int | None) -> str | None: ...
def format_time(milliseconds: int | None) -> str | None:
    """Epoch milliseconds to RFC 3339 in UTC with milliseconds; None stays None."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(min(milliseconds // 1000, _LAST_SECOND), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
