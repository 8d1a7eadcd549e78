"""MonoChat's API: bulk template messages with payloads that merge, their statistics, their end.

From its page: everything is a POST under a workspace's slug, and a broadcast is found only under
its own. Buttons are counted among those that take a value; a receipt moves no counter.
"""

import re
import secrets
from string import ascii_lowercase, digits
from typing import Annotated, Any, Literal

import falcon
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json, timestamps
from broadcaster.domain.templates import Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.errors import Faults, Kind, NotFound
from broadcaster.services import progress, steering
from broadcaster.services.progress import Progress
from broadcaster.services.specs import Action, Names, Recipient, Spec
from broadcaster.store import channels
from broadcaster.store.models import Broadcast
from broadcaster.web import requests
from broadcaster.web.description import (
    ALWAYS,
    IDEMPOTENT,
    KEY,
    OF_BODIES,
    Face,
    Operation,
)

NAME = "monochat"
TOKEN_PREFIX = None

_ROOT = "/api/{slug}/custom-functions/bulk-message-api-app/api/bulk-message"
_PATH = re.compile(_ROOT.replace("{slug}", "[^/]*") + "/.*")
_DEEPEST_VARIABLES = 16
_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    413: "payloadTooLarge",
    415: "unsupportedMediaType",
    422: "idempotencyKeyReused",
    500: "internalError",
    503: "serviceUnavailable",
}
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


def speaks(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def add_routes(app: falcon.App, context: requests.Context) -> None:
    app.add_route(_ROOT + "/send.js", Send(context))
    app.add_route(_ROOT + "/stats.js", Stats(context))
    app.add_route(_ROOT + "/stop.js", Stop(context))


def refuse(response: falcon.Response, refusal: requests.Refusal) -> None:
    """A code, a sentence, and the faults of the input."""
    status, code, told = refusal.status, _CODES.get(refusal.status, "schema-error"), refusal.detail
    if isinstance(refusal.cause, NotFound):
        code = "bulkMessageNotFound"
    kinds = refusal.faults.kinds if refusal.faults else set()
    if kinds and Kind.INPUT not in kinds:
        if Kind.CHANNEL_UNKNOWN in kinds:
            status, code, told = 404, "channelNotFound", "Channel not found"
        elif Kind.CHANNEL_UNVERIFIED in kinds:
            code, told = "channelNotVerified", "Channel is not verified"
        elif not kinds & {Kind.TEMPLATE_UNKNOWN, Kind.TEMPLATE_UNAPPROVED}:
            code = "invalidRequest"
    details = requests.shown(refusal.faults) if refusal.faults else []
    requests.answer(response, {"error": code, "message": told, "details": details}, status)


# Requests


class _Shape(BaseModel):
    # Clients may send fields beyond the documented ones; the vendor passes them over.
    model_config = ConfigDict(extra="ignore", strict=True)


class _TemplateShape(_Shape):
    templateName: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    languageCode: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    variables: requests.Objects | None = None


class _PayloadShape(_Shape):
    type: Literal["template"] | None = None
    template: _TemplateShape | None = None
    isMerge: bool | None = None


class _RecipientShape(_Shape):
    username: Annotated[str, Field(pattern=r"^[0-9]{5,20}$")] | None = None
    userId: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    sessionId: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    payload: _PayloadShape | None = None
    isMerge: bool | None = None


class _ActionShape(_Shape):
    key: Literal["assign-to-user", "assign-to-workgroup"]
    value: Annotated[str, Field(min_length=1, max_length=200)]


class _SendShape(_Shape):
    channelUsername: Annotated[str, Field(pattern=r"^[0-9]{5,20}$")]
    connectorBrand: Literal["whatsapp"]
    title: Annotated[str, Field(max_length=200)] | None = None
    scheduleAt: str | None = None
    defaultPayload: _PayloadShape | None = None
    recipients: list[Any]
    action: _ActionShape | None = None


class _IdShape(_Shape):
    bulkMessageId: str


def send_spec(slug: str, document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a send asks for; what cannot be read is a fault and left out."""
    shape = requests.envelope(_SendShape, document, faults)
    if not slug.isprintable() or len(slug) > 200:
        faults.add("slug", "must be at most 200 printable characters")
    default = shape.defaultPayload
    if default is not None:
        _check_complete(default, _DEFAULT, faults)
    # An unreadable default is a fault already; that recipients lean on it is none of its own.
    given = default or (_PayloadShape() if document.get(_DEFAULT) is not None else None)

    by_default = bool(default and default.isMerge)

    def read(where: str, entry: Any, found: Faults) -> Recipient:
        return _recipient(where, entry, given, by_default, found)

    return Spec(
        channel=_channel(shape.channelUsername),
        template=_ref(default),
        recipients=requests.entries(shape.recipients, "recipients", read, faults),
        title=shape.title or "-",
        due_at=requests.time_of(shape.scheduleAt, "scheduleAt", faults),
        may_be_past=True,
        on_duplicate="reject",
        action=Action(shape.action.key, shape.action.value) if shape.action else None,
        names=_NAMES,
        arrange=_arrange,
        face=NAME,
        face_data={"slug": slug, "username": shape.channelUsername},
    )


def _channel(username: str | None) -> str | None:
    """Meta's id of the channel with this number, or the number as it is, which will not be found."""
    row = channels.with_number(username) if username is not None else None
    return row.phone_number_id if row else username


def _recipient(
    where: str, entry: Any, default: _PayloadShape | None, by_default: bool, faults: Faults
) -> Recipient:
    shape = requests.shaped(_RecipientShape, entry, where, faults)
    if shape is None:
        return Recipient(where)
    if (shape.username is not None) + (shape.userId is not None) + (shape.sessionId is not None) != 1:
        faults.add(where, "needs exactly one of username, userId, sessionId", Kind.COMBINATION)
        return Recipient(where)
    own = shape.payload
    if own is None:
        if default is None:
            faults.add(f"{where}.payload", f"is required where there is no {_DEFAULT}", Kind.COMBINATION)
            return Recipient(where)
        return Recipient(
            where, shape.username, contact=shape.userId, conversation=shape.sessionId, content=_DEFAULT
        )
    # The nearest word on merging holds.
    word = shape.isMerge if shape.isMerge is not None else own.isMerge
    merges = by_default if word is None else word
    place = f"{where}.payload"
    if not (merges and default):
        _check_complete(own, place, faults)
    ref = _ref(own)
    if ref.variables is not None:
        requests.check_depth(f"{place}.template.variables", ref.variables, _DEEPEST_VARIABLES, faults)
    return Recipient(
        where=where,
        to=shape.username,
        variables=ref.variables,
        template=ref if ref.name or ref.language or not merges else None,
        contact=shape.userId,
        conversation=shape.sessionId,
        inherits=merges,
        content=place,
    )


def _check_complete(payload: _PayloadShape, where: str, faults: Faults) -> None:
    """A payload that inherits nothing must say what it is and which template it means."""
    if payload.type is None:
        faults.add(f"{where}.type", "is required")
    if payload.template is None or payload.template.templateName is None:
        faults.add(f"{where}.template.templateName", "is required")


def _ref(payload: _PayloadShape | None) -> TemplateRef:
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


# Calls


class _Resource:
    def __init__(self, context: requests.Context):
        self.context = context
        self.settings = context.settings


class Send(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response, slug: str) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "broadcasts:write")

        def read(document: dict[str, Any], faults: Faults) -> Spec:
            return send_spec(slug, document, faults)

        accepted = requests.accept(self.context, request, caller, read, _accepted, now, _new_id())
        requests.answer(response, accepted.answer)


class Stats(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response, slug: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:read")
        tracked = progress.of(_asked_for(request, slug), now, NAME)
        requests.answer(response, _stats(tracked))


class Stop(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response, slug: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:write")
        steering.stop(_asked_for(request, slug), now)
        requests.answer(response, {})


def _asked_for(request: falcon.Request, slug: str) -> str:
    """The id in the body; raises NotFound unless it is a broadcast of this workspace."""
    faults = Faults()
    document = requests.json_object(requests.body(request), faults)
    public_id = requests.valid(_IdShape, document, faults).bulkMessageId
    facts = progress.facts(public_id, NAME)
    if _remembered(facts)["slug"] != slug:
        raise NotFound(f'there is no bulk message "{public_id[:60]}"')
    return public_id


def _remembered(facts: Broadcast) -> dict[str, str]:
    """What send_spec() left with the broadcast."""
    found: dict[str, str] = strict_json.loads((facts.face_data or "{}").encode())
    return found


# Answers


def _accepted(tracked: Progress) -> str:
    return strict_json.dumps({"bulkMessageId": tracked.facts.public_id})


def _stats(tracked: Progress) -> dict[str, Any]:
    facts, states = tracked.facts, tracked.counts.states
    given = _remembered(facts)
    moments = (facts.created_at, facts.started_at, facts.paused_at, facts.stopped_at, facts.finished_at)
    return {
        "bulkMessage": {
            "_id": facts.public_id,
            "slug": given["slug"],
            "title": facts.title,
            "channelUsername": given["username"],
            "connectorBrand": "whatsapp",
            "connectorSlug": "whatsapp-cloud",
            "payload": {
                "recipientCount": tracked.counts.total,
                "defaultPayloadType": "template",
                "jobId": facts.task_id,
            },
            "schedule": {
                "date": timestamps.format_time(facts.due_at),
                "type": "later" if facts.scheduled else "now",
            },
            "createdAt": timestamps.format_time(facts.created_at),
            "updatedAt": timestamps.format_time(max(moment for moment in moments if moment is not None)),
        },
        "stats": {
            "pending": tracked.counts.open,
            "success": states["sent"],
            "failed": states["failed"],
            "cancelled": states["cancelled"],
            "total": tracked.counts.total,
        },
    }


def _new_id() -> str:
    return "".join(secrets.choice(ascii_lowercase + digits) for _ in range(20))


# Description


_DOC_ID = "k3j2h5g8f9d0s1a7q4w6"
_AT = "2026-06-10T07:00:00.000Z"
_FORM = {
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
_FOUND = {
    "bulkMessage": {"_id": _DOC_ID, "slug": "shop", "title": "Orders", "createdAt": _AT, "updatedAt": _AT},
    "stats": {"pending": 0, "success": 1, "failed": 0, "cancelled": 0, "total": 1},
}
_POSTED = (*OF_BODIES, 404, *ALWAYS)


def _asking(name: str, summary: str, scope: str, answer: Any) -> Operation:
    sample = {"bulkMessageId": _DOC_ID}
    path = f"{_ROOT}/{name}.js"
    return Operation("post", path, summary, (scope,), {200: answer}, _POSTED, body=_IdShape, sample=sample)


FACE = Face(
    "MonoChat",
    (
        Operation(
            "post",
            f"{_ROOT}/send.js",
            "Accept a broadcast",
            ("broadcasts:write",),
            {200: {"bulkMessageId": _DOC_ID}},
            (*_POSTED, *IDEMPOTENT),
            (),
            (KEY,),
            _SendShape,
            ("recipients", _RecipientShape),
            _FORM,
        ),
        _asking("stats", "Where a broadcast stands", "broadcasts:read", _FOUND),
        _asking("stop", "Cancel what has not left", "broadcasts:write", {}),
    ),
    {
        "error": "schema-error",
        "message": "recipients[0].username: must be digits",
        "details": [{"field": "recipients[0].username", "message": "must be digits"}],
    },
)
