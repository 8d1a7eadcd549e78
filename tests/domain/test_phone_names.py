import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.domain import phone

COUNTRIES = sorted(phone.known_countries())


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("+553177770002", "+5531977770002"),
        ("+551161234567", "+5511961234567"),
        ("+551199999999", "+5511999999999"),
        ("+525522220000", "+5215522220000"),
        ("+541123456789", "+5491123456789"),
        ("+540000000000", "+5490000000000"),
    ],
)
def test_sister_spellings_mean_one_person(short: str, long: str) -> None:
    assert phone.sisters(short) == (long,)
    assert phone.sisters(long) == (short,)
    assert phone.spellings(short) == (short, long)
    assert phone.spellings(long) == (long, short)


@pytest.mark.parametrize(
    "name",
    [
        "+551153334444",  # a landline
        "+5511953334444",  # mobile, while the number without its 9 is a landline
        "+551131234567",
        "+5531931234567",
        "+5511887654321",  # 11 digits without the ninth digit 9
        "+55119876543210",
        "+541234567",
        "+549112345678",  # 9 and nine digits: no long spelling
        "+5499123456789",
        "+549912345678",
        "+52552222000",
        "+52155222200001",
        "+905554443301",
        "+12125550123",
        "TR.1349120865530",
        "BR.553177770002",
        "5531977770002",
        "",
    ],
)
def test_others_have_no_sister(name: str) -> None:
    assert phone.sisters(name) == ()
    assert phone.spellings(name) == (name,)


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.sampled_from(["52", "521", "54", "549", "55"]), st.from_regex(r"[0-9]{8,12}", fullmatch=True))
def test_a_sister_of_a_sister_is_the_name_itself(code: str, rest: str) -> None:
    name = f"+{code}{rest}"
    for sister in phone.sisters(name):
        assert phone.sisters(sister) == (name,)
        assert abs(len(sister) - len(name)) == 1


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.from_regex(r"\+521?[1-9][0-9]{9}", fullmatch=True))
def test_both_mexican_spellings_are_sent_as_the_short_one(name: str) -> None:
    try:
        read = phone.recipient(name)
    except ValueError:
        return
    assert read in phone.spellings(name)
    assert len(read) == 13


@pytest.mark.parametrize(
    ("name", "country"),
    [
        ("+905554443301", "TR"),
        ("+12125550123", "US"),
        ("+14165550123", "CA"),
        ("+18095550123", "DO"),
        ("+447400123456", "GB"),
        ("+447781123456", "GG"),
        ("+79123456789", "RU"),
        ("+77710009998", "KZ"),
        ("+390669812345", "VA"),
        ("+15550001111", "US"),
        ("+5554443301", "BR"),
        ("+881612345678", None),
        ("+9990123456789", None),
        ("TR.2222", "TR"),
        ("US.ENT.5551", "US"),
        ("", None),
        ("905554443301", None),
    ],
)
def test_the_country_of_a_name(name: str, country: str | None) -> None:
    assert phone.country_of(name) == country


@settings(deadline=None)  # the first question about a country makes its expressions
@given(st.sampled_from(COUNTRIES), st.sampled_from(range(11)), st.from_regex(r"[0-9]{3}", fullmatch=True))
def test_the_country_is_the_librarys_where_it_knows_one(country: str, kind: int, end: str) -> None:
    example = phonenumbers.example_number_for_type(country, kind)
    if example is None:
        return
    name = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[:-3] + end
    number = phonenumbers.parse(name)
    if phonenumbers.is_valid_number(number):
        assert phone.country_of(name) == phonenumbers.region_code_for_number(number)


@pytest.mark.parametrize("text", ["TR", "tr", " Tr "])
def test_a_country_is_named_by_its_iso_code(text: str) -> None:
    assert phone.country(text) == "TR"


@pytest.mark.parametrize("text", ["", "T", "TUR", "Turkey", "90", "+90", "XX", "001", "\u0130T", "x" * 1000])
def test_other_texts_are_no_country(text: str) -> None:
    with pytest.raises(ValueError, match="ISO code of two letters, like TR or BR") as refused:
        phone.country(text)
    assert len(str(refused.value)) < 200


def test_the_united_kingdom_is_told_its_code() -> None:
    with pytest.raises(ValueError, match="United Kingdom is GB"):
        phone.country("UK")
