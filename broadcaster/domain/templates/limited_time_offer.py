"""The limited-time offer: a text of its own and the time at which the offer ends."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling, only_value
from broadcaster.domain.templates.part import Definition, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import Component, Defined, Parameter, PartOfPreview

_END = "expiration_time_ms"
_FIRST_MILLISECOND = 1_000_000_000_000
"""September 2001: a smaller number was counted in seconds."""


@dataclass(frozen=True, slots=True)
class LimitedTimeOffer(Part):
    kind: ClassVar[str] = "LIMITED_TIME_OFFER"

    has_end: bool

    @classmethod
    def read(cls, definition: Definition) -> Self:
        offer = definition.part(cls.kind).get("limited_time_offer") or {}
        return cls(bool(offer.get("has_expiration")))

    @property
    def is_asking(self) -> bool:
        return self.has_end

    def places(self) -> list[Place]:
        return [Place(self.kind, "1", "TIME", True, _END)] if self.has_end else []

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        if not self.has_end:
            if given:
                filling.fault("the template has no LIMITED_TIME_OFFER that ends")
            return []
        end = _end(only_value(given or []), filling)
        if end is None:
            return []
        parameter: Parameter = {"type": "limited_time_offer", "limited_time_offer": {_END: end}}
        return [{"type": "limited_time_offer", "parameters": [parameter]}]

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        parameters = sent.parameters(cls.kind)
        ends_at = parameters[0]["limited_time_offer"][_END] if parameters else None
        text = (defined.get("limited_time_offer") or {}).get("text")
        return {"offer": {"text": text, "endsAt": ends_at}}


def _end(value: Any, filling: Filling) -> int | None:
    """The end of an offer in epoch milliseconds, or None and a fault."""
    if isinstance(value, dict) and set(value) == {_END}:
        value = value[_END]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        filling.fault("LIMITED_TIME_OFFER needs its end as epoch milliseconds")
    elif value < _FIRST_MILLISECOND:
        filling.fault(f"LIMITED_TIME_OFFER needs its end in milliseconds; {value} looks like seconds")
    else:
        return value
    return None
