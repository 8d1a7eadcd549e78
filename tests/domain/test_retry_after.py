"""How long an answer asks to wait."""

import pytest

from broadcaster.domain import retry_after

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
EPOCH = 1792567680.0


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120), (" 7 ", None, 7), ("0", None, 0), ("999999999", None, 999999999),
        (DATE, None, 30), (DATE, "Wed, 21 Oct 2026 07:27:50 GMT", 10), (DATE, "nonsense", 30),
        (DATE, "Wed, 21 Oct 2026 08:00:00 GMT", 0), ("Wednesday, 21-Oct-26 07:28:00 GMT", None, 30),
        ("Wed Oct 21 07:28:00 2026", None, 30),
        ("", None, None), ("soon", None, None), ("-5", None, None), ("1.5", None, None), ("1e9", None, None),
        ("\uff19", None, None), ("9" * 40, None, None), ("Wed, 99 Oct 99999 07:28:00 GMT", None, None),
    ],
)  # fmt: skip
def test_a_number_or_a_date_is_read_and_nothing_else(
    value: str, date: str | None, seconds: float | None
) -> None:
    assert retry_after.seconds(value, date, EPOCH - 30) == seconds
