"""Shapes: what passes between the parts of a template, Graph and who looks at a message."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

Parameter = dict[str, Any]
"""One parameter of a component, as Graph wants it: `type` and a field of that name."""
Variables = dict[str, Any]
"""Values as callers give them, by the type of the component they are for."""
Defined = dict[str, Any]
"""One component of a definition, as Graph returned it."""


class Card(TypedDict):
    """One card of a carousel, as Graph wants it."""

    card_index: int
    components: "list[Component]"


class Component(TypedDict):
    """One component of a message, as Graph wants it (Meta, template messages)."""

    type: str
    parameters: NotRequired[list[Parameter]]
    sub_type: NotRequired[str]
    index: NotRequired[str]
    cards: NotRequired[list[Card]]


class PreviewHeader(TypedDict):
    """A header as its reader sees it: its text, or the address, id or name of its file or place."""

    format: str
    text: str | None


class PreviewButton(TypedDict):
    """A button as its reader sees it; `value` is its address, number, code or payload."""

    type: str
    text: str | None
    value: str | None


class PreviewOffer(TypedDict):
    """A limited-time offer as its reader sees it; `endsAt` in epoch milliseconds."""

    text: str | None
    endsAt: int | None


class Preview(TypedDict):
    """A message as its reader will see it."""

    header: PreviewHeader | None
    body: str
    footer: str | None
    buttons: list[PreviewButton]
    cards: "list[Preview]"
    offer: NotRequired[PreviewOffer]


class PartOfPreview(TypedDict, total=False):
    """The fields of a preview that one component fills."""

    header: PreviewHeader | None
    body: str
    footer: str | None
    buttons: list[PreviewButton]
    cards: list[Preview]
    offer: PreviewOffer


def kind_of(component: Mapping[str, Any]) -> str:
    return str(component.get("type", "")).upper()
