"""The answers of our own API: what a caller is told about broadcasts, messages, channels, templates."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

import falcon

from broadcaster.domain import explanations, strict_json, templates, timestamps
from broadcaster.services import progress
from broadcaster.services.planning import Plan, is_verified
from broadcaster.services.progress import Progress, Quota
from broadcaster.store import channels, contacts, conversations, webhooks
from broadcaster.store.models import (
    Channel,
    Contact,
    Event,
    EventDelivery,
    Message,
    Suppression,
    Template,
    Webhook,
)
from broadcaster.web import requests

CSV_COLUMNS = (
    "id", "to", "state", "delivery", "attempts", "wamid", "code", "error", "sentAt", "variables",
    "metadata", "meaning", "advice",
)  # fmt: skip
_CSV_PAGE = 500
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def refuse(response: falcon.Response, refusal: requests.Refusal) -> None:
    """The refusal as a problem document."""
    requests.answer(response, requests.problem(refusal), refusal.status)
    response.content_type = requests.PROBLEM_TYPE


def broadcast(tracked: Progress) -> dict[str, Any]:
    """The broadcast of the contract, from the facts and counters of one moment."""
    facts, states = tracked.facts, tracked.counts.states
    waiting = tracked.waiting
    return {
        "id": facts.public_id,
        "title": facts.title,
        "status": tracked.status,
        "channel": tracked.channel.phone_number_id,
        "template": {"name": facts.template_name, "language": facts.template_language},
        "priority": "high" if facts.priority else "normal",
        "metadata": _stored(facts.metadata),
        "scheduleAt": timestamps.format_time(facts.due_at) if facts.scheduled else None,
        "createdAt": timestamps.format_time(facts.created_at),
        "startedAt": timestamps.format_time(facts.started_at),
        "finishedAt": timestamps.format_time(facts.finished_at),
        "late": tracked.late,
        "stats": {
            "pending": tracked.counts.open,
            "success": states["sent"],
            "failed": states["failed"],
            "cancelled": states["cancelled"],
            "total": tracked.counts.total,
        },
        "inFlight": states["sending"],
        "unknown": states["unknown"],
        "duplicates": facts.duplicates,
        "delivery": tracked.counts.deliveries,
        "pace": _rounded(tracked.pace),
        "estimatedFinishAt": timestamps.format_time(tracked.estimated_finish_at),
        "quota": quota(tracked.quota),
        "whyWaiting": waiting
        and {
            "reason": waiting.reason,
            "until": timestamps.format_time(waiting.until),
            "detail": waiting.detail,
        },
    }


def stopped(tracked: Progress) -> dict[str, Any]:
    """The broadcast after a stop, with what the stop found: cancelled at once and still in flight."""
    return broadcast(tracked) | {
        "stopped": {
            "cancelled": tracked.facts.stopped_cancelled or 0,
            "inFlight": tracked.facts.stopped_in_flight or 0,
        }
    }


def plan(accepted: Plan, now: int) -> dict[str, Any]:
    """What would happen: the answer to a dry run."""
    channel, valid = accepted.channel, len(accepted.drafts) - accepted.invalid
    pace = channels.pace_of(channel)
    start = accepted.spec.due_at or now
    suppressed = sum(draft.error_code == "SUPPRESSED" for draft in accepted.drafts)
    return {
        "channel": channel.phone_number_id,
        "template": {"name": accepted.template, "language": accepted.language},
        "recipients": len(accepted.spec.recipients or ()),
        "valid": valid,
        "invalid": accepted.invalid - suppressed,
        "suppressed": suppressed,
        "duplicates": accepted.duplicates,
        "pace": _rounded(pace),
        "tier": channels.tier_of(channel),
        "quota": quota(progress.quota(channel, valid, now)),
        "startAt": timestamps.format_time(start),
        "estimatedFinishAt": timestamps.format_time(start + int(valid / pace * 1000)),
        "notes": requests.shown(accepted.notes),
        "preview": accepted.preview,
    }


def quota(value: Quota) -> dict[str, Any]:
    return {
        "tier": value.tier,
        "total": value.total,
        "available": value.available,
        "needed": value.needed,
        "opensAt": timestamps.format_time(value.opens_at),
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
        "sentAt": timestamps.format_time(row.sent_at),
        "deliveredAt": timestamps.format_time(row.delivered_at),
        "readAt": timestamps.format_time(row.read_at),
        "failedAt": timestamps.format_time(row.undelivered_at),
        "pricing": _stored(row.pricing),
        "possibleDuplicate": bool(row.resent),
        "nextAttemptAt": timestamps.format_time(row.next_at) if row.state == "pending" else None,
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
            row.error_code, row.error_text, timestamps.format_time(row.sent_at), row.variables, row.metadata,
            *_explained(row.error_code),
        )  # fmt: skip
        writer.writerow([_harmless(cell) for cell in cells])
    return text.getvalue()


def _explained(code: str | None) -> tuple[str | None, str | None]:
    if code is None:
        return None, None
    known = explanations.explain(code)
    return known.meaning, known.advice


def csv_pages(
    public_id: str, filters: dict[str, str], after: int = 0, limit: int | None = None
) -> Iterator[str]:
    """A broadcast's messages as CSV, in pages by id, so that neither memory nor an open cursor grows
    with it; raises NotFound."""
    header = True
    while limit is None or limit > 0:
        size = _CSV_PAGE if limit is None else min(limit, _CSV_PAGE)
        rows = progress.messages_of(public_id, filters, after, size)
        yield message_rows(rows, header)
        if len(rows) < _CSV_PAGE:
            return
        header, after = False, rows[-1].id
        limit = None if limit is None else limit - len(rows)


def channel(row: Channel) -> dict[str, Any]:
    tier, pace = channels.tier_of(row), channels.pace_of(row)
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
        "paused": {"reason": row.pause_reason, "detail": row.pause_detail} if row.paused_at else None,
        "createdAt": timestamps.format_time(row.created_at),
        "syncedAt": timestamps.format_time(row.synced_at),
    }


def template(row: Template) -> dict[str, Any]:
    """A template with the variables it asks for."""
    components = strict_json.loads(row.components.encode())
    slots = templates.slots(components, row.parameter_format)
    return {
        "name": row.name,
        "language": row.language,
        "status": row.status,
        "category": row.category,
        "quality": row.quality,
        "wabaId": row.waba_id,
        "parameterFormat": "NAMED" if slots.named else "POSITIONAL",
        "variables": [_place(place) for place in slots.places],
        "unsupported": list(slots.unsupported),
        "components": components,
        "syncedAt": timestamps.format_time(row.synced_at),
    }


def _place(place: templates.Place) -> dict[str, Any]:
    shown = {"component": place.component, "key": place.key, "type": place.kind, "required": place.required}
    return shown if place.card is None else {"card": place.card, **shown}


def failure(code: str, text: str | None, count: int) -> dict[str, Any]:
    """One kind of failure: Meta's meaning, what to do about it, and how many it hit."""
    known = explanations.explain(code)
    return {"code": code, "count": count, "meaning": known.meaning, "advice": known.advice, "text": text}


def suppression(row: Suppression) -> dict[str, Any]:
    return {
        "to": row.recipient,
        "reason": row.reason,
        "source": row.source,
        "createdAt": timestamps.format_time(row.created_at),
    }


def webhook(row: Webhook) -> dict[str, Any]:
    return {
        "id": webhooks.public_id(row.id),
        "url": row.url,
        "types": row.types.split(),
        "createdAt": timestamps.format_time(row.created_at),
        "disabledAt": timestamps.format_time(row.disabled_at),
        "disabledReason": row.disabled_reason,
    }


def delivery(row: EventDelivery, type: str) -> dict[str, Any]:
    """One event on its way to one webhook: how often it was tried and what was answered last."""
    return {
        "id": row.id,
        "event": row.event_id,
        "type": type,
        "state": row.state,
        "attempts": row.attempts,
        "answer": row.answer,
        "triedAt": timestamps.format_time(row.tried_at),
        "nextAttemptAt": timestamps.format_time(row.next_at) if row.state == "pending" else None,
    }


def event(row: Event) -> dict[str, Any]:
    """An event as webhooks get it."""
    return {
        "id": row.id,
        "type": row.type,
        "timestamp": timestamps.format_time(row.created_at),
        "data": strict_json.loads(row.data.encode()),
    }


def contact(row: Contact) -> dict[str, Any]:
    """A person: what may stand as `userId` in a request."""
    return {
        "id": contacts.public_id(row.id),
        "to": row.recipient,
        "name": row.name,
        "createdAt": timestamps.format_time(row.created_at),
    }


def conversation(row: conversations.Listed) -> dict[str, Any]:
    """A person on a channel: what may stand as `sessionId` in a request."""
    facts = row.facts
    assigned = {
        "key": facts.assigned_key,
        "value": facts.assigned_to,
        "at": timestamps.format_time(facts.assigned_at),
    }
    return {
        "id": conversations.public_id(facts.id),
        "contact": contacts.public_id(facts.contact_id),
        "to": row.recipient,
        "channel": row.phone_number_id,
        "createdAt": timestamps.format_time(facts.created_at),
        "lastSentAt": timestamps.format_time(facts.last_sent_at),
        "assignedTo": assigned if facts.assigned_to else None,
    }


def _stored(text: str | None) -> Any:
    return None if text is None else strict_json.loads(text.encode())


def _rounded(pace: float) -> float:
    return round(pace, 2)


def _harmless(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    return "" if cell is None else cell
