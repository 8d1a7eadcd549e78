"""A broadcast's messages as CSV."""

import csv
import io
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
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    return "" if cell is None else cell
