"""Mindo's API: bulk and single template messages, progress and messages in numbered pages.

From its reference pages: statuses in capitals, tiers spelled out, times to the second. What it
leaves open is decided as Django REST does, which its answers look like.
"""

import math
import re
import uuid
from collections.abc import Collection
from datetime import date
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import falcon
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.clock import epoch_ms
from broadcaster.domain import pacing, strict_json, templates, timestamps
from broadcaster.domain.templates import Place, Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import BroadcastStage
from broadcaster.errors import Faults, Invalid, Kind, NotFound
from broadcaster.services import progress, single_send, submit
from broadcaster.services.progress import Progress
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.store import (
    allowance,
    broadcasts,
    channels,
    contacts,
    definitions,
    messages,
    statuses,
    tokens,
)
from broadcaster.store.models import Broadcast, Channel, Message, Template
from broadcaster.web import requests
from broadcaster.web.description import (
    ALWAYS,
    IDEMPOTENT,
    KEY,
    OF_BODIES,
    Face,
    Operation,
    Parameter,
    choice,
    integer,
)

NAME = "mindo"
TOKEN_PREFIX = "mindo"

_ROOT = "/api/v1/meta-templates"
_ACCOUNTS = "/api/v1/business-accounts"
_SINGLE = "mindo/send"
"""The face of single sends, which the list of bulk sends does not show."""
_LANGUAGE = "es"
_PAGE_SIZE, _LARGEST_PAGE = 20, 100
_MINUTE = 60
_DAY = 86_400_000

_STATUS_OF_STAGE: dict[BroadcastStage, str] = {
    "waiting": "QUEUED",
    "under way": "PROCESSING",
    "completed": "COMPLETED",
    "partial": "PARTIAL",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
_STAGE_OF_STATUS = {status: stage for stage, status in _STATUS_OF_STAGE.items()}
_NAMES = Names(channel="phone_number_id", template="template_name", language="language", to="phone")
_SINGLE_NAMES = Names(
    channel="phone_number_id", template="template_name", language="language", to="recipient_phone"
)
_BUTTON = re.compile(r"button_[0-9]{1,2}")


def speaks(path: str) -> bool:
    return path.startswith((_ROOT, _ACCOUNTS))


def add_routes(app: falcon.App, context: requests.Context) -> None:
    for path, resource in (
        ("/send-bulk", SendBulk(context)),
        ("/send", Send(context)),
        ("/bulk-sends", BulkSends(context)),
        ("/bulk-sends/{bulk_send_id}", BulkSend(context)),
        ("/bulk-sends/{bulk_send_id}/messages", BulkSendMessages(context)),
    ):
        app.add_route(_ROOT + path, resource)
        app.add_route(_ROOT + path + "/", resource)
    app.add_route(_ROOT + "/messages/{wamid:path}", OneMessage(context))
    app.add_route(_ACCOUNTS, BusinessAccounts(context))
    app.add_route(_ACCOUNTS + "/", BusinessAccounts(context))


def refuse(response: falcon.Response, refusal: requests.Refusal) -> None:
    """One sentence and, for faults of the input, their messages by field."""
    details: dict[str, list[str]] = {}
    status = refusal.status
    if refusal.faults is not None:
        for fault in refusal.faults.shown:
            details.setdefault(fault.field, []).append(fault.message)
        unknown = refusal.faults.kinds & {Kind.CHANNEL_UNKNOWN, Kind.TEMPLATE_UNKNOWN}
        status = 404 if unknown and Kind.INPUT not in refusal.faults.kinds else status
    requests.answer(response, {"error": refusal.detail, "details": details}, status)


# Requests


class _Shape(BaseModel):
    # Fields it does not know have always been passed over by the vendor; clients may send some.
    model_config = ConfigDict(extra="ignore", strict=True)


class _RecipientShape(_Shape):
    phone: Annotated[str, Field(max_length=200)]
    variables: requests.Texts | None = None
    button_variables: requests.Texts | None = None


class _EnvelopeShape(_Shape):
    phone_number_id: Annotated[str, Field(min_length=1, max_length=100)]
    template_name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class _BulkShape(_EnvelopeShape):
    recipients: list[Any]


class _SingleShape(_EnvelopeShape):
    recipient_phone: Annotated[str, Field(max_length=200)]
    variables: requests.Texts | None = None
    button_variables: requests.Texts | None = None


def bulk_spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a send-bulk asks for; what cannot be read is a fault and left out."""
    shape = requests.envelope(_BulkShape, document, faults)
    recipients = requests.entries(shape.recipients, "recipients", _recipient, faults)
    return _spec(shape, recipients, NAME, _NAMES)


def single_spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast of one that a send asks for."""
    shape = requests.envelope(_SingleShape, document, faults)
    flat = _flat(shape.variables, shape.button_variables, "", faults)
    to = _international(shape.recipient_phone, "recipient_phone", faults)
    return _spec(shape, [Recipient("", to, flat)], _SINGLE, _SINGLE_NAMES, submit.HIGH)


def _spec(
    shape: _EnvelopeShape,
    recipients: list[Recipient] | None,
    face: str,
    names: Names,
    priority: int = submit.NORMAL,
) -> Spec:
    return Spec(
        channel=shape.phone_number_id,
        template=TemplateRef(shape.template_name, shape.language or _LANGUAGE),
        recipients=recipients,
        title=shape.template_name,
        priority=priority,
        names=names,
        arrange=_arrange,
        face=face,
    )


def _recipient(where: str, entry: Any, faults: Faults) -> Recipient:
    shape = requests.shaped(_RecipientShape, entry, where, faults)
    if shape is None:
        return Recipient(where)
    flat = _flat(shape.variables, shape.button_variables, where, faults)
    return Recipient(where, _international(shape.phone, f"{where}.phone", faults), flat)


def _international(number: str | None, where: str, faults: Faults) -> str | None:
    if number is not None and not number.startswith("+"):
        faults.add(where, f'must begin with + and the country code, like +5491100001111; got "{number[:40]}"')
        return None
    return number


def _flat(
    variables: dict[str, str] | None, buttons: dict[str, str] | None, where: str, faults: Faults
) -> dict[str, str]:
    """All values of a message in one map; a button's name is its position among all buttons."""
    for name in buttons or ():
        if not _BUTTON.fullmatch(name):
            faults.add(
                strict_json.under(where, "button_variables"), f'takes button_0, button_1 ..., not "{name}"'
            )
    return {**(variables or {}), **(buttons or {})}


def _arrange(slots: Slots, variables: Variables, at: str, faults: Faults) -> Variables:
    ours = {_flat_name(place): place for place in slots.places}
    given = {ours[name].name if name in ours else name: v for name, v in variables.get("BODY", {}).items()}
    buttons_at = f"{at.removesuffix('variables')}button_variables"
    for name in [name for name in given if _BUTTON.fullmatch(name)]:
        faults.add(buttons_at, f"the template has no {name} that takes a value")
        del given[name]
    for name, place in ours.items():
        if place.component == "BUTTONS" and place.required and place.name not in given:
            faults.add(buttons_at, f"needs {name}")
            # Said here, under the name callers know; any value keeps it from being said again.
            given[place.name] = name
    return templates.spread(slots, given)


def _flat_name(place: Place) -> str:
    """What callers call a place: button_0, card_1_header."""
    return place.name.replace(".", "_")


# Calls


class _Resource:
    def __init__(self, context: requests.Context):
        self.context = context
        self.settings = context.settings


class SendBulk(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "broadcasts:write")
        accepted = requests.accept(
            self.context,
            request,
            caller,
            bulk_spec,
            lambda tracked: strict_json.dumps(_queued(tracked)),
            now,
        )
        requests.answer(response, accepted.answer, 202)


class Send(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "messages:send", "broadcasts:write")

        def start() -> str:
            return requests.accept(
                self.context, request, caller, single_spec, lambda tracked: tracked.facts.public_id, now
            ).id

        row = single_send.outcome(start)
        if row.state == "sent":
            requests.answer(response, _sent(row))
        elif row.state in ("pending", "sending", "unknown"):
            told = "Meta's answer did not come; the message may have been sent, do not send it again"
            requests.answer(response, {"error": told, "details": {"id": row.id}}, 504)
        elif row.state == "failed" or _is_refused(row):
            _answer_refused(response, row)
        else:
            _answer_withdrawn(response, row)


def _is_refused(row: Message) -> bool:
    """Whether a withdrawn message had been answered with what holds its broadcast or channel back."""
    broadcast = broadcasts.get(row.broadcast_id)
    is_held = broadcast.paused_at or channels.get(broadcast.channel_id).paused_at
    return row.error_code is not None and is_held is not None


def _answer_refused(response: falcon.Response, row: Message) -> None:
    text = row.error_code or ""
    details = {"code": int(text) if text.isdecimal() else text, "message": row.error_text}
    told = f"Meta refused the message: {row.error_text}"
    requests.answer(response, {"error": told, "details": details}, 400)


def _answer_withdrawn(response: falcon.Response, row: Message) -> None:
    response.set_header("Retry-After", "10")
    details = {"code": row.error_code, "message": row.error_text} if row.error_code else {}
    told = "the message could not be sent within 10 seconds and was withdrawn"
    requests.answer(response, {"error": told, "details": details}, 503)


class BulkSends(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:read")
        page = _page(request)
        faults = Faults()
        wanted = _search(request, faults)
        if faults:
            raise Invalid(faults)
        count, rows = broadcasts.search(wanted, page.offset, page.size) if wanted else (0, [])
        described = [_row(tracked) for tracked in progress.of_each(rows, now)]
        requests.answer(response, _listed(request, self.settings.public_url, page, count, described))


class BulkSend(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, bulk_send_id: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:read")
        tracked = progress.of(_uuid(bulk_send_id), now, NAME)
        requests.answer(response, _progress(tracked))


class BulkSendMessages(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, bulk_send_id: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        page = _page(request)
        status = _one_of(request, "status", statuses.STANDINGS)
        broadcast = progress.facts(_uuid(bulk_send_id), NAME)
        count, rows = messages.search(broadcast.id, status, page.offset, page.size)
        described = [_message_row(row) for row in rows]
        requests.answer(response, _listed(request, self.settings.public_url, page, count, described))


class OneMessage(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, wamid: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        try:
            row, public_id = progress.find_message(wamid)
        except NotFound:
            row, public_id = progress.find_message(wamid.removesuffix("/"))
        requests.answer(response, _message(row, progress.facts(public_id)))


class BusinessAccounts(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "channels:read")
        caller.require("templates:read")
        rows = channels.all_channels()
        accounts = list(dict.fromkeys(channel.waba_id for channel in rows))
        document = {
            "companyName": rows[0].verified_name or "" if rows else "",
            "apiKeyName": caller.name,
            "businessAccounts": [
                self._account([c for c in rows if c.waba_id == waba_id], now) for waba_id in accounts
            ],
        }
        requests.answer(response, document)

    def _account(self, numbers: list[Channel], now: int) -> dict[str, Any]:
        waba_id = numbers[0].waba_id
        rows = definitions.page(waba_id, None, 0, 100_000)
        return {
            "businessAccountId": waba_id,
            "businessName": numbers[0].verified_name or "",
            "phoneNumbers": [self._number(channel, channel is numbers[0], now) for channel in numbers],
            "templates": [_template(row) for row in rows if row.status == "APPROVED"],
        }

    def _number(self, channel: Channel, is_primary: bool, now: int) -> dict[str, Any]:
        quota = progress.quota(channel, 1, now)
        reached = allowance.people_reached(channel.portfolio, now - _DAY)
        return {
            "id": channel.id,
            "phoneNumberId": channel.phone_number_id,
            "displayPhoneNumber": channel.display_phone_number or "",
            "verifiedName": channel.verified_name or "",
            "isPrimary": is_primary,
            "messagingLimitTier": _tier(quota.tier),
            "quota": {
                "dailyLimit": quota.total,
                "uniqueNumbersSent24h": reached,
                "remaining": quota.available,
                "usagePercentage": round(100 * reached / quota.total, 2) if quota.total else 0.0,
                "canSend": quota.available is None or quota.available > 0,
            },
        }


# Queries


class _Page(NamedTuple):
    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


def _page(request: falcon.Request) -> _Page:
    """The page asked for; raises NotFound for one that cannot be, Invalid for a size that is none."""
    number, size = _given(request, "page") or "1", _given(request, "page_size")
    if not _is_count(number):
        raise NotFound("there is no such page")
    if size is not None and not _is_count(size):
        raise _invalid("page_size", f"must be a whole number from 1 to {_LARGEST_PAGE}")
    return _Page(int(number), min(int(size), _LARGEST_PAGE) if size else _PAGE_SIZE)


def _given(request: falcon.Request, name: str) -> str | None:
    """A filter of the query; an empty one filters nothing."""
    return request.get_param(name) or None


def _is_count(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII) is not None


def _one_of(request: falcon.Request, name: str, choices: Collection[requests.Word]) -> requests.Word | None:
    value = _given(request, name)
    chosen = next((choice for choice in choices if choice == value), None)
    if value is not None and chosen is None:
        raise _invalid(name, f"must be one of {', '.join(choices)}")
    return chosen


def _invalid(name: str, message: str) -> Invalid:
    faults = Faults()
    faults.add(name, message)
    return Invalid(faults)


def _search(request: falcon.Request, faults: Faults) -> broadcasts.Search | None:
    """Which bulk sends are wanted; None for a template there is not."""
    status = _given(request, "status")
    if status is not None and status not in _STAGE_OF_STATUS:
        faults.add("status", f"must be one of {', '.join(_STAGE_OF_STATUS)}")
    template = None
    template_id = _given(request, "template")
    if template_id is not None:
        if not _is_count(template_id):
            faults.add("template", "must be the id of a template")
        else:
            template = definitions.get(int(template_id))
            if template is None:
                return None
    return broadcasts.Search(
        face=NAME,
        stage=_STAGE_OF_STATUS.get(status or ""),
        template=(template.waba_id, template.name, template.language) if template else None,
        created_from=_day(request, "created_after", faults),
        created_before=_day(request, "created_before", faults),
    )


def _day(request: falcon.Request, name: str, faults: Faults) -> int | None:
    """The beginning of a day in UTC, epoch milliseconds."""
    text = _given(request, name)
    if text is None:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        return (date.fromisoformat(text) - date(1970, 1, 1)).days * _DAY
    except ValueError:
        faults.add(name, "must be a day like 2026-06-10")
        return None


def _uuid(text: str) -> str:
    """The id as we wrote it; raises NotFound for what cannot be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f'there is no bulk send "{text[:60]}"') from None


# Answers


def _queued(tracked: Progress) -> dict[str, Any]:
    facts, total, quota = tracked.facts, tracked.counts.total, tracked.quota
    return {
        "bulk_send_id": facts.public_id,
        "task_id": facts.task_id,
        "status": "queued",
        "template_name": facts.template_name,
        "total_recipients": total + facts.duplicates,
        "unique_recipients": total,
        "estimated_time_minutes": _minutes(total, tracked.pace),
        "created_at": _time(facts.created_at),
        "whatsapp_phone_number": {
            "id": tracked.channel.id,
            "phone_number_id": tracked.channel.phone_number_id,
            "display_phone_number": tracked.channel.display_phone_number or "",
            "verified_name": tracked.channel.verified_name or "",
            "quality_rating": tracked.channel.quality_rating or "UNKNOWN",
            "messaging_limit_tier": _tier(quota.tier),
        },
        "quota_info": {
            "can_send": quota.available is None or total <= quota.available,
            "quota_needed": None if quota.total is None else total,
            "quota_available": quota.available,
            "quota_total": quota.total,
            "tier": _tier(quota.tier),
        },
    }


def _sent(row: Message) -> dict[str, Any]:
    return {
        "success": True,
        "message_id": row.wamid,
        "template_name": broadcasts.get(row.broadcast_id).template_name,
        "recipient_phone": row.recipient,
        "status": "sent",
        "sent_at": _time(row.sent_at),
    }


def _row(tracked: Progress) -> dict[str, Any]:
    facts, counts, channel = tracked.facts, tracked.counts, tracked.channel
    deliveries, total = counts.deliveries, counts.total
    return {
        "id": facts.public_id,
        "status": _STATUS_OF_STAGE[statuses.stage(facts, counts)],
        "template": _template_of(facts, channel.waba_id),
        "phone_number": {
            "id": channel.id,
            "display_phone_number": channel.display_phone_number or "",
            "verified_name": channel.verified_name or "",
        },
        "total_recipients": total,
        "sent_count": counts.sent_in_all,
        "delivered_count": deliveries["delivered"] + deliveries["read"],
        "read_count": deliveries["read"],
        "failed_count": counts.failed_in_all,
        "pending_count": counts.open,
        "progress_percentage": round(100 * (total - counts.open) / total, 2),
        "completed_at": _time(facts.finished_at),
        "created_at": _time(facts.created_at),
    }


def _progress(tracked: Progress) -> dict[str, Any]:
    facts = tracked.facts
    token = tokens.find(facts.token_id) if facts.token_id else None
    author = {"id": facts.token_id, "email": None, "first_name": token.name if token else "", "last_name": ""}
    return _row(tracked) | {
        "estimated_time_minutes": _minutes(tracked.counts.open, tracked.pace),
        "started_at": _time(facts.started_at),
        "created_by": author,
    }


def _template_of(facts: Broadcast, waba_id: str) -> dict[str, Any]:
    row = definitions.find(waba_id, facts.template_name, facts.template_language)
    return {
        "id": row.id if row else None,
        "template_name": facts.template_name,
        "language": facts.template_language,
        "status": row.status if row else "DELETED",
    }


def _message_row(row: Message) -> dict[str, Any]:
    status = statuses.standing(row)
    return {
        "id": row.id,
        "recipient_phone": row.recipient,
        "status": status,
        "meta_message_id": row.wamid,
        "variables_used": _variables(row),
        "sent_at": _time(row.sent_at),
        "delivered_at": _time(row.delivered_at),
        "read_at": _time(row.read_at),
        "error_message": row.error_text if status == "failed" else None,
    }


def _message(row: Message, broadcast: Broadcast) -> dict[str, Any]:
    status = statuses.standing(row)
    failed = status == "failed"
    person = contacts.of(row.recipient)
    template = definitions.find(
        channels.get(broadcast.channel_id).waba_id,
        broadcast.template_name,
        broadcast.template_language,
    )
    return {
        "id": row.id,
        "template": {
            "id": template.id if template else None,
            "name": broadcast.template_name,
            "language": broadcast.template_language,
            "category": template.category if template else None,
        },
        "recipient": {
            "phone": row.recipient,
            "contact_name": person.name if person else None,
            "contact_id": person.id if person else None,
        },
        "variables_used": _variables(row),
        "delivery_status": {
            "current": status,
            "sent_at": _time(row.sent_at),
            "delivered_at": _time(row.delivered_at),
            "read_at": _time(row.read_at),
            "failed_at": _time(row.undelivered_at or row.settled_at) if failed else None,
            "error_code": row.error_code if failed else None,
            "error_message": row.error_text if failed else None,
        },
        "meta_message_id": row.wamid,
        "was_successful": row.state == "sent" and not failed,
        "error_message": row.error_text if failed else None,
        "sent_at": _time(row.sent_at),
    }


def _variables(row: Message) -> dict[str, Any]:
    """What the client sent as variables, without its values for buttons."""
    given = strict_json.loads(row.variables.encode()) if row.variables else {}
    return {k: v for k, v in given.items() if not _BUTTON.fullmatch(k)} if isinstance(given, dict) else {}


def _template(row: Template) -> dict[str, Any]:
    slots = templates.slots(strict_json.loads(row.components.encode()), row.parameter_format)
    return {
        "name": row.name,
        "language": row.language,
        "category": row.category,
        "variables": [
            {
                "name": _flat_name(place),
                "type": place.kind if place.kind in templates.MEDIA else "TEXT",
                "position": position,
                "isRequired": place.required,
                "component": place.component,
            }
            for position, place in enumerate(slots.places, 1)
        ],
    }


def _listed(
    request: falcon.Request, public_url: str | None, page: _Page, count: int, rows: list[Any]
) -> dict[str, Any]:
    """One page in its envelope; raises NotFound for a page past the end."""
    last = max(1, -(-count // page.size))
    if page.number > last:
        raise NotFound("there is no such page")
    base = (public_url or request.prefix).rstrip("/") + request.path

    def link(number: int) -> str:
        return f"{base}?{urlencode({**request.params, 'page': number}, doseq=True)}"

    return {
        "count": count,
        "next": link(page.number + 1) if page.number < last else None,
        "previous": link(page.number - 1) if page.number > 1 else None,
        "results": rows,
    }


def _tier(tier: str) -> str:
    """TIER_1K as the vendor spells it: TIER_1000."""
    size = pacing.tier_size(tier)
    return f"TIER_{size}" if size else "TIER_UNLIMITED"


def _minutes(count: int, pace: float) -> float:
    """How long so many messages take, to the hundredth of a minute above."""
    return math.ceil(count * 100 / (pace * _MINUTE)) / 100


def _time(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC to the second."""
    text = timestamps.format_time(milliseconds)
    return text and text[:19] + "Z"


# Description


_UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_AT = "2026-06-10T07:00:00Z"
_PHONE = "+905554443301"
_ROW = {
    "id": _UUID,
    "status": "PROCESSING",
    "template": {"id": 3, "template_name": "order_update", "language": "en", "status": "APPROVED"},
    "phone_number": {"id": 1, "display_phone_number": "+1 555-0101", "verified_name": "Tea shop"},
    "total_recipients": 300,
    "sent_count": 280,
    "delivered_count": 200,
    "read_count": 60,
    "failed_count": 2,
    "pending_count": 18,
    "progress_percentage": 94.0,
    "completed_at": None,
    "created_at": _AT,
}
_AUTHOR = {"id": "7Hq2mZ0aXk3P", "email": None, "first_name": "crm", "last_name": ""}
_ACCEPTED = {
    "bulk_send_id": _UUID,
    "status": "queued",
    "template_name": "order_update",
    "total_recipients": 300,
    "unique_recipients": 299,
    "estimated_time_minutes": 1,
    "created_at": _AT,
    "whatsapp_phone_number": {
        "id": 1,
        "phone_number_id": "813497231850626",
        "messaging_limit_tier": "TIER_1K",
    },
    "quota_info": {"can_send": True, "quota_needed": 299, "quota_available": 712, "quota_total": 1000},
}
_ONE = {
    "id": 4711,
    "meta_message_id": "wamid.HBgM",
    "was_successful": True,
    "delivery_status": {"current": "read", "sent_at": _AT, "error_code": None},
    "recipient": {"phone": _PHONE, "contact_name": "Ana", "contact_id": 5},
    "variables_used": {"1": "Ana"},
    "sent_at": _AT,
}
_PEOPLE = {"phone": _PHONE, "variables": {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"}}
_FORM = {"phone_number_id": "100000000000001", "template_name": "appointment", "language": "en"}
_PAGES = (integer("page", 1, 2**31, 1), integer("page_size", 1, _LARGEST_PAGE, _PAGE_SIZE))
_DAY_SCHEMA = {"type": "string", "format": "date"}
_FOUND = (400, 404, *ALWAYS)


def _listing(row: dict[str, Any]) -> dict[str, Any]:
    return {"count": 1, "next": None, "previous": None, "results": [row]}


def _reading(path: str, summary: str, answer: Any, *query: Parameter) -> Operation:
    return Operation("get", path, summary, ("broadcasts:read",), {200: answer}, _FOUND, query)


FACE = Face(
    "Mindo",
    (
        Operation(
            "post",
            f"{_ROOT}/send-bulk/",
            "Accept a broadcast",
            ("broadcasts:write",),
            {202: _ACCEPTED},
            (*OF_BODIES, 404, *IDEMPOTENT, *ALWAYS),
            (),
            (KEY,),
            _BulkShape,
            ("recipients", _RecipientShape),
            _FORM | {"recipients": [_PEOPLE]},
        ),
        Operation(
            "post",
            f"{_ROOT}/send/",
            "Send one message and answer once it has left",
            ("messages:send", "broadcasts:write"),
            {200: {"success": True, "message_id": "wamid.HBgM", "status": "sent", "sent_at": _AT}},
            (*OF_BODIES, 404, *IDEMPOTENT, *ALWAYS, 504),
            (),
            (KEY,),
            _SingleShape,
            None,
            _FORM | {"recipient_phone": _PHONE, "variables": _PEOPLE["variables"]},
        ),
        _reading(
            f"{_ROOT}/bulk-sends/",
            "Broadcasts, newest first",
            _listing(_ROW),
            *_PAGES,
            choice("status", tuple(_STAGE_OF_STATUS)),
            Parameter("template", {"type": "string"}),
            Parameter("created_after", _DAY_SCHEMA),
            Parameter("created_before", _DAY_SCHEMA),
        ),
        _reading(f"{_ROOT}/bulk-sends/{{bulk_send_id}}/", "One broadcast", _ROW | {"created_by": _AUTHOR}),
        _reading(
            f"{_ROOT}/bulk-sends/{{bulk_send_id}}/messages/",
            "Its messages",
            _listing(
                {"id": 4711, "recipient_phone": _PHONE, "status": "read", "meta_message_id": "wamid.HBgM"}
            ),
            *_PAGES,
            choice("status", statuses.STANDINGS),
        ),
        _reading(f"{_ROOT}/messages/{{wamid}}", "One message by Meta's id", _ONE),
        Operation(
            "get",
            f"{_ACCOUNTS}/",
            "Numbers, quotas and templates; needs both scopes",
            ("channels:read", "templates:read"),
            {200: {"companyName": "Tea shop", "apiKeyName": "crm", "businessAccounts": []}},
            ALWAYS,
        ),
    ),
    {
        "error": "recipients[0].phone: must begin with +",
        "details": {"recipients[0].phone": ["must begin with +"]},
    },
)
