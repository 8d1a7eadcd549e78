"""Keebai's requests, and the broadcasts they ask for."""

import re
from typing import Annotated, Any

from pydantic import Field

from broadcaster.clock import epoch_ms
from broadcaster.domain import phone, strict_json, templates, timestamps
from broadcaster.domain.templates import Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.errors import Faults
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.store import channels
from broadcaster.web.bodies import Entries, Envelope, Shape, Texts, check_depth, read_recipients, time_of
from broadcaster.web.keebai import NAME


# Clients may send fields beyond the documented ones; the vendor passes them over.
class KeebaiRecipient(Shape):
    to: Annotated[str, Field(max_length=200)]
    variables: Texts | None = None
    meta_data: dict[str, Any] | None = None


class _KeebaiEnvelope(Envelope):
    """One of `channel_id` and `phone_number_id` is required; either may hold either id."""

    template_name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)]
    channel_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    phone_number_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class KeebaiBulk(_KeebaiEnvelope):
    campaign_name: Annotated[str, Field(max_length=200)] | None = None
    schedule_at: str | None = None
    recipients: Entries[KeebaiRecipient]


class KeebaiTemplate(_KeebaiEnvelope, KeebaiRecipient):
    """One message is envelope and recipient in one."""


_PERSON = {"to": "+905554443301", "variables": {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"}}
_FORM = {"channel_id": "100000000000001", "template_name": "appointment", "language": "en"}
BULK = _FORM | {"recipients": [_PERSON]}
TEMPLATE = _FORM | _PERSON


def bulk_spec(asked: KeebaiBulk, faults: Faults) -> Spec:
    """The broadcast a bulk call asks for; what could not be read is left out."""
    _check_channel(asked, faults)
    recipients = read_recipients(asked.recipients, _recipient, faults)
    due_at = time_of(asked.schedule_at, "schedule_at", faults)
    return _spec(asked, recipients, asked.campaign_name, due_at)


def single_spec(asked: KeebaiTemplate, faults: Faults) -> Spec:
    """The broadcast of one that a template call asks for."""
    _check_channel(asked, faults)
    # A person of whom a part could not be read is not looked at further, as in a list.
    is_readable = not asked.is_unreadable(*KeebaiRecipient.model_fields)
    return _spec(asked, [_recipient("", asked, faults) if is_readable else Recipient("")], None, None)


def _spec(
    asked: _KeebaiEnvelope,
    recipients: list[Recipient] | None,
    title: str | None,
    due_at: int | None,
) -> Spec:
    # Without a language there is no saying which template is meant.
    name = asked.template_name if asked.language else None
    field = "channel_id" if asked.channel_id is not None else "phone_number_id"
    return Spec(
        channel=_channel(asked),
        template=TemplateRef(name, asked.language),
        recipients=recipients,
        title=title or f"{asked.template_name} {timestamps.format_time(epoch_ms())}",
        due_at=due_at,
        on_duplicate="allow",
        on_invalid="fail",
        names=Names(channel=field, due_at="schedule_at", template="template_name", language="language"),
        arrange=_arrange,
        face=NAME,
    )


def _check_channel(asked: _KeebaiEnvelope, faults: Faults) -> None:
    is_named = asked.channel_id is not None or asked.phone_number_id is not None
    if not is_named and not asked.is_unreadable("channel_id", "phone_number_id"):
        faults.add("channel_id", "is required, or phone_number_id")


def _channel(asked: _KeebaiEnvelope) -> str | None:
    """Meta's id of the number: either field may hold it, or our own number for the channel."""
    given = asked.channel_id or asked.phone_number_id
    if given is None:
        return None
    if channels.find(given) is None and re.fullmatch("[0-9]{1,9}", given, re.ASCII):
        row = channels.find_by_id(int(given))
        return row.phone_number_id if row else given
    return given


def _recipient(where: str, entry: KeebaiRecipient, faults: Faults) -> Recipient:
    to = strict_json.under(where, "to")
    if not phone.prefix(entry.to):
        told = f"must be a number in E.164 with its +, like +905554443301; got {phone.quoted(entry.to)}"
        faults.add(to, told)
        return Recipient(where)
    check_depth(strict_json.under(where, "meta_data"), entry.meta_data, strict_json.MAX_DEPTH, faults)
    return Recipient(where, entry.to, entry.variables, metadata=entry.meta_data)


def _arrange(slots: Slots, variables: Variables, _at: str, _faults: Faults) -> Variables:
    """Only what is missing fails a recipient here; a value nobody asked for hurts nobody."""
    ours = {place.name.replace(".", "_"): place.name for place in slots.places}
    given = variables.get("BODY", {})
    return templates.spread(slots, {ours[name]: value for name, value in given.items() if name in ours})
