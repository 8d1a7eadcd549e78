"""A broadcast's messages as CSV."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from broadcaster.domain import explanations, timestamps
from broadcaster.services import progress
from broadcaster.store.models import Message

CSV_COLUMNS = (
    "id", "to", "state", "delivery", "attempts", "wamid", "code", "error", "sentAt", "variables",
    "metadata", "meaning", "advice",
)  # fmt: skip
_CSV_PAGE = 500
_FORMULA_SIGNS = frozenset("=+-@\u2212\u2010\u2011\u2012\u2013\u2014\u2015")
"""What a spreadsheet takes for the beginning of a formula; some read every dash as a minus."""
_UNSEEN = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me", "Cn", "Co"))
"""Blanks, line ends, controls, invisible characters, marks without a letter, and what has no meaning yet."""
_LOOKALIKE = frozenset("\u2800\u3164\u115f\u1160\uffa0")
"""Signs and letters that are blank."""


def csv_pages(
    public_id: str, filters: dict[str, str], after: int = 0, limit: int | None = None
) -> Iterator[str]:
    """A broadcast's messages as CSV, in pages by id, so that neither memory nor an open cursor grows
    with it; raises NotFound."""
    header = True
    while limit is None or limit > 0:
        size = _CSV_PAGE if limit is None else min(limit, _CSV_PAGE)
        rows = progress.messages_of(public_id, filters, after, size)
        yield message_rows(rows, header)
        if len(rows) < _CSV_PAGE:
            return
        header, after = False, rows[-1].id
        limit = None if limit is None else limit - len(rows)


def message_rows(rows: Iterable[Message], header: bool) -> str:
    """Messages as CSV lines. Numbers are written without + so that no spreadsheet sees a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        cells = (
            row.id, row.recipient.removeprefix("+"), row.state, row.delivery, row.attempt, row.wamid,
            row.error_code, row.error_text, timestamps.format_time(row.sent_at), row.variables, row.metadata,
            *_explained(row.error_code),
        )  # fmt: skip
        writer.writerow([_harmless(cell) for cell in cells])
    return text.getvalue()


def _explained(code: str | None) -> tuple[str | None, str | None]:
    if code is None:
        return None, None
    known = explanations.explain(code)
    return known.meaning, known.advice


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str) and _is_formula(cell):
        return "'" + cell
    return "" if cell is None else cell


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet may calculate this: it passes over what is not seen before a sign, and takes
    full-width signs for the plain ones. A text that begins with a tab or a line end is never safe."""
    if cell[:1].isalnum() and cell.isascii():
        return False
    if cell.startswith(("\t", "\r", "\n")):
        return True
    seen = next((one for one in cell if not _is_unseen(one)), "")
    return unicodedata.normalize("NFKC", seen)[:1] in _FORMULA_SIGNS


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _LOOKALIKE
