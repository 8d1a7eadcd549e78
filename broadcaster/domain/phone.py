"""Phone numbers and business-scoped user ids: what `to` may be.

The library phonenumbers decides. But its parser spends 35 us on a number, most of it on forms that cannot
occur after our own first look (letters, extensions, prefixes in words). So plain digits ask the
library only what depends on more than their country code and length, and once for each of these.
A property test holds both ways to the same answers.
"""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber

_LOOKS_LIKE_A_NUMBER = re.compile(r"\+?[0-9][0-9 ().\-]{4,28}", re.ASCII)
_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]", re.ASCII)


def e164(text: str) -> str:
    """The number as +<country><national>; a missing + is supplied, spaces and () . - are dropped.

    Raises ValueError with a sentence that quotes the input. Only the length is checked
    against the country's plan: number blocks open faster than any table follows.
    """
    if not _LOOKS_LIKE_A_NUMBER.fullmatch(text):
        raise ValueError(_refusal(text))
    digits = _NOT_DIGITS.sub("", text)
    if _is_plainly_possible(digits):
        return "+" + digits
    return _parsed(digits, text)


def recipient(text: str) -> str:
    """A number as E.164, or a business-scoped user id as it came; raises ValueError."""
    if is_user_id(text):
        return text
    return e164(text.strip())


def is_user_id(text: str) -> bool:
    """Whether this is a business-scoped user id: two letters, a dot, up to 128 alphanumerics
    (Meta, business-scoped user ids, May 2026)."""
    return _USER_ID.fullmatch(text) is not None


def masked(number: str) -> str:
    """The number with its middle hidden, for logs."""
    return number[:4] + "*" * max(0, len(number) - 6) + number[-2:]


def _parsed(digits: str, text: str) -> str:
    """What the library itself makes of the digits: it drops trunk prefixes and keeps Italian zeros."""
    try:
        number = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        raise ValueError(_refusal(text)) from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError(_refusal(text))
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_plainly_possible(digits: str) -> bool:
    """Whether the digits are country code and national number with nothing to strip."""
    for size in (1, 2, 3):
        prefix = _trunk_prefix(digits[:size])
        if prefix is not None:
            national = digits[size:]
            return (
                not national.startswith("0")
                and not prefix.match(national)
                and _is_possible_length(int(digits[:size]), len(national))
            )
    return False


@lru_cache(maxsize=2048)
def _trunk_prefix(country_code: str) -> re.Pattern[str] | None:
    """What the library would strip from the country's national numbers; None for no such country."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(country_code or 0))
    if not regions or country_code.startswith("0"):
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(country_code), regions[0])
    return re.compile((metadata and metadata.national_prefix_for_parsing) or r"(?!)")


@lru_cache(maxsize=8192)
def _is_possible_length(country_code: int, length: int) -> bool:
    if not 2 <= length <= 17:
        return False
    example = PhoneNumber(country_code=country_code, national_number=10 ** (length - 1))
    return phonenumbers.is_possible_number(example)


def _refusal(text: str) -> str:
    shown = text if len(text) <= 40 else text[:40] + "..."
    return f'not an international number: "{shown}"'
