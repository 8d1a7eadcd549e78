"""From what somebody wrote to a number: the rules in their order."""

import re

from broadcaster.domain.phone import plans, writing
from broadcaster.domain.phone.names import is_user_id
from broadcaster.domain.phone.plans import Unreadable

_GROUPS = re.compile(r" *\+ ?\(?[1-9][0-9]*\)?(?:[ -]{1,2}(?:[0-9]+|\([0-9]+\)))* *", re.ASCII)
_BARE = re.compile(r"[1-9][0-9]{6,17}", re.ASCII)
_SEPARATORS = {ord(character): None for character in " \n()[]./-"}
_SHAPE = re.compile(r"[(\[]? ?(?:\+ ?)?[(\[]? ?[0-9][0-9 \n()\[\]./-]*", re.ASCII)
_PREFIX = re.compile(r"\+|00", re.ASCII)
_OPTIONAL_ZERO = re.compile(r"(?<=[0-9]) ?[(\[] ?0 ?[)\]]", re.ASCII)
_FEWEST_DIGITS = 7
"""Of any number with its country code: four digits after +683 (Niue)."""
_FEWEST_DIALLED = 4
_LONGEST = 64
"""Characters of a number as people write it, with room to spare."""
_MOST_BITS = 64
"""More than any number needs, and nowhere near what str() refuses."""
_IN_FULL = "write + and the country code in front"
_NATIONAL = f"{_IN_FULL}, or set a default country"


def recipient(text: str, default_country: str | None = None) -> str:
    """The number as E.164, or the business-scoped user id without blanks and invisible characters around.

    Without a default country (an ISO code from known_countries) a number is international: it begins
    with + or 00, or with the country code where its length or the country's plan leaves no doubt. With
    one, other numbers are read as that country dials them, and in full where only that gives a number.
    Only the length is checked against the plan of a number with +.

    Raises ValueError with a sentence that quotes the input, names what is wrong, and what to do.
    """
    if plans.plain_form(text[:4], len(text))(text):
        return text
    if default_country is None and _BARE.fullmatch(text):
        number = "+" + text
        if plans.plain_mobile_form(number[:4], len(number))(number):
            return number
    elif _GROUPS.fullmatch(text) and not writing.is_two_runs(text):
        joined = text.translate(_SEPARATORS)
        if plans.plain_form(joined[:4], len(joined))(joined):
            return joined
    return text if is_user_id(text) else _read(text, default_country)


def prefix(text: str) -> str:
    """What the number in a text begins with, whatever stands around it: +, 00, or nothing of both."""
    written = writing.simplified(writing.unwrapped(writing.visible(text[:_LONGEST])))
    found = _PREFIX.match(written.translate(_SEPARATORS))
    return found[0] if found else ""


def text_of(value: object) -> str | None:
    """What a JSON value says in place of a number's text: a text itself, an integer its digits.

    None for all else: true and false are no integers here, and a decimal is no number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MOST_BITS:
        return str(value)
    return None


def _read(text: str, default_country: str | None) -> str:
    bare = writing.unwrapped(writing.visible(text))
    if is_user_id(bare):
        return bare
    try:
        return _number(writing.simplified(bare), default_country)
    except Unreadable as error:
        expected = f"a number of {default_country} or " if default_country else ""
        reason = f". {error}" if str(error) else ""
        message = f"not {expected}an international number: {writing.quoted(text)}{reason}"
        raise ValueError(message) from None


def _number(written: str, default_country: str | None) -> str:
    if len(written) > _LONGEST:
        raise Unreadable("It is too long for a number")
    writing.check_shape(written)
    fewest = _FEWEST_DIALLED if default_country else _FEWEST_DIGITS
    if sum(map(str.isdecimal, written)) < fewest:
        raise Unreadable
    if not _SHAPE.fullmatch(written):
        raise Unreadable("A number begins with + or a digit")
    without = _OPTIONAL_ZERO.sub(" ", written)
    if without == written:
        return _by_prefix(_joined(written), default_country)
    return _agreed(_joined(written), _joined(without), default_country)


def _joined(written: str) -> str:
    """The digits, with + in front when + or 00 was."""
    joined = written.translate(_SEPARATORS)
    return "+" + joined[2:] if joined.startswith("00") else joined


def _agreed(with_zero: str, without: str, default_country: str | None) -> str:
    """What an optional (0) leaves: a trunk 0 that the library drops, an Italian 0, or a 0 for nothing."""
    found: set[str] = set()
    refused: list[Unreadable] = []
    for joined in (with_zero, without):
        try:
            found.add(_by_prefix(joined, default_country))
        except Unreadable as error:
            refused.append(error)
    if not found:
        raise refused[-1]
    if len(found) > 1:
        found = {number for number in found if plans.parsed_if_valid(number[1:])} or found
    if len(found) > 1:
        raise _doubt(*sorted(found))
    return found.pop()


def _by_prefix(joined: str, default_country: str | None) -> str:
    if joined.startswith("+"):
        return _international(joined[1:])
    if default_country is None:
        return _full(joined)
    if mobile := plans.home_mobile(joined, default_country):
        return mobile
    if joined.startswith("0"):
        return _dialled(joined, default_country)
    return _national_or_full(joined, default_country)


def _international(digits: str) -> str:
    """The number of digits after +; raises Unreadable."""
    if digits.startswith("0"):
        raise Unreadable("No country code begins with 0: write the country code behind +")
    digits = _modern(digits)
    number = "+" + digits
    if plans.plain_form(number[:4], len(number))(number):
        return number
    return plans.e164(plans.parsed(digits))


def _full(digits: str) -> str:
    """The international number without its +: of a mobile length, or known to the country's plan."""
    if digits.startswith("0"):
        raise Unreadable(f"It has no country code: {_NATIONAL}")
    digits = _modern(digits)
    number = "+" + digits
    if plans.plain_mobile_form(number[:4], len(number))(number):
        return number
    try:
        found = plans.parsed(digits)
    except Unreadable as error:
        raise Unreadable(f"{error}. If it is a national number, {_NATIONAL}") from None
    if not plans.is_valid(found):
        raise Unreadable(f"No number of +{found.country_code} begins like this: {_NATIONAL}")
    return plans.e164(found)


def _dialled(digits: str, default_country: str) -> str:
    """The number behind a 0 as the country dials it: its own of a possible length, a foreign one known."""
    number, is_own = plans.dialled(digits, default_country)
    is_clear = is_own and not number.italian_leading_zero and len(digits) >= _FEWEST_DIGITS
    if is_clear or plans.is_valid(number):
        return plans.e164(number)
    raise Unreadable(f"No number of {default_country} begins like this: {_IN_FULL}")


def _national_or_full(digits: str, default_country: str) -> str:
    """The reading that the country's plan knows; of two the mobile one, the national one first."""
    readings = (plans.dialled_if_valid(digits, default_country), plans.parsed_if_valid(_modern(digits)))
    known = {plans.e164(number): plans.is_mobile(number) for number in readings if number}
    if not known:
        raise Unreadable(f"Neither {default_country} nor a country's code has such a number: {_IN_FULL}")
    mobile = [number for number, is_mobile in known.items() if is_mobile]
    if len(known) > 1 and not mobile:
        raise _doubt(*known)
    return (mobile or list(known))[0]


def _modern(digits: str) -> str:
    """Mexico's mobile 1 is history: the library refuses it, and Meta takes both forms as one person."""
    return "52" + digits[3:] if len(digits) == 13 and digits.startswith("521") else digits


def _doubt(one: str, other: str) -> Unreadable:
    return Unreadable(f"It may be {one} or {other}: write the right one with +")
