"""The requests of our own API: what is checked without knowing anything, and the broadcast they ask for."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from broadcaster.domain import strict_json
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import ActionKey, OnDuplicate, OnInvalid, OnUnknown
from broadcaster.errors import Faults
from broadcaster.services import submit
from broadcaster.services.specs import Action, Recipient, Spec
from broadcaster.web.bodies import (
    Entries,
    Envelope,
    Person,
    Shape,
    check_depth,
    envelope,
    read_recipients,
    time_of,
)
from broadcaster.web.own.words import EventName, Priority

DEEPEST_VARIABLES = 16
_PERSON = ("to", "userId", "sessionId")
_TEXT_ALONE = {str}
_STRICT = ConfigDict(extra="forbid")


def _as_text(value: Any) -> Any:
    """A whole number as its digits, for a program may not know that it is a name; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_texts(value: Any) -> Any:
    """Whole numbers as their text wherever a text may stand: in a map, a list, a component's parameters."""
    if isinstance(value, dict):
        return {name: _as_text(one) for name, one in value.items()}
    # Nearly all lists are of texts alone: thousands of recipients have one each.
    if isinstance(value, list) and not set(map(type, value)) <= _TEXT_ALONE:
        return [_with_texts(one) for one in value]
    return value


def _with_texts(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("parameters"), list | dict):
        return {**value, "parameters": _as_texts(value["parameters"])}
    return _as_text(value)


Values = Annotated[Any, BeforeValidator(_as_texts)]


class RecipientTemplate(Shape):
    model_config = _STRICT

    name: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class NewRecipient(Shape):
    model_config = _STRICT

    to: Annotated[str, BeforeValidator(_as_text), Field(max_length=200)] | None = None
    userId: Annotated[str, Field(max_length=200)] | None = None
    sessionId: Annotated[str, Field(max_length=200)] | None = None
    variables: Values = None
    template: RecipientTemplate | None = None
    metadata: dict[str, Any] | None = None


class NewTemplate(Shape):
    model_config = _STRICT

    name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    variables: Values = None


class NewAction(Shape):
    model_config = _STRICT

    key: ActionKey
    value: Annotated[str, Field(min_length=1, max_length=200)]


class NewBroadcast(Envelope):
    model_config = _STRICT

    channel: Annotated[str, Field(min_length=1, max_length=100)]
    template: NewTemplate
    recipients: Entries[NewRecipient]
    title: Annotated[str, Field(max_length=200)] | None = None
    scheduleAt: str | None = None
    priority: Priority = "normal"
    onDuplicate: OnDuplicate = "drop"
    onInvalid: OnInvalid = "reject"
    onUnknown: OnUnknown = "fail"
    expireAt: str | None = None
    action: NewAction | None = None
    metadata: dict[str, Any] | None = None


NEW_BROADCAST = {
    "channel": "100000000000001",
    "title": "Orders of today",
    "template": {"name": "appointment", "language": "en"},
    "recipients": [
        {"to": "+905554443301", "variables": ["Ana", "Monday", "10:00", "your papers"]},
        {"to": "+905554443302", "variables": {"1": "Ben", "2": "Friday", "3": "11:00", "4": "your papers"}},
    ],
}


def spec_of(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a document asks for; what cannot be read is a fault and left out."""
    return spec(envelope(NewBroadcast, document, faults), faults)


def spec(asked: NewBroadcast, faults: Faults) -> Spec:
    """The broadcast a request asks for. What could not be read is left at its default, so that the rest
    can still be checked."""
    template = asked.template or NewTemplate.model_construct(name=None)
    check_depth("metadata", asked.metadata, strict_json.MAX_DEPTH, faults)
    check_depth("template.variables", template.variables, DEEPEST_VARIABLES, faults)
    return Spec(
        channel=asked.channel,
        template=TemplateRef(template.name, template.language, template.variables),
        recipients=read_recipients(asked.recipients, _recipient, faults),
        title=asked.title,
        due_at=time_of(asked.scheduleAt, "scheduleAt", faults),
        priority=submit.HIGH if asked.priority == "high" else submit.NORMAL,
        on_duplicate=asked.onDuplicate,
        on_invalid=asked.onInvalid,
        on_bad_number=asked.onInvalid,
        action=Action(asked.action.key, asked.action.value) if asked.action else None,
        metadata=asked.metadata,
        on_unknown=asked.onUnknown or "fail",
        expire_at=time_of(asked.expireAt, "expireAt", faults),
    )


def _recipient(where: str, entry: NewRecipient, faults: Faults) -> Recipient:
    named_by = [name for name in _PERSON if getattr(entry, name) is not None]
    if len(named_by) != 1:
        field = f"{where}.{named_by[1]}" if named_by else f"{where}.to"
        told = f"cannot stand beside {named_by[0]}" if named_by else "is required, or userId or sessionId"
        faults.add(field, told)
        return Recipient(where)
    if entry.metadata is not None:
        check_depth(f"{where}.metadata", entry.metadata, strict_json.MAX_DEPTH, faults)
    if entry.variables is not None:
        check_depth(f"{where}.variables", entry.variables, DEEPEST_VARIABLES, faults)
    template = TemplateRef(entry.template.name, entry.template.language) if entry.template else None
    return Recipient(
        where, entry.to, entry.variables, template, entry.metadata, entry.userId, entry.sessionId
    )


class NewWebhook(Shape):
    """Without types it is told of everything but single messages."""

    model_config = _STRICT

    url: Annotated[str, Field(max_length=2000)]
    types: Annotated[list[EventName], Field(max_length=100)] | None = None


NEW_WEBHOOK = {"url": "https://1.1.1.1/hooks", "types": ["broadcast.finished"]}


LARGEST_SUPPRESSIONS = 2 * 1024 * 1024
"""Bytes: 10,000 of the longest user ids there are."""


class NewSuppressions(Shape):
    """People as numbers or user ids; read, they are E.164 or user ids."""

    model_config = _STRICT

    to: Annotated[list[Annotated[Person, BeforeValidator(_as_text)]], Field(min_length=1, max_length=10_000)]
    reason: Annotated[str, Field(min_length=1, max_length=200)] = "by hand"


NEW_SUPPRESSIONS = {"to": ["+905554443301"], "reason": "asked on the phone"}
