"""Planning: what a broadcast would be, checked against what is known.

An API turns its wire format into a Spec; plan() finds people and templates, merges and fills
variables, and collects every fault under the names that API's callers know.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.domain import opt_out_words, phone, strict_json, templates
from broadcaster.domain.templates import Preview, graph_object
from broadcaster.domain.variables import effective
from broadcaster.domain.words import OnInvalid
from broadcaster.errors import Fault, Faults, Invalid, Kind
from broadcaster.services.addressees import Addressees
from broadcaster.services.approved_templates import ApprovedTemplate, ApprovedTemplates
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.store import channels
from broadcaster.store.claims import SUPPRESSED
from broadcaster.store.messages import Draft
from broadcaster.store.models import Channel

MOST_RECIPIENTS = 5000
FURTHEST_MS = 36_525 * 86_400_000
"""A hundred years."""


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

    @property
    def countries(self) -> dict[str | None, int]:
        """How many messages go to which country (ISO code), most first; None for numbers of no country."""
        found = Counter(phone.country_of(draft.recipient) for draft in self.drafts if not draft.error_code)
        return dict(found.most_common())


def plan(spec: Spec, faults: Faults, stop_words: Iterable[str], now: int) -> Plan:
    """Check a request against what is known; raises Invalid with these faults and all found here.

    `stop_words` are the operator's, beside those that opt out anyway.
    """
    channel = None if spec.channel is None else _usable_channel(spec.channel, spec.names, faults)
    _check_times(spec, faults, now)
    entries = spec.recipients
    if entries is not None and not 1 <= len(entries) <= MOST_RECIPIENTS:
        faults.add(spec.names.recipients, f"must have 1 to {MOST_RECIPIENTS} entries, has {len(entries)}")
    drafting = _Drafting(spec, channel, faults, opt_out_words.with_added(tuple(stop_words)))
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


def _check_times(spec: Spec, faults: Faults, now: int) -> None:
    if spec.due_at is not None and spec.due_at < now and not spec.may_be_past:
        faults.add(spec.names.due_at, "is in the past; leave it out to send now")
    if spec.due_at is not None and spec.due_at > now + FURTHEST_MS:
        faults.add(spec.names.due_at, "is more than a hundred years ahead")
    if spec.expire_at is not None and spec.expire_at <= max(now, spec.due_at or now):
        faults.add("expireAt", "must be later than the start")


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


class _Drafting:
    """Turns the recipients of one request into messages, noting faults on the way."""

    def __init__(self, spec: Spec, channel: Channel | None, faults: Faults, words: opt_out_words.OptOutWords):
        self.spec = spec
        self.faults = faults
        self.notes = Faults()
        self.duplicates = 0
        self.drafts: list[Draft] = []
        self.chosen: ApprovedTemplate | None = None
        """The template that stands for the broadcast: the request's, or its first recipient's."""
        self.preview: Preview | None = None
        self._channel = channel
        self._words = words
        self._templates = ApprovedTemplates(channel, spec.names)
        self._first_seen: dict[int | str, str] = {}
        self._noted: set[tuple[str, str]] = set()
        # Empty until a recipient has faults, and then made anew: thousands have none.
        self._unknown, self._unfit = Faults(), Faults()
        self._base = templates.parse_variables(spec.template.variables, spec.names.variables, faults)
        self._plain = self.chosen = self._templates.find(spec.template, "", faults)

    def run(self, recipients: list[Recipient]) -> None:
        addressees = Addressees(recipients, self._channel, self.spec.names, self.spec.country)
        for recipient in recipients:
            self._draft(recipient, addressees)
        self.drafts = _refuse_the_unwilling(self.drafts, addressees)

    def _draft(self, recipient: Recipient, addressees: Addressees) -> None:
        named_by, given = addressees.named_by(recipient)
        if given is None:
            return
        at, unknown, unfit = strict_json.under(recipient.where, named_by), self._unknown, self._unfit
        to = addressees.find(recipient, given, at, unknown)
        person = None if to is None else addressees.person(to)
        if person is not None and self._is_duplicate(person, at):
            return
        content, template = self._content(recipient, unfit)
        if to is not None and template and template.needs_number and phone.is_user_id(to):
            unknown.add(at, "is a user id; an authentication template goes to a phone number alone")
        cause = self._cause_of_all(unknown, unfit) if unknown or unfit else None
        if person is not None and cause is None:
            # An entry that fails alone does not stand for its person: a later one may be right.
            self._first_seen[person] = at
        is_marketing = template is not None and template.is_marketing
        self.drafts.append(_draft(recipient, to or given[:100], content, is_marketing, cause))

    def _is_duplicate(self, person: int | str, at: str) -> bool:
        first = self._first_seen.get(person)
        if first is None or self.spec.on_duplicate == "allow":
            return False
        self.duplicates += 1
        if self.spec.on_duplicate == "reject":
            self.faults.add(at, f"is the same person as {first}", Kind.DUPLICATE)
        return True

    def _cause_of_all(self, unknown: Faults, unfit: Faults) -> Fault | None:
        self._unknown, self._unfit = Faults(), Faults()
        causes = (self._cause(unknown, self.spec.on_bad_number), self._cause(unfit, self.spec.on_invalid))
        return causes[0] or causes[1]

    def _cause(self, found: Faults, policy: OnInvalid) -> Fault | None:
        """Why this recipient fails alone; None, and the faults become the request's, if it does not."""
        if found and policy == "fail":
            return found.shown[0]
        for fault in found.shown:
            self.faults.add(fault.field, fault.message, fault.kind)
        return None

    def _content(self, recipient: Recipient, faults: Faults) -> tuple[str, ApprovedTemplate | None]:
        """Graph's template object for one recipient, as it will be sent, and its template."""
        place = recipient.content or recipient.where
        at = strict_json.under(place, self.spec.names.own_variables)
        own = templates.parse_variables(recipient.variables, at, faults)
        ref, variables = effective(
            self.spec.template, self._base, recipient.template, own, recipient.inherits
        )
        found = self._plain if recipient.template is None else self._templates.find(ref, place, faults)
        if found is None:
            return "", None
        if self.spec.arrange:
            variables = self.spec.arrange(found.slots, variables, at, faults)
        components = templates.fill(found.slots, variables, at, faults, self.notes)
        if self.chosen is None:
            self.chosen = found
        if found.key not in self._noted:
            self._noted.add(found.key)
            self._note_opt_outs(found)
        if self.preview is None and not faults:
            self.preview = templates.preview(found.definition, components)
        return graph_object.write(*found.key, components), found

    def _note_opt_outs(self, template: ApprovedTemplate) -> None:
        for label in self._words.opt_out_buttons(template.definition):
            self.notes.add(self.spec.names.template, f'replies to "{label}" opt out of marketing')


def _draft(recipient: Recipient, to: str, content: str, is_marketing: bool, cause: Fault | None) -> Draft:
    return Draft(
        recipient=to,
        content=content,
        variables=None if recipient.variables is None else strict_json.dumps(recipient.variables),
        metadata=None if recipient.metadata is None else strict_json.dumps(recipient.metadata),
        error_code="INVALID_RECIPIENT" if cause else None,
        error_text=_told(cause, recipient.where) if cause else None,
        is_marketing=is_marketing,
    )


def _told(cause: Fault, where: str) -> str:
    """The fault for somebody who looks at the one message, not at the request."""
    return f"{cause.field.removeprefix(where).removeprefix('.')}: {cause.message}"


def _refuse_the_unwilling(drafts: list[Draft], addressees: Addressees) -> list[Draft]:
    """The drafts, of which those fail at once that are marketing for people who asked for none."""
    code, text = SUPPRESSED
    return [
        draft._replace(error_code=code, error_text=text)
        if draft.is_marketing and not draft.error_code and addressees.is_suppressed(draft.recipient)
        else draft
        for draft in drafts
    ]
