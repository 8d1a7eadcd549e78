"""The answers of our own API: what a caller is told about broadcasts, messages, channels, templates.

Each type stands above what builds it.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

from broadcaster.domain import explanations, strict_json, templates
from broadcaster.domain.timestamps import format_time
from broadcaster.domain.words import (
    ActionKey,
    BroadcastStatus,
    Delivery,
    MessageState,
    PauseReason,
    WaitReason,
    WebhookDeliveryState,
)
from broadcaster.services import access, contact_book, planning, progress
from broadcaster.services.progress import Progress
from broadcaster.settlement import event_documents
from broadcaster.store import channels, contacts, conversations, counters, events, models, webhooks
from broadcaster.web.answers import Time, stored
from broadcaster.web.own.words import AnyEventName, EventName, Priority
from broadcaster.web.refusals import FieldFault, shown

Row = TypeVar("Row")
Shown = TypeVar("Shown")


class Page(TypedDict, Generic[Shown]):
    """Some of a list; `next` is the `after` of the page that follows, null at the end."""

    data: list[Shown]
    next: str | None


def page(
    found: Sequence[Row],
    limit: int,
    show: Callable[[Row], Shown],
    cursor: Callable[[Row], Any] = attrgetter("id"),
) -> Page[Shown]:
    """The first `limit` of what was found, and where the next page begins if more was."""
    following = str(cursor(found[limit - 1])) if len(found) > limit else None
    return {"data": [show(row) for row in found[:limit]], "next": following}


def whole(shown: Sequence[Shown]) -> Page[Shown]:
    """A list that comes in one piece."""
    return {"data": list(shown), "next": None}


# Broadcasts


class TemplateReference(TypedDict):
    name: str
    language: str


class Quota(TypedDict):
    """How many different people the portfolio may reach in 24 h; numbers are null where there is no limit."""

    tier: str
    total: int | None
    available: int | None
    needed: int
    opensAt: Time | None


def quota(value: progress.Quota) -> Quota:
    return {
        "tier": value.tier,
        "total": value.total,
        "available": value.available,
        "needed": value.needed,
        "opensAt": format_time(value.opens_at),
    }


class WhyWaiting(TypedDict):
    """Why messages have not left yet."""

    reason: WaitReason
    until: Time | None
    detail: str | None


class Broadcast(TypedDict):
    """Where a broadcast stands."""

    id: str
    title: str | None
    status: BroadcastStatus
    channel: str
    template: TemplateReference
    priority: Priority
    metadata: dict[str, Any] | None
    scheduleAt: Time | None
    createdAt: Time
    startedAt: Time | None
    finishedAt: Time | None
    late: bool
    stats: counters.Stats
    inFlight: int
    unknown: int
    duplicates: int
    delivery: counters.DeliveryFigures
    pace: float
    estimatedFinishAt: Time | None
    quota: Quota
    whyWaiting: WhyWaiting | None


def broadcast(tracked: Progress) -> Broadcast:
    """The broadcast of the contract, from the facts and counters of one moment."""
    facts, states = tracked.facts, tracked.counts.states
    return {
        "id": facts.public_id,
        "title": facts.title,
        "status": tracked.status,
        "channel": tracked.channel.phone_number_id,
        "template": {"name": facts.template_name, "language": facts.template_language},
        "priority": "high" if facts.priority else "normal",
        "metadata": stored(facts.metadata),
        "scheduleAt": format_time(facts.due_at) if facts.scheduled else None,
        "createdAt": format_time(facts.created_at),
        "startedAt": format_time(facts.started_at),
        "finishedAt": format_time(facts.finished_at),
        "late": tracked.late,
        "stats": counters.stats(tracked.counts),
        "inFlight": states["sending"],
        "unknown": states["unknown"],
        "duplicates": facts.duplicates,
        "delivery": counters.delivery_figures(tracked.counts),
        "pace": _rounded(tracked.pace),
        "estimatedFinishAt": format_time(tracked.estimated_finish_at),
        "quota": quota(tracked.quota),
        "whyWaiting": _why_waiting(tracked),
    }


def _why_waiting(tracked: Progress) -> WhyWaiting | None:
    waiting = tracked.waiting
    if waiting is None:
        return None
    return {"reason": waiting.reason, "until": format_time(waiting.until), "detail": waiting.detail}


class StopResult(TypedDict):
    """What a stop found: cancelled at once, and still in flight."""

    cancelled: int
    inFlight: int


class StoppedBroadcast(Broadcast):
    stopped: StopResult


def stopped(tracked: Progress) -> StoppedBroadcast:
    """The broadcast after a stop."""
    facts = tracked.facts
    return {
        **broadcast(tracked),
        "stopped": {
            "cancelled": facts.stopped_cancelled or 0,
            "inFlight": facts.stopped_in_flight or 0,
        },
    }


class RetriedBroadcast(Broadcast):
    retried: int


class CountryCount(TypedDict):
    """How many messages go to a country (ISO code); null where a number is no country's."""

    country: str | None
    messages: int


class Plan(TypedDict):
    """What would happen; `notes` is what Meta may mind, `preview` the first message."""

    channel: str
    template: TemplateReference
    recipients: int
    valid: int
    invalid: int
    suppressed: int
    duplicates: int
    pace: float
    tier: str
    quota: Quota
    countries: list[CountryCount]
    startAt: Time
    estimatedFinishAt: Time
    notes: list[FieldFault]
    preview: templates.Preview | None


def plan(accepted: planning.Plan, now: int) -> Plan:
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
        "countries": [{"country": code, "messages": many} for code, many in accepted.countries.items()],
        "startAt": format_time(start),
        "estimatedFinishAt": format_time(start + int(valid / pace * 1000)),
        "notes": shown(accepted.notes),
        "preview": accepted.preview,
    }


class Failure(TypedDict):
    """One kind of failure: Meta's meaning, what to do about it, and how many it hit."""

    code: str
    count: int
    meaning: str
    advice: str
    text: str | None


def failure(code: str, text: str | None, count: int) -> Failure:
    known = explanations.explain(code)
    return {"code": code, "count": count, "meaning": known.meaning, "advice": known.advice, "text": text}


# Messages


class Message(TypedDict):
    """One message with where it stands and, if it failed or waits to be tried again, why."""

    id: int
    broadcast: str
    to: str
    state: MessageState
    delivery: Delivery | None
    attempts: int
    wamid: str | None
    error: event_documents.MessageError | None
    variables: Any
    metadata: dict[str, Any] | None
    sentAt: Time | None
    deliveredAt: Time | None
    readAt: Time | None
    failedAt: Time | None
    pricing: dict[str, Any] | None
    possibleDuplicate: bool
    nextAttemptAt: Time | None


def message(row: models.Message, broadcast_id: str) -> Message:
    return {
        "id": row.id,
        "broadcast": broadcast_id,
        "to": row.recipient,
        "state": row.state,
        "delivery": row.delivery,
        "attempts": row.attempt,
        "wamid": row.wamid,
        "error": {"code": row.error_code, "message": row.error_text} if row.error_code else None,
        "variables": stored(row.variables),
        "metadata": stored(row.metadata),
        "sentAt": format_time(row.sent_at),
        "deliveredAt": format_time(row.delivered_at),
        "readAt": format_time(row.read_at),
        "failedAt": format_time(row.undelivered_at),
        "pricing": stored(row.pricing),
        "possibleDuplicate": bool(row.resent),
        "nextAttemptAt": format_time(row.next_at) if row.state == "pending" else None,
    }


# Channels and templates


class Pause(TypedDict):
    reason: PauseReason
    detail: str | None


class Channel(TypedDict):
    """A number that sends."""

    id: str
    wabaId: str
    portfolio: str
    displayPhoneNumber: str | None
    verifiedName: str | None
    status: str | None
    verified: bool
    qualityRating: str | None
    tier: str
    throughput: str | None
    coexistence: bool
    pace: float
    paused: Pause | None
    createdAt: Time
    syncedAt: Time | None


def channel(row: models.Channel) -> Channel:
    return {
        "id": row.phone_number_id,
        "wabaId": row.waba_id,
        "portfolio": row.portfolio,
        "displayPhoneNumber": row.display_phone_number,
        "verifiedName": row.verified_name,
        "status": row.status,
        "verified": planning.is_verified(row),
        "qualityRating": row.quality_rating,
        "tier": channels.tier_of(row),
        "throughput": row.throughput,
        "coexistence": row.coexistence,
        "pace": _rounded(channels.pace_of(row)),
        "paused": _pause(row),
        "createdAt": format_time(row.created_at),
        "syncedAt": format_time(row.synced_at),
    }


def _pause(row: models.Channel) -> Pause | None:
    return None if row.pause_reason is None else {"reason": row.pause_reason, "detail": row.pause_detail}


class TemplateVariable(TypedDict):
    """Where one value goes: a component and the key there, of a card if there is one."""

    card: NotRequired[int]
    component: str
    key: str
    type: str
    required: bool


class Template(TypedDict):
    """A template with the variables it asks for."""

    name: str
    language: str
    status: str
    category: str | None
    quality: str | None
    wabaId: str
    parameterFormat: Literal["NAMED", "POSITIONAL"]
    variables: list[TemplateVariable]
    unsupported: list[str]
    components: list[dict[str, Any]]
    syncedAt: Time


def template(row: models.Template) -> Template:
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
        "variables": [_variable(place) for place in slots.places],
        "unsupported": list(slots.unsupported),
        "components": components,
        "syncedAt": format_time(row.synced_at),
    }


def _variable(place: templates.Place) -> TemplateVariable:
    told: TemplateVariable = {
        "component": place.component,
        "key": place.key,
        "type": place.kind,
        "required": place.required,
    }
    return told if place.card is None else {"card": place.card, **told}


# People


class Suppression(TypedDict):
    """A person who gets no marketing."""

    to: str
    reason: str
    source: str
    createdAt: Time


def suppression(row: models.Suppression) -> Suppression:
    return {
        "to": row.recipient,
        "reason": row.reason,
        "source": row.source,
        "createdAt": format_time(row.created_at),
    }


class AddedSuppressions(TypedDict):
    """How many people are new among the suppressed, and how many were known."""

    added: int
    known: int


class Contact(TypedDict):
    """A person: what may stand as `userId` in a request."""

    id: str
    to: str
    name: str | None
    createdAt: Time


def contact(row: models.Contact) -> Contact:
    return {
        "id": contacts.public_id(row.id),
        "to": row.recipient,
        "name": row.name,
        "createdAt": format_time(row.created_at),
    }


class ConversationAssignment(TypedDict):
    key: ActionKey
    value: str
    at: Time


class Conversation(TypedDict):
    """A person on a channel: what may stand as `sessionId` in a request."""

    id: str
    contact: str
    to: str
    channel: str
    createdAt: Time
    lastSentAt: Time
    assignedTo: ConversationAssignment | None


def conversation(row: conversations.Listed) -> Conversation:
    facts = row.facts
    return {
        "id": conversations.public_id(facts.id),
        "contact": contacts.public_id(facts.contact_id),
        "to": row.recipient,
        "channel": row.phone_number_id,
        "createdAt": format_time(facts.created_at),
        "lastSentAt": format_time(facts.last_sent_at),
        "assignedTo": _assignment(facts),
    }


def _assignment(facts: models.Conversation) -> ConversationAssignment | None:
    if facts.assigned_key is None or facts.assigned_to is None or facts.assigned_at is None:
        return None
    return {
        "key": facts.assigned_key,
        "value": facts.assigned_to,
        "at": format_time(facts.assigned_at),
    }


class ContactDetails(Contact):
    """A person with every name, the opt-out if there is one, and the last message on each channel."""

    names: list[str]
    suppressed: Suppression | None
    conversations: list[Conversation]
    lastMessages: list[Message]


def contact_details(found: contact_book.Known) -> ContactDetails:
    return {
        **contact(found.contact),
        "names": found.names,
        "suppressed": suppression(found.suppression) if found.suppression else None,
        "conversations": [conversation(one) for one in found.conversations],
        "lastMessages": [message(row, public_id) for row, public_id in found.last_messages],
    }


# Events and webhooks


class Event(TypedDict):
    """Something that happened, as webhooks get it."""

    id: str
    type: AnyEventName
    timestamp: Time
    data: dict[str, Any]


def event(row: models.Event) -> Event:
    return {
        "id": events.public_id(row.id),
        "type": row.type,
        "timestamp": format_time(row.created_at),
        "data": strict_json.loads(row.data.encode()),
    }


class Webhook(TypedDict):
    """An address that is told of events."""

    id: str
    url: str
    types: list[EventName]
    createdAt: Time
    disabledAt: Time | None
    disabledReason: str | None


def webhook(row: models.Webhook) -> Webhook:
    return {
        "id": webhooks.public_id(row.id),
        "url": row.url,
        "types": row.types.split(),
        "createdAt": format_time(row.created_at),
        "disabledAt": format_time(row.disabled_at),
        "disabledReason": row.disabled_reason,
    }


class WebhookWithSecret(Webhook):
    """The secret is shown this once."""

    secret: str


class ReplayedWebhook(Webhook):
    replayed: int


class WebhookDelivery(TypedDict):
    """One event on its way to one webhook: how often it was tried and what was answered last."""

    id: int
    event: str
    type: AnyEventName
    state: WebhookDeliveryState
    attempts: int
    answer: str | None
    triedAt: Time | None
    nextAttemptAt: Time | None


def delivery(row: models.EventDelivery, type: str) -> WebhookDelivery:
    return {
        "id": row.id,
        "event": events.public_id(row.event_id),
        "type": type,
        "state": row.state,
        "attempts": row.attempts,
        "answer": row.answer,
        "triedAt": format_time(row.tried_at),
        "nextAttemptAt": format_time(row.next_at) if row.state == "pending" else None,
    }


# The caller


class Me(TypedDict):
    """What a token may do."""

    id: str
    name: str
    scopes: list[access.Scope]
    expiresAt: Time | None


def me(caller: access.Caller, row: models.Token | None) -> Me:
    return {
        "id": caller.token_id,
        "name": caller.name,
        "scopes": sorted(caller.scopes),
        "expiresAt": format_time(row.expires_at if row else None),
    }


def _rounded(pace: float) -> float:
    return round(pace, 2)
