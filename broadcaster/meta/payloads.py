"""The payloads of Meta's callbacks, taken apart as far as they are known.

read() never fails: what has another shape than expected is passed over, for the callback is kept
raw (Meta, webhooks, state of Sept 2026).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from broadcaster.domain import strict_json
from broadcaster.domain.receipts import RANKS, Receipt

_SECOND = 1000


_LAST = 253_402_300_799
"""9999-12-31 in epoch seconds: beyond it a timestamp is none."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a person wrote or tapped; `said` are the text, or all words of the button."""

    person: str
    said: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """A person's word on marketing messages: stop or resume."""

    person: str
    stops: bool


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A person has another number now."""

    person: str
    now: str


@dataclass(frozen=True, slots=True)
class TemplateNews:
    """What changed about a template; None stays as it is."""

    waba_id: str
    name: str
    language: str
    status: str | None = None
    category: str | None = None
    quality: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class NumberNews:
    """What changed about a number, by its digits, or about all of an account where there are none."""

    waba_id: str
    digits: str | None = None
    tier: str | None = None
    is_throttle_up: bool = False
    is_blocked: bool = False
    detail: str | None = None


@dataclass(slots=True)
class Callback:
    """Everything known in one callback."""

    receipts: list[Receipt] = field(default_factory=list)
    inbound: list[Inbound] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    renumbered: list[Renumbered] = field(default_factory=list)
    templates: list[TemplateNews] = field(default_factory=list)
    numbers: list[NumberNews] = field(default_factory=list)


def read(document: Any) -> Callback:
    """The parts of a callback that are known."""
    found = Callback()
    for entry in _objects(_get(document, "entry")):
        for change in _objects(entry.get("changes")):
            value = change.get("value")
            if isinstance(value, dict):
                _read_change(str(change.get("field")), str(entry.get("id", "")), value, found)
    return found


def _read_change(name: str, waba_id: str, value: dict[str, Any], found: Callback) -> None:
    if name == "messages":
        for status in _objects(value.get("statuses")):
            found.receipts += _receipt(status)
        names = _names(value)
        for message in _objects(value.get("messages")):
            found.inbound += _inbound(message, names)
            found.renumbered += _renumbered(message)
    elif name == "user_preferences":
        for row in _objects(value.get("user_preferences")):
            person, word = _person(row.get("wa_id"), row.get("user_id")), row.get("value")
            if person and word in ("stop", "resume"):
                found.preferences.append(Preference(person, word == "stop"))
    elif name.startswith(("message_template_", "template_")):
        found.templates += _template_news(name, waba_id, value)
    elif name in ("phone_number_quality_update", "business_capability_update", "account_update"):
        found.numbers += _number_news(name, waba_id, value)


def _receipt(status: dict[str, Any]) -> Iterator[Receipt]:
    wamid, word = status.get("id"), status.get("status")
    at = _time(status.get("timestamp"))
    word = "read" if word == "played" else word
    if (
        not isinstance(wamid, str)
        or not wamid
        or not isinstance(word, str)
        or word not in RANKS
        or at is None
    ):
        return
    tag = status.get("biz_opaque_callback_data")
    error = next(_objects(status.get("errors")), {})
    code = error.get("code")
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    text = details or error.get("message") or error.get("title")
    pricing = status.get("pricing")
    yield Receipt(
        wamid=strict_json.storable(wamid),
        status=word,
        at=at,
        tag=tag if isinstance(tag, str) else None,
        code=str(code) if isinstance(code, int) else ("UNDELIVERED" if word == "failed" else None),
        text=strict_json.storable(str(text))[:500] if text else None,
        pricing=pricing if isinstance(pricing, dict) else None,
    )


def _inbound(message: dict[str, Any], names: dict[str, str]) -> Iterator[Inbound]:
    person = _person(message.get("from"), message.get("from_user_id"))
    if not person:
        return
    replies = [_get(message.get("interactive"), kind) for kind in ("button_reply", "list_reply")]
    told = [
        _get(message.get("text"), "body"),
        *(_get(message.get("button"), key) for key in ("payload", "text")),
        *(_get(reply, key) for reply in replies for key in ("id", "title")),
    ]
    yield Inbound(person, tuple(word for word in told if isinstance(word, str)), names.get(person))


def _renumbered(message: dict[str, Any]) -> Iterator[Renumbered]:
    old, new = _person(message.get("from"), None), _person(_get(message.get("system"), "wa_id"), None)
    changed = _get(message.get("system"), "type") in ("user_changed_number", "customer_changed_number")
    if old and new and changed:
        yield Renumbered(old, new)


def _names(value: dict[str, Any]) -> dict[str, str]:
    names = {}
    for contact in _objects(value.get("contacts")):
        person = _person(contact.get("wa_id"), contact.get("user_id"))
        name = _get(contact.get("profile"), "name")
        if person and isinstance(name, str) and name:
            names[person] = strict_json.storable(name)[:200]
    return names


def _template_news(name: str, waba_id: str, value: dict[str, Any]) -> Iterator[TemplateNews]:
    template, language = value.get("message_template_name"), value.get("message_template_language")
    if not isinstance(template, str) or not isinstance(language, str):
        return
    event, reason = value.get("event"), value.get("reason")
    news = TemplateNews(
        waba_id,
        template,
        # The status update writes en-US for what is en_US everywhere else.
        language.replace("-", "_"),
        detail=str(reason)[:200] if reason and reason != "NONE" else None,
    )
    quality = value.get("new_quality_score")
    # Meta's own example of a quality update carries the status update's field name, so content decides.
    if isinstance(quality, str):
        yield replace(news, quality=quality)
    elif isinstance(event, str):
        yield replace(news, status=_TEMPLATE_STATUS.get(event, event))
    elif isinstance(value.get("new_category"), str) and name == "template_category_update":
        yield replace(news, category=value["new_category"])


_TEMPLATE_STATUS = {"REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED", "FLAGGED": "APPROVED"}
"""Events that are no status of their own."""


def _number_news(name: str, waba_id: str, value: dict[str, Any]) -> Iterator[NumberNews]:
    shown = value.get("display_phone_number")
    digits = "".join(c for c in shown if c.isdigit()) if isinstance(shown, str) else None
    event = value.get("event")
    if name == "account_update":
        ban = _get(value.get("ban_info"), "waba_ban_state")
        if event in ("ACCOUNT_DELETED", "ACCOUNT_RESTRICTION") or ban == "DISABLE":
            yield NumberNews(waba_id, is_blocked=True, detail=str(event))
        return
    limit = value.get("max_daily_conversations_per_business", value.get("current_limit"))
    tier = None
    if isinstance(limit, int) and not isinstance(limit, bool) and limit:
        tier = "TIER_UNLIMITED" if limit < 0 else f"TIER_{limit}"
    elif isinstance(limit, str) and limit.startswith("TIER_"):
        tier = limit
    if tier or event == "THROUGHPUT_UPGRADE":
        yield NumberNews(waba_id, digits, tier, event == "THROUGHPUT_UPGRADE")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _person(number: Any, user_id: Any) -> str | None:
    """A number as + and digits, or a business-scoped user id."""
    if isinstance(number, str) and number.isascii() and number.lstrip("+").isdecimal():
        return "+" + number.lstrip("+")[:20]
    return user_id[:140] if isinstance(user_id, str) and user_id else None


def _time(value: Any) -> int | None:
    """Epoch milliseconds from seconds as a string or a number."""
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        return None
    return seconds * _SECOND if 0 < seconds < _LAST else None
