"""Recipients from a CSV file: a header row, a column with the numbers, one column for each variable."""

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Any

from broadcaster.domain import spreadsheets
from broadcaster.errors import Faults, Malformed

MOST_COLUMNS = 200
MOST_ROWS = 20_000
"""Far more than are accepted, so that a file too long is told how long it is."""
_MOST_MARKS = 10_000
"""Commas, semicolons or tabs in a line, those of texts included; looked at before a cell is made."""
_ENTRY = re.compile(r"recipients\[(\d+)\]\.?")


@dataclass
class Rows:
    """The recipients of a file, the row each came from, and what was wrong with other rows."""

    recipients: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def by_row(self, faults: Faults) -> Faults:
        """The same faults, told by the row of the file instead of the place in the request."""
        renamed = Faults(count=faults.count - len(faults.shown))
        for fault in faults.shown:
            renamed.add(_ENTRY.sub(self._row, fault.field), _ENTRY.sub(self._row, fault.message))
        return renamed

    def _row(self, found: re.Match[str]) -> str:
        return f"row {self.numbers[int(found[1])]} "


@dataclass
class Table:
    """A file's columns and rows, each row with its line's number, and what was wrong with others."""

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)


def read(raw: bytes, default_country: str | None = None) -> Rows:
    """The recipients of a CSV with a column `to`, or one that by name and content has the numbers.

    Raises Malformed where the file cannot be used.
    """
    found = table(raw)
    to = number_column(found, default_country)
    if to is None:
        raise Malformed('the first row must name the columns, one of them "to"')
    return Rows(
        [_recipient(row[to], {name: row[name] for name in row if name != to}) for _, row in found.rows],
        [number for number, _ in found.rows],
        found.faults,
    )


def table(raw: bytes) -> Table:
    """The rows of a CSV in UTF-8, with or without byte order mark, parted by comma, semicolon or tab.

    Raises Malformed where the file as a whole cannot be used.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Malformed("the file is not UTF-8: save it as CSV UTF-8") from None
    if "\x00" in text:
        raise Malformed("the file contains NUL characters, it is no CSV")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    if any(line.count(delimiter) > _MOST_MARKS for line in io.StringIO(text)):
        raise Malformed(f"a row has more cells than the {MOST_COLUMNS} columns that are read")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    found = Table([])
    try:
        found.columns = _header(next(reader, []))
        for count, row in enumerate(reader):
            if count >= MOST_ROWS:
                raise Malformed(f"the file has more than {MOST_ROWS} rows")
            if any(cell.strip() for cell in row):
                _take(found, row, reader.line_num)
    except csv.Error as error:
        found.faults.append((reader.line_num, f"cannot be read as CSV: {error}"))
    return found


def _header(cells: list[str]) -> list[str]:
    names = [name.strip() for name in cells]
    while names and not names[-1]:
        names.pop()
    names = ["to" if name.lower() == "to" else name for name in names]
    if len(names) > MOST_COLUMNS:
        raise Malformed(f"the first row names {len(names)} columns; at most {MOST_COLUMNS} are read")
    if not names:
        raise Malformed('the first row must name the columns, one of them "to"')
    if len(set(names)) != len(names) or "" in names:
        raise Malformed("the first row must give each column a name of its own")
    return names


def _take(found: Table, row: list[str], number: int) -> None:
    columns = found.columns
    while len(row) > len(columns) and not row[-1].strip():
        row.pop()
    if len(row) != len(columns):
        found.faults.append((number, f"has {len(row)} cells, the header has {len(columns)}"))
        return
    found.rows.append((number, dict(zip(columns, row, strict=True))))


def number_column(found: Table, default_country: str | None) -> str | None:
    """The column with the numbers, `to` or the one that by name and content has them; None if unclear."""
    if "to" in found.columns:
        return "to"
    cells = (list(row.values()) for _, row in found.rows)
    at = spreadsheets.number_column(found.columns, cells, default_country)
    return None if at is None else found.columns[at]


def _recipient(to: str, row: dict[str, str]) -> dict[str, Any]:
    header = row.pop("header", None)
    buttons = {key.removeprefix("button."): row.pop(key) for key in list(row) if key.startswith("button.")}
    components: list[dict[str, Any]] = []
    if header is not None:
        components.append({"type": "HEADER", "parameters": [header]})
    if row:
        components.append({"type": "BODY", "parameters": row})
    if buttons:
        components.append({"type": "BUTTONS", "parameters": buttons})
    return {"to": to, "variables": components} if components else {"to": to}
