import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.domain import phone


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("+905554443301", "+905554443301"),
        ("905554443301", "+905554443301"),
        ("+90 (555) 444-33.01", "+905554443301"),
        ("+44 020 7946 0018", "+442079460018"),
        ("+39 06 1234567", "+39061234567"),
        (" +905554443301 ", "+905554443301"),
    ],
)
def test_numbers_become_e164(given_text: str, expected: str) -> None:
    assert phone.recipient(given_text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0911", "abc", "+12", "+90555444330100000", "+1-800-FLOWERS", "++905554443301", "٩٠٥٥٥٤٤٤٣٣٠١"],
)
def test_what_is_no_number_is_refused_with_the_input(text: str) -> None:
    with pytest.raises(ValueError, match="not an international number"):
        phone.recipient(text)


@pytest.mark.parametrize("text", ["US.13491208655302741918", "TR.ENT.abc123", "DE." + "x" * 128])
def test_business_scoped_ids_pass_unchanged(text: str) -> None:
    assert phone.recipient(text) == text


@pytest.mark.parametrize("text", ["us.123", "USA.123", "US.", "US." + "x" * 129, "US.12 3", 'US.1"'])
def test_malformed_business_scoped_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an international number"):
        phone.recipient(text)


CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@given(st.sampled_from(CODES), st.from_regex(r"[0-9]{3,14}", fullmatch=True))
def test_the_short_way_agrees_with_the_library(country_code: int, national: str) -> None:
    digits = f"{country_code}{national}"

    def asked(way: object) -> str | None:
        try:
            return way()  # type: ignore[operator, no-any-return]
        except ValueError:
            return None

    if 6 <= len(digits) <= 28:
        assert asked(lambda: phone.e164("+" + digits)) == asked(lambda: phone._parsed(digits, digits))


def test_masking_keeps_the_ends_only() -> None:
    assert phone.masked("+905554443301") == "+905*******01"
