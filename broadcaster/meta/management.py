"""Graph's management calls: what a number is, and its templates. Sending is the sender's."""

import json
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from broadcaster import outbound
from broadcaster.errors import GraphError

_SECONDS = 30
_LARGEST_ANSWER = 1024 * 1024
"""Bytes: a page of templates, of which the largest, a carousel of ten cards, has some 20 KB."""
_TEMPLATES_A_PAGE = "25"
_MOST_PAGES = 1000
"""Ours: a list whose pages never end is no list."""
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
            "display_phone_number": known.get("display_phone_number"),
            "verified_name": known.get("verified_name"),
            "status": known.get("status"),
            "code_verification_status": known.get("code_verification_status"),
            "quality_rating": known.get("quality_rating"),
            "tier": _tier(known),
            "throughput": throughput.get("level") if isinstance(throughput, dict) else None,
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
        found = self._get(f"{waba_id}/subscribed_apps").get("data")
        apps = [row.get("whatsapp_business_api_data") for row in found or [] if isinstance(row, dict)]
        return [str(app.get("name") or app.get("id")) for app in apps if isinstance(app, dict)]

    def _all_pages(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._get(path, fields=_TEMPLATE_FIELDS, limit=_TEMPLATES_A_PAGE, after=after)
            rows += [row for row in page.get("data", []) if row.get("name") and row.get("language")]
            following = _cursor(page.get("paging"))
            if following is None or following == after:
                return rows
            after = following
        raise GraphError(f"Graph has more than {_MOST_PAGES} pages of templates")

    def _get(self, path: str, **parameters: str | None) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            status, headers, body, is_whole = outbound.get(
                f"{self._base}/{path}", given, self._headers, _SECONDS, _LARGEST_ANSWER
            )
        except outbound.Unreachable as error:
            raise GraphError(f"Graph cannot be reached at {self._base}: {error}") from None
        self.time = _time(headers.get("Date"))
        if not is_whole:
            raise GraphError(f"Graph answered HTTP {status} with more than {_LARGEST_ANSWER} bytes")
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise GraphError(f"Graph answered HTTP {status} with something that is no JSON object")
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            code, why = refusal.get("code"), refusal.get("message", "no reason given")
            raise GraphError(f"Graph refused: {why} (code {code})", code)
        if status >= 300:
            raise GraphError(f"Graph answered HTTP {status} without an error")
        return answer


def _time(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _tier(known: dict[str, Any]) -> str | None:
    for name in ("whatsapp_business_manager_messaging_limit", "messaging_limit_tier"):
        value = known.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int):
            return "TIER_UNLIMITED" if value < 0 else f"TIER_{value}"
    return None


def _template(row: dict[str, Any]) -> dict[str, Any]:
    quality = row.get("quality_score")
    return {
        "name": row["name"],
        "language": row["language"],
        "status": str(row.get("status", "UNKNOWN")),
        "category": row.get("category"),
        "parameter_format": row.get("parameter_format"),
        "quality": quality.get("score") if isinstance(quality, dict) else quality,
        "components": row.get("components") or [],
    }


def _cursor(paging: Any) -> str | None:
    """Where the next page begins; the address Graph gives is not followed, only its cursor is read."""
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    after = (paging.get("cursors") or {}).get("after")
    return after or next(iter(parse_qs(urlsplit(paging["next"]).query).get("after", [])), None)
