"""Keebai's answers; each type stands above what builds it."""

from typing import Literal

from typing_extensions import TypeAliasType, TypedDict

from broadcaster.domain.timestamps import format_time
from broadcaster.domain.words import BroadcastStage
from broadcaster.services.progress import Progress
from broadcaster.store import statuses
from broadcaster.web.answers import Time

KeebaiStatus = TypeAliasType(
    "KeebaiStatus", Literal["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"]
)
_STATUS_OF_STAGE: dict[BroadcastStage, KeebaiStatus] = {
    "waiting": "PENDING",
    "under way": "IN_PROGRESS",
    "completed": "COMPLETED",
    "partial": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}


class KeebaiAccepted(TypedDict):
    """A broadcast that was accepted."""

    broadcast_id: str
    status: KeebaiStatus
    total_recipients: int
    scheduled_at: Time | None


def accepted(tracked: Progress) -> KeebaiAccepted:
    facts = tracked.facts
    return {
        "broadcast_id": facts.public_id,
        "status": "PENDING",
        "total_recipients": tracked.counts.total,
        "scheduled_at": format_time(facts.due_at) if facts.scheduled else None,
    }


class KeebaiProgress(TypedDict):
    """Where a broadcast stands."""

    broadcast_id: str
    status: KeebaiStatus
    total_recipients: int
    sent: int
    failed: int
    pending: int
    started_at: Time | None
    completed_at: Time | None


def broadcast_progress(tracked: Progress) -> KeebaiProgress:
    facts, counts = tracked.facts, tracked.counts
    return {
        "broadcast_id": facts.public_id,
        "status": _STATUS_OF_STAGE[statuses.stage(facts, counts)],
        "total_recipients": counts.total,
        "sent": counts.sent_in_all,
        "failed": counts.failed_in_all,
        "pending": counts.open,
        "started_at": format_time(facts.started_at),
        "completed_at": format_time(facts.finished_at),
    }
