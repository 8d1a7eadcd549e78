"""The forms that people and spreadsheets write: what is read through, and what is refused by shape.

All refusals come before digits are joined: joined, the decimals of a spreadsheet or the digits of a
date are the number of somebody else.
"""

import re
import unicodedata

from broadcaster.domain.phone.plans import Unreadable

_CLIP = 40
_AS_TEXT = "format the column as text, and save the file again from the numbers as they were"
_OTHER_COLUMN = "choose the column with the numbers"

SCIENTIFIC = (
    "A spreadsheet wrote it in scientific notation, and its last digits are lost: "
    "format the column as a number without decimals, or as text, and save the file again"
)
DECIMAL = f"A spreadsheet made a decimal of it: {_AS_TEXT}"
THOUSANDS = f"A spreadsheet put commas between its thousands: {_AS_TEXT}"
DATE = f"It looks like a date: {_OTHER_COLUMN}"
TIME = f"It looks like a time: {_OTHER_COLUMN}"
ADDRESS = f"It looks like an IP address: {_OTHER_COLUMN}"
TWO = "It holds two numbers: write one number in a row"
EXTENSION = "It has an extension, which WhatsApp does not know: write the number without it"
PLUS = "A + may stand only once and in front"

_BLANKS = frozenset(("Zs", "Zl", "Zp"))
_CONTROLS = {"\t": " ", "\n": "\n", "\r": "\n", "\v": "\n", "\f": "\n", "\x85": "\n"}
_LINES = {"\u2028": "\n", "\u2029": "\n"}
_SIGNS = {
    **{"\u2212": "-", "\u02d7": "-", "\u2043": "-"},
    **{"\uff0b": "+", "\ufe62": "+"},
    **{"\uff08": "(", "\uff09": ")", "\uff0e": ".", "\uff0f": "/", "\uff0c": ",", "\uff1a": ":"},
}
_APOSTROPHES = "'\u2018\u2019\u00b4`"
_QUOTED = re.compile(r"=?\"([^\"]*)\"|'([^']*)'", re.DOTALL)
_SCHEME = re.compile(r"(?:tel|whatsapp):\s*", re.IGNORECASE)

_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = r"(?:19|20)[0-9]{2}"
_EXTENSION_WORDS = "ext|x|#|dahili|ramal|poste|durchwahl|\u0434\u043e\u0431"
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(shape, re.ASCII | re.IGNORECASE), reason)
    for shape, reason in (
        (r"[+-]?[0-9]+(?:[.,][0-9]*)?\s*(?:E\s*[+-]?\s*|[x\u00d7*]\s*10\s*\^?\s*)[0-9]{1,3}", SCIENTIFIC),
        (rf"\+?{_DAY}([./-]) ?{_DAY}\1 ?(?:{_YEAR}|[0-9]{{2}})\.?", DATE),
        (rf"\+?{_YEAR}([./-]) ?{_DAY}\1 ?{_DAY}\.?", DATE),
        (rf"{_DAY} {_DAY} {_YEAR}|{_YEAR} {_DAY} {_DAY}", DATE),
        (r".*[0-9]{1,2}:[0-9]{2}(?![0-9]).*", TIME),
        (r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])(?:\.|\Z)){4}", ADDRESS),
        (rf"[+(]*[0-9].*[0-9]{{3}}.*(?:{_EXTENSION_WORDS})\W*[0-9]{{1,6}}", EXTENSION),
    )
)
_DIGITS = re.compile(r"\+?[0-9]+", re.ASCII)
_PARTING = re.compile(r"[/;,|&+\n]|[^\W\d_]+")
_TWO_RUNS = re.compile(
    r"(?<![0-9])(?:00)?[1-9][0-9]{7,} +[0-9]{6,}|[0-9]{6,} +0[0-9]{5,}",
    re.ASCII,
)
"""Two runs of digits, each enough for a number: countries of open length would take both as one."""
_NOT_OF_A_NUMBER = re.compile(r"[^0-9 ()\[\]./+\n-]", re.ASCII)
_ONE_PLUS = re.compile(r"[(\[]? ?\+[^+]*")
_COMMAS = re.compile(r"\+?[0-9]{1,3}(?:,[0-9]{3})+", re.ASCII)
_PAIRS_TO_THE_END = re.compile(r".*\.[0-9]{2}\.00", re.ASCII)
_DECIMAL = re.compile(r".*(?:[0-9][.,](?:00|[0-9])|[0-9]{5,}[.,][0-9]{1,3})", re.ASCII)
_ONE_POINT = re.compile(r"\+?[0-9]+[.,][0-9]+", re.ASCII)
_AREA = re.compile(
    r"(?:(?:\+|00)(?:[^0-9./]*[0-9]){1,8}|(?!00)(?:[^0-9./]*[0-9]){1,6})[)\]]?[./](?:[0-9][^0-9/]*){5,}",
    re.ASCII,
)
"""A country code or trunk 0 with an area code, one mark, and a subscriber's number."""


def visible(text: str) -> str:
    """The text without characters that have no shape of their own: directional marks, zero-width ones."""
    if text.isascii():
        return text
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def unwrapped(text: str) -> str:
    """What stands inside quotes, ="...", a leading apostrophe, or behind tel: or whatsapp:."""
    text = text.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = (quoted[1] or quoted[2] or "").strip()
    return _SCHEME.sub("", text.lstrip(_APOSTROPHES).strip(), count=1)


def simplified(text: str) -> str:
    """The text with every kind of blank, hyphen, digit and full-width sign as its ASCII one."""
    simple = text if text.isascii() and text.isprintable() else "".join(map(_simple, text))
    return simple.strip().rstrip(".,;").rstrip()


def check_shape(written: str) -> None:
    """Raise Unreadable when a simplified text has the shape of something else than one number."""
    if _DIGITS.fullmatch(written):
        return
    for shape, reason in _SHAPES:
        if shape.fullmatch(written):
            raise Unreadable(reason)
    if _is_two(written):
        raise Unreadable(TWO)
    if "," in written and _COMMAS.fullmatch(written):
        raise Unreadable(THOUSANDS)
    if _is_decimal(written):
        raise Unreadable(DECIMAL)
    foreign = _NOT_OF_A_NUMBER.search(written)
    if foreign:
        raise Unreadable(f"It contains {_named(foreign[0])}: write only the number's digits, with + in front")
    if "+" in written and not _ONE_PLUS.fullmatch(written):
        raise Unreadable(PLUS)
    if "/" in written and not _AREA.fullmatch(written):
        raise Unreadable(TWO)


def quoted(text: str) -> str:
    """The text in quotes for a message: at most 40 characters, those that do not show by their names."""
    shown = "".join(c if _shows(c) else f"[{_name(c)}]" for c in text[:_CLIP])
    return f'"{shown}..."' if len(text) > _CLIP else f'"{shown}"'


def _simple(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    known = _CONTROLS.get(character) or _LINES.get(character) or _SIGNS.get(character)
    if known:
        return known
    return " " if category in _BLANKS else "-" if category == "Pd" else character


def is_two_runs(written: str) -> bool:
    """Whether two numbers stand there with nothing but blanks between them."""
    return _TWO_RUNS.search(written) is not None


def _is_two(written: str) -> bool:
    """Whether two parts, parted by more than blanks and hyphens, are both long enough for a number."""
    if is_two_runs(written):
        return True
    digits = [sum(map(str.isdecimal, part)) for part in _PARTING.split(written)]
    return sum(count >= 6 for count in digits) > 1 and not _AREA.fullmatch(written)


def _is_decimal(written: str) -> bool:
    if "," not in written and "." not in written:
        return False
    if _DECIMAL.fullmatch(written) and not _PAIRS_TO_THE_END.fullmatch(written):
        return True
    dialled = written.startswith(("+", "0")) and not written.startswith("0.")
    return _ONE_POINT.fullmatch(written) is not None and not (dialled and _AREA.fullmatch(written))


def _shows(character: str) -> bool:
    return character.isprintable() and unicodedata.category(character) not in ("Mn", "Me")


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}")


def _named(character: str) -> str:
    kind = "the letter" if character.isalpha() else "the character"
    if character.isascii() and character.isprintable():
        return f"{kind} {character}"
    return f"{kind} {_name(character)}"
