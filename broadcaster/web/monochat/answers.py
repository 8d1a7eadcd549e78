"""MonoChat's answers; each type stands above what builds it."""

from typing import Literal

from typing_extensions import TypedDict

from broadcaster.domain import strict_json
from broadcaster.domain.timestamps import format_time
from broadcaster.services.progress import Progress
from broadcaster.store.models import Broadcast
from broadcaster.web.answers import Time


class MonoChatAccepted(TypedDict):
    bulkMessageId: str


def accepted(tracked: Progress) -> MonoChatAccepted:
    return {"bulkMessageId": tracked.facts.public_id}


class MonoChatDone(TypedDict):
    """Nothing more is told."""


class MonoChatPayload(TypedDict):
    recipientCount: int
    defaultPayloadType: Literal["template"]
    jobId: str


class MonoChatSchedule(TypedDict):
    date: Time
    type: Literal["later", "now"]


class MonoChatBulkMessage(TypedDict):
    _id: str
    slug: str
    title: str
    channelUsername: str
    connectorBrand: Literal["whatsapp"]
    connectorSlug: Literal["whatsapp-cloud"]
    payload: MonoChatPayload
    schedule: MonoChatSchedule
    createdAt: Time
    updatedAt: Time


class MonoChatCounts(TypedDict):
    """Messages by what became of them; pending + success + failed + cancelled = total."""

    pending: int
    success: int
    failed: int
    cancelled: int
    total: int


class MonoChatStats(TypedDict):
    """Where a broadcast stands; `success` counts what Meta took over, receipts never move it."""

    bulkMessage: MonoChatBulkMessage
    stats: MonoChatCounts


def stats(tracked: Progress) -> MonoChatStats:
    states = tracked.counts.states
    return {
        "bulkMessage": _bulk_message(tracked),
        "stats": {
            "pending": tracked.counts.open,
            "success": states["sent"],
            "failed": states["failed"],
            "cancelled": states["cancelled"],
            "total": tracked.counts.total,
        },
    }


def _bulk_message(tracked: Progress) -> MonoChatBulkMessage:
    facts = tracked.facts
    given = remembered(facts)
    moments = (facts.created_at, facts.started_at, facts.paused_at, facts.stopped_at, facts.finished_at)
    return {
        "_id": facts.public_id,
        "slug": given["slug"],
        "title": facts.title or "-",
        "channelUsername": given["username"],
        "connectorBrand": "whatsapp",
        "connectorSlug": "whatsapp-cloud",
        "payload": {
            "recipientCount": tracked.counts.total,
            "defaultPayloadType": "template",
            "jobId": facts.task_id or "",
        },
        "schedule": {
            "date": format_time(facts.due_at),
            "type": "later" if facts.scheduled else "now",
        },
        "createdAt": format_time(facts.created_at),
        "updatedAt": format_time(max(moment for moment in moments if moment is not None)),
    }


def remembered(facts: Broadcast) -> dict[str, str]:
    """What a send left with its broadcast."""
    found: dict[str, str] = strict_json.loads((facts.face_data or "{}").encode())
    return found
