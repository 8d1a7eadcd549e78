"""Mindo's answers; each type stands above what builds it."""

import math
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import falcon
from typing_extensions import TypeAliasType, TypedDict

from broadcaster.domain import pacing, strict_json, templates, timestamps
from broadcaster.domain.words import BroadcastStage, MessageStanding
from broadcaster.errors import NotFound
from broadcaster.services import progress
from broadcaster.services.progress import Progress
from broadcaster.store import allowance, broadcasts, channels, contacts, definitions, models, statuses, tokens
from broadcaster.web.answers import Time, stored
from broadcaster.web.mindo.bodies import BUTTON, flat_name

_MINUTE = 60
Row = TypeVar("Row")

MindoStatus = TypeAliasType(
    "MindoStatus", Literal["QUEUED", "PROCESSING", "COMPLETED", "PARTIAL", "FAILED", "CANCELLED"]
)
_STATUS_OF_STAGE: dict[BroadcastStage, MindoStatus] = {
    "waiting": "QUEUED",
    "under way": "PROCESSING",
    "completed": "COMPLETED",
    "partial": "PARTIAL",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
STAGE_OF_STATUS = {status: stage for stage, status in _STATUS_OF_STAGE.items()}


class MindoPage(TypedDict, Generic[Row]):
    """One page of a list; the links are null where there is no such page."""

    count: int
    next: str | None
    previous: str | None
    results: list[Row]


def page(
    request: falcon.Request,
    public_url: str | None,
    number: int,
    size: int,
    count: int,
    rows: Sequence[Row],
) -> MindoPage[Row]:
    """One page in its envelope; raises NotFound for a page past the end."""
    last = max(1, -(-count // size))
    if number > last:
        raise NotFound("there is no such page")
    base = (public_url or request.prefix).rstrip("/") + request.path

    def link(number: int) -> str:
        return f"{base}?{urlencode({**request.params, 'page': number}, doseq=True)}"

    return {
        "count": count,
        "next": link(number + 1) if number < last else None,
        "previous": link(number - 1) if number > 1 else None,
        "results": list(rows),
    }


# Accepted and sent


class MindoSender(TypedDict):
    id: int
    phone_number_id: str
    display_phone_number: str
    verified_name: str
    quality_rating: str
    messaging_limit_tier: str


class MindoQuotaInfo(TypedDict):
    """What the tier lets through today; numbers are null where it has no limit."""

    can_send: bool
    quota_needed: int | None
    quota_available: int | None
    quota_total: int | None
    tier: str


class MindoQueued(TypedDict):
    """A bulk send that was accepted."""

    bulk_send_id: str
    task_id: str
    status: Literal["queued"]
    template_name: str
    total_recipients: int
    unique_recipients: int
    estimated_time_minutes: float
    created_at: Time
    whatsapp_phone_number: MindoSender
    quota_info: MindoQuotaInfo


def queued(tracked: Progress) -> MindoQueued:
    facts, total, quota = tracked.facts, tracked.counts.total, tracked.quota
    return {
        "bulk_send_id": facts.public_id,
        "task_id": facts.task_id or "",
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


class MindoSent(TypedDict):
    """A single message that has left."""

    success: Literal[True]
    message_id: str
    template_name: str
    recipient_phone: str
    status: Literal["sent"]
    sent_at: Time


def sent(row: models.Message) -> MindoSent:
    return {
        "success": True,
        "message_id": row.wamid or "",
        "template_name": broadcasts.get(row.broadcast_id).template_name,
        "recipient_phone": row.recipient,
        "status": "sent",
        "sent_at": _time(row.sent_at),
    }


# Progress


class MindoTemplateStatus(TypedDict):
    id: int | None
    template_name: str
    language: str
    status: str


class MindoNumber(TypedDict):
    id: int
    display_phone_number: str
    verified_name: str


class MindoBulkSend(TypedDict):
    """A bulk send as the list shows it; counts are cumulative, a read message is a delivered one too."""

    id: str
    status: MindoStatus
    template: MindoTemplateStatus
    phone_number: MindoNumber
    total_recipients: int
    sent_count: int
    delivered_count: int
    read_count: int
    failed_count: int
    pending_count: int
    progress_percentage: float
    completed_at: Time | None
    created_at: Time


def bulk_send(tracked: Progress) -> MindoBulkSend:
    facts, counts, channel = tracked.facts, tracked.counts, tracked.channel
    deliveries, total = counts.deliveries, counts.total
    return {
        "id": facts.public_id,
        "status": _STATUS_OF_STAGE[statuses.stage(facts, counts)],
        "template": _template_status(facts, channel.waba_id),
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


def _template_status(facts: models.Broadcast, waba_id: str) -> MindoTemplateStatus:
    row = definitions.find(waba_id, facts.template_name, facts.template_language)
    return {
        "id": row.id if row else None,
        "template_name": facts.template_name,
        "language": facts.template_language,
        "status": row.status if row else "DELETED",
    }


class MindoAuthor(TypedDict):
    """The token that a bulk send came with."""

    id: str | None
    email: str | None
    first_name: str
    last_name: str


class MindoProgress(MindoBulkSend):
    """Where a bulk send stands."""

    estimated_time_minutes: float
    started_at: Time | None
    created_by: MindoAuthor


def bulk_send_progress(tracked: Progress) -> MindoProgress:
    facts = tracked.facts
    token = tokens.find(facts.token_id) if facts.token_id else None
    return {
        **bulk_send(tracked),
        "estimated_time_minutes": _minutes(tracked.counts.open, tracked.pace),
        "started_at": _time(facts.started_at),
        "created_by": {
            "id": facts.token_id,
            "email": None,
            "first_name": token.name if token else "",
            "last_name": "",
        },
    }


# Messages


class MindoMessageRow(TypedDict):
    """One message of a bulk send."""

    id: int
    recipient_phone: str
    status: MessageStanding
    meta_message_id: str | None
    variables_used: dict[str, Any]
    sent_at: Time | None
    delivered_at: Time | None
    read_at: Time | None
    error_message: str | None


def message_row(row: models.Message) -> MindoMessageRow:
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


class MindoMessageTemplate(TypedDict):
    id: int | None
    name: str
    language: str
    category: str | None


class MindoPerson(TypedDict):
    phone: str
    contact_name: str | None
    contact_id: int | None


class MindoDeliveryStatus(TypedDict):
    current: MessageStanding
    sent_at: Time | None
    delivered_at: Time | None
    read_at: Time | None
    failed_at: Time | None
    error_code: str | None
    error_message: str | None


class MindoMessage(TypedDict):
    """One message by Meta's id."""

    id: int
    template: MindoMessageTemplate
    recipient: MindoPerson
    variables_used: dict[str, Any]
    delivery_status: MindoDeliveryStatus
    meta_message_id: str | None
    was_successful: bool
    error_message: str | None
    sent_at: Time | None


def message(row: models.Message, broadcast: models.Broadcast) -> MindoMessage:
    status = statuses.standing(row)
    return {
        "id": row.id,
        "template": _message_template(broadcast),
        "recipient": _person(row.recipient),
        "variables_used": _variables(row),
        "delivery_status": _delivery_status(row, status),
        "meta_message_id": row.wamid,
        "was_successful": row.state == "sent" and status != "failed",
        "error_message": row.error_text if status == "failed" else None,
        "sent_at": _time(row.sent_at),
    }


def _message_template(broadcast: models.Broadcast) -> MindoMessageTemplate:
    waba_id = channels.get(broadcast.channel_id).waba_id
    template = definitions.find(waba_id, broadcast.template_name, broadcast.template_language)
    return {
        "id": template.id if template else None,
        "name": broadcast.template_name,
        "language": broadcast.template_language,
        "category": template.category if template else None,
    }


def _person(recipient: str) -> MindoPerson:
    person = contacts.of(recipient)
    return {
        "phone": recipient,
        "contact_name": person.name if person else None,
        "contact_id": person.id if person else None,
    }


def _delivery_status(row: models.Message, status: MessageStanding) -> MindoDeliveryStatus:
    failed = status == "failed"
    return {
        "current": status,
        "sent_at": _time(row.sent_at),
        "delivered_at": _time(row.delivered_at),
        "read_at": _time(row.read_at),
        "failed_at": _time(row.undelivered_at or row.settled_at) if failed else None,
        "error_code": row.error_code if failed else None,
        "error_message": row.error_text if failed else None,
    }


def _variables(row: models.Message) -> dict[str, Any]:
    """What the client sent as variables, without its values for buttons."""
    given = stored(row.variables)
    return {k: v for k, v in given.items() if not BUTTON.fullmatch(k)} if isinstance(given, dict) else {}


# Accounts


class MindoQuota(TypedDict):
    dailyLimit: int | None
    uniqueNumbersSent24h: int
    remaining: int | None
    usagePercentage: float
    canSend: bool


class MindoPhoneNumber(TypedDict):
    id: int
    phoneNumberId: str
    displayPhoneNumber: str
    verifiedName: str
    isPrimary: bool
    messagingLimitTier: str
    quota: MindoQuota


class MindoVariable(TypedDict):
    name: str
    type: str
    position: int
    isRequired: bool
    component: str


class MindoTemplate(TypedDict):
    name: str
    language: str
    category: str | None
    variables: list[MindoVariable]


class MindoAccount(TypedDict):
    businessAccountId: str
    businessName: str
    phoneNumbers: list[MindoPhoneNumber]
    templates: list[MindoTemplate]


class MindoAccounts(TypedDict):
    """Numbers with their quotas, and approved templates with their variables."""

    companyName: str
    apiKeyName: str
    businessAccounts: list[MindoAccount]


def accounts(key_name: str, rows: list[models.Channel], now: int) -> MindoAccounts:
    waba_ids = list(dict.fromkeys(channel.waba_id for channel in rows))
    return {
        "companyName": rows[0].verified_name or "" if rows else "",
        "apiKeyName": key_name,
        "businessAccounts": [
            _account([channel for channel in rows if channel.waba_id == waba_id], now) for waba_id in waba_ids
        ],
    }


def _account(numbers: list[models.Channel], now: int) -> MindoAccount:
    waba_id = numbers[0].waba_id
    rows = definitions.page(waba_id, None, 0, 100_000)
    return {
        "businessAccountId": waba_id,
        "businessName": numbers[0].verified_name or "",
        "phoneNumbers": [_number(channel, channel is numbers[0], now) for channel in numbers],
        "templates": [_template(row) for row in rows if row.status == "APPROVED"],
    }


def _number(channel: models.Channel, is_primary: bool, now: int) -> MindoPhoneNumber:
    quota = progress.quota(channel, 1, now)
    reached = allowance.people_reached(channel.portfolio, now - allowance.DAY)
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


def _template(row: models.Template) -> MindoTemplate:
    slots = templates.slots(strict_json.loads(row.components.encode()), row.parameter_format)
    return {
        "name": row.name,
        "language": row.language,
        "category": row.category,
        "variables": [
            {
                "name": flat_name(place),
                "type": place.kind if place.kind in templates.MEDIA else "TEXT",
                "position": position,
                "isRequired": place.required,
                "component": place.component,
            }
            for position, place in enumerate(slots.places, 1)
        ],
    }


def _tier(tier: str) -> str:
    """TIER_1K as the vendor spells it: TIER_1000."""
    size = pacing.tier_size(tier)
    return f"TIER_{size}" if size else "TIER_UNLIMITED"


def _minutes(count: int, pace: float) -> float:
    """How long so many messages take, to the hundredth of a minute above."""
    return math.ceil(count * 100 / (pace * _MINUTE)) / 100


def _time(milliseconds: Any) -> Any:
    """ISO 8601 in UTC to the second; None stays None."""
    text = timestamps.format_time(milliseconds)
    return text and text[:19] + "Z"
