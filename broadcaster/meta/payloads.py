"""The payloads of Meta's callbacks, taken apart as far as they are known.

read() never fails: what has another shape than expected is passed over, for the callback is kept
raw (Meta, webhooks, state of Sept 2026).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from broadcaster.domain import names, strict_json
from broadcaster.domain.names import Names
from broadcaster.domain.receipts import RANKS, Receipt

_SECOND = 1000


_LAST = 253_402_300_799
"""9999-12-31 in epoch seconds: beyond it a timestamp is none."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a person wrote or tapped; `said` are the text, or all words of the button.

    `tapped` are those of them that the person saw on a button or a row of a list.
    """

    person: str
    said: tuple[str, ...]
    name: str | None = None
    names: Names = names.NOBODY
    tapped: tuple[str, ...] = ()
    at: int | None = None
    """Meta's time, in epoch ms."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A person's word on marketing messages as Meta writes it, and when it was given, in epoch ms."""

    person: str
    word: str
    at: int | None = None
    names: Names = names.NOBODY

    @property
    def stops(self) -> bool:
        return self.word == "stop"

    @property
    def consents(self) -> bool:
        """Whether the person asks for marketing (again); `signup` since June 2026."""
        return self.word in ("resume", "signup")


@dataclass(frozen=True, slots=True)
class Change:
    """A person had the names `old` and has the names `new`: another number, or another user id."""

    kind: Literal["number", "user_id"]
    old: Names
    new: Names


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
    """Everything known in one callback.

    `pairs` are the names that stand together in one object, each time once; `preferences` are in the
    order of Meta's own time, a stop after what was said in the same second.
    """

    receipts: list[Receipt] = field(default_factory=list)
    inbound: list[Inbound] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    pairs: list[Names] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    account: str | None = field(default=None, compare=False)
    """The business account the callback is about, for user ids are a portfolio's."""
    templates: list[TemplateNews] = field(default_factory=list)
    numbers: list[NumberNews] = field(default_factory=list)

    @property
    def says_more(self) -> bool:
        """Whether anything is in it besides receipts."""
        return bool(
            self.inbound or self.preferences or self.pairs or self.changes or self.templates or self.numbers
        )


def read(document: Any) -> Callback:
    """The parts of a callback that are known."""
    found = Callback()
    for entry in _objects(_get(document, "entry")):
        found.account = found.account or str(entry.get("id", ""))[:64] or None
        for change in _objects(entry.get("changes")):
            value = change.get("value")
            if isinstance(value, dict):
                _read_change(str(change.get("field")), str(entry.get("id", "")), value, found)
    found.pairs = list(dict.fromkeys(found.pairs))
    found.preferences.sort(key=lambda preference: (preference.at or _LAST * _SECOND, preference.stops))
    return found


def _read_change(name: str, waba_id: str, value: dict[str, Any], found: Callback) -> None:
    if name == "messages":
        _read_messages(value, found)
    elif name == "standby":
        # What another sender on the number answers; Meta puts it one level deeper (Meta, standby, Aug 2026).
        inner = value.get("standby")
        _read_messages({**value, **inner} if isinstance(inner, dict) else value, found)
    elif name == "user_preferences":
        found.pairs += _contact_pairs(value)
        for row in _objects(value.get("user_preferences")):
            found.preferences += _preference(row)
            found.pairs += _pair(_named(row))
    elif name.startswith(("message_template_", "template_")):
        found.templates += _template_news(name, waba_id, value)
    elif name in ("phone_number_quality_update", "business_capability_update", "account_update"):
        found.numbers += _number_news(name, waba_id, value)


# Statuses and messages


def _read_messages(value: dict[str, Any], found: Callback) -> None:
    statuses, messages = list(_objects(value.get("statuses"))), list(_objects(value.get("messages")))
    speaks_of_group = False
    for status in statuses:
        if status.get("recipient_type") == "group":
            speaks_of_group, called = True, names.NOBODY
        else:
            called = _recipient(status)
        found.receipts += _receipt(status, called)
        if called.is_pair:
            found.pairs.append(called)
    if (statuses or messages) and not speaks_of_group:
        found.pairs += _contact_pairs(value)
    ours, profiles = _our_number(value), _profiles(value)
    for message in messages:
        # What we said ourselves comes back as an echo; there `from` is our number.
        if ours is None or _digits(message.get("from")) != ours:
            _read_message(message, profiles, found)


def _read_message(message: dict[str, Any], profiles: Mapping[str, str], found: Callback) -> None:
    if _kind_of_change(message):
        # `from` is the old number and the user id beside it may be the new one: no pair.
        found.changes += _change(message)
    else:
        found.inbound += _inbound(message, profiles)
        found.pairs += _pair(_sender(message))


def _receipt(status: dict[str, Any], called: Names) -> Iterator[Receipt]:
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
        names=called,
    )


def _inbound(message: dict[str, Any], profiles: Mapping[str, str]) -> Iterator[Inbound]:
    called = _sender(message)
    if called.preferred is None:
        return
    button, interactive = message.get("button"), message.get("interactive")
    replies = [_get(interactive, kind) for kind in ("button_reply", "list_reply")]
    seen = [_get(button, "text"), *(_get(reply, "title") for reply in replies)]
    told = [
        _get(message.get("text"), "body"),
        _get(button, "payload"),
        *(_get(reply, "id") for reply in replies),
        *seen,
    ]
    yield Inbound(
        called.preferred,
        _texts(told),
        next((profiles[name] for name in called.known if name in profiles), None),
        called,
        _texts(seen),
        _time(message.get("timestamp")),
    )


_KINDS: dict[object, Literal["number", "user_id"]] = {
    "user_changed_number": "number",
    "customer_changed_number": "number",
    "user_changed_user_id": "user_id",
}


def _kind_of_change(message: dict[str, Any]) -> Literal["number", "user_id"] | None:
    word = _get(message.get("system"), "type")
    return _KINDS.get(word) if isinstance(word, str) else None


def _change(message: dict[str, Any]) -> Iterator[Change]:
    kind, told, sender = _kind_of_change(message), message.get("system"), _sender(message)
    if kind is None or not isinstance(told, dict):
        return
    new = names.read(
        told.get("wa_id") or told.get("new_wa_id"), told.get("user_id"), told.get("parent_user_id")
    )
    before = names.read(
        told.get("customer"), told.get("previous_user_id"), told.get("previous_parent_user_id")
    )
    # Until August 2026 the previous ids were not told; what stands beside `from` may be the new one.
    old = Names(
        before.number or sender.number,
        before.user_id or _other(sender.user_id, new.user_id),
        before.parent_id or _other(sender.parent_id, new.parent_id),
    )
    if old.preferred and new.preferred and old != new:
        yield Change(kind, old, new)


def _preference(row: dict[str, Any]) -> Iterator[Preference]:
    called, word = _named(row), row.get("value")
    if called.preferred is None or not isinstance(word, str) or not word:
        return
    told = Preference(called.preferred, word, _time(row.get("timestamp")), called)
    # Consent to another kind of message, should there be one, is none to marketing.
    if not told.consents or row.get("category", _MARKETING) == _MARKETING:
        yield told


_MARKETING = "marketing_messages"


# Names


def _recipient(status: dict[str, Any]) -> Names:
    return names.read(
        status.get("recipient_id"),
        status.get("recipient_user_id"),
        status.get("recipient_parent_user_id"),
    )


def _sender(message: dict[str, Any]) -> Names:
    return names.read(message.get("from"), message.get("from_user_id"), message.get("from_parent_user_id"))


def _named(row: dict[str, Any]) -> Names:
    return names.read(row.get("wa_id"), row.get("user_id"), row.get("parent_user_id"))


def _pair(called: Names) -> tuple[Names, ...]:
    return (called,) if called.is_pair else ()


def _contact_pairs(value: dict[str, Any]) -> Iterator[Names]:
    ours = _our_number(value)
    for contact in _objects(value.get("contacts")):
        called = _named(contact)
        if ours is None or called.number != f"+{ours}":
            yield from _pair(called)


def _our_number(value: dict[str, Any]) -> str | None:
    return _digits(_get(value.get("metadata"), "display_phone_number")) or None


def _other(name: str | None, than: str | None) -> str | None:
    return name if name != than else None


def _profiles(value: dict[str, Any]) -> dict[str, str]:
    """What people call themselves, by each of their names."""
    profiles: dict[str, str] = {}
    for contact in _objects(value.get("contacts")):
        shown = _get(contact.get("profile"), "name")
        if isinstance(shown, str) and shown:
            profiles |= dict.fromkeys(_named(contact).known, strict_json.storable(shown)[:200])
    return profiles


# Templates and numbers


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
    digits = _digits(value.get("display_phone_number"))
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


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _digits(shown: Any) -> str | None:
    return "".join(c for c in shown if c.isdigit()) if isinstance(shown, str) else None


def _time(value: Any) -> int | None:
    """Epoch milliseconds from seconds as a string or a number."""
    try:
        seconds = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds * _SECOND if 0 < seconds < _LAST else None
