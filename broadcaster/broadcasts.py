"""The door: what may be done with broadcasts, whichever language it was asked in.

A face turns its wire format into a Spec; plan() checks it against what we know; submit() stores
it and rings. Progress is what every face reads its own words from.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from broadcaster import models, pacing, phone, templates, wire
from broadcaster.config import Settings
from broadcaster.errors import Fault, Faults, Invalid, KeyReused, NotFound
from broadcaster.models import Broadcast, Channel, Message
from broadcaster.store import broadcast as ledger
from broadcaster.store import channel as channels
from broadcaster.store import database, lease, message
from broadcaster.store import template as definitions
from broadcaster.store.message import Counts, Draft
from broadcaster.tasks import Bell

MOST_RECIPIENTS = 5000
HIGH, NORMAL = 1, 0
LATE_MS = 1000
FURTHEST_MS = 36_525 * 86_400_000
HEARTBEAT_MS = 15_000


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """A template as a request names it; without a language the only one there is is meant."""

    name: str | None = None
    language: str | None = None
    variables: Any = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """An entry of a request; `where` is its place there, for faults. `to` is None where a face
    found it unreadable and noted the fault."""

    where: str
    to: str | None
    variables: Any = None
    template: TemplateRef | None = None
    metadata: Any = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A broadcast as it was asked for; `due_at` None means now. Channel and recipients are None
    where a face found them unreadable and noted the fault: the rest is checked all the same."""

    channel: str | None
    template: TemplateRef
    recipients: list[Recipient] | None
    title: str | None = None
    due_at: int | None = None
    priority: int = NORMAL
    on_duplicate: str = "drop"
    on_invalid: str = "reject"
    metadata: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A broadcast that could be accepted: its channel, its messages, and what it will take."""

    spec: Spec
    channel: Channel
    language: str
    drafts: list[Draft]
    duplicates: int

    @property
    def invalid(self) -> int:
        return sum(draft.error_code is not None for draft in self.drafts)


@dataclass(frozen=True, slots=True)
class Once:
    """A caller's wish that a request be carried out once, however often it comes."""

    token_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Quota:
    """The portfolio's allowance; numbers are None for an unlimited tier."""

    tier: str
    total: int | None
    available: int | None
    needed: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why messages of a broadcast have not left yet."""

    reason: str
    until: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a broadcast stands: its facts and the counters of one moment."""

    facts: Broadcast
    channel: Channel
    counts: Counts
    status: str
    pace: float
    quota: Quota
    estimated_finish_at: int | None
    waiting: Waiting | None
    late: bool = field(default=False)


# Accepting


def plan(spec: Spec, faults: Faults, settings: Settings, now: int) -> Plan:
    """Check a request against what is known; raises Invalid with these faults and all found here."""
    channel = None if spec.channel is None else _usable_channel(spec.channel, faults)
    if spec.due_at is not None and spec.due_at < now:
        faults.add("scheduleAt", "is in the past; leave it out to send now")
    if spec.due_at is not None and spec.due_at > now + FURTHEST_MS:
        faults.add("scheduleAt", "is more than a hundred years ahead")
    entries = spec.recipients
    if entries is not None and not 1 <= len(entries) <= MOST_RECIPIENTS:
        faults.add("recipients", f"must have 1 to {MOST_RECIPIENTS} entries, has {len(entries)}")
    drafting = _Drafting(spec, channel, faults)
    if entries is not None and len(entries) <= MOST_RECIPIENTS:
        drafting.run(entries)
    if faults or channel is None:
        raise Invalid(faults)
    return Plan(spec, channel, drafting.language, drafting.drafts, drafting.duplicates)


def replay(once: Once) -> str | None:
    """The answer given when this request first came, or None; raises KeyReused for another request."""
    first = ledger.recall(once.token_id, once.key)
    if first is None:
        return None
    if first.fingerprint != once.fingerprint:
        raise KeyReused("this Idempotency-Key was used for a different request")
    return first.answer


def submit(
    accepted: Plan,
    bell: Bell,
    settings: Settings,
    render: Callable[[Progress], str],
    now: int,
    token_id: str | None = None,
    once: Once | None = None,
    public_id: str | None = None,
) -> tuple[str, bool]:
    """Store a planned broadcast and ring for it, in one transaction.

    Returns the rendered answer and whether it is a replay of an earlier one.
    """
    spec = accepted.spec
    facts = {
        "public_id": public_id or str(uuid.uuid4()),
        "channel_id": accepted.channel.id,
        "token_id": token_id,
        "title": spec.title,
        "template_name": spec.template.name,
        "template_language": accepted.language,
        "priority": spec.priority,
        "metadata": None if spec.metadata is None else wire.dumps(spec.metadata),
        "duplicates": accepted.duplicates,
        "scheduled": spec.due_at is not None,
        "due_at": now if spec.due_at is None else spec.due_at,
    }
    with database.transaction():
        # Asked again under the write lock: the same request may have come twice at once.
        first = replay(once) if once else None
        if first is not None:
            return first, True
        row = ledger.accept(facts, accepted.drafts, now)
        answer = render(progress_of([row], settings, now)[0])
        if once:
            ledger.remember(once.token_id, once.key, once.fingerprint, row.id, answer, now)
        bell.ring(accepted.channel.id, spec.due_at)
        return answer, False


def _usable_channel(phone_number_id: str, faults: Faults) -> Channel | None:
    """The channel, if it is known and verified; what it lacks becomes a fault of field `channel`."""
    channel = channels.find(phone_number_id)
    if channel is None:
        faults.add("channel", f'there is no channel "{phone_number_id[:40]}"')
        return None
    if not is_verified(channel):
        faults.add("channel", f"the number is not ready to send: its status is {channel.status}")
    return channel


def is_verified(channel: Channel) -> bool:
    """Whether Meta lets the number send: connected and verified, as far as Graph told.

    An expired code verification does not stop sending (Meta, phone numbers).
    """
    return channel.status in (None, "CONNECTED") and channel.code_verification_status not in (
        "NOT_VERIFIED",
        "UNVERIFIED",
    )


class _Drafting:
    """Turns the recipients of one request into messages, noting faults on the way."""

    def __init__(self, spec: Spec, channel: Channel | None, faults: Faults):
        self.spec = spec
        self.faults = faults
        self.duplicates = 0
        self.drafts: list[Draft] = []
        self.language = spec.template.language or ""
        self._waba_id = channel.waba_id if channel else None
        self._known: dict[tuple[str, str | None], _Template | Fault] = {}
        self._first_seen: dict[str, str] = {}
        self._base = templates.parse_variables(spec.template.variables, "template.variables", faults)
        self._plain = self._lookup(spec.template, "template", faults)
        if self._plain:
            self.language = self._plain.language

    def run(self, recipients: list[Recipient]) -> None:
        for recipient in recipients:
            if recipient.to is not None:
                self._draft(recipient, recipient.to)

    def _draft(self, recipient: Recipient, given: str) -> None:
        # A recipient's own faults are the request's, unless the caller lets it fail alone.
        own = Faults()
        to = self._number(given, recipient.where, own)
        if to is not None and not self._is_wanted(to, recipient):
            return
        content = self._content(recipient, own)
        if not own:
            self._add(recipient, to or given, content)
        elif self.spec.on_invalid == "fail":
            self._add(recipient, to or given[:100], content, own.shown[0])
        else:
            for fault in own.shown:
                self.faults.add(fault.field, fault.message)

    @staticmethod
    def _number(given: str, where: str, own: Faults) -> str | None:
        try:
            return phone.recipient(given)
        except ValueError as error:
            own.add(f"{where}.to", str(error))
            return None

    def _is_wanted(self, to: str, recipient: Recipient) -> bool:
        if self.spec.on_duplicate == "allow":
            return True
        first = self._first_seen.setdefault(to, recipient.where)
        if first == recipient.where:
            return True
        self.duplicates += 1
        if self.spec.on_duplicate == "reject":
            self.faults.add(f"{recipient.where}.to", f"is the same person as {first}.to")
        return False

    def _content(self, recipient: Recipient, own: Faults) -> str:
        found = self._plain
        if recipient.template is not None:
            merged = TemplateRef(
                recipient.template.name or self.spec.template.name,
                recipient.template.language or self.spec.template.language,
            )
            found = self._lookup(merged, f"{recipient.where}.template", own)
        if found is None:
            return ""
        where = f"{recipient.where}.variables"
        variables = templates.parse_variables(recipient.variables, where, own)
        components = templates.fill(found.slots, templates.merge(self._base, variables), where, own)
        content: dict[str, Any] = {"name": found.name, "language": {"code": found.language}}
        if components:
            content["components"] = components
        return wire.dumps(content)

    def _lookup(self, ref: TemplateRef, where: str, faults: Faults) -> "_Template | None":
        """The approved template a request names; each is read once, its faults told everywhere."""
        if self._waba_id is None or ref.name is None:
            return None
        key = (ref.name, ref.language)
        if key not in self._known:
            self._known[key] = _read_template(self._waba_id, ref.name, ref.language)
        found = self._known[key]
        if isinstance(found, Fault):
            faults.add(f"{where}.{found.field}", found.message)
            return None
        return found

    def _add(self, recipient: Recipient, to: str, content: str, fault: Fault | None = None) -> None:
        self.drafts.append(
            Draft(
                recipient=to,
                content=content,
                variables=None if recipient.variables is None else wire.dumps(recipient.variables),
                metadata=None if recipient.metadata is None else wire.dumps(recipient.metadata),
                error_code="INVALID_RECIPIENT" if fault else None,
                error_text=f"{fault.field.removeprefix(recipient.where + '.')}: {fault.message}"
                if fault
                else None,
            )
        )


@dataclass(frozen=True, slots=True)
class _Template:
    name: str
    language: str
    slots: templates.Slots


def _read_template(waba_id: str, name: str, language: str | None) -> _Template | Fault:
    """The template, or what is wrong with the reference to it."""
    there = definitions.languages(waba_id, name)
    if not there:
        return Fault("name", f'there is no template "{name[:60]}" on this channel')
    if language is None and len(there) > 1:
        return Fault("language", f"is required, the template exists in {', '.join(there)}")
    row = definitions.find(waba_id, name, language or there[0])
    if row is None:
        return Fault("language", f'"{str(language)[:20]}" is none of the template\'s: {", ".join(there)}')
    if row.status != "APPROVED":
        return Fault("name", f'the template "{name}" is not approved, its status is {row.status}')
    slots = templates.slots(wire.loads(row.components.encode()), row.parameter_format)
    if slots.unsupported:
        return Fault("name", f"the template has parts not served yet: {', '.join(slots.unsupported)}")
    return _Template(row.name, row.language, slots)


# Asking


def get(public_id: str) -> Broadcast:
    """The broadcast callers know by this id; raises NotFound."""
    row = ledger.find(public_id)
    if row is None:
        raise NotFound(f'there is no broadcast "{public_id[:60]}"')
    return row


def progress(public_id: str, settings: Settings, now: int) -> Progress:
    """Where a broadcast stands; raises NotFound."""
    return progress_of([get(public_id)], settings, now)[0]


def page(status: str | None, before: int | None, limit: int, settings: Settings, now: int) -> list[Progress]:
    """Broadcasts with their counters, newest first."""
    return progress_of(ledger.page(status, before, limit, now), settings, now)


def progress_of(rows: list[Broadcast], settings: Settings, now: int) -> list[Progress]:
    """The progress of each of these broadcasts."""
    counted = message.counts([row.id for row in rows])
    known = {row.id: row for row in channels.all_channels()}
    paces = lease.paces(now)
    return [_progress(row, known[row.channel_id], counted[row.id], paces, settings, now) for row in rows]


def _progress(
    row: Broadcast, channel: Channel, counts: Counts, paces: dict[int, float], settings: Settings, now: int
) -> Progress:
    tier = pacing.known_tier(channel.tier, settings.default_tier)
    nominal = pacing.pace_of(channel.throughput, channel.coexistence, tier, channel.pace_override)
    pace = min(nominal, paces.get(channel.id, nominal))
    waiting = None if row.finished_at or row.stopped_at else _waiting(row, counts, settings, now)
    return Progress(
        facts=row,
        channel=channel,
        counts=counts,
        status=status(row, counts, now),
        pace=pace,
        quota=_quota(channel, tier, counts, now),
        estimated_finish_at=_estimate(row, counts, pace, now),
        waiting=waiting,
        late=row.started_at is not None and row.started_at - row.due_at > LATE_MS,
    )


def status(row: Broadcast, counts: Counts, now: int) -> str:
    """The word for a broadcast, derived from its facts and counts; store.broadcast.page filters alike."""
    if row.stopped_at is not None:
        return "cancelled"
    if row.finished_at is not None:
        if not counts.states["failed"]:
            return "completed"
        return "partial" if counts.states["sent"] else "failed"
    if row.paused_at is not None:
        return "paused"
    if row.started_at is not None:
        return "sending"
    return "scheduled" if row.due_at > now else "queued"


def _waiting(row: Broadcast, counts: Counts, settings: Settings, now: int) -> Waiting | None:
    if row.paused_at is not None:
        return Waiting(row.pause_reason or "paused", detail=row.pause_detail)
    if row.due_at > now:
        return Waiting("schedule", until=row.due_at)
    if counts.states["pending"]:
        return _waiting_to_leave(row, now)
    if counts.states["unknown"] and not counts.states["sending"]:
        return Waiting("receipts", detail="messages without an answer wait for their receipt")
    return None


def _waiting_to_leave(row: Broadcast, now: int) -> Waiting:
    seen = lease.last_beat()
    if seen is None or now - seen > HEARTBEAT_MS:
        return Waiting("channel", detail="no worker is running")
    trouble = lease.trouble(row.channel_id, now)
    if trouble:
        return Waiting("channel", detail=trouble)
    next_at = message.next_waiting(row.id)
    if next_at is not None and next_at > now:
        return Waiting("retry", until=next_at)
    return Waiting("pace")


def _quota(channel: Channel, tier: str, counts: Counts, now: int) -> Quota:
    total = pacing.tier_size(tier)
    if total is None:
        return Quota(tier, None, None, counts.states["pending"])
    reached = message.people_reached(channel.portfolio, now - message.DAY)
    return Quota(tier, total, max(0, total - reached), counts.states["pending"])


def _estimate(row: Broadcast, counts: Counts, pace: float, now: int) -> int | None:
    if row.finished_at or row.stopped_at or row.paused_at or not counts.states["pending"]:
        return None
    return max(now, row.due_at) + int(counts.states["pending"] / pace * 1000)


def messages(public_id: str, filters: dict[str, str], after: int, limit: int) -> list[Message]:
    """A page of a broadcast's messages, by id; raises NotFound."""
    return message.page(get(public_id).id, filters, after, limit)


def find_message(reference: str) -> tuple[Message, str]:
    """A message by our id or Meta's, and its broadcast's public id; raises NotFound."""
    row = message.find(reference)
    if row is None:
        raise NotFound(f'there is no message "{reference[:60]}"')
    return row, ledger.get(row.broadcast_id).public_id


# Moving


def stop(public_id: str, settings: Settings, now: int) -> Progress:
    """Cancel what has not left. Doing it twice, or after the end, changes nothing; raises NotFound."""
    return progress_of([ledger.stop(get(public_id).id, now)], settings, now)[0]


def pause(public_id: str, settings: Settings, now: int) -> Progress:
    """Hold a broadcast back until it is resumed; raises NotFound."""
    row = get(public_id)
    with database.transaction():
        ledger.pause(row.id, "paused", None, now)
    return progress(public_id, settings, now)


def resume(public_id: str, bell: Bell, settings: Settings, now: int) -> Progress:
    """Let a paused broadcast go on, whatever paused it; raises NotFound."""
    row = get(public_id)
    with database.transaction():
        if ledger.resume(row.id):
            bell.ring(row.channel_id, row.due_at if row.due_at > now else None)
    return progress(public_id, settings, now)


def is_ready(now: int) -> dict[str, bool]:
    """What must hold for broadcasts to be accepted and sent."""
    seen = lease.last_beat()
    return {
        "database": database.is_writable(),
        "schema": database.is_current(models.database.obj),
        "worker": seen is not None and now - seen <= HEARTBEAT_MS,
    }
