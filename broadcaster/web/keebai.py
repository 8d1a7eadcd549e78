"""Keebai's API: bulk template messages and single ones as broadcasts of one, by id.

From its reference pages: snake_case, error codes in capitals, times to the millisecond. The same
number twice is two messages; a recipient without a variable fails alone.
"""

import re
import secrets
from typing import Annotated, Any

import falcon
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json, templates, timestamps
from broadcaster.domain.templates import Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import BroadcastStage
from broadcaster.errors import Faults, Kind
from broadcaster.services import progress
from broadcaster.services.progress import Progress
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.store import channels, statuses
from broadcaster.web import requests
from broadcaster.web.description import (
    ALWAYS,
    IDEMPOTENT,
    KEY,
    OF_BODIES,
    Face,
    Operation,
)

NAME = "keebai"
TOKEN_PREFIX = "kbai_pk"

_BULK, _TEMPLATE = "/v1/messages/bulk", "/v1/messages/template"
_STATUS_OF_STAGE: dict[BroadcastStage, str] = {
    "waiting": "PENDING",
    "under way": "IN_PROGRESS",
    "completed": "COMPLETED",
    "partial": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
_CODES = {
    401: "UNAUTHORIZED",
    403: "INSUFFICIENT_SCOPE",
    404: "BROADCAST_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "IDEMPOTENCY_KEY_REUSED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
_CODE_OF_KIND = {
    Kind.CHANNEL_UNKNOWN: (404, "CHANNEL_NOT_FOUND"),
    Kind.TEMPLATE_UNKNOWN: (404, "TEMPLATE_NOT_FOUND"),
    Kind.TEMPLATE_UNAPPROVED: (400, "TEMPLATE_NOT_APPROVED"),
}
_ID = re.compile(r"[0-9a-f]{24}", re.ASCII | re.IGNORECASE)


def speaks(path: str) -> bool:
    return path in (_BULK, _TEMPLATE) or re.fullmatch(rf"{_BULK}/[^/]*", path) is not None


def add_routes(app: falcon.App, context: requests.Context) -> None:
    app.add_route(_BULK, Bulk(context))
    app.add_route(_BULK + "/{broadcast_id}", Broadcast(context))
    app.add_route(_TEMPLATE, Single(context))


def refuse(response: falcon.Response, refusal: requests.Refusal) -> None:
    """A code and a sentence, and for faults of the input all of them."""
    status, code = refusal.status, _CODES.get(refusal.status, "VALIDATION_ERROR")
    kinds = refusal.faults.kinds if refusal.faults else set()
    if Kind.INPUT not in kinds:
        told = [_CODE_OF_KIND[kind] for kind in _CODE_OF_KIND if kind in kinds]
        status, code = told[0] if told else (status, code)
    details = requests.shown(refusal.faults) if refusal.faults else []
    _answer_error(response, status, code, refusal.detail, details)


def _answer_error(
    response: falcon.Response, status: int, code: str, message: str, details: list[dict[str, str]]
) -> None:
    requests.answer(response, {"error": {"code": code, "message": message, "details": details}}, status)


# Requests


class _Shape(BaseModel):
    # Clients may send fields beyond the documented ones; the vendor passes them over.
    model_config = ConfigDict(extra="ignore", strict=True)


class _RecipientShape(_Shape):
    to: Annotated[str, Field(max_length=200)]
    variables: requests.Texts | None = None
    meta_data: dict[str, Any] | None = None


class _EnvelopeShape(_Shape):
    template_name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)]
    channel_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    phone_number_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class _BulkShape(_EnvelopeShape):
    campaign_name: Annotated[str, Field(max_length=200)] | None = None
    schedule_at: str | None = None
    recipients: list[Any]


class _SingleShape(_EnvelopeShape, _RecipientShape):
    """One message is envelope and recipient in one."""


def bulk_spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a bulk call asks for; what cannot be read is a fault and left out."""
    shape = requests.envelope(_BulkShape, document, faults)
    _check_channel(document, faults)
    recipients = requests.entries(shape.recipients, "recipients", _recipient, faults)
    due_at = requests.time_of(shape.schedule_at, "schedule_at", faults)
    return _spec(shape, recipients, shape.campaign_name, due_at)


def single_spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast of one that a template call asks for."""
    shape = requests.envelope(_EnvelopeShape, document, faults)
    _check_channel(document, faults)
    return _spec(shape, [_recipient("", document, faults)], None, None)


def _spec(
    shape: _EnvelopeShape,
    recipients: list[Recipient] | None,
    title: str | None,
    due_at: int | None,
) -> Spec:
    # Without a language there is no saying which template is meant.
    name = shape.template_name if shape.language else None
    field = "channel_id" if shape.channel_id is not None else "phone_number_id"
    return Spec(
        channel=_channel(shape),
        template=TemplateRef(name, shape.language),
        recipients=recipients,
        title=title or f"{shape.template_name} {timestamps.format_time(epoch_ms())}",
        due_at=due_at,
        on_duplicate="allow",
        on_invalid="fail",
        names=Names(channel=field, due_at="schedule_at", template="template_name", language="language"),
        arrange=_arrange,
        face=NAME,
    )


def _check_channel(document: dict[str, Any], faults: Faults) -> None:
    if document.get("channel_id") is None and document.get("phone_number_id") is None:
        faults.add("channel_id", "is required, or phone_number_id")


def _channel(shape: _EnvelopeShape) -> str | None:
    """Meta's id of the number: either field may hold it, or our own number for the channel."""
    given = shape.channel_id or shape.phone_number_id
    if given is None:
        return None
    if channels.find(given) is None and re.fullmatch("[0-9]{1,9}", given, re.ASCII):
        row = channels.find_by_id(int(given))
        return row.phone_number_id if row else given
    return given


def _recipient(where: str, entry: Any, faults: Faults) -> Recipient:
    shape = requests.shaped(_RecipientShape, entry, where, faults)
    if shape is None:
        return Recipient(where)
    to = strict_json.under(where, "to")
    if not shape.to.startswith("+"):
        faults.add(to, f'must be a number in E.164 with its +, like +905554443301; got "{shape.to[:40]}"')
        return Recipient(where)
    requests.check_depth(
        strict_json.under(where, "meta_data"), shape.meta_data, strict_json.MAX_DEPTH, faults
    )
    return Recipient(where, shape.to, shape.variables, metadata=shape.meta_data)


def _arrange(slots: Slots, variables: Variables, _at: str, _faults: Faults) -> Variables:
    """Only what is missing fails a recipient here; a value nobody asked for hurts nobody."""
    ours = {place.name.replace(".", "_"): place.name for place in slots.places}
    given = variables.get("BODY", {})
    return templates.spread(slots, {ours[name]: value for name, value in given.items() if name in ours})


# Calls


class _Resource:
    def __init__(self, context: requests.Context):
        self.context = context
        self.settings = context.settings


class Bulk(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "messages:bulk", "broadcasts:write")
        accepted = requests.accept(self.context, request, caller, bulk_spec, _accepted, now, _new_id(now))
        requests.answer(response, accepted.answer, 202)


class Single(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "messages:send", "broadcasts:write")
        accepted = requests.accept(self.context, request, caller, single_spec, _accepted, now, _new_id(now))
        requests.answer(response, accepted.answer, 202)


class Broadcast(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, broadcast_id: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "messages:bulk", "broadcasts:read")
        if not _ID.fullmatch(broadcast_id):
            told = f'a broadcast id has 24 hexadecimal digits, not "{broadcast_id[:60]}"'
            _answer_error(response, 400, "INVALID_BROADCAST_ID", told, [])
            return
        tracked = progress.of(broadcast_id.lower(), now, NAME)
        requests.answer(response, _progress(tracked))


# Answers


def _accepted(tracked: Progress) -> str:
    facts = tracked.facts
    document = {
        "broadcast_id": facts.public_id,
        "status": "PENDING",
        "total_recipients": tracked.counts.total,
        "scheduled_at": timestamps.format_time(facts.due_at) if facts.scheduled else None,
    }
    return strict_json.dumps(document)


def _progress(tracked: Progress) -> dict[str, Any]:
    facts, counts = tracked.facts, tracked.counts
    return {
        "broadcast_id": facts.public_id,
        "status": _STATUS_OF_STAGE[statuses.stage(facts, counts)],
        "total_recipients": counts.total,
        "sent": counts.sent_in_all,
        "failed": counts.failed_in_all,
        "pending": counts.open,
        "started_at": timestamps.format_time(facts.started_at),
        "completed_at": timestamps.format_time(facts.finished_at),
    }


def _new_id(now: int) -> str:
    """24 hexadecimal digits that begin with the time in seconds, as the vendor's do."""
    return f"{now // 1000:08x}{secrets.token_hex(8)}"


# Description


_AT = "2026-06-10T07:00:00.000Z"
_DOC_ID = "66670a3c1f9b2a0012c4d5e6"
_PERSON = {"to": "+905554443301", "variables": {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"}}
_FORM = {"channel_id": "100000000000001", "template_name": "appointment", "language": "en"}
_TAKEN = {"broadcast_id": _DOC_ID, "status": "PENDING", "total_recipients": 1, "scheduled_at": _AT}
_COUNTS = {"sent": 1, "failed": 0, "pending": 0, "started_at": _AT, "completed_at": _AT}
_POSTED = (*OF_BODIES, 404, *IDEMPOTENT, *ALWAYS)

FACE = Face(
    "Keebai",
    (
        Operation(
            "post",
            _BULK,
            "Accept a broadcast",
            ("messages:bulk", "broadcasts:write"),
            {202: _TAKEN},
            _POSTED,
            (),
            (KEY,),
            _BulkShape,
            ("recipients", _RecipientShape),
            _FORM | {"recipients": [_PERSON]},
        ),
        Operation(
            "get",
            _BULK + "/{broadcast_id}",
            "Where a broadcast stands",
            ("messages:bulk", "broadcasts:read"),
            {200: {"broadcast_id": _DOC_ID, "status": "COMPLETED", "total_recipients": 1, **_COUNTS}},
            (400, 404, *ALWAYS),
        ),
        Operation(
            "post",
            _TEMPLATE,
            "Send one message",
            ("messages:send", "broadcasts:write"),
            {202: _TAKEN},
            _POSTED,
            (),
            (KEY,),
            _SingleShape,
            None,
            _FORM | _PERSON,
        ),
    ),
    {
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "recipients[0].to: must begin with +",
            "details": [{"field": "recipients[0].to", "message": "must begin with +"}],
        }
    },
)
