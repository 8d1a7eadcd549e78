"""Approved templates: those of a channel that a request may send, ready to be filled."""

from dataclasses import dataclass

from broadcaster.domain import strict_json, templates
from broadcaster.domain.templates import Defined, Slots, categories
from broadcaster.domain.variables import TemplateRef
from broadcaster.errors import Fault, Faults, Kind
from broadcaster.services.specs import Names
from broadcaster.store import definitions
from broadcaster.store.models import Channel, Template


@dataclass(frozen=True, slots=True)
class ApprovedTemplate:
    """A template that Meta lets us send, and what it asks for."""

    name: str
    language: str
    slots: Slots
    definition: list[Defined]
    is_marketing: bool
    needs_number: bool

    @property
    def key(self) -> tuple[str, str]:
        """Name and language, which tell templates apart."""
        return self.name, self.language


class ApprovedTemplates:
    """The templates one request names; each is read once, its faults are told everywhere."""

    def __init__(self, channel: Channel | None, names: Names):
        self._channel = channel
        self._names = names
        self._known: dict[tuple[str, str | None], ApprovedTemplate | Fault] = {}

    def find(self, ref: TemplateRef, place: str, faults: Faults) -> ApprovedTemplate | None:
        """The template of an entry at `place`, or of the request where that is empty; None without a
        name or a channel, or with a fault."""
        if self._channel is None or ref.name is None:
            return None
        key = (ref.name, ref.language)
        if key not in self._known:
            self._known[key] = _read(self._channel.waba_id, ref.name, ref.language)
        found = self._known[key]
        if isinstance(found, ApprovedTemplate):
            return found
        faults.add(strict_json.under(place, self._field(found, place)), found.message, found.kind)
        return None

    def _field(self, fault: Fault, place: str) -> str:
        names = self._names
        if fault.field == "language":
            return names.own_language if place else names.language
        return names.own_template if place else names.template


def _read(waba_id: str, name: str, language: str | None) -> ApprovedTemplate | Fault:
    """The template, or what is wrong with the reference to it, in the field `template` or `language`."""
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
    return _approved(row)


def _approved(row: Template) -> ApprovedTemplate | Fault:
    if row.status != "APPROVED":
        told = f'the template "{row.name}" is not approved, its status is {row.status}'
        return Fault("template", told, Kind.TEMPLATE_UNAPPROVED)
    definition: list[Defined] = strict_json.loads(row.components.encode())
    slots = templates.slots(definition, row.parameter_format)
    if slots.unsupported:
        return Fault("template", f"the template has parts not served yet: {', '.join(slots.unsupported)}")
    return ApprovedTemplate(
        row.name,
        row.language,
        slots,
        definition,
        is_marketing=categories.is_marketing(row.category),
        needs_number=categories.needs_number(row.category),
    )
