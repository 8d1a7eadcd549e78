import re
from collections.abc import Callable

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from broadcaster.domain import phone
from broadcaster.domain.phone import plans, reading
from tests.support.written_numbers import INTERNATIONAL, NATIONAL, NO_NUMBERS, NO_NUMBERS_WITH_A_COUNTRY

COUNTRIES = sorted(phone.known_countries())
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
SHAPES = re.compile("decimal|scientific|thousands|date|time|two|IP|extension")


def outcome(way: Callable[[], str]) -> str | None:
    try:
        return way()
    except ValueError:
        return None


def example(country: str, kind: int = PhoneNumberType.MOBILE) -> phonenumbers.PhoneNumber:
    number = phonenumbers.example_number_for_type(country, kind)
    if number is None:
        pytest.skip(f"{country} has none of this kind")
    return number


def is_ordinary(number: phonenumbers.PhoneNumber) -> bool:
    ask = phonenumbers.is_possible_number_for_type_with_reason
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    return any(ask(number, kind) == phonenumbers.ValidationResult.IS_POSSIBLE for kind in kinds)


def test_the_lists_are_as_long_as_promised() -> None:
    assert sum(map(len, INTERNATIONAL.values())) >= 200
    assert len({phone.country_of(number) for number in INTERNATIONAL}) >= 40
    assert len(NO_NUMBERS) >= 80


@pytest.mark.parametrize(
    ("written", "number"),
    [(written, number) for number, forms in INTERNATIONAL.items() for written in forms],
    ids=ascii,
)
def test_numbers_as_people_write_them_are_read(written: str, number: str) -> None:
    assert phone.recipient(written) == number


@pytest.mark.parametrize(
    ("country", "written", "number"),
    [(country, written, number) for (country, number), forms in NATIONAL.items() for written in forms],
    ids=ascii,
)
def test_a_default_country_reads_what_is_dialled_there(country: str, written: str, number: str) -> None:
    assert phone.recipient(written, country) == number


@pytest.mark.parametrize(("text", "reason"), NO_NUMBERS, ids=lambda text: ascii(text)[:40])
def test_what_is_no_number_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^not an international number: ") as refused:
        phone.recipient(text)
    assert re.search(reason, str(refused.value))


@pytest.mark.parametrize(("country", "text", "reason"), NO_NUMBERS_WITH_A_COUNTRY, ids=ascii)
def test_a_default_country_makes_no_number_of_other_things(country: str, text: str, reason: str) -> None:
    opening = rf"^not a number of {country} or an international number: "
    with pytest.raises(ValueError, match=opening) as refused:
        phone.recipient(text, country)
    assert re.search(reason, str(refused.value))


@pytest.mark.parametrize("country", ["TR", "DE", "US", "IT", "SG"])
@pytest.mark.parametrize(
    "text",
    [text for text, reason in NO_NUMBERS if SHAPES.search(reason)],
    ids=ascii,
)
def test_shapes_are_refused_in_every_country(country: str, text: str) -> None:
    with pytest.raises(ValueError, match="international number"):
        phone.recipient(text, country)


def test_a_refusal_shows_what_cannot_be_seen_and_cuts_what_is_long() -> None:
    with pytest.raises(ValueError, match="international") as refused:
        phone.recipient("\u202e+90555\u200b444\u00a0330\x1b" + "x" * 100_000)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 300
    for name in ("RIGHT-TO-LEFT OVERRIDE", "ZERO WIDTH SPACE", "NO-BREAK SPACE", "U+001B"):
        assert f"[{name}]" in message


@pytest.mark.parametrize("text", ["US.13491208655302741918", "TR.ENT.abc123", "DE." + "x" * 128])
@pytest.mark.parametrize("form", ["{}", "{} ", "\u200e{}\u200f", "\u00a0{}\n", "'{}", '="{}"', "\ufeff{}"])
def test_business_scoped_ids_pass_but_for_what_surrounds_them(text: str, form: str) -> None:
    assert phone.recipient(form.format(text)) == text
    assert phone.recipient(form.format(text), "TR") == text


@pytest.mark.parametrize(
    "text", ["us.123", "USA.123", "US.", "US." + "x" * 129, "US.12 3", 'US.1"', "US.\uff11"]
)
def test_malformed_business_scoped_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an international number"):
        phone.recipient(text)


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("kind", [PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE])
def test_every_country_is_read_in_the_librarys_own_forms(country: str, kind: int) -> None:
    number = example(country, kind)
    expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    for written in (
        expected,
        "00" + expected[1:],
        international,
        international.replace("-", " ").replace(" ", "\u00a0"),
        phonenumbers.format_number(number, PhoneNumberFormat.RFC3966),
        f"'{international}",
        f"whatsapp:{expected}",
    ):
        assert phone.recipient(written) == expected
        assert phone.recipient(written, "TR") == expected
    assert phone.recipient(expected[1:]) == expected


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_country_is_read_as_it_is_written_there(country: str) -> None:
    number = example(country)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    assert phone.recipient(national, country) == expected


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_landline_written_as_there_is_read_right_or_refused(country: str) -> None:
    """A few look like a date, or like another country's landline in full."""
    number = example(country, PhoneNumberType.FIXED_LINE)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    assert outcome(lambda: phone.recipient(national, country)) in (expected, None)


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.sampled_from(CODES), st.from_regex(r"[0-9]{3,14}", fullmatch=True))
def test_a_plain_number_is_what_the_library_says(country_code: int, national: str) -> None:
    text = f"+{country_code}{national}"

    def asked() -> str:
        number = phonenumbers.parse(text)
        kept = phonenumbers.national_significant_number(number)
        if not is_ordinary(number) or (kept.startswith("0") and not phonenumbers.is_valid_number(number)):
            raise ValueError
        return phonenumbers.format_number(number, PhoneNumberFormat.E164)

    if len(text) > 7 and not re.fullmatch(r"\+521[0-9]{10}", text):
        try:
            expected = asked()
        except (ValueError, phonenumbers.NumberParseException):
            expected = None
        assert outcome(lambda: phone.recipient(text)) == expected


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.data())
def test_the_short_way_for_mobile_numbers_agrees_with_the_long_one(data: st.DataObject) -> None:
    country = data.draw(st.sampled_from(COUNTRIES))
    plan = phonenumbers.PhoneMetadata.metadata_for_region(country)
    if plan.mobile is None:
        return
    national = data.draw(
        st.from_regex(re.compile(plan.mobile.national_number_pattern, re.ASCII), fullmatch=True)
    )
    prefixes = ["", "0", plan.national_prefix or "", str(plan.country_code)]
    digits = data.draw(st.sampled_from(prefixes)) + national
    short = plans.home_mobile(digits, country)
    long = reading._dialled if digits.startswith("0") else reading._national_or_full
    assert short is None or short == long(digits, country)


@settings(deadline=None)  # the first question about a country makes its expressions
@given(
    st.text(st.sampled_from("0123456789+-. ()/,;:exE\n\u200b\u00a0"), min_size=7, max_size=30),
    st.sampled_from([None, "TR", "DE", "US", "BR", "AR", "IT"]),
)
def test_what_is_read_was_written(text: str, country: str | None) -> None:
    """Nothing but prefixes is dropped, and only the Argentine 9 is added."""
    number = outcome(lambda: phone.recipient(text, country))
    if number is not None:
        assert is_ordinary(phonenumbers.parse(number))
        digits = re.sub("[^0-9]", "", text)
        code = str(phonenumbers.parse(number).country_code)
        national = number[1 + len(code) :].removeprefix("9" if code == "54" else "")
        tail = national if code != "54" else national[-6:]
        assert digits.endswith(tail)
        assert not re.search("[eE:,;x]", text.rstrip("., ;\n\u200b\u00a0"))


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_a_printable_sentence(text: str) -> None:
    try:
        name = phone.recipient(text)
    except ValueError as refused:
        assert str(refused).isprintable()
    else:
        assert phone.is_user_id(name) or re.fullmatch(r"\+[1-9][0-9]{5,16}", name, re.ASCII)


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.sampled_from(COUNTRIES), st.data())
def test_what_was_read_is_read_again_as_it_is(country: str, data: st.DataObject) -> None:
    number = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    if number is not None:
        name = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        assert phone.recipient(phone.recipient(name), data.draw(st.sampled_from(COUNTRIES))) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("+905554443301", "+905554443301"),
        (905554443301, "905554443301"),
        (-1, "-1"),
        (True, None),
        (False, None),
        (None, None),
        (905554443301.0, None),
        (10**5000, None),
        (["+905554443301"], None),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) else hex(value)[:20],
)
def test_an_integer_is_taken_as_its_digits(value: object, text: str | None) -> None:
    assert phone.text_of(value) == text


def test_masking_keeps_the_ends_only() -> None:
    assert phone.masked("+905554443301") == "+905*******01"
