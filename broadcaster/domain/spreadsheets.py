"""Which column of a spreadsheet has the numbers: by its name, and by what stands in it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice

from broadcaster.domain import phone

_LOOKED_AT = 200
"""Rows that are read to judge a column."""
_FEWEST_DIGITS = 7
_MARKS = frozenset(("Mn", "Mc", "Me", "Cf"))

# From the surest to the vaguest; each word as _plain leaves it. A star: words that begin like
# this, or in scripts that join words hold it.
_NAMES: tuple[str, ...] = (
    "to",
    "whatsapp* whats* wa wpp zap واتس* واتساب* ватсап* व्हाट्सएप* व्हाट्सऐप*",
    "mobile* mobil* mobiel* cell* cep ceptel* gsm msisdn handy* natel smartphone* celular* movil* telemovel* "
    "portable* ponsel* hp nohp handphone* komork* мобил* сотов* κινητο* मोबाइल* موبايل* جوال* محمول* "
    "手机* 手機* 携帯* 휴대* נייד*",
    "phone* telephone* telefon* telefo* telepon* tel tlf tfno fone fon rufnummer* телефон* тел "
    "τηλεφων* फोन* फ़ोन* هاتف* تلفون* تليفون* 电话* 電話* 전화* טלפון*",
    "number numbers numero* numara* nummer* nomor recipient* destinatario* alici empfanger* "
    "номер* नंबर* رقم* 号码*",
)


def number_column(
    header: Sequence[str], rows: Iterable[Sequence[str]], default_country: str | None = None
) -> int | None:
    """The place of the column with the recipients, from 0, or None where it is not clear.

    A column whose name says number, mobile, phone and the like in one of many languages is taken if
    most of its cells are numbers, or at least have the digits of one, so that what a spreadsheet did
    to them can be told. Otherwise it is the only column of which most cells are numbers. The first 200
    rows are looked at. None as well if a cell of the header is a number: that file has no header.
    """
    if any(_is_recipient(name, default_country) for name in header):
        return None
    cells = _columns(len(header), rows)
    named = sorted((rank, at) for at, name in enumerate(header) if (rank := _rank(name)) is not None)
    numbers = {at for at, column in enumerate(cells) if _most(column, default_country)}
    sure = next((at for _, at in named if at in numbers), None)
    if sure is not None:
        return sure
    if numbers:
        return numbers.pop() if len(numbers) == 1 else None
    return next((at for _, at in named if _has_digits(cells[at])), None)


def _columns(width: int, rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """The cells of each column that are not empty."""
    columns: list[list[str]] = [[] for _ in range(width)]
    for row in islice(rows, _LOOKED_AT):
        for column, cell in zip(columns, row, strict=False):
            if cell.strip():
                column.append(cell)
    return columns


def _most(cells: Sequence[str], default_country: str | None) -> bool:
    return sum(_is_recipient(cell, default_country) for cell in cells) * 2 > len(cells)


def _has_digits(cells: Sequence[str]) -> bool:
    """Whether most cells have as many digits as a number, whatever else is wrong with them."""
    enough = [sum(map(str.isdecimal, cell)) >= _FEWEST_DIGITS for cell in cells]
    return sum(enough) * 2 > len(cells)


def _is_recipient(text: str, default_country: str | None) -> bool:
    try:
        phone.recipient(text, default_country)
    except ValueError:
        return False
    return True


def _rank(name: str) -> int | None:
    """How surely the name of a column means a number, 0 the surest; None if it does not."""
    words = _plain(name).split()
    for rank, (exact, stems) in enumerate(_WORDS):
        if rank in _WHOLE and len(words) > 1:
            continue
        if any(word in exact or any(_has_stem(word, stem) for stem in stems) for word in words):
            return rank
    return None


def _has_stem(word: str, stem: str) -> bool:
    return word.startswith(stem) if stem.isascii() else stem in word


def _plain(name: str) -> str:
    """The name in small letters without marks, its words parted by one blank."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    marked = unicodedata.normalize("NFKD", parted.casefold().replace("\u0131", "i"))
    bare = (c for c in marked if unicodedata.category(c) not in _MARKS)
    letters = "".join(c if c.isalnum() else " " for c in bare)
    return " ".join(letters.split())


def _words(line: str) -> tuple[frozenset[str], tuple[str, ...]]:
    words = line.split()
    exact = frozenset(_plain(word) for word in words if not word.endswith("*"))
    return exact, tuple(_plain(word).replace(" ", "") for word in words if word.endswith("*"))


_WORDS = tuple(map(_words, _NAMES))
_WHOLE = (0, 4)
"""Ranks whose words say it only alone: an order has a number, and a letter goes to somebody."""
