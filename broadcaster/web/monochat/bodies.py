"""MonoChat's requests, and the broadcasts they ask for."""

from typing import Annotated, Any, Literal

from pydantic import Field

from broadcaster.domain import phone, strict_json
from broadcaster.domain.templates import Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import ActionKey
from broadcaster.errors import Faults, Kind
from broadcaster.services.specs import Action, Names, Recipient, Spec
from broadcaster.store import channels
from broadcaster.web.bodies import Entries, Envelope, Objects, Shape, check_depth, read_recipients, time_of
from broadcaster.web.monochat import NAME

_DEEPEST_VARIABLES = 16
_DEFAULT = "defaultPayload"
_COMPONENT = {"type", "parameters"}
_NAMES = Names(
    channel="channelUsername",
    template=f"{_DEFAULT}.template.templateName",
    language=f"{_DEFAULT}.template.languageCode",
    variables=f"{_DEFAULT}.template.variables",
    to="username",
    own_template="template.templateName",
    own_language="template.languageCode",
    own_variables="template.variables",
)


# Clients may send fields beyond the documented ones; the vendor passes them over.
class MonoChatTemplate(Shape):
    templateName: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    languageCode: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    variables: Objects | None = None


class MonoChatContent(Shape):
    type: Literal["template"] | None = None
    template: MonoChatTemplate | None = None
    isMerge: bool | None = None


class MonoChatRecipient(Shape):
    username: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    userId: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sessionId: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    payload: MonoChatContent | None = None
    isMerge: bool | None = None


class MonoChatAction(Shape):
    key: ActionKey
    value: Annotated[str, Field(min_length=1, max_length=200)]


class MonoChatSend(Envelope):
    channelUsername: Annotated[str, Field(pattern=r"^[0-9]{5,20}$")]
    connectorBrand: Literal["whatsapp"]
    title: Annotated[str, Field(max_length=200)] | None = None
    scheduleAt: str | None = None
    defaultPayload: MonoChatContent | None = None
    recipients: Entries[MonoChatRecipient]
    action: MonoChatAction | None = None


class MonoChatReference(Shape):
    bulkMessageId: str


def send_spec(slug: str, asked: MonoChatSend, faults: Faults) -> Spec:
    """The broadcast a send asks for in a workspace; what could not be read is left out."""
    if not slug.isprintable() or len(slug) > 200:
        faults.add("slug", "must be at most 200 printable characters")
    default = asked.defaultPayload
    if default is not None:
        _check_complete(default, _DEFAULT, faults)
    # An unreadable default is a fault already; that recipients lean on it is none of its own.
    given = default or (MonoChatContent() if asked.is_unreadable(_DEFAULT) else None)
    by_default = bool(default and default.isMerge)

    def read(where: str, entry: MonoChatRecipient, found: Faults) -> Recipient:
        return _recipient(where, entry, given, by_default, found)

    return Spec(
        channel=_channel(asked.channelUsername),
        template=_ref(default),
        recipients=read_recipients(asked.recipients, read, faults),
        title=asked.title or "-",
        due_at=time_of(asked.scheduleAt, "scheduleAt", faults),
        may_be_past=True,
        on_duplicate="reject",
        action=Action(asked.action.key, asked.action.value) if asked.action else None,
        names=_NAMES,
        arrange=_arrange,
        face=NAME,
        face_data={"slug": slug, "username": asked.channelUsername},
    )


def _channel(username: str | None) -> str | None:
    """Meta's id of the channel with this number, or the number as it is, which will not be found."""
    row = channels.with_number(username) if username is not None else None
    return row.phone_number_id if row else username


def _recipient(
    where: str,
    entry: MonoChatRecipient,
    default: MonoChatContent | None,
    by_default: bool,
    faults: Faults,
) -> Recipient:
    if (entry.username is not None) + (entry.userId is not None) + (entry.sessionId is not None) != 1:
        faults.add(where, "needs exactly one of username, userId, sessionId", Kind.COMBINATION)
        return Recipient(where)
    if entry.username is not None and not _is_without_plus(entry.username):
        username = strict_json.under(where, "username")
        told = f"must be a number without +, like 905554443301; got {phone.quoted(entry.username)}"
        faults.add(username, told)
        return Recipient(where)
    own = entry.payload
    if own is None:
        if default is None:
            faults.add(f"{where}.payload", f"is required where there is no {_DEFAULT}", Kind.COMBINATION)
            return Recipient(where)
        return Recipient(
            where, entry.username, contact=entry.userId, conversation=entry.sessionId, content=_DEFAULT
        )
    # The nearest word on merging holds.
    word = entry.isMerge if entry.isMerge is not None else own.isMerge
    merges = by_default if word is None else word
    place = f"{where}.payload"
    if not (merges and default):
        _check_complete(own, place, faults)
    ref = _ref(own)
    if ref.variables is not None:
        check_depth(f"{place}.template.variables", ref.variables, _DEEPEST_VARIABLES, faults)
    return Recipient(
        where=where,
        to=entry.username,
        variables=ref.variables,
        template=ref if ref.name or ref.language or not merges else None,
        contact=entry.userId,
        conversation=entry.sessionId,
        inherits=merges,
        content=place,
    )


def _is_without_plus(username: str) -> bool:
    return phone.prefix(username) != "+" and not phone.is_user_id(username.strip())


def _check_complete(payload: MonoChatContent, where: str, faults: Faults) -> None:
    """A payload that inherits nothing must say what it is and which template it means."""
    if payload.type is None:
        faults.add(f"{where}.type", "is required")
    if payload.template is None or payload.template.templateName is None:
        faults.add(f"{where}.template.templateName", "is required")


def _ref(payload: MonoChatContent | None) -> TemplateRef:
    template = payload.template if payload else None
    if template is None:
        return TemplateRef()
    # The vendor writes tr-TR for what Meta registers as tr_TR.
    language = template.languageCode and template.languageCode.replace("-", "_")
    variables = template.variables and [_known(component) for component in template.variables]
    return TemplateRef(template.templateName, language, variables)


def _known(component: dict[str, Any]) -> dict[str, Any]:
    """A component without fields the vendor's page does not give it, and without empty ones."""
    if component.keys() == _COMPONENT and component["parameters"] is not None:
        return component
    field = "cards" if str(component.get("type")).upper() == "CAROUSEL" else "parameters"
    known = {name: component[name] for name in ("type", field) if component.get(name) is not None}
    cards = known.get("cards")
    if isinstance(cards, list):
        known["cards"] = [_known_card(card) for card in cards]
    return known


def _known_card(card: Any) -> Any:
    components = card.get("components") if isinstance(card, dict) else None
    if not isinstance(components, list):
        return {} if components is None and isinstance(card, dict) else card
    return {"components": [_known(c) if isinstance(c, dict) else c for c in components]}


def _arrange(slots: Slots, variables: Variables, at: str, faults: Faults) -> Variables:
    """Buttons by their position among all, from their order among those that take a value."""
    arranged = dict(variables)
    if "BUTTONS" in variables:
        arranged["BUTTONS"] = _by_position(slots, variables["BUTTONS"], at, faults)
    if "CAROUSEL" in variables:
        given = variables["CAROUSEL"]
        cards = [_arrange(*pair, at, faults) for pair in zip(slots.cards, given, strict=False)]
        arranged["CAROUSEL"] = cards + given[len(cards) :]
    return arranged


def _by_position(slots: Slots, given: Any, at: str, faults: Faults) -> dict[str, Any]:
    values = given if isinstance(given, dict) else {str(i): value for i, value in enumerate(given, 1)}
    positions = {str(i): str(b.index) for i, b in enumerate((b for b in slots.buttons if b.needed), 1)}
    strange = next((key for key in values if key not in positions), None)
    if strange is not None:
        faults.add(at, f"BUTTONS has {len(positions)} that take a value, there is no {strange[:40]}")
    return {positions[key]: value for key, value in values.items() if key in positions}


SEND = {
    "channelUsername": "15550101",
    "connectorBrand": "whatsapp",
    "defaultPayload": {
        "type": "template",
        "isMerge": True,
        "template": {"templateName": "appointment", "languageCode": "en"},
    },
    "recipients": [
        {
            "username": "905554443301",
            "payload": {
                "template": {
                    "variables": [{"type": "BODY", "parameters": ["Ana", "Monday", "10:00", "papers"]}]
                }
            },
        }
    ],
}
REFERENCE = {"bulkMessageId": "k3j2h5g8f9d0s1a7q4w6"}
