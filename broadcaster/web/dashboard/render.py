"""Pages: jinja2 with everything escaped, and the headers that keep a browser from trusting more than us."""

from datetime import UTC, datetime
from typing import Any

import falcon
import jinja2
from markupsafe import Markup

from broadcaster.domain import timestamps

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(response: falcon.Response, name: str, status: int = 200, **facts: Any) -> None:
    """Answer with a page."""
    response.status = status
    response.content_type = "text/html; charset=utf-8"
    for header, value in HEADERS.items():
        response.set_header(header, value)
    response.text = html(name, **facts)


def html(name: str, **facts: Any) -> str:
    """A page as text."""
    return _pages.get_template(name).render(**facts)


def when(value: int | str | None) -> Markup:
    """A moment as a person reads it, in UTC; with JavaScript it becomes the reader's own time."""
    if value is None:
        return Markup("\N{EN DASH}")
    moment = timestamps.parse_time(value) if isinstance(value, str) else value
    shown = datetime.fromtimestamp(moment / 1000, UTC)
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M:%S} UTC</time>').format(
        timestamps.format_time(moment), shown
    )


def lasting(seconds: float) -> str:
    """A time span in its two largest units."""
    left, parts = int(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    if len(parts) < 2 and (left or not parts):
        parts.append(f"{left} s")
    return " ".join(parts[:2])


def shown(value: Any) -> str:
    """A value of a table; nothing is a dash."""
    return "\N{EN DASH}" if value is None or value == "" else str(value)


def place(field: str) -> str:
    """Where a fault is: a row, and there the column if it is known."""
    row, _, column = field.partition(".")
    return f"{row}, {column}" if row.startswith("row ") and column not in ("", "variables") else row


_pages = jinja2.Environment(
    loader=jinja2.PackageLoader("broadcaster.web.dashboard"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters |= {"when": when, "lasting": lasting, "shown": shown, "place": place}
