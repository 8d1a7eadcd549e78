"""The names of one person: numbers and their sister spellings, business-scoped user ids."""

import re

_USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_SHORT_BRAZILIAN = re.compile(r"\+55[0-9]{2}[6-9][0-9]{7}", re.ASCII)
_LONG_BRAZILIAN = re.compile(r"\+55[0-9]{2}9[6-9][0-9]{7}", re.ASCII)
_SHORT_ARGENTINE = re.compile(r"\+54[0-8][0-9]{9}", re.ASCII)
_LONG_ARGENTINE = re.compile(r"\+549[0-8][0-9]{9}", re.ASCII)
_HEADS = frozenset(("+52", "+54", "+55"))
_SHORT, _LONG = 13, 14
"""Characters of both spellings, + included; the same in all three countries."""


def is_user_id(text: str) -> bool:
    """Whether this is a business-scoped user id: two letters, a dot, up to 128 alphanumerics
    (Meta, business-scoped user ids, May 2026)."""
    return _USER_ID.fullmatch(text) is not None


def sisters(number: str) -> tuple[str, ...]:
    """The other spelling that means the same person, or nothing; the number is as recipient() gives it.

    Three countries have two spellings, a short one of 13 characters and a long one of 14. D is any
    digit, and each rule holds in both directions:

        Brazil      +55 DD EDDDDDDD   <->  +55 DD 9 EDDDDDDD   where E is 6, 7, 8 or 9
        Mexico      +52 DDDDDDDDDD    <->  +521 DDDDDDDDDD
        Argentina   +54 EDDDDDDDDD    <->  +549 EDDDDDDDDD     where E is not 9

    In SQL: substr(n, 1, 3), length(n) and one character (Brazil: the 6th of the short, the 6th and 7th
    of the long; Mexico: the 4th of the long is 1; Argentina: the 4th of the short, the 4th and 5th of
    the long). Brazilian numbers whose eight digits begin with 1 to 5 are landlines: with a 9 before
    them they are somebody else's.
    """
    if number[:3] not in _HEADS:
        return ()
    size = len(number)
    if size == _SHORT:
        return _longer(number)
    return _shorter(number) if size == _LONG else ()


def spellings(name: str) -> tuple[str, ...]:
    """The name itself and its sisters; a user id has none."""
    return (name, *sisters(name))


def masked(number: str) -> str:
    """The number with its middle hidden, for logs."""
    return number[:4] + "*" * max(0, len(number) - 6) + number[-2:]


def _longer(number: str) -> tuple[str, ...]:
    head = number[:3]
    if head == "+55" and _SHORT_BRAZILIAN.fullmatch(number):
        return (f"{number[:5]}9{number[5:]}",)
    if head == "+52":
        return (f"+521{number[3:]}",)
    if head == "+54" and _SHORT_ARGENTINE.fullmatch(number):
        return (f"+549{number[3:]}",)
    return ()


def _shorter(number: str) -> tuple[str, ...]:
    head = number[:4]
    if head == "+521":
        return (f"+52{number[4:]}",)
    if head == "+549" and _LONG_ARGENTINE.fullmatch(number):
        return (f"+54{number[4:]}",)
    if number[:3] == "+55" and _LONG_BRAZILIAN.fullmatch(number):
        return (number[:5] + number[6:],)
    return ()
