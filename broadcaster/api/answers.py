"""The answers of our own API: what a caller is told about broadcasts, messages, channels, templates."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from broadcaster import broadcasts, pacing, templates, wire
from broadcaster.broadcasts import Plan, Progress, Quota, is_verified
from broadcaster.config import Settings
from broadcaster.models import Channel, Message, Template

CSV_COLUMNS = (
    "id", "to", "state", "delivery", "attempts", "wamid", "code", "error", "sentAt", "variables",
    "metadata",
)  # fmt: skip
_CSV_PAGE = 500
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def broadcast(progress: Progress) -> dict[str, Any]:
    """The broadcast of the contract, from the facts and counters of one moment."""
    facts, states = progress.facts, progress.counts.states
    waiting = progress.waiting
    return {
        "id": facts.public_id,
        "title": facts.title,
        "status": progress.status,
        "channel": progress.channel.phone_number_id,
        "template": {"name": facts.template_name, "language": facts.template_language},
        "priority": "high" if facts.priority else "normal",
        "metadata": _stored(facts.metadata),
        "scheduleAt": wire.format_time(facts.due_at) if facts.scheduled else None,
        "createdAt": wire.format_time(facts.created_at),
        "startedAt": wire.format_time(facts.started_at),
        "finishedAt": wire.format_time(facts.finished_at),
        "late": progress.late,
        "stats": {
            "pending": progress.counts.open,
            "success": states["sent"],
            "failed": states["failed"],
            "cancelled": states["cancelled"],
            "total": progress.counts.total,
        },
        "inFlight": states["sending"],
        "unknown": states["unknown"],
        "duplicates": facts.duplicates,
        "delivery": progress.counts.deliveries,
        "pace": _rounded(progress.pace),
        "estimatedFinishAt": wire.format_time(progress.estimated_finish_at),
        "quota": quota(progress.quota),
        "whyWaiting": waiting
        and {"reason": waiting.reason, "until": wire.format_time(waiting.until), "detail": waiting.detail},
    }


def stopped(progress: Progress) -> dict[str, Any]:
    """The broadcast after a stop, with what the stop found: cancelled at once and still in flight."""
    return broadcast(progress) | {
        "stopped": {
            "cancelled": progress.facts.stopped_cancelled or 0,
            "inFlight": progress.facts.stopped_in_flight or 0,
        }
    }


def plan(accepted: Plan, settings: Settings, now: int) -> dict[str, Any]:
    """What would happen: the answer to a dry run."""
    channel, valid = accepted.channel, len(accepted.drafts) - accepted.invalid
    tier, pace = tier_and_pace(channel, settings)
    start = accepted.spec.due_at or now
    return {
        "channel": channel.phone_number_id,
        "template": {"name": accepted.spec.template.name, "language": accepted.language},
        "recipients": len(accepted.spec.recipients or ()),
        "valid": valid,
        "invalid": accepted.invalid,
        "duplicates": accepted.duplicates,
        "pace": _rounded(pace),
        "tier": tier,
        "startAt": wire.format_time(start),
        "estimatedFinishAt": wire.format_time(start + int(valid / pace * 1000)),
    }


def quota(value: Quota) -> dict[str, Any]:
    return {
        "tier": value.tier,
        "total": value.total,
        "available": value.available,
        "needed": value.needed,
        "opensAt": None,
    }


def message(row: Message, broadcast_id: str) -> dict[str, Any]:
    """One message with where it stands and, if it failed or waits to be tried again, why."""
    error = {"code": row.error_code, "message": row.error_text} if row.error_code else None
    return {
        "id": row.id,
        "broadcast": broadcast_id,
        "to": row.recipient,
        "state": row.state,
        "delivery": row.delivery,
        "attempts": row.attempt,
        "wamid": row.wamid,
        "error": error,
        "variables": _stored(row.variables),
        "metadata": _stored(row.metadata),
        "sentAt": wire.format_time(row.sent_at),
        "nextAttemptAt": wire.format_time(row.next_at) if row.state == "pending" else None,
    }


def message_rows(rows: Iterable[Message], header: bool) -> str:
    """Messages as CSV lines. Numbers are written without + so that no spreadsheet sees a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        cells = (
            row.id, row.recipient.removeprefix("+"), row.state, row.delivery, row.attempt, row.wamid,
            row.error_code, row.error_text, wire.format_time(row.sent_at), row.variables, row.metadata,
        )  # fmt: skip
        writer.writerow([_harmless(cell) for cell in cells])
    return text.getvalue()


def csv_pages(
    public_id: str, filters: dict[str, str], after: int = 0, limit: int | None = None
) -> Iterator[str]:
    """A broadcast's messages as CSV, in pages by id, so that neither memory nor an open cursor grows
    with it; raises NotFound."""
    header = True
    while limit is None or limit > 0:
        size = _CSV_PAGE if limit is None else min(limit, _CSV_PAGE)
        rows = broadcasts.messages(public_id, filters, after, size)
        yield message_rows(rows, header)
        if len(rows) < _CSV_PAGE:
            return
        header, after = False, rows[-1].id
        limit = None if limit is None else limit - len(rows)


def channel(row: Channel, settings: Settings) -> dict[str, Any]:
    tier, pace = tier_and_pace(row, settings)
    return {
        "id": row.phone_number_id,
        "wabaId": row.waba_id,
        "portfolio": row.portfolio,
        "displayPhoneNumber": row.display_phone_number,
        "verifiedName": row.verified_name,
        "status": row.status,
        "verified": is_verified(row),
        "qualityRating": row.quality_rating,
        "tier": tier,
        "throughput": row.throughput,
        "coexistence": row.coexistence,
        "pace": _rounded(pace),
        "createdAt": wire.format_time(row.created_at),
        "syncedAt": wire.format_time(row.synced_at),
    }


def template(row: Template) -> dict[str, Any]:
    """A template with the variables it asks for."""
    components = wire.loads(row.components.encode())
    slots = templates.slots(components, row.parameter_format)
    return {
        "name": row.name,
        "language": row.language,
        "status": row.status,
        "category": row.category,
        "quality": row.quality,
        "wabaId": row.waba_id,
        "parameterFormat": "NAMED" if slots.named else "POSITIONAL",
        "variables": slots.described(),
        "unsupported": list(slots.unsupported),
        "components": components,
        "syncedAt": wire.format_time(row.synced_at),
    }


def tier_and_pace(row: Channel, settings: Settings) -> tuple[str, float]:
    tier = pacing.known_tier(row.tier, settings.default_tier)
    return tier, pacing.pace_of(row.throughput, row.coexistence, tier, row.pace_override)


def _stored(text: str | None) -> Any:
    return None if text is None else wire.loads(text.encode())


def _rounded(pace: float) -> float:
    return round(pace, 2)


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    return "" if cell is None else cell
