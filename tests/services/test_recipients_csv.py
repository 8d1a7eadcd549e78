import pytest

from broadcaster.errors import Malformed
from broadcaster.services import recipients_csv


def test_a_column_to_has_the_numbers_whatever_else_looks_like_some() -> None:
    read = recipients_csv.read(b"Phone,to\n+905554443301,0911\n")
    body = {"type": "BODY", "parameters": {"Phone": "+905554443301"}}
    assert read.recipients == [{"to": "0911", "variables": [body]}]


def test_without_it_the_column_is_chosen_by_name_and_content() -> None:
    read = recipients_csv.read(b"Birthday,1,Cell\n15.06.2025,Ana,905554443301\n")
    body = {"type": "BODY", "parameters": {"Birthday": "15.06.2025", "1": "Ana"}}
    assert read.recipients == [{"to": "905554443301", "variables": [body]}]
    assert read.numbers == [2]


def test_a_default_country_tells_national_numbers_from_others() -> None:
    raw = b"A,B\n0555 444 33 01,7\n"
    assert recipients_csv.read(raw, "TR").recipients[0]["to"] == "0555 444 33 01"
    with pytest.raises(Malformed, match='one of them "to"'):
        recipients_csv.read(raw)


@pytest.mark.parametrize(
    "raw", [b"+905554443301,Ana\n+905554443302,Bo\n", b"A,B\n+905554443301,+905554443302\n"]
)
def test_an_unclear_column_is_not_guessed(raw: bytes) -> None:
    with pytest.raises(Malformed, match='one of them "to"'):
        recipients_csv.read(raw)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b",".join(b"c%d" % i for i in range(201)) + b"\n", "names 201 columns; at most 200"),
        (b",".join(b"c%d" % i for i in range(200_000)) + b"\n", "more cells than the 200 columns"),
        (b"to,a\n" + b"," * 200_000 + b"\n", "more cells than the 200 columns"),
        (b'"to\n",a' + b"," * 200_000 + b"\n", "more cells than the 200 columns"),
        (b"to\n" + b"0911\n" * 20_001, "more than 20000 rows"),
    ],
)
def test_a_file_too_wide_or_too_long_is_refused_before_its_cells_are_read(raw: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        recipients_csv.read(raw)


def test_200_columns_are_read() -> None:
    header = b"to," + b",".join(b"c%d" % i for i in range(199))
    read = recipients_csv.read(header + b"\n+905554443301" + b",x" * 199 + b"\n")
    assert len(read.recipients[0]["variables"][0]["parameters"]) == 199
