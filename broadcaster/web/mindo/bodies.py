"""Mindo's requests, and the broadcasts they ask for."""

import re
from typing import Annotated

from pydantic import Field

from broadcaster.domain import phone, strict_json, templates
from broadcaster.domain.templates import Place, Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.errors import Faults
from broadcaster.services import submit
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.web.bodies import Entries, Envelope, Shape, Texts, read_recipients
from broadcaster.web.mindo import NAME, SINGLE

BUTTON = re.compile(r"button_[0-9]{1,2}")
_LANGUAGE = "es"
_NAMES = Names(channel="phone_number_id", template="template_name", language="language", to="phone")
_SINGLE_NAMES = Names(
    channel="phone_number_id", template="template_name", language="language", to="recipient_phone"
)


# Fields it does not know have always been passed over by the vendor; clients may send some.
class MindoRecipient(Shape):
    phone: Annotated[str, Field(max_length=200)]
    variables: Texts | None = None
    button_variables: Texts | None = None


class _MindoEnvelope(Envelope):
    phone_number_id: Annotated[str, Field(min_length=1, max_length=100)]
    template_name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class MindoSendBulk(_MindoEnvelope):
    recipients: Entries[MindoRecipient]


class MindoSend(_MindoEnvelope):
    recipient_phone: Annotated[str, Field(max_length=200)]
    variables: Texts | None = None
    button_variables: Texts | None = None


_FORM = {"phone_number_id": "100000000000001", "template_name": "appointment", "language": "en"}
_VARIABLES = {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"}
SEND_BULK = _FORM | {"recipients": [{"phone": "+905554443301", "variables": _VARIABLES}]}
SEND = _FORM | {"recipient_phone": "+905554443301", "variables": _VARIABLES}


def bulk_spec(asked: MindoSendBulk, faults: Faults) -> Spec:
    """The broadcast a send-bulk asks for; what could not be read is left out."""
    recipients = read_recipients(asked.recipients, _recipient, faults)
    return _spec(asked, recipients, NAME, _NAMES)


def single_spec(asked: MindoSend, faults: Faults) -> Spec:
    """The broadcast of one that a send asks for."""
    flat = _flat(asked.variables, asked.button_variables, "", faults)
    to = _international(asked.recipient_phone, "recipient_phone", faults)
    return _spec(asked, [Recipient("", to, flat)], SINGLE, _SINGLE_NAMES, submit.HIGH)


def _spec(
    asked: _MindoEnvelope,
    recipients: list[Recipient] | None,
    face: str,
    names: Names,
    priority: int = submit.NORMAL,
) -> Spec:
    return Spec(
        channel=asked.phone_number_id,
        template=TemplateRef(asked.template_name, asked.language or _LANGUAGE),
        recipients=recipients,
        title=asked.template_name,
        priority=priority,
        names=names,
        arrange=_arrange,
        face=face,
    )


def _recipient(where: str, entry: MindoRecipient, faults: Faults) -> Recipient:
    flat = _flat(entry.variables, entry.button_variables, where, faults)
    return Recipient(where, _international(entry.phone, f"{where}.phone", faults), flat)


def _international(number: str | None, where: str, faults: Faults) -> str | None:
    if number is not None and not phone.prefix(number):
        told = f"must begin with + and the country code, like +5491100001111; got {phone.quoted(number)}"
        faults.add(where, told)
        return None
    return number


def _flat(
    variables: dict[str, str] | None, buttons: dict[str, str] | None, where: str, faults: Faults
) -> dict[str, str]:
    """All values of a message in one map; a button's name is its position among all buttons."""
    for name in buttons or ():
        if not BUTTON.fullmatch(name):
            faults.add(
                strict_json.under(where, "button_variables"), f'takes button_0, button_1 ..., not "{name}"'
            )
    return {**(variables or {}), **(buttons or {})}


def _arrange(slots: Slots, variables: Variables, at: str, faults: Faults) -> Variables:
    ours = {flat_name(place): place for place in slots.places}
    given = {ours[name].name if name in ours else name: v for name, v in variables.get("BODY", {}).items()}
    buttons_at = f"{at.removesuffix('variables')}button_variables"
    for name in [name for name in given if BUTTON.fullmatch(name)]:
        faults.add(buttons_at, f"the template has no {name} that takes a value")
        del given[name]
    for name, place in ours.items():
        if place.component == "BUTTONS" and place.required and place.name not in given:
            faults.add(buttons_at, f"needs {name}")
            # Said here, under the name callers know; any value keeps it from being said again.
            given[place.name] = name
    return templates.spread(slots, given)


def flat_name(place: Place) -> str:
    """What callers call a place: button_0, card_1_header."""
    return place.name.replace(".", "_")
