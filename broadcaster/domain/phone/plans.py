"""What the countries' numbering plans say: facts of phonenumbers, asked for once where they can be kept.

The library's parser spends 13 us on a number, most of it on forms that a plain +digits cannot have.
So plain numbers are compared with an expression made once for their first digits and their length.
A property test holds both ways to the same answers.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberType, ValidationResult

Form = Callable[[str], re.Match[str] | None]

_NEVER: Form = re.compile(r"(?!)").fullmatch
_ORDINARY = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
_MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_NO_COUNTRY = "001"
"""What phonenumbers calls the region of codes that belong to no country, such as satellites."""
_LENGTHS = range(2, 18)


class Unreadable(ValueError):
    """What was written is no number; the text is the reason, a sentence."""


def known_countries() -> frozenset[str]:
    """ISO 3166 codes of the countries whose numbers can be read, such as TR."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def country(text: str) -> str:
    """The ISO 3166 code, in capitals; raises ValueError with a sentence that tells what was expected."""
    code = text.strip().upper()
    if code not in phonenumbers.SUPPORTED_REGIONS:
        hint = ", the United Kingdom is GB" if code == "UK" else ""
        raise ValueError(f"must be a country's ISO code of two letters, like TR or BR{hint}: {text[:40]!a}")
    return code


def country_of(name: str) -> str | None:
    """The ISO 3166 code of the country of a number (E.164) or user id; None where no country has it.

    Where countries share a calling code, its main country has the numbers of none.
    """
    if name[:1] != "+":
        return name[:2] if name[2:3] == "." else None
    code = calling_code(name[1:4])
    if code is None:
        return None
    regions = _regions(code)
    if len(regions) > 1:
        national = name[1 + len(code) :]
        return next((region for region in regions if _is_of(region)(national)), regions[0])
    return None if regions[0] == _NO_COUNTRY else regions[0]


@lru_cache(maxsize=4096)
def calling_code(digits: str) -> str | None:
    """The calling code that a number's first three digits begin with; None when nobody has it."""
    if not digits.isascii() or not digits.isdecimal() or digits.startswith("0"):
        return None
    codes = (digits[:size] for size in (1, 2, 3))
    return next((code for code in codes if int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None)


@lru_cache(maxsize=8192)
def plain_form(head: str, size: int) -> Form:
    """Says which numbers of this size, + and these three digits first, are E.164 as they are."""
    return _form(head, size, _ORDINARY)


@lru_cache(maxsize=8192)
def plain_mobile_form(head: str, size: int) -> Form:
    """The same, only where the length is one of the country's mobile numbers."""
    return _form(head, size, _ORDINARY[:1])


def home_mobile(digits: str, region: str) -> str | None:
    """The country's own mobile number behind its trunk prefix, its code or nothing; None for all others.

    These are most of a list with national numbers, and the library takes 30 us for one.
    """
    code, form = _home_form(region)
    found = form(digits)
    return f"+{code}{found[1] or found[2]}" if found else None


def parsed(digits: str) -> PhoneNumber:
    """The number after + as the library reads it: it drops trunk prefixes and keeps Italian zeros.

    Raises Unreadable unless its length is one of the country's mobile or fixed numbers: number
    blocks open faster than any table follows, so only a number that keeps a 0 must be a known one.
    """
    code = calling_code(digits[:3])
    if code is None:
        raise Unreadable(f"No country has the code +{digits[:3]}")
    try:
        number = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        raise _wrong_length(code, len(digits) - len(code)) from None
    national = phonenumbers.national_significant_number(number)
    if not is_possible(code, len(national)):
        raise _wrong_length(code, len(national))
    if national.startswith("0") and not is_valid(number):
        raise Unreadable(f"No number of +{code} begins with this 0")
    return number


def dialled(digits: str, region: str) -> tuple[PhoneNumber, bool]:
    """The number as the country dials it, and whether it is one of its own; raises Unreadable."""
    try:
        number = phonenumbers.parse(digits, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        raise Unreadable(f"It is no number of {region}") from None
    national = phonenumbers.national_significant_number(number)
    if not is_possible(str(number.country_code), len(national)):
        raise _wrong_length(str(number.country_code), len(national))
    source = number.country_code_source
    return number, source == phonenumbers.CountryCodeSource.FROM_DEFAULT_COUNTRY


def dialled_if_valid(digits: str, region: str) -> PhoneNumber | None:
    """The same, None unless the country's plan has the number."""
    try:
        number, _ = dialled(digits, region)
    except Unreadable:
        return None
    return number if is_valid(number) else None


def parsed_if_valid(digits: str) -> PhoneNumber | None:
    """The number after + that its country's plan has, or None."""
    try:
        number = parsed(digits)
    except Unreadable:
        return None
    return number if is_valid(number) else None


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_valid(number: PhoneNumber) -> bool:
    """Whether the country's plan has this number, not only its length."""
    return phonenumbers.is_valid_number(number)


def is_mobile(number: PhoneNumber) -> bool:
    return phonenumbers.number_type(number) in _MOBILE


@cache
def is_possible(code: str, length: int, kinds: tuple[int, ...] = _ORDINARY) -> bool:
    """Whether the code's mobile or fixed numbers can have this many digits.

    Asked by kind: the plain question lets numbers of services pass, such as seven digits in Turkey.
    """
    if length not in _LENGTHS:
        return False
    example = PhoneNumber(country_code=int(code), national_number=10 ** (length - 1))
    ask = phonenumbers.is_possible_number_for_type_with_reason
    return any(ask(example, kind) == ValidationResult.IS_POSSIBLE for kind in kinds)


def _form(head: str, size: int, kinds: tuple[int, ...]) -> Form:
    code = calling_code(head[1:]) if head[:1] == "+" else None
    length = size - 1 - len(code or "")
    return _code_form(code, length, kinds) if code and is_possible(code, length, kinds) else _NEVER


@cache
def _code_form(code: str, length: int, kinds: tuple[int, ...]) -> Form:
    """+, code and national number with nothing for the library to strip.

    Some trunk prefixes match the empty text; the look behind leaves these matches out.
    """
    trunk = _metadata(_regions(code)[0], int(code)).national_prefix_for_parsing or r"(?!)"
    form = rf"\+{code}(?!0)(?!(?:{trunk})(?<!\+{code}))[0-9]{{{length}}}"
    return re.compile(form, re.ASCII).fullmatch


@cache
def _home_form(region: str) -> tuple[int, Form]:
    """Only a trunk prefix of plain digits: others, such as Brazil's, have carriers' codes in them."""
    metadata = _metadata(region)
    trunk, code = metadata.national_prefix_for_parsing or "", phonenumbers.country_code_for_region(region)
    if metadata.mobile is None:
        return code, _NEVER
    mobile = f"((?!0)(?:{metadata.mobile.national_number_pattern}))"
    optional = f"(?:{trunk})?" if trunk.isdecimal() else ""
    return code, re.compile(f"{optional}{mobile}|{code}{mobile}", re.ASCII).fullmatch


def _wrong_length(code: str, length: int) -> Unreadable:
    right = [n for n in _LENGTHS if is_possible(code, n)]
    if not right:
        return Unreadable(f"+{code} is no code of people's numbers")
    few = " or ".join(map(str, right)) if len(right) < 3 else f"{right[0]} to {right[-1]}"
    what = "short" if length < right[0] else "long" if length > right[-1] else "long or too short"
    return Unreadable(
        f"It is too {what} for +{code}: {length} digits follow the code, a number there has {few}"
    )


@cache
def _regions(code: str) -> tuple[str, ...]:
    """The countries of a calling code, the main one first."""
    return tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)])


def _metadata(region: str, code: int = 0) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None:
        raise LookupError(f"phonenumbers knows no plan of {region} +{code}")
    return metadata


@cache
def _is_of(region: str) -> Form:
    """Says which national numbers are the region's, as the library's region_code_for_number does."""
    metadata = _metadata(region)
    if metadata.leading_digits:
        return re.compile(f"(?:{metadata.leading_digits})[0-9]*", re.ASCII).fullmatch
    described = (
        *(metadata.fixed_line, metadata.mobile, metadata.premium_rate, metadata.toll_free),
        *(metadata.shared_cost, metadata.voip, metadata.personal_number, metadata.pager),
        *(metadata.uan, metadata.voicemail),
    )
    patterns = [kind.national_number_pattern for kind in described if kind and kind.national_number_pattern]
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.ASCII).fullmatch
