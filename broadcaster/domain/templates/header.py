"""The header: a text with at most one variable, a file, or a location."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling, listed, only_value
from broadcaster.domain.templates.part import Definition, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import Component, Defined, Parameter, PartOfPreview
from broadcaster.domain.templates.texts import Text, fill_text, read_text, rendered

MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")
TEXT_LIMIT, LINK_LIMIT = 60, 2000
"""Characters (Meta, template components)."""
_LINK = re.compile(r"https?://[^\s/<>\"][^\s<>\"]*")
_LOCATION = ("latitude", "longitude", "name", "address")
_DEGREE = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class Header(Part):
    kind: ClassVar[str] = "HEADER"
    is_for_cards: ClassVar[bool] = True

    format: str | None
    text: Text

    @classmethod
    def read(cls, definition: Definition) -> Self:
        defined = definition.part(cls.kind)
        format = _format(defined) if defined else None
        return cls(format, read_text(defined.get("text") if format == "TEXT" else None, definition.named))

    @property
    def is_asking(self) -> bool:
        return self.format is not None

    @property
    def unsupported(self) -> frozenset[str]:
        is_known = self.format in (None, "TEXT", "LOCATION", *MEDIA)
        return frozenset() if is_known else frozenset((f"HEADER {self.format}",))

    def places(self) -> list[Place]:
        if self.format in (*MEDIA, "LOCATION"):
            return [Place(self.kind, "1", str(self.format), True, "header")]
        names = self.text.names
        return [Place(self.kind, name, "TEXT", True, name if self.text.named else "header") for name in names]

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        parameters = self._parameters(given, filling)
        return [{"type": "header", "parameters": parameters}] if parameters else []

    def _parameters(self, given: Any, filling: Filling) -> list[Parameter]:
        if self.format in MEDIA:
            return _media(str(self.format), only_value(given), filling)
        if self.format == "LOCATION":
            return _location(only_value(given), filling)
        return fill_text(self.kind, self.text, given, TEXT_LIMIT, filling)

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        format, parameters = _format(defined), sent.parameters(cls.kind)
        if format == "TEXT":
            return {"header": {"format": format, "text": rendered(defined.get("text"), parameters)}}
        value = parameters[0].get(format.lower(), {}) if parameters else {}
        shown = value.get("link") or value.get("id") or value.get("name")
        return {"header": {"format": format, "text": str(shown) if shown else None}}


def _format(defined: Defined) -> str:
    return str(defined.get("format", "TEXT")).upper()


def _media(format: str, value: Any, filling: Filling) -> list[Parameter]:
    """A file, by its address or by the id of media uploaded before."""
    low = format.lower()
    if isinstance(value, str):
        value = {"id": value} if value.isdigit() else {"link": value}
    allowed = {"id", "link", "filename"} if format == "DOCUMENT" else {"id", "link"}
    if not isinstance(value, dict) or len({"id", "link"} & value.keys()) != 1:
        filling.fault(f"HEADER needs one {low}: the address of the file or a media id")
    elif set(value) - allowed or not all(isinstance(v, str) and v for v in value.values()):
        filling.fault(f"HEADER {low} takes {listed(sorted(allowed))}, each a text")
    elif any(len(v) > LINK_LIMIT for v in value.values()):
        filling.fault(f"HEADER {low} has more than {LINK_LIMIT} characters")
    elif "link" in value and not _LINK.fullmatch(value["link"]):
        filling.fault(f"HEADER {low} must be an http or https address or a media id")
    else:
        return [{"type": low, low: value}]
    return []


def _location(value: Any, filling: Filling) -> list[Parameter]:
    if not isinstance(value, dict) or set(value) != set(_LOCATION):
        filling.fault(f"HEADER needs a location with {listed(_LOCATION)}")
        return []
    for name, most in (("latitude", 90), ("longitude", 180)):
        if not _is_degree(value[name], most):
            filling.fault(f"HEADER {name} must be a number from -{most} to {most}")
    for name in ("name", "address"):
        if filling.is_usable(value[name], "HEADER", name):
            filling.check_length(f"HEADER {name}", value[name])
    return [{"type": "location", "location": {key: str(value[key]) for key in _LOCATION}}]


def _is_degree(value: Any, most: int) -> bool:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return False
    text = f"{value:.20f}" if isinstance(value, float) else str(value) if _is_short(value) else ""
    return _DEGREE.fullmatch(text) is not None and abs(float(text)) <= most


def _is_short(value: int | str) -> bool:
    return len(value) < 30 if isinstance(value, str) else abs(value) < 1000
