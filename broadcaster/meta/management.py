"""Graph's management calls: what a number is, and its templates. Sending is the sender's."""

import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs

from broadcaster import outbound
from broadcaster.domain import strict_json
from broadcaster.errors import Faults, GraphError, Malformed

_SECONDS = 30
_LARGEST_ANSWER = 64 * 1024
_LARGEST_PAGE = 1024 * 1024
"""Bytes: a page of templates, of which the largest, a carousel of ten cards, has some 20 KB."""
_TEMPLATES_A_PAGE = "25"
_MOST_PAGES = 400
"""A business account has at most 6,000 templates (Meta): 240 pages."""
_ALL_PAGES_SECONDS = 300
_LONGEST_TEXT = 500
"""Characters of what Graph tells that are kept or shown."""
_BAD_CURSOR = 131059
_BAD_FIELD = 100

_NUMBER_FIELDS = (
    "id,display_phone_number,verified_name,quality_rating,status,code_verification_status,throughput"
)
# One unknown field fails the whole call, so what not every version knows is asked for on its own.
_RISKY_NUMBER_FIELDS = ("whatsapp_business_manager_messaging_limit", "messaging_limit_tier", "is_on_biz_app")
_TEMPLATE_FIELDS = "id,name,language,status,category,parameter_format,quality_score,components"


class Graph:
    """Graph, with one access token. Every call raises GraphError with a sentence for the operator."""

    def __init__(self, base_url: str, version: str, access_token: str):
        self._base = f"{base_url}/{version}"
        self._headers = {"Authorization": f"Bearer {access_token}"}
        self.time: float | None = None
        """What Graph's clock said last, epoch seconds."""

    def number(self, phone_number_id: str) -> dict[str, Any]:
        """What the channel table keeps of a phone number."""
        known = self._get(phone_number_id, fields=_NUMBER_FIELDS)
        if str(known.get("id", phone_number_id)) != phone_number_id:
            raise GraphError(f"Graph answered with another number's data for {phone_number_id}")
        for name in _RISKY_NUMBER_FIELDS:
            try:
                known.update(self._get(phone_number_id, fields=name))
            except GraphError as error:
                if error.code != _BAD_FIELD:
                    raise
        throughput = known.get("throughput")
        return {
            "display_phone_number": _text(known.get("display_phone_number")),
            "verified_name": _text(known.get("verified_name")),
            "status": _text(known.get("status")),
            "code_verification_status": _text(known.get("code_verification_status")),
            "quality_rating": _text(known.get("quality_rating")),
            "tier": _tier(known),
            "throughput": _text(throughput.get("level")) if isinstance(throughput, dict) else None,
            "coexistence": known.get("is_on_biz_app") is True,
        }

    def templates(self, waba_id: str) -> list[dict[str, Any]]:
        """All templates of a business account, as the template table keeps them."""
        try:
            found = self._all_pages(f"{waba_id}/message_templates")
        except GraphError as error:
            if error.code != _BAD_CURSOR:
                raise
            # A cursor can go stale between two pages (Meta, v24): the list is read anew, once.
            found = self._all_pages(f"{waba_id}/message_templates")
        # A later page may repeat what an earlier one had when templates change meanwhile.
        return list({(row["name"], row["language"]): row for row in map(_template, found)}.values())

    def subscribed_apps(self, waba_id: str) -> list[str]:
        """The names of the apps that get a business account's callbacks."""
        found = _rows(self._get(f"{waba_id}/subscribed_apps"))
        apps = [row["whatsapp_business_api_data"] for row in found if "whatsapp_business_api_data" in row]
        names = [_text(app.get("name")) or _text(app.get("id")) for app in apps if isinstance(app, dict)]
        return [name for name in names if name]

    def _all_pages(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: str | None = None
        deadline = time.monotonic() + _ALL_PAGES_SECONDS
        for _ in range(_MOST_PAGES):
            if time.monotonic() > deadline:
                raise GraphError(
                    f"Graph took more than {_ALL_PAGES_SECONDS} seconds for its list of templates"
                )
            page = self._get(
                path, _LARGEST_PAGE, fields=_TEMPLATE_FIELDS, limit=_TEMPLATES_A_PAGE, after=after
            )
            rows += [row for row in _rows(page) if _text(row.get("name")) and _text(row.get("language"))]
            following = _cursor(page.get("paging"))
            if following is None or following == after:
                return rows
            after = following
        raise GraphError(f"Graph has more than {_MOST_PAGES} pages of templates")

    def _get(self, path: str, largest: int = _LARGEST_ANSWER, **parameters: str | None) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            status, headers, body, is_whole = outbound.get(
                f"{self._base}/{path}", given, self._headers, _SECONDS, largest
            )
        except outbound.Unreachable as error:
            raise GraphError(f"Graph cannot be reached at {self._base}: {error}") from None
        self.time = _time(headers.get("Date"))
        if not is_whole:
            raise GraphError(f"Graph answered HTTP {status} with more than {largest} bytes")
        answer = _object(body)
        if answer is None:
            raise GraphError(f"Graph answered HTTP {status} with something that is no JSON object")
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            code, why = refusal.get("code"), _text(refusal.get("message")) or "no reason given"
            raise GraphError(f"Graph refused: {why} (code {str(code)[:20]})", code)
        if status >= 300:
            raise GraphError(f"Graph answered HTTP {status} without an error")
        return answer


def _object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body, None where there is none that can be kept."""
    try:
        answer = strict_json.loads(body, Faults())
    except Malformed:
        return None
    if not isinstance(answer, dict) or strict_json.depth(answer) > strict_json.MAX_DEPTH:
        return None
    return answer


def _rows(page: dict[str, Any]) -> list[dict[str, Any]]:
    """What a list of Graph's holds; raises GraphError where it is none, for none is not an empty one."""
    rows = page.get("data", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise GraphError("Graph answered with something that is no list")
    return rows


def _text(value: Any) -> str | None:
    """A text of Graph's that can be kept and shown; None for what is no text."""
    return value[:_LONGEST_TEXT] if isinstance(value, str) else None


def _time(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def _tier(known: dict[str, Any]) -> str | None:
    for name in ("whatsapp_business_manager_messaging_limit", "messaging_limit_tier"):
        value = known.get(name)
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int):
            return "TIER_UNLIMITED" if value < 0 else _text(f"TIER_{value}")
    return None


def _template(row: dict[str, Any]) -> dict[str, Any]:
    quality = row.get("quality_score")
    components = row.get("components")
    return {
        "name": _text(row["name"]),
        "language": _text(row["language"]),
        "status": _text(row.get("status")) or "UNKNOWN",
        "category": _text(row.get("category")),
        "parameter_format": _text(row.get("parameter_format")),
        "quality": _text(quality.get("score") if isinstance(quality, dict) else quality),
        "components": components if isinstance(components, list) else [],
    }


def _cursor(paging: Any) -> str | None:
    """Where the next page begins; the address Graph gives is not followed, only its cursor is read."""
    following = paging.get("next") if isinstance(paging, dict) else None
    if not isinstance(following, str) or not following:
        return None
    cursors = paging.get("cursors")
    after = _text(cursors.get("after")) if isinstance(cursors, dict) else None
    return after or next(iter(parse_qs(following.partition("?")[2]).get("after", [])), None)
