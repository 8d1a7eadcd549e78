"""From a request to messages: what a broadcast would be, checked against what is known.

A face turns its wire format into a Spec; plan() resolves people, finds templates, merges and
fills variables, and collects every fault under the names the face's callers know.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from broadcaster.domain import phone, strict_json, templates
from broadcaster.domain.templates import Preview, Slots, Variables
from broadcaster.errors import Fault, Faults, Invalid, Kind
from broadcaster.store import (
    channels,
    contacts,
    conversations,
    definitions,
    suppressions,
)
from broadcaster.store.claims import SUPPRESSED
from broadcaster.store.messages import Draft
from broadcaster.store.models import Channel

MOST_RECIPIENTS = 5000
FURTHEST_MS = 36_525 * 86_400_000

Arrange = Callable[[Slots, Variables, str, Faults], Variables]
"""Turns variables as one face's callers write them into ours, once the template is known."""


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """A template as a request names it; without a language the only one there is is meant."""

    name: str | None = None
    language: str | None = None
    variables: Any = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """An entry of a request; `where` is its place there, for faults, and `content` that of its
    template and variables if they stand elsewhere.

    Exactly one of `to`, `contact` and `conversation` names the person; none, where a face found
    the entry unreadable and noted the fault. `inherits` lays it over the request's template.
    """

    where: str
    to: str | None = None
    variables: Any = None
    template: TemplateRef | None = None
    metadata: Any = None
    contact: str | None = None
    conversation: str | None = None
    inherits: bool = True
    content: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What a face calls the fields, so that faults speak its language.

    The last six stand below a recipient's place.
    """

    channel: str = "channel"
    due_at: str = "scheduleAt"
    recipients: str = "recipients"
    template: str = "template.name"
    language: str = "template.language"
    variables: str = "template.variables"
    to: str = "to"
    contact: str = "userId"
    conversation: str = "sessionId"
    own_template: str = "template.name"
    own_language: str = "template.language"
    own_variables: str = "variables"


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of a conversation once its message left; `value` is the caller's own id."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Spec:
    """A broadcast as it was asked for; `due_at` None means now. Channel and recipients are None
    where a face found them unreadable and noted the fault: the rest is checked all the same.

    `on_invalid` is for recipients whose variables do not fit, `on_bad_number` for those who
    cannot be a person: reject the request, or let that one fail.
    """

    channel: str | None
    template: TemplateRef
    recipients: list[Recipient] | None
    title: str | None = None
    due_at: int | None = None
    priority: int = 0
    on_duplicate: str = "drop"
    on_invalid: str = "reject"
    on_bad_number: str = "reject"
    may_be_past: bool = False
    metadata: Any = None
    action: Action | None = None
    on_unknown: str = "fail"
    expire_at: int | None = None
    names: Names = field(default_factory=Names)
    arrange: Arrange | None = None
    face: str = "own"
    face_data: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A broadcast that could be accepted: its channel, its messages, and what it will take.

    `preview` is the first message as its reader will see it, `notes` what Meta may mind.
    """

    spec: Spec
    channel: Channel
    template: str
    language: str
    drafts: list[Draft]
    duplicates: int
    notes: Faults
    preview: Preview | None

    @property
    def invalid(self) -> int:
        return sum(draft.error_code is not None for draft in self.drafts)


def plan(spec: Spec, faults: Faults, now: int) -> Plan:
    """Check a request against what is known; raises Invalid with these faults and all found here."""
    channel = None if spec.channel is None else _usable_channel(spec.channel, spec.names, faults)
    if spec.due_at is not None and spec.due_at < now and not spec.may_be_past:
        faults.add(spec.names.due_at, "is in the past; leave it out to send now")
    if spec.due_at is not None and spec.due_at > now + FURTHEST_MS:
        faults.add(spec.names.due_at, "is more than a hundred years ahead")
    if spec.expire_at is not None and spec.expire_at <= max(now, spec.due_at or now):
        faults.add("expireAt", "must be later than the start")
    entries = spec.recipients
    if entries is not None and not 1 <= len(entries) <= MOST_RECIPIENTS:
        faults.add(spec.names.recipients, f"must have 1 to {MOST_RECIPIENTS} entries, has {len(entries)}")
    drafting = _Drafting(spec, channel, faults)
    if entries is not None and len(entries) <= MOST_RECIPIENTS:
        drafting.run(entries)
    if faults or channel is None:
        raise Invalid(faults)
    chosen = drafting.chosen
    return Plan(
        spec=spec,
        channel=channel,
        template=chosen.name if chosen else spec.template.name or "",
        language=chosen.language if chosen else spec.template.language or "",
        drafts=drafting.drafts,
        duplicates=drafting.duplicates,
        notes=drafting.notes,
        preview=drafting.preview,
    )


def _usable_channel(phone_number_id: str, names: Names, faults: Faults) -> Channel | None:
    """The channel, if it is known and verified; what it lacks becomes a fault."""
    channel = channels.find(phone_number_id)
    if channel is None:
        faults.add(names.channel, f'there is no channel "{phone_number_id[:40]}"', Kind.CHANNEL_UNKNOWN)
        return None
    if not is_verified(channel):
        told = f"the number is not ready to send: its status is {channel.status}"
        faults.add(names.channel, told, Kind.CHANNEL_UNVERIFIED)
    return channel


def is_verified(channel: Channel) -> bool:
    """Whether Meta lets the number send: connected and verified, as far as Graph told.

    An expired code verification does not stop sending (Meta, phone numbers).
    """
    return channel.status in (None, "CONNECTED") and channel.code_verification_status not in (
        "NOT_VERIFIED",
        "UNVERIFIED",
    )


def effective(
    base: TemplateRef, base_variables: Variables, recipient: Recipient, own_variables: Variables
) -> tuple[TemplateRef, Variables]:
    """The template and the variables of one recipient: its own laid over the request's, or alone."""
    own = recipient.template
    if not recipient.inherits:
        return own or TemplateRef(), own_variables
    variables = templates.merge(base_variables, own_variables)
    if own is None:
        return base, variables
    return TemplateRef(own.name or base.name, own.language or base.language), variables


@dataclass(frozen=True, slots=True)
class _Template:
    name: str
    language: str
    slots: Slots
    definition: list[dict[str, Any]]
    is_marketing: bool


class _Drafting:
    """Turns the recipients of one request into messages, noting faults on the way."""

    def __init__(self, spec: Spec, channel: Channel | None, faults: Faults):
        self.spec = spec
        self.faults = faults
        self.notes = Faults()
        self.duplicates = 0
        self.drafts: list[Draft] = []
        self.chosen: _Template | None = None
        """The template that stands for the broadcast: the request's, or its first recipient's."""
        self.preview: Preview | None = None
        self._channel = channel
        self._known: dict[tuple[str, str | None], _Template | Fault] = {}
        self._first_seen: dict[str, str] = {}
        self._base = templates.parse_variables(spec.template.variables, spec.names.variables, faults)
        self._plain = self.chosen = self._lookup(spec.template, "", faults)

    def run(self, recipients: list[Recipient]) -> None:
        self._people = contacts.recipients(r.contact for r in recipients if r.contact is not None)
        self._conversations = conversations.people(
            r.conversation for r in recipients if r.conversation is not None
        )
        for recipient in recipients:
            self._draft(recipient)
        self._refuse_the_unwilling()

    def _refuse_the_unwilling(self) -> None:
        """Marketing to people who asked for none fails at once."""
        unwilling = suppressions.among([draft.recipient for draft in self.drafts if draft.is_marketing])
        self.drafts = (
            [
                replace(draft, error_code=SUPPRESSED[0], error_text=SUPPRESSED[1])
                if draft.is_marketing and draft.recipient in unwilling and not draft.error_code
                else draft
                for draft in self.drafts
            ]
            if unwilling
            else self.drafts
        )

    def _draft(self, recipient: Recipient) -> None:
        own, named_by, given = Faults(), *self._named_by(recipient)
        if given is None:
            return
        at = strict_json.under(recipient.where, named_by)
        to = self._person(recipient, given, at, own)
        if to is not None and self._is_duplicate(to, at):
            return
        unfit = Faults()
        content, is_marketing = self._content(recipient, unfit)
        causes = [self._judged(own, self.spec.on_bad_number), self._judged(unfit, self.spec.on_invalid)]
        cause = next((fault for fault in causes if fault), None)
        if to is not None and cause is None:
            # An entry that fails alone does not stand for its person: a later one may be right.
            self._first_seen[to] = at
        self._add(recipient, to or given[:100], content, is_marketing, cause)

    def _named_by(self, recipient: Recipient) -> tuple[str, str | None]:
        """The field that names the person, and what it says."""
        names = self.spec.names
        if recipient.contact is not None:
            return names.contact, recipient.contact
        if recipient.conversation is not None:
            return names.conversation, recipient.conversation
        return names.to, recipient.to

    def _judged(self, found: Faults, policy: str) -> Fault | None:
        """Why this recipient fails alone, or None and the faults are the request's."""
        if found and policy == "fail":
            return found.shown[0]
        for fault in found.shown:
            self.faults.add(fault.field, fault.message, fault.kind)
        return None

    def _person(self, recipient: Recipient, given: str, at: str, own: Faults) -> str | None:
        """The number or user id behind whatever names the person."""
        if recipient.contact is not None:
            to = self._people.get(given)
            if to is None:
                own.add(at, f'there is no contact "{given[:40]}"', Kind.PERSON_UNKNOWN)
            return to
        if recipient.conversation is not None:
            return self._other_side(given, at, own)
        try:
            return phone.recipient(given)
        except ValueError as error:
            own.add(at, str(error))
            return None

    def _other_side(self, given: str, at: str, own: Faults) -> str | None:
        channel_id, to = self._conversations.get(given, (None, None))
        if to is None:
            own.add(at, f'there is no conversation "{given[:40]}"', Kind.PERSON_UNKNOWN)
        elif self._channel and channel_id != self._channel.id:
            own.add(at, f'the conversation "{given[:40]}" is with another channel', Kind.PERSON_UNKNOWN)
        return to

    def _is_duplicate(self, to: str, at: str) -> bool:
        first = self._first_seen.get(to)
        if first is None or self.spec.on_duplicate == "allow":
            return False
        self.duplicates += 1
        if self.spec.on_duplicate == "reject":
            self.faults.add(at, f"is the same person as {first}", Kind.DUPLICATE)
        return True

    def _content(self, recipient: Recipient, own: Faults) -> tuple[str, bool]:
        """Graph's template object for one recipient, as it will be sent, and whether it is marketing."""
        place, names = recipient.content or recipient.where, self.spec.names
        at = strict_json.under(place, names.own_variables)
        variables = templates.parse_variables(recipient.variables, at, own)
        ref, variables = effective(self.spec.template, self._base, recipient, variables)
        found = self._plain if recipient.template is None else self._lookup(ref, place, own)
        if found is None:
            return "", False
        if self.spec.arrange:
            variables = self.spec.arrange(found.slots, variables, at, own)
        components = templates.fill(found.slots, variables, at, own, self.notes)
        if self.chosen is None:
            self.chosen = found
        if self.preview is None and not own:
            self.preview = templates.preview(found.definition, components)
        content: dict[str, Any] = {"name": found.name, "language": {"code": found.language}}
        if components:
            content["components"] = components
        return strict_json.dumps(content), found.is_marketing

    def _lookup(self, ref: TemplateRef, place: str, faults: Faults) -> _Template | None:
        """The approved template a request names; each is read once, its faults told everywhere."""
        if self._channel is None or ref.name is None:
            return None
        key = (ref.name, ref.language)
        if key not in self._known:
            self._known[key] = _read_template(self._channel.waba_id, ref.name, ref.language)
        found = self._known[key]
        if isinstance(found, Fault):
            names = self.spec.names
            field = getattr(names, f"own_{found.field}" if place else found.field)
            faults.add(strict_json.under(place, field), found.message, found.kind)
            return None
        return found

    def _add(
        self, recipient: Recipient, to: str, content: str, is_marketing: bool, cause: Fault | None
    ) -> None:
        self.drafts.append(
            Draft(
                recipient=to,
                content=content,
                variables=None if recipient.variables is None else strict_json.dumps(recipient.variables),
                metadata=None if recipient.metadata is None else strict_json.dumps(recipient.metadata),
                error_code="INVALID_RECIPIENT" if cause else None,
                error_text=_told(cause, recipient.where) if cause else None,
                is_marketing=is_marketing,
            )
        )


def _told(cause: Fault, where: str) -> str:
    """The fault for somebody who looks at the one message, not at the request."""
    return f"{cause.field.removeprefix(where).removeprefix('.')}: {cause.message}"


def _read_template(waba_id: str, name: str, language: str | None) -> _Template | Fault:
    """The template, or what is wrong with the reference to it; the field is one of Names."""
    there = definitions.languages(waba_id, name)
    if not there:
        told = f'there is no template "{name[:60]}" on this channel'
        return Fault("template", told, Kind.TEMPLATE_UNKNOWN)
    if language is None and len(there) > 1:
        return Fault("language", f"is required, the template exists in {', '.join(there)}")
    row = definitions.find(waba_id, name, language or there[0])
    if row is None:
        told = f'"{str(language)[:20]}" is none of the template\'s: {", ".join(there)}'
        return Fault("language", told, Kind.TEMPLATE_UNKNOWN)
    if row.status != "APPROVED":
        told = f'the template "{name}" is not approved, its status is {row.status}'
        return Fault("template", told, Kind.TEMPLATE_UNAPPROVED)
    definition = strict_json.loads(row.components.encode())
    slots = templates.slots(definition, row.parameter_format)
    if slots.unsupported:
        return Fault("template", f"the template has parts not served yet: {', '.join(slots.unsupported)}")
    return _Template(row.name, row.language, slots, definition, row.category == "MARKETING")
