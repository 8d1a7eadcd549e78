"""The body: the text every template has."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling
from broadcaster.domain.templates.part import Definition, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import Component, Defined, PartOfPreview
from broadcaster.domain.templates.texts import Text, fill_text, read_text, rendered

LIMIT, ALONE_LIMIT, CARD_LIMIT, OFFER_LIMIT = 1024, 32_768, 160, 600
"""Characters after rendering (Meta, template components; that of a body alone is the reference's v24)."""


@dataclass(frozen=True, slots=True)
class Body(Part):
    kind: ClassVar[str] = "BODY"
    is_for_cards: ClassVar[bool] = True

    text: Text
    limit: int

    @classmethod
    def read(cls, definition: Definition) -> Self:
        return cls(read_text(definition.part(cls.kind).get("text"), definition.named), _limit(definition))

    @property
    def is_asking(self) -> bool:
        return True

    def places(self) -> list[Place]:
        return [Place(self.kind, name, "TEXT", True, name) for name in self.text.names]

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        filling.body = fill_text(self.kind, self.text, given, self.limit, filling)
        return [{"type": "body", "parameters": filling.body}] if filling.body else []

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        return {"body": rendered(defined.get("text"), sent.parameters(cls.kind))}


def _limit(definition: Definition) -> int:
    if definition.is_card:
        return CARD_LIMIT
    if definition.by_type.keys() == {"BODY"}:
        return ALONE_LIMIT
    return OFFER_LIMIT if "LIMITED_TIME_OFFER" in definition.by_type else LIMIT
