"""Graph's management calls: what a number is, and its templates. Sending is the sender's."""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from broadcaster.errors import GraphError

_CONNECT_SECONDS, _TOTAL_SECONDS = 10, 30
_LARGEST_ANSWER = 32 * 1024 * 1024
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
        self._session = requests.Session()
        # Proxies and .netrc of the environment would send the token where nobody expects it.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {access_token}"
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
        while True:
            page = self._get(path, fields=_TEMPLATE_FIELDS, limit="100", after=after)
            rows += [row for row in page.get("data", []) if row.get("name") and row.get("language")]
            following = _cursor(page.get("paging"))
            if following is None or following == after:
                return rows
            after = following

    def _get(self, path: str, **parameters: str | None) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            status, body = self._read(f"{self._base}/{path}", given)
        except requests.RequestException as error:
            raise GraphError(f"Graph cannot be reached at {self._base}: {_cause(error)}") from None
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

    def _read(self, url: str, parameters: dict[str, str]) -> tuple[int, bytes]:
        """The whole answer within a total time, which requests does not offer itself."""
        deadline = time.monotonic() + _TOTAL_SECONDS
        with self._session.get(
            url, params=parameters, stream=True, allow_redirects=False, timeout=(_CONNECT_SECONDS, 10)
        ) as response:
            self.time = _time(response.headers.get("Date"))
            body = b""
            for piece in response.iter_content(65_536):
                body += piece
                if time.monotonic() > deadline:
                    raise requests.Timeout("the answer took too long")
                if len(body) > _LARGEST_ANSWER:
                    raise requests.RequestException("the answer is too large")
            return response.status_code, body


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


def _cause(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
