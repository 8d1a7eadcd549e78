import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.domain import strict_json, timestamps
from broadcaster.errors import Invalid, Malformed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'"\x00"',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        strict_json.loads(body)


def test_duplicate_keys_are_named() -> None:
    with pytest.raises(Invalid) as caught:
        strict_json.loads(b'{"to": "1", "x": {"y": 1, "y": 2}, "to": "2"}')
    assert [fault.field for fault in caught.value.faults.shown] == ["to", "x.y"]


@pytest.mark.parametrize("text", [b"\\u0000", b"\\ud800", b"\\uDFFF x"])
def test_nul_and_half_surrogates_are_named_by_path(text: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        strict_json.loads(b'{"recipients": [{"to": "1"}, {"to": "' + text + b'"}]}')
    assert caught.value.faults.shown[0].field == "recipients[1].to"


def test_an_escaped_backslash_is_no_escape() -> None:
    assert strict_json.loads(rb'{"path": "C:\\u0000dir", "pair": "\ud83d\ude00"}') == {
        "path": r"C:\u0000dir",
        "pair": "\U0001f600",
    }


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_is_written_reads_as_the_same(value: object) -> None:
    try:
        text = strict_json.dumps(value)
        text.encode()
    except (UnicodeEncodeError, TypeError):
        return
    assert json.loads(text) == value


def test_depth_counts_lists_and_objects() -> None:
    assert strict_json.depth("x") == 0
    assert strict_json.depth([[{"a": []}]]) == 4


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2026-06-10T07:00:00Z", 1_781_074_800_000),
        ("2026-06-10T10:00:00.250+03:00", 1_781_074_800_250),
        ("2026-06-10t07:00:00z", 1_781_074_800_000),
    ],
)
def test_times_with_a_zone_are_read(text: str, milliseconds: int) -> None:
    assert timestamps.parse_time(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["2026-06-10T07:00:00", "2026-06-10", "tomorrow", "2026-13-10T07:00:00Z", "2026-02-30T07:00:00Z", ""],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|zone"):
        timestamps.parse_time(text)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert timestamps.format_time(1_781_074_800_007) == "2026-06-10T07:00:00.007Z"
    assert timestamps.format_time(None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"0"] * 600_000) + b"]",
        b"{" + b",".join([b'"a":0'] * 600_000) + b"}",
        b"[" + b",".join([rb'"\\\"",""'] * 300_000) + b"]",
    ],
    ids=["a list", "equal keys", "quotes in texts"],
)
def test_more_values_than_are_read_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="has more than 500000 values"):
        strict_json.loads(body)


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    texts = [",[{" * 1000, 'a "quoted", text', "\\,"] * 200
    assert strict_json.loads(strict_json.dumps(texts).encode()) == texts


def test_equal_keys_count_as_fields() -> None:
    with pytest.raises(Malformed, match="an object has 20000 fields"):
        strict_json.loads(b"{" + b",".join([b'"a":0'] * 20_000) + b"}")
